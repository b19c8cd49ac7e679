"""Answers requests about orders and executions."""

from datetime import datetime

from broker.gateway.account import Execution
from broker.gateway.errors import MessageError
from broker.gateway.exchange import Exchange, OrderRefused
from broker.gateway.hours import ib_time
from broker.gateway.order import Order, Status
from broker.gateway.order_messages import (
    OrderState,
    commission_report,
    completed_order,
    exec_details,
    open_order,
    order_opened,
    order_status,
)
from broker.gateway.order_request import OrderRequest, read_order
from broker.gateway.session import Session
from broker.gateway.wire import UNSET_DOUBLE, Fields


class OrderDesk:
    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    @property
    def account_id(self) -> str:
        return self.exchange.account.account_id

    def place(self, session: Session, fields: Fields, now: datetime) -> None:
        """placeOrder (3): a new order, a change of a living one, or a what-if."""
        order_id = fields.integer()
        known = self.exchange.orders.get((session.client_id, order_id))
        try:
            request = read_order(fields, session.version)
            if request.what_if:
                self._what_if(session, order_id, request, now)
            elif known:
                self.exchange.modify(known, request, now)
            else:
                self.exchange.place(session.client_id, order_id, request, now)
        except OrderRefused as refusal:
            session.error(order_id, refusal.code, refusal.text)
        except MessageError as error:
            session.error(order_id, 320, f"Error reading request: {error}")

    def _what_if(self, session: Session, order_id: int, request: OrderRequest, now: datetime) -> None:
        before, after, commission = self.exchange.what_if(request, now)
        pairs = (
            (before.initial_margin, after.initial_margin),
            (before.maintenance_margin, after.maintenance_margin),
            (before.net_liquidation, after.net_liquidation),
        )
        margins = (
            *(f"{was:.2f}" for was, _ in pairs),
            *(f"{will - was:.2f}" for was, will in pairs),
            *(f"{will:.2f}" for _, will in pairs),
        )
        state = OrderState("PreSubmitted", margins, UNSET_DOUBLE, f"{commission:.2f}", "USD")
        legs = self.exchange.check(request, now)
        ids = (order_id, session.client_id, 0)
        session.send(*open_order(request, legs, ids, self.account_id, state, session.version))

    def cancel(self, session: Session, fields: Fields, now: datetime) -> None:
        """cancelOrder (4)."""
        fields.skip(1)
        order_id = fields.integer()
        order = self.exchange.orders.get((session.client_id, order_id))
        if order is None:
            text = f"OrderId {order_id} that needs to be cancelled is not found."
            session.error(order_id, 10147, text)
        elif not order.lives:
            text = (
                f"OrderId {order_id} that needs to be cancelled can not be cancelled, state: {order.status}."
            )
            session.error(order_id, 10148, text)
        else:
            self.exchange.cancel(order, now)

    def cancel_all(self, now: datetime) -> None:
        """reqGlobalCancel (58)."""
        for order in self.exchange.working():
            self.exchange.cancel(order, now)

    def open_orders(self, session: Session, everyone: bool) -> None:
        """reqOpenOrders (5) and reqAllOpenOrders (16)."""
        for order in self.exchange.working():
            if everyone or order.client_id == session.client_id:
                self.send_order(session, order)
        session.send(53, 1)

    def send_order(self, session: Session, order: Order) -> None:
        session.send(*order_opened(order, self.account_id, session.version))
        session.send(*order_status(order))

    def completed_orders(self, session: Session) -> None:
        """reqCompletedOrders (99)."""
        for order in self.exchange.orders.values():
            if not order.lives:
                session.send(*completed_order(order, self.account_id, session.version))
        session.send(102)

    def executions(self, session: Session, fields: Fields) -> None:
        """reqExecutions (7) with its filter; client 0 asks for those of all clients."""
        fields.skip(1)
        req_id, client_id = fields.integer(), fields.integer()
        account, time, symbol, sec_type, _, side = (fields.text() for _ in range(6))
        since = time.replace("-", " ")[:17]
        for execution in self.exchange.executions:
            kind = execution.contract.sec_type if execution.contract else "BAG"
            bought = execution.quantity > 0
            if (
                client_id in (0, execution.client_id)
                and account in ("", self.account_id)
                and since <= ib_time(execution.time, 178)[:17]
                and symbol in ("", execution.symbol)
                and sec_type in ("", kind)
                and side in ("", "BUY" if bought else "SELL", "BOT" if bought else "SLD")
            ):
                order = self.exchange.orders[execution.client_id, execution.order_id]
                session.send(*exec_details(execution, order, self.account_id, session.version, req_id))
                session.send(*commission_report(execution))
        session.send(55, 1, req_id)

    def announce_fill(self, session: Session, order: Order, executions: list[Execution]) -> None:
        """The messages of a fresh fill, in the order in which a real gateway sends them."""
        for execution in executions:
            session.send(*exec_details(execution, order, self.account_id, session.version))
        self.send_order(session, order)
        self.send_order(session, order)
        for execution in executions:
            if execution.contract:
                session.send(*commission_report(execution))

    def announce_cancel(self, session: Session, order: Order, reason: str) -> None:
        session.send(*order_status(order, "PendingCancel"))
        session.send(*order_status(order, Status.CANCELLED))
        session.error(order.order_id, 202, f"Order Canceled - reason:{reason}")

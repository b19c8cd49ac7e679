"""Answers requests about orders and executions."""

from datetime import datetime

from broker.gateway.desks.execution_filter import ExecutionFilter
from broker.gateway.errors import REJECTED, MessageError, OrderRefused, RequestRefused
from broker.gateway.exchange.account import Execution, of_day
from broker.gateway.exchange.exchange import Exchange
from broker.gateway.exchange.order import Order, Status
from broker.gateway.markets.listings import Query
from broker.gateway.protocol.order_messages import (
    OrderState,
    commission_report,
    completed_order,
    exec_details,
    open_order,
    order_bound,
    order_opened,
    order_rejected,
    order_status,
)
from broker.gateway.protocol.order_request import OrderRequest, read_order
from broker.gateway.protocol.wire import UNSET_DOUBLE, Fields
from broker.gateway.session import Session
from options import hours

LAPSE = 2
ONLY_CLIENT_0 = (
    "Error validating request.-'bA' : cause - Only the default client (i.e 0) can auto bind orders."
)


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
        used_up = order_id < self.exchange.next_order_id(session.client_id)
        try:
            request = read_order(fields, session.version)
            if request.what_if:
                self._what_if(session, order_id, request, now)
            elif known:
                self.exchange.modify(known, request, now)
            elif used_up:
                session.error(order_id, 103, "Duplicate order id")
            else:
                self._new(session, order_id, request, now)
        except OrderRefused as refusal:
            session.error(order_id, refusal.code, refusal.text)
        except MessageError as error:
            session.error(order_id, 320, f"Error reading request: {error}")

    def _new(self, session: Session, order_id: int, request: OrderRequest, now: datetime) -> None:
        """Raises OrderRefused; of a rejection the client is told what became of the order, too."""
        try:
            self.exchange.place(session.client_id, order_id, request, now)
        except OrderRefused as refusal:
            if refusal.code != REJECTED:
                raise
            perm_id = self.exchange.take_perm_id()
            session.error(order_id, refusal.code, refusal.text)
            session.send(*order_rejected(request, order_id, session.client_id, perm_id))

    def _what_if(self, session: Session, order_id: int, request: OrderRequest, now: datetime) -> None:
        before, after, commission = self.exchange.what_if(request, now)
        pairs = (
            (before.initial_margin, after.initial_margin),
            (before.maintenance_margin, after.maintenance_margin),
            (before.equity_with_loan, after.equity_with_loan),
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
        if session.version >= 169:
            fields.skip(1)  # when somebody cancelled by hand
        fields.finish()
        order = self._to_manage(session, order_id)
        needed = f"OrderId {order_id} that needs to be cancelled"
        if order is None:
            session.error(order_id, 10147, f"{needed} is not found.")
        elif not order.lives:
            session.error(order_id, 10148, f"{needed} can not be cancelled, state: {order.status}.")
        else:
            self.exchange.cancel(order, now)

    def _to_manage(self, session: Session, order_id: int) -> Order | None:
        """A client's own order; client 0 also gets another's that works under an id of which there is one."""
        own = self.exchange.orders.get((session.client_id, order_id))
        if own or session.client_id:
            return own
        others = [order for order in self.exchange.working() if order.order_id == order_id]
        return others[0] if len(others) == 1 else None

    def cancel_all(self, now: datetime) -> None:
        """reqGlobalCancel (58)."""
        self.exchange.cancel_all(now)

    def open_orders(self, session: Session, everyone: bool) -> None:
        """reqOpenOrders (5) and reqAllOpenOrders (16)."""
        for order in self.exchange.working():
            if everyone or order.client_id == session.client_id:
                self.send_order(session, order)
        session.send(53, 1)

    def send_order(self, session: Session, order: Order, *, with_commission: bool = True) -> None:
        session.send(*order_opened(order, self.account_id, session.version, with_commission))
        session.send(*order_status(order))

    def bind(self, session: Session, fields: Fields) -> None:
        """reqAutoOpenOrders (15): whether orders placed by hand are client 0's to watch and to change."""
        fields.skip(1)
        wanted = fields.flag()
        if session.client_id:
            if wanted:
                session.error(-1, 321, ONLY_CLIENT_0)
            return
        session.binds_orders = wanted
        for order in self.exchange.working() if wanted else ():
            if order.by_hand:
                session.send(*order_bound(order))

    def exercise(self, session: Session, fields: Fields, now: datetime) -> None:
        """exerciseOptions (21): taken without an answer, and carried out at the close."""
        fields.skip(1)
        req_id = fields.integer()
        contract = Query.read(fields, with_primary=False)
        lapse, quantity = fields.integer() == LAPSE, fields.integer()
        account, override = fields.text(), fields.flag()
        fields.finish()
        try:
            con_id = self.exchange.market.listings.the_one(contract, now).con_id
            self.exchange.exercise(con_id, quantity, lapse, override, account, now)
        except RequestRefused as refusal:
            session.error(req_id, refusal.code, refusal.text)

    def place_by_hand(self, request: OrderRequest, session: Session | None, now: datetime) -> Order:
        """An order that no API client sends; raises OrderRefused. `session` is client 0's, if it is there."""
        order_id = self.exchange.next_id_by_hand()
        self.exchange.place(0, order_id, request, now)
        order = self.exchange.orders[0, order_id]
        if session and session.binds_orders:
            session.send(*order_bound(order))
        return order

    def completed_orders(self, session: Session, fields: Fields) -> None:
        """reqCompletedOrders (99), on demand without those placed by hand."""
        api_only = fields.flag()
        orders = self.exchange.orders
        for order in orders.values():
            if not order.lives and not (api_only and order.by_hand):
                parent = orders.get((order.client_id, order.request.parent_id))
                session.send(*completed_order(order, self.account_id, session.version, parent))
        session.send(102)

    def executions(self, session: Session, fields: Fields, now: datetime) -> None:
        """reqExecutions (7): those of today that pass its filter."""
        fields.skip(1)
        req_id = fields.integer()
        try:
            wanted = ExecutionFilter.read(fields)
        except MessageError as error:
            session.error(req_id, 320, f"Error reading request: {error}")
            return
        for execution in of_day(hours.trading_day(now), self.exchange.executions):
            if wanted.fits(execution, self.account_id):
                order = self.exchange.orders[execution.client_id, execution.order_id]
                session.send(*exec_details(execution, order, self.account_id, session.version, req_id))
                session.send(*commission_report(execution))
        session.send(55, 1, req_id)

    def announce_fill(self, session: Session, order: Order, executions: list[Execution]) -> None:
        """The messages of a fresh fill, in the order in which a real gateway sends them."""
        for execution in executions:
            session.send(*exec_details(execution, order, self.account_id, session.version))
        self.send_order(session, order, with_commission=False)
        self.send_order(session, order)
        for execution in executions:
            if execution.contract:
                session.send(*commission_report(execution))

    def announce_refusal(self, session: Session, order: Order, refusal: OrderRefused) -> None:
        session.error(order.order_id, refusal.code, refusal.text)
        self.send_order(session, order)

    def announce_cancel(self, session: Session, order: Order, reason: str) -> None:
        session.send(*order_status(order, "PendingCancel"))
        session.send(*order_status(order, Status.CANCELLED))
        session.error(order.order_id, 202, f"Order Canceled - reason:{reason}")

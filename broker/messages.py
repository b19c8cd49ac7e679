# mypy: disable-error-code="no-untyped-call"
# ruff: noqa: N802, N803  (the callbacks and their arguments have IB's names)
"""IB's callbacks, sorted into the inbox.

They override ib_async's wrapper, so that what the broker said is read before ib_async interprets it: it
calls live orders cancelled, drops commissions that come before their execution, and says nothing of
executions that happened while away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import ib_async as ib
from ib_async.wrapper import RequestError, Wrapper

from broker.events import Executed
from broker.inbox import Inbox
from broker.order_book import OrderEntry
from options import ConId

if TYPE_CHECKING:
    from broker.connection import Session

_CLIENT_ID_IN_USE: Final = 326
_REQUEST_REFUSED: Final = 321  # no answer follows, yet ib_async takes it for a warning and waits for ever


class Messages(Wrapper):
    """Sorts each message into the inbox; ib_async keeps only its request futures."""

    def __init__(self, session: Session, inbox: Inbox) -> None:
        super().__init__(session)
        self._session = session
        self._inbox = inbox

    def tcpDataProcessed(self) -> None:
        self._session.note_frames()

    def managedAccounts(self, accountsList: str) -> None:
        super().managedAccounts(accountsList)
        self._session.choose_account(self.accounts)

    def error(self, reqId: int, errorCode: int, errorString: str, advancedOrderRejectJson: str) -> None:
        asked = reqId in self._futures
        super().error(reqId, errorCode, errorString, advancedOrderRejectJson)
        if asked and errorCode == _REQUEST_REFUSED:
            self._endReq(reqId, RequestError(reqId, errorCode, errorString), success=False)
        if errorCode == _CLIENT_ID_IN_USE:
            self._session.end(f"client id {self.clientId} is in use by another program (326)")
        if not asked:  # else whoever asked is told
            self._inbox.error(self.clientId, reqId, errorCode, errorString)
        self._session.noticed(errorCode, errorString)

    def updateAccountValue(self, tag: str, val: str, currency: str, account: str) -> None:
        self._inbox.account_value(account, tag, val, currency)

    def position(self, account: str, contract: ib.Contract, posSize: float, avgCost: float) -> None:
        super().position(account, contract, posSize, avgCost)
        self._inbox.holding(account, contract, posSize, avgCost)

    def positionEnd(self) -> None:
        listed = self._results.get("positions", [])
        ours = (each for each in listed if each.account == self._inbox.account and each.position)
        self._inbox.all_holdings(ConId(each.contract.conId) for each in ours)
        super().positionEnd()

    def openOrder(
        self, orderId: int, contract: ib.Contract, order: ib.Order, orderState: ib.OrderState
    ) -> None:
        if order.whatIf:
            super().openOrder(orderId, contract, order, orderState)
            return
        self.ib.client.updateReqId(orderId + 1)
        if order.account != self._inbox.account:
            return
        entry = self._inbox.orders.opened(orderId, contract, order, orderState.status)
        self._collect("openOrders", entry)

    def orderStatus(
        self,
        orderId: int,
        status: str,
        filled: float,
        remaining: float,
        avgFillPrice: float,
        permId: int,
        parentId: int,
        lastFillPrice: float,
        clientId: int,
        whyHeld: str,
        mktCapPrice: float = 0.0,
    ) -> None:
        self._inbox.orders.status(clientId, orderId, permId, status, filled, remaining, avgFillPrice)
        self._session.notice_doubts()

    def completedOrder(self, contract: ib.Contract, order: ib.Order, orderState: ib.OrderState) -> None:
        if order.account == self._inbox.account:
            text = orderState.completedStatus
            entry = self._inbox.orders.completed(order, contract, orderState.status, text)
            self._collect("completedOrders", entry)

    def execDetails(self, reqId: int, contract: ib.Contract, execution: ib.Execution) -> None:
        executed = self._inbox.execution(contract, execution)
        if executed is not None:
            self._collect(reqId, executed)

    def commissionReport(self, commissionReport: ib.CommissionReport) -> None:
        report = commissionReport
        self._inbox.commission(report.execId, report.commission, report.realizedPNL)

    def historicalData(self, reqId: int, bar: ib.BarData) -> None:
        self._inbox.daily_value(reqId, str(bar.date), bar.close)

    def historicalDataEnd(self, reqId: int, _start: str, _end: str) -> None:
        if self._inbox.is_daily(reqId):
            self._inbox.daily_end(reqId)

    def priceSizeTick(self, reqId: int, tickType: int, price: float, size: float) -> None:
        self._inbox.lines.tick_price(reqId, tickType, price, size, self._inbox.clock.now())

    def tickSize(self, reqId: int, tickType: int, size: float) -> None:
        self._inbox.lines.tick_size(reqId, tickType, size, self._inbox.clock.now())

    def tickOptionComputation(
        self,
        reqId: int,
        tickType: int,
        tickAttrib: int,
        impliedVol: float,
        delta: float,
        optPrice: float,
        pvDividend: float,
        gamma: float,
        vega: float,
        theta: float,
        undPrice: float,
    ) -> None:
        self._inbox.lines.tick_greeks(
            reqId, tickType, impliedVol, delta, gamma, vega, theta, undPrice, self._inbox.clock.now()
        )

    def marketDataType(self, reqId: int, marketDataId: int) -> None:
        self._inbox.lines.data_type(reqId, marketDataId)

    def tickString(self, reqId: int, tickType: int, value: str) -> None:
        """Exchanges and trade times: nobody here uses them."""

    def tickGeneric(self, reqId: int, tickType: int, value: float) -> None:
        """Halts and historical volatility: nobody here uses them."""

    def tickReqParams(self, reqId: int, minTick: float, bboExchange: str, snapshotPermissions: int) -> None:
        """The minimum tick comes from the contract's details."""

    def _collect(self, key: int | str, item: OrderEntry | Executed) -> None:
        results = self._results.get(key)
        if results is not None:
            results.append(item)

"""Everything the broker's messages are sorted into, for as long as the program runs.

Its methods are called from inside the socket's reader: they copy and return. A new connection brings new
request and order ids, so those are forgotten with the old one; what was executed or placed is not.
"""

from collections.abc import Iterable
from datetime import date
from typing import Final

import ib_async as ib
import structlog

from broker import sanitise
from broker.events import (
    ALARM,
    AccountChanged,
    BrokerEvent,
    BrokerNotice,
    Commissioned,
    DailyKind,
    DailyValues,
    Executed,
    HoldingChanged,
)
from broker.line_registry import LineRegistry
from broker.order_book import OrderBook
from broker.translation import our_contract
from options import Clock, ConId, Contract, SecType

log = structlog.get_logger()

NO_MORE_LINES: Final = 101
# No line is open after one of these: too many lines, no such contract, a senseless request.
_NO_LINE: Final = frozenset({NO_MORE_LINES, 200, 321})
# No market-data subscription; said of a line that is served all the same, it must be cancelled.
_LINE_REFUSED: Final = _NO_LINE | {354, 10089, 10091, 10168, 10186}
_COMMISSION_PENDING: Final = -1.0
# The history service says something, the answer still comes.
_HISTORY_WARNINGS: Final = frozenset({165, *range(2100, 2200)})


class Inbox:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.account = ""
        self.events: list[BrokerEvent] = []
        self.lines = LineRegistry()
        self.orders = OrderBook(self.events.append)
        self.contracts: dict[ConId, Contract] = {}
        self._holdings: dict[ConId, HoldingChanged] = {}
        self._executed: set[str] = set()
        self._commissions: dict[str, Commissioned] = {}
        self._foreign_executions: set[str] = set()
        self._daily: dict[int, tuple[ConId, DailyKind, list[tuple[date, float]]]] = {}

    def forget_connection(self) -> None:
        self._daily.clear()
        self.lines.forget()
        self.orders.forget_connection()

    def alarm(self, text: str) -> None:
        self.events.append(BrokerNotice(ALARM, text))

    def asked_daily(self, request_id: int, con_id: ConId, kind: DailyKind) -> None:
        self._daily[request_id] = (con_id, kind, [])

    def daily_value(self, request_id: int, day: str, value: float) -> None:
        """One bar of a day; what is not a positive number of a day is left out."""
        asked, known, number = self._daily.get(request_id), sanitise.day(day), sanitise.positive(value)
        if asked is not None and known is not None and number is not None:
            asked[2].append((known, number))

    def daily_end(self, request_id: int, refusal: str = "") -> None:
        con_id, kind, values = self._daily.pop(request_id)
        self.events.append(DailyValues(con_id, kind, tuple(values), refusal))

    def is_daily(self, request_id: int) -> bool:
        """Whether daily values were asked for under this id, and have not all arrived."""
        return request_id in self._daily

    def error(self, client_id: int, request_id: int, code: int, text: str) -> None:
        if self.is_daily(request_id) and code not in _HISTORY_WARNINGS:
            self.daily_end(request_id, f"{code}: {text}")
            return
        order = self.orders.by_id(client_id, request_id)
        con_id = self.lines.con_id(request_id)
        is_refused = order is None and con_id is not None and code in _LINE_REFUSED
        order_ref = order.order_ref if order else None
        self.events.append(BrokerNotice(code, text, con_id, order_ref, is_refused and code != NO_MORE_LINES))
        if order is not None:
            self.orders.error(order, code, text)
        elif con_id is not None and code in _NO_LINE:
            self.lines.close(con_id)

    def holding(self, account: str, contract: ib.Contract, quantity: float, average_cost: float) -> None:
        changed = self.as_holding(account, contract, quantity, average_cost)
        if changed is None:
            return
        con_id = changed.contract.con_id
        if self._holdings.get(con_id) != changed:
            self._holdings[con_id] = changed
            self.events.append(changed)

    def all_holdings(self, held: Iterable[ConId]) -> None:
        """The list of positions is complete: what it lacks is closed (expired or assigned while away)."""
        listed = set(held)
        for con_id, known in self._holdings.items():
            if known.quantity and con_id not in listed:
                closed = HoldingChanged(known.account, known.contract, 0, 0.0)
                self._holdings[con_id] = closed
                self.events.append(closed)

    def as_holding(
        self, account: str, contract: ib.Contract, quantity: float, average_cost: float
    ) -> HoldingChanged | None:
        """None for another account's holding and for a kind of security that we don't handle."""
        if account != self.account:
            return None
        ours = self.contracts.get(ConId(contract.conId)) or our_contract(contract)
        if ours is None or ours.sec_type is SecType.COMBO:
            log.warning("holding.ignored", symbol=contract.symbol, sec_type=contract.secType)
            return None
        if quantity != int(quantity):
            log.warning("holding.fraction_ignored", symbol=contract.symbol, quantity=quantity)
        return HoldingChanged(account, ours, int(quantity), average_cost)

    def execution(self, contract: ib.Contract, execution: ib.Execution) -> Executed | None:
        """None for another account's; an execution is reported once, whoever asked for it."""
        if execution.acctNumber != self.account:
            self._foreign_executions.add(execution.execId)
            return None
        executed = Executed(
            exec_id=execution.execId,
            order_ref=execution.orderRef,
            perm_id=execution.permId,
            con_id=ConId(contract.conId),
            is_combo=contract.secType == SecType.COMBO,
            quantity=execution.shares if execution.side == "BOT" else -execution.shares,
            price=execution.price,
            time=execution.time,
        )
        if executed.exec_id not in self._executed:
            self._executed.add(executed.exec_id)
            self.events.append(executed)
        return executed

    def commission(self, exec_id: str, commission: float, realized_pnl: float) -> None:
        if exec_id in self._foreign_executions:
            return
        commissioned = Commissioned(
            exec_id,
            None if commission == _COMMISSION_PENDING else sanitise.number(commission),
            sanitise.number(realized_pnl),
        )
        if self._commissions.get(exec_id) != commissioned:
            self._commissions[exec_id] = commissioned
            self.events.append(commissioned)

    def account_value(self, account: str, key: str, value: str, currency: str) -> None:
        if account == self.account:
            self.events.append(AccountChanged(account, key, sanitise.text_number(value), currency))

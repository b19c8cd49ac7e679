"""What the broker says about orders, and nothing else.

Only orderStatus, openOrder and completedOrder move an order. ib_async's own Trade objects are not used:
they call an order Cancelled on several codes (103, 104, 10147, 10148, 10349) while it is live and may fill.
Here such a code makes the order doubtful, and the doubt is settled by asking the broker.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import ib_async as ib

from broker import sanitise
from broker.events import OrderChanged, OrderState
from broker.protocol import Side
from broker.translation import new_order

FINAL: Final = frozenset({OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED})

_STATES: Final = {
    "PendingSubmit": OrderState.SENT,
    "ApiPending": OrderState.SENT,
    "PreSubmitted": OrderState.WORKING,
    "Submitted": OrderState.WORKING,
    "ApiUpdate": OrderState.WORKING,
    "PendingCancel": OrderState.CANCELLING,
    "Cancelled": OrderState.CANCELLED,
    "ApiCancelled": OrderState.CANCELLED,
    "Filled": OrderState.FILLED,
}
_REJECTED: Final = 201
_HELD: Final = frozenset({399, 404})  # accepted, but waits: for the opening, for shares to borrow
_CANCEL_REFUSED: Final = frozenset({161, 10147, 10148})


@dataclass(slots=True, eq=False)
class OrderEntry:
    """One order. `order_id` is None in a session that has not heard of it; prices as in OrderChanged."""

    order_ref: str
    contract: ib.Contract
    order: ib.Order
    client_id: int
    order_id: int | None
    perm_id: int | None = None
    state: OrderState = OrderState.SENT
    filled: float = 0.0
    remaining: float = 0.0
    average_price: float | None = None
    text: str = ""
    refusal: str = ""
    cancel_asked: bool = False
    modified: bool = False
    reported: OrderChanged | None = None

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @property
    def sign(self) -> int:
        """Prices of a sold contract are what is received, so negative in our words."""
        return -1 if self.order.action == Side.SELL else 1

    def change(self) -> OrderChanged:
        limit = sanitise.number(float(self.order.lmtPrice or 0)) if self.order.orderType == "LMT" else None
        return OrderChanged(
            order_ref=self.order_ref,
            order_id=self.order_id,
            perm_id=self.perm_id,
            state=self.state,
            filled=self.filled,
            remaining=self.remaining,
            average_price=None if self.average_price is None else self.sign * self.average_price,
            limit_price=None if limit is None else self.sign * limit,
            text=self.text,
        )


class OrderBook:
    """All orders heard of in this connection, and those that were not finished in the ones before. Order ids
    are forgotten with each connection, the references of orders never."""

    def __init__(self, report: Callable[[OrderChanged], None]) -> None:
        self._report_change = report
        self._by_id: dict[tuple[int, int], OrderEntry] = {}
        self._by_perm_id: dict[int, OrderEntry] = {}
        self._by_ref: dict[str, OrderEntry] = {}
        self._doubtful: dict[int, OrderEntry] = {}
        self._finished: set[str] = set()

    def knows(self, order_ref: str) -> bool:
        """Whether an order of that reference was ever heard of."""
        return order_ref in self._by_ref or order_ref in self._finished

    def by_ref(self, order_ref: str) -> OrderEntry | None:
        return self._by_ref.get(order_ref) if order_ref else None

    def by_id(self, client_id: int, order_id: int) -> OrderEntry | None:
        return self._by_id.get((client_id, order_id))

    @property
    def has_doubts(self) -> bool:
        return bool(self._doubtful)

    def forget_connection(self) -> None:
        """The connection is gone: ids may roll back, so a known id would be a wrong id, and a cancel that
        was on its way may never have arrived. Of finished orders only the reference is kept: 5 kB each would
        add up."""
        for entry in self._by_id.values():
            entry.order_id = None
            entry.cancel_asked = False
        self._by_id.clear()
        self._doubtful.clear()
        self._finished |= {ref for ref, entry in self._by_ref.items() if entry.is_final}
        self._by_ref = {ref: entry for ref, entry in self._by_ref.items() if not entry.is_final}
        self._by_perm_id = {key: entry for key, entry in self._by_perm_id.items() if not entry.is_final}

    def sent(self, contract: ib.Contract, order: ib.Order, client_id: int, order_id: int) -> None:
        entry = OrderEntry(order.orderRef, contract, order, client_id, order_id)
        entry.remaining = float(order.totalQuantity)
        self._by_id[client_id, order_id] = entry
        self._by_ref[entry.order_ref] = entry
        self._report(entry)

    def cancel_sent(self, entry: OrderEntry) -> None:
        entry.cancel_asked = True
        entry.state = OrderState.CANCELLING
        self._report(entry)

    def opened(self, order_id: int, contract: ib.Contract, order: ib.Order, status: str) -> OrderEntry:
        """openOrder: who the order is and its limit; its status only where orderStatus said nothing yet."""
        entry = self._find(order.clientId, order_id, order.permId, order.orderRef)
        if entry is None:
            entry = OrderEntry(order.orderRef, _bare(contract), _bare_order(order), order.clientId, None)
            entry.remaining = float(order.totalQuantity)
            self._by_ref.setdefault(entry.order_ref, entry)
        self._learn_ids(entry, order.clientId, order_id, order.permId)
        entry.order.lmtPrice = order.lmtPrice
        entry.order.totalQuantity = order.totalQuantity
        state = _STATES.get(status)
        if entry.state is OrderState.SENT and state is not None and state not in FINAL:
            entry.state = state
        self._report(entry)
        return entry

    def status(
        self,
        client_id: int,
        order_id: int,
        perm_id: int,
        status: str,
        filled: float,
        remaining: float,
        average_price: float,
    ) -> None:
        entry = self._find(client_id, order_id, perm_id, "")
        if entry is None or entry.state is OrderState.FILLED:
            return
        self._learn_ids(entry, client_id, order_id, perm_id)
        entry.state = self._state(entry, status)
        entry.filled, entry.remaining = filled, remaining
        entry.average_price = sanitise.number(average_price) if filled else None
        if entry.state is OrderState.REJECTED:
            entry.text = entry.refusal
        elif status == "Inactive":
            entry.text = status
            self._doubtful[id(entry)] = entry
        elif entry.state is OrderState.FILLED:
            entry.text = ""
        self._report(entry)

    def completed(self, order: ib.Order, contract: ib.Contract, status: str, text: str) -> OrderEntry:
        """completedOrder: final, without order id. An order that is new to us is not reported."""
        entry = self._find(0, 0, order.permId, order.orderRef)
        known = entry is not None
        if entry is None:
            entry = OrderEntry(order.orderRef, _bare(contract), _bare_order(order), order.clientId, None)
            self._by_ref.setdefault(entry.order_ref, entry)
        self._learn_ids(entry, 0, 0, order.permId)
        if not entry.is_final:
            entry.state = _STATES.get(status, OrderState.REJECTED)
            entry.filled = sanitise.number(float(order.filledQuantity)) or 0.0
            entry.remaining = max(0.0, float(entry.order.totalQuantity) - entry.filled)
            entry.text = text
            self._doubtful.pop(id(entry), None)
            if known:
                self._report(entry)
        return entry

    def error(self, entry: OrderEntry, code: int, text: str) -> None:
        """A code about an order; `has_doubts` says whether to ask what became of it.

        Only the refusal (201) of an order that was never accepted nor modified ends it: of another order
        the code may mean the modification.
        """
        entry.text = f"{code}: {text}"
        if code in _HELD:
            if entry.state is OrderState.SENT:
                entry.state = OrderState.WORKING
            self._report(entry)
            return
        if entry.is_final or 2100 <= code < 2200:
            return
        entry.refusal = entry.text
        if code == _REJECTED and entry.state is OrderState.SENT and not entry.modified:
            entry.state = OrderState.REJECTED
            self._report(entry)
            return
        if code in _CANCEL_REFUSED:
            entry.cancel_asked = False
        self._doubtful[id(entry)] = entry

    def settle(self, open_now: Iterable[OrderEntry]) -> None:
        """End the doubts after all open and then all completed orders were asked for.

        An order that was never accepted, met an error and is neither open nor completed is rejected. One
        that was accepted and is nowhere now stays as it was: reconciliation has to look at it.
        """
        still_open = {id(entry) for entry in open_now}
        for key, entry in self._doubtful.items():
            if key not in still_open and entry.state is OrderState.SENT:
                entry.state, entry.text = OrderState.REJECTED, entry.refusal
                self._report(entry)
        self._doubtful.clear()

    def _state(self, entry: OrderEntry, status: str) -> OrderState:
        if status == "Inactive":  # final after a refusal; else a pause that says nothing
            return OrderState.REJECTED if entry.refusal else entry.state
        state = _STATES.get(status, OrderState.WORKING)
        if state is OrderState.CANCELLED and entry.refusal.startswith(f"{_REJECTED}:") and not entry.filled:
            return OrderState.REJECTED
        if state in (OrderState.SENT, OrderState.WORKING) and entry.cancel_asked:
            return OrderState.CANCELLING
        return state

    def _find(self, client_id: int, order_id: int, perm_id: int, order_ref: str) -> OrderEntry | None:
        if perm_id and (entry := self._by_perm_id.get(perm_id)):
            return entry
        for candidate in (self._by_id.get((client_id, order_id)), self.by_ref(order_ref)):
            if candidate is not None and (not perm_id or candidate.perm_id in (None, perm_id)):
                return candidate
        return None

    def _learn_ids(self, entry: OrderEntry, client_id: int, order_id: int, perm_id: int) -> None:
        if perm_id:
            entry.perm_id = perm_id
            self._by_perm_id[perm_id] = entry
        if order_id > 0:
            entry.client_id, entry.order_id = client_id, order_id
            self._by_id[client_id, order_id] = entry

    def _report(self, entry: OrderEntry) -> None:
        """Say a change once: the broker repeats itself."""
        change = entry.change()
        if change != entry.reported:
            entry.reported = change
            self._report_change(change)


def _bare(contract: ib.Contract) -> ib.Contract:
    """The contract as an order names it, without what the broker adds to a combo (its id and symbol)."""
    if contract.secType != "BAG":
        return contract
    return ib.Contract(
        secType="BAG",
        symbol=contract.symbol,
        exchange=contract.exchange or "SMART",
        currency=contract.currency,
        comboLegs=contract.comboLegs,
    )


def _bare_order(order: ib.Order) -> ib.Order:
    """The order as we would send it: the broker fills in fields that it refuses in a modification."""
    limit = float(order.lmtPrice or 0) if order.orderType == "LMT" else None
    bare = new_order(order.action, float(order.totalQuantity), limit, order.account, order.orderRef)
    bare.orderType = order.orderType
    bare.tif = order.tif or "DAY"
    return bare

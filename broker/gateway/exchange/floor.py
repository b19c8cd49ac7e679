"""The trading floor: where orders wait, wake and meet the quotes of one moment.

`work` looks at the orders that a new quote or the clock concerns, the oldest first, and at whatever their
fills set free. What happens is told to a `Witness`, each fill only after account and book hold it.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from broker.gateway.errors import OrderRefused
from broker.gateway.exchange import groups
from broker.gateway.exchange.account import Execution
from broker.gateway.exchange.chance import draw
from broker.gateway.exchange.displayed import Displayed
from broker.gateway.exchange.fills import Fill, Fills
from broker.gateway.exchange.matching import (
    Terms,
    leg_price,
    leg_prices,
    limit_of,
    lots_shown,
    patience_s,
    terms_of,
    two_sided,
    wait,
)
from broker.gateway.exchange.order import Legging, Order, Status
from broker.gateway.exchange.order_book import OrderBook
from broker.gateway.exchange.time_in_force import IMMEDIATE, is_open, next_session, trades_extended
from broker.gateway.exchange.triggers import all_hold, conditions_of, stop_reached, time_conditions
from broker.gateway.markets.quotes import Quote
from options import ConId

LEG_S = 1.0
LEG = timedelta(seconds=LEG_S)


class Witness(Protocol):
    """Who is told what happened, in the order in which it happened.

    `order_filled` gives the new executions only: after a partial fill the order lives on. `order_refused` is
    for an order that was taken and could not be carried when its turn came; `order_warned` leaves it alive.
    `holdings_changed` is for what no order did: expiry, exercise, assignment, dividends.
    """

    def order_changed(self, order: Order) -> None: ...

    def order_warned(self, order: Order, code: int, text: str) -> None: ...

    def order_filled(self, order: Order, executions: list[Execution]) -> None: ...

    def order_cancelled(self, order: Order, reason: str) -> None: ...

    def order_refused(self, order: Order, refusal: OrderRefused) -> None: ...

    def holdings_changed(self, con_ids: list[ConId]) -> None: ...


class Quotes(dict[ConId, Quote]):
    """The quotes of one moment, each asked for once."""

    def __init__(self, now: datetime, ask: Callable[[Collection[ConId]], dict[ConId, Quote]]) -> None:
        super().__init__()
        self.now = now
        self.regular = is_open(now, extended=False)
        self._ask = ask

    def __missing__(self, con_id: ConId) -> Quote:
        self.fetch([con_id])
        return self[con_id]

    def fetch(self, con_ids: Collection[ConId]) -> None:
        self.update(self._ask(con_ids))


class Floor:
    """See the module. `hold_fills` keeps every order from filling. `afford` raises OrderRefused for an order
    that the account cannot carry. All chance comes from `seed`."""

    def __init__(
        self,
        book: OrderBook,
        fills: Fills,
        witness: Witness,
        afford: Callable[[Order, datetime], None],
        seed: int,
    ) -> None:
        self.book = book
        self.fills = fills
        self.witness = witness
        self.displayed = Displayed()
        self.hold_fills = False
        self._afford = afford
        self._seed = seed
        self._queue: deque[Order] = deque()
        self._unheard: list[tuple[Order, int, int]] = []

    def work(self, orders: Iterable[Order], quotes: Quotes) -> None:
        """Looks at these orders, and at those that their fills set free."""
        self._queue.extend(orders)
        while self._queue:
            order = self._queue.popleft()
            if order.works:
                self._look(order, quotes)
        for order, filled, before in self._unheard:
            self._reduce_others(order, filled, before, quotes.now)
        self._unheard.clear()

    def _look(self, order: Order, quotes: Quotes) -> None:
        now = quotes.now
        if order.ends is not None and order.ends <= now:
            self.end(order, now, "its time in force is over")
        elif self._may_trade(order, quotes):
            if order.status is Status.PRE_SUBMITTED:
                order.status = Status.SUBMITTED
                self.witness.order_changed(order)
            if self.hold_fills:
                self._sleep(order, None)
            elif order.legging:
                self._trade_leg(order, order.legging, quotes)
            else:
                self._trade(order, quotes)

    def _sleep(self, order: Order, until: datetime | None) -> None:
        """Until a quote changes, `until`, or the order's end."""
        ends_first = until is None or (order.ends is not None and order.ends < until)
        self.book.wake(order, order.ends if ends_first else until)

    # -- waiting --------------------------------------------------------------------------------------

    def _may_trade(self, order: Order, quotes: Quotes) -> bool:
        """Whether nothing keeps it from the market; else it sleeps until that may be over."""
        if order.request.parent_id and not order.activated and not self._activate(order, quotes.now):
            return False
        opens = self._opens(order, quotes)
        if opens is not None:
            order.ready_since = None
            if order.request.tif in IMMEDIATE:
                self.end(order, quotes.now, "the exchange is closed and the order may not wait")
            else:
                self._sleep(order, opens)
            return False
        if order.request.conditions and not order.unlocked and not self._unlock(order, quotes):
            return False
        if order.is_stop and not order.triggered:
            terms = terms_of(order.legs, quotes)
            last = None if order.request.is_combo else quotes[order.con_ids[0]].last
            order.triggered = stop_reached(order, terms, last)
            if not order.triggered:
                self._sleep(order, None)
                return False
        return True

    def _opens(self, order: Order, quotes: Quotes) -> datetime | None:
        """When the order's next session or its own time begins; None: it is on."""
        if quotes.now < order.starts:
            return order.starts
        if quotes.regular:
            return None
        extended = trades_extended(order.request, order.legs)
        if extended and is_open(quotes.now, extended):
            return None
        return next_session(quotes.now, extended)[0]

    def _activate(self, order: Order, now: datetime) -> bool:
        """Whether a child's parent has begun to fill."""
        parent = self.book.parent(order)
        if parent is None or not parent.filled:
            self._sleep(order, None)
            return False
        try:
            self._afford(order, now)
        except OrderRefused as refusal:
            self.refuse(order, refusal, now)
            return False
        order.activated = True
        if order.why_held:
            self.witness.order_changed(order)
        return True

    def _unlock(self, order: Order, quotes: Quotes) -> bool:
        """Whether its conditions let an order trade; those that cancel it do until they come true."""
        conditions = conditions_of(order.request)
        order.unlocked = all_hold(conditions, quotes.now, quotes.__getitem__)
        if order.unlocked and order.cancels_on_conditions:
            self.end(order, quotes.now, "its conditions have come true")
            return False
        if not order.unlocked:
            self._sleep(order, min(time_conditions(conditions, quotes.now), default=None))
        return order.unlocked or order.cancels_on_conditions

    # -- trading --------------------------------------------------------------------------------------

    def _trade(self, order: Order, quotes: Quotes) -> None:
        """Fills what can be filled now, or sets when it may be."""
        due = None
        terms = terms_of(order.legs, quotes)
        if terms is None:
            order.ready_since = None
        else:
            limit = limit_of(order, terms)
            if limit is None or limit >= terms.natural:
                self._meet(order, terms, terms.natural, quotes, adds=False)
            else:
                due = self._queue_up(order, terms, limit, quotes.now)
                if due is not None and due <= quotes.now:
                    due = None
                    self._meet(order, terms, limit, quotes, adds=True)
        if order.lives and order.request.tif in IMMEDIATE:
            self.end(order, quotes.now, "the rest could not be met at once")
        elif order.lives:
            self._sleep(order, due or (order.legging.due if order.legging else None))

    def _queue_up(self, order: Order, terms: Terms, limit: int, now: datetime) -> datetime | None:
        """When somebody meets the limit as quotes stand; None: nobody will."""
        mean_s = patience_s(limit, terms, order.legs)
        if mean_s is None or order.request.tif in IMMEDIATE:
            order.ready_since = None
            return None
        order.ready_since = order.ready_since or now
        luck = draw(self._seed, order.perm_id, order.turns) if mean_s else 1.0
        return order.ready_since + wait(mean_s, luck)

    def _meet(self, order: Order, terms: Terms, cost: int, quotes: Quotes, *, adds: bool) -> None:
        """Trades as many units as size, parent and the order's own wishes allow, each at `cost`."""
        request = order.request
        lots = min(
            groups.tradable(order, self.book.parent(order)),
            lots_shown(order.legs, quotes, self.displayed),
        )
        whole = request.all_or_none or request.tif == "FOK"
        least = order.remaining if whole else min(request.min_quantity or 1, order.remaining)
        if lots < least or lots == 0:
            return
        prices = leg_prices(order.legs, terms, cost)
        if order.is_legged:
            order.legging = Legging(lots, tuple(prices), (), quotes.now)
            self._trade_leg(order, order.legging, quotes)
            return
        legs = [(contract, n * lots, price) for (contract, n), price in zip(order.legs, prices, strict=True)]
        net = sum(n * price for (_, n), price in zip(order.legs, prices, strict=True))
        self._fill(order, Fill(legs, lots, net, adds), quotes)

    def _trade_leg(self, order: Order, part: Legging, quotes: Quotes) -> None:
        """Trades the next leg of a combo without guarantee, once its time has come and a quote allows it."""
        number = len(part.prices)
        contract, amount = order.legs[number]
        signed = amount * part.lots
        price: int | None = part.limits[0]
        if number:  # the first leg's limit is of this very moment
            quote = quotes[contract.con_id]
            both = two_sided(quote)
            enough = self.displayed.left(contract.con_id, quote, amount > 0) >= abs(signed)
            price = leg_price(part.limits[number], both, amount > 0) if both and enough else None
        if part.due > quotes.now or price is None:
            self._sleep(order, part.due if part.due > quotes.now else None)
            return
        prices = (*part.prices, price)
        done = len(prices) == len(order.legs)
        net = sum(n * p for (_, n), p in zip(order.legs, prices, strict=True)) if done else 0
        order.legging = None if done else replace(part, prices=prices, due=quotes.now + LEG)
        self._fill(order, Fill([(contract, signed, price)], part.lots if done else 0, net, adds=True), quotes)
        if order.lives:
            self._sleep(order, order.legging.due if order.legging else None)

    def _fill(self, order: Order, fill: Fill, quotes: Quotes) -> None:
        for contract, signed, _ in fill.legs:
            self.displayed.use(contract.con_id, quotes[contract.con_id], signed)
        before = order.remaining
        executions = self.fills.book(order, fill, quotes.now)
        order.turns += 1
        order.ready_since = quotes.now if order.lives and fill.adds else None
        if not order.lives:
            self.book.drop(order)
        self.witness.order_filled(order, executions)
        if fill.lots:
            self._queue.extend(self.book.children(order))
            if order.request.oca_type == groups.REDUCE_WITHOUT_BLOCK:
                self._unheard.append((order, fill.lots, before))
            else:
                self._reduce_others(order, fill.lots, before, quotes.now)

    # -- ending ---------------------------------------------------------------------------------------

    def _reduce_others(self, order: Order, filled: int, before: int, now: datetime) -> None:
        """What a fill of `filled` of `before` remaining units does to the rest of the OCA group."""
        for other in self.book.siblings(order):
            left = groups.reduced(other.remaining, filled, before)
            if order.request.oca_type == groups.CANCEL or left == 0:
                self.end(other, now, "")
            elif left < other.remaining:
                self._shrink(other, other.remaining - left)

    def _shrink(self, order: Order, lots: int) -> None:
        """Takes `lots` off an order, but none that are under way."""
        lots = min(lots, order.remaining - order.under_way)
        order.request = replace(order.request, quantity=order.request.quantity - lots)
        order.reduced += lots
        self.witness.order_changed(order)

    def cancel(self, order: Order, now: datetime) -> None:
        """At its owner's wish; the rest of its OCA group goes with it."""
        others = self.book.siblings(order)
        self.end(order, now, "")
        for other in others:
            if other.lives:
                self.end(other, now, "")

    def end(self, order: Order, now: datetime, reason: str) -> None:
        """Takes an order from the market, and its children as far as it has not filled."""
        order.outcome = reason or "Cancelled by Trader"
        self._close(order, Status.CANCELLED, now)
        self.witness.order_cancelled(order, reason)
        self._orphan(order, now)

    def refuse(self, order: Order, refusal: OrderRefused, now: datetime) -> None:
        """The account cannot carry an order that was taken before."""
        order.outcome = refusal.text
        self._close(order, Status.INACTIVE, now)
        self.witness.order_refused(order, refusal)
        self._orphan(order, now)

    def _close(self, order: Order, status: Status, now: datetime) -> None:
        order.status, order.done, order.legging, order.ready_since = status, now, None, None
        self.book.drop(order)

    def _orphan(self, parent: Order, now: datetime) -> None:
        """The children keep what the parent has filled for them; those for whom it filled nothing end."""
        for child in self.book.children(parent):
            share = groups.share_of(child, parent)
            if share <= child.filled:
                self.end(child, now, "its parent has ended")
            elif share < child.request.quantity:
                self._shrink(child, child.request.quantity - share)

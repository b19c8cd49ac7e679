"""The exchange: the book of orders, their life from placing to their end, and the paper account behind them.

It knows nothing of sockets. What happens is told to a `Witness`, each fill only after the account, the
book and the executions hold it. How orders fill is the business of `floor` and `matching`.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from broker.gateway.errors import OrderRefused, rejection
from broker.gateway.exchange import groups, order_rules
from broker.gateway.exchange.account import Account, Execution
from broker.gateway.exchange.commission import Trade, order_commission_usd
from broker.gateway.exchange.credit import only_closes, refuse_beyond_means, trades_of, with_trades
from broker.gateway.exchange.fills import Fills
from broker.gateway.exchange.floor import Floor, Quotes, Witness
from broker.gateway.exchange.matching import terms_of
from broker.gateway.exchange.order import Legs, Order, Status
from broker.gateway.exchange.order_book import OrderBook
from broker.gateway.exchange.settlement import Settlement
from broker.gateway.exchange.time_in_force import lifetime, trades_extended
from broker.gateway.exchange.values import Values, account_values
from broker.gateway.markets.market import Market
from broker.gateway.markets.quotes import Quote
from broker.gateway.protocol.order_request import OrderRequest
from options import NEW_YORK, ConId, hours

FIRST_PERM_ID = 1_100_000_000
IGNORED_RTH = (
    "Order Event Warning:Attribute 'Outside Regular Trading Hours' is ignored based on the order type and"
    " destination. PlaceOrder is now being processed."
)


class Exchange:
    """See the module. All chance comes from `seed`.

    For faults: `hold_fills` keeps every order from filling, `distort` makes another quote of the market's,
    `object_to` says why an order is refused, or None.
    """

    def __init__(self, market: Market, account: Account, witness: Witness, seed: int = 1) -> None:
        self.market = market
        self.account = account
        self.witness = witness
        self.settlement = Settlement(market, account, seed)
        self.book = OrderBook()
        self.fills = Fills(account)
        self.floor = Floor(self.book, self.fills, witness, self._afford, seed)
        self.next_perm_id = FIRST_PERM_ID
        self.distort: Callable[[ConId, Quote], Quote] | None = None
        self.object_to: Callable[[OrderRequest], OrderRefused | None] | None = None

    @property
    def orders(self) -> dict[tuple[int, int], Order]:
        """Every order by (client id, order id)."""
        return self.book.orders

    @property
    def executions(self) -> list[Execution]:
        return self.fills.executions

    @property
    def hold_fills(self) -> bool:
        """While it is set no order fills."""
        return self.floor.hold_fills

    @hold_fills.setter
    def hold_fills(self, on: bool) -> None:
        self.floor.hold_fills = on
        for order in self.book.living():
            self.book.wake(order, order.placed)

    def quotes(self, con_ids: Iterable[ConId], now: datetime) -> dict[ConId, Quote]:
        """The market's current quotes, or what a fault makes of them."""
        found = self.market.quotes(list(con_ids), now)
        if self.distort is None:
            return found
        return {con_id: self.distort(con_id, quote) for con_id, quote in found.items()}

    def working(self) -> list[Order]:
        """The living orders that have been transmitted, the oldest first."""
        return [order for order in self.book.living() if order.works]

    def working_con_ids(self) -> Collection[ConId]:
        return self.book.watched()

    def next_order_id(self, client_id: int) -> int:
        """One above every order id that the client has used."""
        return self.book.highest_id(client_id) + 1

    def next_id_by_hand(self) -> int:
        """One below every order id that an order placed by hand has."""
        return self.book.lowest_id - 1

    def take_perm_id(self) -> int:
        """The next permanent id, which nobody gets again."""
        self.next_perm_id += 1
        return self.next_perm_id - 1

    # -- the account ----------------------------------------------------------------------------------

    def values(self, now: datetime, trades: Sequence[Trade] = ()) -> Values:
        """The account's values, as if these trades had been made."""
        account = with_trades(self.account, trades) if trades else self.account
        held = [con_id for con_id, holding in account.holdings.items() if holding.quantity]
        shares = {c.con_id: c.symbol for c in self.market.listings.underlyings}
        marks = self.market.marks([*held, *shares], now)
        spots = {symbol: marks[con_id] for con_id, symbol in shares.items() if con_id in marks}
        return account_values(account, marks, spots)

    def _trades(self, quantity: int, legs: Legs, now: datetime) -> list[Trade]:
        """What the account would trade if `quantity` units filled now."""
        con_ids = [contract.con_id for contract, _ in legs]
        terms = terms_of(legs, self.quotes(con_ids, now))
        return trades_of(quantity, legs, terms, self.market.marks(con_ids, now))

    def _check_credit(self, quantity: int, legs: Legs, now: datetime) -> None:
        trades = self._trades(quantity, legs, now)
        closes = only_closes(self.account, trades)
        refuse_beyond_means(self.values(now), self.values(now, trades), closes=closes)

    def _afford(self, order: Order, now: datetime) -> None:
        self._check_credit(order.remaining, order.legs, now)

    # -- orders ---------------------------------------------------------------------------------------

    def check(self, request: OrderRequest, now: datetime) -> Legs:
        """The legs that the order would trade; raises OrderRefused."""
        if self.object_to and (refusal := self.object_to(request)):
            raise refusal
        legs = order_rules.legs_of(request, self.market.listings)
        order_rules.check(request, legs, self.account.account_id, now)
        return legs

    def what_if(self, request: OrderRequest, now: datetime) -> tuple[Values, Values, float]:
        """Values before and after the order's fill at the natural price, and its commission."""
        if not request.transmit:
            raise OrderRefused(413, "What-if order should have the transmit flag set to true.")
        trades = self._trades(request.quantity, self.check(request, now), now)
        return self.values(now), self.values(now, trades), order_commission_usd(trades)

    def place(self, client_id: int, order_id: int, request: OrderRequest, now: datetime) -> None:
        """Takes a new order and fills it at once when it can; raises OrderRefused.

        An order with transmit=0 is held, until one of its bracket comes with transmit=1.
        """
        legs = self.check(request, now)
        parent = self._parent(client_id, request)
        request = groups.in_group(request, parent)
        self._check_group(request)
        life = lifetime(request, legs, now)
        if request.transmit and parent is None:
            self._check_credit(request.quantity, legs, now)
        order = Order(
            client_id,
            order_id,
            self.take_perm_id(),
            request,
            legs,
            placed=now,
            starts=life.starts,
            ends=life.ends,
        )
        self.book.add(order)
        if request.transmit:
            self._transmit(order, now)

    def _parent(self, client_id: int, request: OrderRequest) -> Order | None:
        if not request.parent_id:
            return None
        parent = self.orders.get((client_id, request.parent_id))
        if parent is None or not (parent.lives or parent.filled):
            raise OrderRefused(135, f"Can't find order with ID ={request.parent_id}")
        return parent

    def _check_group(self, request: OrderRequest) -> None:
        if any(groups.is_over(order) for order in self.book.group(request.oca_group)):
            raise rejection(f"the OCA group {request.oca_group} has begun to fill: name a new one")

    def _transmit(self, order: Order, now: datetime) -> None:
        """Sends an order and everything of its bracket that was held back."""
        root = order
        while (parent := self.book.parent(root)) is not None:
            root = parent
        family = [root]
        for member in family:
            family += self.book.children(member)
        sent = [member for member in family if member.status is Status.HELD]
        for member in sent:
            if member.lives:
                self._submit(member, now, checked=member is order)
        self._work(sent, now)

    def _submit(self, order: Order, now: datetime, *, checked: bool) -> None:
        """`checked`: whether the account is known to be able to carry an order without a parent."""
        life = lifetime(order.request, order.legs, now)
        order.starts, order.ends = life.starts, life.ends
        if not order.request.parent_id and not checked:
            try:
                self._afford(order, now)
            except OrderRefused as refusal:
                self.floor.refuse(order, refusal, now)
                return
        parent = self.book.parent(order)
        waits = (parent is not None and not parent.filled) or order.is_stop or bool(order.request.conditions)
        order.status = Status.PRE_SUBMITTED if waits or life.starts > now else Status.SUBMITTED
        self.witness.order_changed(order)
        if life.waits_for_opening:
            self.witness.order_warned(order, 399, _closed(order))
        if order.request.outside_rth and not trades_extended(order.request, order.legs):
            self.witness.order_warned(order, 2109, IGNORED_RTH)

    def modify(self, order: Order, request: OrderRequest, now: datetime) -> None:
        """Changes price, size or times of a living order; raises OrderRefused and leaves it as it is."""
        if order.status is Status.FILLED:
            raise OrderRefused(104, "Cannot modify a filled order.")
        if not order.lives:
            raise OrderRefused(103, "Duplicate order id")
        legs = self.check(request, now)
        parent = self.book.parent(order)
        request = groups.kept(request, order.request)
        order_rules.check_change(order, request, legs)
        life = lifetime(request, legs, now)
        if request.transmit and (parent is None or order.activated):
            self._check_credit(request.quantity - order.filled, legs, now)
        self.book.change(order, request)
        order.starts, order.ends = life.starts, life.ends
        order.ready_since = None
        order.turns += 1
        if order.status is not Status.HELD:
            self.witness.order_changed(order)
            self._work([order], now)
        elif request.transmit:
            self._transmit(order, now)

    def cancel(self, order: Order, now: datetime) -> None:
        """At its owner's wish; the rest of its OCA group goes with it."""
        self.floor.cancel(order, now)

    def cancel_all(self, now: datetime) -> None:
        """Every order of every client, also those held back."""
        for order in self.book.living():
            if order.lives:
                self.cancel(order, now)

    def forget_since(self, since: datetime) -> None:
        """Loses the living orders that were placed from `since` on and have not traded at all, as if they
        had never arrived; their ids are free again."""
        for order in self.book.living():
            if order.placed >= since and not order.has_traded:
                self.book.forget(order)

    # -- time -----------------------------------------------------------------------------------------

    def next_event(self) -> datetime | None:
        """When something next happens to an order by itself."""
        return self.book.next_alarm()

    def pass_time(self, now: datetime, changed: Collection[ConId] = ()) -> None:
        """Settles what has expired, then looks at the orders whose time has come or whose contracts are among
        those that were quoted anew, `changed`."""
        self.floor.displayed.renew(changed)
        self._settle(now)
        self._work(self.book.concerned(changed, now), now)

    def _work(self, orders: list[Order], now: datetime) -> None:
        if orders:
            quotes = Quotes(now, lambda con_ids: self.quotes(con_ids, now))
            quotes.fetch(sorted({contract.con_id for order in orders for contract, _ in order.legs}))
            self.floor.work(orders, quotes)

    def _settle(self, now: datetime) -> None:
        """Settles what is due and ends the orders for what has expired."""
        closes = now >= self.settlement.next_moment
        events = self.settlement.pass_time(now)
        for order in self.book.living() if closes else ():
            if order.lives and any(c.expiry and hours.closing(c.expiry) <= now for c, _ in order.legs):
                self.floor.end(order, now, "the option has expired")
        if events:
            self.witness.holdings_changed(sorted({con_id for event in events for con_id in event.con_ids}))

    def exercise(
        self, con_id: ConId, quantity: int, lapse: bool, override: bool, account: str, now: datetime
    ) -> None:
        """Takes a wish for the next close: to exercise, or (`lapse`) not to; raises OrderRefused."""
        if account not in ("", self.account.account_id):
            raise rejection(f"account {account} is not {self.account.account_id}")
        self.settlement.instruct(con_id, quantity, lapse, override, now)

    def restore(self, orders: Iterable[Order], executions: Iterable[Execution]) -> None:
        """Gives an exchange that was stopped its books back; every order is looked at first of all."""
        for execution in executions:
            self.fills.restore(execution)
        for order in orders:
            self.book.add(replace(order, wakes=order.placed))


def _closed(order: Order) -> str:
    """What a real gateway says of an order that must wait for the opening."""
    request = order.request
    what = request.contract.symbol if request.is_combo else order.legs[0][0].label
    opens = f"{order.starts.astimezone(NEW_YORK):%Y-%m-%d %H:%M:%S} US/Eastern"
    return (
        f"Order Message:\n{request.action} {request.quantity} {what}\n"
        f"Warning: your order will not be placed at the exchange until {opens}"
    )

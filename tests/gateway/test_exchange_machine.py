"""What must hold whatever is ordered, in whatever order, and however prices move and time passes."""

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from broker.gateway.errors import OrderRefused
from broker.gateway.exchange.order import ENDS, Status
from tests.gateway.books import Books

cents = st.integers(1, 400).map(lambda n: n / 100)
limits = st.integers(-300, 300).map(lambda n: n / 100)
sizes = st.integers(0, 12)
actions = st.sampled_from(["BUY", "SELL"])
quantities = st.integers(1, 12)
legs = st.lists(st.integers(-2, 2), min_size=4, max_size=4).filter(
    lambda amounts: sum(map(bool, amounts)) > 1
)
tifs = st.sampled_from(["DAY", "DAY", "GTC", "IOC", "FOK"])
types = st.sampled_from(["LMT", "LMT", "MKT", "STP", "STP LMT"])
OCA_LOTS = 6


class Trading(RuleBasedStateMachine):
    """One client, one chain, every kind of order. `story` is what was done, to do it again at the end."""

    def __init__(self):
        super().__init__()
        self.books = Books(seed=5)
        self.story = []
        self.last_id = 0
        self.ended = {}
        self.do("quote_all")

    def do(self, verb, *details, **terms):
        """One step of the story; whether the exchange took it."""
        self.story.append((verb, details, terms))
        return act(self.books, verb, details, terms)

    def new_id(self):
        self.last_id += 1
        return self.last_id

    def changed(self, orders):
        """Whether the size of one of these orders may have been changed by its owner."""
        changed = {details[0] for verb, details, _ in self.story if verb == "change"}
        return any(order.order_id in changed for order in orders)

    def living(self):
        return [order for order in self.books.exchange.orders.values() if order.lives]

    # -- what may happen ------------------------------------------------------------------------------

    @rule(which=st.integers(0, 3), bid=cents, ask=cents, bid_size=sizes, ask_size=sizes)
    def a_quote(self, which, bid, ask, bid_size, ask_size):
        bid, ask = sorted((bid, ask)) if bid_size else (bid, ask)
        self.do("quote", which, bid, ask, bid_size=bid_size, ask_size=ask_size)

    @rule(which=st.integers(0, 3))
    def no_quote(self, which):
        self.do("quote", which)

    @rule(seconds=st.sampled_from([1, 2, 5, 60, 1800, 40_000]))
    def time_passes(self, seconds):
        self.do("step", seconds)

    @rule(
        which=st.integers(0, 3), action=actions, quantity=quantities, limit=cents, tif=tifs, order_type=types
    )
    def a_single(self, which, action, quantity, limit, tif, order_type):
        limited = limit if "LMT" in order_type else None
        stop = {"aux_price": limit} if "STP" in order_type else {}
        terms = {"tif": tif, "order_type": order_type, **stop}
        self.do("send", self.new_id(), which, action, quantity, limited, **terms)

    @rule(
        amounts=legs,
        action=actions,
        quantity=quantities,
        limit=limits,
        tif=tifs,
        guaranteed=st.integers(0, 3).map(bool),
        whole=st.booleans(),
    )
    def a_combo(self, amounts, action, quantity, limit, tif, guaranteed, whole):
        routing = () if guaranteed else (("NonGuaranteed", "1"),)
        terms = {"tif": tif, "routing": routing, "all_or_none": whole}
        self.do("send", self.new_id(), amounts, action, quantity, limit, **terms)

    @rule(
        which=st.integers(0, 3),
        quantity=quantities,
        limit=cents,
        profit=cents,
        stop=cents,
        sent=st.booleans(),
    )
    def a_bracket(self, which, quantity, limit, profit, stop, sent):
        parent, first, second = self.new_id(), self.new_id(), self.new_id()
        child = {"parent_id": parent}
        self.do("send", parent, which, "BUY", quantity, limit, transmit=False)
        self.do("send", first, which, "SELL", quantity, profit, transmit=False, **child)
        stop_terms = {"order_type": "STP", "aux_price": stop, "transmit": sent}
        self.do("send", second, which, "SELL", quantity, None, **child, **stop_terms)

    @rule(kind=st.sampled_from([1, 2, 3]), prices=st.tuples(cents, cents, cents))
    def a_group(self, kind, prices):
        name = f"group {self.last_id}"
        for which, limit in enumerate(prices):
            terms = {"oca_group": name, "oca_type": kind}
            self.do("send", self.new_id(), which, "BUY", OCA_LOTS, limit, **terms)

    @precondition(lambda self: self.living())
    @rule(which=st.integers(0, 50), limit=limits, quantity=quantities)
    def a_change(self, which, limit, quantity):
        living = self.living()
        self.do("change", living[which % len(living)].order_id, limit, quantity)

    @precondition(lambda self: self.living())
    @rule(which=st.integers(0, 50))
    def a_cancel(self, which):
        living = self.living()
        self.do("cancel", living[which % len(living)].order_id)

    @rule()
    def a_global_cancel(self):
        self.do("cancel_all")

    # -- what must hold -------------------------------------------------------------------------------

    @invariant()
    def the_books_agree(self):
        self.books.check()

    @invariant()
    def filled_and_remaining_are_the_quantity(self):
        for order in self.books.exchange.orders.values():
            own = [e for e in self.books.exchange.executions if e.perm_id == order.perm_id]
            whole = [e for e in own if e.contract is None] if order.request.is_combo else own
            assert order.filled == sum(abs(e.quantity) for e in whole)
            assert order.filled + order.remaining == order.request.quantity
            assert order.remaining >= 0
            assert (order.remaining == 0) == (order.status is Status.FILLED)

    @invariant()
    def combos_trade_in_whole_units(self):
        for order in self.books.exchange.orders.values():
            for contract, amount in order.legs:
                own = [e for e in self.books.exchange.executions if e.perm_id == order.perm_id]
                traded = sum(e.quantity for e in own if e.contract == contract)
                spare = traded - amount * order.filled
                assert spare == 0 or order.is_legged
                assert spare * amount >= 0

    @invariant()
    def nothing_both_lives_and_is_done(self):
        working = self.books.exchange.working()
        for number, order in self.books.exchange.orders.items():
            assert order.lives == (order.done is None) == (order.status not in ENDS)
            assert (order in working) == (order.lives and order.status is not Status.HELD)
            if number in self.ended:
                assert (order.status, order.filled) == self.ended[number], "what has ended stays as it is"
            if not order.lives:
                self.ended[number] = (order.status, order.filled)

    @invariant()
    def held_orders_have_not_traded(self):
        traded = {e.perm_id for e in self.books.exchange.executions}
        for order in self.books.exchange.orders.values():
            assert order.status is not Status.HELD or order.perm_id not in traded
            assert order.request.tif not in ("IOC", "FOK") or not order.lives, "what may not wait is over"

    @invariant()
    def a_child_never_trades_before_or_beyond_its_parent(self):
        orders = self.books.exchange.orders
        for order in orders.values():
            if order.request.parent_id and order.filled:
                parent = orders[1, order.request.parent_id]
                assert order.filled <= parent.filled or self.changed([order, parent])
                first = [
                    next(e.time for e in self.books.exchange.executions if e.perm_id == perm_id)
                    for perm_id in (parent.perm_id, order.perm_id)
                ]
                assert first[0] <= first[1]

    @invariant()
    def groups_with_block_never_overfill(self):
        groups = {}
        for order in self.books.exchange.orders.values():
            if order.request.oca_type in (1, 2) and order.request.oca_group:
                groups.setdefault(order.request.oca_group, []).append(order)
        for members in groups.values():
            assert sum(order.filled for order in members) <= OCA_LOTS or self.changed(members)

    @invariant()
    def the_next_event_is_still_to_come(self):
        event = self.books.exchange.next_event()
        assert event is None or event > self.books.now - timedelta(seconds=1)

    def teardown(self):
        """The same story told again ends in the same executions."""
        again = Books(seed=5)
        for verb, details, terms in self.story:
            act(again, verb, details, terms)
        assert again.exchange.executions == self.books.exchange.executions
        assert again.news == self.books.news


def act(books, verb, details, terms):
    """Does one thing; a refused order must leave no trace."""
    match verb:
        case "quote":
            which, *sides = details
            books.quote(books.options[which], *sides, **terms)
        case "send":
            order_id, what, *rest = details
            wanted = books.options[what] if isinstance(what, int) else _combo(books, what)
            try:
                books.send(order_id, wanted, *rest, **terms)
            except OrderRefused:
                assert (1, order_id) not in books.exchange.orders
        case "change":
            _change(books, *details)
        case "cancel_all":
            books.exchange.cancel_all(books.now)
        case _:
            getattr(books, verb)(*details, **terms)


def _combo(books, amounts):
    return [(contract, n) for contract, n in zip(books.options, amounts, strict=True) if n]


def _change(books, order_id, limit, quantity):
    """Another limit and size for an order; a refused change must leave it as it is."""
    order = books.order(order_id)
    known = order.request
    what = [(c, n * known.sign) for c, n in order.legs] if known.is_combo else order.legs[0][0]
    kept = {name: getattr(known, name) for name in ("order_type", "tif", "aux_price", "parent_id", "routing")}
    limited = limit if "LMT" in known.order_type else None
    try:
        books.send(order_id, what, known.action, quantity, limited, **kept)
    except OrderRefused:
        assert order.request == known


Trading.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_trading_keeps_its_promises = Trading.TestCase

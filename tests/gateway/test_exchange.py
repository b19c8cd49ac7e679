"""What must hold whatever is ordered and however prices move."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.gateway.account import Account
from broker.gateway.exchange import Exchange, OrderRefused
from broker.gateway.listings import Query
from broker.gateway.matching import Terms, leg_prices
from broker.gateway.order_request import ComboLeg, OrderRequest
from broker.gateway.script import DEFAULT_START, ScriptMarket
from options.hours import closing

STRIKES = (90.0, 95.0, 105.0, 110.0)
DEPOSIT = 1_000_000.0


class Ledger:
    """A witness that checks every fill against the quotes of that very moment."""

    def __init__(self):
        self.exchange = None
        self.now = DEFAULT_START
        self.changes = []

    def order_changed(self, order):
        self.changes.append((order.order_id, str(order.status)))

    def order_warned(self, order, code, text):
        self.changes.append((order.order_id, code))

    def order_refused(self, order, refusal):
        self.changes.append((order.order_id, refusal.code))

    def order_cancelled(self, order, reason):
        self.changes.append((order.order_id, "Cancelled"))

    def holdings_changed(self, con_ids):
        self.changes.append((0, "Expired"))

    def order_filled(self, order, executions):
        legs = [e for e in executions if e.contract]
        quotes = self.exchange.quotes([e.contract.con_id for e in legs], self.now)
        for execution in legs:
            bid, ask = quotes[execution.contract.con_id].two_sided
            assert bid - 1e-9 <= execution.price <= ask + 1e-9
        whole = executions[0]
        net = sum(e.quantity * e.price for e in legs) / whole.quantity
        assert net == pytest.approx(whole.price if order.request.is_combo else net, abs=1e-9)
        if order.request.limit_price is not None:
            assert (whole.price - order.request.limit_price) * order.request.sign <= 1e-9
        self.changes.append((order.order_id, "Filled"))


def exchange():
    market = ScriptMarket()
    contracts = [
        market.add({"symbol": "XYZ", "expiry": "2026-04-17", "strike": k, "right": "P" if k < 100 else "C"})
        for k in STRIKES
    ]
    ledger = Ledger()
    ledger.exchange = Exchange(market, Account.open("DU1", DEPOSIT, []), ledger)
    return ledger, contracts


def query(contract=None):
    con_id = contract.con_id if contract else 0
    kind = "OPT" if contract else "BAG"
    return Query(con_id, "XYZ", kind, "", 0.0, "", "", "SMART", "", "USD", "", "")


def request(contracts, signs, action, quantity, order_type, limit, ratios):
    legs = tuple(
        ComboLeg(c.con_id, ratio, "BUY" if sign > 0 else "SELL", "SMART")
        for c, sign, ratio in zip(contracts, signs, ratios, strict=True)
        if sign
    )
    single = len(legs) == 1
    chosen = next(c for c in contracts if c.con_id == legs[0].con_id)
    return OrderRequest(
        contract=query(chosen) if single else query(),
        legs=() if single else legs,
        action=action,
        quantity=quantity,
        order_type=order_type,
        limit_price=limit if order_type == "LMT" else None,
    )


cents = st.integers(1, 400).map(lambda n: n / 100)
sides = st.one_of(st.none(), st.tuples(cents, cents).map(sorted))
orders = st.tuples(
    st.just("order"),
    st.lists(st.sampled_from([-1, 0, 1]), min_size=4, max_size=4).filter(any),
    st.sampled_from(["BUY", "SELL"]),
    st.integers(1, 5),
    st.sampled_from(["LMT", "MKT"]),
    st.integers(-600, 600).map(lambda n: n / 100),
    st.lists(st.integers(1, 3), min_size=4, max_size=4),
)
actions = st.one_of(
    st.tuples(st.just("quote"), st.integers(0, 3), sides),
    orders,
    st.tuples(st.just("time"), st.integers(1, 5)),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(actions, min_size=5, max_size=40))
def test_money_and_positions_are_conserved_whatever_happens(story):
    ledger, contracts = exchange()
    traded = ledger.exchange
    for contract in contracts:
        traded.market.set({"con_id": contract.con_id, "bid": 1.0, "ask": 1.1})
    for number, (kind, *rest) in enumerate(story, 1):
        if kind == "quote":
            which, quote = rest
            bid, ask = quote or (None, None)
            traded.market.set({"con_id": contracts[which].con_id, "bid": bid, "ask": ask})
        elif kind == "order":
            try:
                traded.place(1, number, request(contracts, *rest), ledger.now)
            except OrderRefused:
                assert (1, number) not in traded.orders
        elif kind == "time":
            ledger.now += timedelta(seconds=rest[0])
        elif working := traded.working():
            traded.cancel(working[rest[0] % len(working)], ledger.now)
        traded.pass_time(ledger.now)
    check_books(traded)


def check_books(traded):
    account = traded.account
    legs = [e for e in traded.executions if e.contract]
    for holding in account.holdings.values():
        assert holding.quantity == sum(
            e.quantity for e in legs if e.contract.con_id == holding.contract.con_id
        )
    flow = sum(-e.quantity * e.price * 100 - e.commission_usd for e in legs)
    assert account.cash_usd == pytest.approx(DEPOSIT + flow, abs=1e-6)
    cost = sum(h.quantity * h.average_cost for h in account.holdings.values())
    assert account.cash_usd + cost == pytest.approx(DEPOSIT + account.realized_usd, abs=1e-6)
    assert account.realized_usd == pytest.approx(sum(e.realized_usd or 0 for e in legs), abs=1e-6)
    assert len({e.exec_id for e in traded.executions}) == len(traded.executions)
    for perm_id in {e.perm_id for e in legs}:
        filled = [e for e in legs if e.perm_id == perm_id]
        published = [0.25 if e.price < 0.05 else 0.5 if e.price < 0.1 else 0.65 for e in filled]
        due = sum(rate * abs(e.quantity) for rate, e in zip(published, filled, strict=True))
        assert sum(e.commission_usd for e in filled) == pytest.approx(max(1.0, due))


@given(
    st.lists(
        st.tuples(st.integers(1, 50), st.integers(0, 60), st.sampled_from([-3, -2, -1, 1, 2, 3])),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 1000),
)
def test_leg_prices_add_up_and_stay_within_the_quotes(sides, share):
    bids_asks = tuple((bid * 100, (bid + width) * 100) for bid, width, _ in sides)
    amounts = [amount for _, _, amount in sides]
    natural = sum(a * (ask if a > 0 else bid) for (bid, ask), a in zip(bids_asks, amounts, strict=True))
    opposite = sum(a * (bid if a > 0 else ask) for (bid, ask), a in zip(bids_asks, amounts, strict=True))
    cost = natural - (natural - opposite) * share // 1000
    _, contracts = exchange()
    legs = list(zip(contracts, amounts, strict=False))
    prices = leg_prices(legs, Terms(natural, opposite, bids_asks), cost)
    for (bid, ask), price in zip(bids_asks, prices, strict=True):
        assert bid <= price <= ask
    net = sum(a * p for a, p in zip(amounts, prices, strict=True))
    assert cost - 3 <= net <= cost
    if 1 in map(abs, amounts) and all(ask > bid for bid, ask in bids_asks):
        assert net == cost or share in (0, 1000) or max(map(abs, amounts)) > 1


def test_a_position_that_turns_around_realizes_only_what_it_closed():
    ledger, contracts = exchange()
    account = ledger.exchange.account
    contract = contracts[0]
    assert account.book(contract, 2, 1.00, 1.30) is None
    assert account.book(contract, -5, 1.50, 3.25) == pytest.approx(2 * (150 - 0.65 - 100 - 0.65))
    held = account.holdings[contract.con_id]
    assert (held.quantity, held.average_cost) == (-3, pytest.approx(150 - 0.65))
    cost = sum(h.quantity * h.average_cost for h in account.holdings.values())
    assert account.cash_usd + cost == pytest.approx(DEPOSIT + account.realized_usd)


def test_a_defined_risk_structure_needs_what_it_can_lose_and_a_naked_short_more():
    ledger, (put_wing, put, _, call_wing) = exchange()
    traded = ledger.exchange
    for contract in (put_wing, put, call_wing):
        traded.market.set({"con_id": contract.con_id, "bid": 1.0, "ask": 1.0})
    traded.account.book(put_wing, 2, 1.0, 0.0)
    traded.account.book(put, -2, 2.0, 0.0)
    assert traded.values(DEFAULT_START).initial_margin == pytest.approx(1000)
    traded.account.book(call_wing, -1, 1.0, 0.0)
    # One put stays in its spread (500); the other one and the call are a strangle: the call's naked
    # requirement, with its strike standing in for the price, and the put's mark.
    assert traded.values(DEFAULT_START).initial_margin == pytest.approx(500 + 100 * (1.0 + 0.2 * 110 + 1.0))


def test_expired_options_wait_for_a_price_and_then_become_shares_or_nothing():
    ledger, (_, put, call, _) = exchange()
    traded = ledger.exchange
    traded.account.book(put, -1, 2.0, 0.0)
    traded.account.book(call, 1, 2.0, 0.0)
    after = closing(put.expiry)
    traded.pass_time(after - timedelta(seconds=1))
    traded.pass_time(after)
    assert ledger.changes == []
    traded.market.set({"symbol": "XYZ", "bid": 92.0, "ask": 92.0})
    traded.pass_time(after + timedelta(seconds=1))
    assert ledger.changes == [(0, "Expired")]
    assert [h.quantity for h in traded.account.holdings.values()] == [0, 0, 100]
    assert traded.account.cash_usd == pytest.approx(DEPOSIT - 9500)

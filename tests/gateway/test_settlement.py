"""Expiry, exercise, assignment and dividends: who gets what, when, and that no money is made by it."""

from collections import Counter
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.gateway.errors import OrderRefused
from broker.gateway.exchange.account import Account
from broker.gateway.exchange.exercise import Night, after_hours_price, assigned_early, exercised_at_expiry
from broker.gateway.exchange.settlement import Kind, Settlement
from broker.gateway.markets.listings import option
from broker.gateway.markets.script import ScriptMarket
from options import NEW_YORK, Right
from options.hours import closing

EXPIRY = date(2026, 4, 17)
EVE = date(2026, 3, 19)
DEPOSIT = 100_000.0


class Desk:
    """A script market, an account and its settlement, with options on XYZ that expire on `EXPIRY`."""

    def __init__(self, symbol="XYZ", seed=1):
        self.market = ScriptMarket()
        self.symbol = symbol
        self.share = self.market.add({"symbol": symbol})
        self.account = Account.open("DU1", DEPOSIT, [])
        self.settlement = Settlement(self.market, self.account, seed)

    def hold(self, right, strike, quantity, price, symbol=None):
        terms = {
            "symbol": symbol or self.symbol,
            "expiry": EXPIRY.isoformat(),
            "strike": strike,
            "right": right,
        }
        contract = self.market.add(terms)
        self.account.book(contract, quantity, price, 0.0)
        return contract

    def price(self, spot):
        self.market.set({"symbol": self.symbol, "last": spot})

    def expire(self, spot):
        self.price(spot)
        return self.settlement.pass_time(closing(EXPIRY))

    def holdings(self):
        held = self.account.holdings.values()
        return {h.contract.label: (h.quantity, h.average_cost) for h in held if h.quantity}

    def imbalance(self):
        """What cash and holdings at cost have more than was paid in, realized and received: 0."""
        account = self.account
        cost = sum(h.quantity * h.average_cost for h in account.holdings.values())
        return account.cash_usd + cost - DEPOSIT - account.realized_usd - account.dividends_usd


def midnight(day):
    return datetime.combine(day, datetime.min.time(), NEW_YORK)


@pytest.mark.parametrize(
    ("right", "quantity", "spot", "kind", "shares", "cost"),
    [
        ("C", 2, 110.0, Kind.EXERCISED, 200, 103.0),
        ("C", -2, 110.0, Kind.ASSIGNED, -200, 103.0),
        ("P", 2, 90.0, Kind.EXERCISED, -200, 97.0),
        ("P", -2, 90.0, Kind.ASSIGNED, 200, 97.0),
    ],
)
def test_options_in_the_money_become_shares_whose_cost_carries_the_premium(
    right, quantity, spot, kind, shares, cost
):
    desk = Desk()
    desk.hold(right, 100.0, quantity, 3.0)
    (event,) = desk.expire(spot)
    assert (event.kind, event.quantity, event.shares, event.realized_usd) == (kind, -quantity, shares, 0.0)
    assert event.cash_usd == -shares * 100.0
    assert desk.holdings() == {"XYZ": (shares, pytest.approx(cost))}
    assert desk.account.realized_usd == 0.0
    assert desk.imbalance() == pytest.approx(0.0, abs=1e-6)


def test_options_out_of_the_money_vanish_and_realize_their_premium():
    desk = Desk()
    desk.hold("C", 100.0, -2, 3.0)
    desk.hold("P", 90.0, 1, 1.0)
    assert [event.kind for event in desk.expire(95.0)] == [Kind.EXPIRED] * 2
    assert desk.holdings() == {}
    assert desk.account.realized_usd == pytest.approx(600 - 100)


def test_index_options_settle_in_cash():
    desk = Desk("VIX")
    desk.hold("C", 20.0, -3, 1.5)
    (event,) = desk.expire(22.5)
    assert (event.kind, event.share, event.cash_usd) == (Kind.CASH_SETTLED, None, pytest.approx(-750))
    assert desk.account.realized_usd == pytest.approx(450 - 750)
    assert desk.imbalance() == pytest.approx(0.0, abs=1e-6)


def test_shares_called_away_realize_the_wheel_s_profit():
    desk = Desk()
    desk.price(100.0)
    desk.account.book(desk.share, 100, 95.0, 1.0)
    desk.hold("C", 105.0, -1, 2.0)
    (event,) = desk.expire(120.0)
    assert event.realized_usd == pytest.approx(100 * (105 + 2 - 95) - 1.0)
    assert desk.holdings() == {}


@pytest.mark.parametrize(("spot", "shares"), [(100.00, 0), (100.009, 0), (100.01, 100), (99.0, 0)])
def test_a_bought_option_is_exercised_from_a_cent_in_the_money(spot, shares):
    desk = Desk()
    desk.hold("C", 100.0, 1, 3.0)
    desk.expire(spot)
    assert desk.holdings().get("XYZ", (0,))[0] == shares


def test_near_the_strike_some_short_contracts_are_assigned_and_some_are_not():
    contract = option("XYZ", EXPIRY, 100.0, Right.CALL)
    assigned = [exercised_at_expiry(contract, -10, 100.0, seed) for seed in range(200)]
    assert {0, 10} < set(assigned)
    assert any(0 < count < 10 for count in assigned)
    assert 800 < sum(assigned) < 1200
    assert any(exercised_at_expiry(contract, -10, 100.2, seed) < 10 for seed in range(200))
    assert any(exercised_at_expiry(contract, -10, 99.8, seed) > 0 for seed in range(200))
    for seed in range(200):
        late = after_hours_price("XYZ", EXPIRY, 100.0, seed)
        if abs(late - 100.0) > 0.2:
            assert assigned[seed] == (10 if late > 100 else 0)
        assert exercised_at_expiry(contract, -10, 100.6, seed) == 10
        assert exercised_at_expiry(contract, -10, 99.4, seed) == 0


def test_a_partial_assignment_leaves_nothing_behind():
    outcomes = Counter()
    for seed in range(40):
        desk = Desk(seed=seed)
        desk.hold("P", 100.0, -6, 1.0)
        events = desk.expire(100.0)
        assert sum(event.quantity for event in events) == 6
        assert not any("P" in label.split() for label in desk.holdings())
        assert desk.imbalance() == pytest.approx(0.0, abs=1e-6)
        outcomes[len(events)] += 1
    assert outcomes[2] > 3


def test_short_calls_are_assigned_on_the_eve_of_a_dividend_that_is_worth_more_than_their_time():
    contract = option("XYZ", EXPIRY, 90.0, Right.CALL)

    def assigned(bid, dividend, contracts=400):
        return assigned_early(contract, contracts, Night(EVE, 100.0, bid, dividend), seed=7)

    assert 160 < assigned(10.3, 0.5) < 240
    assert assigned(10.6, 0.5) == 0
    assert assigned(10.3, 0.0) == 0
    assert assigned_early(contract, 400, Night(EVE, 90.0, 0.1, 5.0), seed=7) == 0


def test_short_puts_are_assigned_early_only_deep_in_the_money_and_without_time_value():
    contract = option("XYZ", EXPIRY, 100.0, Right.PUT)

    def assigned(spot, bid, contracts=1000):
        return assigned_early(contract, contracts, Night(EVE, spot, bid, 0.0), seed=7)

    assert 60 < assigned(80.0, 19.9) < 140
    assert assigned(80.0, 20.9) == 0
    assert assigned(97.0, 3.0) == 0


def test_an_index_option_is_never_assigned_early():
    contract = option("VIX", EXPIRY, 100.0, Right.PUT)
    assert assigned_early(contract, 1000, Night(EVE, 50.0, 49.0, 0.0), seed=7) == 0


def test_the_eve_of_a_dividend_assigns_calls_and_the_day_itself_pays_who_holds_shares():
    desk = Desk()
    desk.account.book(desk.share, 300, 100.0, 0.0)
    call = desk.hold("C", 90.0, -20, 10.0)
    desk.market.announce({"symbol": "XYZ", "ex_date": "2026-03-20", "amount_usd": 0.75})
    desk.price(100.0)
    desk.market.set({"con_id": call.con_id, "bid": 10.1, "ask": 10.3})
    assert desk.settlement.pass_time(closing(EVE) - timedelta(seconds=1)) == []
    (assigned,) = desk.settlement.pass_time(closing(EVE))
    assert assigned.kind is Kind.ASSIGNED
    assert 0 < assigned.quantity < 20
    left = 300 - 100 * assigned.quantity
    assert assigned.shares == -100 * assigned.quantity
    (paid,) = desk.settlement.pass_time(midnight(date(2026, 3, 20)))
    assert (paid.kind, paid.cash_usd) == (Kind.DIVIDEND, pytest.approx(left * 0.75))
    assert desk.account.dividends_usd == pytest.approx(left * 0.75)
    assert desk.settlement.pass_time(midnight(date(2026, 3, 21))) == []
    assert desk.imbalance() == pytest.approx(0.0, abs=1e-6)


def test_a_requested_exercise_is_carried_out_at_the_close():
    desk = Desk()
    call = desk.hold("C", 90.0, 3, 10.0)
    desk.price(100.0)
    now = closing(EVE) - timedelta(hours=1)
    assert desk.settlement.pass_time(now) == []
    desk.settlement.instruct(call.con_id, 2, lapse=False, override=False, now=now)
    assert desk.settlement.pass_time(now + timedelta(minutes=59)) == []
    (event,) = desk.settlement.pass_time(closing(EVE))
    assert (event.kind, event.quantity, event.shares) == (Kind.EXERCISED, -2, 200)
    assert desk.holdings()["XYZ"] == (200, pytest.approx(100.0))
    assert desk.settlement.pass_time(closing(date(2026, 3, 20))) == []


def test_a_holder_may_let_an_option_in_the_money_lapse_and_exercise_one_out_of_it():
    desk = Desk()
    inside, outside = desk.hold("C", 90.0, 2, 10.0), desk.hold("P", 90.0, 1, 1.0)
    desk.price(100.0)
    now = closing(EXPIRY) - timedelta(hours=1)
    desk.settlement.pass_time(now)
    for contract, lapse in ((inside, True), (outside, False)):
        with pytest.raises(OrderRefused, match="override"):
            desk.settlement.instruct(contract.con_id, 1, lapse, override=False, now=now)
        desk.settlement.instruct(contract.con_id, 1, lapse, override=True, now=now)
    desk.settlement.pass_time(closing(EXPIRY))
    assert desk.holdings() == {}
    assert desk.account.cash_usd == pytest.approx(DEPOSIT - 2000 - 100)
    assert desk.account.realized_usd == pytest.approx(-1000 - (90 + 10 - (90 - 1)) * 100)


def test_a_wish_to_let_an_option_lapse_is_for_the_next_close_only():
    desk = Desk()
    call = desk.hold("C", 90.0, 1, 10.0)
    desk.price(100.0)
    now = closing(EVE) - timedelta(hours=1)
    desk.settlement.pass_time(now)
    desk.settlement.instruct(call.con_id, 1, lapse=True, override=True, now=now)
    assert desk.settlement.pass_time(closing(EVE)) == []
    assert [event.kind for event in desk.expire(100.0)] == [Kind.EXERCISED]


@pytest.mark.parametrize(
    ("quantity", "asked", "symbol", "says"),
    [
        (-1, 1, "XYZ", "no long position"),
        (2, 3, "XYZ", "3 is not between 1 and the 2"),
        (2, 0, "XYZ", "0 is not between 1 and the 2"),
        (2, 1, "VIX", "European"),
    ],
)
def test_a_senseless_wish_to_exercise_is_refused(quantity, asked, symbol, says):
    desk = Desk(symbol)
    held = desk.hold("C", 10.0, quantity, 3.0)
    desk.price(20.0)
    with pytest.raises(OrderRefused, match=says):
        desk.settlement.instruct(held.con_id, asked, lapse=False, override=True, now=closing(EVE))


holdings = st.lists(
    st.tuples(
        st.sampled_from(["C", "P"]),
        st.sampled_from([90.0, 95.0, 100.0, 105.0]),
        st.integers(-5, 5).filter(bool),
        st.integers(1, 2000).map(lambda cents: cents / 100),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=200, deadline=None)
@given(
    holdings,
    st.integers(-300, 300),
    st.integers(8500, 11000).map(lambda cents: cents / 100),
    st.integers(1, 9),
)
def test_settlement_itself_neither_makes_nor_loses_money(held, shares, spot, seed):
    """Away from the strikes, net liquidation at intrinsic value before is net liquidation after."""
    desk = Desk(seed=seed)
    desk.price(spot)
    if shares:
        desk.account.book(desk.share, shares, 97.0, 1.0)
    for right, strike, quantity, price in held:
        desk.hold(right, strike, quantity, price)
    worth = sum(
        leg.quantity * 100 * max((spot - leg.contract.strike) * (1 if leg.contract.right == "C" else -1), 0)
        for leg in desk.account.legs()
        if leg.contract.strike
    )
    before = desk.account.cash_usd + shares * spot + worth
    counted = {leg.contract.con_id: leg.quantity for leg in desk.account.legs()}
    events = desk.expire(spot)
    for event in events:
        counted[event.contract.con_id] += event.quantity
        if event.share is not None:
            counted[event.share] = counted.get(event.share, 0) + event.shares
    assert {con_id: n for con_id, n in counted.items() if n} == {
        leg.contract.con_id: leg.quantity for leg in desk.account.legs()
    }
    assert desk.imbalance() == pytest.approx(0.0, abs=1e-6)
    after = desk.account.cash_usd + spot * counted.get(desk.share.con_id, 0)
    nearest = min(abs(spot - strike) / strike for _, strike, _, _ in held)
    if nearest > 0.005:
        assert after == pytest.approx(before, abs=1e-6)

"""Requirements against published worked examples, and the laws that every margin rule must keep."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.gateway.exchange.margin import margin_of
from broker.gateway.markets.listings import option, underlying
from options import Leg, Right, UsdPerContract

APRIL, MAY = date(2026, 4, 17), date(2026, 5, 15)
CALL, PUT = Right.CALL, Right.PUT


def legs_of(holdings, symbol="XYZ"):
    """Legs and marks of (right or None for shares, strike, quantity, mark[, expiry])."""
    legs, marks = [], {}
    for right, strike, quantity, mark, *expiry in holdings:
        contract = (
            option(symbol, expiry[0] if expiry else APRIL, strike, right) if right else underlying(symbol)
        )
        legs.append(Leg(contract, quantity, UsdPerContract(mark * contract.multiplier)))
        marks[contract.con_id] = mark
    return legs, marks


def margins(holdings, spot, symbol="XYZ"):
    found = margin_of(*legs_of(holdings, symbol), {symbol: spot})
    return found.initial, found.maintenance


def premium(holdings):
    """USD received for the options (negative: paid)."""
    return -sum(quantity * mark * 100 for right, _, quantity, mark, *_ in holdings if right)


IBM = 97.73
SHARES = (None, 0.0, 10_000, IBM)
CALL_100, PUT_100 = (CALL, 100.0, -100, 1.68), (PUT, 100.0, -100, 3.18)
PUT_95, CALL_95 = (PUT, 95.0, 100, 1.02), (CALL, 95.0, 100, 4.53)
CALL_105 = (CALL, 105.0, -100, 0.40)


@pytest.mark.parametrize(
    ("holdings", "usd"),
    [
        ([CALL_100], 172_760),
        ([PUT_100], 195_460),
        ([SHARES, CALL_100], 471_850),
        ([SHARES, PUT_95], 498_850),
        ([(CALL, 100.0, 100, 1.68), PUT_100], 212_260),
        ([PUT_95, CALL_105], 132_960),
        ([SHARES, PUT_95, CALL_105], 494_850),
        ([CALL_95, CALL_105], 41_300),
    ],
)
def test_opening_takes_what_the_published_strategy_examples_say(holdings, usd):
    """Cboe, "Margin requirement examples for sample options-based positions": net of premium received."""
    assert margins(holdings, IBM)[0] - premium(holdings) == pytest.approx(usd)


@pytest.mark.parametrize(
    ("holdings", "spot", "usd"),
    [
        ([(PUT, 200.0, -1, 1.20)], 209.0, 3400),
        ([(PUT, 120.0, 1, 0.80), (PUT, 125.0, -1, 1.24)], 122.0, 500),
        ([(CALL, 47.0, -1, 2.10), (PUT, 43.0, -1, 1.20)], 45.0, 910 + 120),
        ([(PUT, 75.0, -3, 1.50), (PUT, 80.0, 6, 4.00), (PUT, 85.0, -3, 6.00)], 79.0, 1500),
        ([(CALL, 40.0, 4, 12.5), (CALL, 50.0, -8, 6.0), (CALL, 60.0, 4, 1.5)], 50.0, 0),
        (
            [(PUT, 160.0, 10, 1), (PUT, 170.0, -10, 2), (CALL, 180.0, -10, 2), (CALL, 190.0, 10, 1)],
            175.0,
            10_000,
        ),
    ],
)
def test_option_structures_need_what_brokers_publish(holdings, spot, usd):
    """Naked put, put spread, strangle, butterflies and a condor (Interactive Brokers' knowledge base)."""
    assert margins(holdings, spot) == (pytest.approx(usd), pytest.approx(usd))


@pytest.mark.parametrize(
    ("name", "holdings", "initial", "maintenance"),
    [
        ("long shares", [(None, 0, 100, 80.0)], 4000, 2000),
        ("short shares", [(None, 0, -100, 80.0)], 4000, 2400),
        ("cheap short shares", [(None, 0, -100, 2.0)], 250, 250),
        ("naked put far out of the money", [(PUT, 60.0, -1, 0.5)], 50 + 600, 50 + 600),
        ("naked call far out of the money", [(CALL, 120.0, -1, 0.5)], 50 + 800, 50 + 800),
        ("strangle with the riskier put", [(CALL, 100, -1, 2.0), (PUT, 75, -1, 1.0)], 100 + 1100 + 200, 1400),
        ("covered call in the money", [(None, 0, 100, 80.0), (CALL, 70.0, -1, 11.0)], 4500, 2750),
        ("protective put", [(None, 0, 100, 80.0), (PUT, 75.0, 1, 1.0)], 4000, 1250),
        ("conversion", [(None, 0, 100, 80.0), (PUT, 80.0, 1, 1.0), (CALL, 80.0, -1, 1.0)], 4000, 800),
        (
            "collar whose call is in the money",
            [(None, 0, 100, 80.0), (PUT, 75.0, 1, 1.0), (CALL, 65.0, -1, 16.0)],
            3250 + 1500,
            750 + 1500,
        ),
        (
            "shares whose put ends before their call",
            [(None, 0, 100, 80.0), (PUT, 80.0, 1, 1.0), (CALL, 80.0, -1, 3.0, MAY)],
            4000,
            2000,
        ),
        ("covered put", [(None, 0, -100, 80.0), (PUT, 85.0, -1, 6.0)], 4500, 2900),
        ("reverse", [(None, 0, -100, 80.0), (CALL, 80.0, 1, 1.0), (PUT, 80.0, -1, 1.0)], 4000, 800),
        (
            "iron butterfly",
            [(PUT, 75, 1, 1), (PUT, 80, -1, 3), (CALL, 80, -1, 3), (CALL, 85, 1, 1)],
            500,
            500,
        ),
        ("short box", [(CALL, 80, -1, 4), (CALL, 85, 1, 1), (PUT, 85, -1, 6), (PUT, 80, 1, 2)], 500, 500),
        ("calendar", [(CALL, 80, -1, 2.0), (CALL, 80, 1, 3.0, MAY)], 0, 0),
        ("diagonal", [(CALL, 80, -1, 2.0), (CALL, 85, 1, 2.0, MAY)], 500, 500),
        ("calendar whose long leg ends first", [(CALL, 80, -1, 3.0, MAY), (CALL, 80, 1, 2.0)], 1900, 1900),
        ("backspread", [(CALL, 80, -1, 3.0), (CALL, 85, 2, 1.0)], 500, 500),
        ("ratio spread", [(CALL, 80, 1, 3.0), (CALL, 85, -2, 1.0)], 100 + 1100, 100 + 1100),
        ("long straddle", [(CALL, 80, 1, 3.0), (PUT, 80, 1, 3.0)], 0, 0),
    ],
)
def test_every_structure_has_the_requirement_of_its_formula(name, holdings, initial, maintenance):
    spot = holdings[0][3] if holdings[0][0] is None else 80.0
    assert margins(holdings, spot) == (pytest.approx(initial), pytest.approx(maintenance)), name


def test_a_jade_lizard_needs_its_put_and_the_width_of_its_call_spread_at_most():
    lizard = [(PUT, 75.0, -1, 1.0), (CALL, 85.0, -1, 1.5), (CALL, 87.0, 1, 0.8)]
    put = 100 * (1.0 + max(0.2 * 80 - 5, 7.5))
    assert margins(lizard, 80.0)[0] == pytest.approx(put + min(200, 150))


def test_an_index_option_needs_less_than_one_on_shares_and_the_vix_does_not():
    naked = [(PUT, 100.0, -1, 2.0)]
    assert margins(naked, 100.0, "SPX")[0] == pytest.approx(100 * (2 + 15))
    assert margins(naked, 100.0, "VIX")[0] == pytest.approx(100 * (2 + 20))


prices = st.integers(10, 4000).map(lambda cents: cents / 100)
held_options = st.tuples(
    st.sampled_from([CALL, PUT]),
    st.sampled_from([80.0, 90.0, 100.0, 110.0]),
    st.integers(-4, 4).filter(bool),
    prices,
    st.sampled_from([APRIL, MAY]),
)
shares_held = st.lists(st.tuples(st.none(), st.just(0.0), st.integers(-400, 400), st.just(95.0)), max_size=1)
books = st.tuples(
    shares_held,
    st.lists(held_options, max_size=6, unique_by=lambda held: (held[0], held[1], held[4])),
).map(lambda parts: [*parts[0], *parts[1]])


@settings(max_examples=150, deadline=None)
@given(books, held_options)
def test_margin_is_never_negative_and_a_bought_option_never_raises_it(book, bought):
    initial, maintenance = margins(book, 95.0)
    assert initial >= maintenance - 1e-6
    assert maintenance >= 0
    legs, marks = legs_of(book)
    (more,), _ = legs_of([bought])
    held = next((leg for leg in legs if leg.contract == more.contract), replace(more, quantity=0))
    rest = [leg for leg in legs if leg.contract != more.contract]
    if held.quantity >= 0:
        with_it = replace(held, quantity=held.quantity + abs(more.quantity))
        after = margin_of([*rest, with_it], marks, {"XYZ": 95.0})
        assert after.initial <= initial + 1e-4
        assert after.maintenance <= maintenance + 1e-4


@settings(max_examples=100, deadline=None)
@given(books, st.integers(2, 7))
def test_k_times_the_holdings_need_k_times_the_margin(book, k):
    larger = [(right, strike, quantity * k, *rest) for right, strike, quantity, *rest in book]
    once, often = margins(book, 95.0), margins(larger, 95.0)
    assert often == (pytest.approx(once[0] * k, abs=1e-3), pytest.approx(once[1] * k, abs=1e-3))


@settings(max_examples=100, deadline=None)
@given(held_options, held_options)
def test_a_spread_never_needs_more_than_its_short_leg_alone(one, other):
    short = (one[0], one[1], -abs(one[2]), *one[3:])
    long = (other[0], other[1], abs(other[2]), *other[3:])
    if short[:2] + short[4:] != long[:2] + long[4:]:
        assert margins([short, long], 95.0)[0] <= margins([short], 95.0)[0] + 1e-4

"""When orders fill, how much of them, and at which prices: the fill model of docs/fill-model.md."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.gateway.errors import OrderRefused
from broker.gateway.exchange.chance import draw
from broker.gateway.exchange.matching import (
    PATIENCE_S,
    QUEUE_S,
    Terms,
    leg_price,
    leg_prices,
    patience_s,
)
from tests.gateway.books import Books


@pytest.fixture
def books():
    return Books()


@pytest.fixture
def condor(books):
    """Bought, it costs 0.40 wide around 0.00: every leg is quoted 1.00 at 1.10."""
    books.quote_all()
    return list(zip(books.options, (-1, 1, 1, -1), strict=True))


def fills(books, order_id):
    """(lots, net price) of each fill of an order for a combo."""
    own = [e for e in books.exchange.executions if e.order_id == order_id and not e.contract]
    return [(abs(e.quantity), e.price) for e in own]


def test_a_limit_beyond_the_natural_price_fills_at_once_and_better(books, condor):
    books.send(1, condor, limit=0.50)
    assert fills(books, 1) == [(1, 0.20)]


def test_a_limit_at_the_middle_of_a_tight_market_fills_at_its_price_after_the_queue(books, condor):
    books.send(1, condor, limit=0.00)
    books.step(QUEUE_S - 0.1)
    assert books.status(1) == "Submitted"
    books.step(0.1)
    assert fills(books, 1) == [(1, 0.00)]


def test_a_limit_on_its_own_side_of_the_middle_is_never_met_while_the_market_stands(books, condor):
    books.send(1, condor, limit=-0.01)
    books.step(6 * 3600 - 60)
    assert books.status(1) == "Submitted"


def test_it_is_met_once_the_middle_has_come_to_it(books, condor):
    books.send(1, condor, limit=-0.01)
    books.step(60)
    books.quote(books.options[1], 0.95, 1.05)
    books.step(QUEUE_S)
    assert fills(books, 1) == [(1, -0.01)]


def test_the_queue_begins_anew_when_the_market_has_left(books, condor):
    books.send(1, condor, limit=0.00)
    books.step(1.5)
    books.quote(books.options[1], 1.05, 1.15)
    books.step(1)
    books.quote(books.options[1], 1.00, 1.10)
    books.step(1.9)
    assert books.status(1) == "Submitted"
    books.step(0.1)
    assert books.status(1) == "Filled"


def test_a_fill_is_no_larger_than_the_least_size_shown_and_the_next_quote_renews_it(books, condor):
    books.quote(books.options[2], 1.00, 1.10, bid_size=50, ask_size=3)
    books.send(1, condor, quantity=8, limit=0.20)
    assert fills(books, 1) == [(3, 0.20)]
    books.step(600)
    assert books.told(1) == ["Submitted", "3 filled"], "used up"
    books.quote(books.options[2], 1.00, 1.10, bid_size=50, ask_size=3)
    assert fills(books, 1) == [(3, 0.20)] * 2
    books.quote(books.options[2], 0.90, 1.00, bid_size=50, ask_size=3)
    assert fills(books, 1)[2:] == [(2, 0.10)]
    order = books.order(1)
    assert (order.filled, order.remaining, order.last_price) == (8, 0, 0.10)
    assert order.fill_price == pytest.approx((6 * 0.20 + 2 * 0.10) / 8)
    own = [e for e in books.exchange.executions if not e.contract]
    assert [(e.cumulative, e.average_price) for e in own] == [(3, 0.20), (6, 0.20), (8, 0.175)]


def test_a_leg_with_a_ratio_uses_up_that_many_contracts_for_each_lot(books, condor):
    ratio = [(books.options[0], -1), (books.options[1], 2)]
    books.send(1, ratio, quantity=8, limit=1.20)
    assert fills(books, 1) == [(5, 1.20)], "10 contracts are shown"


def test_what_a_combo_gains_goes_to_its_legs_in_whole_cents(books, condor):
    books.send(1, condor, limit=0.01)
    books.step(QUEUE_S)
    assert fills(books, 1) == [(1, 0.01)]
    cents = [100 * e.price for e in books.exchange.executions if e.contract]
    assert cents == pytest.approx([round(price) for price in cents], abs=1e-9)


def test_what_is_left_of_an_order_that_was_met_in_the_queue_waits_from_that_moment_on(books):
    books.quote_all()
    books.send(1, books.options[0], quantity=15, limit=1.05)
    books.step(QUEUE_S)
    assert books.order(1).filled == 10
    books.step(1)
    books.quote(books.options[0], 1.00, 1.10)
    books.step(QUEUE_S - 1.1)
    assert books.order(1).filled == 10
    books.step(0.1)
    assert books.order(1).filled == 15


def test_two_orders_share_what_one_quote_shows_the_older_first(books, condor):
    books.send(1, condor, quantity=7, limit=0.20)
    books.send(2, condor, quantity=7, limit=0.20)
    assert (fills(books, 1), fills(books, 2)) == ([(7, 0.20)], [(3, 0.20)])
    books.quote_all()
    assert books.status(2) == "Filled"


def test_a_side_without_size_is_no_counterparty(books, condor):
    books.quote(books.options[0], 1.00, 1.10, bid_size=0, ask_size=10)
    books.send(1, condor, limit=1.00)
    books.step(60)
    assert books.status(1) == "Submitted"


@pytest.mark.parametrize(("bid", "ask"), [(None, 1.1), (1.0, None), (1.2, 1.1), (1.1, 1.1)])
def test_missing_crossed_and_locked_quotes_are_not_met(books, condor, bid, ask):
    books.quote(books.options[0], bid, ask)
    books.send(1, condor)
    books.send(2, condor, limit=3.00)
    books.step(60)
    assert books.status(1, 2) == ["Submitted", "Submitted"]
    books.quote(books.options[0], 1.00, 1.10)
    assert books.status(1, 2) == ["Filled", "Filled"]


def wide(books, width):
    """A condor whose legs are `width` wide."""
    books.quote_all(bid=2.00 - width / 2, ask=2.00 + width / 2)
    return list(zip(books.options, (-1, 1, 1, -1), strict=True))


def times_to_fill(width, limit, count=60):
    """Seconds until orders at `limit` filled, each in a world of its own; at most an hour."""
    waits = []
    for seed in range(count):
        books = Books(seed=seed)
        books.send(1, wide(books, width), limit=limit)
        begun = books.now
        while books.status(1) != "Filled" and (books.now - begun).total_seconds() < 3600:
            books.step(20)
        waits.append((books.now - begun).total_seconds())
    return waits


def test_wide_markets_meet_the_middle_rarely_and_a_concession_sooner():
    tight, wider, widest = (statistics.median(times_to_fill(width, 0.00)) for width in (0.10, 0.30, 0.60))
    assert tight <= 20
    assert 60 < wider < 300
    assert widest > 300
    assert statistics.median(times_to_fill(0.60, 0.60)) < widest / 1.5


def test_the_same_seed_and_orders_give_the_same_fills_and_another_seed_others():
    assert times_to_fill(0.30, 0.00, 8) == times_to_fill(0.30, 0.00, 8)
    assert len(set(times_to_fill(0.60, 0.00, 8))) > 3


def test_a_moment_of_luck_does_not_depend_on_when_it_is_asked():
    drawn = [draw(7, perm_id, turn) for perm_id in range(50) for turn in range(4)]
    assert drawn == [draw(7, perm_id, turn) for perm_id in range(50) for turn in range(4)]
    assert len(set(drawn)) == 200
    assert 0 < min(drawn) < 0.05
    assert 0.95 < max(drawn) <= 1
    assert 0.4 < statistics.mean(drawn) < 0.6


@given(st.integers(1, 500), st.integers(2, 300), st.integers(0, 100))
def test_patience_falls_to_nothing_towards_the_natural_price(bid, width, share):
    terms = Terms((bid + width) * 100, bid * 100, ((bid * 100, (bid + width) * 100),))
    one = [(Books().share, 1)]
    limit = terms.opposite + (terms.natural - terms.opposite) * share // 100
    mean = patience_s(limit, terms, one)
    if 2 * limit < terms.natural + terms.opposite:
        assert mean is None
    else:
        assert 0 <= mean <= PATIENCE_S * ((width / 10) ** 2 - 1) or width <= 10
        assert patience_s(terms.natural, terms, one) == 0
        nearer = patience_s(min(limit + 100, terms.natural), terms, one)
        assert nearer <= mean


@given(
    st.lists(
        st.tuples(st.integers(1, 50), st.integers(1, 60), st.sampled_from([-3, -2, -1, 1, 2, 3])),
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
    legs = list(zip(Books().options, amounts, strict=False))
    prices = leg_prices(legs, Terms(natural, opposite, bids_asks), cost)
    for (bid, ask), price in zip(bids_asks, prices, strict=True):
        assert bid <= price <= ask
    net = sum(a * p for a, p in zip(amounts, prices, strict=True))
    assert cost - 3 <= net <= cost
    if 1 in map(abs, amounts) and max(map(abs, amounts)) == 1:
        assert net == cost


@pytest.mark.parametrize(
    ("buys", "limit", "price"),
    [
        (True, 110, 110),
        (True, 120, 110),
        (True, 105, 105),
        (True, 104, None),
        (False, 100, 100),
        (False, 90, 100),
        (False, 105, 105),
        (False, 106, None),
    ],
)
def test_a_leg_of_its_own_trades_like_an_order_without_a_queue(buys, limit, price):
    assert leg_price(limit, (100, 110), buys) == price


# -- combos that may trade leg by leg ---------------------------------------------------------------------

LEGGED = {"routing": (("NonGuaranteed", "1"),)}


def test_a_combo_without_guarantee_trades_its_legs_one_after_another(books, condor):
    books.send(1, condor, quantity=2, limit=0.20, **LEGGED)
    assert [(e.contract, e.quantity) for e in books.exchange.executions] == [(books.options[0], -2)]
    assert (books.order(1).filled, books.status(1)) == (0, "Submitted")
    books.step(3)
    assert books.status(1) == "Filled"
    assert books.told(1) == ["Submitted", "0 filled", "0 filled", "0 filled", "2 filled"]
    assert [(e.cumulative, e.price) for e in books.exchange.executions if not e.contract] == [(2, 0.20)]
    books.check()


def test_it_may_stay_half_done_when_the_market_leaves(books, condor):
    books.send(1, condor, limit=0.20, **LEGGED)
    books.quote(books.options[2], 1.20, 1.30)
    books.step(600)
    assert books.status(1) == "Submitted"
    held = {c: h.quantity for c, h in books.exchange.account.holdings.items()}
    assert held == {books.options[0].con_id: -1, books.options[1].con_id: 1}
    books.cancel(1)
    assert (books.status(1), books.order(1).filled) == ("Cancelled", 0)
    books.check()


def test_it_goes_on_when_the_market_comes_back(books, condor):
    books.send(1, condor, limit=0.20, **LEGGED)
    books.quote(books.options[2], 1.20, 1.30)
    books.step(60)
    books.quote(books.options[2], 0.90, 1.00)
    books.step(2)
    assert books.status(1) == "Filled"
    assert books.order(1).fill_price == pytest.approx(0.10), "a leg got better than its share of the limit"


def test_a_guaranteed_combo_never_leaves_half_of_itself(books, condor):
    books.quote(books.options[2], 1.00, 1.10, bid_size=10, ask_size=0)
    books.send(1, condor, limit=1.00)
    books.step(600)
    assert books.exchange.executions == []


def test_the_first_leg_trades_at_its_share_of_the_price_even_beyond_its_own_middle(books):
    for contract in books.options[:3]:
        books.quote(contract, 1.00, 1.03)
    books.send(1, [(contract, 1) for contract in books.options[:3]], limit=3.05, **LEGGED)
    books.step(QUEUE_S)
    assert [e.price for e in books.exchange.executions] == [1.01]


def test_what_is_under_way_cannot_be_taken_off_by_a_change(books, condor):
    books.send(1, condor, quantity=5, limit=0.20, **LEGGED)
    with pytest.raises(OrderRefused, match="5 are filled or under way") as refused:
        books.send(1, condor, quantity=4, limit=0.20, **LEGGED)
    assert refused.value.code == 105
    books.step(3)
    assert (books.status(1), books.order(1).filled) == ("Filled", 5)


def test_what_is_under_way_cannot_be_taken_off_by_the_group(books, condor):
    group = {"oca_group": "g", "oca_type": 2}
    books.send(1, condor, quantity=5, limit=0.20, **group, **LEGGED)
    books.send(2, books.share, quantity=10, limit=50.00, **group)
    books.quote(books.share, 49.90, 50.00, ask_size=4, bid_size=4)
    assert books.order(1).request.quantity == 5
    books.step(3)
    assert (books.status(1), books.order(1).filled) == ("Filled", 5)
    assert books.status(2) == "Cancelled"


def test_what_is_under_way_outlives_a_parent_that_ends_in_part_filled(books, condor):
    parent = {"parent_id": 1, "transmit": True}
    books.send(1, books.share, quantity=10, limit=50.00, transmit=False)
    books.send(2, condor, quantity=5, limit=0.20, **parent, **LEGGED)
    books.quote(books.share, 49.90, 50.00, ask_size=4, bid_size=4)
    books.quote(books.share, 49.90, 50.10)
    books.cancel(1)
    books.step(3)
    assert (books.status(2), books.order(2).filled, books.order(2).request.quantity) == ("Filled", 2, 2)
    books.check()


def test_what_has_traded_a_leg_is_not_forgotten(books, condor):
    books.send(1, condor, limit=0.20, **LEGGED)
    books.send(2, books.options[0], limit=0.20)
    books.exchange.forget_since(books.now)
    assert list(books.exchange.orders) == [(1, 1)]
    assert books.exchange.next_order_id(1) == 2

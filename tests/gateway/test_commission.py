"""The published examples of Interactive Brokers' commission pages, and what follows for partial fills."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.gateway.exchange.commission import Trade, commissions_usd, order_commission_usd
from broker.gateway.markets.listings import option, underlying
from options import Right

CALL = option("XYZ", date(2026, 4, 17), 100.0, Right.CALL)
PUT = option("XYZ", date(2026, 4, 17), 90.0, Right.PUT)
SHARE = underlying("XYZ")

trades = st.builds(
    Trade,
    st.sampled_from([CALL, PUT, SHARE]),
    st.integers(-500, 500).filter(bool),
    st.integers(1, 5000).map(lambda cents: cents / 100),
)


@pytest.mark.parametrize(
    ("contracts", "premium", "usd"), [(1, 2.0, 1.00), (2, 5.0, 1.30), (3, 0.075, 1.50), (5, 0.03, 1.25)]
)
def test_option_orders_cost_what_the_published_examples_say(contracts, premium, usd):
    assert order_commission_usd([Trade(CALL, contracts, premium)]) == pytest.approx(usd)
    assert order_commission_usd([Trade(CALL, -contracts, premium)]) == pytest.approx(usd)


@pytest.mark.parametrize(
    ("shares", "price", "usd"), [(100, 25.0, 1.00), (1000, 25.0, 5.00), (1000, 0.25, 2.50), (10, 5.0, 0.50)]
)
def test_share_orders_cost_what_the_published_examples_say(shares, price, usd):
    assert order_commission_usd([Trade(SHARE, shares, price)]) == pytest.approx(usd)


def test_the_minimum_of_a_combo_is_charged_once_and_spread_over_its_legs():
    fees = commissions_usd([Trade(CALL, 1, 0.04), Trade(PUT, -1, 0.20)])
    assert fees == pytest.approx([1.00 * 0.25 / 0.90, 1.00 * 0.65 / 0.90], abs=1e-4)
    assert sum(fees) == pytest.approx(1.00, abs=1e-9)


def test_a_partial_fill_pays_the_minimum_first_and_later_fills_only_what_exceeds_it():
    parts = [Trade(CALL, 1, 2.0)] * 3
    paid = [commissions_usd([part], parts[:i])[0] for i, part in enumerate(parts)]
    assert paid == pytest.approx([1.00, 0.30, 0.65])


def test_shares_bought_with_options_are_charged_at_their_own_rate():
    assert order_commission_usd([Trade(SHARE, 100, 50.0), Trade(CALL, -1, 2.0)]) == pytest.approx(1.15)


@given(st.lists(trades, min_size=1, max_size=6), st.integers(0, 5))
def test_however_an_order_is_filled_its_fills_add_up_to_its_price(filled, cut):
    first, second = filled[:cut], filled[cut:]
    paid = commissions_usd(first) + (commissions_usd(second, first) if second else [])
    assert sum(paid) == pytest.approx(order_commission_usd(filled), abs=1e-3)
    assert order_commission_usd(filled) > 0

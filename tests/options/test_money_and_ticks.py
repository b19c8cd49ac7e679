"""Prices on the exchange's grid, and the one multiplication between share and contract."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from options import (
    Toward,
    UsdPerContract,
    UsdPerShare,
    days_to_expiry,
    per_contract,
    per_share,
    round_to_tick,
)

ticks = st.sampled_from([0.01, 0.05, 0.1, 0.25, 1.0])
prices = st.integers(-500_000, 500_000).map(lambda tenths: tenths / 1000)


@given(prices, ticks, st.sampled_from(Toward))
def test_rounded_price_is_on_the_grid_and_within_a_tick(price: float, tick: float, toward: Toward) -> None:
    rounded = round_to_tick(price, tick, toward)
    assert rounded / tick == pytest.approx(round(rounded / tick), abs=1e-6)
    assert abs(rounded - price) < tick * (1 + 1e-6)
    if toward is Toward.DOWN:
        assert rounded <= price + 1e-9
    if toward is Toward.UP:
        assert rounded >= price - 1e-9
    if toward is Toward.NEAREST:
        assert abs(rounded - price) <= tick / 2 + 1e-9


@given(st.integers(-10_000, 10_000), ticks, st.sampled_from(Toward))
def test_price_on_the_grid_stays(steps: int, tick: float, toward: Toward) -> None:
    price = round(steps * tick, 10)
    assert round_to_tick(price, tick, toward) == price


@pytest.mark.parametrize(
    ("price", "tick"), [(float("nan"), 0.05), (float("inf"), 0.05), (1.0, 0.0), (1.0, -0.01)]
)
def test_what_has_no_grid_is_refused(price: float, tick: float) -> None:
    with pytest.raises(ValueError, match="cannot round"):
        round_to_tick(price, tick)


@given(st.floats(-1e6, 1e6), st.sampled_from([1, 10, 100]))
def test_price_is_multiplied_exactly_once(price: float, multiplier: int) -> None:
    cost = per_contract(UsdPerShare(price), multiplier)
    assert cost == price * multiplier
    assert per_share(cost, multiplier) == pytest.approx(price)
    assert per_share(UsdPerContract(194.45375), 100) == pytest.approx(1.9445375)


def test_days_to_expiry_are_counted_in_new_york() -> None:
    late_evening_in_new_york = datetime(2026, 3, 20, 2, 0, tzinfo=UTC)
    assert days_to_expiry(date(2026, 3, 20), late_evening_in_new_york) == 1
    assert days_to_expiry(date(2026, 3, 20), datetime(2026, 3, 20, 20, 0, tzinfo=UTC)) == 0

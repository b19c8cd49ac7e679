"""Credit, extremes and breakevens against a payoff drawn point by point."""

import math
from datetime import date
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from options import (
    ConId,
    Contract,
    Leg,
    Right,
    SecType,
    UsdPerContract,
    net_credit_usd,
    payoff,
    value_at_expiry,
)

MARCH = date(2026, 3, 20)


def option(quantity: int, right: str, strike: float, cost: float, expiry: date = MARCH) -> Leg:
    contract = Contract(ConId(int(strike)), "IWM", SecType.OPTION, expiry, strike, Right(right), 100)
    return Leg(contract, quantity, UsdPerContract(cost))


def stock(quantity: int, cost: float) -> Leg:
    return Leg(Contract(ConId(1), "IWM", SecType.STOCK), quantity, UsdPerContract(cost))


def test_condor_of_the_real_account() -> None:
    legs = [
        option(2, "P", 235, 194.45375),
        option(-2, "P", 245, 336.54295),
        option(-2, "C", 282, 139.45295),
        option(2, "C", 290, 63.95375),
    ]
    figures = payoff(legs)
    assert figures.net_credit_usd == pytest.approx(435.1768)
    assert figures.max_profit_usd == pytest.approx(435.1768)
    assert figures.max_loss_usd == pytest.approx(1564.8232)
    assert figures.breakevens == pytest.approx((245 - 2.175884, 282 + 2.175884))


def test_covered_call_has_the_loss_of_its_shares() -> None:
    figures = payoff([stock(100, 250.0), option(-1, "C", 260, 300.0)])
    assert figures.net_credit_usd == pytest.approx(-25_000 + 300)
    assert figures.max_profit_usd == pytest.approx(1300)
    assert figures.max_loss_usd == pytest.approx(24_700)
    assert figures.breakevens == pytest.approx((247.0,))


def test_long_straddle_gains_without_limit() -> None:
    figures = payoff([option(1, "P", 250, 400.0), option(1, "C", 250, 500.0)])
    assert figures.max_profit_usd == math.inf
    assert figures.max_loss_usd == pytest.approx(900)
    assert figures.breakevens == pytest.approx((241.0, 259.0))


def test_naked_call_loses_without_limit() -> None:
    assert payoff([option(-1, "C", 250, 500.0)]).max_loss_usd == math.inf


def test_breakeven_exactly_at_a_strike_is_found() -> None:
    figures = payoff([option(1, "C", 240, 1000.0), option(-1, "C", 250, 0.0), option(1, "C", 250, 0.0)])
    assert figures.breakevens == (250.0,)


def test_legs_of_two_expiries_have_no_common_payoff() -> None:
    figures = payoff([option(-1, "C", 250, 500.0), option(1, "C", 250, 700.0, date(2026, 4, 17))])
    assert (figures.max_profit_usd, figures.max_loss_usd, figures.breakevens) == (None, None, ())
    assert figures.net_credit_usd == -200


def test_legs_of_two_underlyings_are_refused() -> None:
    other = Leg(Contract(ConId(9), "SPY", SecType.STOCK), 1, UsdPerContract(1.0))
    with pytest.raises(ValueError, match="one underlying"):
        payoff([stock(1, 1.0), other])


strikes = st.sampled_from([float(k) for k in range(50, 151, 10)])
option_legs = st.builds(
    option,
    st.integers(-4, 4).filter(bool),
    st.sampled_from("PC"),
    strikes,
    st.integers(1, 4000).map(lambda cents: cents + 0.5),
)
stock_legs = st.builds(stock, st.integers(-300, 300).filter(bool), st.integers(1, 300).map(float))
held = st.tuples(st.lists(option_legs, min_size=1, max_size=6), st.lists(stock_legs, max_size=1)).map(
    lambda both: both[0] + both[1]
)


def brute_profit(legs: list[Leg], price: float) -> float:
    total = 0.0
    for leg in legs:
        if leg.contract.sec_type is SecType.STOCK:
            worth = price
        elif leg.contract.right is Right.CALL:
            worth = 100 * max(price - leg.contract.strike, 0)
        else:
            worth = 100 * max(leg.contract.strike - price, 0)
        total += leg.quantity * (worth - leg.average_cost)
    return total


@given(held, st.floats(0, 400))
def test_profit_at_expiry_is_what_each_leg_earns(legs: list[Leg], price: float) -> None:
    assert value_at_expiry(legs, price) + net_credit_usd(legs) == pytest.approx(
        brute_profit(legs, price), abs=1e-6
    )


@given(held)
def test_extremes_are_those_of_a_dense_price_grid(legs: list[Leg]) -> None:
    figures = payoff(legs)
    near = [brute_profit(legs, price) for price in np.arange(0.0, 151.0, 1.0)]
    far = [brute_profit(legs, price) for price in (1e6, 2e6)]
    rises, falls = far[1] > far[0] + 1, far[1] < far[0] - 1
    assert figures.max_profit_usd is not None
    assert figures.max_loss_usd is not None
    assert figures.max_profit_usd == (math.inf if rises else pytest.approx(max(near), abs=1e-6))
    assert figures.max_loss_usd == (math.inf if falls else pytest.approx(max(0.0, -min(near)), abs=1e-6))


@given(held)
def test_profit_changes_sign_at_every_breakeven_and_nowhere_else(legs: list[Leg]) -> None:
    breakevens = payoff(legs).breakevens
    grid = np.arange(0.0, 152.0, 0.25)
    profits = [brute_profit(legs, price) for price in grid]
    changes = sum(1 for a, b in pairwise(profits) if a * b < 0)
    inside = [price for price in breakevens if price < grid[-1]]
    assert len(inside) >= changes
    for price in breakevens:
        assert brute_profit(legs, price) == pytest.approx(0.0, abs=1e-4)

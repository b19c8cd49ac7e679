"""Values and Greeks against published figures, against parity and against their own slopes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from options import greeks, implied_vol

market = st.fixed_dictionaries(
    {
        "spot": st.floats(50, 200),
        "strike": st.floats(60, 160),
        "years": st.floats(0.05, 2.0),
        "vol": st.floats(0.08, 0.9),
        "rate": st.floats(0.0, 0.08),
        "dividend_yield": st.floats(0.0, 0.05),
    }
)


def test_hull_example_15_6_values_a_call_at_4_76_and_a_put_at_0_81() -> None:
    got = greeks([42, 42], 40, 0.5, 0.2, [True, False], 0.10).price
    assert got == pytest.approx([4.76, 0.81], abs=0.005)


def test_hull_chapter_19_gives_the_greeks_of_a_call_at_49() -> None:
    got = greeks(49, 50, 20 / 52, 0.2, True, 0.05)
    assert got.price == pytest.approx(2.40, abs=0.005)
    assert got.delta == pytest.approx(0.522, abs=0.0005)
    assert got.gamma == pytest.approx(0.066, abs=0.0005)
    assert got.theta * 365 == pytest.approx(-4.31, abs=0.005)
    assert got.vega * 100 == pytest.approx(12.1, abs=0.05)


def test_hull_example_17_1_values_an_index_call_with_a_dividend_yield() -> None:
    assert greeks(930, 900, 2 / 12, 0.2, True, 0.08, 0.03).price == pytest.approx(51.83, abs=0.005)


@given(market)
def test_call_less_put_is_the_forward(m: dict[str, float]) -> None:
    call, put = greeks(**m, is_call=[True, False]).price
    forward = m["spot"] * np.exp(-m["dividend_yield"] * m["years"]) - m["strike"] * np.exp(
        -m["rate"] * m["years"]
    )
    assert call - put == pytest.approx(forward, abs=1e-9)


@given(market, st.booleans())
def test_greeks_are_the_slopes_of_the_value(m: dict[str, float], is_call: bool) -> None:
    def slope(name: str, step: float) -> float:
        up, down = ({**m, name: m[name] + sign * step} for sign in (1, -1))
        return float(greeks(**up, is_call=is_call).price - greeks(**down, is_call=is_call).price) / (2 * step)

    def delta_at(spot: float) -> float:
        return float(greeks(**{**m, "spot": spot}, is_call=is_call).delta)

    got, step = greeks(**m, is_call=is_call), 1e-3 * m["spot"]
    assert got.delta == pytest.approx(slope("spot", 1e-4 * m["spot"]), abs=1e-5)
    assert got.gamma == pytest.approx(
        (delta_at(m["spot"] + step) - delta_at(m["spot"] - step)) / (2 * step), abs=2e-4
    )
    assert got.vega == pytest.approx(slope("vol", 1e-5) / 100, abs=1e-5)
    assert got.theta == pytest.approx(-slope("years", 1e-5) / 365, abs=1e-5)


@given(market, st.booleans())
def test_implied_vol_gives_the_price_back(m: dict[str, float], is_call: bool) -> None:
    price = greeks(**m, is_call=is_call).price
    terms = {name: m[name] for name in ("spot", "strike", "years", "rate", "dividend_yield")}
    vol = implied_vol(price, **terms, is_call=is_call)
    if np.isnan(vol):
        # Nothing but intrinsic value is left of the price: no volatility can be read from it.
        assert price == pytest.approx(greeks(**{**m, "vol": 1e-3}, is_call=is_call).price, abs=1e-9)
    else:
        assert greeks(**{**m, "vol": float(vol)}, is_call=is_call).price == pytest.approx(price, abs=1e-9)
        if greeks(**m, is_call=is_call).vega > 1e-4:
            assert vol == pytest.approx(m["vol"], abs=1e-5)


@pytest.mark.parametrize("price", [0.0, -1.0, 5.0, 200.0, np.nan, np.inf])
def test_price_that_no_volatility_gives_has_none(price: float) -> None:
    assert np.isnan(implied_vol(price, 105.0, 100.0, 0.25, True))


@pytest.mark.parametrize("name", ["spot", "strike", "years", "vol", "rate", "dividend_yield"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_input_that_is_not_finite_makes_everything_unknown(name: str, bad: float) -> None:
    inputs = {"spot": 100.0, "strike": 100.0, "years": 0.5, "vol": 0.2, "rate": 0.01, "dividend_yield": 0.0}
    got = greeks(**{**inputs, name: bad}, is_call=True)
    assert np.isnan([got.price, got.delta, got.gamma, got.theta, got.vega]).all()


@pytest.mark.parametrize("name", ["spot", "strike", "years", "vol"])
def test_input_that_is_not_positive_makes_everything_unknown(name: str) -> None:
    inputs = {"spot": 100.0, "strike": 100.0, "years": 0.5, "vol": 0.2}
    got = greeks(**{**inputs, name: 0.0}, is_call=[True, False])
    assert np.isnan([got.price, got.delta, got.gamma, got.theta, got.vega]).all()


def test_arguments_broadcast() -> None:
    assert greeks(100.0, np.array([90.0, 100.0, 110.0]), 0.5, np.full((2, 1), 0.2), True).price.shape == (
        2,
        3,
    )

"""The implied volatility of options that may be exercised early gives their price back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from options.american import american
from options.implied import LEAST_VEGA, solved_vol


@given(
    st.lists(
        st.tuples(st.floats(0.85, 1.15), st.floats(0.01, 1.0), st.floats(0.06, 1.5), st.booleans()),
        min_size=1,
        max_size=20,
    ),
    st.floats(0.03, 3.0),
)
def test_the_solved_volatility_gives_the_price_back(
    chain: list[tuple[float, float, float, bool]], start: float
) -> None:
    moneyness, years, vol, call = (np.array(each) for each in zip(*chain, strict=True))

    def worth(vols: np.ndarray) -> object:
        return american(100.0, 100.0 * moneyness, years, vols, call, 0.04)

    price = worth(vol).price  # type: ignore[attr-defined]
    vega = worth(vol).vega  # type: ignore[attr-defined]
    solved = solved_vol(worth, price, np.full(len(vol), start))  # type: ignore[arg-type]
    exercised = np.maximum(np.where(call, 1, -1) * (100.0 - 100.0 * moneyness), 0.0)
    has_time_value = (price > exercised + 0.02) & (vega > 2 * LEAST_VEGA)
    assert np.isfinite(solved[has_time_value]).all()
    again = worth(solved).price  # type: ignore[attr-defined]
    assert again[np.isfinite(solved)] == pytest.approx(price[np.isfinite(solved)], abs=1e-3)


def test_a_price_that_no_volatility_gives_has_none() -> None:
    def worth(vols: np.ndarray) -> object:
        return american(100.0, np.array([90.0, 120.0, 100.0]), 0.1, vols, np.array([True, False, True]), 0.04)

    price = np.array([9.5, 19.0, 101.0])
    assert np.isnan(solved_vol(worth, price, np.full(3, 0.2))).all()  # type: ignore[arg-type]

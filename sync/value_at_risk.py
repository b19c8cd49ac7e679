"""What the book may lose in one day: its delta, gamma and vega against how underlyings move together.

The change of the book's value is a quadratic form of jointly normal moves, returns of the underlyings and
changes of their implied volatilities. Its first four cumulants are exact (Mathai and Provost, Quadratic Forms
in Random Variables, 1992, chapter 3); the quantile follows from them by Cornish and Fisher (1938).
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CONFIDENCE_Z = 1.6448536269514722
"""The 95 % quantile of the normal distribution."""


def value_at_risk(delta_usd: Floats, gamma_usd: Floats, vega_usd: Floats, covariance: Floats) -> float | None:
    """Loss in USD that 95 % of days stay under, never negative; None when something needed is not known.

    Per underlying, shape (n,), NaN for unknown: `delta_usd` USD per 100 % move, `gamma_usd` its change per
    1 % move, `vega_usd` USD per vol point. `covariance` (2n, 2n) of one day: returns of the underlyings, then
    changes of their implied volatility in vol points; NaN where it is not known, which does not matter for
    what there is no exposure to.
    """
    linear = np.concatenate([delta_usd, vega_usd])
    # gamma_usd counts moves of 1 %: half of a hundred of them per squared return.
    square = np.concatenate([50.0 * gamma_usd, np.zeros_like(vega_usd)])
    held = (linear != 0.0) | (square != 0.0)
    linear, square, moves = linear[held], square[held], covariance[np.ix_(held, held)]
    if not (np.isfinite(linear).all() and np.isfinite(square).all() and np.isfinite(moves).all()):
        return None
    return max(0.0, -_low_quantile(*_cumulants(linear, square, moves)))


def _cumulants(linear: Floats, square: Floats, moves: Floats) -> tuple[float, float, float, float]:
    """Mean, variance, third and fourth cumulant of linear'x + x'diag(square)x, x normal around 0."""
    once = square[:, None] * moves
    twice = once @ once
    spread = moves @ linear
    bent = spread * square
    return (
        float(np.trace(once)),
        float(linear @ spread + 2.0 * np.trace(twice)),
        float(6.0 * bent @ spread + 8.0 * np.sum(twice * once.T)),
        float(48.0 * bent @ moves @ bent + 48.0 * np.sum(twice * twice.T)),
    )


def _low_quantile(mean: float, variance: float, third: float, fourth: float) -> float:
    """The 5 % quantile of a distribution with these cumulants."""
    if variance <= 0.0:
        return mean
    deviation, z = math.sqrt(variance), -CONFIDENCE_Z
    skew, excess = third / deviation**3, fourth / variance**2
    bent = z + (z * z - 1) * skew / 6 + (z**3 - 3 * z) * excess / 24 - (2 * z**3 - 5 * z) * skew**2 / 36
    return mean + deviation * bent

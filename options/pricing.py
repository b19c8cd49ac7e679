"""Black-Scholes-Merton values, Greeks and implied volatility over numpy arrays.

European exercise; continuous rate and dividend yield. Source: Hull, "Options, Futures, and Other
Derivatives", chapters 15, 17 and 19. All arguments broadcast; an input that is not finite or not
positive where it must be gives NaN, never zero.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from options.normal import Floats, cdf, density

DAYS_PER_YEAR = 365.0


@dataclass(frozen=True, slots=True)
class Greeks:
    """`price` USD per share; `delta`, `gamma` per share; `theta` USD per share and calendar day;
    `vega` USD per share and vol point (one hundredth of annualised volatility)."""

    price: Floats
    delta: Floats
    gamma: Floats
    theta: Floats
    vega: Floats


def greeks(
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    vol: ArrayLike,
    is_call: ArrayLike,
    rate: ArrayLike = 0.0,
    dividend_yield: ArrayLike = 0.0,
) -> Greeks:
    """Value and Greeks. `years` to expiry, `vol` annualised (0.17 = 17 %), `is_call` boolean."""
    s, k, t, v, r, q, call = np.broadcast_arrays(
        *(np.asarray(a, dtype=np.float64) for a in (spot, strike, years, vol, rate, dividend_yield)),
        np.asarray(is_call, dtype=bool),
    )
    with np.errstate(all="ignore"):
        finite = np.isfinite(s) & np.isfinite(k) & np.isfinite(t) & np.isfinite(v)
        valid = finite & (s > 0) & (k > 0) & (t > 0) & (v > 0) & np.isfinite(r) & np.isfinite(q)
        root = v * np.sqrt(t)
        d1 = np.where(valid, (np.log(s / k) + (r - q + 0.5 * v * v) * t) / root, np.nan)
        d2 = d1 - root
        carry, discount = np.exp(-q * t), np.exp(-r * t)
        sign = np.where(call, 1.0, -1.0)
        in_spot, in_strike = cdf(sign * d1), cdf(sign * d2)
        price = sign * (s * carry * in_spot - k * discount * in_strike)
        gamma = carry * density(d1) / (s * root)
        decay = -s * carry * density(d1) * v / (2.0 * np.sqrt(t))
        theta = decay + sign * (q * s * carry * in_spot - r * k * discount * in_strike)
        vega = s * carry * density(d1) * np.sqrt(t)
    return Greeks(price, sign * carry * in_spot, gamma, theta / DAYS_PER_YEAR, vega / 100.0)


def implied_vol(
    price: ArrayLike,
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    is_call: ArrayLike,
    rate: ArrayLike = 0.0,
    dividend_yield: ArrayLike = 0.0,
    lowest: float = 1e-3,
    highest: float = 5.0,
) -> Floats:
    """The annualised volatility at which `price` (USD per share) is the model's value, by bisection.

    NaN where the price lies outside what volatilities in (lowest, highest] can give; at the value that
    it has without any volatility, every small one would do.
    """
    target = np.asarray(price, dtype=np.float64)

    def value(vol: Floats) -> Floats:
        return greeks(spot, strike, years, vol, is_call, rate, dividend_yield).price

    shape = np.broadcast(target, *(np.asarray(a) for a in (spot, strike, years, is_call))).shape
    low, high = np.full(shape, lowest), np.full(shape, highest)
    with np.errstate(all="ignore"):
        reachable = (value(low) < target) & (target <= value(high))
        for _ in range(60):
            middle = 0.5 * (low + high)
            above = value(middle) > target
            low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.where(reachable, 0.5 * (low + high), np.nan)

"""The volatility at which a model gives a price, for any model that tells its vega."""

from collections.abc import Callable

import numpy as np

from options.normal import Floats
from options.pricing import Greeks

LOWEST, HIGHEST = 1e-3, 5.0
STEPS = 14
CLOSE_ENOUGH_USD, CLOSE_ENOUGH = 1e-5, 1e-4
GOOD_ENOUGH_USD = 1e-3
LEAST_VEGA = 5e-4
"""USD per vol point. Where a cent is twenty vol points, a price does not tell the volatility."""


def solved_vol(worth: Callable[[Floats], Greeks], price: Floats, start: Floats) -> Floats:
    """The annualised volatility at which `worth` has `price` (USD per share), by Newton's steps from `start`,
    by halves where these leave the bracket.

    Shape (n,), which `worth` keeps. NaN where no volatility in (LOWEST, HIGHEST) gives the price: below
    the value of exercise, or so near to it that many would do (`LEAST_VEGA`).
    """
    low, high = np.full(price.shape, LOWEST), np.full(price.shape, HIGHEST)
    vol = np.clip(np.where(np.isfinite(start), start, 0.3), LOWEST, HIGHEST)
    best, miss = np.full(price.shape, np.nan), np.full(price.shape, np.inf)
    with np.errstate(all="ignore"):
        for _ in range(STEPS):
            found = worth(vol)
            gap = found.price - price
            better = (np.abs(gap) < miss) & (found.vega >= LEAST_VEGA)
            best, miss = np.where(better, vol, best), np.where(better, np.abs(gap), miss)
            if not ((np.abs(gap) > CLOSE_ENOUGH_USD) & (high - low > CLOSE_ENOUGH)).any():
                break
            low, high = np.where(gap < 0, vol, low), np.where(gap > 0, vol, high)
            step = vol - gap / (100.0 * found.vega)
            vol = np.where((step > low) & (step < high), step, 0.5 * (low + high))
    return np.where(miss <= GOOD_ENOUGH_USD, best, np.nan)

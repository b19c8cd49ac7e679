"""Implied variance without arbitrage, and the volatility index that belongs to it.

Across strikes a slice is SSVI: Gatheral and Jacquier, "Arbitrage-free SVI volatility surfaces" (Quantitative
Finance 14, 2014), with phi(theta) = eta / sqrt(theta (1 + theta)), their power law at gamma = 1/2. By their
theorems 4.1 and 4.2 it has neither butterfly nor calendar arbitrage as long as eta (1 + |rho|) <= 2 and
theta, the total variance at the money, does not fall with the expiry. It never falls here: it is the integral
of a positive forward variance that goes from short to long by `REVERSION`, plus what reports add at their
moment.
"""

from functools import cache

import numpy as np

from options.normal import Floats, cdf

REVERSION = 6.0
LONG_FOLLOWS = 0.35
"""How much of a change of the short volatility the long one follows, in logarithms."""
INDEX_YEARS = 30 / 365
_LOWEST_THETA, _HIGHEST_THETA = 1e-6, 4.0


def money_variance(vol: Floats, calm: Floats, years: Floats) -> Floats:
    """Total variance at the money after `years` of variance time: `vol` is the short volatility now, `calm`
    what it reverts to when nothing happens."""
    short, calm_variance = vol * vol, calm * calm
    long = calm_variance * (short / calm_variance) ** LONG_FOLLOWS
    return np.asarray(long * years - (short - long) * np.expm1(-REVERSION * years) / REVERSION)


def total_variance(k: Floats, theta: Floats, rho: Floats | float, eta: Floats | float) -> Floats:
    """SSVI at the log-moneyness `k` = log(strike / forward)."""
    bent = eta / np.sqrt(theta * (1.0 + theta)) * k
    return np.asarray(0.5 * theta * (1.0 + rho * bent + np.sqrt((bent + rho) ** 2 + 1.0 - rho * rho)))


def undiscounted_call(k: Floats, variance: Floats) -> Floats:
    """Black's value of a call over its forward, `k` = log(strike / forward)."""
    root = np.sqrt(variance)
    d1 = -k / root + 0.5 * root
    return cdf(d1) - np.exp(k) * cdf(d1 - root)


@cache
def _swap_table(rho: float, eta: float) -> tuple[Floats, Floats]:
    """(log theta, log of the variance that all strikes together imply for it)."""
    theta = np.geomspace(_LOWEST_THETA, _HIGHEST_THETA, 160)[:, None]
    steps = np.linspace(-14.0, 9.0, 461)
    k = steps * np.sqrt(theta)
    call = undiscounted_call(k, total_variance(k, theta, rho, eta))
    # Out of the money on each side: a put is a call less the forward.
    out = np.where(k > 0, call, call + np.exp(k) - 1.0)
    swap = 2.0 * np.trapezoid(out * np.exp(-k), k, axis=1)
    return np.log(theta[:, 0]), np.log(swap)


def swap_variance(theta: Floats, rho: float, eta: float) -> Floats:
    """What the strip of all strikes implies: 2 times the sum of dK / K^2 times the option out of the money,
    the continuous form of the Cboe Volatility Index Mathematics Methodology, over total variance `theta`."""
    log_theta, log_swap = _swap_table(rho, eta)
    return np.asarray(np.exp(np.interp(np.log(theta), log_theta, log_swap)))


def theta_of_swap(swap: Floats, rho: float, eta: float) -> Floats:
    """The inverse of `swap_variance`."""
    log_theta, log_swap = _swap_table(rho, eta)
    return np.asarray(np.exp(np.interp(np.log(swap), log_swap, log_theta)))


def index_points(theta: Floats, rho: float, eta: float) -> Floats:
    """The volatility index, from the total variance at the money in 30 days."""
    return np.asarray(100.0 * np.sqrt(swap_variance(theta, rho, eta) / INDEX_YEARS))

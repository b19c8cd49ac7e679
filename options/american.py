"""Values and Greeks of options that may be exercised early, over numpy arrays.

The premium of early exercise over the European value is the quadratic approximation of Barone-Adesi and
Whaley, "Efficient analytic approximation of American option values" (Journal of Finance 42, 1987), whose
boundary is found by Newton's steps from that of Bjerksund and Stensland, "Closed-form approximation of
American options" (Scandinavian Journal of Management 9, 1993). With discrete dividends the shares without
them (the escrowed price) are what moves, and a call is worth what it would bring at the best of its European
exercise days (Black, "Fact and fantasy in the use of options", Financial Analysts Journal 31, 1975).

Measured error: at most 0.04 % of the strike up to 45 days, 0.09 % up to a year; 0.21 % beside a dividend of
1 % of the price.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from options.normal import Floats, cdf, density
from options.pricing import DAYS_PER_YEAR, Greeks, greeks

Places = NDArray[np.intp]

NEWTON_STEPS = 4
VOL_STEP = 1e-4
YEARS_STEP = 1e-4
FAR = 1e6


@dataclass(frozen=True, slots=True)
class LastChance:
    """The moment before a dividend, for each option.

    `years` until then (NaN for an option that ends before), the present value `paid` of the dividends before
    it in USD per share, and the volatility `vol` up to it.
    """

    years: Floats
    paid: Floats
    vol: Floats


def american(
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    vol: ArrayLike,
    is_call: ArrayLike,
    rate: ArrayLike = 0.0,
    dividend_yield: ArrayLike = 0.0,
) -> Greeks:
    """Value and Greeks with a continuous dividend yield; units and NaN as in `greeks`."""
    s, k, t, v, r, q, call = np.broadcast_arrays(
        *(np.asarray(a, dtype=np.float64) for a in (spot, strike, years, vol, rate, dividend_yield)),
        np.asarray(is_call, dtype=bool),
    )
    european = greeks(s, k, t, v, call, r, q)
    # Without interest a put, and without dividends a call, is never worth more dead than alive.
    early = np.flatnonzero(np.where(call, q > 0, r > 0) & np.isfinite(european.price))
    if not early.size:
        return european
    sign = np.where(call, 1.0, -1.0)
    return _with_premium(european, early, *(np.ravel(a)[early] for a in (s, k, t, v, r, q, sign)))


def _with_premium(
    european: Greeks,
    early: Places,
    s: Floats,
    k: Floats,
    t: Floats,
    v: Floats,
    r: Floats,
    q: Floats,
    sign: Floats,
) -> Greeks:
    """`european` with the premium of early exercise added at the places `early`."""
    dv, dt = VOL_STEP * v, YEARS_STEP * t
    ladder = np.concatenate
    edges, weights, powers = _boundary(
        ladder([k, k, k]),
        ladder([t, t, t - dt]),
        ladder([v, v + dv, v]),
        *(ladder([a] * 3) for a in (r, q, sign)),
    )
    with np.errstate(all="ignore"):
        ratio = ladder([s, s, s]) / edges
        premium, vol_premium, time_premium = np.split(weights * np.exp(powers * np.log(ratio)), 3)
    dead = sign * (s - edges[: s.size]) >= 0
    power = powers[: s.size]
    slope = power * premium / s
    found = [np.ravel(a).copy() for a in (european.price, european.delta, european.gamma)]
    price, delta, gamma = (a[early] for a in found)
    theta, vega = (np.ravel(a).copy() for a in (european.theta, european.vega))
    found[0][early] = np.where(dead, sign * (s - k), price + premium)
    found[1][early] = np.where(dead, sign, delta + slope)
    found[2][early] = np.where(dead, 0.0, gamma + (power - 1.0) * slope / s)
    theta[early] = np.where(dead, 0.0, theta[early] - (premium - time_premium) / dt / DAYS_PER_YEAR)
    vega[early] = np.where(dead, 0.0, vega[early] + (vol_premium - premium) / dv / 100.0)
    shape = european.price.shape
    return Greeks(*(a.reshape(shape) for a in (*found, theta, vega)))


def _boundary(
    k: Floats, t: Floats, v: Floats, r: Floats, q: Floats, sign: Floats
) -> tuple[Floats, Floats, Floats]:
    """(price at which exercise is best, premium there, power by which it fades away from there)."""
    b, variance = r - q, v * v
    root = v * np.sqrt(t)
    carry, discount = np.exp(-q * t), np.exp(-r * t)
    n = 2.0 * b / variance - 1.0
    m = 2.0 * r / variance
    # The limit of m / (1 - discount) without interest.
    share = np.where(r > 0, m / np.where(r > 0, -np.expm1(-r * t), 1.0), 2.0 / (variance * t))
    power = 0.5 * (-n + sign * np.sqrt(n * n + 4.0 * share))
    forever = 0.5 * (-n + sign * np.sqrt(n * n + 4.0 * m))
    with np.errstate(all="ignore"):
        far = 1.0 / (1.0 - 1.0 / forever)
        # Where exercise is best a moment before expiry, from which the boundary moves away.
        near = np.where(sign > 0, np.maximum(1.0, r / q), np.minimum(1.0, r / q))
        edge = far + (near - far) * np.exp(-(sign * b * t + 2.0 * root) * near / np.abs(far - near))
        drift = (b + 0.5 * variance) * t
        for _ in range(NEWTON_STEPS):
            d1 = (np.log(edge) + drift) / root
            inside = carry * cdf(sign * d1)
            european = sign * (edge * inside - discount * cdf(sign * (d1 - root)))
            gap = european + sign * (1.0 - inside) * edge / power - sign * (edge - 1.0)
            bend = sign * inside * (1.0 - 1.0 / power) + sign / power - carry * density(d1) / (root * power)
            edge = np.maximum(edge - gap / (bend - sign), 1.0 / FAR)
        d1 = (np.log(edge) + drift) / root
        weight = sign * (1.0 - carry * cdf(sign * d1)) * edge / power
    # A boundary beyond all numbers (hardly any yield) is one that is never reached.
    reached = np.isfinite(weight) & np.isfinite(power) & (edge < FAR)
    edge = np.where(reached, edge, np.where(sign > 0, FAR, 1.0 / FAR))
    return edge * k, np.where(reached, weight, 0.0) * k, np.where(reached, power, sign)


def escrowed_american(
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    vol: ArrayLike,
    is_call: ArrayLike,
    rate: float,
    paid: ArrayLike,
    chances: Sequence[LastChance] = (),
) -> Greeks:
    """Value and Greeks with discrete dividends of the present value `paid` (USD per share) before expiry.

    A call may be exercised before each dividend, for which `chances` have one entry each, the next first.
    The results have at least one dimension.
    """
    s, k, t, v, d, call = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(a, dtype=np.float64)) for a in (spot, strike, years, vol, paid)),
        np.asarray(is_call, dtype=bool),
    )
    best = american(s - d, k, t, v, call, rate)
    for chance in chances:
        # Exercise can only pay when the dividends that are left exceed the interest saved on the strike.
        saved = k * -np.expm1(-rate * np.maximum(t - chance.years, 0.0))
        at = np.flatnonzero(call & (d - chance.paid > saved * np.exp(-rate * np.maximum(chance.years, 0.0))))
        if at.size:
            early = greeks((s - chance.paid)[at], k[at], chance.years[at], chance.vol[at], True, rate)
            best = _better(best, early, at)
    return best


def _better(best: Greeks, other: Greeks, at: Places) -> Greeks:
    """`best` with `other` at the places `at` where that is worth more."""
    wins = other.price > best.price[at]
    places = at[wins]
    merged = {}
    for name in ("price", "delta", "gamma", "theta", "vega"):
        values = getattr(best, name).copy()
        values[places] = getattr(other, name)[wins]
        merged[name] = values
    return replace(best, **merged)

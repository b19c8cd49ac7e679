"""How what an option is worth becomes a quote: width, ticks, sizes, and how much is traded.

An option of 1 USD at the money is `spread_usd` wide, and the width grows with the square root of the price.
It widens by the square of the distance from the money (in standard deviations), with what is in the money,
with volatility over its calm level, in the first minutes of a session, and before a report. Bids are rounded
down and asks up, so the value lies between them: where values admit no arbitrage, quotes do not either.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from broker.gateway.markets.market_rules import PENNY_CLASSES
from broker.gateway.markets.model.board import Places, Worth
from broker.gateway.markets.model.shares import SHARES, Share
from options.normal import Floats

OPENING_FACTOR, OPENING_MINUTES = 2.5, 3.0
DISTANCE_FACTOR, FARTHEST = 0.12, 4.0
IN_THE_MONEY = 0.0025
VOL_POWER = 0.7
REPORT_FACTOR = 1.6
CENT, NICKEL, NICKELS_FROM_USD = 0.01, 0.05, 3.0
AFTER_HOURS_FACTOR = 8.0
SPREADS = np.array([share.spread_usd for share in SHARES])
OPTION_VOLUMES = np.array([share.option_volume for share in SHARES], dtype=np.float64)
NICKELS = np.array([share.symbol not in PENNY_CLASSES for share in SHARES])

Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """USD per share; a bid of 0 is none."""

    bids: Floats
    asks: Floats


def stress(vols: Floats, calm: Floats) -> Floats:
    """How much wider quotes are because volatility lies above its calm level; below it they narrow little."""
    return np.asarray(np.maximum(vols / calm, 0.8) ** VOL_POWER)


def opening_factor(minutes: float) -> float:
    """How much wider quotes are `minutes` after the opening."""
    return float(1.0 + OPENING_FACTOR * np.exp(-minutes / OPENING_MINUTES))


def option_sides(found: Worth, shares: Places, calls: NDArray[np.bool_], factors: Floats) -> Sides:
    """Bids and asks on ticks; `factors` (rows,) widen them."""
    price = found.greeks.price
    inside = np.maximum(np.where(calls, 1.0, -1.0) * (found.spots - found.strikes), 0.0)
    away = 1.0 + DISTANCE_FACTOR * np.minimum(found.distance**2, FARTHEST**2)
    width = SPREADS[shares] * np.sqrt(0.25 + price) * away + IN_THE_MONEY * inside
    half = 0.5 * width * factors
    low, high = price - half, price + half
    bids: Floats = np.floor(low / _ticks(low, shares) + 1e-9) * _ticks(low, shares)
    asks: Floats = np.ceil(high / _ticks(high, shares) - 1e-9) * _ticks(high, shares)
    return Sides(np.maximum(bids, 0.0).round(2), np.maximum(asks, CENT).round(2))


def _ticks(prices: Floats, shares: Places) -> Floats:
    return np.asarray(np.where(NICKELS[shares] & (prices > NICKELS_FROM_USD), NICKEL, CENT), dtype=np.float64)


def share_sides(price: float, share: Share, factor: float) -> tuple[float, float]:
    """(bid, ask) of a share, at least a cent apart."""
    half = max(0.5 * share.share_spread * price * factor, 0.4 * CENT)
    bid = math.floor((price - half) / CENT + 1e-9) * CENT
    return round(bid, 2), round(max(math.ceil((price + half) / CENT - 1e-9) * CENT, bid + CENT), 2)


def chance(ids: Whole, salt: int) -> Floats:
    """A number in [0, 1) for each id that looks random and is always the same: splitmix64 of Steele, Lea and
    Flood, "Fast splittable pseudorandom number generators" (2014)."""
    with np.errstate(over="ignore"):
        mixed = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(31))
    return np.asarray((mixed >> np.uint64(11)).astype(np.float64) / 2.0**53)


def sizes(ids: Whole, shares: Places, moment: int) -> tuple[Whole, Whole]:
    """Contracts bid and asked for; each changes every few seconds of the epoch second `moment`."""
    deep = np.where(NICKELS[shares], 40.0, 180.0)
    turn = (moment + ids % 7) // 7
    bid, ask = (1 + np.floor(deep * chance(ids + turn, salt) ** 2) for salt in (1, 2))
    return bid.astype(np.int64), ask.astype(np.int64)


def interest(
    ids: Whole, shares: Places, distance: Floats, even: NDArray[np.bool_], day: int
) -> tuple[Whole, Whole]:
    """(open interest, contracts traded on an ordinary day): most near the money and at `even` strikes."""
    drawn = np.sqrt(-2.0 * np.log(1.0 - chance(ids, 3))) * np.cos(2 * np.pi * chance(ids, 4))
    near = np.exp(-0.5 * np.minimum(np.abs(distance), 6.0) ** 1.5)
    held = OPTION_VOLUMES[shares] / 600 * near * np.where(even, 2.5, 1.0) * np.exp(0.7 * drawn)
    traded = 0.6 * held * chance(ids + day, 5) ** 2
    return np.floor(held).astype(np.int64), np.floor(traded).astype(np.int64)

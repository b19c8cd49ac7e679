"""A year of made days of underlyings, as the broker would tell it."""

from datetime import date, datetime

import numpy as np

from broker.events import DailyKind, DailyValues
from options import ConId
from options.hours import previous_trading_day, trading_day
from sync.almanac import Almanac


def days(count: int, last: date) -> list[date]:
    """So many trading days, the last one `last`, or the one before it when that is none."""
    found = [last]
    while len(found) < count:
        found.append(previous_trading_day(found[-1]))
    return found[::-1]


def year_of(symbols: tuple[str, ...], now: datetime, seed: int = 3) -> Almanac:
    """An almanac that knows 250 days of closes (1 % a day) and implied volatility (0.1 points a day)."""
    chance, almanac = np.random.default_rng(seed), Almanac()
    for symbol in symbols:
        closes = 100 * np.exp(np.cumsum(0.01 * chance.normal(size=250)))
        vols = 0.2 + 0.001 * np.cumsum(chance.normal(size=250))
        for kind, values in zip(DailyKind, (closes, vols), strict=True):
            told = tuple(zip(days(250, trading_day(now)), values.tolist(), strict=True))
            almanac.answer(symbol, DailyValues(ConId(1), kind, told), now)
    return almanac

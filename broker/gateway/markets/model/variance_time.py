"""The time in which variance passes: much of it while the exchange is open, little over a weekend.

A trading day is one unit, a quarter of it overnight; a closed day adds `CLOSED_DAY`. Within a session more
passes at both ends than in the middle. Years hold `UNITS_PER_YEAR` on average.
"""

from datetime import date, datetime, timedelta
from functools import cache

import numpy as np

from options.hours import (
    closing,
    is_trading_day,
    next_trading_day,
    opening,
    previous_trading_day,
    session_s,
    trading_day,
)
from options.normal import Floats

OVERNIGHT = 0.25
CLOSED_DAY = 0.35
UNITS_PER_YEAR = 252 + 113 * CLOSED_DAY


def session_share(part: Floats | float) -> Floats:
    """How much of a session's variance has passed when a `part` (0 to 1) of its time has."""
    return np.asarray(0.6 * np.asarray(part) + 0.2 * ((2.0 * np.asarray(part) - 1.0) ** 3 + 1.0))


@cache
def _year(year: int) -> Floats:
    """Units from the year's beginning to the end of each of its days, with a leading 0."""
    first = date(year, 1, 1)
    days = (first + timedelta(days=n) for n in range((date(year + 1, 1, 1) - first).days))
    return np.concatenate([[0.0], np.cumsum([1.0 if is_trading_day(day) else CLOSED_DAY for day in days])])


@cache
def at_close(day: date) -> float:
    """Years that have passed by the end of a day, since the beginning of 2020."""
    year = _year(day.year)
    whole = sum(float(_year(each)[-1]) for each in range(2020, day.year))
    whole -= sum(float(_year(each)[-1]) for each in range(day.year, 2020))
    return (whole + float(year[day.timetuple().tm_yday])) / UNITS_PER_YEAR


def at(now: datetime) -> float:
    """Years that have passed at a moment, on the same scale."""
    day = trading_day(now)
    trading = is_trading_day(day)
    if trading and opening(day) <= now < closing(day):
        part = (now - opening(day)).total_seconds() / session_s(day)
        left = (1.0 - OVERNIGHT) * (1.0 - float(session_share(part)))
        return at_close(day) - left / UNITS_PER_YEAR
    following = day if trading and now < opening(day) else next_trading_day(day)
    before = previous_trading_day(following)
    part = (now - closing(before)) / (opening(following) - closing(before))
    start = at_close(before)
    at_opening = at_close(following) - (1.0 - OVERNIGHT) / UNITS_PER_YEAR
    return start + part * (at_opening - start)

"""Regular trading hours of the New York Stock Exchange, which its options keep too.

09:30 to 16:00 New York; some days close at 13:00, and there are holidays. Days from the `holidays` library.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache

from options.clock import NEW_YORK

OPENING = time(9, 30)
CLOSING = time(16, 0)
EARLY_CLOSING = time(13, 0)


@cache
def _exceptions(year: int) -> tuple[frozenset[date], frozenset[date]]:
    """The weekdays of a year (without trading, that close early)."""
    from holidays import financial_holidays  # a tenth of a second that many commands can do without

    closed = financial_holidays("NYSE", years=year)
    early = financial_holidays("NYSE", years=year, categories=("half_day",))
    return frozenset(closed), frozenset(early)


def is_trading_day(day: date) -> bool:
    return day.weekday() < 5 and day not in _exceptions(day.year)[0]


def closes_early(day: date) -> bool:
    return day in _exceptions(day.year)[1]


def opening(day: date) -> datetime:
    return datetime.combine(day, OPENING, NEW_YORK).astimezone(UTC)


def closing(day: date) -> datetime:
    return datetime.combine(day, EARLY_CLOSING if closes_early(day) else CLOSING, NEW_YORK).astimezone(UTC)


def session_s(day: date) -> int:
    """Seconds from the opening to the closing."""
    return round((closing(day) - opening(day)).total_seconds())


def trading_day(now: datetime) -> date:
    """The day in New York."""
    return now.astimezone(NEW_YORK).date()


def next_trading_day(day: date) -> date:
    later = day + timedelta(days=1)
    return later if is_trading_day(later) else next_trading_day(later)


def previous_trading_day(day: date) -> date:
    earlier = day - timedelta(days=1)
    return earlier if is_trading_day(earlier) else previous_trading_day(earlier)


def is_open(now: datetime) -> bool:
    day = trading_day(now)
    return is_trading_day(day) and opening(day) <= now < closing(day)


def next_opening(now: datetime) -> datetime:
    """The first opening after `now`."""
    day = trading_day(now)
    if is_trading_day(day) and now < opening(day):
        return opening(day)
    return opening(next_trading_day(day))

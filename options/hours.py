"""Regular trading hours of options: 09:30 to 16:00 New York, Monday to Friday. Holidays are not known."""

from datetime import UTC, date, datetime, time, timedelta

from options.clock import NEW_YORK

OPENING = time(9, 30)
CLOSING = time(16, 0)
SESSION_S = 23_400


def opening(day: date) -> datetime:
    return datetime.combine(day, OPENING, NEW_YORK).astimezone(UTC)


def closing(day: date) -> datetime:
    return datetime.combine(day, CLOSING, NEW_YORK).astimezone(UTC)


def trading_day(now: datetime) -> date:
    """The day in New York."""
    return now.astimezone(NEW_YORK).date()


def is_trading_day(day: date) -> bool:
    return day.weekday() < 5


def next_trading_day(day: date) -> date:
    later = day + timedelta(days=1)
    return later if is_trading_day(later) else next_trading_day(later)


def is_open(now: datetime) -> bool:
    day = trading_day(now)
    return is_trading_day(day) and opening(day) <= now < closing(day)


def next_opening(now: datetime) -> datetime:
    """The first opening after `now`."""
    day = trading_day(now)
    if is_trading_day(day) and now < opening(day):
        return opening(day)
    return opening(next_trading_day(day))

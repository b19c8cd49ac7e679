"""When the lake's upkeep is due: once after each close, outside trading hours, on the exchange calendar.

Pure: every moment is handed in. `after` is how long after a close it begins.
"""

from datetime import datetime, timedelta

from options.hours import closing, is_open, is_trading_day, next_opening, previous_trading_day, trading_day

BEFORE_OPENING = timedelta(minutes=15)
"""A run still at work is stopped so long before the market opens; the next evening takes it up again."""

CLOSES_MISSED = 3


def fell_due(now: datetime, after: timedelta, closes_ago: int = 0) -> datetime:
    """When upkeep last fell due; `closes_ago` counts trading days further back."""
    day = trading_day(now)
    if not is_trading_day(day) or closing(day) + after > now:
        day = previous_trading_day(day)
        # A close late in the evening may fall due only after midnight.
        if closing(day) + after > now:
            day = previous_trading_day(day)
    for _ in range(closes_ago):
        day = previous_trading_day(day)
    return closing(day) + after


def is_quiet(now: datetime) -> bool:
    """Whether the market is closed and does not open soon."""
    return not is_open(now) and next_opening(now) - now > BEFORE_OPENING


def is_due(now: datetime, last: datetime | None, after: timedelta) -> bool:
    """Whether it is time: the market is closed, and nothing was done since the last close. `last`: the
    moment of the last whole upkeep, None when there was none."""
    return is_quiet(now) and (last is None or last < fell_due(now, after))


def was_skipped(before: datetime, now: datetime, after: timedelta) -> bool:
    """Whether the clock jumped over the time for it, as a simulated one does that skips the nights."""
    return is_open(now) and fell_due(before, after) < fell_due(now, after)


def is_overdue(now: datetime, since: datetime, after: timedelta) -> bool:
    """Whether several closes passed since `since`: the last upkeep, or when it was first missed."""
    return since < fell_due(now, after, CLOSES_MISSED - 1)

"""Upkeep is due once after each close and never near trading hours. Times are New York."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.upkeep import fell_due, is_due, is_overdue, is_quiet, was_skipped
from options import NEW_YORK
from options.hours import closing, is_open, is_trading_day

AFTER = timedelta(minutes=30)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-03-02T16:29:59", "2026-02-27T16:30"),
        ("2026-03-02T16:30", "2026-03-02T16:30"),
        ("2026-03-03T12:00", "2026-03-02T16:30"),
        ("2026-03-07T12:00", "2026-03-06T16:30"),  # a Saturday
        ("2026-11-26T12:00", "2026-11-25T16:30"),  # Thanksgiving
        ("2026-11-27T13:30", "2026-11-27T13:30"),  # closes at 13:00 the day after
        ("2026-12-25T18:00", "2026-12-24T13:30"),
        ("2026-03-09T09:00", "2026-03-06T16:30"),  # the clocks changed in between
    ],
)
def test_it_falls_due_half_an_hour_after_every_close(now: str, due: str) -> None:
    assert fell_due(at(now), AFTER) == at(due)


def test_a_long_wait_may_go_past_midnight() -> None:
    long = timedelta(hours=10)
    assert fell_due(at("2026-03-03T01:00"), long) == at("2026-02-28T02:00")
    assert fell_due(at("2026-03-03T02:00"), long) == at("2026-03-03T02:00")


@pytest.mark.parametrize(
    ("now", "last", "due"),
    [
        ("2026-03-02T16:15", "2026-02-27T17:00", False),
        ("2026-03-02T16:30", "2026-02-27T17:00", True),
        ("2026-03-02T18:00", "2026-03-02T16:31", False),
        ("2026-03-02T12:00", "2026-02-20T17:00", False),  # missed, and trading
        ("2026-03-03T08:00", "2026-02-20T17:00", True),  # missed, made up for before the opening
        ("2026-03-03T09:20", "2026-02-20T17:00", False),  # too near the opening
        ("2026-03-07T12:00", "2026-03-06T20:00", False),  # a weekend has one
        ("2026-03-07T12:00", None, True),
        ("2026-03-02T12:00", None, False),
    ],
)
def test_it_is_due_once_per_close_while_the_market_is_closed(now: str, last: str | None, due: bool) -> None:
    assert is_due(at(now), at(last) if last else None, AFTER) is due


@given(st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1)))
def test_it_is_never_due_within_hours_and_never_twice(moment: datetime) -> None:
    now = moment.replace(tzinfo=NEW_YORK)
    if is_due(now, None, AFTER):
        assert not is_open(now)
        assert is_quiet(now)
    assert not is_due(now, now, AFTER)
    due = fell_due(now, AFTER)
    assert due <= now
    day: date = due.astimezone(NEW_YORK).date()
    assert is_trading_day(day)
    assert due == closing(day) + AFTER


def test_a_clock_that_skips_nights_is_seen_to_have_skipped_it() -> None:
    assert was_skipped(at("2026-03-02T15:59"), at("2026-03-03T09:30"), AFTER)
    assert not was_skipped(at("2026-03-02T15:59"), at("2026-03-02T20:00"), AFTER), "it is night now"
    assert not was_skipped(at("2026-03-03T09:30"), at("2026-03-03T15:59"), AFTER)


def test_it_is_overdue_when_three_closes_passed_without() -> None:
    last = at("2026-03-02T17:00")
    assert not is_overdue(at("2026-03-05T12:00"), last, AFTER), "two passed"
    assert is_overdue(at("2026-03-05T16:30"), last, AFTER)
    assert not is_overdue(at("2026-03-05T16:29"), last, AFTER)

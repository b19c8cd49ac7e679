"""The calendar against the days that the New York Stock Exchange has published, and its own promises."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from options import hours

NEW_YORK = ZoneInfo("America/New_York")
CLOSED = {
    2024: "01-01 01-15 02-19 03-29 05-27 06-19 07-04 09-02 11-28 12-25",
    2025: "01-01 01-09 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25",
    2026: "01-01 01-19 02-16 04-03 05-25 06-19 07-03 09-07 11-26 12-25",
    2027: "01-01 01-18 02-15 03-26 05-31 06-18 07-05 09-06 11-25 12-24",
}
EARLY = {
    2024: "07-03 11-29 12-24",
    2025: "07-03 11-28 12-24",
    2026: "11-27 12-24",
    2027: "11-26",
}


def days_of(year: int) -> list[date]:
    return [date(year, 1, 1) + timedelta(days=n) for n in range(366)][: 366 if year % 4 == 0 else 365]


@pytest.mark.parametrize("year", CLOSED)
def test_every_weekday_is_a_trading_day_but_the_published_holidays(year: int) -> None:
    closed = [day for day in days_of(year) if day.weekday() < 5 and not hours.is_trading_day(day)]
    assert [f"{day:%m-%d}" for day in closed] == CLOSED[year].split()
    assert not any(hours.is_trading_day(day) for day in days_of(year) if day.weekday() >= 5)


@pytest.mark.parametrize("year", EARLY)
def test_the_published_days_close_at_one_and_all_others_at_four(year: int) -> None:
    trading = [day for day in days_of(year) if hours.is_trading_day(day)]
    closings = {day: hours.closing(day).astimezone(NEW_YORK).time().hour for day in trading}
    assert [f"{day:%m-%d}" for day, hour in closings.items() if hour == 13] == EARLY[year].split()
    assert set(closings.values()) == {13, 16}
    assert {hours.session_s(day) for day in trading} == {12_600, 23_400}


def test_an_early_close_ends_the_session() -> None:
    early = datetime(2026, 11, 27, 12, 59, tzinfo=NEW_YORK)
    assert hours.is_open(early)
    assert not hours.is_open(early + timedelta(minutes=1))
    assert hours.next_opening(early) == datetime(2026, 11, 30, 9, 30, tzinfo=NEW_YORK)


def test_the_week_after_good_friday_begins_on_monday() -> None:
    assert hours.next_trading_day(date(2026, 4, 2)) == date(2026, 4, 6)


@given(st.datetimes(datetime(2015, 1, 1), datetime(2029, 12, 31), timezones=st.just(UTC)))
def test_the_next_opening_lies_ahead_and_nothing_is_open_before_it(now: datetime) -> None:
    ahead = hours.next_opening(now)
    assert ahead > now and hours.is_open(ahead) and not hours.is_open(ahead - timedelta(seconds=1))
    assert ahead - now <= timedelta(days=5)
    until = hours.closing(hours.trading_day(now)) if hours.is_open(now) else now
    between = until + (ahead - until) / 2
    assert not hours.is_open(between) or between == ahead

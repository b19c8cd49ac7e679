"""Durations, bars and pacing without a socket; layouts at each version that differs."""

from datetime import UTC, date, datetime, timedelta

import pytest

from broker.gateway.desks.pacing import Asked, Pacing
from broker.gateway.markets.bars import DAY_S, Price, bars_of, hour_of, merged
from broker.gateway.markets.market import Bar
from broker.gateway.protocol.history_messages import bar_time, historical_data, historical_update, schedule
from broker.gateway.protocol.history_request import Duration, last_trading
from options.hours import opening
from tests.gateway.test_contract_messages import heard

MONDAY = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)  # noon in New York


@pytest.mark.parametrize(
    ("words", "end", "begin"),
    [
        ("1 D", MONDAY, date(2026, 3, 2)),
        ("2 D", MONDAY, date(2026, 2, 27)),
        ("1 D", MONDAY - timedelta(days=1), date(2026, 2, 27)),
        ("1 W", MONDAY, date(2026, 2, 24)),
        ("1 M", MONDAY, date(2026, 2, 3)),
        ("1 Y", MONDAY, date(2025, 3, 3)),
        ("10 D", datetime(2026, 7, 6, 20, 0, tzinfo=UTC), date(2026, 6, 22)),
    ],
)
def test_a_duration_of_days_begins_with_the_first_trading_day(words, end, begin):
    assert Duration.read(words).begin(end) == opening(begin)


def test_seconds_count_back_from_the_last_moment_of_trading():
    friday_close = datetime(2026, 2, 27, 21, 0, tzinfo=UTC)
    before_monday = datetime(2026, 3, 2, 13, 0, tzinfo=UTC)
    assert last_trading(before_monday) == friday_close
    assert Duration.read("3600").begin(before_monday) == friday_close - timedelta(hours=1)
    assert Duration.read("1800 S").begin(MONDAY) == MONDAY - timedelta(minutes=30)


def test_the_reply_names_the_span_that_was_asked_for():
    assert Duration.read("1 D").told_begin(MONDAY) == MONDAY - timedelta(days=1)
    assert Duration.read("1 M").told_begin(MONDAY) == MONDAY - timedelta(days=28)


def test_a_bar_ends_at_the_moment_that_is_asked_about_and_knows_nothing_later():
    start = opening(date(2026, 3, 2))
    prices = [Price(start + timedelta(seconds=s), 100.0 + s, s) for s in (0, 30, 70, 110)]
    first, second = bars_of(prices, start, start + timedelta(seconds=100), 60, stand=False)
    assert (first.open, first.close, first.volume, first.count) == (100.0, 130.0, 30, 2)
    assert (second.open, second.close, second.volume) == (170.0, 170.0, 70)


def test_bars_lie_in_regular_hours_and_half_days_end_at_one():
    day = date(2026, 11, 27)
    price = [Price(opening(day), 5.0)]
    until = opening(day) + timedelta(days=2)
    halves = bars_of(price, opening(day), until, 1800, stand=True)
    assert len(halves) == 7
    assert len(bars_of(price, opening(day), until, DAY_S, stand=True)) == 1
    assert len(bars_of(price, opening(day), until, DAY_S, stand=False)) == 1


def test_hours_begin_at_the_opening_and_then_on_the_hour():
    start = opening(date(2026, 3, 2))
    halves = [
        Bar(start + n * timedelta(minutes=30), n, n + 1.0, n - 1.0, n + 0.5, 2, n + 0.25, 1)
        for n in range(13)
    ]
    hours = merged(halves, lambda bar: hour_of(bar, 1))
    assert [bar.start - start for bar in hours[:3]] == [timedelta(minutes=m) for m in (0, 30, 90)]
    assert (hours[1].open, hours[1].high, hours[1].low, hours[1].close) == (1, 3.0, 0.0, 2.5)
    assert (hours[1].volume, hours[1].average, hours[1].count) == (4, 1.75, 2)
    assert len(merged(halves, lambda bar: hour_of(bar, 8))) == 1


@pytest.mark.parametrize(
    ("version", "daily", "as_epoch", "text"),
    [
        (173, False, False, "20260302  12:00:00"),
        (174, False, False, "20260302 12:00:00 US/Eastern"),
        (174, False, True, "1772470800"),
        (178, True, True, "20260302"),
    ],
)
def test_a_bars_time_depends_on_version_and_format(version, daily, as_epoch, text):
    assert bar_time(Bar(MONDAY, 1, 1, 1, 1, 1, 1, 1), daily, as_epoch, version) == text


@pytest.mark.parametrize("version", [157, 163, 173, 174, 176, 178])
def test_bars_leave_no_field_over_at_any_version(version):
    bar = Bar(MONDAY, 1.0, 4.0, 0.5, 2.0, 300, 1.5, 7)
    when = bar_time(bar, False, False, version)
    message = historical_data(5, MONDAY - timedelta(days=1), MONDAY, [(when, bar)] * 2, version)
    name, (req_id, told) = heard(message, version)
    assert (name, req_id, told.open, told.high, told.barCount) == ("historicalData", 5, 1.0, 4.0, 7)
    _, (_, told) = heard(historical_update(5, when, bar), version)
    assert (told.open, told.close, told.high, told.low) == (1.0, 2.0, 4.0, 0.5)
    assert (told.volume, told.average, told.barCount) == (300, 1.5, 7)


def test_a_schedule_leaves_no_field_over():
    name, told = heard(schedule(5, MONDAY, MONDAY, [date(2026, 3, 2)]), 178)
    assert (name, told[3], len(told[4])) == ("historicalSchedule", "US/Eastern", 1)


def test_pacing_counts_identical_hasty_and_too_many_requests():
    def asked(seconds, source=1, details=0, weight=1):
        return Asked(MONDAY + timedelta(seconds=seconds), (source,), (details,), weight)

    pacing = Pacing()
    assert pacing.admit(asked(0))
    assert not pacing.admit(asked(14.9))
    assert pacing.admit(asked(15))
    assert all(pacing.admit(asked(40, details=n)) for n in range(5))
    assert not pacing.admit(asked(41, details=5))
    assert pacing.admit(asked(42, details=5))
    assert all(pacing.admit(asked(50, source=n)) for n in range(2, 52))
    assert not pacing.admit(asked(60, source=99, weight=3))
    assert pacing.admit(asked(60, source=99, weight=2))
    assert not pacing.admit(asked(61, source=100))
    assert pacing.admit(asked(600, source=100))

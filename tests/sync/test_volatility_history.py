"""A year of days of the underlyings: places of implied volatility, moves, what is recorded."""

from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl
import pytest

from broker.events import DailyKind, DailyValues
from options import ConId
from options.hours import is_trading_day, previous_trading_day
from sync.almanac import WHOLE_YEAR
from sync.tables import UNDERLYING_DAYS_TABLE
from sync.volatility_history import FEWEST_DAYS, FEWEST_MOVES, VolatilityHistory
from tests.sync.years import days as days_before
from tests.sync.years import year_of

TODAY = date(2026, 3, 20)
CLOSE, IV = DailyKind


def days(count: int, last: date = TODAY) -> list[date]:
    return days_before(count, last)


def with_iv(values: list[float], last: date = TODAY) -> VolatilityHistory:
    history = VolatilityHistory()
    history.take("IWM", IV, zip(days(len(values), last), values, strict=True), TODAY)
    return history


def test_rank_and_percentile_say_where_the_latest_lies_in_its_year() -> None:
    history = with_iv([0.10] + [0.20] * 148 + [0.40] * 50 + [0.25])
    place = history.iv_place("IWM", TODAY)
    assert place.rank == pytest.approx(50.0)
    assert place.percentile == pytest.approx(100 * 149 / 199)
    assert place.day == TODAY


def test_a_new_high_is_a_hundred_and_a_new_low_is_zero() -> None:
    year = list(np.linspace(0.2, 0.3, 220))
    assert (with_iv([*year, 0.5]).iv_place("IWM", TODAY).rank) == 100.0
    low = with_iv([*year, 0.1]).iv_place("IWM", TODAY)
    assert (low.rank, low.percentile) == (0.0, 0.0)


def test_too_few_days_an_old_last_day_and_no_movement_say_nothing() -> None:
    enough = list(np.linspace(0.2, 0.3, FEWEST_DAYS))
    assert with_iv(enough).iv_place("IWM", TODAY).rank is not None
    assert with_iv(enough[1:]).iv_place("IWM", TODAY).rank is None
    yesterday = previous_trading_day(TODAY)
    assert with_iv(enough, yesterday).iv_place("IWM", TODAY).rank is not None
    before = previous_trading_day(yesterday)
    assert with_iv(enough, before).iv_place("IWM", TODAY).rank is None
    flat = with_iv([0.2] * 220).iv_place("IWM", TODAY)
    assert (flat.rank, flat.percentile) == (None, 0.0)
    assert VolatilityHistory().iv_place("IWM", TODAY).rank is None


def test_days_older_than_a_year_do_not_count() -> None:
    values = [9.0] * 60 + list(np.linspace(0.2, 0.3, 255))
    assert len([day for day in days(len(values)) if day < TODAY - timedelta(days=365)]) >= 60
    assert with_iv(values).iv_place("IWM", TODAY).rank == pytest.approx(100.0)


def test_days_that_are_over_are_recorded_once_and_today_never() -> None:
    history = VolatilityHistory()
    told = list(zip(days(4), (0.2, 0.21, 0.22, 0.23), strict=True))
    rows = history.take("IWM", IV, told, TODAY)
    assert [row["value"] for row in rows] == [0.2, 0.21, 0.22]
    assert history.take("IWM", IV, told, TODAY) == []
    corrected = [(told[2][0], 0.225), (TODAY, 0.24)]
    assert [row["value"] for row in history.take("IWM", IV, corrected, TODAY)] == [0.225]
    assert history.last_day("IWM", IV) == TODAY
    tomorrow = TODAY + timedelta(days=3)
    assert [row["day"] for row in history.take("IWM", IV, [(TODAY, 0.24)], tomorrow)] == [TODAY]


def test_what_the_lake_holds_is_taken_up_again_and_not_recorded_twice() -> None:
    first = VolatilityHistory()
    told = list(zip(days(220), np.linspace(0.2, 0.3, 220).tolist(), strict=True))
    rows = first.take("IWM", IV, told, TODAY)
    rows += [{"symbol": "IWM", "kind": "implied_vol", "day": told[5][0], "value": 0.5}]
    again = VolatilityHistory()
    again.restore(pl.DataFrame(rows, schema=UNDERLYING_DAYS_TABLE.row, orient="row"))
    assert again.last_day("IWM", IV) == previous_trading_day(TODAY)
    assert [row["value"] for row in again.take("IWM", IV, told[:-1], TODAY)] == [told[5][1]]
    assert again.iv_place("IWM", TODAY) != again.iv_place("SPY", TODAY)
    again.take("IWM", IV, told[-1:], TODAY)
    assert again.iv_place("IWM", TODAY) == first.iv_place("IWM", TODAY)


def _walks(symbols: tuple[str, ...], count: int = 250) -> VolatilityHistory:
    chance, history = np.random.default_rng(3), VolatilityHistory()
    for symbol in symbols:
        closes = 100 * np.exp(np.cumsum(0.01 * chance.normal(size=count)))
        vols = 0.2 + 0.001 * np.cumsum(chance.normal(size=count))
        history.take(symbol, CLOSE, zip(days(count), closes.tolist(), strict=True), TODAY)
        history.take(symbol, IV, zip(days(count), vols.tolist(), strict=True), TODAY)
    return history


def test_moves_are_returns_and_vol_points_between_common_days() -> None:
    history = _walks(("A", "B"))
    found = history.covariance(("A", "B"), TODAY)
    assert found.shape == (4, 4)
    assert np.sqrt(found[0, 0]) == pytest.approx(0.01, rel=0.15)
    assert np.sqrt(found[2, 2]) == pytest.approx(0.1, rel=0.15)
    assert np.linalg.eigvalsh(found).min() > 0
    assert np.allclose(found, found.T)
    swapped = history.covariance(("B", "A"), TODAY)
    assert swapped[0, 0] == pytest.approx(found[1, 1])
    assert swapped[1, 2] == pytest.approx(found[0, 3])


def test_one_underlying_without_history_leaves_the_others_known() -> None:
    history = _walks(("A", "B"))
    found = history.covariance(("A", "NEW", "B"), TODAY)
    assert np.isnan(found[1]).all()
    assert np.isnan(found[:, 4]).all()
    assert np.isfinite(found[np.ix_([0, 2, 3, 5], [0, 2, 3, 5])]).all()
    assert np.isnan(history.covariance(("A", "B"), TODAY + timedelta(days=11))).all()
    assert history.covariance((), TODAY).shape == (0, 0)
    few = _walks(("A",), FEWEST_MOVES)
    assert np.isnan(few.covariance(("A",), TODAY)).all()


def test_a_missing_day_of_one_is_left_out_for_all() -> None:
    history, full = VolatilityHistory(), _walks(("A",))
    told = [(day, 100.0 + place % 7) for place, day in enumerate(days(250)) if place != 100]
    history.take("B", CLOSE, told, TODAY)
    closes = dict(told)
    at = np.array([closes[day] for day in days(250) if day in closes])
    assert history.covariance(("B",), TODAY)[0, 0] == pytest.approx(np.var(np.diff(np.log(at)), ddof=1))
    assert is_trading_day(days(250)[100]) and full.last_day("A", CLOSE) == TODAY


def test_the_move_over_a_gap_is_not_one_of_a_day() -> None:
    """A market that rises evenly moves little, however many days of it are missing in between."""
    history = VolatilityHistory()
    told = [(day, 100.0 * 1.01**place) for place, day in enumerate(days(250)) if not 100 <= place < 140]
    history.take("A", CLOSE, told, TODAY)
    assert history.covariance(("A",), TODAY)[0, 0] == pytest.approx(0.0, abs=1e-9)


def test_a_history_that_was_restated_is_asked_for_anew_and_makes_no_moves() -> None:
    """After a split of four for one the broker's closes are a quarter of those that were kept."""
    before = datetime.combine(previous_trading_day(TODAY), time(20), UTC)
    almanac, now = year_of(("A",), before), datetime.combine(TODAY, time(15), UTC)
    known = np.sqrt(almanac.history.covariance(("A",), TODAY)[0, 0])
    closes = almanac.history._of("A", CLOSE)
    halved = [
        (date.fromordinal(day), value / 4) for day, value in zip(closes.days, closes.values, strict=True)
    ]
    lately = DailyValues(ConId(1), CLOSE, (*halved[-3:], (TODAY, halved[-1][1])))
    question = almanac.question(("A",), now)
    assert question is not None and question.days < 10
    assert almanac.answer("A", lately, now) == []
    assert np.isnan(almanac.history.covariance(("A",), TODAY)[0, 0])
    again = almanac.question(("A",), now)
    assert again is not None and (again.kind, again.days) == (CLOSE, WHOLE_YEAR)
    rows = almanac.answer("A", DailyValues(ConId(1), CLOSE, tuple(halved)), now)
    assert len(rows) == len(halved)
    assert np.sqrt(almanac.history.covariance(("A",), TODAY)[0, 0]) == pytest.approx(known)
    assert almanac.answer("A", lately, now) == []
    assert np.isfinite(almanac.history.covariance(("A",), TODAY)[0, 0])

"""A year of days of each underlying: its closes and the implied volatility of its options.

They come from the broker's daily bars and are kept in the lake, so that a restart asks only for what is
missing. The day that is not over counts with its latest value and is not recorded.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from broker.events import DailyKind
from options.hours import previous_trading_day

YEAR = timedelta(days=365)
FEWEST_DAYS = 200
"""So many days of the year must be known before today's place among them means anything."""
FEWEST_MOVES = 60
"""So many common days before moves of underlyings say how they move together."""
LATEST_MOVE = timedelta(days=10)
"""How a market moves changes slowly, but not so slowly that moves of last month say it."""
LONGEST_MOVE_DAYS = 5
"""A weekend with holidays, or with a day that is missing; a move over a longer gap is not one of a day."""
RESTATED = 0.02
"""The close of a day that was over does not change by so much (ratio), unless it is told per other shares."""

Floats = NDArray[np.float64]
Days = NDArray[np.int64]
Row = dict[str, str | date | float | None]


@dataclass(frozen=True, slots=True)
class IvPlace:
    """Where implied volatility lies among those of a year, 0 to 100 each; None = not known."""

    rank: float | None = None
    percentile: float | None = None
    day: date | None = None


@dataclass(slots=True)
class _Series:
    """Values by day, in their order, days as ordinals; `arrays` are the same until a day is put."""

    days: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    arrays: tuple[Days, Floats] | None = None

    def put(self, day: date, value: float) -> bool:
        """Whether it says something new."""
        place = bisect_left(self.days, day.toordinal())
        if place == len(self.days) or self.days[place] != day.toordinal():
            self.days.insert(place, day.toordinal())
            self.values.insert(place, value)
        elif self.values[place] == value:
            return False
        self.values[place] = value
        self.arrays = None
        return True

    def year(self, today: date) -> tuple[Days, Floats]:
        """Of the last year up to `today`."""
        if self.arrays is None:
            self.arrays = np.array(self.days, np.int64), np.array(self.values, np.float64)
        days, values = self.arrays
        begin, end = np.searchsorted(days, [(today - YEAR).toordinal(), today.toordinal() + 1])
        return days[begin:end], values[begin:end]


class VolatilityHistory:
    """Series by symbol. `revision` grows with whatever they say anew."""

    def __init__(self) -> None:
        self.revision = 0
        self._series: dict[tuple[str, DailyKind], _Series] = {}
        self._recorded: set[tuple[str, DailyKind, date]] = set()

    def restore(self, rows: pl.DataFrame) -> None:
        """Take up what the lake holds: rows of `underlying_days`, oldest first."""
        for symbol, kind, day, value in rows.select("symbol", "kind", "day", "value").iter_rows():
            self._of(symbol, DailyKind(kind)).put(day, value)
            self._recorded.add((symbol, DailyKind(kind), day))
        self.revision += 1

    def take(
        self, symbol: str, kind: DailyKind, values: Iterable[tuple[date, float]], today: date
    ) -> list[Row]:
        """Take in what the broker has; returns rows of `underlying_days` for days that are over."""
        series, rows = self._of(symbol, kind), list[Row]()
        for day, value in values:
            if day > today:
                continue
            is_new = series.put(day, value)
            self.revision += is_new
            if day < today and (is_new or (symbol, kind, day) not in self._recorded):
                self._recorded.add((symbol, kind, day))
                rows.append({"symbol": symbol, "kind": kind.value, "day": day, "value": value})
        return rows

    def is_restated(self, symbol: str, kind: DailyKind, values: Iterable[tuple[date, float]]) -> bool:
        """Whether closes of days that were over come out otherwise now, as after a split: what is known of
        other days is told per other shares."""
        of = self._of(symbol, kind)
        known = dict(zip(of.days, of.values, strict=True)) if kind is DailyKind.CLOSE else {}
        return any(
            abs(value / known[day.toordinal()] - 1.0) > RESTATED
            for day, value in values
            if day.toordinal() in known and (symbol, kind, day) in self._recorded
        )

    def forget(self, symbol: str, kind: DailyKind) -> None:
        """Know nothing of it any more; all days that are told anew are recorded again."""
        self._series.pop((symbol, kind), None)
        self.revision += 1

    def last_day(self, symbol: str, kind: DailyKind) -> date | None:
        """The youngest day that is known."""
        days = self._of(symbol, kind).days
        return date.fromordinal(days[-1]) if days else None

    def iv_place(self, symbol: str, today: date) -> IvPlace:
        """Of the latest implied volatility among the days of a year before it.

        Nothing when it is older than the last trading day, or fewer than `FEWEST_DAYS` days are known.
        """
        days, values = self._of(symbol, DailyKind.IMPLIED_VOL).year(today)
        day = date.fromordinal(int(days[-1])) if days.size else None
        if day is None or days.size < FEWEST_DAYS or day < previous_trading_day(today):
            return IvPlace(day=day)
        latest, low, high = float(values[-1]), float(values.min()), float(values.max())
        rank = 100.0 * ((latest - low) / (high - low)) if high > low else None
        return IvPlace(rank, 100.0 * float(np.mean(values[:-1] < latest)), day)

    def covariance(self, symbols: Sequence[str], today: date) -> Floats:
        """Of one day's moves, (2n, 2n): returns of the underlyings, then changes of their implied
        volatility in vol points. NaN for what is not known.

        Moves are those between the days of the last year that all known series have in common, without
        those over more than `LONGEST_MOVE_DAYS`.
        """
        keys = [(symbol, kind) for kind in DailyKind for symbol in symbols]
        year = [self._of(*key).year(today) for key in keys]
        known = [place for place, (days, _) in enumerate(year) if _is_enough(days, today)]
        whole = np.full((len(keys), len(keys)), np.nan)
        common = _common([year[place][0] for place in known])
        is_move = np.diff(common) <= LONGEST_MOVE_DAYS
        if _is_enough(common, today) and is_move.sum() >= FEWEST_MOVES:
            moves = [_moves(keys[place][1], *year[place], common)[is_move] for place in known]
            whole[np.ix_(known, known)] = np.cov(np.array(moves))
        return whole

    def _of(self, symbol: str, kind: DailyKind) -> _Series:
        return self._series.setdefault((symbol, kind), _Series())


def _is_enough(days: Days, today: date) -> bool:
    return days.size > FEWEST_MOVES and bool(days[-1] >= (today - LATEST_MOVE).toordinal())


def _common(days: Sequence[Days]) -> Days:
    """The days that all have."""
    found = days[0] if days else np.zeros(0, np.int64)
    for each in days:
        if not np.array_equal(each, found):
            found = np.intersect1d(each, found, assume_unique=True)
    return found


def _moves(kind: DailyKind, days: Days, values: Floats, common: Days) -> Floats:
    at = values[np.searchsorted(days, common)]
    return np.diff(np.log(at)) if kind is DailyKind.CLOSE else np.diff(100.0 * at)

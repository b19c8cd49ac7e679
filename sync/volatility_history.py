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

Floats = NDArray[np.float64]
Row = dict[str, str | date | float | None]


@dataclass(frozen=True, slots=True)
class IvPlace:
    """Where implied volatility lies among those of a year, 0 to 100 each; None = not known."""

    rank: float | None = None
    percentile: float | None = None
    day: date | None = None


@dataclass(slots=True)
class _Series:
    """Values by day, in their order."""

    days: list[date] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def put(self, day: date, value: float) -> bool:
        """Whether it says something new."""
        place = bisect_left(self.days, day)
        if place == len(self.days) or self.days[place] != day:
            self.days.insert(place, day)
            self.values.insert(place, value)
            return True
        changed = self.values[place] != value
        self.values[place] = value
        return changed

    def since(self, first: date, last: date) -> tuple[list[date], list[float]]:
        """Of the days from `first` to `last`, both included."""
        begin, end = bisect_left(self.days, first), bisect_left(self.days, last + timedelta(days=1))
        return self.days[begin:end], self.values[begin:end]


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

    def last_day(self, symbol: str, kind: DailyKind) -> date | None:
        """The youngest day that is known."""
        days = self._of(symbol, kind).days
        return days[-1] if days else None

    def iv_place(self, symbol: str, today: date) -> IvPlace:
        """Of the latest implied volatility among the days of a year before it.

        Nothing when it is older than the last trading day, or fewer than `FEWEST_DAYS` days are known.
        """
        days, values = self._of(symbol, DailyKind.IMPLIED_VOL).since(today - YEAR, today)
        if len(days) < FEWEST_DAYS or days[-1] < previous_trading_day(today):
            return IvPlace(day=days[-1] if days else None)
        latest, low, high = values[-1], min(values), max(values)
        rank = 100.0 * ((latest - low) / (high - low)) if high > low else None
        below = sum(value < latest for value in values[:-1])
        return IvPlace(rank, 100.0 * below / (len(values) - 1), days[-1])

    def covariance(self, symbols: Sequence[str], today: date) -> Floats:
        """Of one day's moves, (2n, 2n): returns of the underlyings, then changes of their implied
        volatility in vol points. NaN for what is not known.

        Moves are those between the days of the last year that all known series have in common.
        """
        keys = [(symbol, kind) for kind in DailyKind for symbol in symbols]
        year = [self._of(*key).since(today - YEAR, today) for key in keys]
        known = [
            place
            for place, (days, _) in enumerate(year)
            if len(days) > FEWEST_MOVES and days[-1] >= today - LATEST_MOVE
        ]
        whole = np.full((len(keys), len(keys)), np.nan)
        common = sorted(set.intersection(*(set(year[place][0]) for place in known))) if known else []
        if len(common) > FEWEST_MOVES and common[-1] >= today - LATEST_MOVE:
            moves = [_moves(keys[place][1], *year[place], common) for place in known]
            whole[np.ix_(known, known)] = np.atleast_2d(np.cov(np.array(moves)))
        return whole

    def _of(self, symbol: str, kind: DailyKind) -> _Series:
        return self._series.setdefault((symbol, kind), _Series())


def _moves(kind: DailyKind, days: Sequence[date], values: Sequence[float], common: Sequence[date]) -> Floats:
    of = dict(zip(days, values, strict=True))
    at = np.array([of[day] for day in common])
    return np.diff(np.log(at)) if kind is DailyKind.CLOSE else np.diff(100.0 * at)

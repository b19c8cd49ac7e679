"""How wrong the model was: at every visit of a line the mark just before against the true quote."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from lake.schemas import TIME, Column, TableSchema

LAST_VISITS = 2000
WITHIN_RATIO = 0.01
MOST_UNTAKEN = 50_000

MARK_ERRORS_TABLE = TableSchema(
    "mark_errors",
    "visit of a contract whose mark was modelled: that mark against the quote that came",
    ("con_id",),
    (
        Column("con_id", pl.Int64(), "the contract"),
        Column("seen", TIME, "the moment of the visit", "UTC"),
        Column("mark", pl.Float64(), "the modelled mark, at the underlying's price of then", "USD per share"),
        Column("mid", pl.Float64(), "half-way between bid and ask", "USD per share"),
        Column("error_ratio", pl.Float64(), "distance of both against the mid", "ratio"),
        Column("error_ticks", pl.Float64(), "the same in price steps of the contract", "ticks"),
        Column("model_delta", pl.Float64(), "the modelled delta", "shares"),
        Column("delta", pl.Float64(), "the broker's delta", "shares", "came later, or not"),
        Column("vol", pl.Float64(), "volatility that was marked with", "per year"),
        Column("vol_age_s", pl.Float64(), "how long ago a quote had implied it", "seconds"),
    ),
)


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit; prices USD per share, `vol` per year, `delta` None when the broker gave none with it."""

    con_id: int
    seen: datetime
    mark: float
    mid: float
    tick: float
    model_delta: float
    delta: float | None
    vol: float
    vol_age_s: float

    @property
    def error_ratio(self) -> float:
        return abs(self.mark - self.mid) / self.mid

    @property
    def error_ticks(self) -> float:
        return abs(self.mark - self.mid) / self.tick

    @property
    def is_within(self) -> bool:
        """Within one percent of the price, or one tick."""
        return self.error_ratio <= WITHIN_RATIO or self.error_ticks <= 1.0 + 1e-6

    def row(self) -> tuple[object, ...]:
        ratio, ticks = self.error_ratio, self.error_ticks
        model = self.model_delta, self.delta, self.vol, self.vol_age_s
        return (self.con_id, self.seen, self.mark, self.mid, ratio, ticks, *model)


@dataclass(frozen=True, slots=True)
class ErrorFigures:
    """Over the last `LAST_VISITS`; None until there was one. `within` is the share of visits whose error was
    at most one percent or one tick, so that the median is when it is a half or more."""

    visits: int
    median_ratio: float | None = None
    median_ticks: float | None = None
    median_delta: float | None = None
    within: float | None = None


class MarkErrors:
    """The last visits, and those that the lake has not got yet."""

    def __init__(self) -> None:
        self.visits = 0
        """Since the start."""
        self._last: deque[Visit] = deque(maxlen=LAST_VISITS)
        self._untaken: deque[Visit] = deque(maxlen=MOST_UNTAKEN)

    def add(self, visits: Iterable[Visit]) -> None:
        for visit in visits:
            self.visits += 1
            self._last.append(visit)
            self._untaken.append(visit)

    def take(self) -> pl.DataFrame:
        """Rows of `MARK_ERRORS_TABLE`, once."""
        rows = [visit.row() for visit in self._untaken]
        self._untaken.clear()
        return pl.DataFrame(rows, schema=MARK_ERRORS_TABLE.row, orient="row")

    def figures(self) -> ErrorFigures:
        if not self._last:
            return ErrorFigures(self.visits)
        deltas = [abs(v.model_delta - v.delta) for v in self._last if v.delta is not None]
        return ErrorFigures(
            self.visits,
            float(np.median([visit.error_ratio for visit in self._last])),
            float(np.median([visit.error_ticks for visit in self._last])),
            float(np.median(deltas)) if deltas else None,
            float(np.mean([visit.is_within for visit in self._last])),
        )

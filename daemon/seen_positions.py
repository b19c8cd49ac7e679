"""The positions of a stretch of the past: what each came to in the end, and its P&L as a line."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from sync.position import ENDING
from trading.hindsight import Ending, Held

Row = Mapping[str, Any]

POINTS = 1_200
"""About so many points of a line are kept, the highest and lowest among them: an eye sees no more."""
_LINE = pl.Schema({"position": pl.String(), "time": pl.Datetime("us", "UTC"), "profit_usd": pl.Float64()})


@dataclass(slots=True)
class SeenPositions:
    """Shown one day after the other of `days` in all."""

    days: int
    _first: list[pl.DataFrame] = field(default_factory=list)
    _last: list[pl.DataFrame] = field(default_factory=list)
    _known: list[pl.DataFrame] = field(default_factory=list)
    _lines: list[pl.DataFrame] = field(default_factory=list)

    def note(self, day: pl.DataFrame) -> None:
        """Look at the rows of the next day (`RecordedPast.day`)."""
        rows = day.select("position", "time", pl.col("profit_usd", "lots"))
        self._first = [_one_each([*self._first, rows], "first")]
        self._last = [_one_each([*self._last, rows], "last")]
        self._known = [_one_each([*self._known, rows.drop_nulls("profit_usd")], "last")]
        self._lines.append(_thinned(rows, max(4, POINTS // (4 * self.days))))

    def lines(self) -> pl.DataFrame:
        """`position`, `time`, `profit_usd` (null: not known), by position and time."""
        lines = pl.concat(self._lines) if self._lines else pl.DataFrame(schema=_LINE)
        return lines.sort("position", "time", maintain_order=True)

    def held(self, endings: pl.DataFrame) -> list[Held]:
        """What each position came to; `endings` as of `RecordedPast`."""
        if not self._first:
            return []
        last = {row["position"]: row for row in self._last[0].iter_rows(named=True)}
        known = {row["position"]: row for row in self._known[0].iter_rows(named=True)}
        events: dict[str, list[Row]] = {}
        for event in endings.iter_rows(named=True):
            events.setdefault(event["position"], []).append(event)
        return [
            _held(row, last[name], known.get(name), events.get(name, []))
            for row in self._first[0].sort("time", "position").iter_rows(named=True)
            for name in [row["position"]]
        ]


def _held(first: Row, last: Row, known: Row | None, events: list[Row]) -> Held:
    """By what was realized when it was closed and that is known, else by its last mark."""
    closed = events[-1] if events and events[-1]["event"] in ENDING else None
    if closed is not None and closed["realized_pnl_usd"] is not None and closed["lots"]:
        before = 0.0 if len(events) < 2 else events[-2]["realized_pnl_usd"]
        if before is not None:
            usd = closed["realized_pnl_usd"]
            per_lot = (usd - before) / closed["lots"]
            return Held(first["position"], first["lots"], usd, per_lot, Ending.REALIZED, closed["time"], True)
    usd = None if known is None else known["profit_usd"]
    per_lot = None if known is None or not known["lots"] else known["profit_usd"] / known["lots"]
    time = last["time"] if closed is None else closed["time"]
    return Held(first["position"], first["lots"], usd, per_lot, Ending.LAST_KNOWN, time, closed is not None)


def _one_each(frames: Iterable[pl.DataFrame], keep: Any) -> pl.DataFrame:
    return pl.concat(frames).unique("position", keep=keep, maintain_order=True)


def _thinned(rows: pl.DataFrame, buckets: int) -> pl.DataFrame:
    """Of every so many rows of a position the first, the lowest, the highest and the last."""
    line = rows.select(_LINE.names())
    place = pl.int_range(pl.len()).over("position")
    bucket = (place * buckets // pl.len().over("position")).alias("bucket")
    number = pl.int_range(pl.len(), dtype=pl.Int64).alias("number")
    marked = line.with_columns(bucket, number)
    kept = marked.group_by("position", "bucket").agg(
        pl.col("number").first().alias("first"),
        pl.col("number").last().alias("last"),
        pl.col("number").sort_by("profit_usd", nulls_last=True).first().alias("lowest"),
        pl.col("number").sort_by("profit_usd", nulls_last=False).last().alias("highest"),
    )
    numbers = kept.unpivot(["first", "last", "lowest", "highest"])["value"].unique().sort()
    return line[numbers]

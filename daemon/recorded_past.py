"""What the lake recorded of a stretch of time, day by day, as beats that rules can be shown again."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from daemon.rule_memory import remembered_before
from lake import LakeReader
from rules import FACTS, Rulebook, RuleState, initial_state
from rules.plan import plan_of
from sync.position import ENDING, PositionEventKind
from trading.what_if import Beat

MONEY = ("profit", "profit_usd", "lots")


class RecordedPast:
    """The table `facts` from one commit to another. Raises LakeError as `LakeReader.table` does."""

    def __init__(self, reader: LakeReader, first_seq: int, last_seq: int, books: Iterable[Rulebook]) -> None:
        """`books`: the rules that will be shown it; only facts that they read are read."""
        self._reader = reader
        self._last_seq = last_seq
        self._facts = self._table("facts").filter(pl.col("seq") >= first_seq)
        self._first_seq = first_seq
        there = self._facts.collect_schema().names()
        wanted = dict.fromkeys([*MONEY, *(name for book in books for name in plan_of(book).facts)])
        self._wanted = [name for name in wanted if name in there and not FACTS[name].tracked]

    def state_before(self) -> tuple[RuleState, str | None]:
        """What the rules remembered before the first beat, and their revision; nothing when that was not
        recorded."""
        first = self._facts.select(pl.col("seq").min()).collect().item()
        return (initial_state(), None) if first is None else remembered_before(self._reader, first)

    def endings(self) -> pl.DataFrame:
        """What was reduced, closed or rolled: `time`, `position`, `event`, `lots`, `realized_pnl_usd`, in
        the order in which it happened; an end with the money that it was restated to."""
        kinds = [*ENDING, PositionEventKind.REDUCED]
        events = self._table("strategies").filter(pl.col("event").is_in(kinds))
        wanted = ("time", "position", "event", "lots", "realized_pnl_usd")
        return with_restated(events.sort("seq", maintain_order=True).select(wanted).collect())

    def days(self) -> list[date]:
        """The days (UTC) on which anything was recorded."""
        days = self._facts.select(pl.col("time").dt.date()).unique().sort("time").collect()
        return days["time"].to_list()

    def day(self, day: date) -> pl.DataFrame:
        """The rows of one day: `time`, `position`, then the facts; one per moment and position."""
        midnight = datetime.combine(day, time(), UTC)
        mine = pl.col("time").is_between(midnight, midnight + timedelta(days=1), closed="left")
        rows = self._facts.filter(mine).select("seq", "time", "position", *self._wanted).collect()
        ordered = rows.sort("time", "seq", maintain_order=True).drop("seq")
        return ordered.unique(["time", "position"], keep="last", maintain_order=True)

    def _table(self, name: str) -> pl.LazyFrame:
        return self._reader.table(name, self._last_seq)


def with_restated(events: pl.DataFrame) -> pl.DataFrame:
    """Endings with the money of the last row that restated them, and without those rows."""
    is_restated = pl.col("event") == PositionEventKind.RESTATED
    last = events.filter(is_restated).unique("position", keep="last")
    told = events.filter(~is_restated).join(
        last.select("position", restated="realized_pnl_usd"), on="position", how="left", maintain_order="left"
    )
    is_end = pl.col("event").is_in(list(ENDING)) & pl.col("restated").is_not_null()
    realized = pl.when(is_end).then("restated").otherwise("realized_pnl_usd").alias("realized_pnl_usd")
    return told.with_columns(realized).drop("restated")


def beats_of(day: pl.DataFrame, endings: Sequence[tuple[datetime, str]] = ()) -> Iterator[Beat]:
    """The moments of one day's rows. `endings`: when which position was gone, in the order of time."""
    of_book = [name for name in day.columns[2:] if FACTS[name].scope == "book"]
    moments = day.unique("time", keep="first", maintain_order=True).select("time", *of_book)
    frames = day.drop(of_book).partition_by("time", maintain_order=True, include_key=False)
    place = 0
    for row, facts in zip(moments.iter_rows(named=True), frames, strict=True):
        now = row.pop("time")
        before = place
        while place < len(endings) and endings[place][0] <= now:
            place += 1
        yield Beat(now, facts, row, [position for _, position in endings[before:place]])

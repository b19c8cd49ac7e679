"""Rows that follow from their seq, and a child process that writes them until it is killed.

`python -m tests.lake.scribe HOME COMMITS` commits to every table and says each seq once it is acknowledged,
with a flush running beside it; COMMITS = 0 goes on until killed. With a number, one flush comes after them.
"""

import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path

import polars as pl

from lake import TABLES, Column, Lake, TableSchema, facts_table

T0 = datetime(2026, 2, 3, 14, 30, 0, 123456, tzinfo=UTC)
STEP = timedelta(seconds=97)

FACTS = facts_table(
    [
        Column("profit", pl.Float64(), "profit", "ratio", "not known"),
        Column("dte", pl.Int64(), "days to expiry", "days", "not known"),
        Column("expiry", pl.Date(), "last trading day", null="not known"),
        Column("quoted", pl.Boolean(), "every leg has a quote", null="not known"),
    ]
)
ALL: Mapping[str, TableSchema] = {**TABLES, "facts": FACTS}


def time_of(seq: int) -> datetime:
    """When the commit `seq` is made."""
    return T0 + seq * STEP


def rows_of(table: TableSchema, seqs: Iterable[int]) -> pl.DataFrame:
    """What `table` holds after the commits `seqs`: one to three rows each, with `seq` and `time`."""
    seq = pl.Series("seq", list(seqs), dtype=pl.Int64)
    rows = seq.to_frame().select(pl.col("seq").repeat_by(1 + pl.col("seq") % 3).explode())
    number = pl.col("seq") * 10 + pl.int_range(pl.len()).over("seq")
    time = (T0 + pl.col("seq") * STEP).cast(pl.Datetime("us", "UTC"))
    return rows.select("seq", time.alias("time"), *(_values(column, number) for column in table.columns))


def _values(column: Column, number: pl.Expr) -> pl.Expr:
    dtype = column.dtype
    if dtype == pl.Float64():
        values = number / 4
    elif dtype == pl.Boolean():
        values = number % 2 == 0
    elif dtype == pl.String():
        values = pl.format(column.name + " {}", number)
    elif dtype == pl.Date():
        values = date(2026, 1, 1) + pl.duration(days=number % 400)
    elif isinstance(dtype, pl.Datetime):
        values = T0 + pl.duration(microseconds=number)
    elif isinstance(dtype, pl.List):
        values = pl.concat_list(pl.format("rule {}", number), pl.lit(None, pl.String()))
    else:
        values = number
    known = pl.lit(True) if column.null is None else number % 7 != 0
    return pl.when(known).then(values.cast(dtype)).alias(column.name)


def commits_from(seq: int) -> Iterator[tuple[datetime, dict[str, pl.DataFrame]]]:
    """The commits from `seq` on, each with its time and every table's rows."""
    while True:
        seqs = range(seq, seq + 8)
        blocks = {name: rows_of(table, seqs).partition_by("seq") for name, table in ALL.items()}
        for n, each in enumerate(seqs):
            yield time_of(each), {name: block[n].drop("seq", "time") for name, block in blocks.items()}
        seq += 8


def _write(home: Path, commits: int) -> None:
    print("opening", flush=True)
    lake = Lake.open(home, ALL)
    print("open", flush=True)
    ended = threading.Event()

    def flush_on_and_on() -> None:
        while not ended.wait(0.02):
            lake.flush()

    beside = threading.Thread(target=flush_on_and_on)
    if not commits:
        beside.start()
    for time, frames in islice(commits_from(lake.seq + 1), commits or None):
        print(lake.commit(time, frames), flush=True)
    ended.set()
    lake.flush()
    lake.close()


if __name__ == "__main__":
    _write(Path(sys.argv[1]), int(sys.argv[2]))

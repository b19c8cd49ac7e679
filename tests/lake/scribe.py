"""Rows that follow from their seq, and a child process that writes them until it is killed.

`python -m tests.lake.scribe` says "waiting", reads one line with its job (see `tests.lake.kills`) and says
what it has done: "opening", "open", each seq once it is acknowledged, "flushed", "closed". The work is a list
of "commit N" (without N: on and on), "flush", "upkeep", "reopen", and "beside flush" or "beside upkeep": in a
thread, on and on; with "narrow" a column is missing until it is opened again.
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path

import polars as pl

from lake import TABLES, Column, Lake, TableSchema, facts_table
from lake.tables import SCHEMA_CHANGES

T0 = datetime(2026, 2, 3, 14, 30, 0, 123456, tzinfo=UTC)
STEP = timedelta(hours=1, seconds=97)
CLOSED = T0.replace(year=2036)  # when every date is over

FACTS = facts_table(
    [
        Column("profit", pl.Float64(), "profit", "ratio", "not known"),
        Column("dte", pl.Int64(), "days to expiry", "days", "not known"),
        Column("expiry", pl.Date(), "last trading day", null="not known"),
        Column("quoted", pl.Boolean(), "every leg has a quote", null="not known"),
    ]
)
ADDED_LATER = "quoted"  # null in the first two commits, so that those may be made without it
ALL: Mapping[str, TableSchema] = {
    # Only a writer itself records a change of schemas.
    **{name: table for name, table in TABLES.items() if table is not SCHEMA_CHANGES},
    "facts": FACTS,
}
FEW: Mapping[str, TableSchema] = {name: ALL[name] for name in ("facts", "fills", "orders")}
RESERVE = 2**18


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
    if column.name == ADDED_LATER:
        known &= pl.col("seq") > 2
    return pl.when(known).then(values.cast(dtype)).alias(column.name)


def commits_from(
    seq: int, tables: Mapping[str, TableSchema] = ALL
) -> Iterator[tuple[datetime, dict[str, pl.DataFrame]]]:
    """The commits from `seq` on, each with its time and every table's rows."""
    while True:
        seqs = range(seq, seq + 8)
        blocks = {name: rows_of(table, seqs).partition_by("seq") for name, table in tables.items()}
        for n, each in enumerate(seqs):
            yield time_of(each), {name: block[n].drop("seq", "time") for name, block in blocks.items()}
        seq += 8


def upkeep(lake: Lake) -> None:
    """Keep everything up, and keep nothing that was replaced."""
    report = lake.upkeep(CLOSED, retention=timedelta(0))
    for table in report.tables:
        if table.trouble:
            print(table.trouble, flush=True)


BESIDE: Mapping[str, Callable[[Lake], object]] = {"flush": Lake.flush, "upkeep": upkeep}


def _narrow(tables: Mapping[str, TableSchema]) -> dict[str, TableSchema]:
    return {
        name: replace(table, columns=tuple(column for column in table.columns if column.name != ADDED_LATER))
        for name, table in tables.items()
    }


def do(home: Path, tables: Mapping[str, TableSchema], work: Sequence[str]) -> None:
    """Do the work in `home`, and say what is done."""
    print("opening", flush=True)
    is_narrow = "narrow" in work
    lake = Lake.open(home, _narrow(tables) if is_narrow else tables, reserve=RESERVE)
    print("open", flush=True)
    ended, beside = threading.Event(), []

    def on_and_on(step: Callable[[], object]) -> None:
        while not ended.wait(0.02):
            step()

    try:
        for what in work:
            name, _, number = what.partition(" ")
            if name == "commit":
                commits = commits_from(lake.seq + 1, _narrow(tables) if is_narrow else tables)
                for time, frames in islice(commits, int(number) if number else None):
                    print(lake.commit(time, frames), flush=True)
            elif name == "flush":
                lake.flush()
                print("flushed", flush=True)
            elif name == "upkeep":
                upkeep(lake)
            elif name == "beside":
                beside.append(threading.Thread(target=on_and_on, args=(partial(BESIDE[number], lake),)))
                beside[-1].start()
            elif name == "reopen":
                lake.close()
                lake, is_narrow = Lake.open(home, tables, reserve=RESERVE), False
                print("open", flush=True)
    finally:
        ended.set()  # also when nobody listens any more
    for thread in beside:
        thread.join()
    lake.close()
    print("closed", flush=True)


if __name__ == "__main__":
    print("waiting", flush=True)
    if line := sys.stdin.readline():
        job = json.loads(line)
        os.environ.update(job["environment"])
        do(Path(job["home"]), {name: ALL[name] for name in job["tables"]}, job["work"])

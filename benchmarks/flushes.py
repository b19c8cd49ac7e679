"""Acknowledge and flush time over 50,000 flushes, 390 a day with upkeep after each day, as a picture.

`python -m benchmarks.flushes [--count N] [--home DIR] [--picture PNG]`. A run that was stopped goes on
where it was: what was measured stands in DIR/flushes.csv. Beside every fifth flush the same rows go into
SQLite (WAL, synchronous=FULL, row by row) and into a bare Parquet file with fsync. After 10, 10,000 and
50,000 flushes a thousand intents are made durable, beside a thousand bare writes of 4 KiB with fsync
(DIR/intents.csv).
"""

import argparse
import csv
import os
import sqlite3
import statistics
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from benchmarks.stopwatch import bare_fsync_ms, ms_of, p99
from lake import TABLES, Lake
from options import hours

PER_DAY = 390
_ROWS = 50
_EVERY = 5
_FIRST_DAY = date(2025, 1, 2)
_INTENTS_AT = (10, 10_000, 50_000)
_FLUSHES = ("flush", "acknowledge_ms", "flush_ms", "sqlite_ms", "parquet_ms", "upkeep_ms")
_INTENTS = ("flushes", "median_ms", "p99_ms", "bare_median_ms", "bare_p99_ms")
_BIN = 500
_DAYS_KEPT = 5  # trading days within the daemon's `lake.retention_days`


def quotes(contracts: int, beat: int) -> pl.DataFrame:
    """Rows of `snapshots`, the same for the same beat."""
    number = pl.int_range(contracts, eager=True)
    wave = ((number + beat) * 0.37).sin()
    mark = 4.0 + 3.0 * wave
    return pl.DataFrame(
        {
            "con_id": 10_000 + number,
            "bid": (mark - 0.05).round(2),
            "ask": (mark + 0.05).round(2),
            "last": mark.round(2),
            "mark": mark,
            "iv": 0.2 + 0.05 * wave,
            "delta": 0.5 * wave,
            "gamma": 0.01 + 0.005 * wave,
            "theta": -0.02 - 0.01 * wave,
            "vega": 0.1 + 0.02 * wave,
            "underlying_price": 600.0 + wave,
        }
    ).with_columns(quote_state=pl.lit("live"))


def intent(number: int) -> pl.DataFrame:
    """One row of `intents`, as it is written before its order leaves."""
    return pl.DataFrame(
        {
            "intent": [f"int-{number:012d}"],
            "decision": [f"dec-{number:012d}"],
            "position": ["SPY-20260417-iron_condor-11cb5e"],
            "kind": ["close"],
            "state": ["intended"],
            "order_ref": [f"opt-{number:012d}"],
            "order": ['{"legs": [1, 2, 3, 4], "rule": "take_profit", "urgency": "normal"}'],
            "limit_price": [1.32],
            "filled": [0.0],
        }
    )


def minutes() -> Iterator[tuple[int, datetime]]:
    """Every flush's number and moment: 390 minutes of each trading day, short ones too."""
    day, number = _FIRST_DAY, 0
    while True:
        opening = hours.opening(day)
        for minute in range(PER_DAY):
            yield number, opening + timedelta(minutes=minute)
            number += 1
        day = hours.next_trading_day(day)


class Rivals:
    """The same rows in SQLite and in bare Parquet files, each safely on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._connection = sqlite3.connect(folder / "rival.sqlite", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        columns = ", ".join(quotes(1, 0).columns)
        self._connection.execute(f"CREATE TABLE IF NOT EXISTS snapshots (time, {columns})")

    def insert(self, time: datetime, rows: pl.DataFrame) -> None:
        marks = ", ".join("?" * (rows.width + 1))
        told = ((time.isoformat(), *row) for row in rows.iter_rows())
        self._connection.execute("BEGIN")
        self._connection.executemany(f"INSERT INTO snapshots VALUES ({marks})", told)
        self._connection.execute("COMMIT")

    def write(self, rows: pl.DataFrame) -> None:
        path = self._folder / "rival.parquet"
        rows.write_parquet(path, compression="snappy")
        for place in (path, self._folder):
            descriptor = os.open(place, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

    def close(self) -> None:
        self._connection.close()


class Notes:
    """A CSV file that grows by whole rows and says how many it has."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path = path
        if not path.exists():
            self.add(columns)
        self.count = len(path.read_text().splitlines()) - 1

    def add(self, row: Sequence[object]) -> None:
        with self._path.open("a", newline="") as file:
            csv.writer(file).writerow(
                "" if cell is None else round(cell, 3) if isinstance(cell, float) else cell for cell in row
            )


def measure(home: Path, count: int) -> None:
    """Flush until there are `count` flushes, and write down what each took."""
    home.mkdir(parents=True, exist_ok=True)
    notes, nights = Notes(home / "flushes.csv", _FLUSHES), Nights()
    with Lake.open(home / "home", TABLES) as lake, closing(Rivals(home)) as rivals:
        for number, moment in minutes():
            if number < notes.count:
                continue
            if number in _INTENTS_AT:
                _measure_intents(home, lake, number, moment)
            if number >= count:
                return
            tended = nights.tend(lake, moment) if number % PER_DAY == 0 else None
            notes.add((number + 1, *_one(lake, rivals, number, moment), tended))


def _one(lake: Lake, rivals: Rivals, number: int, moment: datetime) -> tuple[float | None, ...]:
    rows = quotes(_ROWS, number)
    acknowledged = ms_of(lambda: lake.commit(moment, {"snapshots": rows}))
    flushed = ms_of(lake.flush)
    if number % _EVERY:
        return acknowledged, flushed, None, None
    inserted = ms_of(lambda: rivals.insert(moment, rows))
    return acknowledged, flushed, inserted, ms_of(lambda: rivals.write(rows))


def _measure_intents(home: Path, lake: Lake, flushes: int, moment: datetime) -> None:
    notes = Notes(home / "intents.csv", _INTENTS)
    intents = [intent(number) for number in range(1000)]
    durable = [ms_of(lambda one=one: lake.commit(moment, {"intents": one})) for one in intents]
    bare = bare_fsync_ms(home, 1000)
    notes.add((flushes, statistics.median(durable), p99(durable), statistics.median(bare), p99(bare)))


class Nights:
    """The nightly upkeep. Its retention goes by the machine's clock, on which a day is over in seconds."""

    def __init__(self) -> None:
        self._began: deque[float] = deque(maxlen=_DAYS_KEPT)

    def tend(self, lake: Lake, now: datetime) -> float:
        """Keep for as long as the last days took; milliseconds."""
        self._began.append(time.time())
        kept = timedelta(seconds=time.time() - self._began[0])
        return ms_of(lambda: lake.upkeep(now, retention=kept))


def summary(home: Path) -> pl.DataFrame:
    """Median and p99 of every 500 flushes, by the number of the last of them."""
    measured = pl.read_csv(home / "flushes.csv", infer_schema_length=None)
    last = ((pl.col("flush") - 1) // _BIN + 1) * _BIN
    figures = [name.removesuffix("_ms") for name in _FLUSHES[1:]]
    return (
        measured.group_by(last.alias("flushes"))
        .agg(
            *(pl.col(f"{name}_ms").median().round(3).alias(f"{name}_median_ms") for name in figures),
            *(pl.col(f"{name}_ms").quantile(0.99).round(3).alias(f"{name}_p99_ms") for name in figures[:2]),
        )
        .sort("flushes")
    )


def draw(measured: pl.DataFrame, picture: Path) -> None:
    """The picture: acknowledge and flush time, SQLite and bare Parquet as lines to compare with."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    lines = (
        ("flush_p99_ms", "flush, p99", "tab:red", ":"),
        ("flush_median_ms", "flush, median", "tab:red", "-"),
        ("parquet_median_ms", "bare Parquet + fsync, median", "tab:gray", "-"),
        ("acknowledge_p99_ms", "acknowledged, p99", "tab:blue", ":"),
        ("acknowledge_median_ms", "acknowledged, median", "tab:blue", "-"),
        ("sqlite_median_ms", "SQLite (WAL, synchronous=FULL) row by row, median", "tab:olive", "-"),
    )
    for name, label, color, style in lines:
        axes.plot(measured["flushes"], measured[name], style, color=color, label=label)
    axes.set_yscale("log")
    axes.set_xlabel(f"flushes so far ({PER_DAY} a day, upkeep every night)")
    axes.set_ylabel(f"ms for {_ROWS} rows, per {_BIN} flushes")
    axes.set_title("A commit is acknowledged, a flush brings it into Delta")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="upper center", ncols=2, fontsize="small", bbox_to_anchor=(0.5, -0.12))
    figure.savefig(picture, dpi=110)


def main() -> None:
    """Measure, print the summary, and draw it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--count", type=int, default=50_000, help="flushes in all")
    options.add_argument("--home", type=Path, default=Path("/tmp/opt-flushes"), help="where it works")
    options.add_argument("--picture", type=Path, help="PNG to draw; its numbers are written beside it")
    given = options.parse_args()
    measure(given.home, given.count)
    measured = summary(given.home)
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=200):
        print(measured)
        if (given.home / "intents.csv").exists():
            print(pl.read_csv(given.home / "intents.csv"))
    if given.picture:
        measured.write_csv(given.picture.with_suffix(".csv"))
        draw(measured, given.picture)


if __name__ == "__main__":
    main()

"""The lake's speed as ratios within one run, next to the limits that LAKE.md sets.

What needs a long history is measured by `versions`, `flushes` and `lake_year`.
"""

import asyncio
import os
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from benchmarks.figure import Figure, show
from benchmarks.stopwatch import bare_fsync_ms, median_ms, ms_of, p99
from lake import Column, Lake, LakeReader, TableSchema, delta, healing
from lake.store import Folder

ROWS = 5_000
T0 = datetime(2026, 2, 4, 14, 30, tzinfo=UTC)
_NUMBERS = [f"x{n}" for n in range(12)]
TABLE = TableSchema(
    "snapshots",
    "rows of a usual width",
    ("con_id",),
    (
        Column("con_id", pl.Int64(), "contract"),
        Column("quote_state", pl.String(), "state"),
        Column("expiry", pl.Date(), "last trading day"),
        *(Column(name, pl.Float64(), "number", null="not known") for name in _NUMBERS),
    ),
)


def frame(rows: int) -> pl.DataFrame:
    number = pl.Series(range(rows))
    return pl.DataFrame(
        {
            "con_id": number,
            "quote_state": ["live" if n % 9 else "stale" for n in range(rows)],
            "expiry": [date(2026, 3, 20)] * rows,
            **{name: (number * (k + 1.37)).sin() for k, name in enumerate(_NUMBERS)},
        }
    )


def stored(rows: pl.DataFrame, seq: int) -> pl.DataFrame:
    """The rows as a table holds them."""
    return rows.select(pl.lit(seq).alias("seq"), pl.lit(T0).alias("time"), pl.all()).cast(TABLE.stored)


def _appends(folder: Path) -> list[Figure]:
    """Delta and bare Parquet turn about, so that whatever else the machine does hits both."""
    rows = stored(frame(ROWS), 1)
    store = Folder(folder)
    table = delta.create_table(store, "table", rows.schema, ("seq", "time"))
    taken: dict[str, list[float]] = {"delta": [], "bare": [], "sync": [], "fsync": []}
    for n in range(19):
        path = folder / f"{n}.parquet"
        taken["delta"].append(ms_of(lambda n=n: delta.append(table, rows, n + 1)))
        version = table.version()
        taken["sync"].append(ms_of(lambda v=version: healing.sync(store, "table", v - 1, v)))
        taken["bare"].append(ms_of(lambda path=path: rows.write_parquet(path, compression="snappy")))
        taken["fsync"].append(ms_of(lambda path=path: _fsync(path, folder)))
    appended, bare, synced, fsynced = (
        statistics.median(taken[name]) for name in ("delta", "bare", "sync", "fsync")
    )
    return [
        Figure("append of 5,000 rows through delta-rs / bare Parquet write", appended, bare, 2.5),
        Figure("the same, each safely on disk", appended + synced, bare + fsynced),
    ]


def _fsync(*paths: Path) -> None:
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def _acknowledged(folder: Path) -> list[Figure]:
    rows = frame(ROWS)
    tuples = rows.rows()
    connection = sqlite3.connect(folder / "rows.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"CREATE TABLE snapshots ({', '.join(rows.columns)})")
    marks = ", ".join("?" * rows.width)

    def insert() -> None:
        connection.execute("BEGIN")
        connection.executemany(f"INSERT INTO snapshots VALUES ({marks})", tuples)
        connection.execute("COMMIT")

    acknowledged, inserted = [], []
    with Lake.open(folder / "home", {"snapshots": TABLE}) as lake:
        for n in range(15):
            moment = T0 + timedelta(seconds=n)
            acknowledged.append(ms_of(lambda moment=moment: lake.commit(moment, {"snapshots": rows})))
            inserted.append(ms_of(insert))
    connection.close()
    what = "acknowledged cycle / SQLite row insert of the same 5,000 rows"
    return [Figure(what, statistics.median(acknowledged), statistics.median(inserted), 0.33)]


def _tables(count: int) -> dict[str, TableSchema]:
    return {f"t{n}": TableSchema(f"t{n}", TABLE.meaning, TABLE.key, TABLE.columns) for n in range(count)}


def _batched(folder: Path) -> list[Figure]:
    """Seven tables of 50 rows per cycle: a flush every 12 cycles against a flush every cycle."""
    tables, rows = _tables(7), frame(50)
    per_cycle = []
    for name, every in (("batched", 12), ("single", 1)):
        with Lake.open(folder / name, tables) as lake:
            begun = time.perf_counter()
            for n in range(48):
                lake.commit(T0 + timedelta(seconds=n), dict.fromkeys(tables, rows))
                if (n + 1) % every == 0:
                    lake.flush()
            per_cycle.append((time.perf_counter() - begun) / 48 * 1e3)
    return [Figure("journal + batched flush per cycle / flush every cycle", *per_cycle, 0.3)]


def _day(folder: Path) -> list[Figure]:
    """390 flushes of 90 lines twice a minute; then what the day can be read at, and after the upkeep."""
    rows, taken = frame(180), []

    def by_contract(reader: LakeReader) -> float:
        """Milliseconds of a group-by of the whole day."""
        numbers = [pl.col(name).mean() for name in _NUMBERS]
        return median_ms(lambda _: reader.table("snapshots").group_by("con_id").agg(*numbers).collect(), 9)

    with Lake.open(folder / "home", {"snapshots": TABLE}) as lake:
        for n in range(390):
            lake.commit(T0 + timedelta(minutes=n), {"snapshots": rows})
            taken.append(ms_of(lake.flush))
        reader = LakeReader.open(folder / "home")
        tail = median_ms(lambda _: reader.table("snapshots").filter(pl.col("seq") > 380).collect(), 9)
        resolved = median_ms(lambda n: reader.seq_at(T0 + timedelta(minutes=20 * n)), 9)
        before = by_contract(reader)
        lake.upkeep(T0 + timedelta(days=1))
        after = by_contract(LakeReader.open(folder / "home"))
    last, first = statistics.median(taken[-39:]), statistics.median(taken[:39])
    return [
        Figure("last tenth / first tenth of a day's 390 flushes", last, first, 1.25),
        Figure("newest rows of 390 flushes", tail),
        Figure("as-of resolved by time, 390 flushes", resolved),
        Figure("group-by of a day of 70,200 rows, after upkeep / before", after, before, 0.15),
    ]


def _intents(folder: Path) -> list[Figure]:
    """Small commits of seven tables, while flushes run and while none does; the disk itself, bare."""
    tables, rows = _tables(7), frame(5)
    with Lake.open(folder / "home", tables) as lake:

        def commits(begin: int) -> list[float]:
            taken = []
            for n in range(begin, begin + 300):
                moment = T0 + timedelta(seconds=n)
                taken.append(ms_of(lambda moment=moment: lake.commit(moment, dict.fromkeys(tables, rows))))
                time.sleep(0.002)
            return taken

        alone = commits(0)
        ended = threading.Event()

        def flush_on_and_on() -> None:
            while not ended.wait(0.05):
                lake.flush()

        flusher = threading.Thread(target=flush_on_and_on)
        flusher.start()
        beside = commits(300)
        ended.set()
        flusher.join()
    bare = bare_fsync_ms(folder, 300)
    return [
        Figure("durable commit of seven tables, p99", p99(alone), None, 10),
        Figure("the same beside flushes without a pause, p99", p99(beside), None, 10),
        Figure("bare write of 4 KiB with fsync, p99", p99(bare)),
    ]


def loop_lag_ms(work: Callable[[], object]) -> list[float]:
    """How late an event loop is, every 5 ms, while `work` goes on in a thread."""

    async def watch() -> list[float]:
        working = asyncio.ensure_future(asyncio.to_thread(work))
        late = []
        loop = asyncio.get_running_loop()
        while not working.done():
            due = loop.time() + 0.005
            await asyncio.sleep(0.005)
            late.append((loop.time() - due) * 1e3)
        await working
        return late

    return asyncio.run(watch())


def _lag(folder: Path) -> list[Figure]:
    """A flush of seven tables, 5,000 rows each, twenty times."""
    tables, rows = _tables(7), frame(ROWS)
    with Lake.open(folder / "home", tables) as lake:
        for n in range(20):
            lake.commit(T0 + timedelta(days=n), dict.fromkeys(tables, rows))
        late = loop_lag_ms(lambda: (lake.flush(), time.sleep(0.1)))
        for n in range(20, 40):
            lake.commit(T0 + timedelta(days=n), dict.fromkeys(tables, rows))
            late += loop_lag_ms(lake.flush)
    idle = loop_lag_ms(lambda: time.sleep(2))
    return [
        Figure("event-loop lag during flushes, p99", p99(late), None, 5),
        Figure("event-loop lag while nothing is done, p99", p99(idle)),
    ]


def main() -> None:
    """Print every ratio with its limit."""
    for measure in (_appends, _acknowledged, _batched, _day, _intents, _lag):
        with tempfile.TemporaryDirectory() as folder:
            show(*measure(Path(folder)))


if __name__ == "__main__":
    main()

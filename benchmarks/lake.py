"""The lake's speed as ratios within one run, next to the limits that LAKE.md sets."""

import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from lake import Column, Lake, LakeReader, TableSchema, delta
from lake.store import Folder

_ROWS = 5_000
_T0 = datetime(2026, 2, 4, 14, 30, tzinfo=UTC)
_NUMBERS = [f"x{n}" for n in range(12)]
_TABLE = TableSchema(
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


def _frame(rows: int) -> pl.DataFrame:
    number = pl.Series(range(rows))
    return pl.DataFrame(
        {
            "con_id": number,
            "quote_state": ["live" if n % 9 else "stale" for n in range(rows)],
            "expiry": [date(2026, 3, 20)] * rows,
            **{name: (number * (k + 1.37)).sin() for k, name in enumerate(_NUMBERS)},
        }
    )


def _median_ms(work: Callable[[int], object], times: int) -> float:
    taken = []
    for n in range(times):
        begun = time.perf_counter()
        work(n)
        taken.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(taken)


def _append_to_bare_parquet(folder: Path) -> tuple[float, float]:
    rows = _frame(_ROWS).select(
        pl.lit(1).alias("seq"), pl.lit(_T0).dt.cast_time_unit("us").alias("time"), pl.all()
    )
    rows = rows.cast({"seq": pl.Int64()})
    table = delta.create_table(Folder(folder), "table", rows.schema, ("seq", "time"))
    appended = _median_ms(lambda n: delta.append(table, rows, n + 1), 19)
    bare = _median_ms(lambda n: rows.write_parquet(folder / f"{n}.parquet", compression="snappy"), 19)
    return appended, bare


def _cycle_to_row_insert(folder: Path) -> tuple[float, float]:
    frame = _frame(_ROWS)
    tuples = frame.rows()
    with Lake.open(folder / "home", {"snapshots": _TABLE}) as lake:
        acknowledged = _median_ms(lambda n: lake.commit(_T0 + timedelta(seconds=n), {"snapshots": frame}), 15)
    connection = sqlite3.connect(folder / "rows.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"CREATE TABLE snapshots ({', '.join(frame.columns)})")
    marks = ", ".join("?" * frame.width)

    def insert(_: int) -> None:
        connection.execute("BEGIN")
        connection.executemany(f"INSERT INTO snapshots VALUES ({marks})", tuples)
        connection.execute("COMMIT")

    inserted = _median_ms(insert, 15)
    connection.close()
    return acknowledged, inserted


def _tables(count: int) -> dict[str, TableSchema]:
    return {f"t{n}": TableSchema(f"t{n}", _TABLE.meaning, _TABLE.key, _TABLE.columns) for n in range(count)}


def _batched_to_single(folder: Path) -> tuple[float, float]:
    """Seven tables of 50 rows per cycle: a flush every 12 cycles against a flush every cycle."""
    tables, frame = _tables(7), _frame(50)
    per_cycle = []
    for name, every in (("batched", 12), ("single", 1)):
        with Lake.open(folder / name, tables) as lake:
            begun = time.perf_counter()
            for n in range(48):
                lake.commit(_T0 + timedelta(seconds=n), dict.fromkeys(tables, frame))
                if (n + 1) % every == 0:
                    lake.flush()
            per_cycle.append((time.perf_counter() - begun) / 48 * 1e3)
    return per_cycle[0], per_cycle[1]


def _last_to_first_tenth(folder: Path) -> tuple[float, float]:
    frame, taken = _frame(50), []
    with Lake.open(folder / "home", {"snapshots": _TABLE}) as lake:
        for n in range(390):
            lake.commit(_T0 + timedelta(minutes=n), {"snapshots": frame})
            begun = time.perf_counter()
            lake.flush()
            taken.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(taken[-39:]), statistics.median(taken[:39])


def _commits_beside_flushes(folder: Path) -> tuple[float, float]:
    """Milliseconds that a small commit takes, p99: while flushes run, and while none does."""
    tables, frame = _tables(7), _frame(5)
    with Lake.open(folder / "home", tables) as lake:

        def commits() -> float:
            taken = []
            for n in range(200):
                begun = time.perf_counter()
                lake.commit(_T0 + timedelta(seconds=n), dict.fromkeys(tables, frame))
                taken.append((time.perf_counter() - begun) * 1e3)
                time.sleep(0.002)
            return statistics.quantiles(taken, n=100)[98]

        alone = commits()
        ended = threading.Event()

        def flush_on_and_on() -> None:
            while not ended.wait(0.05):
                lake.flush()

        flusher = threading.Thread(target=flush_on_and_on)
        flusher.start()
        beside = commits()
        ended.set()
        flusher.join()
    return beside, alone


def _reads(folder: Path) -> tuple[float, float]:
    """Milliseconds of one read of the newest 100 seqs after 200 flushes; of one as-of resolved by time."""
    frame = _frame(50)
    with Lake.open(folder / "home", {"snapshots": _TABLE}) as lake:
        for n in range(200):
            lake.commit(_T0 + timedelta(minutes=n), {"snapshots": frame})
            lake.flush()
    reader = LakeReader.open(folder / "home")
    tail = _median_ms(lambda _: reader.table("snapshots").filter(pl.col("seq") > 190).collect(), 9)
    resolved = _median_ms(lambda n: reader.seq_at(_T0 + timedelta(minutes=20 * n)), 9)
    return tail, resolved


def main() -> None:
    """Print every ratio with its limit."""
    measured = (
        ("append of 5,000 rows through delta-rs / bare Parquet write", _append_to_bare_parquet, 2.5),
        ("acknowledged cycle / SQLite row insert of the same 5,000 rows", _cycle_to_row_insert, 0.33),
        ("journal + batched flush per cycle / flush every cycle", _batched_to_single, 0.3),
        ("last tenth / first tenth of 390 flushes", _last_to_first_tenth, 1.25),
        ("p99 of a small commit, ms: beside flushes / alone", _commits_beside_flushes, None),
        ("ms: newest rows of 200 flushes / as-of by time", _reads, None),
    )
    for name, measure, limit in measured:
        with tempfile.TemporaryDirectory() as folder:
            one, other = measure(Path(folder))
        if limit is None:
            print(f"{name}: {one:.2f} / {other:.2f}")
        else:
            verdict = "ok" if one / other <= limit else "OVER"
            print(f"{name}: {one:.2f} ms / {other:.2f} ms = {one / other:.2f} (limit {limit}) {verdict}")


if __name__ == "__main__":
    main()

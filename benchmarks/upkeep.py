"""What the lake's upkeep is for: one day of 390 flushes, read and stored before and after, and who waits.

Each measurement gives two numbers to divide, as in `benchmarks.lake`; the loop's lag is against its limit.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from benchmarks.stopwatch import median_ms, p99
from lake import Column, Lake, LakeReader, TableSchema

FLUSHES = 390
ROWS = 1_000
LAG_LIMIT_MS = 5.0
_T0 = datetime(2026, 2, 4, 14, 30, tzinfo=UTC)
_TOMORROW = _T0 + timedelta(days=1)
_NUMBERS = [f"x{n}" for n in range(10)]
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


def _frame(number: int, rows: int) -> pl.DataFrame:
    con_id = pl.Series(range(rows))
    return pl.DataFrame(
        {
            "con_id": con_id,
            "quote_state": ["live" if n % 9 else "stale" for n in range(rows)],
            "expiry": [date(2026, 3, 20)] * rows,
            # Prices and what follows from them: two decimals.
            **{
                name: (100 * ((con_id + number / 7) * (k + 1.37)).sin()).round(2)
                for k, name in enumerate(_NUMBERS)
            },
        }
    )


def day(home: Path, flushes: int = FLUSHES, rows: int = ROWS) -> None:
    """Write one day: a flush a minute."""
    with Lake.open(home, {"snapshots": _TABLE}) as lake:
        for n in range(flushes):
            lake.commit(_T0 + timedelta(minutes=n), {"snapshots": _frame(n, rows)})
            lake.flush()


def _group_by_ms(home: Path) -> float:
    """The median of several, by one reader, which has looked at the files before."""
    reader = LakeReader.open(home)
    reader.table("snapshots")

    def group_by(_: int) -> None:
        rows = reader.table("snapshots")
        rows.group_by("con_id").agg(pl.col("x0").mean(), pl.col("x1").max()).collect()

    return median_ms(group_by, 9)


def reading_and_storing(home: Path) -> tuple[tuple[float, float], tuple[float, float]]:
    """Milliseconds of a group-by over the day after / before; MB stored after / MB of one zstd Parquet."""
    day(home)
    before = _group_by_ms(home)
    with Lake.open(home, {"snapshots": _TABLE}) as lake:
        lake.upkeep(_TOMORROW, retention=timedelta(0))
    after = _group_by_ms(home)
    alone = home / "alone.parquet"
    rows = LakeReader.open(home).table("snapshots").sort("seq", maintain_order=True).collect()
    rows.write_parquet(alone, compression="zstd")
    kept = sum(path.stat().st_size for path in (home / "lake" / "snapshots").rglob("*") if path.is_file())
    return (after, before), (kept / 1e6, alone.stat().st_size / 1e6)


def loop_lags_ms(home: Path) -> tuple[float, float]:
    """How late the event loop of the same process runs, 99th percentile: while days are flushed and kept up,
    and while nothing happens, which is the machine's share."""
    day(home, flushes=60)

    def work() -> None:
        with Lake.open(home, {"snapshots": _TABLE}) as lake:
            for n in range(60):
                lake.commit(_TOMORROW + timedelta(minutes=n), {"snapshots": _frame(n, ROWS)})
                lake.flush()
                if n % 20 == 10:
                    lake.upkeep(_TOMORROW)
            lake.upkeep(_TOMORROW + timedelta(days=1))

    return asyncio.run(_lag_beside(work)), asyncio.run(_lag_beside(lambda: time.sleep(5)))


async def _lag_beside(work: Callable[[], None]) -> float:
    working = asyncio.create_task(asyncio.to_thread(work))
    late: list[float] = []
    while not working.done():
        begun = time.perf_counter()
        await asyncio.sleep(0.002)
        late.append((time.perf_counter() - begun - 0.002) * 1e3)
    await working
    return p99(late)


def main() -> None:
    """Print every ratio with its limit."""
    with tempfile.TemporaryDirectory() as folder:
        group_by, stored = reading_and_storing(Path(folder))
    _tell("group-by over one day after / before compaction, ms", *group_by, 0.15)
    _tell("storage after upkeep / one zstd Parquet, MB", *stored, 1.5)
    with tempfile.TemporaryDirectory() as folder:
        lag, idle = loop_lags_ms(Path(folder))
    verdict = "ok" if lag <= LAG_LIMIT_MS else "OVER"
    name = "p99 of the event loop's lag, ms: during flush and upkeep / while idle"
    print(f"{name}: {lag:.1f} / {idle:.1f} (limit {LAG_LIMIT_MS}) {verdict}")


def _tell(name: str, one: float, other: float, limit: float) -> None:
    verdict = "ok" if one / other <= limit else "OVER"
    print(f"{name}: {one:.1f} / {other:.1f} = {one / other:.2f} (limit {limit}) {verdict}")


if __name__ == "__main__":
    main()

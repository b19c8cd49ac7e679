"""The lake after a year of a 5,000-contract account: start, queries before and after upkeep, storage.

`python -m benchmarks.lake_year HOME`, where HOME was made by `benchmarks.year`. It works on a copy whose
data files are links, so HOME stays as it is.
"""

import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from benchmarks.figure import Figure, show
from benchmarks.lake import loop_lag_ms
from benchmarks.start import started
from benchmarks.stopwatch import median_ms, p99
from lake import Lake, LakeReader
from options import hours
from sync.tables import LAKE_TABLES

_TIMES = 3


def copied(home: Path, target: Path) -> Path:
    """The home again: data and log files, which nobody changes, as links, the rest as copies."""
    shutil.copytree(home, target, ignore=shutil.ignore_patterns("lake"))
    shutil.copytree(home / "lake", target / "lake", copy_function=os.link)
    return target


def starts(year: Path, day: Path) -> list[Figure]:
    """A start is opening the lake (recovery, every table seen) and taking up the daemon's state."""
    of_year, of_day = ([started(home) for _ in range(_TIMES)] for home in (year, day))
    totals = [statistics.median(sum(one) for one in runs) for runs in (of_year, of_day)]
    opened = statistics.median(one[0] for one in of_year)
    return [
        Figure("start after a year / after a day", *totals, 2),
        Figure("start after a year", totals[0], None, 2000),
        Figure("of it opening the lake", opened),
    ]


def spread_and_iv(reader: LakeReader, since: datetime) -> pl.DataFrame:
    """One day by contract: mean spread and volatility, and how many quotes were live."""
    day = reader.table("snapshots").filter(pl.col("time") >= since)
    return (
        day.group_by("con_id")
        .agg(
            (pl.col("ask") - pl.col("bid")).mean().alias("spread"),
            pl.col("iv").mean(),
            (pl.col("quote_state") == "live").sum().alias("live"),
        )
        .sort("con_id")
        .collect()
    )


def _reads(home: Path, since: datetime) -> dict[str, float]:
    """Milliseconds of some questions to a home."""
    reader = LakeReader.open(home)
    seq = reader.seq_at(since + timedelta(hours=3))
    questions: dict[str, Callable[[int], object]] = {
        "group-by of the last day": lambda _: spread_and_iv(reader, since),
        "5,000 rows of a moment of the last day, by seq": lambda _: (
            reader.table("snapshots", seq).filter(pl.col("seq") == seq).collect()
        ),
        "seq of a time half a year ago": lambda n: reader.seq_at(since - timedelta(days=180 + n)),
    }
    return {what: median_ms(ask, _TIMES) for what, ask in questions.items()}


def _stored(home: Path, folder: Path) -> tuple[float, float]:
    """MiB of the lake, and of one zstd Parquet file per table of the same rows."""
    lake = sum(file.stat().st_size for file in (home / "lake").rglob("*") if file.is_file())
    reader = LakeReader.open(home)
    bare = 0
    for name in (*LAKE_TABLES, "ledger"):
        path = folder / f"{name}.parquet"
        reader.table(name).sink_parquet(path, compression="zstd")
        bare += path.stat().st_size
        path.unlink()
    return lake / 2**20, bare / 2**20


def main(made: Path) -> None:
    """Print every number with its limit."""
    with tempfile.TemporaryDirectory(dir=made) as folder:
        year = copied(made / "year", Path(folder) / "year")
        day = copied(made / "day", Path(folder) / "day")
        show(*starts(year, day))
        last = LakeReader.open(year).last_time
        assert last is not None
        since = hours.opening(hours.trading_day(last))
        before, answer = _reads(year, since), spread_and_iv(LakeReader.open(year), since)
        with Lake.open(year, LAKE_TABLES) as lake:
            tended = since + timedelta(days=1)
            late = loop_lag_ms(lambda: lake.upkeep(tended, retention=timedelta(0)))
        after = _reads(year, since)
        assert_frame_equal(spread_and_iv(LakeReader.open(year), since), answer)
        show(
            Figure("event-loop lag during upkeep, p99", p99(late), None, 5),
            Figure("upkeep of the last day", len(late) * 5.0 + sum(late)),
            *(Figure(f"{what}, after upkeep / before", after[what], before[what]) for what in before),
            Figure("start after a year, after upkeep", sum(started(year))),
            Figure("storage after upkeep / one zstd Parquet", *_stored(year, Path(folder)), 1.5, "MiB"),
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""The past among 12,000 versions: read by seq and by time, and, to compare, by Delta version.

`python -m benchmarks.versions [--count 12000]`. A month of flushes of one table, the days compacted.
"""

import argparse
import json
import statistics
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
from deltalake import DeltaTable

from benchmarks.figure import Figure, show
from benchmarks.flushes import PER_DAY, minutes, quotes
from benchmarks.stopwatch import median_ms, ms_of
from lake import TABLES, Lake, LakeReader

_ROWS = 50
_KEPT = timedelta(days=3650)  # no version is forgotten here


def _written(lake: Lake, count: int) -> list[datetime]:
    """Flush so often; gives the moments."""
    moments = []
    for number, moment in minutes():
        if number % PER_DAY == 0 and number:
            lake.upkeep(moment, retention=_KEPT)
        if number == count:
            return moments
        lake.commit(moment, {"snapshots": quotes(_ROWS, number)})
        lake.flush()
        moments.append(moment)
    raise AssertionError("unreachable")


def main() -> None:
    """Write the versions, then read some."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--count", type=int, default=12_000, help="versions")
    count = options.parse_args().count
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with Lake.open(home, TABLES) as lake:
            moments = _written(lake, count)
        table = str(home / "lake" / "snapshots")
        reader = LakeReader.open(home)
        ledger = reader.table("ledger").select("seq", "versions").collect()
        recorded = {seq: json.loads(versions)["snapshots"] for seq, versions in ledger.iter_rows()}

        def wanted(n: int) -> int:
            return (n * 7919) % count + 1

        def by_seq(n: int) -> pl.DataFrame:
            return reader.table("snapshots", wanted(n)).filter(pl.col("seq") == wanted(n)).collect()

        def by_time(n: int) -> pl.DataFrame:
            moment = pl.lit(moments[wanted(n) - 1])
            return reader.table("snapshots").filter(pl.col("time") == moment).collect()

        def by_version(n: int) -> pl.DataFrame:
            rows = pl.scan_delta(DeltaTable(table, version=recorded[wanted(n)]))
            return rows.filter(pl.col("seq") == wanted(n)).collect()

        assert by_seq(5).height == by_time(5).height == by_version(5).height == _ROWS
        seq, time, version = (median_ms(read, 15) for read in (by_seq, by_time, by_version))
        resolved = median_ms(lambda n: reader.seq_at(moments[wanted(n) - 1]), 15)
        opened = statistics.median(
            ms_of(lambda: LakeReader.open(home).table("snapshots").filter(pl.col("seq") == 1).collect())
            for _ in range(5)
        )
    among = f"among {count:,} versions"
    show(
        Figure(f"as-of by seq / by Delta version, {among}", seq, version, 0.1),
        Figure(f"as-of by event time / by Delta version, {among}", time, version, 0.1),
        Figure(f"seq of a time, {among}", resolved),
        Figure(f"the same read by a reader opened for it, {among}", opened),
    )


if __name__ == "__main__":
    main()

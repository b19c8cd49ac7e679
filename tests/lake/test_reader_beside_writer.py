"""A reader beside a writer that commits and flushes as fast as it can."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from lake import Column, Lake, LakeReader, TableSchema

T = datetime(2026, 2, 4, 15, tzinfo=UTC)
PAIR = {
    name: TableSchema(name, "numbers", (), (Column("number", pl.Int64(), "number"),))
    for name in ("left", "right")
}
COMMITS = 250


def test_no_look_at_a_busy_lake_loses_or_doubles_a_row(tmp_path: Path) -> None:
    over = threading.Event()

    def flush_on_and_on(lake: Lake) -> None:
        while not over.wait(0.001):
            lake.flush()

    def read_on_and_on() -> set[int]:
        reader, seen = LakeReader.open(tmp_path), set()
        while not over.wait(0.001):
            seq = reader.seq
            left = reader.table("left", seq).collect()["seq"].sort().to_list()
            right = reader.table("right").collect()["seq"].sort().to_list()
            counted = {table.name: table.rows for table in reader.tables()}["left"]
            assert left == [*range(1, seq + 1)]
            assert right == [*range(1, len(right) + 1)]
            assert seq <= len(right) <= counted
            seen.add(seq)
        return seen

    with Lake.open(tmp_path, PAIR) as lake, ThreadPoolExecutor(3) as threads:
        flusher = threads.submit(flush_on_and_on, lake)
        readers = [threads.submit(read_on_and_on) for _ in range(2)]
        for n in range(COMMITS):
            rows = pl.DataFrame({"number": [n]})
            lake.commit(T + timedelta(seconds=n), {"left": rows, "right": rows})
        over.set()
        flusher.result()
        for reader in readers:
            assert len(reader.result()) > 3, "the reader saw the lake grow"

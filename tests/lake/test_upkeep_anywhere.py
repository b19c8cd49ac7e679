"""Upkeep of a lake wherever it lies: in the home or in a bucket."""

from collections.abc import Mapping
from datetime import timedelta
from itertools import islice
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal

from lake import TABLES, Lake, LakeReader, TableSchema
from lake.location import store_of
from tests.lake.scribe import FACTS, T0, commits_from, rows_of

FEW: Mapping[str, TableSchema] = {"decisions": TABLES["decisions"], "facts": FACTS}
TOMORROW = T0 + timedelta(days=1)


def write(lake: Lake, first: int, last: int) -> None:
    for time, frames in islice(commits_from(first), last - first + 1):
        lake.commit(time, {name: frames[name] for name in FEW})
        lake.flush()


def assert_has(home: Path, last: int) -> None:
    reader = LakeReader.open(home)
    for name, table in FEW.items():
        stored = reader.table(name).sort("seq", maintain_order=True).collect()
        assert_frame_equal(stored, rows_of(table, range(1, last + 1)))


@pytest.mark.bucket
def test_upkeep_puts_files_together_and_removes_what_is_left(tmp_path: Path) -> None:
    with Lake.open(tmp_path, FEW) as lake:
        write(lake, 1, 4)
        report = lake.upkeep(TOMORROW, retention=timedelta(0))
        assert [(table.files_after, table.trouble) for table in report.tables] == [(1, None)] * 3
        assert_has(tmp_path, 4)
        keys = store_of(tmp_path).keys("decisions")
        assert len([key for key in keys if "/_delta_log/" not in key]) == 1
        write(lake, 5, 5)
    with Lake.open(tmp_path, FEW) as lake:
        assert_has(tmp_path, 5)
        assert [table.trouble for table in lake.health().tables.values()] == [None] * 3


@pytest.mark.bucket
def test_what_another_program_did_is_undone_or_taken_over(tmp_path: Path) -> None:
    with Lake.open(tmp_path, FEW) as lake:
        write(lake, 1, 4)
        store = store_of(tmp_path)
        options = None if store.options is None else dict(store.options)

        def table() -> DeltaTable:
            return DeltaTable(f"{store.uri}/decisions", storage_options=options)

        stale = table()
        table().optimize.compact()
        stale.optimize.compact()
        write(lake, 5, 5)
        table().delete("seq = 2")
        assert [each.trouble for each in lake.upkeep(TOMORROW).tables] == [None] * 3
        assert_has(tmp_path, 5)
        counted = pl.scan_delta(table()).select(pl.len())
        assert counted.collect().item() == rows_of(FEW["decisions"], range(1, 6)).height

"""Compaction: what is put together, and that its rows stay exactly the same."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal

from lake import TABLES, compaction, delta
from lake.data_files import DataFile, live_files
from lake.store import Folder
from options import LakeError
from tests.lake.scribe import FACTS, rows_of

pytestmark = pytest.mark.on_disk("it looks at files by path; for buckets: test_upkeep_anywhere")

MIB = 2**20
STATISTICS = ("seq", "time")


def file(first: int, last: int, size: int = MIB, day: str = "2026-02-03", name: str = "") -> DataFile:
    return DataFile(f"{name}{first}-{last}", size, day, 10, first, last, "")


def planned(*files: DataFile, before: date = date(2026, 2, 5)) -> list[list[str]]:
    return [[source.path for source in rewrite.sources] for rewrite in compaction.plan(files, before)]


def test_small_files_of_each_closed_date_become_one_in_the_order_of_their_seqs() -> None:
    files = [file(5, 6), file(1, 2), file(3, 4), file(7, 8, day="2026-02-04"), file(9, 9, day="2026-02-04")]
    assert planned(*files) == [["1-2", "3-4", "5-6"], ["7-8", "9-9"]]
    assert planned(*files, before=date(2026, 2, 4)) == [["1-2", "3-4", "5-6"]]
    assert planned(*files, before=date(2026, 2, 3)) == []


def test_a_single_file_a_large_one_and_one_without_statistics_are_left_alone() -> None:
    large = file(1, 2, compaction.SMALL_BYTES)
    unknown = DataFile("x", MIB, "2026-02-03", None, None, None, "{}")
    assert planned(large, file(3, 4), unknown) == []
    assert planned(large, file(3, 4), file(5, 6)) == [["3-4", "5-6"]]


def test_what_would_become_too_large_becomes_several_files_none_of_which_shares_a_seq() -> None:
    size = compaction.SMALL_BYTES - 1
    files = [file(1, 2, size), file(3, 4, size), file(4, 5, size), file(6, 7, size), file(8, 9, size)]
    assert planned(*files) == [["3-4", "4-5"], ["6-7", "8-9"]]


def test_the_new_file_is_called_the_same_whoever_tries_again() -> None:
    first, again = (compaction.plan([file(1, 2), file(3, 4)], date(2026, 2, 5))[0].path for _ in range(2))
    other = compaction.plan([file(1, 2), file(3, 4, name="other-")], date(2026, 2, 5))[0].path
    assert first == again != other
    assert first.startswith("date=2026-02-03/compact-1-4-")


def table_of(folder: Path, frames: list[pl.DataFrame]) -> DeltaTable:
    """A table with a data file of each frame."""
    store = Folder(folder)
    table = delta.create_table(store, "t", frames[0].schema, STATISTICS)
    for n, frame in enumerate(frames, start=1):
        delta.append(table, frame, n)
    return table


def written(folder: Path, table: DeltaTable) -> DataFile:
    (rewrite,) = compaction.plan(live_files(table), date(2027, 1, 1))
    return compaction.write(Folder(folder), "t", rewrite, delta.polars_schema(table), STATISTICS)


@pytest.mark.parametrize("name", ["decisions", "facts", "strategies", "positions"])
def test_every_type_null_and_microsecond_stays_what_it_was(name: str, tmp_path: Path) -> None:
    schema = {**TABLES, "facts": FACTS}[name]
    frames = [rows_of(schema, range(first, first + 3)) for first in (1, 4, 7)]
    new = written(tmp_path, table_of(tmp_path, frames))
    assert_frame_equal(pl.read_parquet(tmp_path / "t" / new.path), pl.concat(frames))


def test_rows_are_by_seq_and_those_of_one_seq_keep_their_order(tmp_path: Path) -> None:
    time = datetime(2026, 2, 3, 15, 0, 0, 1, tzinfo=UTC)

    def frame(*rows: tuple[int, str]) -> pl.DataFrame:
        seqs, words = zip(*rows, strict=True)
        times = pl.Series([time + timedelta(seconds=seq) for seq in seqs], dtype=pl.Datetime("us", "UTC"))
        return pl.DataFrame({"seq": pl.Series(seqs, dtype=pl.Int64), "time": times, "word": words})

    frames = [frame((3, "c"), (1, "z"), (3, "a"), (1, "b")), frame((9, "x"), (9, "a")), frame((2, "y"))]
    new = written(tmp_path, table_of(tmp_path, frames))
    kept = pl.read_parquet(tmp_path / "t" / new.path)
    assert kept.select("seq", "word").rows() == [
        (1, "z"), (1, "b"), (2, "y"), (3, "c"), (3, "a"), (9, "x"), (9, "a"),
    ]  # fmt: skip
    assert (new.rows, new.first_seq, new.last_seq) == (7, 1, 9)
    lowest, highest = time + timedelta(seconds=1), time + timedelta(seconds=9)
    assert f"{lowest:%Y-%m-%dT%H:%M:%S.%fZ}" in new.statistics, "to the microsecond"
    assert f"{highest:%Y-%m-%dT%H:%M:%S.%fZ}" in new.statistics


def test_columns_that_came_later_are_null_in_older_rows(tmp_path: Path) -> None:
    later = rows_of(FACTS, range(4, 6))
    earlier = rows_of(FACTS, range(1, 4)).drop("dte", "expiry")
    store = Folder(tmp_path)
    table = delta.create_table(store, "t", earlier.schema, STATISTICS)
    delta.append(table, earlier, 1)
    delta.widen(table, later.schema)
    delta.append(table, later, 2)
    new = written(tmp_path, table)
    kept = pl.read_parquet(tmp_path / "t" / new.path)
    assert_frame_equal(kept, pl.concat([earlier, later], how="diagonal").select(kept.columns))


def test_a_file_that_has_not_the_rows_it_should_have_is_not_compacted(tmp_path: Path) -> None:
    frames = [rows_of(FACTS, range(1, 4)), rows_of(FACTS, range(4, 7))]
    table = table_of(tmp_path, frames)
    victim = live_files(table)[0]
    frames[0].head(1).write_parquet(tmp_path / "t" / victim.path)
    with pytest.raises(LakeError, match="did not keep its rows: nothing was changed"):
        written(tmp_path, table)
    assert not list((tmp_path / "t").rglob("compact-*"))
    assert DeltaTable(tmp_path / "t").version() == table.version()


def test_sums_know_the_rows_their_order_and_every_column() -> None:
    rows = rows_of(FACTS, range(1, 9))

    def sums(*frames: pl.DataFrame) -> compaction.Sums:
        total = compaction.Sums()
        for frame in frames:
            total.add(frame)
        return total

    assert sums(rows) == sums(rows.head(5), rows.tail(-5))
    assert sums(rows) != sums(rows.head(-1))
    assert sums(rows) != sums(rows.reverse())
    for column in FACTS.row:
        assert sums(rows) != sums(rows.with_columns(pl.col(column).reverse())), column

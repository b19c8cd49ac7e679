"""Commits and flushes of a healthy lake."""

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lake import Column, Lake, LakeReader, TableSchema, delta
from lake.location import store_of
from options import LakeError
from tests.lake.scribe import ALL, commits_from

T = datetime(2026, 2, 4, 15, tzinfo=UTC)
ALERT = pl.DataFrame({"alert": ["a"], "severity": ["info"], "text": ["hello"]})


@pytest.mark.bucket
def test_every_type_comes_back_as_written_from_journal_and_delta(
    tmp_path: Path, assert_holds: Callable[[Path, int], None]
) -> None:
    with Lake.open(tmp_path, ALL) as lake:
        for n, (time, frames) in enumerate(islice(commits_from(1), 12), start=1):
            assert lake.commit(time, frames) == n
            if n in (5, 9):
                assert_holds(tmp_path, n)
                report = lake.flush()
                assert (report.seq, report.commits) == (n, 5 if n == 5 else 4)
        assert_holds(tmp_path, 12)
    assert_holds(tmp_path, 12)


def test_rows_that_span_midnight_stay_in_order(tmp_path: Path) -> None:
    rows = pl.DataFrame({"con_id": range(2_000), "quote_state": ["live"] * 2_000})
    with Lake.open(tmp_path) as lake:
        for n in range(4):
            lake.commit(
                datetime(2026, 2, 4, 23, 59, 58, tzinfo=UTC) + timedelta(seconds=n), {"snapshots": rows}
            )
        lake.flush()
    stored = LakeReader.open(tmp_path).table("snapshots").sort("seq", maintain_order=True).collect()
    assert stored["con_id"].to_list() == [*range(2_000)] * 4
    keys = (key.split("/") for key in store_of(tmp_path).keys("snapshots"))
    assert {key[1] for key in keys if key[1] != "_delta_log"} == {"date=2026-02-04", "date=2026-02-05"}


def test_seq_is_gapless_over_restarts_and_flushes(tmp_path: Path) -> None:
    for n in range(6):
        with Lake.open(tmp_path) as lake:
            assert lake.seq == n
            assert lake.commit(T + timedelta(seconds=n), {"alerts": ALERT}) == n + 1
            if n % 2:
                lake.flush()
                assert lake.unflushed_rows == 0
                assert lake.last_flush == T + timedelta(seconds=n)
            else:
                assert lake.unflushed_rows == 1
    ledger = LakeReader.open(tmp_path).table("ledger").sort("seq").collect()
    assert ledger["first_seq"].to_list() == [1, 3, 5]
    assert ledger["seq"].to_list() == [2, 4, 6]


@pytest.mark.bucket
def test_a_journal_lost_after_a_flush_goes_on_from_the_ledger(tmp_path: Path) -> None:
    with Lake.open(tmp_path) as lake:
        lake.commit(T, {"alerts": ALERT})
        lake.commit(T, {"alerts": ALERT})
        lake.flush()
    (tmp_path / "journal.sqlite").unlink()
    with Lake.open(tmp_path) as lake:
        assert lake.last_flush == T
        assert lake.commit(T, {"alerts": ALERT}) == 3
        lake.flush()
    assert LakeReader.open(tmp_path).table("alerts").collect()["seq"].sort().to_list() == [1, 2, 3]


@pytest.mark.bucket
def test_a_journal_that_is_not_of_this_lake_is_refused(tmp_path: Path) -> None:
    with Lake.open(tmp_path) as lake:
        lake.commit(T, {"alerts": ALERT})
        lake.flush()
    old = (tmp_path / "journal.sqlite").read_bytes()
    with Lake.open(tmp_path) as lake:
        lake.commit(T, {"alerts": ALERT})
        lake.flush()
    (tmp_path / "journal.sqlite").write_bytes(old)
    with pytest.raises(LakeError, match="restore both from one backup"):
        Lake.open(tmp_path)


def test_commits_without_rows_count_and_empty_frames_make_no_version(tmp_path: Path) -> None:
    with Lake.open(tmp_path) as lake:
        assert lake.commit(T, {}) == 1
        assert lake.commit(T, {"alerts": ALERT.clear()}) == 2
        assert lake.flush().rows == {}
        assert lake.flush().commits == 0
        assert lake.seq == 2
    reader = LakeReader.open(tmp_path)
    assert reader.seq == 2
    assert {table.name: table.version for table in reader.tables() if table.version is not None} == {
        "ledger": 1
    }


def test_a_frame_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    with Lake.open(tmp_path) as lake:
        with pytest.raises(LakeError, match="table snapshots, column quote_state is missing"):
            lake.commit(T, {"alerts": ALERT, "snapshots": pl.DataFrame({"con_id": [1]})})
        with pytest.raises(LakeError, match="no table 'ledger'; it has account, alerts"):
            lake.commit(T, {"ledger": pl.DataFrame({"first_seq": [1]})})
        with pytest.raises(LakeError, match="no time zone"):
            lake.commit(T.replace(tzinfo=None), {"alerts": ALERT})
        assert (lake.seq, lake.unflushed_rows) == (0, 0)


def test_a_second_writer_is_refused_at_once_and_told_by_whom(tmp_path: Path) -> None:
    with Lake.open(tmp_path) as lake:
        for _ in range(2):
            with pytest.raises(LakeError, match=rf"another optiond \(pid {os.getpid()}\) uses this home"):
                Lake.open(tmp_path)
        lake.commit(T, {"alerts": ALERT})
    with Lake.open(tmp_path) as lake:
        assert lake.seq == 1


def test_a_closed_lake_says_so(tmp_path: Path) -> None:
    lake = Lake.open(tmp_path)
    lake.close()
    with pytest.raises(LakeError, match="was closed"):
        lake.commit(T, {"alerts": ALERT})


def test_commits_from_many_threads_get_one_seq_each(tmp_path: Path) -> None:
    given: list[int] = []
    with Lake.open(tmp_path) as lake:

        def commit() -> None:
            for _ in range(20):
                given.append(lake.commit(T, {"alerts": ALERT}))

        threads = [threading.Thread(target=commit) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            lake.flush()
        lake.flush()
    assert sorted(given) == list(range(1, 81))
    stored = LakeReader.open(tmp_path).table("alerts").collect()
    assert sorted(stored["seq"]) == list(range(1, 81))


def _notes(*columns: Column) -> dict[str, TableSchema]:
    return {"notes": TableSchema("notes", "notes", (), columns)}


def test_a_table_that_gains_and_loses_columns_keeps_all_its_rows(tmp_path: Path) -> None:
    text = Column("text", pl.String(), "text")
    size = Column("size", pl.Float64(), "size", "lots", "not known")
    mood = Column("mood", pl.String(), "mood", null="not known")
    with Lake.open(tmp_path, _notes(text, mood)) as lake:
        lake.commit(T, {"notes": pl.DataFrame({"text": ["one"], "mood": ["calm"]})})
        lake.flush()
        lake.commit(T, {"notes": pl.DataFrame({"text": ["two"], "mood": ["glad"]})})
    with Lake.open(tmp_path, _notes(size, text)) as lake:
        lake.commit(T, {"notes": pl.DataFrame({"text": ["three"], "size": [2.0]})})
        expected = pl.DataFrame(
            {
                "seq": [1, 2, 4],  # 3 took down that there is a column more
                "size": [None, None, 2.0],
                "text": ["one", "two", "three"],
                "mood": ["calm", "glad", None],
            }
        )
        for _ in range(2):
            stored = LakeReader.open(tmp_path).table("notes").sort("seq").collect()
            assert_frame_equal(stored.drop("time"), expected)
            lake.flush()
        lake.commit(T, {"notes": pl.DataFrame({"text": ["four"]})})
    with pytest.raises(LakeError, match="table notes, column size is declared String and was Float64"):
        Lake.open(tmp_path, _notes(Column("size", pl.String(), "size")))


@pytest.mark.bucket
def test_what_another_handle_has_flushed_is_not_flushed_again(tmp_path: Path) -> None:
    with Lake.open(tmp_path) as lake:
        for n in range(2):
            lake.commit(T, {"alerts": ALERT})
            if n == 0:
                lake.flush()
        other = delta.open_table(store_of(tmp_path), "alerts")
        assert other is not None
        rows = LakeReader.open(tmp_path).table("alerts").filter(pl.col("seq") == 2).collect()
        delta.append(other, rows, 2)  # the lake's own handle does not know of this
        lake.flush()
        lake.commit(T, {"alerts": ALERT})
        lake.flush()
    assert LakeReader.open(tmp_path).table("alerts").collect()["seq"].sort().to_list() == [1, 2, 3]


def test_handles_are_opened_anew_after_every_checkpoint(tmp_path: Path) -> None:
    with Lake.open(tmp_path) as lake:
        reader = LakeReader.open(tmp_path)
        for n in range(45):
            lake.commit(T + timedelta(minutes=n), {"alerts": ALERT})
            lake.flush()
            assert reader.table("alerts").select(pl.len()).collect().item() == n + 1
    log = store_of(tmp_path).keys("alerts/_delta_log")
    assert len([key for key in log if key.endswith(".checkpoint.parquet")]) == 2
    assert len([key for key in log if key.endswith(".json")]) == 46, "the log is never cleaned up here"
    table = delta.open_table(store_of(tmp_path), "alerts")
    assert table is not None
    assert table.transaction_version(delta.APP) == 45

"""Other programs compact, clean up, add, delete and overwrite in our tables: nothing is lost or doubled."""

import json
import multiprocessing
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import islice
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from lake import TABLES, Lake, LakeReader, TableSchema
from tests.lake.scribe import FACTS, T0, commits_from, rows_of, time_of

pytestmark = pytest.mark.on_disk("other programs open the tables by path; for buckets: test_upkeep_anywhere")

TABLE = "decisions"
FEW: Mapping[str, TableSchema] = {TABLE: TABLES[TABLE], "facts": FACTS}
TOMORROW = T0 + timedelta(days=1)


def write(lake: Lake, first: int, last: int) -> None:
    """The commits `first` to `last`, each with a flush of its own."""
    for seq, (time, frames) in enumerate(islice(commits_from(first), last - first + 1), start=first):
        assert lake.commit(time, {name: frames[name] for name in FEW}) == seq
        lake.flush()


def assert_has(home: Path, last: int) -> None:
    reader = LakeReader.open(home)
    for name, table in FEW.items():
        stored = reader.table(name).sort("seq", maintain_order=True).collect()
        assert_frame_equal(stored, rows_of(table, range(1, last + 1)))


def rows(home: Path) -> int:
    return int(pl.scan_delta(uri(home)).select(pl.len()).collect().item())


def uri(home: Path) -> str:
    return str(home / "lake" / TABLE)


def compact(home: Path) -> None:
    DeltaTable(uri(home)).optimize.compact()


def compact_and_clean_up(home: Path) -> None:
    compact(home)
    DeltaTable(uri(home)).vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)


def compact_twice_and_clean_up(home: Path) -> None:
    compact(home)
    write_deltalake(uri(home), pl.read_delta(uri(home)).head(0), mode="append")
    DeltaTable(uri(home)).optimize.z_order(["seq"])
    DeltaTable(uri(home)).vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)


def compact_from_a_stale_handle(home: Path) -> None:
    """What two compactions at once do: both end well, and every row is there twice."""
    stale = DeltaTable(uri(home))
    before, is_small = rows(home), len(stale.file_uris()) > 1
    compact(home)
    stale.optimize.compact()
    assert rows(home) == (2 * before if is_small else before)


def append(home: Path) -> None:
    write_deltalake(uri(home), pl.read_delta(uri(home)).head(3), mode="append")


def delete(home: Path) -> None:
    DeltaTable(uri(home)).delete("seq = 2")


def overwrite(home: Path) -> None:
    write_deltalake(uri(home), pl.read_delta(uri(home)).head(1), mode="overwrite")


def overwrite_without_a_column(home: Path) -> None:
    """As many rows as before, and what one column holds is gone."""
    write_deltalake(
        uri(home), pl.read_delta(uri(home)).drop("rule"), mode="overwrite", schema_mode="overwrite"
    )


def overwrite_with_another_type(home: Path) -> None:
    """As many rows as before, and the numbers of one column have become words."""
    words = pl.read_delta(uri(home)).with_columns(pl.col("priority").cast(pl.String))
    write_deltalake(uri(home), words, mode="overwrite", schema_mode="overwrite")


def swap_rows(home: Path) -> None:
    """As many rows as before, and not the same ones."""
    delete(home)
    write_deltalake(uri(home), pl.read_delta(uri(home)).filter(pl.col("seq") == 3), mode="append")


def clean_up(home: Path) -> None:
    DeltaTable(uri(home)).vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)


HANDS: list[Callable[[Path], None]] = [
    compact,
    compact_and_clean_up,
    compact_twice_and_clean_up,
    compact_from_a_stale_handle,
    append,
    delete,
    overwrite,
    overwrite_without_a_column,
    overwrite_with_another_type,
    swap_rows,
    clean_up,
]
UNSEEN = (overwrite_without_a_column, overwrite_with_another_type, swap_rows)
"""What readers do not see by the number of rows."""


@pytest.mark.parametrize("hand", HANDS)
def test_what_another_program_did_between_two_flushes_is_undone_or_taken_over(
    hand: Callable[[Path], None], tmp_path: Path
) -> None:
    with Lake.open(tmp_path, FEW) as lake:
        write(lake, 1, 5)
        hand(tmp_path)
        write(lake, 6, 6)
        assert_has(tmp_path, 6)
        hand(tmp_path)
        report = lake.upkeep(TOMORROW)
        assert [table.trouble for table in report.tables] == [None] * 3
        assert_has(tmp_path, 6)
        assert lake.health().tables[TABLE].files == 1
        hand(tmp_path)
        write(lake, 7, 8)
        assert_has(tmp_path, 8)
        assert [table.trouble for table in lake.health().tables.values()] == [None] * 3


@pytest.mark.parametrize("hand", HANDS)
def test_what_another_program_did_while_we_were_away_is_undone_or_taken_over(
    hand: Callable[[Path], None], tmp_path: Path
) -> None:
    with Lake.open(tmp_path, FEW) as lake:
        write(lake, 1, 5)
    hand(tmp_path)
    if hand not in UNSEEN:
        assert_has(tmp_path, 5)  # our own readers go back to what was flushed
    with Lake.open(tmp_path, FEW) as lake:
        assert_has(tmp_path, 5)
        assert [table.trouble for table in lake.health().tables.values()] == [None] * 3
    with Lake.open(tmp_path, FEW) as lake:
        write(lake, 6, 6)
    assert_has(tmp_path, 6)


def test_rows_removed_for_good_are_told_in_one_line_and_what_is_left_is_not_touched(tmp_path: Path) -> None:
    with Lake.open(tmp_path, FEW) as lake:
        write(lake, 1, 5)
        delete(tmp_path)
        clean_up(tmp_path)
        write(lake, 6, 6)
        trouble = lake.health().tables[TABLE].trouble
        assert trouble is not None and "\n" not in trouble
        assert f"removed 3 rows of the table {TABLE} for good" in trouble
        assert "restore this home from a backup" in trouble
        report = {table.name: table for table in lake.upkeep(TOMORROW).tables}
        assert (report[TABLE].trouble is None, report["facts"].trouble) == (False, None)
        assert report["facts"].files_after == 1
    with Lake.open(tmp_path, FEW) as lake:
        write(lake, 7, 7)
        trouble = lake.health().tables[TABLE].trouble
        assert trouble is not None and "restore this home from a backup" in trouble


def test_a_loss_is_remembered_even_where_the_number_of_rows_is_right_again(tmp_path: Path) -> None:
    with Lake.open(tmp_path, FEW) as lake:
        write(lake, 1, 5)
    swap_rows(tmp_path)
    clean_up(tmp_path)
    for _ in range(2):
        with Lake.open(tmp_path, FEW) as lake:
            trouble = lake.health().tables[TABLE].trouble
            assert trouble is not None and "for good" in trouble
            write(lake, lake.seq + 1, lake.seq + 1)
            lost = next(table for table in lake.upkeep(TOMORROW).tables if table.name == TABLE)
            assert lost.trouble == trouble


def hammer(home: str, ready: "multiprocessing.synchronize.Event", times: int) -> None:
    """Another program that compacts whatever it finds; losing a race is no error to it."""
    ready.set()
    for _ in range(times):
        try:
            compact(Path(home))
        except Exception:  # noqa: BLE001 - whatever delta-rs throws at it
            continue


def test_flushes_and_upkeeps_beside_a_program_that_compacts_all_the_time(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Event()
    with Lake.open(tmp_path, FEW) as lake:
        write(lake, 1, 4)
        other = spawn.Process(target=hammer, args=(str(tmp_path), ready, 25))
        other.start()
        assert ready.wait(60)
        for first in range(5, 20, 3):
            write(lake, first, first + 2)
            keeper = threading.Thread(target=lake.upkeep, args=(TOMORROW,))
            keeper.start()
            keeper.join()
        other.join(60)
        write(lake, 20, 20)
        lake.upkeep(TOMORROW)
        assert_has(tmp_path, 20)
        assert [table.trouble for table in lake.health().tables.values()] == [None] * 3


def test_moments_and_the_newest_rows_are_told_while_it_is_not_undone_yet(tmp_path: Path) -> None:
    with Lake.open(tmp_path, FEW) as lake:
        write(lake, 1, 5)
    for table in (TABLE, "ledger"):
        DeltaTable(str(tmp_path / "lake" / table)).delete("seq >= 3")
    reader = LakeReader.open(tmp_path)
    assert [reader.seq_at(time_of(seq)) for seq in range(6)] == list(range(6))
    assert [reader.time_of(seq) for seq in range(1, 6)] == [time_of(seq) for seq in range(1, 6)]
    assert reader.newest(TABLE)["seq"].unique().to_list() == [5]


@pytest.mark.parametrize("columns", ["time", "seq,time,rule", "`reason`"])
def test_moments_and_rows_are_found_where_others_had_statistics_left_out(
    columns: str, tmp_path: Path
) -> None:
    with Lake.open(tmp_path, FEW) as lake:
        write(lake, 1, 2)
        for table in (TABLE, "ledger"):
            chosen = {"delta.dataSkippingStatsColumns": columns if table == TABLE else "time"}
            DeltaTable(str(tmp_path / "lake" / table)).alter.set_table_properties(chosen)
        for seq in (3, 4):
            time, frames = next(commits_from(seq))
            nothing = frames[TABLE].with_columns(pl.lit(None, pl.String()).alias("rule"))
            lake.commit(time, {TABLE: nothing})
            lake.flush()
        for _ in range(2):
            reader = LakeReader.open(tmp_path)
            assert [reader.seq_at(time_of(seq)) for seq in range(5)] == list(range(5))
            assert [reader.time_of(seq) for seq in range(1, 5)] == [time_of(seq) for seq in range(1, 5)]
            assert reader.newest(TABLE)["seq"].unique().to_list() == [4]
            stored = rows_of(FEW[TABLE], range(1, 5)).height
            (told,) = (info for info in reader.tables() if info.name == TABLE)
            assert (told.rows, told.last_seq) == (stored, 4)
            assert lake.health().tables[TABLE].rows == stored
            assert [table.trouble for table in lake.upkeep(TOMORROW).tables] == [None] * 3
        write(lake, 5, 5)
        files = DeltaTable(uri(tmp_path)).get_add_actions(flatten=True)
        assert pl.DataFrame(files)["max.seq"].sort().to_list() == [4, 5], "they are there again"


def test_a_version_whose_writer_says_nothing_of_itself_is_no_damage(tmp_path: Path) -> None:
    """Commit info is optional in Delta."""

    def commit() -> None:
        version = DeltaTable(uri(tmp_path)).version() + 1
        told = {"txn": {"appId": "another", "version": version}}
        (tmp_path / "lake" / TABLE / "_delta_log" / f"{version:020}.json").write_text(json.dumps(told))

    with Lake.open(tmp_path, FEW) as lake:
        write(lake, 1, 2)
        commit()
        lake.upkeep(T0)
        commit()
    version = DeltaTable(uri(tmp_path)).version()
    for _ in range(2):
        with Lake.open(tmp_path, FEW):
            assert DeltaTable(uri(tmp_path)).version() == version
    assert_has(tmp_path, 2)


DEEDS: dict[str, Callable[[Path], None]] = {
    "compact": compact,
    "compact and clean up": compact_and_clean_up,
    "compact twice at once": compact_from_a_stale_handle,
    "append": append,
    "delete": delete,
    "overwrite": overwrite,
    "swap rows": swap_rows,
}
OURS = ("write", "upkeep", "upkeep that keeps nothing", "open again")


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([*OURS, *OURS, *DEEDS]), min_size=4, max_size=8))
def test_whatever_we_and_others_do_the_tables_are_the_plain_list_of_rows(
    tmp_path_factory: pytest.TempPathFactory, deeds: list[str]
) -> None:
    home = tmp_path_factory.mktemp("history")
    lake = Lake.open(home, FEW)
    write(lake, 1, 3)
    last = 3
    is_our_turn = True
    try:
        for deed in deeds:
            if deed == "compact and clean up" and not is_our_turn:
                continue  # what was done before would be for good
            is_our_turn = deed not in DEEDS
            if deed == "write":
                last += 1
                write(lake, last, last)
            elif deed == "open again":
                lake.close()
                lake = Lake.open(home, FEW)
            elif deed in DEEDS:
                DEEDS[deed](home)
                continue  # until our next turn a plain reader sees what they did
            else:
                retention = timedelta(days=30 if deed == "upkeep" else 0)
                lake.upkeep(TOMORROW, retention=retention)
            assert [table.trouble for table in lake.health().tables.values()] == [None] * 3
            assert_has(home, last)
        write(lake, last + 1, last + 1)
        assert_has(home, last + 1)
    finally:
        lake.close()

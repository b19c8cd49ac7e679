"""Upkeep beside everything else: killed anywhere, stopped, refused, with readers that look on."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Mapping
from datetime import timedelta
from itertools import islice
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal

from lake import TABLES, Lake, LakeReader, Step, TableSchema, UpkeepReport
from lake.failpoint import ENVIRONMENT
from lake.log_files import added_files
from lake.store import Folder
from options import LakeError
from tests.lake.scribe import FACTS, T0, commits_from, rows_of

pytestmark = pytest.mark.on_disk("it looks at files by path; for buckets: test_upkeep_anywhere")

ROOT = Path(__file__).parents[2]
FEW: Mapping[str, TableSchema] = {"decisions": TABLES["decisions"], "facts": FACTS}
TOMORROW = T0 + timedelta(days=1)  # the first nine commits are of today
NOTHING_KEPT = timedelta(0)


def write(lake: Lake, first: int, last: int, names: tuple[str, ...] = tuple(FEW)) -> None:
    """The commits `first` to `last`, each with a flush of its own."""
    for time, frames in islice(commits_from(first), last - first + 1):
        lake.commit(time, {name: frames[name] for name in names})
        lake.flush()


def assert_has(home: Path, last: int) -> None:
    reader = LakeReader.open(home)
    for name, table in FEW.items():
        stored = reader.table(name).sort("seq", maintain_order=True).collect()
        assert_frame_equal(stored, rows_of(table, range(1, last + 1)))


def uri(home: Path, table: str = "decisions") -> str:
    return str(home / "lake" / table)


def logs(home: Path, table: str = "decisions") -> list[Path]:
    return sorted((home / "lake" / table / "_delta_log").glob("*.json"))


def data(home: Path, table: str = "decisions") -> list[Path]:
    return sorted((home / "lake" / table).glob("date=*/*.parquet"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of six commits, each flushed."""
    home = tmp_path_factory.mktemp("written")
    with Lake.open(home, FEW) as lake:
        write(lake, 1, 6)
    return home


@pytest.fixture
def home(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "home"))


def test_a_closed_date_becomes_one_file_and_a_second_upkeep_changes_nothing(home: Path) -> None:
    with Lake.open(home, FEW) as lake:
        assert lake.health().last_upkeep is None
        assert lake.health().tables["decisions"].small_files == 6
        report = lake.upkeep(TOMORROW)
        assert report.is_finished
        kept = {table.name: table for table in report.tables}
        assert kept.keys() == {"decisions", "facts", "ledger"}
        for table in kept.values():
            assert (table.files_before, table.files_after, table.trouble) == (6, 1, None)
            assert table.bytes_after < table.bytes_before
        assert kept["decisions"].rows == rows_of(FEW["decisions"], range(1, 7)).height
        assert_has(home, 6)
        health = lake.health()
        assert health.last_upkeep == TOMORROW
        assert (health.tables["decisions"].files, health.tables["decisions"].small_files) == (1, 0)
        versions = {name: table.version for name, table in health.tables.items()}
        lake.upkeep(TOMORROW)
        assert {name: table.version for name, table in lake.health().tables.items()} == versions


def test_today_and_dates_that_unflushed_rows_fall_on_are_left_alone(home: Path) -> None:
    with Lake.open(home, FEW) as lake:
        assert lake.upkeep(T0 + timedelta(hours=9)).tables[0].files_after == 6
        for time, frames in islice(commits_from(7), 1):
            lake.commit(time, {"facts": frames["facts"], "decisions": frames["decisions"]})
        assert lake.upkeep(TOMORROW).tables[0].files_after == 6
        lake.flush()
        assert lake.upkeep(TOMORROW).tables[0].files_after == 1
    assert_has(home, 7)


KEEP_UP = """
import sys
from datetime import timedelta
from pathlib import Path
from lake import Lake
from tests.lake.test_upkeep import FEW, TOMORROW
with Lake.open(Path(sys.argv[1]), FEW) as lake:
    lake.upkeep(TOMORROW, retention=timedelta(0))
"""


def killed_at(home: Path, point: str) -> None:
    child = subprocess.run(
        [sys.executable, "-c", KEEP_UP, str(home)],
        cwd=ROOT, env={**os.environ, ENVIRONMENT: point}, check=False,
    )  # fmt: skip
    assert child.returncode == -signal.SIGKILL, f"{point} was not reached"


POINTS = ["written", "committed", "checkpointed", "removed", "vacuumed", "forgotten", "cleaned"]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("time", ["", pytest.param(":2", marks=pytest.mark.long)])
def test_an_upkeep_killed_anywhere_loses_nothing_and_is_finished_by_the_next(
    point: str, time: str, home: Path
) -> None:
    killed_at(home, f"upkeep.{point}{time}")
    assert_has(home, 6)
    with Lake.open(home, FEW) as lake:
        write(lake, 7, 7)
        assert_has(home, 7)
        report = lake.upkeep(TOMORROW, retention=NOTHING_KEPT)
        assert [(table.files_after, table.trouble) for table in report.tables] == [(1, None)] * 3
        assert_has(home, 7)
        assert len(data(home)) == 1, "what the killed one left behind is gone"
        # The log from the last checkpoint on is all that is left of it.
        assert len(logs(home)) == 1


def test_no_log_is_removed_before_the_checkpoint_that_takes_its_place_is_on_disk(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was written by another program, or by an upkeep that was killed before its sync."""
    synced: set[str] = set()
    really_sync, really_delete = os.fsync, Folder.delete

    def sync_and_note(descriptor: int) -> None:
        really_sync(descriptor)
        synced.add(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    def look_and_delete(folder: Folder, key: str) -> None:
        if key.startswith("decisions/_delta_log"):
            assert any("checkpoint.parquet" in name for name in synced)
        really_delete(folder, key)

    with Lake.open(home, FEW) as lake:
        lake.upkeep(T0, retention=NOTHING_KEPT)
        write(lake, 7, 7)
        DeltaTable(uri(home)).create_checkpoint()
        monkeypatch.setattr(os, "fsync", sync_and_note)
        monkeypatch.setattr(Folder, "delete", look_and_delete)
        lake.upkeep(T0, retention=NOTHING_KEPT)
    assert len(logs(home)) == 1


TEARS = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "cut between two lines": lambda path: path.write_bytes(
        b"\n".join(path.read_bytes().splitlines()[:4]) + b"\n"
    ),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("tear", TEARS)
def test_a_compaction_torn_by_a_power_cut_is_taken_back(tear: str, home: Path) -> None:
    killed_at(home, "upkeep.committed")
    TEARS[tear](logs(home)[-1])
    with Lake.open(home, FEW) as lake:
        assert_has(home, 6)
        assert len(DeltaTable(uri(home)).file_uris()) == 6
        assert lake.upkeep(TOMORROW).tables[0].files_after == 1
        assert_has(home, 6)


def test_a_compaction_whose_file_a_power_cut_took_is_taken_back(home: Path) -> None:
    killed_at(home, "upkeep.committed")
    next((home / "lake" / "decisions").rglob("compact-*")).unlink()
    with Lake.open(home, FEW):
        assert_has(home, 6)


def test_stopping_ends_it_between_files_and_the_next_goes_on(home: Path) -> None:
    stop = threading.Event()

    def look(step: Step) -> None:
        if step.table == "facts" and step.action.startswith("compact"):
            stop.set()

    with Lake.open(home, FEW) as lake:
        report = lake.upkeep(TOMORROW, look, stop)
        assert (report.is_finished, [table.name for table in report.tables]) == (False, ["decisions"])
        assert lake.health().last_upkeep is None
        assert lake.upkeep(TOMORROW).is_finished
        assert_has(home, 6)


def test_closing_ends_an_upkeep_in_another_thread_before_it_lets_the_home_go(home: Path) -> None:
    at_work, may_go_on = threading.Event(), threading.Event()
    reports: list[UpkeepReport] = []

    def look(_: Step) -> None:
        at_work.set()
        may_go_on.wait(10)

    lake = Lake.open(home, FEW)
    keeper = threading.Thread(target=lambda: reports.append(lake.upkeep(TOMORROW, look)))
    keeper.start()
    assert at_work.wait(10)
    closer = threading.Thread(target=lake.close)
    closer.start()
    with pytest.raises(LakeError, match="another optiond"):
        Lake.open(home, FEW)
    may_go_on.set()
    closer.join(10)
    keeper.join(10)
    assert [report.is_finished for report in reports] == [False]
    with Lake.open(home, FEW) as again:
        assert again.upkeep(TOMORROW).is_finished
    assert_has(home, 6)


def test_commits_flushes_and_readers_go_on_meanwhile(home: Path) -> None:
    reader = LakeReader.open(home)
    before = reader.table("decisions")
    seqs = iter(range(7, 100))
    steps: list[Step] = []
    with Lake.open(home, FEW) as lake:

        def beside(step: Step) -> None:
            steps.append(step)
            seq = next(seqs)
            write(lake, seq, seq)
            assert before.collect().height == rows_of(FEW["decisions"], range(1, 7)).height
            counted = reader.table("decisions").select(pl.len()).collect().item()
            assert counted == rows_of(FEW["decisions"], range(1, seq + 1)).height

        assert lake.upkeep(TOMORROW, beside).is_finished
        assert_has(home, next(seqs) - 1)
        assert {step.action for step in steps} >= {"look", "compact 2026-02-03", "checkpoint", "vacuum"}
        assert all(0 <= step.done <= step.total for step in steps)
        assert [step.done for step in steps] == sorted(step.done for step in steps)


def test_a_second_upkeep_at_once_is_refused_and_does_no_harm(home: Path) -> None:
    with Lake.open(home, FEW) as lake:

        def again(_: Step) -> None:
            with pytest.raises(LakeError, match="an upkeep of this home is under way"):
                lake.upkeep(TOMORROW)

        assert lake.upkeep(TOMORROW, again).is_finished
        assert lake.upkeep(TOMORROW).is_finished
    assert_has(home, 6)


def test_a_frame_from_before_is_read_to_its_end_while_what_it_reads_is_replaced(home: Path) -> None:
    reader = LakeReader.open(home)
    frame = reader.table("decisions")
    with Lake.open(home, FEW) as lake:
        lake.upkeep(TOMORROW)
    assert frame.collect().height == rows_of(FEW["decisions"], range(1, 7)).height
    old = DeltaTable(uri(home), version=4)
    assert pl.scan_delta(old).collect()["seq"].max() == 4, "within the retention versions are readable"


def test_after_the_retention_only_what_is_pinned_is_left(home: Path) -> None:
    reader = LakeReader.open(home)
    assert reader.table("decisions").collect().height
    with Lake.open(home, FEW) as lake:
        lake.upkeep(TOMORROW, retention=NOTHING_KEPT, keep=[3, 5])
        write(lake, 7, 9)
        lake.upkeep(TOMORROW, retention=NOTHING_KEPT, keep=[3, 5])
        for seq in (3, 5):
            pinned = DeltaTable(uri(home), version=seq)
            expected = rows_of(FEW["decisions"], range(1, seq + 1))
            assert pl.scan_delta(pinned).select(pl.len()).collect().item() == expected.height
        assert DeltaTable(uri(home)).metadata().configuration["delta.logRetentionDuration"] == (
            "interval 0 seconds"
        )
        lake.upkeep(TOMORROW, retention=NOTHING_KEPT)
        assert len(data(home)) == 1
        assert len(logs(home)) == 1
    assert reader.table("decisions").collect().height == rows_of(FEW["decisions"], range(1, 10)).height
    assert_has(home, 9)


def test_what_killed_writers_left_unfinished_is_removed_after_the_retention(home: Path) -> None:
    folder = data(home)[0].parent
    left = [
        folder / "part-00000-aa.parquet#1",
        folder / "compact-1-2-aa.parquet.new",
        folder / "orphan.parquet",
        logs(home)[0].with_name(f"{9:020}.json#1"),
    ]
    for path in left:
        path.write_bytes(b"PAR1")
    with Lake.open(home, FEW) as lake:
        lake.upkeep(TOMORROW)
        assert all(path.exists() for path in left), "somebody may be at work on them"
        for path in left:
            os.utime(path, (1e9, 1e9))
        lake.upkeep(TOMORROW)
    assert not any(path.exists() for path in left)
    assert_has(home, 6)


def test_log_and_files_are_kept_equally_long_in_new_and_in_old_tables(home: Path) -> None:
    kept = {"delta.logRetentionDuration", "delta.deletedFileRetentionDuration"}
    configuration = DeltaTable(uri(home)).metadata().configuration
    assert {configuration[name] for name in kept} == {"interval 2592000 seconds"}
    DeltaTable(uri(home)).alter.set_table_properties({"delta.logRetentionDuration": "interval 1 days"})
    with Lake.open(home, FEW) as lake:
        lake.upkeep(TOMORROW)
        configuration = DeltaTable(uri(home)).metadata().configuration
        assert {configuration[name] for name in kept} == {"interval 2592000 seconds"}


def test_a_table_that_is_seldom_written_stays_whole_when_its_files_were_replaced(home: Path) -> None:
    with Lake.open(home, FEW) as lake:
        lake.upkeep(TOMORROW, retention=NOTHING_KEPT)
        write(lake, 7, 30, ("facts",))
        lake.upkeep(TOMORROW, retention=NOTHING_KEPT)
    for _ in range(2):
        with Lake.open(home, FEW) as lake:
            assert [table.trouble for table in lake.health().tables.values()] == [None] * 3
        rows = LakeReader.open(home).table("decisions").select(pl.len()).collect().item()
        assert rows == rows_of(FEW["decisions"], range(1, 7)).height
        for path in home.glob("journal.sqlite*"):
            path.unlink()  # the second time by the lake's own account


def test_a_home_of_before_gets_its_rows_counted(home: Path) -> None:
    connection = sqlite3.connect(home / "journal.sqlite", isolation_level=None)
    for statement in ("ALTER TABLE flush DROP COLUMN rows", "DROP TABLE notes", "PRAGMA user_version = 1"):
        connection.execute(statement)
    connection.close()
    assert_has(home, 6)
    with Lake.open(home, FEW) as lake:
        assert lake.upkeep(TOMORROW).is_finished
        DeltaTable(uri(home)).delete("seq = 2")
        DeltaTable(uri(home)).vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)
        write(lake, 7, 7)
        assert lake.health().tables["decisions"].trouble is not None
        assert lake.health().tables["facts"].trouble is None


def test_a_table_that_cannot_be_opened_does_not_keep_the_others_from_their_upkeep(home: Path) -> None:
    with Lake.open(home, FEW) as lake:
        logs(home)[-1].write_bytes(b"no log")
        report = {table.name: table for table in lake.upkeep(TOMORROW).tables}
        assert report["facts"].files_after == 1
        trouble = report["decisions"].trouble
        assert trouble is not None and "cannot open the table decisions" in trouble


def test_trouble_with_one_table_does_not_keep_the_others_from_their_upkeep(home: Path) -> None:
    (name, _), *_ = added_files(logs(home)[1].read_bytes())  # that of the last one is vouched for
    victim = home / "lake" / "decisions" / name
    victim.write_bytes(victim.read_bytes()[:100] + bytes(victim.stat().st_size - 100))
    with Lake.open(home, FEW) as lake:
        report = {table.name: table for table in lake.upkeep(TOMORROW).tables}
        assert report["facts"].files_after == 1
        trouble = report["decisions"].trouble
        assert trouble is not None and "table decisions" in trouble and "\n" not in trouble
        assert lake.health().last_upkeep is None, "it was not whole"

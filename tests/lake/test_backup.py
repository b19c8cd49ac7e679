"""Backups beside a writer, interrupted ones, and what is restored from them."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import islice
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from lake import Lake, LakeReader, TableSchema
from lake.backup import backup, restore
from lake.checks import Finding
from lake.failpoint import ENVIRONMENT
from lake.verify import verify
from options import LakeError
from tests.lake.kills import ROOT, Scribe
from tests.lake.scribe import ALL, commits_from, rows_of, time_of

pytestmark = pytest.mark.on_disk("its homes lie in folders of their own; one of its tests is for buckets")
Holds = Callable[[Path, int], None]
SOME = {name: ALL[name] for name in ("alerts", "facts", "snapshots")}


def write(home: Path, commits: int, *, flushed: bool = True, tables: Mapping[str, TableSchema] = SOME) -> int:
    """Go on writing as the scribe does, in these tables; gives the last seq."""
    with Lake.open(home, tables) as lake:
        for moment, frames in islice(commits_from(lake.seq + 1), commits):
            lake.commit(moment, {name: frames[name] for name in tables})
        if flushed:
            lake.flush()
        return lake.seq


def holds(home: Path, last: int) -> None:
    reader = LakeReader.open(home)
    assert reader.seq == last
    for name, table in SOME.items():
        stored = reader.table(name).sort("seq", maintain_order=True).collect()
        assert_frame_equal(stored, rows_of(table, range(1, last + 1)))


def damage(home: Path) -> list[Finding]:
    """What `verify` finds but for what the scribe does not write: intents that go from state to state."""
    return [finding for finding in verify(home, deep=True) if finding.table not in ("intents", "fills")]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Three commits, flushed in two turns, and one in the journal."""
    home = tmp_path / "home"
    write(home, 2)
    write(home, 1)
    write(home, 1, flushed=False)
    return home


def test_backups_at_random_instants_of_a_writer_hold_every_acknowledged_row_once_and_go_on(
    tmp_path: Path, assert_holds: Holds
) -> None:
    moments = random.Random(20261121)
    home, target = tmp_path / "home", tmp_path / "backup"
    child = Scribe()
    child.start(home, "beside flush", "commit")
    for n in range(3):
        while child.acknowledged < 3 * (n + 1):
            child.listen(1)
        time.sleep(moments.uniform(0, 0.3))
        report = backup(home, target)
        assert report.seq >= child.acknowledged
        restored = tmp_path / f"restored-{n}"
        assert restore(target, restored).seq == report.seq
        assert_holds(restored, report.seq)
        assert damage(restored) == []
    child.end(kill=True)
    last = write(restored, 2, tables=ALL)
    assert last == report.seq + 2
    assert_holds(restored, last)


def test_a_later_backup_into_the_same_folder_copies_only_what_is_new(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    first = backup(home, target)
    assert first.copied == first.files - 1, "all but the journal, which is copied each time"
    before = files_of(target)
    assert backup(home, target).copied == 0
    write(home, 1)
    second = backup(home, target)
    tables = len(SOME) + 1
    assert second.copied == 2 * tables, "one data file and one log file of every table"
    after = files_of(target)
    assert {name: after[name] for name in before if "journal" not in name and "manifest" not in name} == {
        name: content for name, content in before.items() if "journal" not in name and "manifest" not in name
    }
    assert sum("journal" in name for name in after) == 1
    restore(target, tmp_path / "restored")
    holds(tmp_path / "restored", second.seq)


def test_a_backup_cut_off_leaves_the_one_before_it_and_a_first_one_is_told(
    home: Path, tmp_path: Path
) -> None:
    target = tmp_path / "backup"
    for done in (1, 12):
        cut_off(home, target, done)
        with pytest.raises(LakeError, match="holds no complete backup; it was interrupted: run it again"):
            restore(target, tmp_path / "restored")
        assert not (tmp_path / "restored").exists()
    first = backup(home, target)
    write(home, 2)
    cut_off(home, target, 17)
    assert restore(target, tmp_path / "restored").seq == first.seq
    holds(tmp_path / "restored", first.seq)
    last = backup(home, target)
    restore(target, tmp_path / "again")
    holds(tmp_path / "again", last.seq)


def cut_off(home: Path, target: Path, files: int) -> None:
    """Kill a backup after that many files."""
    program = (
        "import os, signal, sys; from pathlib import Path; from lake.backup import backup; "
        "backup(Path(sys.argv[1]), Path(sys.argv[2]), (), "
        f"lambda done, all: os.kill(os.getpid(), signal.SIGKILL) if done == {files} else None)"
    )
    done = subprocess.run([sys.executable, "-c", program, home, target], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("step", ["flush.table.facts", "flush.released"])
def test_a_backup_of_a_home_that_died_within_a_flush_finishes_that_flush(
    step: str, tmp_path: Path, assert_holds: Holds
) -> None:
    child = Scribe()
    child.start(tmp_path / "home", "commit 2", "flush", failpoint=step)
    assert child.end() == -signal.SIGKILL
    assert ENVIRONMENT not in os.environ
    backup(tmp_path / "home", tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "restored")
    assert_holds(tmp_path / "restored", 2)
    assert write(tmp_path / "restored", 1, tables=ALL) == 3
    assert_holds(tmp_path / "restored", 3)
    assert damage(tmp_path / "restored") == []


def test_settings_and_rules_are_kept_and_secrets_are_not(home: Path, tmp_path: Path) -> None:
    (home / "optiond.toml").write_text("[broker]\nport = 4002\n")
    (home / "control.token").write_text("hush")
    (home / "secrets").mkdir()
    (home / "secrets" / "broker__account").write_text("hush")
    backup(home, tmp_path / "backup", ["optiond.toml", "rules.yaml"])
    assert not any(b"hush" in content for content in files_of(tmp_path / "backup").values())
    restore(tmp_path / "backup", tmp_path / "restored")
    assert (tmp_path / "restored" / "optiond.toml").read_text() == "[broker]\nport = 4002\n"


def test_a_restore_that_was_cut_off_does_not_open(home: Path, tmp_path: Path) -> None:
    backup(home, tmp_path / "backup")
    for number in (1, 5, 9, 16):
        restored = tmp_path / f"restored-{number}"
        with pytest.raises(Cut):
            restore(tmp_path / "backup", restored, stopping_after(number))
        with pytest.raises(LakeError, match="restore this home from a backup"):
            Lake.open(restored, SOME)
        with pytest.raises(LakeError, match="is not empty: restore into a new folder"):
            restore(tmp_path / "backup", restored)


class Cut(Exception):
    pass


def stopping_after(files: int) -> Callable[[int, int], None]:
    def stop(done: int, total: int) -> None:
        if done == total // 2 + files:
            raise Cut

    return stop


def test_only_an_empty_home_is_restored_into_and_a_changed_backup_restores_nothing(
    home: Path, tmp_path: Path
) -> None:
    target = tmp_path / "backup"
    backup(home, target)
    with pytest.raises(LakeError, match="is not empty"):
        restore(target, home)
    kept = next((target / "files" / "lake" / "facts").glob("date=*/*.parquet"))
    content = kept.read_bytes()
    kept.write_bytes(content[:-1] + b"?")
    with pytest.raises(LakeError, match=r"facts/date=.* is missing or changed: use another backup"):
        restore(target, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()
    kept.write_bytes(content)
    manifest = json.loads((target / "manifest.json").read_text())
    manifest["files"]["../outside"] = manifest["files"]["journal.sqlite"]
    (target / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(LakeError, match="outside the backup"):
        restore(target, tmp_path / "restored")


def test_a_folder_of_something_else_and_a_backup_of_another_life_are_refused(
    home: Path, tmp_path: Path
) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("keep me")
    with pytest.raises(LakeError, match="neither empty nor a backup"):
        backup(home, tmp_path / "letters")
    with pytest.raises(LakeError, match="lie in each other"):
        backup(home, home / "lake" / "backup")

    target = tmp_path / "backup"
    backup(home, target)
    restore(target, tmp_path / "other-life")
    write(tmp_path / "other-life", 1)
    write(home, 1)
    backup(home, target)
    with pytest.raises(LakeError, match="of another home, or of a later state of this one"):
        backup(tmp_path / "other-life", target)
    write(tmp_path / "other-home", 1)
    with pytest.raises(LakeError, match="of another home, or of a later state of this one"):
        backup(tmp_path / "other-home", target)


def test_a_lake_that_lost_a_data_file_is_not_backed_up_over_a_good_backup(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    first = backup(home, target)
    write(home, 1)
    newest = max((home / "lake" / "facts").glob("date=*/*.parquet"), key=lambda path: path.stat().st_mtime)
    newest.unlink()
    with pytest.raises(LakeError, match="cannot back up the home"):
        backup(home, target)
    assert restore(target, tmp_path / "restored").seq == first.seq


def test_a_copied_lake_reads_the_same_whatever_its_file_times(home: Path, tmp_path: Path) -> None:
    backup(home, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "restored")
    theirs, ours = LakeReader.open(home), LakeReader.open(tmp_path / "restored")
    assert [info._asdict() for info in ours.tables()] == [info._asdict() for info in theirs.tables()]
    shutil.rmtree(home)
    assert ours.table("facts", 2).collect().height > 0


def test_a_backup_beside_upkeep_holds_every_row_once(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    ended = threading.Event()
    with Lake.open(home, SOME) as lake:

        def keep_up() -> None:
            while not ended.is_set():
                lake.upkeep(time_of(lake.seq) + timedelta(days=3), retention=timedelta(0))

        beside = threading.Thread(target=keep_up)
        beside.start()
        try:
            for n in range(6):
                moment, frames = next(commits_from(lake.seq + 1))
                lake.commit(moment, {name: frames[name] for name in SOME})
                lake.flush()
                report = backup(home, target)
                restore(target, tmp_path / f"restored-{n}")
                holds(tmp_path / f"restored-{n}", report.seq)
        finally:
            ended.set()
            beside.join()
    assert damage(tmp_path / "restored-5") == []

"""A home that can no longer be written while it is: refused in one line, nothing lost, readers go on."""

import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lake import Lake, LakeReader
from lake.verify import verify
from options import LakeError
from tests.lake import kills
from tests.lake.scribe import FEW, RESERVE, commits_from

pytestmark = pytest.mark.on_disk("disks and folders that turn read-only")
LATER = datetime(2030, 1, 1, tzinfo=UTC)
NOBODY = 65534


@dataclass(frozen=True)
class Disk:
    """A file system of its own, which the kernel makes read-only when it meets an error in it."""

    image: Path
    folder: Path

    def mount(self) -> bool:
        """Whether it could be: only root may, and not in every container."""
        command = ["mount", "-o", "loop,errors=remount-ro", str(self.image), str(self.folder)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.folder)], check=True)

    @property
    def trigger(self) -> Path:
        """Where the kernel can be told to meet an error."""
        command = ["findmnt", "-no", "SOURCE", str(self.folder)]
        device = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        return Path("/sys/fs/ext4") / Path(device).name / "trigger_fs_error"

    def fail(self) -> None:
        self.trigger.write_text("1")
        with pytest.raises(OSError, match="Read-only file system"):
            (self.folder / "file").touch()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "image", tmp_path / "home")
    disk.image.touch()
    os.truncate(disk.image, 64 * 2**20)
    disk.folder.mkdir()
    make = ["mkfs.ext4", "-q", "-F", str(disk.image)]
    if shutil.which(make[0]) is None or subprocess.run(make, check=False).returncode or not disk.mount():
        pytest.skip("needs an ext4 disk, which only root may mount")
    try:
        if not disk.trigger.exists():
            pytest.skip("this kernel cannot be told to meet an error in a file system")
        yield disk
    finally:
        kills.Scribe.end_all()
        disk.unmount()


def test_a_disk_that_turns_read_only_refuses_all_work_in_one_line_and_the_next_start_goes_on(
    disk: Disk,
) -> None:
    commits = commits_from(1, FEW)
    with Lake.open(disk.folder, FEW, reserve=RESERVE) as lake:
        for _ in range(3):
            lake.commit(*next(commits))
            lake.flush()
        lake.commit(*next(commits))
        reader = LakeReader.open(disk.folder)
        disk.fail()
        refused = next(commits)
        for work in (lambda: lake.commit(*refused), lake.flush) * 2:
            with pytest.raises(LakeError, match=r"journal.sqlite\): .*look after its disk, then start again"):
                work()
        troubles = {table.name: table.trouble for table in lake.upkeep(LATER).tables}
        assert set(troubles) == {*FEW, "ledger"}
        assert all(trouble and "; make it writable" in trouble for trouble in troubles.values()), troubles
        assert (lake.seq, lake.health().unflushed_commits) == (4, 1)
        assert reader.seq == 4
        kills.assert_holds(disk.folder, 4, FEW)
    with pytest.raises(LakeError, match="Read-only file system; make it writable for the user"):
        Lake.open(disk.folder, FEW)
    disk.unmount()
    assert disk.mount()
    with Lake.open(disk.folder, FEW, reserve=RESERVE) as lake:
        assert lake.commit(*refused) == 5
        lake.flush()
        assert {table.trouble for table in lake.upkeep(LATER).tables} == {None}
    kills.assert_holds(disk.folder, 5, FEW)
    assert [found for found in verify(disk.folder) if found.severity == "error"] == []


def test_a_disk_that_turns_read_only_under_commits_flushes_and_upkeep_loses_nothing_acknowledged(
    disk: Disk,
) -> None:
    """Acknowledged before the error: of a sync at that very moment Linux may say that it went well."""
    chance = random.Random(20260204)
    known = 0
    for _ in range(3):
        scribe = kills.Scribe()
        scribe.start(disk.folder, "beside flush", "beside upkeep", "commit", tables=FEW)
        scribe.listen(2 + chance.choice((3, 9, 20)))
        time.sleep(chance.uniform(0, 0.1))
        known = max(known, scribe.acknowledged)
        disk.fail()
        assert scribe.end() == 1, "it ends with the refused commit"
        seen = LakeReader.open(disk.folder).seq
        assert scribe.acknowledged <= seen <= scribe.acknowledged + 1
        kills.assert_holds(disk.folder, seen, FEW)
        disk.unmount()
        assert disk.mount()
        verdict = kills.judge(disk.folder, known, seen, chance, FEW, before=False)
        assert verdict.is_good, verdict
        known = verdict.seq


@contextmanager
def _as_an_ordinary_user(home: Path) -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.chown(home, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_tables_that_may_no_longer_be_written_keep_their_rows_in_the_journal_until_they_may() -> None:
    home = Path(tempfile.mkdtemp())
    try:
        with _as_an_ordinary_user(home), Lake.open(home, FEW, reserve=RESERVE) as lake:
            commits = commits_from(1, FEW)
            for _ in range(3):
                lake.commit(*next(commits))
                lake.flush()
            _let_write(home, False)
            assert lake.commit(*next(commits)) == 4
            for told in ("make it writable for the user who runs optiond", "flush again before the upkeep"):
                troubles = [table.trouble for table in lake.upkeep(LATER, retention=timedelta(0)).tables]
                assert all(trouble and told in trouble for trouble in troubles), troubles
                with pytest.raises(LakeError, match="make it writable for the user who runs optiond"):
                    lake.flush()
            assert lake.commit(*next(commits)) == 5
            kills.assert_holds(home, 5, FEW)
            _let_write(home, True)
            assert lake.flush().seq == 4, "first the flush that was begun"
            assert lake.flush().seq == 5
            assert {table.trouble for table in lake.upkeep(LATER).tables} == {None}
            kills.assert_holds(home, 5, FEW)
    finally:
        _let_write(home, True)
        shutil.rmtree(home)


def _let_write(home: Path, allowed: bool) -> None:
    for path in (home / "lake").rglob("*"):
        path.chmod(0o755 if allowed else 0o555 if path.is_dir() else 0o444)

"""Full disks and homes that cannot be written: one clear line, and nothing lost."""

import contextlib
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import polars as pl
import pytest

from lake import Lake, LakeReader
from options import LakeError

pytestmark = pytest.mark.on_disk("disks that are full, slow or read-only; for buckets: test_buckets")
ROOT = Path(__file__).parents[2]
T = datetime(2026, 2, 4, 15, tzinfo=UTC)
ALERT = pl.DataFrame({"alert": ["a"], "severity": ["info"], "text": ["hello"]})
BIG = pl.DataFrame({"alert": ["a"], "severity": ["info"], "text": [os.urandom(500_000).hex()]})


@pytest.fixture(params=["disk", "file size"])
def small_disk(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[Path, Callable[[int], AbstractContextManager[None]]]]:
    """A home, and a context in which its disk has room for so many bytes only.

    "disk": a small file system of its own, where we may mount one. "file size": the kernel refuses files
    beyond a size, which is all that an ordinary user can arrange.
    """
    if request.param == "file size" or not _mounted(tmp_path):
        yield tmp_path, _small_files
        return

    @contextmanager
    def full(room: int) -> Iterator[None]:
        filler = tmp_path / "filler"
        try:
            with filler.open("wb", buffering=0) as file:
                while file.write(bytes(4096)) == 4096:
                    pass
        except OSError:
            pass
        with filler.open("r+b") as file:
            file.truncate(max(0, filler.stat().st_size - room))
        yield
        filler.unlink()

    yield tmp_path, full
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def _mounted(folder: Path, megabytes: int = 24) -> bool:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    return os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0


@contextmanager
def _small_files(room: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_stops_commits_and_loses_none(
    small_disk: tuple[Path, Callable[[int], AbstractContextManager[None]]],
) -> None:
    home, full = small_disk
    with Lake.open(home, reserve=0) as lake:
        assert lake.commit(T, {"alerts": ALERT}) == 1
        with full(100_000):
            for _ in range(2):
                with pytest.raises(
                    LakeError, match=r"cannot write to the journal \(.*nothing .*acknowledged"
                ):
                    lake.commit(T, {"alerts": BIG})
            assert (lake.seq, lake.unflushed_rows) == (1, 1)
            assert LakeReader.open(home).table("alerts").collect()["seq"].to_list() == [1]
        assert lake.commit(T, {"alerts": ALERT}) == 2
        assert lake.commit(T, {"alerts": BIG}) == 3
        lake.flush()
    assert LakeReader.open(home).table("alerts").collect()["seq"].sort().to_list() == [1, 2, 3]


def test_a_flush_that_finds_the_disk_full_is_taken_up_again(
    small_disk: tuple[Path, Callable[[int], AbstractContextManager[None]]],
) -> None:
    home, full = small_disk
    with Lake.open(home, reserve=0) as lake:
        lake.commit(T, {"alerts": ALERT})
        lake.flush()
        lake.commit(T, {"breaker": pl.DataFrame({"event": ["e"], "state": ["armed"]}), "alerts": BIG})
    with Lake.open(home, reserve=0) as lake:  # the journal's log starts anew and small
        with full(400_000):
            for _ in range(2):
                with pytest.raises(LakeError, match=r"table alerts \(.*free space on its disk"):
                    lake.flush()
            assert LakeReader.open(home).table("alerts").collect()["seq"].sort().to_list() == [1, 2]
        lake.commit(T, {"alerts": ALERT})
        assert lake.flush().seq == 2, "first the flush that was begun"
        assert lake.flush().seq == 3
    reader = LakeReader.open(home)
    assert reader.table("alerts").collect()["seq"].sort().to_list() == [1, 2, 3]
    assert reader.table("breaker").collect()["seq"].to_list() == [2]


def test_commits_go_on_from_the_reserve_when_the_disk_is_full(tmp_path: Path) -> None:
    if not _mounted(tmp_path, 96):
        pytest.skip("needs a small file system, which only root may mount")
    try:
        with Lake.open(tmp_path, reserve=18 * 2**20) as lake:
            with (tmp_path / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(65536)):
                    pass
            assert shutil.disk_usage(tmp_path).free < 65536
            with pytest.raises(LakeError, match=r"cannot write to the journal.*free space on its disk"):
                for _ in range(30):
                    lake.commit(T, {"alerts": BIG})
            kept = lake.seq
            assert kept * 10**6 > 0.9 * 18 * 2**20, "nearly all of the reserve holds commits"
            with pytest.raises(LakeError, match="free space on its disk"):
                lake.flush()
        with Lake.open(tmp_path) as lake:
            assert (lake.seq, lake.unflushed_rows) == (kept, kept), "a start on a full disk has them all"
            (tmp_path / "filler").unlink()
            assert lake.flush().commits == kept
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_commit_waits_a_second_for_a_program_that_holds_the_journal(tmp_path: Path) -> None:
    with Lake.open(tmp_path) as lake, closing(sqlite3.connect(tmp_path / "journal.sqlite")) as other:
        other.execute("BEGIN IMMEDIATE")
        began = monotonic()
        with pytest.raises(LakeError, match=r"database is locked; another program holds it"):
            lake.commit(T, {"alerts": ALERT})
        assert monotonic() - began < 5
        other.rollback()
        assert lake.commit(T, {"alerts": ALERT}) == 1
        assert (lake.last_commit, lake.journal_bytes > 0) == (T, True)


def test_a_home_that_is_a_file_or_cannot_be_created_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LakeError, match=r"cannot create the lake \(.*/file\).*choose another --home"):
        Lake.open(tmp_path / "file")
    with pytest.raises(LakeError, match=r"cannot create the lake \(/proc/nowhere\)"):
        Lake.open(Path("/proc/nowhere"))


OPEN = """
import os, sys
from pathlib import Path
from lake import Lake, LakeReader
from options import LakeError
if os.geteuid() == 0:
    os.seteuid(65534)
home = Path(sys.argv[1])
try:
    Lake.open(home)
except LakeError as error:
    print(error)
try:
    reader = LakeReader.open(home)
    print(reader.table("alerts").collect()["seq"].to_list())
except LakeError as error:
    print(error)
"""


def test_another_user_may_read_a_home_that_only_its_owner_may_write() -> None:
    home = Path(tempfile.mkdtemp())
    try:
        with Lake.open(home) as lake:
            lake.commit(T, {"alerts": ALERT})
            lake.flush()
            lake.commit(T, {"alerts": ALERT})
        for path in (home, *home.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        child = subprocess.run(
            [sys.executable, "-c", OPEN, str(home)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        refused, read = child.stdout.splitlines()
        assert "make it writable for the user who runs optiond" in refused
        assert read == "[1, 2]"
    finally:
        for path in (home, *home.rglob("*")):
            path.chmod(0o755)
        shutil.rmtree(home)


@pytest.mark.on_disk("a disk is mounted for the home")
def test_upkeep_and_recovery_on_a_full_disk_lose_nothing_and_are_done_later(tmp_path: Path) -> None:
    if not _mounted(tmp_path, 48):
        pytest.skip("needs a small file system, which only root may mount")
    try:
        with Lake.open(tmp_path, reserve=2**20) as lake:
            for n in range(4):
                lake.commit(T + timedelta(minutes=n), {"alerts": BIG})
                lake.flush()
            filler = _filled(tmp_path)
            report = lake.upkeep(T + timedelta(days=2))
            assert "free space on its disk" in str([table.trouble for table in report.tables])
            assert LakeReader.open(tmp_path).table("alerts").collect()["seq"].sort().to_list() == [1, 2, 3, 4]
            lake.commit(T + timedelta(days=3), {"alerts": ALERT})
            with pytest.raises(LakeError, match="free space on its disk"):
                lake.flush()
        with Lake.open(tmp_path, reserve=0) as lake:
            assert lake.seq == 5
            filler.unlink()
            assert lake.flush().seq == 5
            report = lake.upkeep(T + timedelta(days=2))
            assert {table.trouble for table in report.tables} == {None}
        assert LakeReader.open(tmp_path).table("alerts").collect()["seq"].sort().to_list() == [1, 2, 3, 4, 5]
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def _filled(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(65536)):
            pass
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)) == 4096:
            pass
    return filler


@pytest.mark.on_disk("a disk is mounted for the home")
def test_a_home_on_a_read_only_disk_can_be_read_and_goes_on_when_it_can_be_written(tmp_path: Path) -> None:
    if not _mounted(tmp_path):
        pytest.skip("needs a file system to mount read-only, which only root may")
    try:
        with Lake.open(tmp_path, reserve=2**20) as lake:
            lake.commit(T, {"alerts": ALERT})
            lake.flush()
            lake.commit(T, {"alerts": ALERT})
        _remount(tmp_path, "ro")
        with pytest.raises(LakeError, match="make it writable for the user who runs optiond"):
            Lake.open(tmp_path)
        assert LakeReader.open(tmp_path).table("alerts").collect()["seq"].sort().to_list() == [1, 2]
        _remount(tmp_path, "rw")
        with Lake.open(tmp_path, reserve=2**20) as lake:
            assert (lake.seq, lake.commit(T, {"alerts": ALERT})) == (2, 3)
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


@pytest.mark.on_disk("a disk is mounted for the home")
def test_a_home_that_was_closed_does_not_open_on_a_full_disk_and_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    if not _mounted(tmp_path):
        pytest.skip("needs a small file system, which only root may mount")
    try:
        with Lake.open(tmp_path, reserve=2**20) as lake:
            lake.commit(T, {"alerts": ALERT})
            lake.flush()
            lake.commit(T, {"alerts": ALERT})
        assert not (tmp_path / "journal.sqlite-wal").exists()
        filler = _filled(tmp_path)
        for work in (Lake.open, Lake.open, LakeReader.open):
            with pytest.raises(LakeError, match=r"the journal \(.*; free space on its disk and try again"):
                work(tmp_path)
        filler.unlink()
        with Lake.open(tmp_path, reserve=2**20) as lake:
            assert (lake.seq, lake.commit(T, {"alerts": ALERT})) == (2, 3)
        assert LakeReader.open(tmp_path).table("alerts").collect()["seq"].sort().to_list() == [1, 2, 3]
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def _remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)

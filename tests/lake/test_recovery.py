"""What a power cut leaves behind is healed; what was vouched for and is damaged is refused."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lake import Lake, LakeReader, log_files
from lake.location import store_of
from lake.store import Folder, Store
from options import LakeError
from tests.lake.kills import Scribe
from tests.lake.s3 import copy_objects, is_in_bucket
from tests.lake.scribe import ALL, commits_from

TABLE = "orders"


@pytest.fixture(scope="module")
def cut_off_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of five commits: three flushed, two in a flush that was killed before anything was synced."""
    home = tmp_path_factory.mktemp("cut")
    with Lake.open(home, ALL) as lake:
        for seq, (time, frames) in zip(range(1, 4), commits_from(1), strict=False):
            assert lake.commit(time, frames) == seq
        lake.flush()
    scribe = Scribe()
    scribe.start(home, "commit 2", "flush", failpoint="flush.ledger")
    assert scribe.end() == -9
    return home


@pytest.fixture
def home(cut_off_home: Path, tmp_path: Path) -> Path:
    """A copy of the cut-off home, its lake in a bucket if the test's is."""
    shutil.copytree(cut_off_home, tmp_path, dirs_exist_ok=True)
    if is_in_bucket(tmp_path):
        copy_objects(Folder(tmp_path / "lake"), store_of(tmp_path))
        shutil.rmtree(tmp_path / "lake")
    return tmp_path


@dataclass(frozen=True)
class File:
    """One file of a lake, wherever it lies."""

    store: Store
    key: str

    def read(self) -> bytes:
        return self.store.read(self.key)

    def write(self, content: bytes) -> None:
        self.store.write(self.key, content)

    def cut(self, keep: float) -> None:
        content = self.read()
        self.write(content[: int(len(content) * keep)])

    def unlink(self) -> None:
        self.store.delete(self.key)

    def exists(self) -> bool:
        return self.store.size(self.key) is not None

    def __str__(self) -> str:
        return f"{self.store.uri}/{self.key}"


def log_of(home: Path, table: str, version: int) -> File:
    return File(store_of(home), f"{table}/_delta_log/{version:020}.json")


def data_of(home: Path, table: str, version: int) -> File:
    (name, _), *_ = log_files.added_files(log_of(home, table, version).read())
    return File(store_of(home), f"{table}/{name}")


def clear(home: Path, prefix: str = "") -> None:
    """Remove a table, or the whole lake."""
    store = store_of(home)
    for key in store.keys(prefix):
        store.delete(key)
    if isinstance(store, Folder):
        shutil.rmtree(store.path / prefix)


def pierce(file: File) -> None:
    """Zeros in the middle: the head, the size and the end, with what tells of the columns, are there."""
    content = file.read()
    end = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    file.write(content[:4] + bytes(end - 4) + content[end:])


DAMAGES: dict[str, Callable[[Path, str], object]] = {
    "empty log": lambda home, table: log_of(home, table, 2).cut(0),
    "torn log": lambda home, table: log_of(home, table, 2).cut(0.6),
    "log of zeros": lambda home, table: log_of(home, table, 2).write(bytes(700)),
    "log cut between two lines": lambda home, table: log_of(home, table, 2).write(
        log_of(home, table, 2).read().splitlines()[0] + b"\n"
    ),
    "data file missing": lambda home, table: data_of(home, table, 2).unlink(),
    "data file cut": lambda home, table: data_of(home, table, 2).cut(0.5),
    "data file empty": lambda home, table: data_of(home, table, 2).cut(0),
    "data file with a hole": lambda home, table: pierce(data_of(home, table, 2)),
    "data file of zeros": lambda home, table: data_of(home, table, 2).write(
        bytes(len(data_of(home, table, 2).read()))
    ),
}


@pytest.mark.parametrize("table", [TABLE, "ledger"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_not_yet_synced_may_be_torn(
    damage: str, table: str, home: Path, assert_holds: Callable[[Path, int], None]
) -> None:
    DAMAGES[damage](home, table)
    with Lake.open(home, ALL) as lake:
        assert (lake.seq, lake.unflushed_rows) == (5, 0)
        assert_holds(home, 5)
        versions = {info.name: info.version for info in LakeReader.open(home).tables()}
        assert {versions[name] for name in (*ALL, "ledger")} == {2}


def test_every_table_may_be_torn_at_once(home: Path, assert_holds: Callable[[Path, int], None]) -> None:
    for n, table in enumerate([*ALL, "ledger"]):
        log_of(home, table, 2).cut(n / 30)
    with Lake.open(home, ALL):
        assert_holds(home, 5)


def test_tables_torn_at_their_creation_are_created_again(
    home: Path, assert_holds: Callable[[Path, int], None]
) -> None:
    clear(home)
    (home / "journal.sqlite").unlink()
    with Lake.open(home, ALL) as lake:
        for _, (time, frames) in zip(range(2), commits_from(1), strict=False):
            lake.commit(time, frames)
    log_of(home, TABLE, 0).write(b"")
    if not is_in_bucket(home):
        (home / "lake" / "alerts").mkdir()
    with Lake.open(home, ALL) as lake:
        lake.flush()
        assert_holds(home, 2)


def test_a_checkpoint_that_was_not_synced_is_thrown_away(
    home: Path, assert_holds: Callable[[Path, int], None]
) -> None:
    store, log = store_of(home), f"{TABLE}/_delta_log"
    store.write(f"{log}/{2:020}.checkpoint.parquet", b"PAR1")
    store.write(f"{log}/_last_checkpoint", b'{"version":2,"size":5}')
    with Lake.open(home, ALL):
        assert_holds(home, 5)
    assert not [key for key in store.keys(log) if "checkpoint" in key]


@pytest.mark.on_disk("a put is durable when it is answered")
def test_everything_a_flush_wrote_is_synced_before_the_journal_lets_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[Path] = set()
    really_sync = os.fsync

    def sync_and_note(descriptor: int) -> None:
        really_sync(descriptor)
        synced.add(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr(os, "fsync", sync_and_note)
    with Lake.open(tmp_path, ALL) as lake:
        for n, (time, frames) in zip(range(24), commits_from(1), strict=False):
            lake.commit(time, frames if n == 0 else {"alerts": frames["alerts"]})
            lake.flush()
    written = set((tmp_path / "lake").rglob("*"))
    assert any("checkpoint" in path.name for path in written)
    assert written | {tmp_path, tmp_path / "lake"} <= synced


@pytest.mark.parametrize("damage", ["torn", "empty", "gone"])
def test_a_damaged_log_that_was_vouched_for_is_refused(damage: str, home: Path) -> None:
    for path in (log_of(home, TABLE, 1), log_of(home, TABLE, 2)):
        path.unlink() if damage == "gone" else path.cut(0.5 if damage == "torn" else 0)
    with pytest.raises(LakeError, match=f"table {TABLE}.*restore this home from a backup"):
        Lake.open(home, ALL)
    with pytest.raises(LakeError, match=f"table {TABLE}.*restore this home from a backup"):
        LakeReader.open(home).table(TABLE)
    assert log_of(home, TABLE, 1).exists() == (damage != "gone"), "nothing is removed that was vouched for"


@pytest.mark.bucket
def test_a_table_that_is_gone_is_refused(home: Path) -> None:
    clear(home, TABLE)
    for work in (lambda: Lake.open(home, ALL), lambda: LakeReader.open(home).table(TABLE)):
        with pytest.raises(LakeError, match=f"table {TABLE}.*restore this home from a backup"):
            work()


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_damaged_data_file_is_named_when_its_table_is_read(damage: str, home: Path) -> None:
    with Lake.open(home, ALL):
        pass
    path = data_of(home, TABLE, 1)
    path.unlink() if damage == "missing" else path.cut(0.5)
    reader = LakeReader.open(home)
    for _ in range(2):
        with pytest.raises(LakeError, match=f"table {TABLE} has lost a data file") as refused:
            reader.table(TABLE)
        assert str(path) in str(refused.value)
    assert LakeReader.open(home).table("fills").collect().height > 0


def test_a_damaged_journal_is_refused_in_one_line(home: Path) -> None:
    (home / "journal.sqlite").write_bytes(b"no journal at all" * 1000)
    for suffix in ("-wal", "-shm"):
        (home / f"journal.sqlite{suffix}").unlink(missing_ok=True)
    for work in (lambda: Lake.open(home, ALL), lambda: LakeReader.open(home)):
        with pytest.raises(LakeError, match=r"journal \(.*not a database; .*restore this home") as refused:
            work()
        assert "\n" not in str(refused.value)


@pytest.mark.on_disk("a writer is killed while it removes files")
def test_a_writer_killed_while_it_heals_is_healed_by_the_next(
    home: Path, assert_holds: Callable[[Path, int], None]
) -> None:
    for n, table in enumerate([*ALL, "ledger"]):
        pierce(data_of(home, table, 2)) if n % 2 else log_of(home, table, 2).cut(n / 30)
    for nth in (1, 3, 1):
        scribe = Scribe()
        scribe.start(home, failpoint=f"delta.healing:{nth}")
        assert scribe.end() == -9
    with Lake.open(home, ALL):
        assert_holds(home, 5)

"""Damage of files that a vouched version needs: healed where something else tells the same, else refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lake import Lake, LakeReader
from options import LakeError
from tests.lake import kills
from tests.lake.scribe import FEW, RESERVE, commits_from

TABLE = "orders"


def log_of(home: Path, table: str, version: int) -> Path:
    return home / "lake" / table / "_delta_log" / f"{version:020}.json"


def cut(path: Path, keep: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


@pytest.fixture(scope="module")
def checkpointed_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of 23 flushes; the checkpoint of version 19 is safely on disk."""
    home = tmp_path_factory.mktemp("checkpointed")
    with Lake.open(home, FEW, reserve=RESERVE) as lake:
        for _, (time, frames) in zip(range(23), commits_from(1, FEW), strict=False):
            lake.commit(time, frames)
            lake.flush()
    return home


def checkpoint_of(home: Path) -> Path:
    (found,) = (home / "lake" / TABLE / "_delta_log").glob("*.checkpoint.parquet")
    return found


def hint_of(home: Path) -> Path:
    return home / "lake" / TABLE / "_delta_log" / "_last_checkpoint"


def tear_middle(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:1000] + bytes(1500) + content[2500:])


CHECKPOINTS: dict[str, Callable[[Path], object]] = {
    "empty": lambda home: cut(checkpoint_of(home), 0),
    "cut": lambda home: cut(checkpoint_of(home), 0.5),
    "zeros": lambda home: checkpoint_of(home).write_bytes(bytes(checkpoint_of(home).stat().st_size)),
    "torn in the middle": lambda home: tear_middle(checkpoint_of(home)),
    "missing": lambda home: checkpoint_of(home).unlink(),
    "hint empty": lambda home: cut(hint_of(home), 0),
    "hint cut": lambda home: cut(hint_of(home), 0.3),
    "hint missing": lambda home: hint_of(home).unlink(),
}


@pytest.mark.parametrize("damage", CHECKPOINTS)
def test_a_damaged_checkpoint_is_thrown_away_where_the_log_tells_the_same(
    damage: str, checkpointed_home: Path, tmp_path: Path
) -> None:
    home = Path(shutil.copytree(checkpointed_home, tmp_path / "home"))
    CHECKPOINTS[damage](home)
    with Lake.open(home, FEW, reserve=RESERVE) as lake:
        assert lake.seq == 23
        kills.assert_holds(home, 23, FEW)
        lake.commit(*next(commits_from(24, FEW)))
        lake.flush()
    kills.assert_holds(home, 24, FEW)


def test_a_damaged_checkpoint_that_the_log_does_not_stand_in_for_is_refused(
    checkpointed_home: Path, tmp_path: Path
) -> None:
    home = Path(shutil.copytree(checkpointed_home, tmp_path / "home"))
    log_of(home, TABLE, 5).unlink()
    with Lake.open(home, FEW, reserve=RESERVE):
        kills.assert_holds(home, 23, FEW)
    cut(checkpoint_of(home), 0.5)
    for work in (lambda: Lake.open(home, FEW), lambda: LakeReader.open(home).table(TABLE)):
        with pytest.raises(LakeError, match=f"table {TABLE}.*restore this home from a backup"):
            work()
    assert checkpoint_of(home).exists()


@pytest.mark.parametrize("damage", ["missing", "torn"])
def test_a_log_file_in_the_middle_that_is_missing_or_torn_is_refused(
    damage: str, checkpointed_home: Path, tmp_path: Path
) -> None:
    home = Path(shutil.copytree(checkpointed_home, tmp_path / "home"))
    log = log_of(home, TABLE, 21)
    log.unlink() if damage == "missing" else cut(log, 0.5)
    for work in (lambda: Lake.open(home, FEW), lambda: LakeReader.open(home).table(TABLE)):
        with pytest.raises(LakeError, match=f"table {TABLE}.*restore this home from a backup") as refused:
            work()
        assert len(str(refused.value)) < 400


def test_a_version_that_follows_one_that_the_power_cut_took_is_written_again(tmp_path: Path) -> None:
    home = tmp_path / "new"
    scribe = kills.Scribe()
    scribe.start(home, "commit 2", "flush", failpoint="flush.ledger", tables=FEW)
    assert scribe.end() == -9
    log_of(home, TABLE, 0).unlink()
    log_of(home, "ledger", 0).unlink()
    with Lake.open(home, FEW, reserve=RESERVE) as lake:
        assert lake.unflushed_rows == 0
    kills.assert_holds(home, 2, FEW)


def test_a_checkpoint_whose_version_the_power_cut_took_is_thrown_away(tmp_path: Path) -> None:
    home = tmp_path / "home"
    scribe = kills.Scribe()
    scribe.start(home, *["commit 1", "flush"] * 19, failpoint="flush.ledger:19", tables=FEW)
    assert scribe.end() == -9
    checkpoint = checkpoint_of(home)
    assert checkpoint.name.startswith(f"{19:020}")
    log_of(home, TABLE, 19).unlink()
    cut(checkpoint, 0.5)
    with Lake.open(home, FEW, reserve=RESERVE):
        kills.assert_holds(home, 19, FEW)


def test_rows_of_a_log_file_that_was_emptied_are_missed(checkpointed_home: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(checkpointed_home, tmp_path / "home"))
    cut(log_of(home, TABLE, 21), 0)
    with pytest.raises(
        LakeError, match=r"table orders .*has lost rows: it has \d+ and should have \d+; restore"
    ):
        LakeReader.open(home).table(TABLE)
    with Lake.open(home, FEW, reserve=RESERVE) as lake:
        assert lake.health().tables[TABLE].trouble is not None
    with pytest.raises(LakeError, match="has lost rows"):
        LakeReader.open(home).table(TABLE)

"""The power is cut: everything that was not brought to disk is gone, and nothing that was acknowledged."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.lake.crash_runs import COURSES, Record, power_cuts, record
from tests.lake.kills import Scribe, assert_holds
from tests.lake.scribe import FEW
from tests.lake.tape import Disk, Kind, Loss, library, read, recording

Recorder = Callable[[str], Record]


@pytest.fixture(scope="module")
def on_tape(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    """Each course on tape, recorded when it is first asked for."""
    layer = library(tmp_path_factory.mktemp("layer"))
    courses = {course.name: course for course in COURSES}
    tapes: dict[str, Record] = {}

    def course(name: str) -> Record:
        if name not in tapes:
            tapes[name] = record(tmp_path_factory.mktemp("course"), layer, courses[name])
        return tapes[name]

    return course


def files(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder, and every folder (None)."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_the_tape_has_every_change_of_python_sqlite_and_delta(on_tape: Recorder, tmp_path: Path) -> None:
    tape = on_tape("a new home")
    disk = Disk()
    for _ in disk.play(tape.changes):
        pass
    disk.leave(tmp_path / "left", Loss.NONE, Random(0))
    assert files(tmp_path / "left") == files(tape.home)
    assert {Kind.SYNC, Kind.LINK, Kind.RESIZE, Kind.SAID} <= {change.kind for change in tape.changes}


def test_a_new_home_is_there_after_a_power_cut_with_the_folders_above_it(tmp_path: Path) -> None:
    root, tape = tmp_path / "disk", tmp_path / "tape"
    root.mkdir()
    disk = Disk(root)
    scribe = Scribe(recording(library(tmp_path), tape, root))
    scribe.start(root / "srv" / "optiond" / "home", "commit 1", tables=FEW)
    assert scribe.end() == 0
    changes = read(tape, root)
    said = [number for number, change in enumerate(changes, 1) if change.data.strip() == b"1"]
    for number in disk.play(changes):
        if number in said:
            disk.leave(tmp_path / "left", Loss.ALL, Random(0))
    assert_holds(tmp_path / "left" / "srv" / "optiond" / "home", 1, FEW)


NAMES = pytest.mark.parametrize("name", [course.name for course in COURSES])


@NAMES
def test_a_power_cut_loses_nothing_that_was_acknowledged(
    name: str, on_tape: Recorder, tmp_path: Path
) -> None:
    outcomes = list(power_cuts(tmp_path, on_tape(name), 0, 4))
    assert len(outcomes) == 4
    assert not [outcome for outcome in outcomes if not outcome.verdict.is_good]


@pytest.mark.long
@pytest.mark.parametrize("loss", Loss)
@NAMES
def test_many_power_cuts_lose_nothing_that_was_acknowledged(
    name: str, loss: Loss, on_tape: Recorder, tmp_path: Path
) -> None:
    outcomes = list(power_cuts(tmp_path, on_tape(name), 1, 25, [loss]))
    assert len(outcomes) == 25
    assert not [outcome for outcome in outcomes if not outcome.verdict.is_good]


@pytest.mark.parametrize("deaf_to", ["lake/", "journal.sqlite"])
def test_a_disk_that_is_deaf_to_our_syncs_loses_rows(deaf_to: str, on_tape: Recorder, tmp_path: Path) -> None:
    """What these tests are worth: without the syncs of the lake, or of the journal, they fail."""
    outcomes = list(power_cuts(tmp_path, on_tape("a new home"), 0, 8, [Loss.ALL], deaf_to))
    assert any(outcome.verdict.lost or outcome.verdict.unreadable for outcome in outcomes)

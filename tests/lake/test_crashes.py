"""kill -9 of a real writer: at every step of the protocol, before any change of a file, and at any moment."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest

from lake import Lake, LakeReader, TableSchema
from tests.lake.crash_runs import (
    COURSES,
    Course,
    Outcome,
    change_kills,
    failpoints_of,
    random_kills,
    step_kills,
)
from tests.lake.kills import ROOT, Scribe, assert_holds
from tests.lake.s3 import S3Server, put_into_bucket
from tests.lake.scribe import ALL, FEW
from tests.lake.tape import library

COURSE = pytest.mark.parametrize("course", COURSES, ids=lambda course: course.name)


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return library(tmp_path_factory.mktemp("layer"))


def assert_nothing_lost(outcomes: Iterable[Outcome], least: int) -> None:
    seen = list(outcomes)
    assert len(seen) >= least
    assert not [outcome for outcome in seen if not outcome.verdict.is_good]


def some(number: int) -> Callable[[list[str]], Sequence[str]]:
    return lambda points: Random(7).sample(points, min(number, len(points)))


@pytest.mark.parametrize("course", COURSES[:6], ids=lambda course: course.name)
def test_a_writer_killed_at_a_step_loses_and_doubles_nothing(course: Course, tmp_path: Path) -> None:
    assert_nothing_lost(step_kills(tmp_path, course, FEW, some(4)), 4)


@pytest.mark.long
@COURSE
def test_a_writer_killed_at_every_step_loses_and_doubles_nothing(course: Course, tmp_path: Path) -> None:
    assert_nothing_lost(step_kills(tmp_path, course, ALL, lambda points: points), 20)


def test_the_courses_reach_every_step_there_is(tmp_path: Path) -> None:
    reached = {
        point.rpartition(":")[0]
        for number, course in enumerate(COURSES[:6])
        for point in failpoints_of(course, tmp_path / str(number), FEW)
    }
    code = "".join(path.read_text() for path in (ROOT / "lake").glob("*.py"))
    for name in re.findall(r'failpoint\.reach\(f?"([^"{]+)', code):
        assert name == "delta.healing" or any(point.startswith(name) for point in reached), name


@pytest.mark.parametrize(("kills", "tables"), [(3, ALL), (10, FEW)], ids=["all tables", "few tables"])
def test_a_writer_killed_at_random_moments_loses_and_doubles_nothing(
    kills: int, tables: Mapping[str, TableSchema], tmp_path: Path
) -> None:
    assert_nothing_lost(random_kills(tmp_path, 1, kills, tables), kills)


@pytest.mark.parametrize("kills", [3, pytest.param(30, marks=pytest.mark.long)])
def test_a_writer_of_a_bucket_killed_at_random_moments_loses_and_doubles_nothing(
    kills: int, s3: S3Server, tmp_path: Path
) -> None:
    def into_bucket(home: Path) -> None:
        put_into_bucket(home, s3.endpoint, uuid4().hex)

    assert_nothing_lost(random_kills(tmp_path, kills, kills, FEW, lay_out=into_bucket), kills)


@pytest.mark.parametrize("kills", [6, pytest.param(60, marks=pytest.mark.long)])
def test_a_writer_killed_in_upkeep_beside_flushes_loses_and_doubles_nothing(
    kills: int, tmp_path: Path
) -> None:
    assert_nothing_lost(random_kills(tmp_path, kills, kills, FEW, ("flush", "upkeep")), kills)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 120))
def test_a_writer_killed_at_many_random_moments_loses_and_doubles_nothing(seed: int, tmp_path: Path) -> None:
    assert_nothing_lost(random_kills(tmp_path, seed, 10), 10)


@pytest.mark.parametrize("course", COURSES[:2], ids=lambda course: course.name)
def test_a_writer_killed_before_a_change_of_a_file_loses_and_doubles_nothing(
    course: Course, tmp_path: Path, layer: Path
) -> None:
    assert_nothing_lost(change_kills(tmp_path, layer, 0, 5, course), 5)


@pytest.mark.long
@COURSE
def test_a_writer_killed_before_many_changes_of_files_loses_and_doubles_nothing(
    course: Course, tmp_path: Path, layer: Path
) -> None:
    assert_nothing_lost(change_kills(tmp_path, layer, 1, 25, course), 25)


def test_a_writer_killed_after_every_table_of_one_flush_completes_that_flush(tmp_path: Path) -> None:
    for step in (*(f"flush.table.{name}" for name in FEW), "flush.ledger", "flush.released"):
        scribe = Scribe()
        work = () if (tmp_path / "journal.sqlite").exists() else ("commit 2", "flush")
        scribe.start(tmp_path, *work, failpoint=step, tables=FEW)
        assert scribe.end() == -9
        assert LakeReader.open(tmp_path).seq == 2
    assert_holds(tmp_path, 2, FEW)
    with Lake.open(tmp_path, FEW) as lake:
        assert lake.unflushed_rows == 0
    assert_holds(tmp_path, 2, FEW)
    versions = {table.name: table.version for table in LakeReader.open(tmp_path).tables()}
    assert versions == {**dict.fromkeys((*FEW, "ledger"), 1), "schema_changes": None}

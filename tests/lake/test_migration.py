"""When the declared tables grow: recorded for good, with a way back, and whole whatever dies in between."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from lake import Column, Lake, LakeReader, TableSchema
from lake.verify import verify
from options import LakeError
from tests.lake.test_crashes import ROOT

T = datetime(2026, 2, 4, 15, tzinfo=UTC)
NAME = Column("name", pl.String(), "its name")
SIZE = Column("size", pl.Int64(), "its size", null="not known")
TAGS = Column("tags", pl.List(pl.String()), "its tags", null="not known")
FIRST = {"things": TableSchema("things", "thing", ("name",), (NAME,))}
SECOND = {
    "things": TableSchema("things", "thing", ("name",), (NAME, SIZE)),
    "others": TableSchema("others", "other thing", ("name",), (NAME,)),
}
THIRD = {**SECOND, "things": TableSchema("things", "thing", ("name",), (NAME, SIZE, TAGS))}


def write(home: Path, tables: dict[str, TableSchema], **things: object) -> int:
    """Commit one thing and flush; gives its seq."""
    with Lake.open(home, tables) as lake:
        frames = {"things": pl.DataFrame([{"name": f"thing {lake.seq}", **things}])}
        seq = lake.commit(T + timedelta(minutes=lake.seq), frames)
        lake.flush()
        return seq


def changes(home: Path) -> list[tuple[object, ...]]:
    rows = LakeReader.open(home).table("schema_changes").sort("seq", maintain_order=True)
    return rows.select("seq", "table", "column", "type", "from_version", "to_version").collect().rows()


def things(home: Path) -> list[dict[str, object]]:
    return LakeReader.open(home).table("things").sort("seq").drop("seq", "time").collect().to_dicts()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home of the first tables, with one thing flushed and one in the journal."""
    write(tmp_path, FIRST)
    with Lake.open(tmp_path, FIRST) as lake:
        lake.commit(T + timedelta(minutes=1), {"things": pl.DataFrame({"name": ["thing 1"]})})
    return tmp_path


def test_what_was_added_can_be_asked_for_years_later(home: Path) -> None:
    assert changes(home) == []
    before = datetime.now(UTC)
    assert write(home, SECOND, size=7) == 4
    assert write(home, SECOND) == 5
    assert write(home, THIRD, tags=["a"]) == 7
    assert changes(home) == [
        (3, "others", None, None, 1, 2),
        (3, "things", "size", "Int64", 1, 2),
        (6, "things", "tags", "List(String)", 2, 3),
    ]
    when = LakeReader.open(home).table("schema_changes").collect()["changed_at"].to_list()
    assert all(before <= moment <= datetime.now(UTC) for moment in when)
    assert things(home) == [
        {"name": "thing 0", "size": None, "tags": None},
        {"name": "thing 1", "size": None, "tags": None},
        {"name": "thing 3", "size": 7, "tags": None},
        {"name": "thing 4", "size": None, "tags": None},
        {"name": "thing 6", "size": None, "tags": ["a"]},
    ]
    assert verify(home, deep=True) == []


@pytest.mark.on_disk("it puts files back by path")
def test_a_way_back_is_kept_that_an_older_optiond_goes_on_from(home: Path) -> None:
    size = sum(path.stat().st_size for path in (home / "lake").rglob("*.parquet"))
    before = things(home)
    write(home, SECOND, size=7)
    kept = home / "migrations" / "schema-1"
    assert {path.suffix for path in kept.rglob("*") if path.is_file()} == {".sqlite", ".json"}
    assert sum(path.stat().st_size for path in (home / "lake").rglob("*.parquet")) > size

    for old in home.glob("journal.sqlite*"):
        old.unlink()
    for log in home.glob("lake/*/_delta_log"):
        shutil.rmtree(log)
    shutil.copy(kept / "journal.sqlite", home)
    shutil.copytree(kept / "lake", home / "lake", dirs_exist_ok=True)
    assert things(home) == before
    assert write(home, FIRST) == 3
    assert [thing["name"] for thing in things(home)] == ["thing 0", "thing 1", "thing 2"]
    assert verify(home) == []


@pytest.mark.parametrize(
    "step", ["migration.kept", "journal.written", "journal.committed", "migration.declared"]
)
def test_a_migration_cut_off_is_finished_by_the_next_start_and_recorded_once(step: str, home: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from lake import Lake; "
        "from tests.lake.test_migration import SECOND; Lake.open(Path(sys.argv[1]), SECOND)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(home)],
        cwd=ROOT,
        env={**os.environ, "OPTIOND_FAILPOINT": step},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert [thing["name"] for thing in things(home)] == ["thing 0", "thing 1"]
    write(home, SECOND, size=7)
    assert changes(home) == [(3, "others", None, None, 1, 2), (3, "things", "size", "Int64", 1, 2)]
    assert [thing["size"] for thing in things(home)] == [None, None, 7]
    assert verify(home) == []


def test_an_older_optiond_reads_a_newer_home_and_keeps_what_it_does_not_know(home: Path) -> None:
    write(home, THIRD, size=7, tags=["a"])
    recorded = changes(home)
    write(home, FIRST)
    assert things(home)[2:] == [
        {"name": "thing 3", "size": 7, "tags": ["a"]},
        {"name": "thing 4", "size": None, "tags": None},
    ]
    write(home, THIRD, size=9)
    assert changes(home) == recorded
    assert verify(home) == []


def test_a_journal_of_an_unknown_format_is_refused_by_writers_and_readers_in_one_line(home: Path) -> None:
    with closing(sqlite3.connect(home / "journal.sqlite")) as journal:
        journal.execute("PRAGMA user_version = 99")
    for opened in (Lake.open, LakeReader.open):
        with pytest.raises(LakeError, match=r"has format 99 .*: run the optiond that wrote it") as refused:
            opened(home)
        assert "\n" not in str(refused.value)


def test_a_journal_of_an_older_format_is_kept_before_it_is_made_new(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as journal:
        for statement in (
            "CREATE TABLE commits (seq INTEGER PRIMARY KEY, time_us INTEGER NOT NULL)",
            "CREATE TABLE rows (seq INTEGER NOT NULL, name TEXT NOT NULL, count INTEGER NOT NULL, "
            "ipc BLOB NOT NULL, PRIMARY KEY (name, seq))",
            "CREATE TABLE flush (boundary INTEGER, seq INTEGER NOT NULL, time_us INTEGER, "
            "versions TEXT NOT NULL)",
            "INSERT INTO flush VALUES (NULL, 0, NULL, '{}')",
            "CREATE TABLE schemas (name TEXT PRIMARY KEY, ipc BLOB NOT NULL)",
            "PRAGMA user_version = 1",
        ):
            journal.execute(statement)
        journal.commit()
    write(tmp_path, FIRST)
    with closing(sqlite3.connect(tmp_path / "migrations" / "journal-format-1.sqlite")) as kept:
        assert kept.execute("PRAGMA user_version").fetchone() == (1,)
        assert kept.execute("SELECT seq FROM flush").fetchone() == (0,)
    assert things(tmp_path) == [{"name": "thing 0"}]


def test_a_column_of_another_type_is_refused_by_table_and_column_and_nothing_changes(home: Path) -> None:
    write(home, SECOND, size=7)
    other = Column("size", pl.Float64(), "its size", null="not known")
    tables = {"things": TableSchema("things", "thing", ("name",), (NAME, other))}
    recorded = changes(home)
    with pytest.raises(LakeError, match="table things, column size is declared Float64 and was Int64"):
        Lake.open(home, tables)
    assert changes(home) == recorded


def test_a_new_home_has_nothing_to_record(tmp_path: Path) -> None:
    with Lake.open(tmp_path, FIRST):
        pass
    with Lake.open(tmp_path, SECOND) as lake:
        assert lake.seq == 0
    assert changes(tmp_path) == []
    assert not (tmp_path / "migrations").exists()

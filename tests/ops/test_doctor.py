"""The doctor names what is wrong, where, and what to do; and never falls over it."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from lake import Lake
from ops.doctor import Finding, examine

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose lake has one flushed row."""
    home = tmp_path / "home"
    with Lake.open(home) as lake:
        row = {"event": "human_halt", "state": "halted", "actor": "test", "reason": "to have a row"}
        lake.commit(NOW, {"breaker": pl.DataFrame([row])})
        lake.flush()
    return home


def found(home: Path, what: str) -> Finding:
    return next(finding for finding in examine(home) if finding.what == what)


def test_a_sound_home_is_all_ok(home: Path) -> None:
    assert all(finding.ok for finding in examine(home)), examine(home)


def test_a_missing_home_is_no_fault(tmp_path: Path) -> None:
    findings = examine(tmp_path / "not yet")
    assert all(finding.ok for finding in findings), findings
    assert "optiond run makes it" in found(tmp_path / "not yet", "home").said


def test_a_file_in_the_place_of_the_home_is_found(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    finding = found(tmp_path / "home", "home")
    assert not finding.ok
    assert "is no folder" in finding.said


def test_a_file_above_the_home_is_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not found(tmp_path / "file" / "home", "home").ok


def test_a_damaged_journal_is_found(home: Path) -> None:
    (home / "journal.sqlite").write_bytes(b"this is no database" * 1000)
    finding = found(home, "journal")
    assert not finding.ok
    assert "journal.sqlite" in finding.said
    assert "backup" in finding.said


def test_a_torn_journal_is_found(home: Path) -> None:
    journal = home / "journal.sqlite"
    content = bytearray(journal.read_bytes())
    content[4096:8192] = b"\xff" * 4096
    journal.write_bytes(content)
    assert not found(home, "journal").ok


def test_a_damaged_lake_is_found(home: Path) -> None:
    data = next((home / "lake" / "breaker").rglob("*.parquet"))
    data.write_bytes(data.read_bytes()[:100])
    finding = found(home, "lake")
    assert not finding.ok
    assert "breaker" in finding.said


def test_a_lake_that_lost_a_table_is_found(home: Path) -> None:
    shutil.rmtree(home / "lake" / "breaker")
    assert not found(home, "lake").ok


def test_a_lake_without_its_journal_is_found(home: Path) -> None:
    for file in home.glob("journal.sqlite*"):
        file.unlink()
    assert not found(home, "lake").ok


def test_a_finding_is_fit_for_json(home: Path) -> None:
    assert found(home, "home").as_dict() == {"what": "home", "ok": True, "said": str(home)}

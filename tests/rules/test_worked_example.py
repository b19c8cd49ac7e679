"""docs/rules.md: every file and command of it is tried, and says what the page shows."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

import rules
from daemon.cli import main as optiond
from rules.series import run_series
from sync.calendar import read_calendar
from tests.rules.worked_example import PAGE, answered

TEXT = PAGE.read_text(encoding="utf-8")
TWELVE = rules.default_rules_path().read_text(encoding="utf-8")


def blocks(language: str, start: str) -> list[str]:
    return re.findall(rf"```{language}\n({start}.*?)```\n", TEXT, re.DOTALL)


@pytest.mark.slow
def test_the_page_shows_what_its_commands_answer(tmp_path: Path) -> None:
    again = answered(TEXT, tmp_path)
    assert again.splitlines() == TEXT.splitlines(), "run: python -m tests.rules.worked_example"
    assert again.count("$ optiond rules ") >= 6


def test_the_tests_that_are_shown_hold_for_the_twelve(default_rules: rules.Rulebook) -> None:
    shown = blocks("yaml", "tests:")
    assert shown
    for text in shown:
        assert [str(failure) for failure in run_series(default_rules, text)] == []


def test_the_files_that_are_shown_are_sound(tmp_path: Path) -> None:
    shutil.copy(rules.default_rules_path(), tmp_path)
    shown = blocks("yaml", "version: 1\n")
    assert shown
    for text in shown:
        (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
        rules.load(tmp_path / "mine.yaml")


def test_the_calendar_that_is_shown_is_sound() -> None:
    (text,) = blocks("yaml", "checked:")
    assert set(read_calendar(text).symbols) == {"AAPL", "SPY"}


def test_the_mutes_that_are_shown_are_sound() -> None:
    (text,) = blocks("yaml", "mutes:")
    assert len(rules.parse(f"{TWELVE}\n{text}").mutes) == 2


def test_the_changes_that_are_shown_can_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(rules.default_rules_path(), tmp_path / "rules.yaml")
    (text,) = blocks("console", r"\$ optiond rules set stop_loss")
    for line in text.splitlines():
        assert optiond([*shlex.split(line.removeprefix("$ optiond ")), "--home", str(tmp_path)]) == 0, line
    assert "running daemon" in capsys.readouterr().out

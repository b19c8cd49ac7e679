"""docs/rules.md: every file and command of it is tried, and says what the page shows."""

from pathlib import Path

import pytest

from tests.rules.worked_example import PAGE, answered


@pytest.mark.slow
def test_the_page_shows_what_its_commands_answer(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    again = answered(page, tmp_path)
    assert again.splitlines() == page.splitlines(), "run: python -m tests.rules.worked_example"
    assert again.count("$ optiond rules ") >= 6

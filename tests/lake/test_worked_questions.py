"""docs/time-travel.md: every block is run on the recorded account, and says what the page shows."""

from pathlib import Path

import pytest

from tests.lake.worked_questions import PAGE, answered, make_lake

pytestmark = [
    pytest.mark.recorded,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.on_disk("a demo makes a home of its own"),
]


def test_the_page_shows_what_the_lake_answers(recorded: Path, tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    again = answered(page, make_lake(tmp_path, recorded))
    assert again.splitlines() == page.splitlines(), "run: python -m tests.lake.worked_questions"
    assert again.count("\n## ") == 10

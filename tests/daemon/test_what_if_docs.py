"""docs/rules.md: what it shows of `optiond rules diff` is what the command says."""

from pathlib import Path

import pytest

from tests.daemon.made_past import make_past
from tests.daemon.what_if_docs import PAGE, PICTURE, answered


@pytest.mark.recorded
@pytest.mark.slow
def test_the_example_of_what_other_rules_would_have_done_is_what_the_command_says(
    recorded: Path, tmp_path: Path
) -> None:
    make_past(tmp_path / "home", recorded)
    page = PAGE.read_text(encoding="utf-8")
    again = answered(page, tmp_path / "home")
    assert again.splitlines() == page.splitlines(), "run: python -m tests.daemon.what_if_docs"
    assert "decisions differ over" in page
    assert PICTURE.stat().st_size < 200_000

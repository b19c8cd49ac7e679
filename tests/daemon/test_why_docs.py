"""docs/rules.md: what it shows of `optiond rules explain` and `traces` is what the commands say."""

from pathlib import Path

import pytest

from tests.daemon.why_docs import PAGE, answered


@pytest.mark.slow
def test_the_example_of_why_a_rule_fires_is_what_the_commands_say(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    again = answered(page, tmp_path)
    assert again.splitlines() == page.splitlines(), "run: python -m tests.daemon.why_docs"
    assert "near: profit +" in page

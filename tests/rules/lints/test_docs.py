"""The table of warnings on the page about rules does what it says."""

import re
from pathlib import Path

import pytest

import rules

PAGE = Path(__file__).parents[3] / "docs" / "rules.md"


def _rows() -> list[tuple[str, list[str]]]:
    """(warning, bodies of rules) of every row of the table."""
    section = PAGE.read_text(encoding="utf-8").split("## What the check warns about", 1)[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [(row[0], re.findall(r"`(\{.*?\})`", row[2])) for row in rows[2:]]


@pytest.mark.parametrize(
    ("kind", "bodies"), _rows(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_example_of_every_warning_is_warned_about(kind: str, bodies: list[str]) -> None:
    lines = []
    for place, body in enumerate(bodies, start=1):
        does = "" if "do:" in body else ", do: {close: mid}"
        lines.append(f"  - {{id: rule_{place}, priority: {place}, {body[1:-1]}{does}}}\n")
    found = rules.lint(rules.parse("rules:\n" + "".join(lines)))
    assert [one.kind for one in found] == [kind]


def test_the_page_shows_what_the_check_says_of_the_v6_order() -> None:
    text = (Path(__file__).parent / "v6_order.yaml").read_text(encoding="utf-8")
    book = rules.parse(text, "v6.yaml")
    said = "\n".join(one.text for one in rules.lint(book))
    shown = f"{said}\nv6.yaml: 12 rules are sound, 2 warnings, revision {book.revision}\n"
    assert f"$ optiond rules check v6.yaml\n{shown}```" in PAGE.read_text(encoding="utf-8")


def test_every_kind_of_warning_is_on_the_page() -> None:
    assert len(_rows()) == 10

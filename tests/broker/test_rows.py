"""docs/connection.md and the tests say the same: every row is shown, and by faults that there are."""

import re
from pathlib import Path

import pytest

from broker.gateway.faults.catalogue import CATALOGUE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "connection.md").read_text(encoding="utf-8")
ROWS = {
    cells[1].strip().strip("`"): cells
    for line in PAGE.splitlines()
    if len(cells := line.split("|")) == 6 and re.fullmatch(r" `[a-z0-9-]+` ", cells[1])
}
MARKED: dict[str, list[str]] = {}
for room in ("broker", "trading", "daemon"):
    for file in (ROOT / "tests" / room).glob("test_*.py"):
        code = file.read_text(encoding="utf-8")
        for name in re.findall(r"^@pytest\.mark\.row\(\"([\w-]+)\"\)$", code, re.MULTILINE):
            MARKED.setdefault(name, []).append(code)


def test_every_row_has_a_test_and_every_marked_test_a_row() -> None:
    assert len(ROWS) == 22
    assert MARKED.keys() == ROWS.keys()


@pytest.mark.parametrize("row", ROWS)
def test_the_faults_of_a_row_are_in_the_catalogue_and_inflicted_by_its_tests(row: str) -> None:
    faults = re.findall(r"`(\w+)`", ROWS[row][4])
    assert faults or ROWS[row][4].strip() == "none: ours"
    assert set(faults) <= CATALOGUE.keys()
    for fault in faults:
        assert any(f'fault("{fault}"' in code for code in MARKED[row]), fault

"""What the tests of the lake share."""

from collections.abc import Callable
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from lake import LakeReader
from tests.lake.scribe import ALL, rows_of


def _assert_holds(home: Path, last: int) -> None:
    reader = LakeReader.open(home)
    assert reader.seq == last
    for name, table in ALL.items():
        stored = reader.table(name).sort("seq", maintain_order=True).collect()
        assert_frame_equal(stored, rows_of(table, range(1, last + 1)))


@pytest.fixture
def assert_holds() -> Callable[[Path, int], None]:
    """Checks that every table of a scribe's home holds exactly the rows of seq 1 to the given one."""
    return _assert_holds

"""A lake that lies in a bucket, backed up and brought back into a folder."""

from pathlib import Path

import pytest

from lake.backup import backup, restore
from tests.lake.test_backup import damage, holds, write


@pytest.mark.bucket
def test_a_lake_is_backed_up_from_where_it_lies_and_restored_into_the_home(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    target = tmp_path_factory.mktemp("backup")
    write(tmp_path, 2)
    assert backup(tmp_path, target).seq == 2
    write(tmp_path, 1)
    assert backup(tmp_path, target).copied == 8, "one data file and one log file of four tables"
    restored = tmp_path_factory.mktemp("restored")
    assert restore(target, restored).seq == 3
    holds(restored, 3)
    assert damage(restored) == []
    assert write(restored, 1) == 4
    holds(restored, 4)

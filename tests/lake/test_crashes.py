"""kill -9 of a real writer, at every step of commit and flush and at any moment."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lake import Lake, LakeReader
from lake.failpoint import ENVIRONMENT
from tests.lake.scribe import ALL, rows_of

ROOT = Path(__file__).parents[2]
STEPS = [
    "journal.written",
    "journal.committed",
    "flush.boundary",
    "flush.table.facts",
    "flush.ledger",
    "flush.synced",
    "flush.released",
    "flush.dropped",
]


def scribe(home: Path, commits: int, failpoint: str | None = None) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != ENVIRONMENT}
    if failpoint is not None:
        environment[ENVIRONMENT] = failpoint
    command = [sys.executable, "-m", "tests.lake.scribe", str(home), str(commits)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def acknowledged(output: str) -> int:
    return max((int(line) for line in output.splitlines() if line.isdigit()), default=0)


@pytest.mark.parametrize("step", STEPS)
def test_a_writer_killed_at_a_step_loses_and_doubles_nothing(
    step: str, tmp_path: Path, assert_holds: Callable[[Path, int], None]
) -> None:
    child = scribe(tmp_path, 2, step)
    output, _ = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL

    durable = {"journal.written": 0, "journal.committed": 1}.get(step, 2)
    assert acknowledged(output) == (2 if durable == 2 else 0)
    assert_holds(tmp_path, durable)
    with Lake.open(tmp_path, ALL) as lake:
        assert lake.seq == durable
        lake.flush()
        assert lake.unflushed_rows == 0
    assert_holds(tmp_path, durable)


def test_a_writer_killed_after_every_table_of_one_flush_completes_that_flush(
    tmp_path: Path, assert_holds: Callable[[Path, int], None]
) -> None:
    for step in (*(f"flush.table.{name}" for name in sorted(ALL)), "flush.ledger", "flush.released"):
        child = scribe(tmp_path, 2, step)
        child.communicate(timeout=60)
        assert child.returncode == -signal.SIGKILL
        assert LakeReader.open(tmp_path).seq == 2, "the next one died in recovery, before a new commit"
    assert_holds(tmp_path, 2)
    with Lake.open(tmp_path, ALL) as lake:
        assert lake.unflushed_rows == 0
    assert_holds(tmp_path, 2)
    assert {table.version for table in LakeReader.open(tmp_path).tables()} == {1}


@pytest.mark.parametrize("seed", range(5))
def test_a_writer_killed_at_ten_random_moments_loses_and_doubles_nothing(
    seed: int, tmp_path: Path, assert_holds: Callable[[Path, int], None]
) -> None:
    moments = random.Random(seed)
    last = 0
    for _ in range(10):
        child = scribe(tmp_path, 0)
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(moments.choice((1, 1, 2, 4, 8, 12)))]
        time.sleep(moments.uniform(0, 0.06))
        child.kill()
        child.wait(timeout=60)
        # Not `communicate`: with a time-out it reads past what `readline` has buffered, and loses it.
        output = "".join(said) + child.stdout.read()

        if last == acknowledged(output) == 0 and "open\n" not in output:
            continue  # killed before there was a lake
        reader = LakeReader.open(tmp_path)
        assert max(last, acknowledged(output)) <= reader.seq
        assert reader.seq <= max(last, acknowledged(output)) + 1, "more than the one being acknowledged"
        last = reader.seq
        counts = {table.name: table.rows for table in reader.tables() if table.name in ALL}
        assert counts == {name: rows_of(table, range(1, last + 1)).height for name, table in ALL.items()}
    assert last > 10
    assert_holds(tmp_path, last)
    with Lake.open(tmp_path, ALL) as lake:
        lake.flush()
    assert_holds(tmp_path, last)
    ledger = LakeReader.open(tmp_path).table("ledger").sort("seq").collect()
    assert ledger["first_seq"].to_list() == [1, *(ledger["seq"][:-1] + 1)]

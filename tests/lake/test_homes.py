"""Journals and lakes that belong to different homes, copies, two writers at once, and clocks that jump."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from lake import Lake, LakeReader
from lake.verify import verify
from options import LakeError
from tests.lake import kills
from tests.lake.scribe import FEW, RESERVE, commits_from, time_of

T = datetime(2026, 2, 4, 15, tzinfo=UTC)
NOT_OF_ONE_HOME = "are not of one home; restore both from one backup"


def written(home: Path, commits: int, flushed: bool = True, begin: int = 1) -> Path:
    """A home with so many more commits."""
    with Lake.open(home, FEW, reserve=RESERVE) as lake:
        for time, frames in islice(commits_from(begin, FEW), commits):
            lake.commit(time, frames)
        if flushed:
            lake.flush()
    return home


def give_journal(source: Path, target: Path) -> None:
    for path in target.glob("journal.sqlite*"):
        path.unlink()
    for path in source.glob("journal.sqlite*"):
        shutil.copy(path, target)


def test_the_journal_of_another_home_is_refused(tmp_path: Path) -> None:
    one, other = written(tmp_path / "one", 3), written(tmp_path / "other", 3)
    give_journal(other, one)
    for _ in range(2):
        with pytest.raises(LakeError, match=NOT_OF_ONE_HOME):
            Lake.open(one, FEW)
    kills.assert_holds(written(other, 0), 3, FEW)


def test_a_new_journal_with_commits_is_not_put_to_an_older_lake(tmp_path: Path) -> None:
    one, other = written(tmp_path / "one", 3), written(tmp_path / "other", 2, flushed=False)
    give_journal(other, one)
    with pytest.raises(LakeError, match=NOT_OF_ONE_HOME):
        Lake.open(one, FEW)
    give_journal(one, other)
    kills.assert_holds(written(other, 0), 2, FEW)


def test_a_lake_whose_journal_is_gone_opens_where_upkeep_has_removed_logs_since_the_last_flush(
    tmp_path: Path,
) -> None:
    for seq in range(1, 4):
        home = written(tmp_path, 1, begin=seq)
    with Lake.open(home, FEW, reserve=RESERVE) as lake:
        report = lake.upkeep(time_of(1000), retention=timedelta(0))
        assert all(table.removed_logs for table in report.tables)
    for path in home.glob("journal.sqlite*"):
        path.unlink()
    kills.assert_holds(written(home, 1, begin=4), 4, FEW)


def test_a_lake_without_its_journal_goes_on_after_its_last_flush_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = written(written(tmp_path / "home", 3), 2, flushed=False, begin=4)
    (home / "journal.sqlite").unlink()
    for look in (LakeReader.open, verify):
        with pytest.raises(LakeError, match=r"the journal .* is missing beside its lake"):
            look(home)
    with Lake.open(home, FEW, reserve=RESERVE) as lake:
        assert (lake.seq, lake.last_flush) == (3, time_of(3))
        assert lake.went_on_after is not None
        assert (lake.went_on_after.seq, lake.went_on_after.time) == (3, time_of(3))
        kills.assert_holds(home, 3, FEW)
    assert "journal.missing" in capsys.readouterr().out
    kills.assert_holds(written(home, 1, begin=4), 4, FEW)


def test_a_lake_without_its_journal_that_was_within_a_flush_is_refused(tmp_path: Path) -> None:
    scribe = kills.Scribe()
    scribe.start(
        tmp_path, "commit 2", "flush", "commit 1", "flush", failpoint="flush.table.fills:2", tables=FEW
    )
    assert scribe.end() == -9
    for path in tmp_path.glob("journal.sqlite*"):
        path.unlink()
    with pytest.raises(LakeError, match=NOT_OF_ONE_HOME):
        Lake.open(tmp_path, FEW)


def test_a_journal_without_its_lake_is_refused_and_keeps_its_rows(tmp_path: Path) -> None:
    home = written(written(tmp_path / "home", 3), 2, flushed=False, begin=4)
    (home / "lake").rename(tmp_path / "elsewhere")
    with pytest.raises(LakeError, match=r"the table facts \(.*is missing: restore this home from a backup"):
        Lake.open(home, FEW)
    with pytest.raises(LakeError, match=r"table facts.*restore this home from a backup"):
        LakeReader.open(home).table("facts")
    shutil.rmtree(home / "lake")
    (tmp_path / "elsewhere").rename(home / "lake")
    kills.assert_holds(written(home, 0), 5, FEW)


def test_a_copy_with_other_file_times_answers_the_same(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for seq in range(1, 7):
        written(home, 1, begin=seq)
    copy = Path(shutil.copytree(home, tmp_path / "copy"))
    chance = random.Random(0)
    for path in copy.rglob("*"):
        os.utime(path, (at := chance.uniform(1e9, 2e9), at))
    for _ in range(2):
        for seq in range(7):
            for moment in (seq, time_of(seq)):
                rows = [LakeReader.open(each).table("fills", moment).collect() for each in (home, copy)]
                assert rows[0].sort("seq", "exec_id").equals(rows[1].sort("seq", "exec_id"))
        kills.assert_holds(copy, 6, FEW)
        with Lake.open(copy, FEW, reserve=RESERVE) as lake:
            lake.upkeep(datetime(2036, 1, 1, tzinfo=UTC))


# Commits at these hours: the clock jumps back after the third, and far ahead for the sixth.
HOURS = (0, 1, 2, 0.5, 1.5, 24 * 365 * 70, 2.5)


@pytest.fixture(params=[(), (7,), (3, 5), (1, 2, 3, 4, 5, 6, 7)], ids=str)
def jumping(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LakeReader]:
    """A lake whose clock jumped, flushed after the given seqs."""
    with Lake.open(tmp_path, FEW, reserve=RESERVE) as lake:
        for seq, (hours, (_, frames)) in enumerate(zip(HOURS, commits_from(1, FEW), strict=False), 1):
            assert lake.commit(T + timedelta(hours=hours), frames) == seq
            if seq in request.param:
                lake.flush()
        yield LakeReader.open(tmp_path)


def test_as_of_a_time_is_all_up_to_the_last_commit_that_was_made_by_then(jumping: LakeReader) -> None:
    """By the clock as it was: the picture as of 0:45 is of seq 4, the one after the clock went back."""
    asked = {-1: 0, 0: 1, 0.25: 1, 0.75: 4, 1: 4, 1.25: 4, 1.75: 5, 2: 5, 2.25: 5, 2.75: 7, 24 * 365 * 71: 7}
    for hours, seq in asked.items():
        time = T + timedelta(hours=hours)
        assert jumping.seq_at(time) == seq
        for name in FEW:
            seqs = jumping.table(name, time).collect()["seq"]
            assert sorted(set(seqs)) == [*range(1, seq + 1)], (
                "all up to a seq, or it is no consistent picture"
            )


def test_every_row_can_be_reached_whatever_the_clock_did(jumping: LakeReader) -> None:
    assert jumping.seq == 7
    for seq in range(8):
        assert set(jumping.table("orders", seq).collect()["seq"]) == {*range(1, seq + 1)}
    last = jumping.table("orders").sort("seq").collect()["time"].unique(maintain_order=True)
    assert last.to_list() == [T + timedelta(hours=hours) for hours in HOURS]


def test_upkeep_keeps_the_rows_of_a_clock_that_jumped(jumping: LakeReader, tmp_path: Path) -> None:
    before = jumping.table("orders").sort("seq", maintain_order=True).collect()
    home = Path(shutil.copytree(tmp_path, tmp_path.with_name(f"{tmp_path.name}-copy")))
    with Lake.open(home, FEW, reserve=RESERVE) as lake:
        lake.flush()
        for now in (T, T + timedelta(days=400), T + timedelta(days=365 * 80)):
            assert not [
                table.trouble for table in lake.upkeep(now, retention=timedelta(0)).tables if table.trouble
            ]
            after = LakeReader.open(home).table("orders").sort("seq", maintain_order=True).collect()
            assert after.equals(before)


RIVAL = """
import sys
from pathlib import Path
from lake import Lake
from options import LakeError
print("ready", flush=True)
for line in sys.stdin:
    try:
        with Lake.open(Path(line.strip()), {}, reserve=0) as lake:
            print("won", flush=True)
            sys.stdin.readline()
    except LakeError as error:
        print(error, flush=True)
        sys.stdin.readline()
"""


def test_of_writers_that_start_at_once_one_gets_the_home(tmp_path: Path) -> None:
    rivals = [
        subprocess.Popen(
            [sys.executable, "-c", RIVAL],
            cwd=kills.ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    try:
        for rival in rivals:
            assert _line(rival) == "ready"
        for n in range(20):
            for rival in rivals:
                _tell(rival, str(tmp_path / str(n % 4)))
            said = [_line(rival) for rival in rivals]
            assert said.count("won") == 1, said
            lost = [line for line in said if line != "won"]
            assert all(
                "uses this home" in line and "stop it, or choose another --home" in line for line in lost
            )
            for rival in rivals:
                _tell(rival, "on")
    finally:
        for rival in rivals:
            rival.kill()
            rival.communicate()


def _tell(rival: "subprocess.Popen[str]", line: str) -> None:
    assert rival.stdin is not None
    rival.stdin.write(line + "\n")
    rival.stdin.flush()


def _line(rival: "subprocess.Popen[str]") -> str:
    assert rival.stdout is not None
    return rival.stdout.readline().strip()


def test_a_home_that_was_copied_while_it_was_written_is_whole_or_refused(tmp_path: Path) -> None:
    chance = random.Random(1)
    home = tmp_path / "home"
    scribe = kills.Scribe()
    scribe.start(home, "beside flush", "beside upkeep", "commit", tables=FEW)
    refused = 0
    for n in range(6):
        scribe.listen(chance.randint(2, 15))
        copy = tmp_path / f"copy{n}"
        subprocess.run(["cp", "-a", home, copy], check=False, stderr=subprocess.DEVNULL)
        at_least = scribe.acknowledged
        try:
            with Lake.open(copy, FEW, reserve=RESERVE) as lake:
                lake.flush()
                seq = lake.seq
            kills.assert_holds(copy, seq, FEW)
            assert seq >= at_least
        except LakeError as error:
            assert "backup" in str(error)
            refused += 1
    scribe.end(kill=True)
    assert refused < 6
    kills.assert_holds(written(home, 0), LakeReader.open(home).seq, FEW)


def test_what_else_lies_beside_the_tables_is_left_alone(tmp_path: Path) -> None:
    """A file of the desktop's, and a table of the user's of which a data file is gone."""
    home = written(tmp_path, 2)
    (home / "lake" / ".DS_Store").write_bytes(b"x")
    mine = home / "lake" / "mine"
    for number in range(3):
        write_deltalake(mine, pl.DataFrame({"number": [number]}), mode="append")
    Path(DeltaTable(mine).file_uris()[0]).unlink()
    files = sorted(mine.rglob("*"))
    kills.assert_holds(written(home, 1, begin=3), 3, FEW)
    assert sorted(mine.rglob("*")) == files

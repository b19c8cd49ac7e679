"""The past read back, against a plain list of what was committed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lake import Column, Lake, LakeReader, TableSchema
from options import LakeError
from tests.lake.s3 import put_into_bucket

T = datetime(2026, 2, 4, 23, 59, 58, 500_000, tzinfo=UTC)
ALERT = pl.DataFrame({"alert": ["a"], "severity": ["info"], "text": ["hello"]})
PAIR = {
    name: TableSchema(name, "numbers", (), (Column("number", pl.Int64(), "number"),))
    for name in ("left", "right")
}

# A step of a script: microseconds since the last commit (clocks may be set back), rows left and right;
# or "flush"; or "restart".
STEPS = st.one_of(
    st.tuples(st.integers(-1_500_000, 3_000_000), st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.integers(-2, 2), st.integers(0, 2), st.integers(0, 2)),
    st.just("flush"),
    st.just("restart"),
)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(script=st.lists(STEPS, max_size=14), asked=st.lists(st.integers(-5_000_000, 30_000_000), max_size=6))
def test_the_past_is_what_was_committed_by_then(
    tmp_path: Path, place: str, request: pytest.FixtureRequest, script: list[object], asked: list[int]
) -> None:
    committed: list[tuple[datetime, int, int]] = []
    with TemporaryDirectory(dir=tmp_path) as folder:
        home, now = Path(folder), T
        if place == "bucket":
            put_into_bucket(home, request.getfixturevalue("s3").endpoint, uuid4().hex)
        lake = Lake.open(home, PAIR)
        reader = LakeReader.open(home)
        for step in script:
            if step == "flush":
                lake.flush()
            elif step == "restart":
                lake.close()
                lake = Lake.open(home, PAIR)
            elif isinstance(step, tuple):
                now += timedelta(microseconds=step[0])
                committed.append((now, step[1], step[2]))
                seq = len(committed)
                frames = {
                    name: pl.DataFrame(
                        {"number": [seq * 10 + n for n in range(count)]}, schema=PAIR[name].row
                    )
                    for name, count in zip(PAIR, step[1:], strict=True)
                }
                assert lake.commit(now, frames) == seq
        times = [time for time, _, _ in committed] + [T + timedelta(microseconds=us) for us in asked]
        for moment in [*times, *(time - timedelta(microseconds=1) for time in times), None]:
            _check(reader, committed, moment)
        for seq in range(len(committed) + 1):
            _check(reader, committed, seq)
        lake.close()


def _check(
    reader: LakeReader, committed: list[tuple[datetime, int, int]], as_of: datetime | int | None
) -> None:
    if isinstance(as_of, datetime):
        seqs = [seq for seq, (time, _, _) in enumerate(committed, start=1) if time <= as_of]
        upto = max(seqs, default=0)
        assert reader.seq_at(as_of) == upto
    else:
        upto = len(committed) if as_of is None else as_of
    for side, name in enumerate(PAIR, start=1):
        expected = [
            (seq, commit[0], seq * 10 + n)
            for seq, commit in enumerate(committed[:upto], start=1)
            for n in range(int(commit[side]))
        ]
        stored = reader.table(name, as_of).sort("seq", maintain_order=True).collect()
        assert stored.rows() == expected


@pytest.mark.bucket
def test_moments_closer_than_delta_statistics_are_told_apart(tmp_path: Path) -> None:
    moments = [T + timedelta(microseconds=n) for n in range(6)]
    with Lake.open(tmp_path) as lake:
        for moment in moments:
            lake.commit(moment, {"alerts": ALERT})
            lake.flush()
    reader = LakeReader.open(tmp_path)
    assert [reader.seq_at(moment) for moment in moments] == [1, 2, 3, 4, 5, 6]
    assert reader.seq_at(T - timedelta(microseconds=1)) == 0
    assert reader.table("alerts").filter(pl.col("time") >= moments[4]).collect()["seq"].sort().to_list() == [
        5,
        6,
    ]


def test_a_moment_the_lake_cannot_know_is_refused(tmp_path: Path) -> None:
    with Lake.open(tmp_path) as lake:
        lake.commit(T, {"alerts": ALERT})
    reader = LakeReader.open(tmp_path)
    with pytest.raises(LakeError, match="no version 2: give a number from 0 to 1"):
        reader.table("alerts", 2)
    with pytest.raises(LakeError, match="no version -1"):
        reader.table("alerts", -1)
    with pytest.raises(LakeError, match="no time zone"):
        reader.table("alerts", T.replace(tzinfo=None))
    with pytest.raises(LakeError, match="no table 'alert'; it has account, alerts"):
        reader.table("alert")


def test_a_home_without_a_lake_says_what_to_do(tmp_path: Path) -> None:
    for home in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(LakeError, match=r"no lake at .*: run optiond first"):
            LakeReader.open(home)
    (tmp_path / "journal.sqlite").touch()
    with pytest.raises(LakeError, match="no lake at"):
        LakeReader.open(tmp_path)


@pytest.mark.bucket
def test_a_table_nobody_wrote_to_is_empty_with_its_columns(tmp_path: Path) -> None:
    with Lake.open(tmp_path, PAIR) as lake:
        lake.commit(T, {"left": pl.DataFrame({"number": [1]})})
        lake.flush()
        reader = LakeReader.open(tmp_path)
        for as_of in (None, 0, 1, T):
            assert reader.table("right", as_of).collect().schema == PAIR["right"].stored
        assert reader.table("left", 0).collect().schema == PAIR["left"].stored
        told = {table.name: table for table in reader.tables()}
        assert told["left"] == ("left", 1, 1, 1, T, 1)
        assert told["right"] == ("right", 0, 0, None, None, None)


def test_the_last_time_is_that_of_the_last_commit_before_and_after_its_flush(tmp_path: Path) -> None:
    with Lake.open(tmp_path) as lake:
        reader = LakeReader.open(tmp_path)
        assert reader.last_time is None
        lake.commit(T, {"alerts": ALERT})
        earlier = T - timedelta(hours=1)  # clocks may be set back
        lake.commit(earlier, {"alerts": ALERT})
        assert reader.last_time == earlier
        lake.flush()
        assert reader.last_time == earlier
    assert LakeReader.open(tmp_path).last_time == earlier


def test_the_newest_rows_are_those_of_the_last_commit_that_wrote_to_the_table(tmp_path: Path) -> None:
    with Lake.open(tmp_path, PAIR) as lake:
        reader = LakeReader.open(tmp_path)
        assert reader.newest("left").is_empty()
        for flushes in (False, True):
            for number in (1, 2):
                twice = pl.DataFrame({"number": [number, number]})
                written = lake.commit(T, {"left": twice})
                lake.commit(T, {"right": twice})
                if flushes:
                    lake.flush()
            newest = reader.newest("left")
            assert newest["number"].to_list() == [2, 2]
            assert newest["seq"].unique().to_list() == [written]

"""When the disk does not keep up entries stop, and they go on by themselves."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.lake_watch import queue_grows
from daemon.pressure import MB, Cause, CommitTimes, Pressure, Vitals, pressure
from daemon.settings import LakeSettings

LIMITS = LakeSettings(min_free_mb=100, max_journal_mb=50, flush_late_s=300, slow_commit_s=1.0)
WELL = Vitals(free_bytes=10_000 * MB, journal_bytes=MB, flush_age_s=1.0, commit_s=0.003)
NONE = Pressure()


def test_a_lake_that_is_well_stops_nothing() -> None:
    assert not pressure(WELL, LIMITS, NONE).stops_entries
    assert str(pressure(WELL, LIMITS, NONE)) == ""
    unknown = Vitals(free_bytes=None, journal_bytes=0, flush_age_s=0.0)
    assert not pressure(unknown, LIMITS, NONE).stops_entries, "what is not known is no reason to stop"


@pytest.mark.parametrize(
    ("sick", "cause", "words"),
    [
        ({"free_bytes": 99 * MB}, Cause.DISK, "less than 100 MB free"),
        ({"journal_bytes": 51 * MB}, Cause.JOURNAL, "the journal is over 50 MB"),
        ({"flush_age_s": 301.0}, Cause.FLUSH, "not flushed for 300 s"),
        ({"commit_s": 1.1}, Cause.COMMIT, "commits take over 1 s"),
        ({"refusal": "cannot write to the journal (/x): disk is full"}, Cause.REFUSED, "cannot write"),
    ],
)
def test_every_cause_stops_entries_and_says_so(sick: dict[str, Any], cause: Cause, words: str) -> None:
    found = pressure(replace(WELL, **sick), LIMITS, NONE)
    assert found.stops_entries
    assert list(found.reasons) == [cause]
    assert words in str(found)


def test_a_stop_ends_only_well_below_its_limit_and_keeps_its_words() -> None:
    full = pressure(replace(WELL, free_bytes=50 * MB), LIMITS, NONE)
    nearly = replace(WELL, free_bytes=110 * MB)
    assert pressure(nearly, LIMITS, full).reasons == full.reasons
    assert not pressure(nearly, LIMITS, NONE).stops_entries, "the same room begins no stop"
    assert not pressure(replace(WELL, free_bytes=130 * MB), LIMITS, full).stops_entries


def test_the_rows_of_a_stop_leave_the_owners_brake_where_it_is() -> None:
    stop = Pressure({Cause.DISK: "the disk is nearly full"})
    assert stop.row("halted") == {
        "event": "lake_stop",
        "state": "halted",
        "actor": "lake",
        "reason": "the disk is nearly full",
    }
    assert NONE.row("armed")["event"] == "lake_release"


@given(
    free=st.integers(0, 10**12),
    journal=st.integers(0, 10**10),
    age=st.floats(0, 1e5),
    commit=st.floats(0, 60),
    before=st.sets(st.sampled_from(list(Cause))),
)
def test_more_room_and_a_faster_disk_never_stop_what_less_did_not(
    free: int, journal: int, age: float, commit: float, before: set[Cause]
) -> None:
    stood = Pressure(dict.fromkeys(before, "before"))
    sick = Vitals(free, journal, age, commit)
    better = Vitals(free * 2, journal // 2, age / 2, commit / 2)
    assert set(pressure(better, LIMITS, stood).reasons) <= set(pressure(sick, LIMITS, stood).reasons)


def test_what_is_not_known_any_more_ends_no_stop() -> None:
    both = Pressure({Cause.DISK: "nearly full", Cause.COMMIT: "slow"})
    unknown = Vitals(free_bytes=None, journal_bytes=0, flush_age_s=0.0, commit_s=None)
    assert pressure(unknown, LIMITS, both).reasons == both.reasons
    assert not pressure(WELL, LIMITS, both).stops_entries


def test_a_few_commits_prove_nothing() -> None:
    times = CommitTimes()
    assert times.age_s(5.0) is None
    for second in range(4):
        times.add(float(second), 2.0)
    assert times.slow_s(4.0) is None, "four are too few"
    times.add(4.0, 2.0)
    assert times.slow_s(4.0) == 2.0
    assert times.age_s(10.0) == 6.0


def test_a_slow_disk_is_seen_in_a_quiet_book_too_and_is_slow_until_it_was_seen_to_be_fast() -> None:
    times = CommitTimes()
    for minute in range(5):
        times.add(60.0 * minute, 2.0)
    assert times.slow_s(1000.0) == 2.0, "that nothing was committed since proves nothing"
    for minute in range(20, 24):
        times.add(60.0 * minute, 0.003)
    assert times.slow_s(1400.0) == 0.003


def test_the_last_minute_counts_where_there_was_enough_in_it() -> None:
    times = CommitTimes()
    for second in (*range(5), *range(100, 105)):
        times.add(float(second), 2.0 if second < 5 else 0.003)
    assert times.slow_s(104.0) == 0.003


def test_one_slow_commit_among_five_is_no_slow_disk() -> None:
    times = CommitTimes()
    for second in range(5):
        times.add(float(second), 5.0 if second == 2 else 0.003)
    assert times.slow_s(5.0) == 0.003


def test_one_slow_commit_among_many_is_no_slow_disk() -> None:
    times = CommitTimes()
    for second in range(20):
        times.add(float(second), 5.0 if second == 7 else 0.003)
    assert times.slow_s(20.0) == 0.003


@pytest.mark.parametrize(
    ("left", "grows"),
    [
        ([1, 2, 3, 4, 5], False),
        ([1, 20_000, 30_000, 40_000, 50_000], True),
        ([20_000, 30_000, 30_000, 40_000, 50_000], False),
        ([30_000, 40_000, 50_000], False),
    ],
)
def test_a_queue_grows_when_flush_after_flush_leaves_more(left: list[int], grows: bool) -> None:
    assert queue_grows(left) is grows

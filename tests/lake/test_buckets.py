"""A lake in a bucket of a real S3 server: who may write, who wins a race, and bad days of line and server."""

import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from lake import Lake, LakeReader, delta, log_files
from lake.owner import OWNER, SESSIONS
from lake.verify import verify
from options import LakeError
from tests.lake.kills import Scribe
from tests.lake.s3 import Line, S3Server, bucket_of, put_into_bucket
from tests.lake.scribe import FEW, commits_from, time_of

T = datetime(2026, 2, 4, 15, tzinfo=UTC)
ALERT = pl.DataFrame({"alert": ["a"], "severity": ["info"], "text": ["hello"]})


@pytest.fixture
def home(tmp_path: Path, s3: S3Server) -> Path:
    """A home whose lake is in a bucket."""
    return new_home(tmp_path / "home", s3.endpoint, tmp_path.name)


def new_home(home: Path, endpoint: str, prefix: str) -> Path:
    put_into_bucket(home, endpoint, prefix)
    return home


def seqs(home: Path, table: str = "alerts") -> list[int]:
    return LakeReader.open(home).table(table).collect()["seq"].sort().to_list()


# --- one writer ----------------------------------------------------------------------------------


def test_a_home_goes_on_in_its_bucket_after_a_clean_end_and_after_none(home: Path) -> None:
    for n in range(3):
        lake = Lake.open(home)
        lake.commit(T, {"alerts": ALERT})
        lake.flush()
        lake.close()
        assert seqs(home) == [*range(1, n + 2)]


def test_a_session_that_was_noted_and_died_before_it_claimed_locks_nobody_out(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Lake.open(home):
        pass
    monkeypatch.setattr("lake.store.Bucket.swap", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        Lake.open(home)
    monkeypatch.undo()
    with Lake.open(home) as lake:
        assert lake.commit(T, {"alerts": ALERT}) == 1


def test_a_second_home_on_the_same_place_is_refused(home: Path, s3: S3Server) -> None:
    other = new_home(home.parent / "other", s3.endpoint, home.parent.name)
    with Lake.open(home) as lake:
        lake.commit(T, {"alerts": ALERT})
        lake.flush()
        with pytest.raises(LakeError, match=rf"belongs to the home {home} on .*--take-over") as refused:
            Lake.open(other)
        assert "\n" not in str(refused.value)
        lake.commit(T, {"alerts": ALERT})
        lake.flush()
    assert seqs(home) == [1, 2]


def test_a_copy_of_a_home_is_refused_as_another_home(home: Path) -> None:
    with Lake.open(home) as lake:
        lake.commit(T, {"alerts": ALERT})
        copy = Path(shutil.copytree(home, home.parent / "copy"))
    with pytest.raises(LakeError, match="belongs to the home"):
        Lake.open(copy)


def test_who_was_taken_over_from_stops_flushing_and_keeps_everything(home: Path, s3: S3Server) -> None:
    other = new_home(home.parent / "other", s3.endpoint, home.parent.name)
    with Lake.open(home) as lake:
        lake.commit(T, {"alerts": ALERT})
        lake.flush()
        with Lake.open(other, take_over=True) as successor:
            assert successor.seq == 1, "it goes on from the ledger"
            lake.commit(T, {"alerts": ALERT})
            for _ in range(2):
                with pytest.raises(LakeError, match=rf"is written to by the home {other}.*in its journal"):
                    lake.flush()
            assert lake.unflushed_rows == 1
            lake.commit(T, {"alerts": ALERT})
            successor.commit(T, {"alerts": ALERT.with_columns(alert=pl.lit("successor"))})
            successor.flush()
    stored = LakeReader.open(other).table("alerts").sort("seq").collect()
    assert stored.select("seq", "alert").rows() == [(1, "a"), (2, "successor")]
    with pytest.raises(LakeError, match="belongs to the home"):
        Lake.open(home)


def test_a_take_over_between_the_look_and_the_append_fences_the_append(
    home: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst moment: the old writer has just seen that it is the owner."""
    other = new_home(home.parent / "other", s3.endpoint, home.parent.name)
    really_append, successors = delta.append, list[Lake]()

    def append(*arguments: object) -> None:
        if not successors:
            successors.append(Lake.open(other, take_over=True))
        really_append(*arguments)  # type: ignore[arg-type]

    with Lake.open(home) as lake:
        lake.commit(T, {"alerts": ALERT})
        lake.flush()
        lake.commit(T, {"alerts": ALERT})
        monkeypatch.setattr(delta, "append", append)
        with pytest.raises(LakeError, match="is written to by the home"):
            lake.flush()
        monkeypatch.undo()
    with successors[0] as successor:
        successor.commit(T, {"alerts": ALERT.with_columns(alert=pl.lit("successor"))})
        successor.flush()
    stored = LakeReader.open(other).table("alerts").sort("seq").collect()
    assert stored.select("seq", "alert").rows() == [(1, "a"), (2, "successor")]


def test_a_flush_that_the_home_before_did_not_finish_stays_and_is_vouched_for(
    home: Path, s3: S3Server
) -> None:
    with Lake.open(home, FEW) as lake:
        lake.commit(*next(commits_from(1, FEW)))
        lake.flush()
    writer = Scribe()
    writer.start(home, "commit 2", "flush", failpoint="flush.table.fills", tables=FEW)
    assert writer.end() == -signal.SIGKILL
    other = new_home(home.parent / "other", s3.endpoint, home.parent.name)
    with Lake.open(other, FEW, take_over=True) as successor:
        assert successor.seq == 3, "no seq is given out twice"
        assert successor.commit(*next(commits_from(4, FEW))) == 4
        successor.flush()
    written = {name: set(seqs(other, name)) for name in FEW}
    assert written == {"facts": {1, 2, 3, 4}, "fills": {1, 2, 3, 4}, "orders": {1, 4}}
    ledger = LakeReader.open(other).table("ledger").sort("seq").collect()
    assert ledger.select("first_seq", "seq").rows() == [(1, 1), (2, 3), (4, 4)]
    assert ledger["times"][1].to_list() == [time_of(2), time_of(3)]
    assert [finding for finding in verify(other) if finding.severity == "error"] == []


def test_of_two_homes_that_claim_a_new_place_at_once_one_is_refused(
    home: Path, s3: S3Server, line: Line
) -> None:
    other = new_home(home.parent / "other", line.endpoint, home.parent.name)
    homes = [new_home(home.parent / "third", line.endpoint, home.parent.name), other]
    together = threading.Barrier(2, timeout=30)

    def hold(method: str, path: str) -> None:
        if method == "PUT" and path.endswith(OWNER):
            together.wait()

    line.before = hold

    def opened(home: Path) -> str:
        try:
            Lake.open(home).close()
        except LakeError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(2) as threads:
        said = sorted(threads.map(opened, homes))
    assert said[0] == ""
    assert "was claimed by the home" in said[1]
    assert sorted(s3.statuses("PUT", f"{home.parent.name}/{OWNER}")) == [200, 412]


def test_an_owner_that_says_nothing_is_somebody_else(home: Path) -> None:
    with Lake.open(home):
        pass
    bucket_of(home).write(OWNER, b"")
    with pytest.raises(LakeError, match="belongs to the home unknown"):
        Lake.open(home)
    with Lake.open(home, take_over=True) as lake:
        assert lake.seq == 0
    (home / SESSIONS).write_text("{")
    with pytest.raises(LakeError, match=rf"{SESSIONS} cannot be read"):
        Lake.open(home)


# --- many files ----------------------------------------------------------------------------------


def test_a_reader_finds_a_lost_file_among_many_without_asking_for_each(home: Path, s3: S3Server) -> None:
    with Lake.open(home) as lake:
        for _ in range(12):
            lake.commit(T, {"alerts": ALERT})
            lake.flush()
    data = f"{home.parent.name}/alerts/date="
    before = len(s3.statuses("HEAD", data))
    assert seqs(home) == [*range(1, 13)]
    assert len(s3.statuses("HEAD", data)) - before <= 2, "its newest file alone"
    store = bucket_of(home)
    ((path, _),) = log_files.added_files(store.read(log_files.log_key("alerts", 1)))
    oldest = f"alerts/{path}"
    store.write(oldest, store.read(oldest)[:-1])
    with pytest.raises(LakeError, match=f"alerts has lost a data file or part of it .*{oldest}"):
        seqs(home)

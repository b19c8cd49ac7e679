"""Bad days of a bucket: told in one line, within seconds, without keys; nothing lost, nothing doubled."""

import io
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import structlog

from lake import Lake, LakeReader, Location
from lake.location import NOTE, settle
from options import LakeError
from tests.lake.kills import Scribe, assert_holds
from tests.lake.s3 import BUCKET, KEY_ID, SECRET, TOKEN, Line, S3Server, bucket_of, put_into_bucket
from tests.lake.scribe import FEW, commits_from

KEYS = (KEY_ID, SECRET, TOKEN)


@pytest.fixture
def home(tmp_path: Path, line: Line) -> Path:
    """A home whose lake is at the end of the `line`."""
    home = tmp_path / "home"
    put_into_bucket(home, line.endpoint, tmp_path.name)
    return home


def point(home: Path, location: Location) -> None:
    """Let the home's lake lie somewhere else."""
    (home / NOTE).unlink(missing_ok=True)
    settle(home, location)


def cut(line: Line) -> None:
    line.is_cut = True


def refuse(line: Line) -> None:
    line.refuses = True


PUT = ("PUT", True)
BAD_DAYS: dict[str, tuple[Callable[[Line], None], str]] = {
    "line cut": (cut, "no connection; check lake.endpoint, the network and the store"),
    "wrong key": (refuse, "access denied; check the access key"),
}


@pytest.mark.parametrize("day", BAD_DAYS)
def test_a_bad_day_is_told_in_one_line_without_keys_and_the_flush_is_taken_up_again(
    day: str, home: Path, line: Line
) -> None:
    begin, said = BAD_DAYS[day]
    commits = commits_from(1, FEW)
    with Lake.open(home, FEW) as lake:
        for _ in range(2):
            lake.commit(*next(commits))
            lake.flush()
        lake.commit(*next(commits))
        line.before = lambda method, path: (
            begin(line) if "PUT" in method and "/fills/_delta" in path else None
        )
        started = time.monotonic()
        for work in (lake.flush, lake.flush, lambda: LakeReader.open(home).table("orders").collect()):
            tell(work, said)
        with pytest.raises(LakeError, match=said):
            Lake.open(_twin(home), FEW)
        assert time.monotonic() - started < 60
        lake.commit(*next(commits))
        assert lake.unflushed_rows > 0
        line.before, line.is_cut, line.refuses = (lambda method, path: None), False, False
        assert lake.flush().seq == 3, "first the flush that was begun"
        lake.flush()
        assert lake.unflushed_rows == 0
    assert_holds(home, 4, FEW)


def _twin(home: Path) -> Path:
    """Another home that wants the same lake."""
    twin = home.parent / "twin"
    (twin / "secrets").mkdir(parents=True)
    for file in (home / "secrets").iterdir():
        (twin / "secrets" / file.name).write_text(file.read_text())
    (twin / NOTE).write_text((home / NOTE).read_text())
    return twin


def tell(work: Callable[[], object], said: str) -> None:
    """The error is one line, and no print, log or traceback of it, variables included, shows a key."""
    with pytest.raises(LakeError, match=said) as caught:
        work()
    assert "\n" not in str(caught.value)
    shown = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.PrintLogger(shown),
        processors=[structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()],
    )
    logger.error("flush.failed", exc_info=caught.value)
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    for text in (shown.getvalue(), "".join(told.format())):
        assert "flush.failed" in text or "Traceback" in text
        for key in KEYS:
            assert key not in text


def test_a_bucket_that_is_not_there_is_told(home: Path, line: Line) -> None:
    point(home, Location("s3://nowhere/at-all", line.endpoint))
    tell(lambda: Lake.open(home), r"\(s3://nowhere/at-all\): the bucket does not exist; create it")


def test_an_endpoint_where_nobody_listens_is_told_within_seconds(home: Path) -> None:
    point(home, Location(f"s3://{BUCKET}/x", "http://127.0.0.1:1"))
    started = time.monotonic()
    tell(lambda: Lake.open(home), "no connection; check lake.endpoint")
    assert time.monotonic() - started < 15


@pytest.mark.long
def test_an_endpoint_that_does_not_answer_is_told_within_half_a_minute(home: Path, line: Line) -> None:
    def hang(method: str, path: str) -> None:
        time.sleep(40)

    with Lake.open(home, FEW) as lake:
        lake.commit(*next(commits_from(1, FEW)))
        line.before = hang
        started = time.monotonic()
        tell(lake.flush, "no answer in time; check lake.endpoint")
        assert time.monotonic() - started < 30


def test_what_is_written_holds_no_key(home: Path, s3: S3Server) -> None:
    with Lake.open(home, FEW) as lake:
        lake.commit(*next(commits_from(1, FEW)))
        lake.flush()
        store = bucket_of(home)
        shown = [repr(each) for each in (lake, store, store.options, vars(store), LakeReader.open(home))]
        plan = LakeReader.open(home).table("fills")
        shown += [repr(plan), plan.explain(), str(vars(lake))]
    files = [path for path in home.rglob("*") if path.is_file() and path.parent.name != "secrets"]
    written = [path.read_bytes() for path in files] + [store.read(key) for key in store.keys("")]
    assert len(written) > 10
    for key in KEYS:
        assert not any(key in text for text in shown)
        assert not any(key.encode() in content for content in written)


def test_a_writer_killed_at_steps_of_a_flush_into_a_bucket_loses_and_doubles_nothing(home: Path) -> None:
    for step in ("flush.table.facts", "flush.ledger", "flush.released"):
        writer = Scribe()
        writer.start(home, "commit 2", "flush", failpoint=step, tables=FEW)
        assert writer.end() == -signal.SIGKILL
        assert LakeReader.open(home).seq == 2, "the second and third died finishing the flush of the first"
    with Lake.open(home, FEW) as lake:
        assert lake.unflushed_rows == 0
    assert_holds(home, 2, FEW)
    ledger = LakeReader.open(home).table("ledger").select(pl.col("seq")).collect()
    assert ledger["seq"].to_list() == [2]

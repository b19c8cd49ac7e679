"""Lost races in a bucket: the server says 412, the loser looks again, and every row is there once."""

import re
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from deltalake.exceptions import CommitFailedError

from lake import Lake, LakeReader, delta
from lake.data_files import exchange, live_files
from tests.lake.s3 import Line, S3Server, bucket_of, put_into_bucket

T = datetime(2026, 2, 4, 15, tzinfo=UTC)
ALERT = pl.DataFrame({"alert": ["a"], "severity": ["info"], "text": ["hello"]})
LOG = re.compile(r"/(\w+)/_delta_log/\d{20}\.json$")


@pytest.fixture
def home(tmp_path: Path, line: Line) -> Path:
    """A home with two flushed commits, its lake at the end of the `line`."""
    home = tmp_path / "home"
    put_into_bucket(home, line.endpoint, tmp_path.name)
    with Lake.open(home) as lake:
        for _ in range(2):
            lake.commit(T, {"alerts": ALERT})
            lake.flush()
    return home


def seqs(home: Path) -> list[int]:
    return LakeReader.open(home).table("alerts").collect()["seq"].sort().to_list()


def first_put_of_a_version(work: Callable[[], object]) -> Callable[[str, str], None]:
    """Does `work` before the first put of a log file of `alerts` goes on."""
    once = threading.Lock()

    def before(method: str, path: str) -> None:
        match = LOG.search(path)
        if method == "PUT" and match and match[1] == "alerts" and once.acquire(blocking=False):
            work()

    return before


def rewrite(home: Path) -> None:
    """Put a copy in the place of the oldest data file: what upkeep commits, through a handle of its own."""
    store = bucket_of(home)
    table = delta.open_table(store, "alerts")
    assert table is not None
    oldest = min(live_files(table), key=lambda file: file.key("alerts"))
    copy = replace(oldest, path=oldest.path.replace("part-", "copy-"))
    store.write(copy.key("alerts"), store.read(oldest.key("alerts")))
    exchange(table, [oldest], [copy], "compact", T)


def test_two_flushes_of_the_same_commits_at_once_write_each_row_once(
    home: Path, s3: S3Server, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if ownership had failed: a copy of the home, not asked whether it may, flushes at the same time."""
    with Lake.open(home) as lake:
        lake.commit(T, {"alerts": ALERT})
        copy = Path(shutil.copytree(home, home.parent / "copy"))
        monkeypatch.setattr("lake.writer.claim", lambda *_: None)
        with Lake.open(copy) as second, ThreadPoolExecutor(2) as threads:
            together = {
                "alerts": threading.Barrier(2, timeout=20),
                "ledger": threading.Barrier(2, timeout=20),
            }

            def hold(method: str, path: str) -> None:
                if method == "PUT" and (match := LOG.search(path)) and match[1] in together:
                    together[match[1]].wait()

            line.before = hold
            reports = list(threads.map(lambda each: each.flush(), (lake, second)))
            line.before = lambda method, path: None
        assert [report.rows for report in reports] == [{"alerts": 1}, {"alerts": 1}]
        for table in together:
            key = f"{home.parent.name}/{table}/_delta_log/{3:020}.json"
            assert sorted(s3.statuses("PUT", key)) == [200, 412]
        assert lake.unflushed_rows == 0
        lake.commit(T, {"alerts": ALERT})
        lake.flush()
    assert seqs(home) == [1, 2, 3, 4]


def test_an_upkeep_that_loses_the_race_against_a_flush_changes_nothing(
    home: Path, s3: S3Server, line: Line
) -> None:
    other = home.parent / "other"
    put_into_bucket(other, s3.endpoint, home.parent.name)
    with Lake.open(other, take_over=True) as lake:  # its fence is version 3
        key = f"{home.parent.name}/alerts/_delta_log/{4:020}.json"
        lake.commit(T, {"alerts": ALERT})
        line.before = first_put_of_a_version(lake.flush)
        with pytest.raises(CommitFailedError):
            rewrite(home)
        assert s3.statuses("PUT", key) == [200, 412]
        assert seqs(other) == [1, 2, 3]
        rewrite(home)
        lake.commit(T, {"alerts": ALERT})
        lake.flush()
    assert seqs(other) == [1, 2, 3, 4]


def race_of_a_flush(home: Path, s3: S3Server, line: Line) -> list[int]:
    """A flush that is overtaken by an upkeep between its last look and its put; what is there afterwards."""
    other = home.parent / "other"
    put_into_bucket(other, s3.endpoint, home.parent.name)
    with Lake.open(home) as lake:
        lake.commit(T, {"alerts": ALERT})
        line.before = first_put_of_a_version(lambda: rewrite(other))
        lake.flush()
    return seqs(home)


def test_a_flush_that_loses_the_race_against_an_upkeep_comes_right_after_it(
    home: Path, s3: S3Server, line: Line
) -> None:
    assert race_of_a_flush(home, s3, line) == [1, 2, 3]
    log = f"{home.parent.name}/alerts/_delta_log"
    assert s3.statuses("PUT", f"{log}/{3:020}.json") == [200, 412]
    assert s3.statuses("PUT", f"{log}/{4:020}.json") == [200]
    table = delta.open_table(bucket_of(home), "alerts")
    assert table is not None
    assert any("copy-" in file.path for file in live_files(table)), "the upkeep's version stands"


def test_the_race_is_seen_where_a_store_ignores_the_condition(home: Path, s3: S3Server, line: Line) -> None:
    """The control of the test above: puts that overwrite lose the upkeep's version, and it would notice."""
    line.careless = True
    race_of_a_flush(home, s3, line)
    assert s3.statuses("PUT", f"{home.parent.name}/alerts/_delta_log/{3:020}.json") == [200, 200]
    table = delta.open_table(bucket_of(home), "alerts")
    assert table is not None
    assert not any("copy-" in file.path for file in live_files(table)), "overwritten"


@pytest.mark.long
@pytest.mark.parametrize(
    "unsafe", [{"AWS_S3_ALLOW_UNSAFE_RENAME": "true"}, {"AWS_CONDITIONAL_PUT": "disabled"}]
)
def test_no_environment_makes_puts_unsafe(
    unsafe: dict[str, str], home: Path, s3: S3Server, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in unsafe.items():
        monkeypatch.setenv(name, value)
    assert race_of_a_flush(home, s3, line) == [1, 2, 3]
    assert s3.statuses("PUT", f"{home.parent.name}/alerts/_delta_log/{3:020}.json") == [200, 412]


def test_a_put_whose_answer_was_lost_is_not_done_twice(home: Path, s3: S3Server, line: Line) -> None:
    """The version is written and the line breaks before the answer; the repeated put finds it there."""
    log = f"{home.parent.name}/alerts/_delta_log/{3:020}.json"
    line.loses_answer_to = log
    with Lake.open(home) as lake:
        lake.commit(T, {"alerts": ALERT})
        lake.flush()
        assert lake.unflushed_rows == 0
    assert s3.statuses("PUT", log) == [200, 412]
    assert seqs(home) == [1, 2, 3]

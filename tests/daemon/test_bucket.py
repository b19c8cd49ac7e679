"""A daemon whose lake is in a bucket: a good day, a bad one, and what can be seen of its keys."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lake import LakeReader
from tests.lake.s3 import BUCKET, KEY_ID, SECRET, TOKEN, Line, bucket_of, line_to, s3_server

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]
KEYS = {"ACCESS_KEY_ID": KEY_ID, "SECRET_ACCESS_KEY": SECRET, "SESSION_TOKEN": TOKEN}


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    for name, key in KEYS.items():
        monkeypatch.setenv(f"AWS_{name}", key)
    with s3_server(tmp_path) as server, line_to(server) as line:
        yield line


def settings(line: Line) -> str:
    return (
        "[control]\nport = 0\n[sync]\nflush_every_s = 1\nrecord_every_s = 5\n"
        f'[lake]\nuri = "s3://{BUCKET}/life"\nendpoint = "{line.endpoint}"\n'
    )


def test_a_daemon_trades_on_while_its_bucket_refuses_it_and_shows_no_key(
    line: Line, home: Any, helpers: Any
) -> None:
    home.path.mkdir()
    (home.path / "optiond.toml").write_text(settings(line))
    daemon = home.start("--speed", "30")

    def failures() -> list[str]:
        log = (home.path / "logs" / "optiond.jsonl").read_text().splitlines()
        return [each["error"] for each in map(json.loads, log) if each["event"] == "flush.failed"]

    def lake() -> dict[str, Any]:
        status = home.status()
        return status["lake"] if status else {"last_flush": None, "seq": 0}

    helpers.wait_until(lambda: lake()["last_flush"], 90, "a flush")
    line.refuses = True
    text = helpers.wait_until(failures, 60, "a flush that is refused")[0]
    assert "access denied; check the access key" in text
    before = lake()
    helpers.wait_until(lambda: lake()["seq"] > before["seq"] + 1, 60, "commits go on")
    shown = [json.dumps(home.status()), home.ask("lake", "tables").stderr]
    assert "access denied" in shown[-1]
    line.refuses = False
    helpers.wait_until(lambda: lake()["last_flush"] > before["last_flush"], 60, "the flush is taken up again")
    for words in (("lake", "tables"), ("alerts",), ("doctor",), ("positions", "--json")):
        done = home.ask(*words)
        shown += [done.stdout, done.stderr]
    shown.append(helpers.stop(daemon))

    second = type(home)(home.path.parent / "second")
    second.path.mkdir()
    (second.path / "optiond.toml").write_text(settings(line))
    refused = second.ask("run", "--no-page")
    assert refused.returncode == 1
    assert "belongs to the home" in refused.stderr.splitlines()[-1]
    shown += [refused.stdout, refused.stderr]

    revisions = LakeReader.open(home.path).table("settings_revisions").select(pl.col("text")).collect()
    assert f"s3://{BUCKET}/life" in revisions["text"].item()
    store = bucket_of(home.path)
    files = [path.read_bytes() for path in home.path.parent.rglob("*") if path.is_file()]
    written = [*files, *(store.read(key) for key in store.keys(""))]
    frames = [
        LakeReader.open(home.path).table(info.name).collect() for info in LakeReader.open(home.path).tables()
    ]
    shown += [json.dumps(frame.to_dicts(), default=str) for frame in frames]
    assert len(written) > 20
    for key in KEYS.values():
        assert not any(key in text for text in shown)
        assert not any(key.encode() in content for content in written)

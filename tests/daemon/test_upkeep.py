"""The real daemon keeps its lake up: in the evening, resumed after a kill, and when it is asked."""

import json
import re
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from deltalake import DeltaTable

from lake import Lake
from options import NEW_YORK
from sync.tables import LAKE_TABLES

pytestmark = [pytest.mark.slow]

DAYS, FLUSHES = 8, 3
BEFORE = datetime(2026, 2, 2, 18, tzinfo=UTC)


def write_history(home: Path) -> None:
    """Days of small files: two tables, a few flushes each day."""
    with Lake.open(home, LAKE_TABLES) as lake:
        for number in range(DAYS * FLUSHES):
            now = BEFORE + timedelta(days=number // FLUSHES, minutes=number % FLUSHES)
            alert = {"alert": f"a{number}", "severity": "info", "text": "hello"}
            state = {"revision": "r", "state": "{}"}
            lake.commit(now, {"alerts": pl.DataFrame([alert]), "settings_revisions": pl.DataFrame([
                {"revision": str(number), "text": json.dumps(state)}])})  # fmt: skip
            lake.flush()


def old_rows(home: Any, table: str) -> pl.DataFrame:
    """The rows of the history as Delta has them, whoever reads it."""
    rows = pl.read_delta(str(home.path / "lake" / table))
    return rows.filter(pl.col("time") < datetime(2026, 3, 1, tzinfo=UTC)).sort("seq")


def old_files(home: Any, table: str) -> int:
    """Data files of the history that the newest version consists of."""
    paths = DeltaTable(home.path / "lake" / table).file_uris()
    return sum("date=2026-02" in path for path in paths)


def log_of(home: Any, event: str) -> list[dict[str, Any]]:
    path = home.path / "logs" / "optiond.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in map(json.loads, lines) if line["event"] == event]


def told(home: Any, path: str) -> dict[str, Any]:
    """What the daemon answers; nothing while there is none."""
    try:
        answer: dict[str, Any] = json.loads(get(home, path))
    except (OSError, ValueError, httpx.HTTPError):
        return {}
    return answer


def get(home: Any, path: str) -> str:
    port = json.loads((home.path / "control.json").read_text())["port"]
    return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=5).text


def test_it_is_done_in_the_evening_also_after_a_kill_and_a_stop(
    start_gateway: Callable[..., Any], home: Any, helpers: Any
) -> None:
    clock = ("--start", "2026-03-02T15:59:00-05:00", "--nights", "keep", "--speed", "300")
    gateway = start_gateway("--market", "model", *clock)
    home.settle(gateway)
    write_history(home.path)
    before = {name: old_rows(home, name) for name in ("alerts", "settings_revisions")}
    assert [old_files(home, name) for name in before] == [DAYS * FLUSHES] * 2

    first = home.start(failpoint="upkeep.committed:3")
    assert first.wait(timeout=60) == -signal.SIGKILL
    assert DAYS < old_files(home, "alerts") < DAYS * FLUSHES, "killed half-way"

    second = home.start()
    helpers.wait_until(
        lambda: told(home, "/lake/upkeep").get("running") or log_of(home, "upkeep.done"),
        60,
        "it is taken up again",
    )
    began = time.monotonic()
    helpers.stop(second)
    assert time.monotonic() - began < 5, "a stop does not wait for it"

    third = home.start()
    done = helpers.wait_until(lambda: log_of(home, "upkeep.done"), 60, "it is done in the end")
    evening = datetime.fromisoformat(done[-1]["time"]).astimezone(NEW_YORK)
    assert evening.hour >= 16, "not before the close; that of the days before was missed, so at once"
    assert told(home, "/status")["lake"]["upkeep"]["last"] == done[-1]["time"].replace(" ", "T")
    metrics = get(home, "/metrics")
    helpers.stop(third)
    for name, rows in before.items():
        assert old_files(home, name) == DAYS, "a file a day"
        assert old_rows(home, name).equals(rows), "nothing lost, nothing doubled"
    assert "optiond_lake_upkeep_overdue 0.0" in metrics
    assert "optiond_lake_table_small_file_ratio{" in metrics
    assert re.search(r'optiond_lake_upkeep_runs_total{how="done"} 1.0', metrics)
    assert re.search(r"optiond_lake_upkeep_last_success_timestamp_seconds 1\.7", metrics)


def test_it_can_be_asked_for_beside_a_running_daemon_and_without_one(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    gateway = replay(helpers.story(profit_after_s=9999))
    home.settle(gateway)
    write_history(home.path)
    before = old_rows(home, "alerts")
    daemon = home.start()
    helpers.wait_until(lambda: told(home, "/status").get("positions") == 1, 30, "adopted")
    refused = home.ask("lake", "upkeep")
    assert refused.returncode == 1
    assert "the market is open or about to open: wait for the close, or add --now" in refused.stderr
    outcome = home.json("lake", "upkeep", "--now")
    assert outcome["finished"]
    (alerts,) = [table for table in outcome["tables"] if table["name"] == "alerts"]
    assert alerts["files_before"] - alerts["files_after"] >= DAYS * (FLUSHES - 1)
    assert told(home, "/status")["lake"]["upkeep"]["outcome"]["finished"]
    helpers.stop(daemon)
    assert old_files(home, "alerts") == DAYS
    again = home.ask("lake", "upkeep")
    assert again.returncode == 0, again.stderr
    assert "upkeep done: " in again.stdout
    assert old_rows(home, "alerts").equals(before)

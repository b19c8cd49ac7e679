"""The daemon on a disk that is full or read-only: protection goes on as long as a reason can be kept."""

import io
import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from daemon.console import Console
from lake import LakeReader

pytestmark = [pytest.mark.slow]

LEFT = 65_536


def rows(home: Any, table: str) -> pl.DataFrame:
    return LakeReader.open(home.path).table(table).sort("seq").collect()


def told(home: Any) -> dict[str, Any]:
    """What the daemon says of itself; nothing while none answers."""
    try:
        port = json.loads((home.path / "control.json").read_text())["port"]
        answer: dict[str, Any] = httpx.get(f"http://127.0.0.1:{port}/status", timeout=5).json()
    except (OSError, ValueError, httpx.HTTPError):
        return {}
    return answer


def of_lake(home: Any) -> dict[str, Any]:
    lake: dict[str, Any] = told(home).get("lake", {})
    return lake


@pytest.fixture
def small_disk(home: Any) -> Iterator[Path]:
    """The home on a file system of its own with 96 MiB."""
    home.path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(home.path)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs a small file system, which only root may mount")
    yield home.path
    for process in home.running:
        process.kill()
        process.wait()
    subprocess.run(["umount", "--lazy", str(home.path)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all room that is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)) == 4096:
                pass
        except OSError:
            pass
    assert shutil.disk_usage(folder).free < LEFT
    return filler


def test_on_a_full_disk_a_profit_is_still_taken_and_nothing_is_lost(
    replay: Callable[..., Any], home: Any, helpers: Any, small_disk: Path
) -> None:
    gateway = replay(helpers.story(profit_after_s=120), speed=1)
    home.settle(gateway, lake={"min_free_mb": 20})
    daemon = home.start()
    helpers.wait_until(lambda: told(home).get("positions") == 1, 30, "adopted")
    assert not of_lake(home)["entries_stopped"]
    filler = fill(small_disk)
    helpers.wait_until(lambda: of_lake(home).get("entries_stopped"), 20, "entries stop")
    gateway.ask("speed", speed=60)
    helpers.wait_until(lambda: not gateway.holdings(), 60, "the profit is taken all the same")
    helpers.wait_until(lambda: of_lake(home).get("flush_error"), 30, "and no flush goes through")
    assert "free space on its disk" in of_lake(home)["flush_error"]
    assert "NO ENTRIES  the disk is nearly full" in home.ask("status").stdout
    decided = rows(home, "decisions")
    assert set(rows(home, "alerts").filter(pl.col("severity") == "critical")["kind"]) == {
        "lake",
        "lake_pressure",
    }
    assert decided["kind"].to_list() == ["decision"]

    filler.unlink()
    helpers.wait_until(lambda: of_lake(home).get("entries_stopped") is False, 30, "entries resume")
    helpers.wait_until(lambda: of_lake(home).get("flush_error", "") is None, 30, "flushed again")
    said = helpers.stop(daemon)
    assert "nothing new is opened, protection goes on: the disk is nearly full" in said
    assert "the lake is well again" in said
    assert "nothing is sent" not in said, "no commit was refused"
    helpers.assert_closed_once(gateway, home)
    stops = rows(home, "breaker")
    assert stops["event"].to_list() == ["lake_stop", "lake_release"]
    assert set(stops["state"]) == {"armed"}
    lake = LakeReader.open(home.path)
    unflushed = sum(info.rows for info in lake.tables()) - sum(
        pl.read_delta(str(home.path / "lake" / info.name)).height
        for info in lake.tables()
        if info.version is not None
    )
    assert unflushed == 0, "every row is in Delta"


def test_what_cannot_be_printed_on_a_full_disk_stops_nobody() -> None:
    console = Console(io.TextIOWrapper(io.FileIO("/dev/full", "w")))
    for _ in range(10_000):
        console.say("order opt-1 sent")


def test_on_a_disk_that_takes_no_byte_nothing_is_sent_and_it_is_said_once(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    gateway = replay(helpers.story(profit_after_s=120), speed=1)
    home.settle(gateway)
    daemon = home.start()
    helpers.wait_until(lambda: told(home).get("positions") == 1, 30, "adopted")
    # A file system with open files cannot be made read-only by hand; this refuses the same writes.
    _, hard = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (0, hard))
    gateway.ask("speed", speed=60)
    helpers.wait_until(lambda: gateway.ask("status")["time"] > "2026-03-02T15:06", 60, "past the profit")
    helpers.wait_until(lambda: "refused" in of_lake(home).get("pressure", {}), 20, "entries stop")
    assert gateway.orders() == []
    halted = home.ask("halt", "--reason", "full disk")
    assert (halted.returncode, halted.stdout) == (1, "")
    assert "trading is halted, but not recorded: cannot write to the journal" in halted.stderr
    assert told(home)["breaker"]["state"] == "halted", "it holds all the same"
    assert daemon.poll() is None
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (hard, hard))
    helpers.wait_until(lambda: not gateway.holdings(), 60, "writable again, the profit is taken")
    helpers.wait_until(lambda: of_lake(home).get("entries_stopped") is False, 30, "entries resume")
    said = helpers.stop(daemon)
    assert said.count("nothing is sent until this is solved") == 1
    assert "Traceback" not in said
    assert "human_halt" in rows(home, "breaker")["event"].to_list(), "and it is written down after all"
    helpers.assert_closed_once(gateway, home)


def test_short_of_room_a_roll_closes_and_does_not_open(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    """Its limit is more than any disk has, so the disk is nearly full all the time."""
    story = helpers.story(expiry=date(2026, 3, 20), later_expiry=date(2026, 4, 17), profit_after_s=9999)
    gateway = replay(story)
    home.settle(gateway, lake={"min_free_mb": 10**12})
    daemon = home.start()
    helpers.wait_until(lambda: not gateway.holdings(), 90, "closed")
    helpers.wait_until(
        lambda: "refused" in set(rows(home, "intents")["state"]), 60, "the opening is refused by its gates"
    )
    breaker = told(home)["breaker"]
    assert (breaker["state"], breaker["actor"]) == ("armed", ""), "the owner's brake was not touched"
    assert home.ask("halt", "--reason", "lunch").returncode == 0
    daemon.kill()
    daemon.wait()
    refused = rows(home, "intents").filter(pl.col("state") == "refused")
    assert "lake: the disk is nearly full" in refused["reason"][0]
    assert "halted" not in refused["reason"][0]

    home.settle(gateway, lake={"min_free_mb": 0})
    again = home.start()
    helpers.wait_until(lambda: told(home).get("breaker", {}).get("reason") == "lunch", 30, "up")
    helpers.wait_until(lambda: rows(home, "breaker").height == 3, 30, "the stop ends, the halt stays")
    helpers.stop(again)
    assert rows(home, "breaker")["event"].to_list() == ["lake_stop", "human_halt", "lake_release"]
    assert rows(home, "breaker")["state"].to_list() == ["armed", "halted", "halted"]

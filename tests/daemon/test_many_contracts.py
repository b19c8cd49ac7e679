"""More contracts than lines: never over budget by the gateway's own count, and everybody has his turn."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lake import LakeReader
from tests.daemon.many_contracts import START, Account

QUIET = "version: 1\nrules:\n  - id: at_the_end\n    priority: 1\n    when: dte <= 1d\n    do: close\n"
SMALL = Account(underlyings=6, condors=12, near=1, live=2)
LARGE = Account(underlyings=50, condors=25, near=2, live=3)

Prepare = Callable[..., Any]


@pytest.fixture
def prepare(start_gateway: Callable[..., Any], home: Any, tmp_path: Path) -> Prepare:
    """Starts a gateway with that account, and a home whose daemon has so many lines."""

    def begin(account: Account, budget: int, speed: float) -> Any:
        script, positions = account.write(tmp_path)
        files = ("--quotes", str(script), "--positions", str(positions))
        gateway = start_gateway(
            "--market", "script", *files, "--start", f"{START:%FT%T%z}", "--speed", str(speed)
        )
        sync = {"line_budget": budget, "stale_after_s": 3600, "flush_every_s": 1, "record_every_s": 30}
        ports = {"port": gateway.port, "control_port": gateway.control_port}
        home.settle(gateway, sync=sync, broker={**ports, "connect_timeout_s": 60})
        (home.path / "rules.yaml").write_text(QUIET)
        account.remember(home.path)
        return gateway

    return begin


def queue(home: Any) -> pl.DataFrame:
    return LakeReader.open(home.path).table("queue").sort("seq", maintain_order=True).collect()


def visited(home: Any) -> int:
    return queue(home).filter(pl.col("visited").is_not_null())["con_id"].n_unique()


def newest(home: Any) -> pl.DataFrame:
    return queue(home).unique("item", keep="last", maintain_order=True)


def first_round_s(home: Any) -> float:
    """From the first visit until everybody has had one."""
    seen = queue(home).filter(pl.col("visited").is_not_null())
    first = seen.unique("item", keep="first", maintain_order=True)["visited"]
    return float((first.max() - first.min()).total_seconds())


def facts(home: Any) -> pl.DataFrame:
    rows = LakeReader.open(home.path).table("facts").sort("seq", maintain_order=True).collect()
    return rows.unique("position", keep="last", maintain_order=True)


def check(account: Account, budget: int, gateway: Any, home: Any, helpers: Any, within_s: float) -> None:
    """What holds once everybody was visited; `within_s` of real time is the test's patience."""
    daemon = home.start()
    helpers.wait_until(lambda: gateway.ask("status")["lines"], within_s, "connected")
    helpers.wait_until(lambda: LakeReader.open(home.path).table("queue").collect().height, within_s, "queued")
    waiting = newest(home).filter(pl.col("state") != "gone").height
    helpers.wait_until(lambda: visited(home) >= waiting, within_s, f"all of {waiting} were visited")
    status, there = home.status(), gateway.ask("status")
    told = helpers.stop(daemon)

    assert max(there["most_lines"].values()) <= budget, "never over budget, by the gateway's own count"
    assert status["lines"]["used"] <= budget - status["lines"]["reserve"], "no order is at work"
    assert status["queue"]["parked"] == 0, told
    assert status["queue"]["active"] == 4 * account.live
    assert status["queue"]["strategies"] == ["condors"]
    took_s, stated_s = first_round_s(home), status["queue"]["turn_s"]
    print(f"{waiting} contracts were visited within {took_s:.0f} s (stated {stated_s:.0f} s), "
          f"{max(there['most_lines'].values())} lines at most (budget {budget})")  # fmt: skip
    assert took_s <= stated_s

    seen = facts(home)
    assert seen.height == account.underlyings * account.condors
    ours = seen.filter(pl.col("strategy") == "condors")
    assert set(ours["quote_state"]) == {"live"}, "contracts of live strategies have lines of their own"
    assert set(seen["quote_state"]) == {"live", "modelled"}, "nobody is unknown"
    assert seen["underlying_price"].null_count() == 0
    assert seen["delta_usd"].null_count() == 0
    registry = LakeReader.open(home.path).table("strategy_registry").collect()
    assert set(registry["con_id"]) == {one.con_id for one in account.strategic}


@pytest.mark.slow
def test_three_hundred_contracts_take_turns_on_a_third_of_thirty_lines(
    prepare: Prepare, home: Any, helpers: Any
) -> None:
    gateway = prepare(SMALL, budget=30, speed=5)
    check(SMALL, 30, gateway, home, helpers, within_s=90)


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_five_thousand_contracts_on_fifty_underlyings_take_turns_on_ten_of_ninety_lines(
    prepare: Prepare, home: Any, helpers: Any
) -> None:
    gateway = prepare(LARGE, budget=90, speed=1)
    assert len(LARGE.held) == 5000
    check(LARGE, 90, gateway, home, helpers, within_s=1200)


@pytest.mark.slow
def test_killed_in_the_middle_the_queue_loses_and_doubles_nobody_and_goes_on_where_it_was(
    prepare: Prepare, home: Any, helpers: Any
) -> None:
    prepare(SMALL, budget=30, speed=2)
    killed = home.start()
    helpers.wait_until(lambda: visited(home) >= 60, 90, "some were visited")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = newest(home).filter(pl.col("state") != "gone")
    had_turn = set(before.filter(pl.col("visited").is_not_null())["con_id"])
    again = home.start()
    helpers.wait_until(lambda: (home.status() or {}).get("pid") == again.pid, 60, "it is up")
    helpers.wait_until(lambda: visited(home) >= before.height, 90, "everybody else was visited")
    status = home.status()
    helpers.stop(again)

    after = newest(home).filter(pl.col("state") != "gone")
    assert set(after["state"]) == {"waiting"}
    assert set(after["con_id"]) | streams(home) >= set(before["con_id"]), "nobody is lost"
    assert status["queue"]["contracts"] == after.height == after["con_id"].n_unique(), "nobody is doubled"
    assert set(after["con_id"]).isdisjoint(streams(home))
    # Who had a line for a while, as the ranking was after the start, begins to wait anew.
    left = queue(home).filter(pl.col("state") == "gone")
    stayed = after.filter(pl.col("con_id").is_in(list(had_turn))).join(left, on="con_id", how="anti")
    kept = stayed.join(before, on="con_id")
    assert kept.height > 40
    assert (kept["queued"] == kept["queued_right"]).all(), "they went on where they were"


def streams(home: Any) -> set[int]:
    """Contracts that have a line of their own now: they left the queue."""
    return set(newest(home).filter(pl.col("state") == "gone")["con_id"])

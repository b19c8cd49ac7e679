"""The breaker in the life of real daemons: a losing day, a lost link, rejected orders, and fear."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import polars as pl
import pytest

from lake import LakeReader
from tests.daemon.conftest import assert_never_naked

NEVER = """version: 1
rules:
  - {id: never, priority: 1, when: dte < 0d, do: close}
"""
HELD = {101: 2, 102: -2, 103: -2, 104: 2}


def rows(home: Any, table: str) -> pl.DataFrame:
    return LakeReader.open(home.path).table(table).sort("seq", maintain_order=True).collect()


def told(home: Any) -> dict[str, Any]:
    """What the daemon says of itself; asked over its API, which spares a process each time."""
    try:
        port = json.loads((home.path / "control.json").read_text())["port"]
        answer: dict[str, Any] = httpx.get(f"http://127.0.0.1:{port}/status", timeout=5).json()
    except (OSError, ValueError, httpx.HTTPError):
        return {}
    return answer


def state(home: Any) -> str | None:
    mode: str | None = told(home).get("breaker", {}).get("state")
    return mode


def events(home: Any) -> list[tuple[str, str]]:
    frame = rows(home, "breaker")
    return list(zip(frame["event"], frame["state"], strict=True))


@pytest.mark.timeout(180)
def test_a_losing_day_trips_then_closes_everything_and_waits_for_a_human(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    """The condor costs twice, then four times its credit: 0.3 % and 0.8 % of the account."""
    gateway = replay(helpers.story(left=1.0, course=((30, 2.0), (75, 4.0))))
    limits = {
        "daily_loss": 0.002,
        "daily_loss_flatten": 0.006,
        "loss_s": 10.0,
        "vix_rise": 0.0,
        "half_open_min": 1,
    }
    home.settle(gateway, breaker=limits)
    (home.path / "rules.yaml").write_text(NEVER)
    daemon = home.start()
    helpers.wait_until(lambda: not gateway.holdings(), 90, "everything is closed")
    helpers.wait_until(lambda: len(events(home)) == 3, 30, "and it halts")
    assert events(home) == [("daily_loss", "tripped"), ("flatten", "flattening"), ("flat", "halted")]
    intents = rows(home, "intents")
    assert {json.loads(order)["rule"] for order in intents["order"]} == {"breaker"}
    closings = rows(home, "decisions").filter(
        pl.col("position").is_not_null() & (pl.col("kind") == "decision")
    )
    assert set(closings["rule"]) == {"breaker"}
    assert set(intents["decision"]) <= set(closings["decision"]), "no order without its reason"
    flattening = rows(home, "breaker").filter(pl.col("state") == "flattening")["seq"].item()
    assert intents["seq"].min() >= flattening, "its reason was on disk before"
    assert "the breaker is flattening" in closings["explanation"][0]
    assert_never_naked(gateway, dict(HELD))

    shown = home.ask("breaker").stdout
    assert shown.startswith("halted by breaker since ")
    assert "daily_loss        STANDS  loss of the day" in shown
    assert "human_reset       → half_open" in shown
    assert re.search(r"flat +flattening → halted +breaker: nothing is held", shown)
    assert home.json("reset", "--reason", "lesson learned")["state"] == "half_open"
    stands = home.json("breaker")
    assert {"daily_loss", "flatten"} <= set(stands["waits_for"])
    assert stands["next"]["timer_elapsed"] == "armed"
    said = helpers.stop(daemon)
    assert "breaker armed → tripped on daily_loss by breaker: loss of the day" in said
    assert "Traceback" not in said
    kinds = set(rows(home, "alerts").filter(pl.col("kind") == "breaker")["severity"])
    assert kinds == {"critical", "info"}
    again = home.ask("replay", "--since", "2026-03-02T00:00:00", "--json")
    assert (again.returncode, json.loads(again.stdout)["counts"]["same"]) == (
        0,
        rows(home, "decisions").height,
    )
    assert home.json("breaker")["state"] == "half_open", "also while no daemon runs"


@pytest.mark.timeout(180)
def test_what_cannot_be_priced_is_not_flattened_blindly_and_a_halt_ends_it(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    gateway = replay(helpers.story(silent_leg=101))
    home.settle(gateway, breaker={"stale_s": 5.0, "flatten_on": ["data_stale"]})
    daemon = home.start()
    helpers.wait_until(lambda: state(home) == "flattening", 60, "it flattens")
    helpers.wait_until(lambda: len(events(home)) == 2, 30, "and that is written down")
    assert events(home) == [("data_stale", "tripped"), ("flatten", "flattening")]
    kinds = helpers.wait_until(
        lambda: {"breaker_cannot_close"} & set(rows(home, "alerts")["kind"]), 30, "somebody must know"
    )
    assert kinds
    assert home.ask("reset", "--reason", "hm").stdout == (
        "trading is flattening: a reset does not end it; optiond halt does\n"
    )
    assert home.ask("halt", "--reason", "by hand then").stdout == "trading is halted\n"
    helpers.stop(daemon)
    assert gateway.orders() == []
    vetoes = rows(home, "decisions").filter((pl.col("rule") == "breaker") & (pl.col("kind") == "veto"))
    assert vetoes.height == 1, "not on every cycle"
    assert "not every leg has a live two-sided quote" in vetoes["reason"][0]


@pytest.mark.timeout(180)
def test_a_halt_while_no_daemon_runs_takes_the_closings_of_a_flattening_back(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    gateway = replay(helpers.story(left=1.0, course=((30, 4.0),)))
    gateway.ask("fault", name="hold_fills")
    home.settle(gateway, breaker={"daily_loss_flatten": 0.006, "loss_s": 5.0, "vix_rise": 0.0})
    (home.path / "rules.yaml").write_text(NEVER)
    daemon = home.start()
    helpers.wait_until(lambda: told(home).get("open_intents"), 90, "it is being closed")
    helpers.stop(daemon)
    assert home.ask("halt", "--reason", "I do it").stdout.startswith("trading is halted")
    daemon = home.start()
    helpers.wait_until(lambda: told(home).get("open_intents") == 0, 30, "taken back")
    helpers.stop(daemon)
    assert rows(home, "intents")["state"][-1] == "cancelled"
    assert gateway.holdings() == HELD


@pytest.mark.timeout(180)
def test_a_lost_link_and_rejected_orders_trip_and_protection_goes_on(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    gateway = replay(helpers.story(profit_after_s=1800, minutes=60), speed=30)
    home.settle(gateway, breaker={"broker_down_s": 30.0, "rejects": 1, "vix_rise": 0.0, "half_open_min": 0})
    daemon = home.start()
    helpers.wait_until(lambda: told(home).get("positions") == 1, 30, "adopted")
    gateway.ask("fault", name="connectivity", code=1100)
    helpers.wait_until(lambda: state(home) == "tripped", 60, "no link for too long")
    gateway.ask("fault", name="connectivity", code=1102)
    helpers.wait_until(lambda: told(home)["connection"]["state"] == "up", 30, "back")
    assert state(home) == "tripped", "that the link is back resets nothing"
    assert home.ask("reset", "--reason", "it was the router").stdout.startswith("trading is half_open")
    helpers.wait_until(lambda: state(home) == "armed", 60, "calm for a minute, and armed")
    gateway.ask("fault", name="reject")
    gateway.ask("speed", speed=300)
    helpers.wait_until(lambda: state(home) == "tripped", 90, "an order was rejected")
    helpers.wait_until(lambda: not gateway.holdings(), 90, "tripped, it takes the profit all the same")
    helpers.stop(daemon)
    assert events(home) == [
        ("broker_down", "tripped"),
        ("human_reset", "half_open"),
        ("timer_elapsed", "armed"),
        ("reject_burst", "tripped"),
    ]
    assert rows(home, "breaker")["doubt"].to_list() == [""] * 4


@pytest.fixture
def frightened(home: Any) -> Iterator[Any]:
    """A home whose built-in market opens 5 % lower on the second day."""
    home.path.mkdir()
    (home.path / "optiond.toml").write_text(
        '[simulation]\nscenario = "gap"\nspeed = 20000.0\n[control]\nport = 0\n'
    )
    yield home


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_market_that_opens_in_fear_trips_the_vix_shock(frightened: Any, helpers: Any) -> None:
    daemon = frightened.start()
    helpers.wait_until(lambda: state(frightened) == "tripped", 400, "the second day opens")
    helpers.stop(daemon)
    event, mode = events(frightened)[0]
    assert (event, mode) == ("vix_shock", "tripped")
    assert "VIX +" in rows(frightened, "breaker")["reason"][0]

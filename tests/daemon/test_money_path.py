"""The promises on real processes: kills lose nothing, what was done is not done again."""

import json
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

import rules
from lake import LakeReader
from rules import Rulebook, RuleState
from rules.facts import CATALOGUE
from sync.facts import FACTS_SCHEMA

pytestmark = [pytest.mark.slow]

SEED = 20261121
KILLS = 8


def rows(home: Any, table: str) -> pl.DataFrame:
    return LakeReader.open(home.path).table(table).sort("seq").collect()


def brake(home: Any, path: str, **body: Any) -> None:
    port = json.loads((home.path / "control.json").read_text())["port"]
    secret = (home.path / "control.token").read_text().strip()
    body = {"reason": "drill", "actor": "test", **body}
    headers = {"Authorization": f"Bearer {secret}"}
    assert httpx.post(f"http://127.0.0.1:{port}{path}", json=body, headers=headers, timeout=10).is_success


def test_eight_kills_at_random_instants_of_one_close_lose_and_double_nothing(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    """Each daemon lives a random while after it has its picture; the gateway runs on through all of them."""
    gateway = replay(helpers.story(minutes=240, profit_after_s=60), speed=10)
    home.settle(gateway)
    instants = random.Random(SEED)
    lived = []
    for _ in range(KILLS):
        gateway.ask("fault", name="hold_fills", on=len(lived) < KILLS // 2)
        daemon = home.start()
        helpers.wait_until(lambda: gateway.ask("status")["clients"], 30, "connected")
        lived.append(round(instants.uniform(0.0, 1.5), 3))
        time.sleep(lived[-1])
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
    print(f"seed {SEED}: killed after {lived} s")
    gateway.ask("fault", name="hold_fills", on=False)
    last = home.start()
    helpers.wait_until(lambda: not gateway.holdings(), 60, "closed")
    helpers.wait_until(lambda: "settled" in set(rows(home, "intents")["state"]), 30, "settled")
    helpers.wait_until(lambda: (home.status() or {}).get("pid") == last.pid, 30, "the last one is up")
    helpers.stop(last)
    helpers.assert_closed_once(gateway, home)


def test_half_is_taken_once_even_when_the_whole_was_vetoed_meanwhile(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    """55 % takes half of four lots; 85 % is met frozen and vetoed; back at 55 % no half is taken again."""
    course = ((200.0, 0.15), (400.0, 0.45))
    gateway = replay(helpers.story(lots=4, left=0.45, course=course), speed=40)
    home.settle(gateway)
    daemon = home.start()
    helpers.wait_until(
        lambda: 102 in gateway.holdings() and gateway.holdings()[102] == -2, 60, "half is closed"
    )
    brake(home, "/halt", freeze=True)
    helpers.wait_until(lambda: "veto" in set(rows(home, "decisions")["kind"]), 60, "the whole is vetoed")
    back = (datetime(2026, 3, 2, 15, tzinfo=UTC) + timedelta(seconds=410)).isoformat()
    helpers.wait_until(lambda: gateway.ask("status")["time"] > back, 60, "55 % again")
    brake(home, "/resume")
    helpers.wait_until(
        lambda: gateway.ask("status")["time"] > back.replace("06:50", "08:20"), 60, "the rules had their time"
    )
    helpers.stop(daemon)
    assert gateway.holdings()[102] == -2
    assert [o["quantity"] for o in gateway.orders()] == [2]


def test_a_restart_while_frozen_cancels_what_still_works(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    gateway = replay()
    gateway.ask("fault", name="hold_fills")
    home.settle(gateway)
    daemon = home.start()
    helpers.wait_until(lambda: any(o["status"] == "Submitted" for o in gateway.orders()), 60, "it works")
    daemon.send_signal(signal.SIGKILL)
    daemon.wait()
    assert home.ask("halt", "--freeze", "--reason", "found dead").returncode == 0
    again = home.start()
    helpers.wait_until(lambda: [o["status"] for o in gateway.orders()] == ["Cancelled"], 60, "cancelled")
    helpers.wait_until(lambda: "cancelled" in set(rows(home, "intents")["state"]), 30, "taken down")
    helpers.stop(again)
    assert len(gateway.orders()) == 1
    (reason,) = rows(home, "intents").filter(pl.col("state") == "cancelled")["reason"]
    assert "frozen: found dead" in reason


def test_while_the_lake_refuses_nothing_is_decided_nor_sent(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    gateway = replay(helpers.story(profit_after_s=100))
    home.settle(gateway)
    daemon = home.start()
    helpers.wait_until(lambda: (home.status() or {}).get("positions") == 1, 30, "adopted")
    with closing(sqlite3.connect(home.path / "journal.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        log = home.path / "logs" / "optiond.jsonl"
        helpers.wait_until(lambda: "lake.refused" in log.read_text(), 60, "it could not be written")
        beats = home.status()["beat"]["count"]
        helpers.wait_until(
            lambda: home.status()["beat"]["count"] > beats, 60, "one more cycle, now that the profit is there"
        )
        assert gateway.orders() == []
        other.execute("ROLLBACK")
    helpers.wait_until(lambda: not gateway.holdings(), 60, "closed")
    helpers.wait_until(lambda: "settled" in set(rows(home, "intents")["state"]), 30, "settled")
    helpers.stop(daemon)
    assert rows(home, "intents")["intent"].n_unique() == 1
    helpers.assert_closed_once(gateway, home)


def test_one_lot_in_half_profit_still_obeys_the_rules_below(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    """One lot cannot be halved: that veto must not stand in the way of the roll for ever."""
    expiries = {"expiry": date(2026, 3, 20), "later_expiry": date(2026, 4, 17)}
    story = helpers.story(lots=1, left=0.45, profit_after_s=0, **expiries)
    gateway = replay(story)
    home.settle(gateway)
    daemon = home.start()
    helpers.wait_until(
        lambda: home.status() and "rolled" in set(rows(home, "strategies")["event"]), 60, "rolled"
    )
    helpers.stop(daemon)
    kinds = rows(home, "decisions").filter(pl.col("rule") == "take_profit")["kind"].to_list()
    assert kinds == ["veto"]


def test_every_decision_is_reached_again_from_the_lake_alone(finished: Any, tmp_path: Path) -> None:
    """Facts, book facts, state before the step, time and revision are all in the lake, to the last bit."""
    reader = LakeReader.open(finished.home)
    decisions = reader.table("decisions").collect()
    texts = dict(reader.table("rules_revisions").collect().select("revision", "text").iter_rows())
    assert decisions.height
    for row in decisions.iter_rows(named=True):
        assert replayed(row, rulebook(texts[row["rules_revision"]], tmp_path)) == {
            name: row[name]
            for name in ("rule", "priority", "action", "params", "urgency", "fired", "unknown")
        }


def test_the_book_rule_reduces_lot_by_lot_and_its_decisions_can_be_replayed_too(
    replay: Callable[..., Any], home: Any, helpers: Any, tmp_path: Path
) -> None:
    text = rules.default_rules_path().read_text()
    text = text.replace("in_total: 20", "in_total: 0").replace("        book_positions: 3\n", "")
    gateway = replay(helpers.story(profit_after_s=9999))
    home.settle(gateway)
    (home.path / "rules.yaml").write_text(text)
    daemon = home.start()
    helpers.wait_until(lambda: not gateway.holdings(), 60, "reduced to nothing")
    helpers.wait_until(lambda: (rows(home, "intents")["state"] == "settled").sum() == 2, 30, "settled")
    helpers.stop(daemon)
    assert [(o["status"], o["quantity"]) for o in gateway.orders()] == [("Filled", 1)] * 2
    acted = rows(home, "decisions").filter(pl.col("kind") == "decision")
    assert acted["rule"].to_list() == ["portfolio_limits"] * 2
    for row in acted.iter_rows(named=True):
        again = replayed({**row, "position": ""}, rulebook(text, tmp_path))
        assert (again["rule"], again["action"], again["params"]) == (
            "portfolio_limits", "block_entries", '{"then": "reduce_largest"}'
        )  # fmt: skip


def rulebook(text: str, folder: Path) -> Rulebook:
    path = folder / "rules.yaml"
    path.write_text(text)
    return rules.load(path)


def replayed(row: dict[str, Any], book: Rulebook) -> dict[str, Any]:
    """What `rules.step` decides for one recorded decision."""
    seen = json.loads(row["facts"])
    of_book = {fact.name for fact in CATALOGUE if fact.scope == "book"}
    of_position = {name: value for name, value in seen.items() if name not in of_book}
    facts = pl.DataFrame([of_position], schema=FACTS_SCHEMA)
    market = {name: seen[name] for name in of_book if name in seen}
    _, verdicts = rules.step(book, RuleState.from_json(row["state"]), facts, market, row["time"])
    (verdict,) = verdicts.filter(pl.col("position") == row["position"]).iter_rows(named=True)
    names = ("rule", "priority", "action", "params", "urgency", "fired", "unknown")
    return {name: verdict[name] for name in names}


def test_a_close_larger_than_what_is_shown_fills_in_parts_and_is_settled_once(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    """The recorded market shows ten contracts: of twelve lots two must wait for the next quote."""
    gateway = replay(helpers.story(lots=12))
    home.settle(gateway)
    daemon = home.start()
    helpers.wait_until(lambda: not gateway.holdings(), 60, "closed")
    helpers.wait_until(lambda: "settled" in set(rows(home, "intents")["state"]), 30, "settled")
    helpers.stop(daemon)
    assert [e["quantity"] for e in gateway.executions() if e["is_combo"]] == [10, 2]
    assert [(o["status"], o["filled"]) for o in gateway.orders()] == [("Filled", 12)]
    fills = rows(home, "fills").filter(pl.col("is_combo"))
    assert fills["quantity"].to_list() == [10.0, 2.0]
    assert rows(home, "strategies").filter(pl.col("event") == "closed").height == 1

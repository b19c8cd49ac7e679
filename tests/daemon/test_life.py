"""What a daemon lives through: drops, halts, edited rules, missing quotes, a roll."""

import json
import signal
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

import rules
from lake import LakeReader

pytestmark = [pytest.mark.slow]


def rows(home: Any, table: str) -> pl.DataFrame:
    return LakeReader.open(home.path).table(table).sort("seq").collect()


def said(home: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (home.path / "logs" / "optiond.jsonl").read_text().splitlines()]


def call(home: Any, method: str, path: str, body: Any = None, token: str | None = None) -> httpx.Response:
    port = json.loads((home.path / "control.json").read_text())["port"]
    secret = (home.path / "control.token").read_text().strip() if token is None else token
    headers = {"Authorization": f"Bearer {secret}"}
    return httpx.request(method, f"http://127.0.0.1:{port}{path}", json=body, headers=headers, timeout=10)


def test_one_correlation_id_leads_from_the_decision_to_the_fills(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    gateway = replay()
    home.settle(gateway)
    daemon = home.start()
    helpers.wait_until(lambda: not gateway.holdings(), 60, "closed")
    helpers.wait_until(lambda: any(e["event"] == "intent.settled" for e in said(home)), 30, "settled")
    metrics = call(home, "GET", "/metrics").text
    told = helpers.stop(daemon)
    decision = rows(home, "decisions")["decision"].item()
    chain = [e["event"] for e in said(home) if e.get("decision") == decision]
    assert chain[0] == "decision.decision"
    assert {"intent.intended", "intent.sent", "intent.filled", "intent.settled", "fill.taken_in"} <= set(
        chain
    )
    assert rows(home, "intents")["decision"].unique().to_list() == [decision]
    assert set(rows(home, "fills")["order_ref"]) == set(rows(home, "intents")["intent"])
    for line in ("connected to the simulated gateway", "adopted XYZ", "rules rules.yaml: 12 rules", "fill"):
        assert line in told
    assert 'optiond_decisions_total{kind="decision",rule="take_profit"} 1.0' in metrics
    assert "optiond_link_up 1.0" in metrics
    assert "stopped cleanly" in told


def test_a_dropped_connection_is_taken_up_again_and_the_work_goes_on(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    gateway = replay(helpers.story(profit_after_s=120))
    home.settle(gateway)
    daemon = home.start()
    helpers.wait_until(lambda: (home.status() or {}).get("positions") == 1, 30, "adopted")
    gateway.ask("fault", name="drop")
    helpers.wait_until(lambda: not gateway.holdings(), 90, "closed after the drop")
    told = helpers.stop(daemon)
    assert told.count("connection up") >= 2
    assert rows(home, "strategies").filter(pl.col("event") == "adopted").height == 1, "adopted once only"
    assert [o["status"] for o in gateway.orders()] == ["Filled"]


def test_a_start_without_the_journal_of_its_lake_says_what_is_lost_and_alerts(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    home.settle(replay(helpers.story(profit_after_s=3000)))
    daemon = home.start()
    helpers.wait_until(lambda: (home.status() or {}).get("positions") == 1, 30, "adopted")
    helpers.stop(daemon)
    for path in home.path.glob("journal.sqlite*"):
        path.unlink()
    said_of_it = home.ask("positions")
    assert said_of_it.returncode == 1
    assert f"the journal {home.path / 'journal.sqlite'} is missing beside its lake" in said_of_it.stderr
    again = home.start()
    helpers.wait_until(lambda: (home.status() or {}).get("positions") == 1, 30, "it goes on")
    told = helpers.stop(again)
    assert "The journal was missing: what was committed after seq" in told
    (alert,) = rows(home, "alerts").filter(pl.col("kind") == "journal").to_dicts()
    assert alert["severity"] == "critical"
    assert "a backup may have it" in alert["text"]


def test_a_gateway_that_was_killed_is_found_again_when_it_is_back(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    story = helpers.story(profit_after_s=300)
    gateway = replay(story)
    home.settle(gateway)
    daemon = home.start()
    helpers.wait_until(lambda: (home.status() or {}).get("positions") == 1, 30, "adopted")
    gateway.process.kill()
    gateway.process.wait()
    helpers.wait_until(lambda: home.status()["connection"]["state"] != "up", 30, "noticed")
    assert daemon.poll() is None
    back = replay(story, port=gateway.port, control_port=gateway.control_port)
    helpers.wait_until(lambda: not back.holdings(), 120, "closed after the gateway came back")
    helpers.stop(daemon)
    assert [o["status"] for o in back.orders()] == ["Filled"]


def test_a_halt_cancels_what_works_and_a_freeze_sends_nothing(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    gateway = replay()
    gateway.ask("fault", name="hold_fills", on=True)
    home.settle(gateway)
    daemon = home.start()
    helpers.wait_until(
        lambda: any(o["status"] == "Submitted" for o in gateway.orders()), 60, "an order works"
    )
    assert call(home, "POST", "/halt", {"reason": "x", "actor": "t"}, token="wrong").status_code == 401
    body = {"reason": "fire drill", "actor": "test", "freeze": True}
    assert call(home, "POST", "/halt", body).json()["state"] == "frozen"
    helpers.wait_until(lambda: all(o["status"] == "Cancelled" for o in gateway.orders()), 30, "cancelled")
    gateway.ask("fault", name="hold_fills", on=False)
    sent = len(gateway.orders())
    helpers.wait_until(
        lambda: "veto" in set(rows(home, "decisions")["kind"]), 60, "the rules still want it, and are refused"
    )
    assert len(gateway.orders()) == sent
    assert call(home, "GET", "/status").json()["breaker"]["reason"] == "fire drill"
    helpers.stop(daemon)

    again = home.start()
    helpers.wait_until(lambda: (home.status() or {}).get("positions") == 1, 30, "up again")
    assert home.status()["breaker"]["state"] == "frozen", "a restart does not release the brake"
    answer = call(home, "POST", "/resume", {"reason": "done", "actor": "test"}).json()
    assert answer["state"] == "half_open"
    helpers.wait_until(lambda: not gateway.holdings(), 90, "resumed and closed")
    helpers.stop(again)
    assert rows(home, "breaker")["state"].to_list() == ["frozen", "half_open"]


def test_a_saved_edit_is_taken_up_and_a_wrong_one_is_not(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    gateway = replay(helpers.story(left=0.55, profit_after_s=0))
    home.settle(gateway)
    text = rules.default_rules_path().read_text()
    file = home.path / "rules.yaml"
    quiet = text.replace("params: {full: 80%, half: 50%}", "params: {full: 80%, half: 60%}")
    quiet = quiet.replace("{profit: 50%}\n", "{profit: 60%}\n")
    file.write_text(quiet)
    daemon = home.start()
    helpers.wait_until(lambda: (home.status() or {}).get("positions") == 1, 30, "adopted")
    before = home.status()["rules"]["revision"]

    file.write_text(text.replace("when: dte <= $last", "when: dte <= $lost"))
    error = helpers.wait_until(lambda: home.status()["rules"]["error"], 30, "the wrong file is named")
    assert "rules.yaml" in error
    assert "$lost" in error or "lost" in error
    assert home.status()["rules"]["revision"] == before
    assert not gateway.orders()

    eager = text.replace("params: {full: 80%, half: 50%}", "params: {full: 40%, half: 30%}")
    eager = eager.replace("{profit: 49.9%}", "{profit: 29%}").replace(
        "{profit: 39.9%, reg", "{profit: 29%, reg"
    )
    file.write_text(eager)
    helpers.wait_until(lambda: not gateway.holdings(), 90, "the new rules close it")
    helpers.stop(daemon)
    acted = rows(home, "decisions")
    assert acted["rules_revision"].to_list() == [rules.load(file).revision]
    assert rows(home, "rules_revisions")["revision"].n_unique() == 2
    assert rows(home, "alerts").filter(pl.col("kind") == "rules").height == 1


def test_a_leg_without_quotes_is_shown_as_unknown_and_nothing_is_priced_from_it(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    """Even time_exit, which needs no quote to fire, cannot price its order: a veto, not an order."""
    story = helpers.story(expiry=date(2026, 3, 3), silent_leg=101)
    gateway = replay(story)
    home.settle(gateway)
    daemon = home.start()
    helpers.wait_until(
        lambda: home.status() and rows(home, "decisions").height, 60, "the rule fires and is vetoed"
    )
    helpers.wait_until(lambda: "unknown_facts" in set(rows(home, "alerts")["kind"]), 60, "an alert")
    helpers.stop(daemon)
    (held,) = home.json("positions")
    assert held["quote_state"] == "missing"
    for name in ("market_value_usd", "profit_usd", "profit", "delta", "gamma", "theta", "vega"):
        assert held[name] is None, name
    decided = rows(home, "decisions")
    assert set(zip(decided["rule"], decided["kind"], strict=True)) == {("time_exit", "veto")}
    assert "live two-sided quote" in decided["reason"][0]
    assert gateway.orders() == []


def test_a_roll_closes_first_then_opens_further_out(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    later = date(2026, 4, 17)
    gateway = replay(helpers.story(expiry=date(2026, 3, 20), later_expiry=later, profit_after_s=9999))
    home.settle(gateway)
    daemon = home.start()
    helpers.wait_until(
        lambda: rows(home, "strategies").filter(pl.col("event") == "opened").height if home.status() else 0,
        90,
        "rolled",
    )
    helpers.wait_until(lambda: (rows(home, "intents")["state"] == "settled").sum() == 2, 30, "both settled")
    helpers.stop(daemon)
    story = rows(home, "strategies").filter(pl.col("event") != "noted")
    assert story["event"].to_list() == ["adopted", "rolled", "opened"]
    old, new = story["position"][0], story["position"][2]
    assert story["rolled_from"][2] == old
    (held,) = home.json("positions")
    assert (held["id"], held["structure"], held["lots"], held["dte"]) == (new, "iron_condor", 2, 46)
    decided = rows(home, "decisions").filter(pl.col("kind") == "decision")
    assert decided["rule"].to_list() == ["dte_roll"], "one decision carries both halves"
    assert {leg["expiry"] for leg in held["legs"]} == {str(later)}
    assert {leg["con_id"]: leg["quantity"] for leg in held["legs"]} == gateway.holdings()
    naked = [e for e in gateway.executions() if not e["is_combo"]]
    assert len(naked) == 8
    last = rows(home, "intents").group_by("intent", maintain_order=True).last()
    assert last["kind"].to_list() == ["close", "open"]


def test_a_roll_that_may_not_open_ends_closed(replay: Callable[..., Any], home: Any, helpers: Any) -> None:
    """Halted, the daemon keeps protecting: the old expiry is closed, the new one is not opened."""
    story = helpers.story(expiry=date(2026, 3, 20), later_expiry=date(2026, 4, 17), profit_after_s=9999)
    gateway = replay(story)
    home.settle(gateway)
    assert home.ask("halt", "--reason", "no openings").returncode == 0
    daemon = home.start()
    helpers.wait_until(lambda: not gateway.holdings(), 90, "closed")
    helpers.wait_until(
        lambda: "refused" in set(rows(home, "intents")["state"]), 60, "the opening is refused by its gates"
    )
    helpers.stop(daemon)
    refused = rows(home, "intents").filter(pl.col("state") == "refused")
    assert "breaker: halted by" in refused["reason"][0]
    assert not gateway.holdings()
    assert rows(home, "alerts").filter(pl.col("kind") == "roll").height == 1


def test_ctrl_c_ends_it_cleanly_and_a_restart_continues(
    replay: Callable[..., Any], home: Any, helpers: Any, tmp_path: Path
) -> None:
    gateway = replay(helpers.story(profit_after_s=9999))
    home.settle(gateway)
    first = home.start()
    helpers.wait_until(lambda: (home.status() or {}).get("positions") == 1, 30, "adopted")
    told = helpers.stop(first)
    assert "stopped cleanly" in told
    (before,) = home.json("positions")
    second = home.start()
    helpers.wait_until(lambda: (home.status() or {}).get("positions") == 1, 30, "continues")
    second.send_signal(signal.SIGTERM)
    assert "1 positions" in second.communicate(timeout=10)[0]
    assert second.returncode == 0
    (after,) = home.json("positions")
    assert after["id"] == before["id"]
    assert rows(home, "strategies").filter(pl.col("event") == "adopted").height == 1


LIVE = "U7654321"


@pytest.mark.parametrize(
    "trading",
    [{}, {"live": True}, {"live_account": LIVE}, {"live": True, "live_account": "U1111111"}],
)
def test_a_live_account_is_refused_unless_both_settings_name_it(
    trading: dict[str, Any], replay: Callable[..., Any], home: Any
) -> None:
    gateway = replay(account=LIVE)
    home.settle(gateway, trading=trading)
    daemon = home.start()
    told, _ = daemon.communicate(timeout=60)
    assert daemon.returncode == 1
    assert f"account {LIVE} is live: nothing was sent" in told
    assert gateway.orders() == []


def test_a_live_account_that_both_settings_name_is_traded(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    gateway = replay(account=LIVE)
    home.settle(gateway, trading={"live": True, "live_account": LIVE})
    daemon = home.start()
    helpers.wait_until(lambda: not gateway.holdings(), 90, "closed")
    helpers.stop(daemon)

"""What the command line and the page read, from a real lake."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lake import TABLES, Column, Lake, LakeReader, facts_table, views
from options import LakeError

START = datetime(2026, 2, 4, 15, 0, tzinfo=UTC)
FACTS = facts_table(
    Column(name, pl.Float64(), name, null="not known")
    for name in (
        *("profit", "profit_usd", "market_value_usd", "delta", "theta_usd", "dte", "underlying_price"),
        *("last_profit", "last_profit_usd", "last_market_value_usd"),
    )
)
SCHEMAS = {**TABLES, "facts": FACTS}
LEGS = [
    {
        "con_id": con_id,
        "symbol": "IWM",
        "sec_type": "OPT",
        "expiry": "2026-03-20",
        "strike": strike,
        "right": right,
        "multiplier": 100,
        "quantity": quantity,
        "average_cost_usd": cost,
    }
    for con_id, right, strike, quantity, cost in (
        (1, "P", 235.0, 2, 194.45),
        (2, "P", 245.0, -2, 336.54),
        (3, "C", 282.0, -2, 139.45),
        (4, "C", 290.0, 2, 63.95),
    )
]
CONDOR = {
    "position": "P",
    "event": "adopted",
    "structure": "iron_condor",
    "underlying": "IWM",
    "lots": 2,
    "legs": json.dumps(LEGS),
    "net_credit_usd": 435.18,
    "max_profit_usd": 435.18,
    "max_loss_usd": 1564.82,
}
DECISION = {
    "decision": "d",
    "position": "P",
    "rule": "take_profit",
    "priority": 7,
    "action": "close",
    "kind": "decision",
    "urgency": "normal",
    "reason": "profit is at 81 %",
    "params": '{"price": "mid"}',
    "facts": '{"profit": 0.81, "iv_rank": null, "vix": NaN}',
    "state": '{"peak_profit": 0.81}',
    "fired": ["take_profit"],
    "unknown": ["iv_crush"],
    "rules_revision": "abc",
}
INTENT = {"intent": "i", "decision": "d", "position": "P", "kind": "close", "order_ref": "i", "filled": 0.0}
ORDER = {
    "order_ref": "i",
    "order_id": 7,
    "perm_id": 41,
    "filled": 0.0,
    "remaining": 2.0,
    "limit_price": -0.44,
}
FILL = {"exec_id": "e1", "order_ref": "i", "con_id": 9, "is_combo": True, "quantity": 2.0, "price": -0.44}


class Home:
    """A lake and its reader; every commit is a minute after the one before."""

    def __init__(self, path: Path) -> None:
        self.lake = Lake.open(path, SCHEMAS)
        self.reader = LakeReader.open(path)
        self.time = START

    def commit(self, **tables: dict[str, Any] | list[dict[str, Any]]) -> int:
        frames = {}
        for name, rows in tables.items():
            given = rows if isinstance(rows, list) else [rows]
            frames[name] = pl.DataFrame(
                given, schema_overrides={k: v for k, v in SCHEMAS[name].row.items() if k in given[0]}
            )
        seq = self.lake.commit(self.time, frames)
        self.time += timedelta(minutes=1)
        return seq


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.lake.close()


def quote(con_id: int, mark: float | None, state: str = "live") -> dict[str, Any]:
    return {"con_id": con_id, "mark": mark, "delta": 0.1, "quote_time": START, "quote_state": state}


def test_an_empty_lake_gives_empty_answers(home: Home) -> None:
    reader = home.reader
    for view in (
        views.positions,
        views.decisions,
        views.orders,
        views.fills,
        views.alerts,
        views.reconciliations,
    ):
        assert view(reader) == []
    assert views.account_latest(reader) is None
    assert views.breaker_state(reader) is None
    assert views.account_history(reader).is_empty()


def test_a_position_has_its_facts_legs_and_the_worst_state_of_their_quotes(home: Home) -> None:
    home.commit(strategies=CONDOR)
    states = ("live", "stale", "modelled", "live")
    home.commit(
        facts={
            "position": "P",
            "profit": 0.053,
            "profit_usd": 23.2,
            "delta": 0.02,
            "theta_usd": 8.5,
            "dte": 44.0,
        },
        snapshots=[quote(leg, 0.5, state) for leg, state in zip((1, 2, 3, 4), states, strict=True)],
    )
    (position,) = views.positions(home.reader)
    assert (position["id"], position["structure"], position["underlying"], position["lots"]) == (
        "P",
        "iron_condor",
        "IWM",
        2,
    )
    assert (position["profit"], position["profit_usd"], position["delta"], position["dte"]) == (
        0.053,
        23.2,
        0.02,
        44.0,
    )
    assert (position["theta_usd"], position["gamma"], position["vega_usd"]) == (8.5, None, None)
    assert position["quote_state"] == "stale"
    assert position["time"] == "2026-02-04T15:01:00+00:00"
    leg = position["legs"][1]
    assert (leg["strike"], leg["quantity"], leg["mark"], leg["delta"]) == (245.0, -2, 0.5, 0.1)
    assert (leg["quote_state"], leg["quote_age_s"], leg["bid"]) == ("stale", 60.0, None)


def test_the_last_sane_figures_are_shown_as_such_while_quotes_are_stale(home: Home) -> None:
    last = {"last_profit": -0.2, "last_profit_usd": -87.0, "last_market_value_usd": -522.2}
    home.commit(strategies=CONDOR, facts={"position": "P", "dte": 44.0, **last})
    (position,) = views.positions(home.reader)
    assert (position["profit"], position["profit_usd"], position["market_value_usd"]) == (-0.2, -87.0, -522.2)
    assert position["is_last_known"]
    live = {"profit": -0.1, "profit_usd": -43.5, "market_value_usd": -478.7}
    home.commit(facts={"position": "P", "dte": 44.0, **last, **live})
    (position,) = views.positions(home.reader)
    assert (position["profit"], position["profit_usd"], position["market_value_usd"]) == (-0.1, -43.5, -478.7)
    assert not position["is_last_known"]


def test_a_leg_without_a_quote_is_missing_and_what_the_facts_do_not_say_is_unknown(home: Home) -> None:
    home.commit(strategies=CONDOR, snapshots=[quote(1, 0.8), quote(2, 1.9), quote(3, None, "missing")])
    (position,) = views.positions(home.reader)
    assert (position["market_value_usd"], position["profit_usd"], position["dte"]) == (None, None, None)
    assert position["quote_state"] == "missing"
    assert position["legs"][3]["quote_state"] == "missing"


def test_unlimited_profit_and_loss_are_null(home: Home) -> None:
    home.commit(strategies={**CONDOR, "max_profit_usd": None, "max_loss_usd": None})
    (position,) = views.positions(home.reader)
    assert (position["max_profit_usd"], position["max_loss_usd"]) == (None, None)


@pytest.mark.parametrize("event", ["closed", "rolled"])
def test_an_ended_position_is_gone_now_and_still_there_as_of_before(home: Home, event: str) -> None:
    before = home.commit(strategies=CONDOR)
    moment = home.time - timedelta(seconds=30)
    home.commit(strategies={**CONDOR, "event": event})
    assert views.positions(home.reader) == []
    assert [row["id"] for row in views.positions(home.reader, before)] == ["P"]
    assert [row["id"] for row in views.positions(home.reader, moment)] == ["P"]


def test_flushed_and_unflushed_rows_read_alike(home: Home) -> None:
    home.commit(strategies=CONDOR, decisions=DECISION)
    unflushed = (views.positions(home.reader), views.decisions(home.reader))
    home.lake.flush()
    assert (views.positions(home.reader), views.decisions(home.reader)) == unflushed


def test_decisions_are_newest_first_with_what_became_of_them(home: Home) -> None:
    home.commit(strategies=CONDOR, decisions=DECISION)
    home.commit(intents={**INTENT, "state": "intended"})
    home.commit(intents={**INTENT, "state": "settled", "reason": "filled 2 of 2"})
    home.commit(decisions={**DECISION, "decision": "later", "kind": "shadow"})
    later, first = views.decisions(home.reader)
    assert (later["id"], later["intent"], later["outcome"], later["outcome_reason"]) == (
        "later",
        None,
        None,
        None,
    )
    assert (first["intent"], first["outcome"], first["outcome_reason"]) == ("i", "settled", "filled 2 of 2")
    assert first["facts"] == {"profit": 0.81, "iv_rank": None, "vix": None}
    assert (first["fired"], first["unknown"], first["params"]) == (
        ["take_profit"],
        ["iv_crush"],
        {"price": "mid"},
    )
    assert (first["underlying"], first["structure"]) == ("IWM", "iron_condor")
    assert [row["id"] for row in views.decisions(home.reader, limit=1)] == ["later"]
    assert views.decisions(home.reader, as_of=1)[0]["outcome"] is None


def test_every_order_is_shown_once_in_its_latest_state(home: Home) -> None:
    home.commit(orders={**ORDER, "state": "Submitted"})
    foreign = {"order_ref": None, "order_id": None, "perm_id": 77, "state": "Submitted"}
    home.commit(orders=[foreign, {**ORDER, "state": "Filled", "filled": 2.0}])
    rows = views.orders(home.reader)
    assert {(row["order_ref"], row["perm_id"], row["state"]) for row in rows} == {
        ("i", 41, "Filled"),
        (None, 77, "Submitted"),
    }


def test_a_commission_that_comes_later_completes_its_fill(home: Home) -> None:
    home.commit(fills=FILL)
    assert views.fills(home.reader)[0]["commission_usd"] is None
    home.commit(fills={**FILL, "commission_usd": 2.6})
    assert [row["commission_usd"] for row in views.fills(home.reader)] == [2.6]


def test_account_alerts_breaker_and_reconciliations_are_read_back(home: Home) -> None:
    for worth in (100.0, 101.0):
        home.commit(account={"account": "DU1", "nlv_usd": worth})
    home.commit(
        alerts={"alert": "a", "severity": "warning", "text": "look"},
        breaker={"event": "human_halt", "state": "halted", "actor": "me", "reason": "drill"},
        reconciliations={"run": "r", "kind": "positions", "resolution": "agreed"},
    )
    assert views.account_history(home.reader)["nlv_usd"].to_list() == [100.0, 101.0]
    since = START + timedelta(seconds=30)
    assert views.account_history(home.reader, since=since)["nlv_usd"].to_list() == [101.0]
    latest, breaker = views.account_latest(home.reader), views.breaker_state(home.reader)
    assert latest is not None and latest["nlv_usd"] == 101.0
    assert breaker is not None and (breaker["state"], breaker["reason"]) == ("halted", "drill")
    assert views.alerts(home.reader)[0]["text"] == "look"
    assert views.reconciliations(home.reader)[0]["resolution"] == "agreed"


def test_the_tables_are_listed_with_their_rows(home: Home) -> None:
    seq = home.commit(strategies=CONDOR)
    tables = {row["name"]: row for row in views.lake_tables(home.reader)}
    assert (tables["strategies"]["rows"], tables["strategies"]["last_seq"]) == (1, seq)
    assert tables["strategies"]["last_time"] == START.isoformat()
    assert (tables["fills"]["rows"], tables["fills"]["version"]) == (0, None)


@pytest.mark.parametrize(("ident", "kind"), [("d", "decision"), ("i", "intent"), ("P", "position")])
def test_the_story_is_told_from_any_of_its_ids_in_time_order(home: Home, ident: str, kind: str) -> None:
    home.commit(strategies=CONDOR)
    home.commit(decisions=DECISION)
    home.commit(intents={**INTENT, "state": "intended", "order": '{"lots": 2}', "limit_price": -0.44})
    home.commit(orders={**ORDER, "state": "Submitted"}, intents={**INTENT, "state": "working"})
    home.commit(orders={**ORDER, "state": "Filled"}, fills=FILL)
    home.commit(intents={**INTENT, "state": "settled", "reason": "filled 2 of 2"})
    home.commit(decisions={**DECISION, "decision": "other", "position": "Q"})
    story = views.explain(home.reader, ident)
    assert (story["id"], story["kind"]) == (ident, kind)
    assert [row["id"] for row in story["decisions"]] == ["d"]
    assert [row["state"] for row in story["intents"]] == ["intended", "working", "settled"]
    assert story["intents"][0]["order"] == {"lots": 2}
    assert [row["state"] for row in story["orders"]] == ["Submitted", "Filled"]
    assert [row["exec_id"] for row in story["fills"]] == ["e1"]
    assert story["position"]["structure"] == "iron_condor"
    told = [line["what"] for line in story["story"] if line["what"] != "strategy"]
    assert told == ["decision", "intent", "intent", "order", "order", "fill", "intent"]
    assert story["story"][-1]["text"] == "close settled: filled 2 of 2"


def test_the_story_as_of_a_moment_knows_nothing_of_later(home: Home) -> None:
    home.commit(strategies=CONDOR, decisions=DECISION)
    home.commit(intents={**INTENT, "state": "intended"})
    assert views.explain(home.reader, "d", 1)["intents"] == []


def test_an_unknown_id_is_refused_with_what_to_do(home: Home) -> None:
    home.commit(strategies=CONDOR)
    with pytest.raises(LakeError, match=r"nothing in the lake has the id 'nope'; `optiond decisions`"):
        views.explain(home.reader, "nope")

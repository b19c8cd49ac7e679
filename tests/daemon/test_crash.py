"""Killed at any point between decision and settlement, the gateway running on: the same end, one order."""

import signal
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from lake import LakeReader

POINTS = [
    *(
        f"{state}.{side}"
        for state in ("intended", "sent", "working", "filled", "settled")
        for side in ("before", "after")
    ),
    "order.sending",
    "order.sent",
    "journal.committed:4",
    "flush.ledger",
]


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_between_decision_and_settlement_neither_loses_nor_doubles(
    point: str, replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    gateway = replay()
    home.settle(gateway)
    killed = home.start(failpoint=point)
    said, _ = killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL, said

    again = home.start()
    helpers.wait_until(lambda: not gateway.holdings(), 60, "the position is closed at the broker")
    helpers.wait_until(lambda: not home.json("positions"), 30, "our books say so too")
    helpers.wait_until(
        lambda: (
            LakeReader.open(home.path).table("intents").filter(pl.col("state") == "settled").collect().height
        ),
        30,
        "the intent is settled",
    )
    helpers.stop(again)

    orders = gateway.orders()
    assert [(o["status"], o["filled"]) for o in orders] == [("Filled", 2)], "no second order"
    reader = LakeReader.open(home.path)
    executed = {e["exec_id"] for e in gateway.executions()}
    fills = reader.table("fills").collect()
    assert set(fills["exec_id"]) == executed, "no execution lost"
    assert fills.unique().height == fills.height, "no row doubled"
    intents = reader.table("intents").collect()
    ends = intents.sort("seq").group_by("intent").last()
    assert sorted(ends["state"]) in (["settled"], ["abandoned", "settled"])
    settled = ends.filter(pl.col("state") == "settled")["intent"].item()
    assert settled == orders[0]["order_ref"]
    decided = reader.table("decisions").collect()
    assert set(intents["decision"]) <= set(decided["decision"]), "no order without its reason"
    assert decided["decision"].is_unique().all()
    closed = reader.table("strategies").filter(pl.col("event") == "closed").collect()
    assert closed.height == 1
    moved = reader.table("positions").filter(pl.col("kind") == "change").collect()
    assert moved.unique().height == moved.height

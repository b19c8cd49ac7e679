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
    helpers.wait_until(lambda: (home.status() or {}).get("pid") == again.pid, 30, "it is up")
    helpers.stop(again)

    helpers.assert_closed_once(gateway, home)

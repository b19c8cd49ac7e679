"""Which contracts are active is known after a restart, and every change is recorded once."""

from dataclasses import replace
from datetime import UTC, date, datetime

import polars as pl

from options import ConId, Contract, Leg, Right, SecType, UsdPerContract, classify
from sync.position import Position
from sync.strategy_registry import StrategyRegistry
from sync.tables import LAKE_TABLES

NOW = datetime(2026, 3, 2, 15, tzinfo=UTC)
PUT = Contract(ConId(1), "IWM", SecType.OPTION, date(2026, 3, 20), 245.0, Right.PUT, 100)
WING = replace(PUT, con_id=ConId(2), strike=240.0)


def position(name: str, strategy: str | None) -> Position:
    legs = (Leg(PUT, -1, UsdPerContract(90.0)), Leg(WING, 1, UsdPerContract(20.0)))
    return Position(name, classify(legs), "IWM", 1, legs, NOW, strategy=strategy)


def test_only_positions_of_a_strategy_are_active() -> None:
    registry = StrategyRegistry()
    registry.renew([position("adopted", None)], {})
    assert not registry.con_ids
    registry.renew([position("adopted", None), position("ours", "put_spreads")], {})
    assert registry.con_ids == {1, 2}
    assert registry.strategies == ("put_spreads",)


def test_an_entry_on_its_way_is_active_and_becomes_a_position() -> None:
    registry = StrategyRegistry()
    registry.renew([], {"new": [ConId(1), ConId(2)]})
    assert [row["reason"] for row in registry.take_changes()] == ["entering", "entering"]
    registry.renew([position("new", "put_spreads")], {})
    assert [row["reason"] for row in registry.take_changes()] == ["open", "open"]
    registry.renew([], {})
    assert [row["reason"] for row in registry.take_changes()] == ["ended", "ended"]
    assert not registry.con_ids


def test_a_restart_takes_up_what_was_active_and_records_nothing_anew() -> None:
    registry = StrategyRegistry()
    positions = [position("a", "put_spreads"), position("b", "put_spreads")]
    registry.renew(positions, {})
    registry.renew(positions[:1], {})
    rows = pl.DataFrame(registry.take_changes(), schema=LAKE_TABLES["strategy_registry"].row, orient="row")
    again = StrategyRegistry()
    again.restore(rows.unique(["position", "con_id"], keep="last", maintain_order=True))
    assert again.con_ids == {1, 2}
    again.renew(positions[:1], {})
    assert again.take_changes() == []

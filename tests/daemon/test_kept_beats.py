"""The last beats are kept within their memory, and what was known last outlives them."""

from datetime import UTC, datetime, timedelta

import polars as pl

import rules
from daemon.kept_beats import KeptBeats
from trading.decision import Moment

NOON = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)
BOOK = rules.parse("version: 1\nrules:\n  - {id: a, priority: 1, when: profit >= 50%, do: close}\n")


def moment(second: int, profit: dict[str, float | None], vix: float | None = None) -> Moment:
    facts = pl.DataFrame(
        {"position": list(profit), "profit": list(profit.values())},
        schema={"position": pl.String, "profit": pl.Float64},
    )
    return Moment(NOON + timedelta(seconds=second), BOOK, rules.initial_state(), facts, {"vix": vix})


def test_the_oldest_beats_make_room() -> None:
    kept = KeptBeats(3, 64)
    for second in range(5):
        kept.add(moment(second, {"A": 0.1}))
    assert [each.beat.time.second for each in kept] == [2, 3, 4]
    none = KeptBeats(0, 64)
    none.add(moment(0, {"A": 0.1}))
    assert len(none) == 0


def test_large_beats_are_fewer() -> None:
    many = {f"P{number:05}": 0.1 for number in range(10_000)}
    kept = KeptBeats(1_000, 1.0)
    for second in range(30):
        kept.add(moment(second, many))
    assert 2 <= len(kept) < 30
    assert sum(each.size for each in kept) <= 1e6


def test_a_position_that_is_gone_is_told_with_the_beat() -> None:
    kept = KeptBeats(10, 64)
    kept.add(moment(0, {"A": 0.1, "B": 0.1}))
    kept.add(moment(1, {"B": 0.1, "C": 0.1}))
    assert [each.beat.ended for each in kept] == [(), ("A",)]


def test_what_was_known_last_fills_the_gaps_the_newest_first() -> None:
    kept = KeptBeats(1, 64)
    recorded = pl.DataFrame(
        {"seq": [1, 2], "position": ["A", "B"], "profit": [0.7, 0.8], "vix": [14.0, 15.0]}
    ).lazy()
    kept.recall(recorded)
    kept.recall(recorded.with_columns(profit=0.0))
    kept.add(moment(0, {"A": 0.1, "B": None}))
    kept.add(moment(1, {"A": None, "B": None}))
    facts, market = kept.with_known(moment(2, {"A": None, "B": None}).facts, {"vix": None})
    assert facts["profit"].to_list() == [0.1, 0.8]
    assert market == {"vix": 15.0}

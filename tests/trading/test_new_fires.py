"""What an edit would set off: new deeds on positions, at once or after their `for`, on facts known last."""

from datetime import UTC, datetime

import polars as pl

import rules
from rules import Rulebook
from trading.decision import Moment
from trading.new_fires import new_fires, with_known

NOON = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)


def book(*lines: str) -> Rulebook:
    numbered = [
        f"  - {{id: r{number}, priority: {number}, {line}}}" for number, line in enumerate(lines, start=1)
    ]
    return rules.parse("\n".join(["version: 1", "rules:", *numbered, ""]))


QUIET = book("when: profit >= 95%, do: close")


def moment(old: Rulebook = QUIET, **facts: list[float | None]) -> Moment:
    n = len(next(iter(facts.values())))
    frame = pl.DataFrame(
        {
            "position": list("ABCDEF"[:n]),
            "lots": [1, 3, 2, 1, 1, 1][:n],
            "max_loss_usd": [100.0, 900.0, None, 1.0, 1.0, 1.0][:n],
            **{name: pl.Series(values, dtype=pl.Float64) for name, values in facts.items()},
        }
    )
    return Moment(NOON, old, rules.initial_state(), frame, {"vix": 20.0})


def told(at: Moment, new: Rulebook) -> list[tuple[str, str, str, bool]]:
    return [(fire.position, fire.rule, fire.action, fire.at_once) for fire in new_fires(at, new)]


def test_only_where_the_rules_in_force_would_not_act_it_counts() -> None:
    at = moment(book("when: profit >= 50%, do: close"), profit=[0.6, 0.3, None])
    assert told(at, book("when: profit >= 20%, do: close")) == [("B", "r1", "close", True)]
    assert told(at, book("when: profit >= 20%, do: {reduce: half}")) == [
        ("A", "r1", "reduce", True),
        ("B", "r1", "reduce", True),
    ]


def test_another_price_or_rule_for_the_same_deed_is_none() -> None:
    at = moment(book("when: profit >= 50%, do: close"), profit=[0.6])
    assert told(at, book("when: vix > 50, do: close", "when: profit >= 50%, do: {close: market}")) == []


def test_a_rule_with_for_counts_as_if_the_facts_stayed() -> None:
    at = moment(profit=[0.6])
    waits = book("when: profit >= 50%, for: 2h, do: close")
    assert told(at, waits) == [("A", "r1", "close", False)]
    assert told(moment(waits, profit=[0.6]), book("when: profit >= 50%, do: close")) == [], "it would soon"


def test_a_shadow_a_rule_that_is_off_and_blocked_entries_are_no_deeds() -> None:
    at = moment(profit=[0.6])
    for line in (
        "when: profit >= 50%, mode: shadow, do: close",
        "when: profit >= 50%, mode: off, do: close",
        "when: vix > 10, scope: book, do: block_entries",
    ):
        assert told(at, book(line)) == [], line


def test_a_rule_of_the_book_counts_on_the_position_it_reduces() -> None:
    at = moment(profit=[0.1, 0.1, 0.1])
    limit = book("when: vix > 10, scope: book, do: {block_entries: reduce_largest}")
    assert told(at, limit) == [("C", "r1", "reduce", True)], "an unlimited loss is the largest"


def test_a_shadow_on_the_largest_position_stops_no_rule_of_the_book() -> None:
    at = moment(profit=[0.6, 0.6, 0.6])
    limit = "when: vix > 10, scope: book, do: {block_entries: reduce_largest}"
    both = book("when: profit >= 50%, mode: shadow, do: close", limit)
    assert told(at, both) == [("C", "r2", "reduce", True)]


def test_what_a_mute_only_puts_off_counts() -> None:
    at = moment(profit=[0.6, 0.6])
    soon, later = "2026-01-06", "2026-01-20"
    both = muted(soon, later)
    assert told(at, both) == [("A", "take", "close", False), ("B", "take", "close", False)]
    at = moment(both, profit=[0.6, 0.6])
    assert told(at, muted(soon, soon)) == [("B", "take", "close", False)], "it ends earlier"
    assert told(at, muted(later, later)) == []


def muted(until_a: str, until_b: str) -> Rulebook:
    return rules.parse(
        "version: 1\nrules:\n  - {id: take, priority: 1, when: profit >= 50%, do: close}\nmutes:\n"
        f"  - {{rule: take, on: A, until: {until_a}, reason: not yet}}\n"
        f"  - {{rule: take, on: B, until: {until_b}, reason: not yet}}\n"
    )


def test_what_is_unknown_is_taken_as_it_was_known_last() -> None:
    now = pl.DataFrame({"position": ["A", "B", "C"], "profit": [None, 0.2, None], "dte": [3.0, 3.0, 3.0]})
    before = pl.DataFrame({"position": ["B", "A"], "profit": [0.9, 0.5], "dte": [4.0, 4.0]})
    assert with_known(now, before).rows() == [("A", 0.5, 3.0), ("B", 0.2, 3.0), ("C", None, 3.0)]
    assert with_known(before, now) is before, "it lacks nothing"

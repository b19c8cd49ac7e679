"""Near misses are found in columns as an explanation finds them, told once, and do not flutter."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import rules
from rules.fold import Stepped, step_looked_at
from rules.outcomes import Change, OutcomeWatch

NOON = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)
ROOM = {"probe": 9, "other": 9}

MIXED = """
track: {peak_profit: max(profit)}
rules:
  - {id: plain, priority: 1, when: profit >= 80%, do: close}
  - {id: both, priority: 2, when: profit >= $p and dte < 14d, params: {p: 50%},
     overrides: {iron_condor: {p: 60%}}, do: close}
  - {id: either, priority: 3, when: delta > 0.3 or dte <= $d, params: {d: 5d}, overrides: {stock: {d: 7d}},
     do: close}
  - {id: negated, priority: 4, when: not (profit < 30% or delta != 0.5), do: close}
  - {id: tracked, priority: 5, when: peak_profit - profit >= 20%, do: close}
  - {id: named, priority: 6, when: "structure in ('stock', 'iron_condor') and 10% > abs(profit)", do: close}
  - {id: texts, priority: 7, when: not structure == 'stock' and profit > 0%, do: close}
  - id: once
    priority: 8
    tiers:
      - {when: profit >= 70%, do: close, once: true}
      - {when: dte == 3d, do: {reduce: half}}
  - {id: book, priority: 9, scope: book, when: vix > 35 and book_positions > 3, do: block_entries}
"""
NUMBER = st.none() | st.sampled_from([math.nan, 0.0, 0.3, 0.5, 0.8]) | st.floats(-2, 2)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "profit": NUMBER,
            "delta": NUMBER,
            "dte": st.none() | st.integers(0, 40),
            "structure": st.sampled_from([None, "iron_condor", "stock", "future"]),
        }
    ),
    min_size=1,
    max_size=6,
)


@pytest.fixture(scope="module")
def mixed() -> rules.Rulebook:
    return rules.parse(MIXED)


@settings(max_examples=100, deadline=None)
@example([{"profit": 0.0, "delta": -1.192092896e-07, "dte": None, "structure": None}], None, 0)
@given(rows=ROWS, vix=NUMBER | st.just(34.0), positions=st.integers(0, 5))
def test_the_columns_have_the_gaps_of_the_explanations(
    mixed: rules.Rulebook, rows: list[dict[str, Any]], vix: float | None, positions: int
) -> None:
    market = {"vix": vix, "book_positions": positions}
    frame = pl.DataFrame(
        [pl.Series("position", [f"P{n}" for n in range(len(rows))])]
        + [pl.Series(name, [row[name] for row in rows], rules.FACTS[name].dtype) for name in rows[0]]
    )
    _, _, stepped = step_looked_at(mixed, rules.initial_state(), frame, market, NOON)
    gaps = stepped.gaps()
    for number, row in enumerate([{"position": ""}, *frame.iter_rows(named=True)]):
        explanation = rules.explain(mixed, rules.initial_state(), row, market, NOON)
        for one in explanation.rules:
            found = gaps[stepped.plan.rule_ids.index(one.rule), number]
            if one.outcome in ("wins", "fires"):
                continue
            if one.gap is None:
                assert math.isnan(found), one.rule
            else:
                assert found == pytest.approx(one.gap.relative, abs=1e-9), one.rule


# What is told of it

PROBES = """
rules:
  - {id: probe, priority: 1, when: profit >= 80%, do: close, for: 10s}
  - {id: other, priority: 2, when: delta >= 0.5, do: close}
"""


class Beats:
    """A watch over one book, step by step."""

    def __init__(self, text: str = PROBES) -> None:
        self.book = rules.parse(text)
        self.watch = OutcomeWatch()
        self.state = rules.initial_state()
        self.now = NOON

    def step(self, seconds: float = 1, **profits: float | None) -> Stepped:
        self.now += timedelta(seconds=seconds)
        frame = pl.DataFrame(
            {"position": list(profits), "profit": list(profits.values()), "delta": [0.0] * len(profits)},
            schema_overrides={"profit": pl.Float64},
        )
        self.before = self.state
        self.state, _, stepped = step_looked_at(self.book, self.state, frame, {}, self.now)
        return stepped

    def told(self, most: int = 9, room: dict[str, int] = ROOM, **profits: float | None) -> list[Any]:
        """(position, outcome before, outcome) of all that is told of this beat's probes."""
        found = []
        for change in self.watch.changes(self.step(**profits), room, most):
            facts = {"position": change.position, "profit": profits[change.position], "delta": 0.0}
            explanation = rules.explain(self.book, self.before, facts, {}, self.now)
            for rule in change.rules:
                outcome = explanation[rule].outcome
                was = self.watch.tell(change.position, rule, outcome)
                if was is not None:
                    found.append((change.position, was, outcome))
        return found


def test_a_rule_is_told_from_near_to_firing_and_back_each_once() -> None:
    beats = Beats()
    assert beats.told(A=0.1) == []
    assert beats.told(A=0.75) == [("A", "", "near")]
    assert beats.told(A=0.76) == []
    assert beats.told(A=0.85) == [("A", "near", "waits")]
    for _ in range(9):
        assert beats.told(A=0.85) == []
    assert beats.told(A=0.85) == [("A", "waits", "wins")]
    assert beats.told(A=0.3) == [("A", "wins", "quiet")]
    assert beats.told(A=0.3) == []


def test_a_near_miss_that_hovers_is_told_once() -> None:
    beats = Beats()
    told = [line for profit in (0.73, 0.71, 0.73, 0.70, 0.725) for line in beats.told(A=profit)]
    assert told == [("A", "", "near")]
    assert beats.told(A=0.67) == [("A", "near", "quiet")]
    assert beats.told(A=0.71) == [], "not near enough yet to come back"


def test_unknown_is_told_when_it_comes_but_not_when_nothing_was_known_before() -> None:
    beats = Beats()
    assert beats.told(A=None) == []
    assert beats.told(A=0.1) == []
    assert beats.told(A=None) == [("A", "", "unknown")]
    assert beats.told(A=0.1) == [("A", "unknown", "quiet")]


def test_positions_that_come_and_go_keep_the_others_as_they_were() -> None:
    beats = Beats()
    assert beats.told(A=0.75, B=0.1) == [("A", "", "near")]
    assert beats.told(C=0.76, B=0.1, A=0.75) == [("C", "", "near")]
    assert beats.told(B=0.1) == []
    assert beats.told(A=0.1, B=0.1) == [], "opened again under its id: nothing is left of before"


def test_another_rulebook_keeps_what_is_known_of_the_rules_that_stay() -> None:
    beats = Beats()
    assert beats.told(A=0.75) == [("A", "", "near")]
    beats.book = rules.parse("rules: [{id: probe, priority: 5, when: profit >= 78%, do: close}]")
    assert beats.told(A=0.75) == []
    beats.book = rules.parse("rules: [{id: fresh, priority: 5, when: profit >= 78%, do: close}]")
    assert beats.told(A=0.75, room={"fresh": 1}) == [("A", "", "near")]


def test_after_a_restart_only_what_has_changed_since_is_told() -> None:
    beats = Beats()
    beats.watch.restore({("A", "probe"): "near", ("B", "probe"): "near", ("gone", "probe"): "wins"})
    assert beats.told(A=0.75, B=0.2, C=0.3) == [("B", "near", "quiet")]


def test_the_most_urgent_come_first_and_the_others_on_the_next_beats() -> None:
    beats = Beats(PROBES.replace(", for: 10s", ""))
    profits = {"A": 0.75, "B": 0.9, "C": 0.76}
    assert beats.told(most=1, **profits) == [("B", "", "wins")]
    assert beats.told(most=1, **profits) == [("A", "", "near")]
    assert beats.told(most=1, **profits) == [("C", "", "near")]
    assert beats.told(most=1, **profits) == []


def test_a_rule_without_room_is_passed_over() -> None:
    beats = Beats()
    assert beats.told(room={"probe": 0, "other": 5}, A=0.75) == []
    assert beats.told(A=0.75) == []
    assert beats.watch.changes(beats.step(A=0.9), ROOM, 9) == [Change(1, "A", ("probe",))]


def test_a_beat_without_positions_is_no_trouble() -> None:
    beats = Beats()
    empty = pl.DataFrame(schema={"position": pl.String})
    _, _, stepped = step_looked_at(beats.book, beats.state, empty, {}, NOON)
    assert beats.watch.changes(stepped, ROOM, 9) == []
    assert np.isnan(stepped.gaps()).all()

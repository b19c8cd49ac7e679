"""Two revisions of the rules over the same past: where they decide differently, and nowhere else."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rules
from options import RuleError
from rules import Rulebook, initial_state
from rules.judgement import judge
from rules.scalar import known
from tests.rules.test_fold import row_of
from tests.trading.test_replay import STEPS, frame_of, rulebooks
from trading import what_if
from trading.what_if import CHANGES, Beat, WhatIf, differing

NOON = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)
SAID = ("rule", "priority", "action", "params", "urgency", "kind")


def one_rule(when: str, do: str = "close", **keys: str) -> Rulebook:
    lines = "".join(f"\n    {key}: {value}" for key, value in keys.items())
    return rules.parse(f"rules:\n  - id: probe\n    priority: 1\n    when: {when}\n    do: {do}{lines}\n")


def beats_of(*profits: float | None, position: str = "A") -> list[Beat]:
    """A beat every 30 s; 100 % of profit are 200 USD."""
    return [
        Beat(
            NOON + timedelta(seconds=30 * place),
            pl.DataFrame(
                [[position, profit, None if profit is None else 200 * profit]],
                schema={"position": pl.String, "profit": pl.Float64, "profit_usd": pl.Float64},
                orient="row",
            ),
            {},
        )
        for place, profit in enumerate(profits)
    ]


def compared(old: Rulebook, new: Rulebook, beats: Iterable[Beat]) -> pl.DataFrame:
    return differing(old, new, beats, initial_state(), initial_state())


def told(changes: pl.DataFrame) -> list[tuple[int, str | None, str | None, float | None]]:
    """(seconds, action of the old rules, action of the new ones, P&L at that moment)."""
    return [
        (int((time - NOON).total_seconds()), old, new, profit_usd)
        for time, old, new, profit_usd in changes.select(
            "time", "old_action", "new_action", "profit_usd"
        ).iter_rows()
    ]


def test_each_revision_closes_once_at_the_profit_of_its_moment() -> None:
    beats = beats_of(0.3, 0.5, 0.6, 0.4, 0.7)
    changes = compared(one_rule("profit >= 50%"), one_rule("profit >= 60%"), beats)
    assert told(changes) == [(30, "close", None, 100.0), (60, None, "close", 120.0)]
    assert changes.schema == CHANGES


def test_the_same_decision_at_the_same_moment_is_no_difference() -> None:
    beats = beats_of(0.3, 0.7, 0.2, 0.7)
    assert compared(one_rule("profit >= 50%"), one_rule("profit >= 60%"), beats).is_empty()


def test_another_rule_urgency_or_price_for_the_same_moment_is_one_row() -> None:
    changes = compared(
        one_rule("profit >= 50%", urgency="high"),
        one_rule("profit >= 50%", "{close: market}"),
        beats_of(0.5),
    )
    row = changes.row(0, named=True)
    assert changes.height == 1
    assert (row["old_urgency"], row["new_urgency"]) == ("high", "normal")
    assert (row["old_params"], row["new_params"]) == ('{"price": "mid"}', '{"price": "market"}')


def test_a_condition_that_stays_true_is_decided_once_and_again_after_a_break() -> None:
    beats = beats_of(0.5, 0.6, 0.4, 0.5)
    changes = compared(one_rule("profit >= 50%", "{reduce: half}"), one_rule("profit >= 900%"), beats)
    assert told(changes) == [(0, "reduce", None, 100.0), (90, "reduce", None, 100.0)]


def test_a_shadow_ends_nothing_and_differs_from_the_same_rule_live() -> None:
    beats = beats_of(0.5, 0.4, 0.5)
    changes = compared(one_rule("profit >= 50%", mode="shadow"), one_rule("profit >= 50%"), beats)
    assert told(changes) == [(0, "close", "close", 100.0), (60, "close", None, 100.0)]
    assert changes["old_kind"].to_list() == ["shadow", "shadow"]


@pytest.mark.parametrize("usd", [None, math.nan, math.inf])
def test_a_profit_that_is_not_known_is_null_and_never_zero(usd: float | None) -> None:
    facts = pl.DataFrame({"position": ["A"], "dte": [1], "profit_usd": pl.Series([usd], dtype=pl.Float64)})
    (row,) = compared(one_rule("dte <= 1d"), one_rule("dte <= 0d"), [Beat(NOON, facts, {})]).to_dicts()
    assert (row["profit"], row["profit_usd"], row["lots"]) == (None, None, None)


def test_a_close_is_carried_out_once_the_profit_is_known_while_it_stands() -> None:
    closing = one_rule("dte <= 7d or profit >= 50%")
    facts = {"position": ["A"], "dte": [7]}
    unquoted = [Beat(NOON - timedelta(minutes=n), pl.DataFrame(facts), {}) for n in (2, 1)]
    both = WhatIf(closing, closing, initial_state(), initial_state())
    for beat in [*unquoted, *beats_of(0.5, 0.6)]:
        both.see(beat)
    assert both.decided()["time"].to_list() == [unquoted[0].time]
    done = both.carried_out().filter(side="old")
    assert done.select("time", "action", "profit_usd").rows() == [(NOON, "close", 100.0)]


def test_a_close_that_stands_no_more_when_the_profit_is_known_came_to_nothing() -> None:
    closing = one_rule("dte <= 7d or profit >= 50%")
    unquoted = Beat(NOON - timedelta(minutes=1), pl.DataFrame({"position": ["A"], "dte": [7]}), {})
    both = WhatIf(closing, closing, initial_state(), initial_state())
    for beat in [unquoted, *beats_of(0.4, 0.5)]:
        both.see(beat)
    assert both.decided().height == 2
    done = both.carried_out().filter(side="new")
    assert done.select("time", "profit_usd").rows() == [(NOON + timedelta(seconds=30), 100.0)]


def test_a_rule_of_the_book_is_told_of_the_book_and_ends_no_position() -> None:
    book = one_rule("book_positions > 3", "block_entries", scope="book")
    beats = [Beat(beat.time, beat.facts, {"book_positions": 4}) for beat in beats_of(0.1, 0.2)]
    (row,) = compared(book, one_rule("profit >= 900%"), beats).to_dicts()
    assert (row["position"], row["old_action"], row["new_action"]) == ("", "block_entries", None)


def test_what_the_rules_remember_before_the_first_beat_counts() -> None:
    book = one_rule("peak_profit >= 50%")
    (before, *_) = beats_of(0.6)
    state, _ = rules.step(book, initial_state(), before.facts, {}, NOON)
    assert told(differing(book, book, beats_of(0.1), state, initial_state())) == [(0, "close", None, 20.0)]


def test_a_position_opened_again_under_its_id_starts_afresh() -> None:
    first, second, third = beats_of(0.5, 0.3, 0.5)
    never = one_rule("profit >= 900%")
    for rule in (one_rule("profit >= 50%"), one_rule("peak_profit >= 50%")):
        assert len(told(compared(rule, never, [first, second, third]))) == 1
        again = Beat(second.time, second.facts, {}, ended=["A"])
        assert [row[0] for row in told(compared(rule, never, [first, again, third]))] == [0, 60]


def test_wrong_facts_are_refused_as_a_step_refuses_them() -> None:
    beat = Beat(NOON, pl.DataFrame({"position": ["A"], "profit": ["much"]}), {})
    with pytest.raises(RuleError, match="wrong type"):
        compared(one_rule("profit >= 50%"), one_rule("profit >= 60%"), [beat])


# --- random rules on random pasts ----------------------------------------------------------------

PAST = st.tuples(STEPS, st.lists(st.sampled_from(["", "", "", "A", "B"]), min_size=8, max_size=8))


def random_beats(steps: list[Any], endings: list[str]) -> list[Beat]:
    beats, now = [], NOON
    for (microseconds, rows, market), ended in zip(steps, endings, strict=False):
        now += timedelta(microseconds=microseconds)
        facts = frame_of(rows).with_columns(profit_usd=pl.col("profit") * 100)
        beats.append(Beat(now, facts, market, ended=[ended] if ended else []))
    return beats


@dataclass
class ByHand:
    """What one revision does, position by position, by the scalar interpreter.

    `decided` and `carried_out`: (number of the beat, position) with what the rules said.
    """

    decided: dict[tuple[int, str], dict[str, Any]] = field(default_factory=dict)
    carried_out: dict[tuple[int, str], dict[str, Any]] = field(default_factory=dict)


def by_hand(book: Rulebook, beats: list[Beat]) -> ByHand:
    memory: dict[str, Mapping[str, Any]] = {}
    before: dict[str, dict[str, Any]] = {}
    waiting: dict[str, bool] = {}
    over: set[str] = set()
    found = ByHand()
    for number, beat in enumerate(beats):
        for position in beat.ended:
            for kept in (memory, before, waiting):
                kept.pop(position, None)
            over.discard(position)
        for facts in [{"position": ""}, *beat.facts.iter_rows(named=True)]:
            position = str(facts["position"])
            judged = judge(book, memory.get(position, {}), facts, beat.market, beat.time)
            memory[position] = judged.memory
            said = {name: row_of(position, judged)[name] for name in SAID}
            if position not in over:
                if said != before.get(position, dict.fromkeys(SAID)):
                    waiting[position] = said["kind"] == "decision" and said["action"] != "block_entries"
                    if said["rule"] is not None:
                        found.decided[number, position] = said
                if waiting.get(position) and known(facts.get("profit_usd")) is not None:
                    found.carried_out[number, position] = said
                    waiting[position] = False
                    if said["action"] in ("close", "roll"):
                        over.add(position)
            before[position] = said
    return found


def as_told(beats: list[Beat], both: WhatIf) -> list[ByHand]:
    """The decisions of both revisions as `by_hand` gives them; the times must all be different."""
    numbers = {beat.time: number for number, beat in enumerate(beats)}
    sides = {"old": ByHand(), "new": ByHand()}
    for row in both.decided().iter_rows(named=True):
        for side, told_of in sides.items():
            if row[f"{side}_rule"] is not None:
                said = {name: row[f"{side}_{name}"] for name in SAID}
                told_of.decided[numbers[row["time"]], row["position"]] = said
    for row in both.carried_out().iter_rows(named=True):
        said = {name: row[name] for name in SAID}
        sides[row["side"]].carried_out[numbers[row["time"]], row["position"]] = said
    return list(sides.values())


def seen(old: Rulebook, new: Rulebook, beats: list[Beat], ask_often: bool = False) -> WhatIf:
    both = WhatIf(old, new, initial_state(), initial_state())
    for beat in beats:
        both.see(beat)
        if ask_often:
            both.differing()
    return both


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(old=rulebooks(), new=rulebooks(), past=PAST)
def test_random_rules_differ_where_the_scalar_interpreter_says_so(old: str, new: str, past: Any) -> None:
    beats = random_beats(*past)
    distinct = [
        Beat(beat.time + timedelta(microseconds=number), beat.facts, beat.market, beat.ended)
        for number, beat in enumerate(beats)
    ]
    books = rules.parse(old), rules.parse(new)
    both = seen(*books, distinct)
    first, second = (by_hand(book, distinct) for book in books)
    assert as_told(distinct, both) == [first, second]
    keys = first.decided.keys() | second.decided.keys()
    wanted = [key for key in keys if first.decided.get(key) != second.decided.get(key)]
    assert both.differing().height == len(wanted)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=rulebooks(), past=PAST)
def test_no_rules_differ_from_themselves(text: str, past: Any) -> None:
    book = rules.parse(text)
    assert compared(book, rules.parse(text), random_beats(*past)).is_empty()


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(old=rulebooks(), new=rulebooks(), past=PAST)
def test_asking_in_between_changes_nothing(old: str, new: str, past: Any) -> None:
    books, beats = (rules.parse(old), rules.parse(new)), random_beats(*past)
    whole = seen(*books, beats)
    asked = seen(*books, beats, ask_often=True)
    assert asked.decided().equals(whole.decided())
    assert asked.carried_out().equals(whole.carried_out())


def test_however_many_rows_wait_the_answer_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    beats = beats_of(0.3, 0.5, 0.5, 0.2, 0.6, 0.4, 0.7)
    books = one_rule("profit >= 50%", "{reduce: half}"), one_rule("profit >= 60%")
    whole = compared(*books, beats)
    assert [row[:3] for row in told(whole)] == [
        (30, "reduce", None),
        (120, "reduce", "close"),
        (180, "reduce", None),
    ]
    for rows in (1, 2, 3, 5, 100):
        monkeypatch.setattr(what_if, "_ROWS_AT_ONCE", rows)
        assert compared(*books, beats).equals(whole)

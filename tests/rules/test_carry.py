"""What is remembered belongs to a condition or to an action, and outlives an edit as long as that does."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

import rules
from rules import Rulebook, RuleState
from rules.carry import carried, remembering

NOON = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)
TWO = """
version: 1
track: {best: max(profit)}
rules:
  - id: hold
    priority: 1
    when: profit >= $enough
    params: {enough: 40%}
    overrides: {iron_condor: {enough: 30%}}
    for: 60s
    do: close
  - id: stop
    priority: 2
    when: profit <= -50%
    clear_when: profit >= 0%
    mode: shadow
    do: close
  - id: steps
    priority: 3
    tiers:
      - {when: profit >= 80%, do: close}
      - {when: profit >= 20%, do: {reduce: half}, once: true}
  - id: roll
    priority: 4
    when: dte <= 25d
    cooldown: 30m
    do: {roll: {dte: 45d}}
"""


def book_of(*edits: tuple[str, str]) -> Rulebook:
    text = TWO
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return rules.parse(text)


def remembered(book: Rulebook) -> RuleState:
    """After three beats in which everything has happened that can be remembered."""
    state = rules.initial_state()
    seen = ({"profit": -0.6}, {"profit": 0.45, "dte": 40.0}, {"profit": 0.1, "dte": 20.0}, {"profit": 0.5})
    for minute, facts in enumerate(seen):
        frame = pl.DataFrame({"position": ["A"], "dte": [40.0]} | {name: [v] for name, v in facts.items()})
        state, _ = rules.step(book, state, frame, {}, NOON + timedelta(seconds=minute))
    return state


def kept(*edits: tuple[str, str]) -> set[str]:
    before, after = book_of(), book_of(*edits)
    state = remembered(before)
    assert set(state.position("A")) == ALL
    return set(carried(state, before, after).position("A"))


ALL = {
    *("track:best", "track:peak_profit", "since:hold:0", "active:stop", "latch:steps:1", "last:roll"),
}


@pytest.mark.parametrize(
    ("edit", "lost"),
    [
        (("for: 60s", "for: 10s"), set()),
        (("# none", "# none"), set()),
        (("enough: 40%}", "enough: 50%}"), {"since:hold:0"}),
        (("enough: 30%}", "enough: 20%}"), {"since:hold:0"}),
        (("profit >= $enough", "profit > $enough"), {"since:hold:0"}),
        (("profit <= -50%", "profit <= -80%"), {"active:stop"}),
        (("clear_when: profit >= 0%", "clear_when: profit >= 10%"), {"active:stop"}),
        (("max(profit)", "max(delta)"), {"track:best"}),
        (("profit >= 20%", "profit >= 30%"), set()),
        (("cooldown: 30m", "cooldown: 10m"), set()),
        (("dte <= 25d", "dte <= 21d"), set()),
    ],
)
def test_an_edit_loses_what_it_says_anew_and_nothing_else(edit: tuple[str, str], lost: set[str]) -> None:
    edits = () if edit[0].startswith("#") else (edit,)
    assert kept(*edits) == ALL - lost


def test_a_latch_goes_with_its_action_to_wherever_it_stands() -> None:
    first = "      - {when: profit >= 80%, do: close}\n"
    more = first + "      - {when: profit >= 60%, do: close}\n"
    assert kept((first, more)) == ALL - {"latch:steps:1"} | {"latch:steps:2"}
    assert kept((first, "")) == ALL - {"latch:steps:1"} | {"latch:steps:0"}


def test_a_rule_switched_off_forgets_since_when_it_held() -> None:
    assert kept(("for: 60s", "for: 60s\n    mode: off")) == ALL - {"since:hold:0"}


def test_what_a_removed_rule_did_is_remembered_until_it_comes_back() -> None:
    """Else a rollback would let it act a second time."""
    before, without = book_of(), book_of(("id: steps", "id: strides"), ("id: roll", "id: turn"))
    state = carried(remembered(before), before, without)
    assert {"latch:steps:1", "last:roll"} <= set(state.position("A"))
    frame = pl.DataFrame({"position": ["B", "A"], "profit": [0.25, 0.25], "dte": [20.0, 20.0]})
    after, _ = rules.step(without, state, frame, {}, NOON + timedelta(minutes=1))
    assert "latch:steps:1" not in after.position("A")
    after = remembering(after, state)
    assert after.position("A")["latch:steps:1"] is True
    assert "latch:steps:1" not in after.position("B")
    again = carried(after, without, before)
    _, decisions = rules.step(
        before, again, frame.filter(pl.col("position") == "A"), {}, NOON + timedelta(minutes=2)
    )
    assert decisions["rule"].to_list() == [None]


@pytest.mark.parametrize(
    "edit", [("reduce: half}, once: true", "reduce: half}"), ("{reduce: half}", "close")]
)
def test_what_an_edited_tier_did_is_remembered_until_a_rollback(edit: tuple[str, str]) -> None:
    before, edited = book_of(), book_of(edit)
    state = carried(remembered(before), before, edited)
    frame = pl.DataFrame({"position": ["A"], "profit": [0.1], "dte": [40.0]})
    after, _ = rules.step(edited, state, frame, {}, NOON + timedelta(minutes=1))
    again = carried(remembering(after, state), edited, before)
    later = frame.with_columns(profit=0.25)
    _, decisions = rules.step(before, again, later, {}, NOON + timedelta(minutes=2))
    assert decisions["rule"].to_list() == [None], "half of it was closed once"


def test_a_step_that_forgets_nothing_is_left_as_it_is() -> None:
    book = book_of()
    state = remembered(book)
    assert remembering(state, state) is state

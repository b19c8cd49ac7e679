"""Mutes: a rule lets something alone until a time, and says so."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

import rules
from rules.mute_reader import read_until
from rules.rulebook import Rulebook

NOON = datetime(2026, 3, 20, 16, 0, tzinfo=UTC)
UNTIL = datetime(2026, 3, 20, 19, 30, tzinfo=UTC)


def muted(on: str, keys: str = "", until: str = "2026-03-20T19:30Z") -> Rulebook:
    return rules.parse(f"""
rules:
  - {{id: take, priority: 1, when: profit >= 50%, do: close{keys}}}
  - {{id: less, priority: 2, when: profit >= 60%, do: {{reduce: 1}}}}
mutes:
  - {{rule: take, on: {on}, until: {until}, reason: earnings}}
""")


def decided(book: Rulebook, now: datetime = NOON, **facts: Any) -> tuple[str | None, str | None]:
    frame = pl.DataFrame({"position": ["P-1"], "profit": [0.5]}).with_columns(
        [pl.lit(value).alias(name) for name, value in facts.items()]
    )
    _, decisions = rules.step(book, rules.initial_state(), frame, {}, now)
    return decisions["rule"][0], decisions["kind"][0]


@pytest.mark.parametrize(
    ("on", "facts"),
    [
        ("P-1", {}),
        ("IWM", {"underlying": "IWM"}),
        ("iron_condor", {"structure": "iron_condor"}),
        ("wheel", {"strategy": "wheel"}),
    ],
)
def test_a_muted_rule_decides_as_a_shadow_until_its_time(on: str, facts: dict[str, str]) -> None:
    book = muted(on)
    assert decided(book, **facts) == ("take", "shadow")
    assert decided(book, UNTIL - timedelta(microseconds=1), **facts) == ("take", "shadow")
    assert decided(book, UNTIL, **facts) == ("take", "decision")


def test_what_is_not_muted_is_acted_on() -> None:
    assert decided(muted("IWM"), underlying="SPY") == ("take", "decision")
    assert decided(muted("IWM")) == ("take", "decision")


def test_a_rule_below_acts_while_the_one_above_is_muted() -> None:
    assert decided(muted("P-1"), profit=0.7) == ("less", "decision")
    assert decided(muted("P-1"), UNTIL, profit=0.7) == ("take", "decision")


def test_what_was_muted_acts_at_once_when_the_mute_ends() -> None:
    book = rules.parse("""
rules:
  - {id: part, priority: 1, tiers: [{when: profit >= 50%, do: {reduce: half}, once: true}], cooldown: 1d}
mutes:
  - {rule: part, on: P-1, until: 2026-03-20T19:30Z, reason: earnings}
""")
    facts = pl.DataFrame({"position": ["P-1"], "profit": [0.5]})
    state, kinds = rules.initial_state(), []
    for moment in (NOON, UNTIL, UNTIL + timedelta(seconds=1)):
        state, decisions = rules.step(book, state, facts, {}, moment)
        kinds.append(decisions["kind"][0])
    assert kinds == ["shadow", "decision", None]


def test_a_rule_of_the_book_is_muted_on_the_book() -> None:
    book = rules.parse("""
rules:
  - {id: limits, priority: 1, scope: book, when: book_positions > 3, do: block_entries}
mutes:
  - {rule: limits, on: book, until: 2026-03-20T19:30Z, reason: I know}
""")
    facts = pl.DataFrame({"position": ["P-1"]})
    kinds = [
        rules.step(book, rules.initial_state(), facts, {"book_positions": 9}, now)[1]["kind"][0]
        for now in (NOON, UNTIL)
    ]
    assert kinds == ["shadow", "decision"]


def test_an_explanation_tells_the_mute_with_end_and_reason() -> None:
    facts = {"position": "P-1", "profit": 0.5, "underlying": "IWM"}
    explained = rules.explain(muted("IWM"), rules.initial_state(), facts, {}, NOON)
    assert "muted on IWM until 2026-03-20 15:30 New York: earnings" in explained.text("take")
    assert "muted" not in explained.text("less")
    assert explained.data()["rules"][0]["muted"].endswith("earnings")


def test_a_mute_that_has_ended_is_no_mistake_and_can_be_asked_for() -> None:
    book = muted("IWM", until="2026-03-19")
    assert rules.ended(book, datetime(2026, 3, 20, 3, 59, 59, tzinfo=UTC)) == []
    (mute,) = rules.ended(book, datetime(2026, 3, 20, 4, 0, tzinfo=UTC))
    assert rules.told(mute) == "muted on IWM until the end of 2026-03-19: earnings"
    assert mute.mark.line == 6


def test_a_day_ends_in_new_york_also_when_the_clock_changes() -> None:
    assert read_until("2026-01-05") == datetime(2026, 1, 6, 5, 0, tzinfo=UTC)
    assert read_until("2026-03-07") == datetime(2026, 3, 8, 5, 0, tzinfo=UTC)
    assert read_until("2026-03-08") == datetime(2026, 3, 9, 4, 0, tzinfo=UTC)
    assert read_until("2026-03-20 15:30 America/New_York") == UNTIL
    assert read_until("2026-03-20T15:30-04:00") == read_until("2026-03-20T19:30Z") == UNTIL


LINE = "  - {rule: take, on: IWM, until: 2026-03-20, reason: earnings}\n"
SOUND = f"rules:\n  - {{id: take, priority: 1, when: profit >= 50%, do: close}}\nmutes:\n{LINE}"
ADVICE = "write a day (2026-03-20) or a time with its zone (2026-03-20 15:30 America/New_York)"


@pytest.mark.parametrize(
    ("old", "new", "column", "said"),
    [
        ("rule: take", "rule: tkae", 12, "unknown rule tkae: did you mean take?"),
        ("on: IWM", "on: iron_condr", 22, "unknown structure iron_condr: did you mean iron_condor?"),
        ("on: IWM", "on: Iron_Condor", 22, "unknown structure Iron_Condor: did you mean iron_condor?"),
        (
            "on: IWM",
            "on: book",
            22,
            "take is about positions, not the book: name an underlying, a structure, a strategy or a "
            "position, or set `mode: shadow` in the rule",
        ),
        (
            ", until: 2026-03-20",
            "",
            5,
            "a mute needs an end: add `until: 2026-03-20` (to the end of that day in New York)",
        ),
        (
            ", reason: earnings",
            "",
            5,
            "a mute needs a reason, for whoever wonders later: add `reason: earnings`",
        ),
        ("2026-03-20", "tomorrow", 34, f"until tomorrow is neither a day nor a time: {ADVICE}"),
        ("2026-03-20", "2026-02-30", 34, f"until 2026-02-30 is neither a day nor a time: {ADVICE}"),
        (
            "2026-03-20",
            "2026-03-20 15:30",
            34,
            f"until 2026-03-20 15:30 is a time without its zone: {ADVICE}",
        ),
        (
            "2026-03-20",
            "2026-03-20 15:30 New_York",
            34,
            f"until 2026-03-20 15:30 New_York is neither a day nor a time: {ADVICE}",
        ),
        ("on: IWM", "onn: IWM", 18, "unknown key onn in a mute: did you mean on?"),
    ],
)
def test_a_wrong_mute_is_told_with_what_to_write(old: str, new: str, column: int, said: str) -> None:
    with pytest.raises(rules.RulesInvalid) as caught:
        rules.parse(SOUND.replace(LINE, LINE.replace(old, new)))
    problems = [(problem.line, problem.column, problem.message) for problem in caught.value.problems]
    assert (4, column, said) in problems


def test_a_file_without_mutes_may_have_the_key() -> None:
    assert rules.parse(SOUND.replace(LINE, "")).mutes == ()
    assert rules.parse(SOUND.replace("mutes:\n" + LINE, "mutes: []\n")).mutes == ()


def test_a_mute_that_has_ended_is_warned_of_with_its_line() -> None:
    book = muted("IWM", until="2026-03-19")
    assert rules.ended_mutes(book, NOON - timedelta(days=1)) == []
    (warning,) = rules.ended_mutes(book, NOON)
    assert warning.text == (
        "rules.yaml:6:5: warning: this mute has ended, take acts on IWM again: remove it\n"
        "    6 |   - {rule: take, on: IWM, until: 2026-03-19, reason: earnings}\n"
        "            ^\n"
        "      take was muted on IWM until the end of 2026-03-19: earnings"
    )

"""What the rules remember: for, clear_when, cooldown, once, tracked values; and that it is a pure fold."""

import json
import math
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rules
from benchmarks.equality import row_of
from options import RuleError
from rules.fold import step_with_book
from rules.judgement import judge
from rules.rulebook import Rulebook

NOON = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)


def one_rule(when: str = "profit >= 50%", **keys: str) -> Rulebook:
    lines = "".join(f"\n    {key}: {value}" for key, value in keys.items())
    return rules.parse(f"rules:\n  - id: probe\n    priority: 1\n    when: {when}\n    do: close{lines}\n")


def history(book: Rulebook, *seen: tuple[int, float | None]) -> list[bool]:
    """Whether the rule wins at (seconds, profit), one after the other."""
    state = rules.initial_state()
    won = []
    for seconds, profit in seen:
        facts = pl.DataFrame({"position": ["A"], "profit": pl.Series([profit], dtype=pl.Float64)})
        state, decisions = rules.step(book, state, facts, {}, NOON + timedelta(seconds=seconds))
        won.append(decisions["rule"][0] is not None)
    return won


def test_a_condition_must_hold_for_its_time_without_a_break() -> None:
    book = one_rule(**{"for": "30s"})
    assert history(book, (0, 0.5), (29, 0.6), (30, 0.6), (31, 0.6)) == [False, False, True, True]
    assert history(book, (0, 0.5), (20, 0.4), (30, 0.5), (59, 0.5), (60, 0.5)) == [False] * 4 + [True]


def test_an_unknown_moment_is_a_break_unless_unknown_fires() -> None:
    seen = ((0, 0.5), (20, None), (30, 0.5))
    assert history(one_rule(**{"for": "30s"}), *seen) == [False, False, False]
    assert history(one_rule(**{"for": "30s", "unknown": "fire"}), *seen) == [False, False, True]


def test_a_rule_with_clear_when_fires_until_that_is_true() -> None:
    book = one_rule(clear_when="profit < 30%")
    seen = ((0, 0.4), (1, 0.5), (2, 0.4), (3, None), (4, 0.3), (5, 0.29), (6, 0.4))
    assert history(book, *seen) == [False, True, True, True, True, False, False]


def test_a_rule_that_won_cools_down() -> None:
    book = one_rule(cooldown="30m")
    assert history(book, (0, 0.5), (1, 0.5), (1799, 0.5), (1800, 0.5), (1801, 0.5)) == [
        True,
        False,
        False,
        True,
        False,
    ]


def test_release_ends_the_cooldown_of_that_position_only() -> None:
    book = one_rule(cooldown="30m")
    facts = pl.DataFrame({"position": ["A", "B"], "profit": [0.5, 0.5]})
    state, _ = rules.step(book, rules.initial_state(), facts, {}, NOON)
    _, decisions = rules.step(book, state.release("A", "probe"), facts, {}, NOON)
    assert decisions["rule"].to_list() == ["probe", None]


def test_unknown_holds_by_default_and_fires_on_demand_and_is_named_either_way() -> None:
    facts = pl.DataFrame({"position": ["A"]})
    for keys, rule in (({}, None), ({"unknown": "fire"}, "probe")):
        _, decisions = rules.step(one_rule(**keys), rules.initial_state(), facts, {}, NOON)
        assert decisions["rule"].to_list() == [rule]
        assert decisions["unknown"].to_list() == [["probe"]]


TWO_MODES = """
rules:
  - {{id: first, priority: 1, when: profit >= 50%, do: {{close: market}}, mode: {mode}}}
  - {{id: second, priority: 2, when: profit >= 60%, do: {{reduce: 2}}}}
"""


@pytest.mark.parametrize("keys", [{"cooldown": "1d"}, {}])
def test_what_a_shadow_decided_keeps_it_from_nothing_once_it_is_live(keys: dict[str, str]) -> None:
    text = (
        "rules:\n  - id: probe\n    priority: 1\n    mode: shadow\n"
        "    tiers: [{when: profit >= 50%, do: {reduce: half}, once: true}]\n"
    ) + "".join(f"    {key}: {value}\n" for key, value in keys.items())
    shadow, live = rules.parse(text), rules.parse(text.replace("mode: shadow", "mode: live"))
    facts = pl.DataFrame({"position": ["A"], "profit": [0.6]})
    state = rules.initial_state()
    kinds = []
    for second, book in enumerate((shadow, shadow, live, live, shadow, live)):
        now = NOON + timedelta(seconds=second)
        judged = judge(book, state.position("A"), facts.to_dicts()[0], {}, now)
        state, decisions = rules.step(book, state, facts, {}, now)
        kinds.append(decisions["kind"][0])
        assert (judged.winner is None) == (kinds[-1] is None)
        assert {k: v for k, v in judged.memory.items() if v} == {
            k: v for k, v in state.position("A").items() if v
        }
    assert kinds == ["shadow", "shadow", "decision", None, None, None]


@pytest.mark.parametrize(
    ("mode", "profit", "rule", "kind", "fired"),
    [
        ("live", 0.7, "first", "decision", ["first", "second"]),
        ("shadow", 0.7, "second", "decision", ["first", "second"]),
        ("shadow", 0.5, "first", "shadow", ["first"]),
        ("off", 0.7, "second", "decision", ["second"]),
        ("off", 0.5, None, None, []),
    ],
)
def test_a_shadow_rule_decides_only_where_no_live_rule_does(
    mode: str, profit: float, rule: str | None, kind: str | None, fired: list[str]
) -> None:
    book = rules.parse(TWO_MODES.format(mode=mode))
    facts = pl.DataFrame({"position": ["A"], "profit": [profit]})
    _, decisions = rules.step(book, rules.initial_state(), facts, {}, NOON)
    row = decisions.row(0, named=True)
    assert (row["rule"], row["kind"], row["fired"]) == (rule, kind, fired)


@pytest.mark.parametrize(
    ("facts", "fires"),
    [
        ({}, False),
        ({"structure": "iron_condor"}, True),
        ({"structure": "iron_condor", "underlying": "IWM"}, False),
        ({"structure": "iron_condor", "underlying": "IWM", "strategy": "wheel"}, True),
        ({"regime": "crash"}, True),
        ({"regime": "crash", "structure": "stock"}, False),
    ],
)
def test_the_most_specific_override_wins(facts: dict[str, Any], fires: bool) -> None:
    book = one_rule(
        "profit >= $p",
        params="{p: 60%}",
        overrides="{IWM: {p: 70%}, iron_condor: {p: 50%}, wheel: {p: 40%}, crash: {p: 30%}, stock: {p: 90%}}",
    )
    frame = pl.DataFrame(
        {"position": ["A"], "profit": [0.5]} | {name: [value] for name, value in facts.items()}
    )
    _, decisions = rules.step(book, rules.initial_state(), frame, {}, NOON)
    assert (decisions["rule"][0] is not None) is fires


def test_an_argument_of_an_action_may_be_overridden() -> None:
    book = rules.parse("""
rules:
  - id: roll
    priority: 1
    when: dte <= 25d
    do: {roll: {dte: $to}}
    params: {to: 45d}
    overrides: {IWM: {to: 30d}}
""")
    frame = pl.DataFrame({"position": ["A", "B"], "dte": [20, 20], "underlying": ["IWM", "SPY"]})
    _, decisions = rules.step(book, rules.initial_state(), frame, {}, NOON)
    assert [json.loads(params) for params in decisions["params"]] == [{"dte": 30}, {"dte": 45}]


def test_the_lowest_value_can_be_tracked_too() -> None:
    book = rules.parse("""
track: {low_price: min(underlying_price)}
rules:
  - {id: bounce, priority: 1, when: underlying_price >= low_price * 1.10, do: {close: mid}}
""")
    state = rules.initial_state()
    won = []
    for price in (100.0, 90.0, 98.0, 99.5):
        facts = pl.DataFrame({"position": ["A"], "underlying_price": [price]})
        state, decisions = rules.step(book, state, facts, {}, NOON)
        won.append(decisions["rule"][0])
    assert won == [None, None, None, "bounce"]


def test_what_is_remembered_of_absent_positions_is_kept(default_rules: Rulebook) -> None:
    both = pl.DataFrame({"position": ["A", "B"], "profit": [0.3, 0.35]})
    state, _ = rules.step(default_rules, rules.initial_state(), both, {}, NOON)
    state, _ = rules.step(default_rules, state, both.head(1), {}, NOON)
    assert dict(state.tracked().sort("position").iter_rows()) == {"A": 0.3, "B": 0.35}
    state, decisions = rules.step(default_rules, state, both.head(0), {}, NOON)
    assert decisions.height == 0
    assert dict(state.tracked().sort("position").iter_rows()) == {"A": 0.3, "B": 0.35}


def test_an_edited_rules_file_keeps_the_memory_that_still_applies() -> None:
    facts = pl.DataFrame({"position": ["A"], "profit": [0.5]})
    state, _ = rules.step(one_rule(cooldown="30m"), rules.initial_state(), facts, {}, NOON)
    edited = one_rule(cooldown="10m", **{"for": "1s"})
    state, decisions = rules.step(edited, state, facts, {}, NOON + timedelta(minutes=5))
    assert decisions["rule"].to_list() == [None]
    _, decisions = rules.step(edited, state, facts, {}, NOON + timedelta(minutes=10))
    assert decisions["rule"].to_list() == ["probe"]


def test_a_tier_that_is_no_longer_once_acts_again_in_both_evaluators() -> None:
    text = "rules:\n  - {{id: probe, priority: 1, tiers: [{{when: profit >= 50%, do: close{}}}]}}\n"
    facts = pl.DataFrame({"position": ["A"], "profit": [0.5]})
    once, edited = rules.parse(text.format(", once: true")), rules.parse(text.format(""))
    state, _ = rules.step(once, rules.initial_state(), facts, {}, NOON)
    for book, rule in ((once, None), (edited, "probe")):
        _, decisions = rules.step(book, state, facts, {}, NOON)
        judged = judge(book, state.position("A"), facts.row(0, named=True), {}, NOON)
        assert decisions["rule"].to_list() == [rule]
        assert (judged.winner.rule.id if judged.winner else None) == rule


@pytest.mark.parametrize(
    ("facts", "market", "now", "said"),
    [
        ({"profit": [0.1]}, {}, NOON, "text column `position`"),
        ({"position": ["A", "A"]}, {}, NOON, "one row per position"),
        ({"position": ["A", ""]}, {}, NOON, "one row per position"),
        ({"position": ["A", None]}, {}, NOON, "one row per position"),
        ({"position": ["A"], "profit": ["much"]}, {}, NOON, "wrong type"),
        ({"position": ["A"]}, {"vixx": 20.0}, NOON, "unknown fact vixx: did you mean vix"),
        ({"position": ["A"]}, {}, NOON.replace(tzinfo=None), "time with a zone"),
    ],
)
def test_wrong_input_is_refused_in_words(
    default_rules: Rulebook, facts: dict[str, Any], market: dict[str, float], now: datetime, said: str
) -> None:
    with pytest.raises(RuleError, match=said):
        rules.step(default_rules, rules.initial_state(), pl.DataFrame(facts), market, now)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1}', '{"version": 2, "positions": {}}',
                                  '{"version": 1, "positions": {"A": {"since:x:0": "soon"}}}'])  # fmt: skip
def test_a_damaged_state_is_refused(text: str) -> None:
    with pytest.raises(RuleError):
        rules.RuleState.from_json(text)


# The fold against its scalar twin, and against itself

EVERYTHING = """
track: {peak_profit: max(profit), low_delta: min(delta)}
rules:
  - {id: held, priority: 1, when: profit >= 80%, do: close, for: 30s}
  - {id: sticky, priority: 2, when: delta > 1, clear_when: delta < 0.5, do: {close: market}, for: 10s}
  - {id: stop, priority: 3, when: peak_profit >= $arm and profit <= peak_profit * $keep,
     params: {arm: 40%, keep: 40%}, overrides: {iron_condor: {keep: 60%}, crash: {arm: 10%}}, do: close}
  - id: profit
    priority: 4
    tiers:
      - {when: profit >= 70%, do: close, once: true}
      - {when: profit >= 50%, do: {reduce: half}, once: true, urgency: immediate}
      - {when: profit >= 30%, do: {reduce: 1}}
    cooldown: 20s
  - {id: watcher, priority: 5, when: low_delta < -1, do: close, mode: shadow, cooldown: 40s}
  - {id: nervous, priority: 6, when: gamma > 0.5 or vix > 30, do: close, unknown: fire, for: 15s}
  - {id: roll, priority: 7, when: dte <= 25d, do: {roll: {dte: $to}}, params: {to: 45d},
     overrides: {IWM: {to: 30d}}, urgency: {immediate: dte <= 1d, high: dte <= 21d}}
  - {id: limits, priority: 8, scope: book, when: book_positions > 3, do: block_entries, for: 10s}
mutes:
  - {rule: held, on: A, until: 2026-01-05T17:01Z, reason: by its id}
  - {rule: sticky, on: stock, until: 2026-01-05T17:00:40Z, reason: by its structure}
  - {rule: profit, on: IWM, until: 2026-01-05T17:00:30Z, reason: by its underlying}
  - {rule: profit, on: B, until: 2026-01-05T17:02Z, reason: by its id}
  - {rule: watcher, on: SPY, until: 2026-01-05, reason: a shadow already}
  - {rule: limits, on: book, until: 2026-01-05T17:00:45Z, reason: the book}
"""

NUMBER = st.none() | st.sampled_from([math.nan, math.inf]) | st.floats(-2, 2)
FACTS = st.fixed_dictionaries(
    {
        "profit": NUMBER | st.sampled_from([0.3, 0.5, 0.7, 0.8]),
        "delta": NUMBER,
        "gamma": NUMBER,
        "peak_profit": st.none() | st.sampled_from([0.9]),
        "dte": st.none() | st.integers(0, 40),
        "structure": st.sampled_from([None, "iron_condor", "stock"]),
        "underlying": st.sampled_from([None, "IWM", "SPY"]),
        "regime": st.sampled_from([None, "crash", "normal"]),
    }
)
MARKET = st.fixed_dictionaries(
    {
        "vix": st.none() | st.sampled_from([20.0, 40.0, math.nan]),
        "book_positions": st.none() | st.integers(0, 6),
    }
)
STEPS = st.lists(
    st.tuples(
        st.integers(0, 20),
        st.dictionaries(st.sampled_from("ABCD"), FACTS, min_size=1),
        MARKET,
        st.sampled_from(["", "", "", "drop A", "release A profit", "release B watcher"]),
    ),
    min_size=1,
    max_size=12,
)


@pytest.fixture(scope="module")
def everything() -> Rulebook:
    return rules.parse(EVERYTHING)


def frame_of(rows: Mapping[str, Mapping[str, Any]], seed: int = 0) -> pl.DataFrame:
    positions = sorted(rows)
    random.Random(seed).shuffle(positions)
    names = sorted(next(iter(rows.values())))
    return pl.DataFrame(
        [pl.Series("position", positions)]
        + [pl.Series(n, [rows[p][n] for p in positions], rules.FACTS[n].dtype, strict=False) for n in names]
    )


def after(state: rules.RuleState, command: str) -> rules.RuleState:
    match command.split():
        case ["drop", position]:
            return state.drop(position)
        case ["release", position, rule]:
            return state.release(position, rule)
    return state


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_the_fold_and_its_scalar_twin_agree_on_random_histories(
    everything: Rulebook, steps: list[Any]
) -> None:
    state, now = rules.initial_state(), NOON
    memory: dict[str, dict[str, Any]] = {}
    for seconds, rows, market, command in steps:
        now += timedelta(seconds=seconds)
        state, decisions = step_with_book(everything, state, frame_of(rows), market, now)
        for decision in decisions.iter_rows(named=True):
            position = decision["position"]
            facts = {"position": position, **rows.get(position, {})}
            judged = judge(everything, memory.get(position, {}), facts, market, now)
            memory[position] = dict(judged.memory)
            assert decision == row_of(position, judged)
            remembered = {name: value for name, value in judged.memory.items() if value is not False}
            seen = {name: value for name, value in state.position(position).items() if value is not False}
            assert seen == remembered
        state = after(state, command)
        memory = {position: state.position(position) for position in memory}


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_restarts_and_the_order_of_rows_change_nothing(everything: Rulebook, steps: list[Any]) -> None:
    once, again, now = rules.initial_state(), rules.initial_state(), NOON
    for number, (seconds, rows, market, command) in enumerate(steps):
        now += timedelta(seconds=seconds)
        once, decisions = rules.step(everything, once, frame_of(rows), market, now)
        again = rules.RuleState.from_json(again.to_json())
        again, others = rules.step(everything, again, frame_of(rows, seed=number + 1), market, now)
        assert decisions.sort("position").equals(others.sort("position"))
        assert once.to_json() == again.to_json()
        once, again = after(once, command), after(again, command)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_nan_and_infinity_are_the_same_as_nothing(everything: Rulebook, steps: list[Any]) -> None:
    def cleaned(values: Mapping[str, Any]) -> dict[str, Any]:
        return {n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in values.items()}

    raw, clean, now = rules.initial_state(), rules.initial_state(), NOON
    for seconds, rows, market, _ in steps:
        now += timedelta(seconds=seconds)
        raw, decisions = rules.step(everything, raw, frame_of(rows), market, now)
        nulls = {position: cleaned(values) for position, values in rows.items()}
        clean, others = rules.step(everything, clean, frame_of(nulls), cleaned(market), now)
        assert decisions.equals(others)
        assert raw.to_json() == clean.to_json()

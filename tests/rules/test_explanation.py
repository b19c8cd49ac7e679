"""Explain says what step decides, and why."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rules
from rules.explanation import ExplainedRule
from rules.explanation_text import rule_lines
from rules.fold import step_with_book

NOON = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)
CONDOR = {"position": "A", "structure": "iron_condor", "profit": 0.62, "dte": 24}


def one_rule(keys: str = "", when: str = "profit >= 50%") -> rules.Rulebook:
    return rules.parse(
        f"rules:\n  - id: probe\n    priority: 1\n    when: {when}\n    do: close\n    {keys}\n"
    )


def explained(book: rules.Rulebook, market: dict[str, Any] | None = None, **facts: Any) -> rules.Explanation:
    return rules.explain(book, rules.initial_state(), {"position": "A", **facts}, market or {}, NOON)


def test_a_rule_is_shown_as_a_tree_with_values_thresholds_and_distances(
    default_rules: rules.Rulebook,
) -> None:
    explanation = rules.explain(default_rules, rules.initial_state(), CONDOR, {"vix": 20.0}, NOON)
    assert explanation.rule == "take_profit"
    assert explanation.text("take_profit") == (
        "✓ 7 take_profit: wins\n"
        "  ✗ close mid when\n"
        "    ✗ profit >= $full          62 %          80 %  +18 % (23 %)\n"
        "  ✓ reduce half when\n"
        "    ✓ profit >= $half          62 %          50 %"
    )
    assert explanation.text("vix_exit") == (
        "? 4 vix_exit: unknown: vix_change not known\n"
        "  ? close mid when\n"
        "    ? any of\n"
        "      ✗ vix > $level                   20            35  +15 (43 %)\n"
        "      ? vix_change >= $rise       unknown             5"
    )
    assert explanation.text("trailing_stop").endswith("62 %        24.8 %  -37.2 % (150 %)")
    assert explanation.text("dte_roll").startswith("✓ 11 dte_roll: fires\n  ✓ roll 45 when")
    membership = "✓ structure in ('iron_condor', 'iron_butterfly')   iron_condor\n"
    assert membership in explanation.text("delta_risk"), "one line, not one per structure"


def test_no_line_is_longer_than_a_terminal(default_rules: rules.Rulebook) -> None:
    facts = {"profit": 0.1234567, "peak_profit": 0.9876543, "dte": 18, "delta": -0.123, "gamma": 0.0912345}
    for text in (explained(default_rules, **facts).text(), explained(default_rules, position="").text()):
        assert max(map(len, text.splitlines())) <= 100


def test_a_quiet_rule_says_what_is_missing_and_of_alternatives_the_nearest(
    default_rules: rules.Rulebook,
) -> None:
    explanation = explained(default_rules, profit=0.35, peak_profit=0.5, dte=9, iv_change=-0.1)
    assert explanation["trailing_stop"].outcome == "quiet"
    (missing,) = explanation["trailing_stop"].gap.missing  # type: ignore[union-attr]
    assert (missing.shape.fact, missing.distance) == ("profit", pytest.approx(-0.15))
    assert explanation["trailing_stop"].gap.relative == pytest.approx(0.75)  # type: ignore[union-attr]
    head = explanation.text("stop_loss").splitlines()[0]
    assert head == "✗ 5 stop_loss: quiet: profit -235 %", "nearer than two missing things"


@pytest.mark.parametrize(
    ("when", "facts", "outcome", "relative"),
    [
        ("profit >= 80%", {"profit": 0.72}, "near", 0.1),
        ("profit >= 80%", {"profit": 0.71}, "quiet", 0.1125),
        ("profit <= 0%", {"profit": 0.01}, "near", 0.1),
        ("dte <= 1d", {"dte": 2}, "near", 0.1),
        ("dte <= 1d", {"dte": 3}, "quiet", 0.2),
        ("dte < 14d", {"dte": 14}, "near", 1 / 14),
        ("vix > 35", {"vix": 35.0}, "near", 0.0),
        ("50 < iv_rank", {"iv_rank": 46.0}, "near", 0.08),
        ("not profit < 80%", {"profit": 0.76}, "near", 0.05),
        ("profit >= 80% and dte <= 20d", {"profit": 0.76, "dte": 22}, "near", 0.1),
        ("profit >= 80% and dte <= 20d", {"profit": 0.76, "dte": 40}, "quiet", 1.0),
        ("profit >= 80% or dte <= 20d", {"profit": 0.76, "dte": 40}, "near", 0.05),
        ("profit >= 80% or dte <= 20d", {"profit": 0.76}, "unknown", 0.05),
        ("profit >= 80% and dte <= 20d", {"profit": 0.76}, "quiet", None),
        ("profit >= 80% and dte <= 20d", {"profit": 0.8}, "unknown", None),
        ("profit >= 80% and structure == 'stock'", {"profit": 0.76, "structure": "future"}, "quiet", None),
        ("profit >= 80% and structure == 'stock'", {"profit": 0.76, "structure": "stock"}, "near", 0.05),
        ("profit >= 80% and structure != 'stock'", {"profit": 0.9, "structure": "stock"}, "quiet", None),
    ],
)
def test_near_is_within_a_tenth_of_the_threshold_or_one_step(
    when: str, facts: dict[str, Any], outcome: str, relative: float | None
) -> None:
    rule = explained(one_rule(when=f'"{when}"'), **facts)["probe"]
    found = None if rule.gap is None else rule.gap.relative
    assert (rule.outcome, found) == (outcome, relative if relative is None else pytest.approx(relative))


def test_a_fact_that_is_not_known_is_named_with_what_hangs_on_it() -> None:
    book = one_rule(when="(profit >= 50% and dte <= 20d) or (delta > 0.3 and dte <= 10d)")
    unknown = explained(book, dte=15).data()["rules"][0]["unknown"]
    assert unknown == [{"fact": "profit", "decides": True}, {"fact": "delta", "decides": False}]
    text = explained(book, dte=15).text()
    assert text.startswith("? 1 probe: unknown: profit not known")
    assert text.endswith("not known, but without consequence: delta")


def test_a_rule_that_fires_when_unknown_says_so() -> None:
    text = explained(one_rule("unknown: fire")).text()
    assert text.startswith("✓ 1 probe: wins")
    assert text.endswith("not known: profit\n  `unknown: fire`, so it goes on as if its condition were true")


def test_parameters_tell_which_override_gave_them(default_rules: rules.Rulebook) -> None:
    explanation = explained(default_rules, {"regime": "crash"}, profit=0.3)
    settings = {one.name: (one.value, one.by) for one in explanation["take_profit"].settings}
    assert settings == {"full": (0.4, "crash"), "half": (0.5, None)}
    assert explanation.text("take_profit").endswith("  $full is 40 % by the override for crash")


def test_the_data_has_base_units_and_goes_through_json(default_rules: rules.Rulebook) -> None:
    facts = {"max_loss_usd": 500.0, "profit": 0.5, "seq": 7, "peak_profit": math.inf}
    data = json.loads(json.dumps(explained(default_rules, **facts).data(), allow_nan=False))
    assert (data["time"], data["rule"], data["action"]) == (
        "2026-01-05T17:00:00+00:00",
        "take_profit",
        "reduce half",
    )
    assert data["tracked"] == {"peak_profit": 0.5}
    condition = next(rule for rule in data["rules"] if rule["rule"] == "take_profit")["tiers"][0]["condition"]
    assert condition == {
        "kind": "compare",
        "text": "profit >= $full",
        "holds": False,
        "value": 0.5,
        "threshold": 0.8,
        "unit": "ratio",
        "distance": pytest.approx(0.3),
        "relative": pytest.approx(0.375),
    }


def test_the_book_has_an_explanation_of_its_own(default_rules: rules.Rulebook) -> None:
    explanation = rules.explain(
        default_rules, rules.initial_state(), {"position": ""}, {"book_delta_usd": -120_000.0}, NOON
    )
    assert [rule.rule for rule in explanation.rules] == ["portfolio_limits"]
    assert "✓ abs(book_delta_usd) > $delta " in explanation.text()
    assert "$120,000.00   $100,000.00" in explanation.text()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("for: 30s", "… 1 probe: waits: 20 s left, true since 17:00:00 UTC"),
        ("cooldown: 30m", "… 1 probe: waits: cools down for 29.8 min more, won at 17:00:00 UTC"),
        ("mode: shadow", "✓ 1 probe (shadow): wins"),
        ("mode: off", "- 1 probe is off and never wins"),
    ],
)
def test_a_rule_that_waits_or_only_looks_on_says_so(keys: str, said: str) -> None:
    book = one_rule(keys)
    facts = pl.DataFrame({"position": ["A"], "profit": [0.5]})
    state, _ = rules.step(book, rules.initial_state(), facts, {}, NOON)
    later = NOON + timedelta(seconds=10)
    explanation = rules.explain(book, state, {"position": "A", "profit": 0.5}, {}, later)
    assert explanation.text().splitlines()[0] == said
    assert json.loads(json.dumps(explanation.data()))["rules"][0]["mode"] == book.rules[0].mode


def test_a_rule_with_clear_when_shows_whether_it_is_active_and_what_would_clear_it() -> None:
    book = one_rule("clear_when: profit < 30%")
    facts = pl.DataFrame({"position": ["A"], "profit": [0.5]})
    state, _ = rules.step(book, rules.initial_state(), facts, {}, NOON)
    text = rules.explain(book, state, {"position": "A", "profit": 0.4}, {}, NOON).text()
    assert text == (
        "✓ 1 probe: wins\n"
        "  ✗ close mid when\n"
        "    ✗ profit >= 50%          40 %          50 %  +10 % (20 %)\n"
        "  ✗ cleared when (active now)\n"
        "    ✗ profit < 30%           40 %          30 %  -10 % (33 %)"
    )


def test_a_half_that_was_taken_says_so_until_the_whole_is_near(default_rules: rules.Rulebook) -> None:
    facts = pl.DataFrame({"position": ["A"], "profit": [0.55]})
    state, _ = rules.step(default_rules, rules.initial_state(), facts, {}, NOON)
    explanation = rules.explain(default_rules, state, {"position": "A", "profit": 0.55}, {}, NOON)
    assert explanation.rule is None
    assert explanation.text("take_profit").startswith("… 7 take_profit: waits: has acted once already")
    assert "✓ reduce half when, done once already" in explanation.text("take_profit")
    later = rules.explain(default_rules, state, {"position": "A", "profit": 0.79}, {}, NOON)
    assert later.text("take_profit").startswith("≈ 7 take_profit: near: profit +1 %")


# What it says is what `step` does

MEMORABLE = """
track: {peak_profit: max(profit)}
mutes: [{rule: profit, on: stock, until: 2026-01-05T17:00:30Z, reason: quiet}]
rules:
  - {id: held, priority: 1, when: profit >= 80%, do: close, for: 30s}
  - {id: sticky, priority: 2, when: delta > 1, clear_when: delta < 0.5, do: {close: market}, for: 10s}
  - {id: stop, priority: 3, when: peak_profit >= $arm and profit <= peak_profit * $keep,
     params: {arm: 40%, keep: 40%}, overrides: {iron_condor: {keep: 60%}, crash: {arm: 10%}}, do: close}
  - id: profit
    priority: 4
    tiers:
      - {when: not profit < 70%, do: close, once: true}
      - {when: 50% <= profit, do: {reduce: half}, once: true}
      - {when: profit between 30% and 40%, do: {reduce: 1}}
    cooldown: 20s
  - {id: watcher, priority: 5, when: delta / profit < -1, do: close, mode: shadow, cooldown: 40s}
  - {id: nervous, priority: 6, when: gamma > 0.5 or vix > 30, do: close, unknown: fire, for: 15s}
  - {id: asleep, priority: 7, when: profit > 0%, do: close, mode: off}
  - {id: shares, priority: 8, when: "structure == 'stock' and min(delta, gamma) > 0", do: close}
  - {id: limits, priority: 9, scope: book, when: vix > 30, do: block_entries, for: 10s}
"""
NUMBER = st.none() | st.sampled_from([math.nan, -0.0, 0.3, 0.4, 0.5, 0.7, 0.8]) | st.floats(-2, 2)
FACTS = st.fixed_dictionaries(
    {
        "profit": NUMBER,
        "delta": NUMBER,
        "gamma": NUMBER,
        "structure": st.sampled_from([None, "iron_condor", "stock"]),
    }
)
MARKET = st.fixed_dictionaries({"vix": NUMBER | st.just(31.0), "regime": st.sampled_from([None, "crash"])})
BEATS = st.lists(
    st.tuples(st.integers(0, 20), st.dictionaries(st.sampled_from("AB"), FACTS, min_size=1), MARKET),
    min_size=1,
    max_size=10,
)


@pytest.fixture(scope="module")
def memorable() -> rules.Rulebook:
    return rules.parse(MEMORABLE)


@settings(max_examples=60, deadline=None)
@given(beats=BEATS)
def test_the_explanation_says_what_step_does_through_random_histories(
    memorable: rules.Rulebook, beats: list[Any]
) -> None:
    book, state, now = memorable, rules.initial_state(), NOON
    for seconds, rows, market in beats:
        now += timedelta(seconds=seconds)
        names = ("profit", "delta", "gamma", "structure")
        columns = [pl.Series(n, [rows[p][n] for p in rows], rules.FACTS[n].dtype) for n in names]
        frame = pl.DataFrame([pl.Series("position", list(rows)), *columns])
        after, decisions = step_with_book(book, state, frame, market, now)
        for decision in decisions.iter_rows(named=True):
            position = decision["position"]
            facts = {"position": position, **rows.get(position, {})}
            explanation = rules.explain(book, state, facts, market, now)
            said = {one.rule: one for one in explanation.rules}
            firing = [rule for rule, one in said.items() if one.outcome in ("wins", "fires")]
            assert explanation.rule == decision["rule"]
            assert [rule for rule, one in said.items() if one.outcome == "wins"] == (
                [decision["rule"]] if decision["rule"] else []
            )
            assert firing == decision["fired"]
            undecided = [rule for rule, one in said.items() if one.judged.holds is None]
            assert undecided == [rule for rule in decision["unknown"] if rule in said]
            for one in said.values():
                _check_against_its_outcome(one)
            json.dumps(explanation.data(), allow_nan=False)
        state = after


def _check_against_its_outcome(one: ExplainedRule) -> None:
    is_there = one.gap is not None and not one.gap.missing
    if one.outcome in ("wins", "fires"):
        assert is_there
    elif is_there:
        assert one.outcome in ("waits", "off"), "at no distance it fires, unless it waits"
    if one.outcome == "unknown":
        assert any(one.unknown.values()) or one.rule == "watcher", "a division by zero has no value"
    text = "\n".join(rule_lines(one))
    assert one.rule in text
    assert "None" not in text


COMPARISONS = (
    "profit {} 37%", "37% {} profit", "profit {} iv_change", "profit {} iv_change * 0.4", "dte {} 14d",
    "dte {} 14.5d", "profit_usd {} $100", "profit {} 0%", "profit {} 1e300",
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    shape=st.sampled_from(COMPARISONS),
    operator=st.sampled_from(["<", "<=", ">", ">=", "=="]),
    negated=st.booleans(),
    value=st.floats(-1e9, 1e9) | st.floats(-2, 2) | st.sampled_from([0.37, 14.0, 100.0, 0.0]),
    other=st.floats(-2, 2),
)
def test_a_fact_moved_by_the_shown_distance_makes_its_comparison_true(
    shape: str, operator: str, negated: bool, value: float, other: float
) -> None:
    condition = shape.format(operator)
    name = next(fact for fact in ("profit_usd", "profit", "dte") if fact in condition)
    if name == "dte":
        value = float(round(value))
    book = one_rule(when=f"not {condition}" if negated else condition)
    facts = {name: value, "iv_change": other}
    rule = explained(book, **facts)["probe"]
    if rule.judged.holds:
        assert rule.gap == (0.0, ())
        return
    if rule.gap is None:
        assert operator == "==", "only from equal to not equal there is no nearest value"
        return
    (missing,) = rule.gap.missing
    assert missing.shape.fact == name
    moved = explained(book, **{**facts, name: value + missing.distance})
    if operator == "==":
        assert moved["probe"].gap is not None
        left = sum(abs(one.distance) for one in moved["probe"].gap.missing)
        assert left <= 2 * math.ulp(max(abs(value), missing.threshold)), "equal to the last digit"
    else:
        assert moved.rule == "probe"

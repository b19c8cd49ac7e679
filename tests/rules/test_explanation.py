"""Explain says what step decides, and why."""

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

import rules

NOON = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)


def test_a_rule_is_shown_as_a_tree_with_values_thresholds_and_distances(
    default_rules: rules.Rulebook,
) -> None:
    facts = {"position": "A", "structure": "iron_condor", "profit": 0.62, "dte": 24}
    explanation = rules.explain(default_rules, rules.initial_state(), facts, {"vix": 20.0}, NOON)
    assert explanation.rule == "take_profit"
    assert explanation.text("take_profit") == (
        "✓ 7 take_profit: wins\n"
        "  ✗ close mid when\n"
        "    ✗ profit >= $full  (62 % against 80 %, 18 % away)\n"
        "  ✓ reduce half when\n"
        "    ✓ profit >= $half  (62 % against 50 %)"
    )
    assert explanation.text("vix_exit") == (
        "? 4 vix_exit: unknown\n"
        "  ? close mid when\n"
        "    ? any of\n"
        "      ✗ vix > $level  (20 against 35, 15 away)\n"
        "      ? vix_change >= $rise  (unknown against 5)"
    )
    assert explanation.text("trailing_stop").endswith("(62 % against 24.8 %, 37.2 % away)")
    assert explanation.text("dte_roll").startswith("✓ 11 dte_roll: fires\n  ✓ roll 45 when")


def test_the_data_has_base_units_and_goes_through_json(default_rules: rules.Rulebook) -> None:
    facts = {"position": "A", "max_loss_usd": 500.0, "profit": 0.5, "seq": 7}
    data = rules.explain(default_rules, rules.initial_state(), facts, {}, NOON).data()
    assert json.loads(json.dumps(data))["time"] == "2026-01-05T17:00:00+00:00"
    condition = next(rule for rule in data["rules"] if rule["rule"] == "take_profit")["tiers"][0]["condition"]
    assert (condition["value"], condition["threshold"], condition["holds"]) == (0.5, 0.8, False)
    assert condition["distance"] == pytest.approx(0.3)


def test_the_book_has_an_explanation_of_its_own(default_rules: rules.Rulebook) -> None:
    explanation = rules.explain(
        default_rules, rules.initial_state(), {"position": ""}, {"book_delta_usd": -120_000.0}, NOON
    )
    assert [rule.rule for rule in explanation.rules] == ["portfolio_limits"]
    assert "✓ abs(book_delta_usd) > $delta  ($120,000.00 against $100,000.00)" in explanation.text()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("for: 30s", "waits: holds for 10 s of 30 s"),
        ("cooldown: 30m", "waits: cools down for 1800 s since 17:00:00"),
        ("clear_when: profit < 10%", "wins"),
        ("mode: shadow", "wins"),
    ],
)
def test_a_rule_that_waits_says_for_what(keys: str, said: str) -> None:
    book = rules.parse(
        f"rules:\n  - id: probe\n    priority: 1\n    when: profit >= 50%\n    do: close\n    {keys}\n"
    )
    facts = pl.DataFrame({"position": ["A"], "profit": [0.5]})
    state, _ = rules.step(book, rules.initial_state(), facts, {}, NOON)
    later = NOON + timedelta(seconds=10)
    explanation = rules.explain(book, state, {"position": "A", "profit": 0.5}, {}, later)
    assert said in explanation.text().splitlines()[0]


def test_a_half_that_was_taken_says_so(default_rules: rules.Rulebook) -> None:
    facts = pl.DataFrame({"position": ["A"], "profit": [0.55]})
    state, _ = rules.step(default_rules, rules.initial_state(), facts, {}, NOON)
    explanation = rules.explain(default_rules, state, {"position": "A", "profit": 0.55}, {}, NOON)
    assert explanation.rule is None
    assert explanation.text("take_profit").startswith("✗ 7 take_profit: waits: has acted once already")

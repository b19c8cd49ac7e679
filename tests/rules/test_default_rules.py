"""One story per rule of the shipped file, at the edges of its numbers."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

import rules

NOON = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)
Decide = Callable[..., dict[str, Any]]


def test_the_file_ships_the_twelve_rules_in_the_order_of_the_table(default_rules: rules.Rulebook) -> None:
    assert [rule.id for rule in default_rules.rules] == [
        "catastrophe",
        "single_leg_exit",
        "trailing_stop",
        "vix_exit",
        "stop_loss",
        "time_exit",
        "take_profit",
        "delta_risk",
        "gamma_risk",
        "iv_crush",
        "dte_roll",
        "portfolio_limits",
    ]
    assert [rule.priority for rule in default_rules.rules] == list(range(1, 13))
    for rule in default_rules.rules:
        assert {example.fires for example in rule.examples} == {True, False}, rule.id


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        ({"underlying_change_1h": -0.03}, "catastrophe"),
        ({"underlying_change_1h": -0.0299}, None),
        ({"iv_change": 0.5}, "catastrophe"),
        ({"iv_change": 0.499}, None),
        ({"structure": "short_put", "profit": 0.8}, "single_leg_exit"),
        ({"structure": "short_put", "profit": 0.4999}, None),
        ({"structure": "short_call", "profit": -0.5}, "single_leg_exit"),
        ({"structure": "long_call", "dte": 21}, "single_leg_exit"),
        ({"structure": "long_call", "dte": 22}, "dte_roll"),
        ({"structure": "iron_condor", "profit": -0.5}, None),
        ({"peak_profit": 0.5, "profit": 0.2}, "trailing_stop"),
        ({"peak_profit": 0.5, "profit": 0.2001}, None),
        ({"peak_profit": 0.4, "profit": 0.16}, "trailing_stop"),
        ({"peak_profit": 0.3999, "profit": 0.0}, None),
        ({"vix": 35.01}, "vix_exit"),
        ({"vix": 35.0}, None),
        ({"vix_change": 5.0}, "vix_exit"),
        ({"vix_change": 4.99}, None),
        ({"profit": -2.0}, "stop_loss"),
        ({"profit": -1.9999}, None),
        ({"profit": -0.5, "dte": 6}, "stop_loss"),
        ({"profit": -0.5, "dte": 7}, "dte_roll"),
        ({"profit": -0.4999, "dte": 6}, "dte_roll"),
        ({"dte": 1}, "time_exit"),
        ({"dte": 2}, "dte_roll"),
        ({"profit": 0.80}, "take_profit"),
        ({"profit": 0.50}, "take_profit"),
        ({"profit": 0.4999}, None),
        ({"profit": 0.40, "regime": "crash"}, "take_profit"),
        ({"profit": 0.3999, "regime": "crash"}, None),
        ({"structure": "iron_condor", "delta": 0.3001}, "delta_risk"),
        ({"structure": "iron_condor", "delta": -0.3001}, "delta_risk"),
        ({"structure": "iron_butterfly", "delta": 0.3}, None),
        ({"structure": "put_credit_spread", "delta": 0.4}, None),
        ({"structure": "call_debit_spread", "delta": 0.4001}, "delta_risk"),
        ({"structure": "short_strangle", "delta": 0.9}, None),
        ({"gamma": -0.1001, "dte": 13}, "gamma_risk"),
        ({"gamma": 0.1, "dte": 13}, "dte_roll"),
        ({"gamma": 0.1001, "dte": 14}, "dte_roll"),
        ({"iv_change": -0.3, "profit": 0.2001}, "iv_crush"),
        ({"iv_change": -0.3, "profit": 0.2}, None),
        ({"iv_change": -0.2999, "profit": 0.3}, None),
        ({"iv_percentile": 29.9, "profit": 0.3}, "iv_crush"),
        ({"iv_percentile": 30.0, "profit": 0.3}, None),
        ({"dte": 25}, "dte_roll"),
        ({"dte": 26}, None),
    ],
)
def test_a_rule_acts_from_its_threshold_on_and_not_before(
    decide: Decide, facts: dict[str, Any], rule: str | None
) -> None:
    assert decide(**facts)["rule"] == rule


@pytest.mark.parametrize(
    ("facts", "action", "params", "urgency"),
    [
        ({"iv_change": 0.6}, "close", {"price": "market"}, "immediate"),
        ({"structure": "long_put", "profit": 0.9}, "close", {"price": "mid"}, "normal"),
        ({"profit": -2.5}, "close", {"price": "market"}, "immediate"),
        ({"profit": 0.8}, "close", {"price": "mid"}, "normal"),
        ({"profit": 0.7999}, "reduce", {"count": "half"}, "normal"),
        ({"profit": 0.8999, "regime": "low_vol"}, "reduce", {"count": "half"}, "normal"),
        ({"profit": 0.9, "regime": "low_vol"}, "close", {"price": "mid"}, "normal"),
        ({"profit": 0.5, "regime": "high_vol"}, "close", {"price": "mid"}, "normal"),
        ({"profit": 0.5, "regime": None}, "reduce", {"count": "half"}, "normal"),
        ({"dte": 25}, "roll", {"dte": 45}, "normal"),
        ({"dte": 22}, "roll", {"dte": 45}, "normal"),
        ({"dte": 21}, "roll", {"dte": 45}, "high"),
        ({"dte": 0}, "close", {"price": "mid"}, "high"),
    ],
)
def test_what_a_rule_does_and_how_urgently(
    decide: Decide, facts: dict[str, Any], action: str, params: dict[str, Any], urgency: str
) -> None:
    decision = decide(**facts)
    assert (decision["action"], json.loads(decision["params"]), decision["urgency"]) == (
        action,
        params,
        urgency,
    )
    assert decision["kind"] == "decision"


def test_gamma_risk_and_time_exit_win_over_dte_roll(decide: Decide) -> None:
    assert decide(dte=1, gamma=0.2)["rule"] == "time_exit"
    near = decide(dte=10, gamma=0.2)
    assert near["rule"] == "gamma_risk"
    assert near["fired"] == ["gamma_risk", "dte_roll"]


def test_everything_at_once_is_decided_by_the_first_rule_and_names_the_others(decide: Decide) -> None:
    decision = decide(
        structure="iron_condor",
        underlying_change_1h=-0.05,
        profit=-2.5,
        peak_profit=0.5,
        vix=40.0,
        dte=1,
        delta=0.5,
        gamma=0.2,
    )
    assert (decision["rule"], decision["priority"]) == ("catastrophe", 1)
    assert decision["fired"] == [
        "catastrophe",
        "trailing_stop",
        "vix_exit",
        "stop_loss",
        "time_exit",
        "delta_risk",
        "gamma_risk",
        "dte_roll",
    ]


def test_a_position_of_which_nothing_is_known_is_left_alone_and_says_so(decide: Decide) -> None:
    decision = decide()
    assert decision["rule"] is None
    assert decision["fired"] == []
    assert len(decision["unknown"]) == 11


def test_the_trailing_stop_remembers_the_peak(default_rules: rules.Rulebook) -> None:
    state = rules.initial_state()
    won = []
    for profit in (0.10, 0.30, 0.45, None, 0.28, 0.18):
        facts = pl.DataFrame({"position": ["A"], "profit": [profit]}, schema_overrides={"profit": pl.Float64})
        state, decisions = rules.step(default_rules, state, facts, {}, NOON)
        won.append(decisions["rule"][0])
    assert won == [None, None, None, None, None, "trailing_stop"]
    assert state.tracked().to_dicts() == [{"position": "A", "peak_profit": 0.45}]


def test_half_is_taken_once_until_it_is_released_or_the_position_is_new(
    default_rules: rules.Rulebook,
) -> None:
    facts = pl.DataFrame({"position": ["A"], "profit": [0.55]})

    def after(state: rules.RuleState) -> tuple[rules.RuleState, str | None]:
        state, decisions = rules.step(default_rules, state, facts, {}, NOON)
        return state, decisions["action"][0]

    state, action = after(rules.initial_state())
    assert action == "reduce"
    state, action = after(state)
    assert action is None
    assert after(state.release("B", "take_profit"))[1] is None
    assert after(state.release("A", "dte_roll"))[1] is None
    assert after(state.release("A", "take_profit"))[1] == "reduce"
    assert after(state.drop("A"))[1] == "reduce"


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("book_delta_usd", -100_001.0),
        ("book_gamma_usd", -100_001.0),
        ("book_vega_usd", -2_001.0),
        ("book_theta_usd", 1_001.0),
        ("book_var_usd", 5_001.0),
        ("book_buying_power_used", 0.51),
        ("book_concentration", 0.26),
        ("book_positions_one_underlying", 3),
        ("book_positions", 21),
    ],
)
def test_each_limit_of_the_book_blocks_entries(decide: Decide, limit: str, value: float) -> None:
    decision = decide({limit: value})
    assert (decision["position"], decision["rule"]) == ("", "portfolio_limits")
    assert (decision["action"], json.loads(decision["params"])) == (
        "block_entries",
        {"then": "reduce_largest"},
    )


def test_three_condors_in_an_ordinary_account_are_within_the_limits(decide: Decide) -> None:
    market = {
        "book_delta_usd": 36_000.0,
        "book_gamma_usd": -43_000.0,
        "book_vega_usd": -300.0,
        "book_theta_usd": 60.0,
        "book_var_usd": 1_500.0,
        "book_buying_power_used": 0.06,
        "book_concentration": 0.02,
        "book_positions": 3,
        "book_positions_one_underlying": 2,
    }
    assert decide(market)["position"] == "A"

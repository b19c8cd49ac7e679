"""Twelve rules that remember, with positions to judge by them; all that a rule may have occurs in them."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

import rules
from rules import Rulebook, RuleState

START = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)
BEAT = timedelta(seconds=20)

TEXT = """
track: {peak_profit: max(profit), worst_profit: min(profit)}
rules:
  - {id: catastrophe, priority: 1, when: underlying_change_1h <= -3% or iv_change >= 50%, for: 10s,
     do: {close: market}, urgency: immediate}
  - id: single_leg_exit
    priority: 2
    when: structure in ('short_put', 'long_put') and (profit >= 80% or profit <= -50% or dte <= 21d)
    cooldown: 10m
    do: {close: mid}
  - {id: trailing_stop, priority: 3, when: peak_profit >= 40% and profit <= peak_profit * $keep, for: 30s,
     params: {keep: 40%}, overrides: {iron_condor: {keep: 50%}}, do: {close: mid}}
  - {id: vix_exit, priority: 4, when: vix_change >= 5vol, clear_when: vix_change < 3vol, do: {close: mid}}
  - {id: stop_loss, priority: 5, when: profit <= -200% or dte < 7d and profit <= -50%, for: 20s,
     do: {close: market}}
  - {id: time_exit, priority: 6, when: dte <= 1d, cooldown: 5m, do: {close: mid}, urgency: high}
  - id: take_profit
    priority: 7
    tiers:
      - {when: profit >= 80%, do: {close: mid}}
      - {when: profit >= 50%, do: {reduce: half}, once: true}
  - {id: delta_risk, priority: 8, when: abs(delta) > 0.45, clear_when: abs(delta) < 0.3, do: {close: mid}}
  - {id: gamma_risk, priority: 9, when: abs(gamma) > 0.3 and dte < 14d, for: 1m, do: {close: mid}}
  - {id: iv_crush, priority: 10, when: iv_change <= -30% and profit > 20%, cooldown: 30m, do: {close: mid}}
  - {id: dte_roll, priority: 11, when: dte <= 25d, cooldown: 1h, do: {roll: {dte: 45d}},
     urgency: {high: dte <= 21d}}
  - id: recovered
    priority: 12
    tiers: [{when: worst_profit <= -60% and profit > -10%, do: {close: mid}, once: true}]
"""

NUMBERS = ("profit", "delta", "gamma", "iv_change", "underlying_change_1h")
"""Facts that are drawn around zero; `vix_change` is drawn in points, `dte` in days."""


def book() -> Rulebook:
    """The twelve, compiled anew."""
    return rules.parse(TEXT)


def positions(count: int, seed: int) -> pl.DataFrame:
    """Random positions in which a few rules fire, 5 % of the values unknown.

    Numbers have four decimals: durable_rules reads no number such as 1e-05.
    """
    chance = random.Random(seed)

    def some(values: Callable[[], Any]) -> list[Any]:
        return [None if chance.random() < 0.05 else values() for _ in range(count)]

    def drawn(width: float) -> list[Any]:
        return some(lambda: round(chance.gauss(0, width), 4))

    structures = ("iron_condor", "put_credit_spread", "short_put", "iron_butterfly")
    columns = [pl.Series("position", [f"P{number}" for number in range(count)])]
    columns += [pl.Series(name, drawn(0.3), pl.Float64) for name in NUMBERS if name != "underlying_change_1h"]
    columns.append(pl.Series("underlying_change_1h", drawn(0.015), pl.Float64))
    columns.append(pl.Series("vix_change", drawn(3), pl.Float64))
    columns.append(pl.Series("dte", some(lambda: chance.randint(0, 90)), pl.Int64))
    columns.append(pl.Series("structure", some(lambda: chance.choice(structures)), pl.String))
    return pl.DataFrame(columns)


def after_beats(of: Rulebook, count: int, beats: int) -> tuple[RuleState, datetime]:
    """What is remembered of so many positions after so many beats, and the time of the next one."""
    state, now = rules.initial_state(), START
    for beat in range(beats):
        state, _ = rules.step(of, state, positions(count, seed=beat), {}, now)
        now += BEAT
    return state, now

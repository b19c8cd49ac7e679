"""A rulebook compiled once: which columns to compute from facts and state, in which order, and who wins."""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal as OneOf

import polars as pl

from rules.columns import Columns, any_of
from rules.expression import Parameter
from rules.mutes import NAMED_BY, ON_BOOK
from rules.nearness import Nearness, nearness_of
from rules.rulebook import Action, Mute, Rule, Rulebook, Tier
from rules.state import BOOK, TIME, active_column, last_column, latch_column, since_column, state_schema

DECISIONS: dict[str, pl.DataType | type[pl.DataType]] = {
    "position": pl.String,
    "rule": pl.String,
    "priority": pl.Int64,
    "action": pl.String,
    "params": pl.String,
    "urgency": pl.String,
    "kind": pl.String,
    "fired": pl.List(pl.String),
    "unknown": pl.List(pl.String),
}

_NOW = pl.col("@now")
_BITS = pl.UInt64


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A tier that can win, in the order of winning.

    `muted`: only where a mute is in force; without it, only where none is.
    """

    rule: Rule
    index: int
    tier: Tier
    muted: bool = False

    @property
    def kind(self) -> OneOf["decision", "shadow"]:
        return "shadow" if self.muted or self.rule.mode == "shadow" else "decision"


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled rulebook: layers of columns over facts and state, then the look-up of outcomes.

    `nearness`: over the last layer, how near each rule is; no step needs it.
    """

    facts: tuple[str, ...]
    state: Mapping[str, pl.DataType | type[pl.DataType]]
    layers: tuple[tuple[pl.Expr, ...], ...]
    rule_ids: tuple[str, ...]
    outcomes: pl.DataFrame
    nearness: Nearness


@functools.lru_cache(maxsize=8)
def plan_of(book: Rulebook) -> Plan:
    columns = Columns()
    for item in book.tracked:
        columns.track(item)
    rules = [rule for rule in book.rules if rule.mode != "off"]
    masks: list[pl.Expr] = []
    for rule in rules:
        masks += _masks(rule, columns)
        masks += _mutes(book.mutes_of(rule.id), rule, columns)
    outcomes = _outcomes(book, rules)
    params = [_params(outcome, number, columns) for number, outcome in enumerate(outcomes)]
    layers = (
        *columns.layers,
        masks,
        [expression for rule in rules for expression in _held_since(rule)],
        [expression for rule in rules for expression in _active(rule)],
        [
            _may_win(rule, index).alias(_hot(rule, index))
            for rule in rules
            for index in range(len(rule.tiers))
        ],
        _result(book, outcomes, rules),
        [*_memory(outcomes), _first("@params", [p for p in params if p is not None]), _urgency(outcomes)],
    )
    return Plan(
        facts=tuple(columns.facts),
        state=state_schema(book),
        layers=tuple(tuple(layer) for layer in layers if layer),
        rule_ids=tuple(rule.id for rule in rules),
        outcomes=_outcome_table(outcomes),
        nearness=nearness_of(book, rules, columns),
    )


def _outcomes(book: Rulebook, rules: Sequence[Rule]) -> list[_Outcome]:
    """Those that act first, by priority; then those that only decide: shadows, and what is muted."""
    acting = [(rule, False) for rule in rules if rule.mode == "live"]
    deciding = [
        (rule, rule.mode == "live") for rule in rules if rule.mode == "shadow" or book.mutes_of(rule.id)
    ]
    return [
        _Outcome(rule, index, tier, muted)
        for rule, muted in (*acting, *deciding)
        for index, tier in enumerate(rule.tiers)
    ]


def _when(rule: Rule, index: int) -> str:
    return f"when:{rule.id}:{index}"


def _hot(rule: Rule, index: int) -> str:
    return f"hot:{rule.id}:{index}"


def _urgent(rule: Rule, index: int, word: str) -> str:
    return f"urgent:{rule.id}:{index}:{word}"


def _masks(rule: Rule, columns: Columns) -> list[pl.Expr]:
    """Kleene conditions: true, false or null, false in rows that the rule is not about.

    Each is joined with `&`: by itself `0 < x` is one single value in polars where x is unknown everywhere.
    """
    everywhere = pl.col("position").is_not_null()
    mine = pl.col("position") == BOOK if rule.scope == "book" else pl.col("position") != BOOK
    masks: list[pl.Expr] = []
    for index, tier in enumerate(rule.tiers):
        masks.append((columns.condition(tier.when, rule) & mine).alias(_when(rule, index)))
        for word, node in tier.urgent_when:
            masks.append((columns.condition(node, rule) & everywhere).alias(_urgent(rule, index, word)))
    if rule.clear_when:
        masks.append((columns.condition(rule.clear_when, rule) & everywhere).alias(f"clear:{rule.id}"))
    return masks


def _mutes(mutes: Sequence[Mute], rule: Rule, columns: Columns) -> list[pl.Expr]:
    """Whether a mute is in force in the row: as `mutes.mute_of` has it."""
    if not mutes:
        return []
    columns.facts |= dict.fromkeys(NAMED_BY[1:])
    in_force = []
    for mute in mutes:
        names = [pl.col(NAMED_BY[0]) == (BOOK if mute.on == ON_BOOK else mute.on)]
        names += [pl.col(name) == mute.on for name in NAMED_BY[1:]]
        in_force.append((pl.lit(mute.until, TIME) > _NOW) & pl.any_horizontal(names).fill_null(False))
    return [pl.any_horizontal(in_force).alias(_muted(rule))]


def _muted(rule: Rule) -> str:
    return f"muted:{rule.id}"


def _met(rule: Rule, index: int) -> pl.Expr:
    return pl.col(_when(rule, index)).fill_null(rule.fires_when_unknown)


def _held_since(rule: Rule) -> list[pl.Expr]:
    if not rule.hold_s:
        return []
    return [
        pl.when(_met(rule, index))
        .then(pl.coalesce(since_column(rule.id, index), _NOW))
        .alias(since_column(rule.id, index))
        for index in range(len(rule.tiers))
    ]


def _held(rule: Rule, index: int) -> pl.Expr:
    if not rule.hold_s:
        return _met(rule, index)
    held = _NOW - pl.col(since_column(rule.id, index)) >= timedelta(seconds=rule.hold_s)
    return _met(rule, index) & held.fill_null(False)


def _active(rule: Rule) -> list[pl.Expr]:
    if not rule.clear_when:
        return []
    column = active_column(rule.id)
    stays = pl.col(column).fill_null(False) & ~pl.col(f"clear:{rule.id}").fill_null(False)
    return [(_held(rule, 0) | stays).alias(column)]


def _may_win(rule: Rule, index: int) -> pl.Expr:
    """Whether the tier may win now: held, not latched, not cooling down."""
    hot = pl.col(active_column(rule.id)) if rule.clear_when else _held(rule, index)
    if rule.tiers[index].once:
        hot &= ~_latched(rule, index)
    if rule.cooldown_s:
        cooling = _NOW - pl.col(last_column(rule.id)) < timedelta(seconds=rule.cooldown_s)
        hot &= ~cooling.fill_null(False)
    return hot


def _latched(rule: Rule, index: int) -> pl.Expr:
    return pl.col(latch_column(rule.id, index)).fill_null(False)


def _wins(book: Rulebook, outcome: _Outcome) -> pl.Expr:
    """Whether this outcome wins where none before it does."""
    rule, hot = outcome.rule, pl.col(_hot(outcome.rule, outcome.index))
    if rule.mode != "live" or not book.mutes_of(rule.id):
        return hot
    return hot & (pl.col(_muted(rule)) if outcome.muted else ~pl.col(_muted(rule)))


def _result(book: Rulebook, outcomes: Sequence[_Outcome], rules: Sequence[Rule]) -> list[pl.Expr]:
    winner = [
        pl.when(_wins(book, outcome)).then(pl.lit(number, pl.UInt32))
        for number, outcome in enumerate(outcomes)
    ]
    fired = [
        _bit(any_of([pl.col(_hot(rule, index)) for index in range(len(rule.tiers))]), place)
        for place, rule in enumerate(rules)
    ]
    unknown = [_bit(_is_unknown(rule), place) for place, rule in enumerate(rules)]
    none = pl.lit(None, pl.UInt32)
    return [
        pl.coalesce([*winner, none]).alias("@winner"),
        pl.sum_horizontal([*fired, pl.lit(0, _BITS)]).alias("@fired"),
        pl.sum_horizontal([*unknown, pl.lit(0, _BITS)]).alias("@unknown"),
    ]


def _bit(mask: pl.Expr, place: int) -> pl.Expr:
    return mask.cast(_BITS) * (1 << place)


def _is_unknown(rule: Rule) -> pl.Expr:
    """No tier that could still act is true, and one of them is unknown."""
    tiers = [
        pl.col(_when(rule, index)) & ~_latched(rule, index) if tier.once else pl.col(_when(rule, index))
        for index, tier in enumerate(rule.tiers)
    ]
    return any_of(tiers).is_null()


def _memory(outcomes: Sequence[_Outcome]) -> list[pl.Expr]:
    """What winning leaves behind: cooldowns and latches, but not of a shadow, nor of what was muted."""
    numbers: dict[str, list[int]] = {}
    latches: list[pl.Expr] = []
    for number, outcome in enumerate(outcomes):
        if outcome.kind == "shadow":
            continue
        if outcome.rule.cooldown_s:
            numbers.setdefault(outcome.rule.id, []).append(number)
        if outcome.tier.once:
            won = (pl.col("@winner") == number).fill_null(False)
            latches.append(
                (_latched(outcome.rule, outcome.index) | won).alias(
                    latch_column(outcome.rule.id, outcome.index)
                )
            )
    cooldowns = [
        pl.when(pl.col("@winner").is_in(won)).then(_NOW).otherwise(last_column(rule)).alias(last_column(rule))
        for rule, won in numbers.items()
    ]
    return cooldowns + latches


def action_params(action: Action, value: str | int | float | None) -> str:
    """The action's argument as JSON, such as {"dte": 45}."""
    if action.key is None:
        return "{}"
    return json.dumps({action.key: int(value) if isinstance(value, float) else value})


def _params(outcome: _Outcome, number: int, columns: Columns) -> pl.Expr | None:
    """The JSON of an argument that differs by position; None when it does not."""
    value = outcome.tier.action.value
    if not isinstance(value, Parameter):
        return None
    expression, _ = columns.parameter(value.name, outcome.rule)
    text = pl.format(f'{{{{"{outcome.tier.action.key}": {{}}}}}}', expression.cast(pl.Int64))
    return pl.when(pl.col("@winner") == number).then(text)


def _urgency(outcomes: Sequence[_Outcome]) -> pl.Expr:
    return _first(
        "@urgency",
        [
            pl.when((pl.col("@winner") == number) & pl.col(_urgent(outcome.rule, outcome.index, word))).then(
                pl.lit(word)
            )
            for number, outcome in enumerate(outcomes)
            for word, _ in outcome.tier.urgent_when
        ],
    )


def _first(name: str, expressions: Sequence[pl.Expr]) -> pl.Expr:
    return pl.coalesce([*expressions, pl.lit(None, pl.String)]).alias(name)


def _outcome_table(outcomes: Sequence[_Outcome]) -> pl.DataFrame:
    rows = [
        (
            outcome.rule.id,
            outcome.rule.priority,
            outcome.tier.action.name,
            None
            if isinstance(outcome.tier.action.value, Parameter)
            else action_params(outcome.tier.action, outcome.tier.action.value),
            outcome.tier.urgency,
            outcome.kind,
        )
        for outcome in outcomes
    ]
    names = ("rule", "priority", "action", "params", "urgency", "kind")
    return pl.DataFrame(rows, schema={name: DECISIONS[name] for name in names}, orient="row")

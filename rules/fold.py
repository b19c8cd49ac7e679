"""`step`: the whole engine. Facts and what is remembered in, decisions and what to remember out."""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal as OneOf

import polars as pl

from options import RuleError
from rules.columns import Columns, clean
from rules.expression import Parameter
from rules.facts import FACTS
from rules.problem import did_you_mean
from rules.rulebook import Action, Rule, Rulebook, Tier
from rules.scalar import known
from rules.state import (
    BOOK,
    TIME,
    RuleState,
    active_column,
    last_column,
    latch_column,
    since_column,
    state_schema,
)

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
    """A tier that can win, in the order of winning."""

    rule: Rule
    index: int
    tier: Tier

    @property
    def kind(self) -> OneOf["decision", "shadow"]:
        return "shadow" if self.rule.mode == "shadow" else "decision"


@dataclass(frozen=True, slots=True)
class _Plan:
    """A compiled rulebook: layers of columns over facts and state, then the look-up of outcomes."""

    facts: tuple[str, ...]
    state: Mapping[str, pl.DataType | type[pl.DataType]]
    layers: tuple[tuple[pl.Expr, ...], ...]
    rule_ids: tuple[str, ...]
    outcomes: pl.DataFrame


def step(
    book: Rulebook,
    state: RuleState,
    facts: pl.DataFrame,
    market: Mapping[str, float | str | None],
    now: datetime,
) -> tuple[RuleState, pl.DataFrame]:
    """Apply the rules once.

    `facts`: `position` and catalogue columns, one row per position; a missing column, null, NaN and
    infinity are unknown. `market`: book facts; they fill in wherever `facts` does not know better.
    `now`: timezone-aware, not before the last step. Returns the new state and `DECISIONS`: one row per
    position in the order of `facts` with the winning rule (null = none); a book rule that fires comes
    first, as a row with position "". State of positions that are not in `facts` is kept. Raises
    RuleError when `facts` or `market` are not what is said here.
    """
    state, decisions = step_with_book(book, state, facts, market, now)
    return state, decisions if decisions["rule"][0] is not None else decisions.slice(1)


def step_with_book(
    book: Rulebook,
    state: RuleState,
    facts: pl.DataFrame,
    market: Mapping[str, float | str | None],
    now: datetime,
) -> tuple[RuleState, pl.DataFrame]:
    """`step`, but the book's row is always there, first."""
    plan = _plan(book)
    frame = _joined(plan, state, _inputs(plan, facts, market, now))
    for layer in plan.layers:
        frame = frame.with_columns(layer)
    decisions = _decisions(plan, frame)
    kept = frame.select("position", *plan.state)
    if state.frame.height > kept.height or not _starts_with(state.frame, kept):
        others = state.frame.join(kept.select("position"), on="position", how="anti")
        if others.height:
            kept = pl.concat([kept, _with_columns_of(plan, others)])
    return RuleState(kept), decisions


# Frames


def _inputs(
    plan: _Plan, facts: pl.DataFrame, market: Mapping[str, float | str | None], now: datetime
) -> pl.DataFrame:
    """The book's row and one row per position, with exactly the facts of the plan."""
    if now.tzinfo is None:
        raise RuleError("a step needs a time with a zone: pass now in UTC")
    positions = facts.get_column("position") if "position" in facts.columns else None
    if positions is None or (positions.dtype != pl.String and facts.height):
        raise RuleError("facts need a text column `position`")
    if positions.null_count() or positions.n_unique() < facts.height or (positions == BOOK).any():
        raise RuleError("facts need one row per position: names that are not empty and not repeated")
    for name in market:
        if name not in FACTS:
            raise RuleError(f"market has an unknown fact {name}: {did_you_mean(name, FACTS)}")
    try:
        rows = facts.select(_cleaned(plan.facts, tuple(facts.columns)))
    except pl.exceptions.PolarsError as error:
        raise RuleError(f"a fact has values of a wrong type: {error}") from error
    rows = pl.concat([_book_row(plan.facts), rows], rechunk=True)
    values = {name: known(market.get(name)) for name in plan.facts}
    given = [
        pl.col(name).fill_null(pl.lit(value, _dtype(name)))
        for name, value in values.items()
        if value is not None
    ]
    return rows.with_columns(*given, pl.lit(now, TIME).alias("@now"))


@functools.lru_cache(maxsize=8)
def _cleaned(wanted: tuple[str, ...], there: tuple[str, ...]) -> tuple[pl.Expr, ...]:
    """The wanted facts out of a frame that has some of them; every beat asks for the same."""
    return (
        pl.col("position").cast(pl.String),
        *[
            clean(name, pl.col(name)) if name in there else pl.lit(None, _dtype(name)).alias(name)
            for name in wanted
        ],
    )


def _dtype(fact: str) -> type[pl.DataType]:
    return pl.String if FACTS[fact].dtype is pl.String else pl.Float64


@functools.lru_cache(maxsize=8)
def _book_row(facts: tuple[str, ...]) -> pl.DataFrame:
    schema = {"position": pl.String} | {name: _dtype(name) for name in facts}
    return pl.DataFrame([[BOOK], *[[None] for _ in facts]], schema=schema)


def _joined(plan: _Plan, state: RuleState, inputs: pl.DataFrame) -> pl.DataFrame:
    """The inputs with what is remembered of each position."""
    remembered = _with_columns_of(plan, state.frame)
    if _starts_with(remembered, inputs):
        return inputs.hstack(remembered.head(inputs.height).drop("position").get_columns())
    return inputs.join(remembered, on="position", how="left", maintain_order="left")


def _starts_with(frame: pl.DataFrame, positions: pl.DataFrame) -> bool:
    """Whether the frame begins with the same positions in the same order: the normal beat."""
    if frame.height < positions.height:
        return False
    first = frame.get_column("position").head(positions.height)
    return first.equals(positions.get_column("position"))


def _with_columns_of(plan: _Plan, frame: pl.DataFrame) -> pl.DataFrame:
    if frame.columns == ["position", *plan.state]:
        return frame
    there = set(frame.columns)
    return frame.select(
        "position",
        *[
            pl.col(name) if name in there else pl.lit(None, dtype).alias(name)
            for name, dtype in plan.state.items()
        ],
    )


def _decisions(plan: _Plan, frame: pl.DataFrame) -> pl.DataFrame:
    won = frame.get_column("@winner")
    usual = {name: plan.outcomes.get_column(name).gather(won) for name in plan.outcomes.columns}
    return pl.DataFrame(
        [
            frame.get_column("position"),
            usual["rule"],
            usual["priority"],
            usual["action"],
            _dynamic(frame, "@params", usual["params"]),
            _dynamic(frame, "@urgency", usual["urgency"]),
            usual["kind"],
            _names_of_bits("fired", frame.get_column("@fired"), plan.rule_ids),
            _names_of_bits("unknown", frame.get_column("@unknown"), plan.rule_ids),
        ]
    )


def _dynamic(frame: pl.DataFrame, name: str, usual: pl.Series) -> pl.Series:
    """What differs by position where it is known, else the outcome's usual value."""
    own = frame.get_column(name)
    return usual if own.null_count() == len(own) else own.zip_with(own.is_not_null(), usual).alias(usual.name)


def _names_of_bits(name: str, bits: pl.Series, names: tuple[str, ...]) -> pl.Series:
    """Lists of names, one bit each."""
    codes = bits.unique().sort()
    return _lists(names, tuple(codes)).gather(codes.search_sorted(bits)).alias(name)


@functools.lru_cache(maxsize=64)
def _lists(names: tuple[str, ...], codes: tuple[int, ...]) -> pl.Series:
    """Few combinations occur, and mostly the same as on the last beat."""
    lists = [[name for place, name in enumerate(names) if code >> place & 1] for code in codes]
    return pl.Series(lists, dtype=pl.List(pl.String))


# Compilation


@functools.lru_cache(maxsize=8)
def _plan(book: Rulebook) -> _Plan:
    columns = Columns()
    for item in book.tracked:
        columns.track(item)
    rules = [rule for rule in book.rules if rule.mode != "off"]
    masks: list[pl.Expr] = []
    for rule in rules:
        masks += _masks(rule, columns)
    outcomes = [
        _Outcome(rule, index, tier)
        for mode in ("live", "shadow")
        for rule in rules
        if rule.mode == mode
        for index, tier in enumerate(rule.tiers)
    ]
    params = [_params(outcome, number, columns) for number, outcome in enumerate(outcomes)]
    layers = (
        *columns.layers,
        masks,
        [expression for rule in rules for expression in _held_since(rule)],
        [expression for rule in rules for expression in _active(rule)],
        _result(outcomes, rules),
        [*_memory(outcomes), _first("@params", [p for p in params if p is not None]), _urgency(outcomes)],
    )
    return _Plan(
        facts=tuple(columns.facts),
        state=state_schema(book),
        layers=tuple(tuple(layer) for layer in layers if layer),
        rule_ids=tuple(rule.id for rule in rules),
        outcomes=_outcome_table(outcomes),
    )


def _when(rule: Rule, index: int) -> str:
    return f"when:{rule.id}:{index}"


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


def _hot(rule: Rule, index: int) -> pl.Expr:
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


def _result(outcomes: Sequence[_Outcome], rules: Sequence[Rule]) -> list[pl.Expr]:
    winner = [
        pl.when(_hot(outcome.rule, outcome.index)).then(pl.lit(number, pl.UInt32))
        for number, outcome in enumerate(outcomes)
    ]
    fired = [
        _bit(pl.any_horizontal([_hot(rule, index) for index in range(len(rule.tiers))]), place)
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
    return pl.any_horizontal(tiers).is_null()


def _memory(outcomes: Sequence[_Outcome]) -> list[pl.Expr]:
    """What winning leaves behind: cooldowns and latches."""
    numbers: dict[str, list[int]] = {}
    latches: list[pl.Expr] = []
    for number, outcome in enumerate(outcomes):
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

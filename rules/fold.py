"""`step`: the whole engine. Facts and what is remembered in, decisions and what to remember out."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from options import RuleError
from rules.columns import clean
from rules.facts import FACTS
from rules.nearness import Floats
from rules.plan import Plan, plan_of
from rules.problem import did_you_mean
from rules.rulebook import Rulebook
from rules.scalar import known
from rules.state import BOOK, TIME, RuleState


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
    state, decisions, _ = step_looked_at(book, state, facts, market, now)
    return state, decisions


def step_with_book(
    book: Rulebook,
    state: RuleState,
    facts: pl.DataFrame,
    market: Mapping[str, float | str | None],
    now: datetime,
) -> tuple[RuleState, pl.DataFrame]:
    """`step`, but the book's row is always there, first."""
    state, decisions, _ = _stepped(book, state, facts, market, now)
    return state, decisions


@dataclass(frozen=True, slots=True, eq=False)
class Stepped:
    """What a step has computed: `frame` with the book's row and one per position, as `plan` says."""

    plan: Plan
    frame: pl.DataFrame

    def gaps(self) -> Floats:
        """How near each rule (of `plan.rule_ids`) is in each row, see `Nearness.of`."""
        return self.plan.nearness.of(self.frame)


def step_looked_at(
    book: Rulebook,
    state: RuleState,
    facts: pl.DataFrame,
    market: Mapping[str, float | str | None],
    now: datetime,
) -> tuple[RuleState, pl.DataFrame, Stepped]:
    """`step`, with what was computed on the way."""
    state, decisions, stepped = _stepped(book, state, facts, market, now)
    return state, decisions if decisions["rule"][0] is not None else decisions.slice(1), stepped


def _stepped(
    book: Rulebook,
    state: RuleState,
    facts: pl.DataFrame,
    market: Mapping[str, float | str | None],
    now: datetime,
) -> tuple[RuleState, pl.DataFrame, Stepped]:
    plan = plan_of(book)
    frame = _joined(plan, state, _inputs(plan, facts, market, now))
    for layer in plan.layers:
        frame = frame.with_columns(layer)
    decisions = _decisions(plan, frame)
    kept = frame.select("position", *plan.state)
    if state.frame.height > kept.height or not _starts_with(state.frame, kept):
        others = state.frame.join(kept.select("position"), on="position", how="anti")
        if others.height:
            kept = pl.concat([kept, _with_columns_of(plan, others)])
    return RuleState(kept), decisions, Stepped(plan, frame)


# Frames


def _inputs(
    plan: Plan, facts: pl.DataFrame, market: Mapping[str, float | str | None], now: datetime
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


def _joined(plan: Plan, state: RuleState, inputs: pl.DataFrame) -> pl.DataFrame:
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


def _with_columns_of(plan: Plan, frame: pl.DataFrame) -> pl.DataFrame:
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


def _decisions(plan: Plan, frame: pl.DataFrame) -> pl.DataFrame:
    usual = plan.outcomes.select(pl.all().gather(frame.get_column("@winner")))
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

"""What the rules remember between two steps: one row per position, saved with the decisions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from options import RuleError
from rules.rulebook import Rulebook

# The row of the book rules in every frame of the fold.
BOOK = ""
TIME = pl.Datetime("us", "UTC")

Memory = float | bool | datetime | None
Marks = tuple[tuple[str, str], ...]
"""Cells of the state that a win has set: (position, column) each."""


def tracked_column(name: str) -> str:
    """Highest or lowest value so far, in the unit of what is tracked."""
    return f"track:{name}"


def since_column(rule: str, tier: int) -> str:
    """Since when the tier's condition holds without a break; null when it does not."""
    return f"since:{rule}:{tier}"


def active_column(rule: str) -> str:
    """Whether a rule with `clear_when` has fired and was not cleared since."""
    return f"active:{rule}"


def last_column(rule: str) -> str:
    """When a rule with a cooldown won last."""
    return f"last:{rule}"


def latch_column(rule: str, tier: int) -> str:
    """Whether a `once` tier has acted."""
    return f"latch:{rule}:{tier}"


def state_schema(book: Rulebook) -> dict[str, pl.DataType | type[pl.DataType]]:
    """The columns that these rules need, besides `position`."""
    schema: dict[str, pl.DataType | type[pl.DataType]] = {}
    for item in book.tracked:
        schema[tracked_column(item.name)] = pl.Float64
    for rule in book.rules:
        for index, tier in enumerate(rule.tiers):
            if rule.hold_s:
                schema[since_column(rule.id, index)] = TIME
            if tier.once:
                schema[latch_column(rule.id, index)] = pl.Boolean
        if rule.clear_when:
            schema[active_column(rule.id)] = pl.Boolean
        if rule.cooldown_s:
            schema[last_column(rule.id)] = TIME
    return schema


@dataclass(frozen=True, slots=True, eq=False)
class RuleState:
    """`frame` has `position` and the columns named by the functions of this module; null = nothing yet.

    Columns are named by rule, so an edited rules file keeps what still applies.
    """

    frame: pl.DataFrame

    def to_json(self) -> str:
        """All of it as text, the same for the same content."""
        rows = sorted(self.frame.iter_rows(named=True), key=lambda row: str(row["position"]))
        positions = {row.pop("position"): _compact(row) for row in rows}
        return json.dumps({"version": 1, "positions": positions}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "RuleState":
        """The state that `to_json` wrote; raises RuleError when it is something else."""
        try:
            content = json.loads(text)
            if content["version"] != 1:
                raise RuleError(f"rule state of version {content['version']}: this optiond reads version 1")
            positions: Mapping[str, Mapping[str, Memory]] = content["positions"]
            names = sorted({name for row in positions.values() for name in row})
            data = {name: [row.get(name) for row in positions.values()] for name in names}
            columns = [pl.Series("position", list(positions), pl.String)]
            columns += [_column(name, values) for name, values in data.items()]
        except (ValueError, KeyError, TypeError, AttributeError, pl.exceptions.PolarsError) as error:
            raise RuleError(f"this is not a saved rule state ({error}): start without it") from error
        return cls(pl.DataFrame(columns))

    def texts(self) -> dict[str, str]:
        """What is remembered of each position as JSON; positions of which it is nothing are left out."""
        rows = {row.pop("position"): _compact(row) for row in self.frame.iter_rows(named=True)}
        return {position: json.dumps(row, sort_keys=True) for position, row in rows.items() if row}

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> "RuleState":
        """The state of which `texts` gave this; raises RuleError when it is something else."""
        rows = ", ".join(f"{json.dumps(position)}: {text}" for position, text in texts.items())
        return cls.from_json(f'{{"version": 1, "positions": {{{rows}}}}}')

    def changed_since(self, before: "RuleState") -> dict[str, str | None]:
        """`texts` of the positions where it is another one now than `before`; None = nothing any more."""
        names = self.frame.columns
        changed, gone = self.frame, before.frame
        if set(names) == set(before.frame.columns):
            was = before.frame.select(names)
            changed = self.frame.join(was, on=names, how="anti", nulls_equal=True)
            gone = was.join(self.frame, on="position", how="anti")
        texts = RuleState(changed).texts()
        positions = [*changed["position"], *gone["position"]]
        return {position: texts.get(position) for position in positions}

    def position(self, position: str) -> dict[str, Memory]:
        """What is remembered of one position, without what is null."""
        # Quicker than a filter, and than index_of, which costs three times as much in a large book.
        place = (self.frame.get_column("position") == position).arg_max()
        if place is None or self.frame.item(place, "position") != position:
            return {}
        row = self.frame.row(place, named=True)
        return {name: value for name, value in row.items() if value is not None and name != "position"}

    def tracked(self) -> pl.DataFrame:
        """`position` and one column per tracked value, such as peak_profit."""
        prefix = tracked_column("")
        names = [name for name in self.frame.columns if name.startswith(prefix)]
        columns = [pl.col(name).alias(name.removeprefix(prefix)) for name in names]
        return self.frame.filter(pl.col("position") != BOOK).select("position", *columns)

    def release(self, position: str, rule: str) -> "RuleState":
        """Let the rule act again on this position: `once` latches and cooldown are forgotten."""
        prefixes = (last_column(rule), latch_column(rule, 0).removesuffix("0"))
        names = [name for name in self.frame.columns if name.startswith(prefixes[1]) or name == prefixes[0]]
        elsewhere = pl.col("position") != position
        return RuleState(self.frame.with_columns(pl.when(elsewhere).then(pl.col(name)) for name in names))

    def marks_since(self, before: "RuleState", position: str) -> Marks:
        """The latches and cooldowns that the position's winner has set since `before`."""
        old = before.position(position)
        return tuple(
            (position, name)
            for name, value in self.position(position).items()
            if name.split(":", 1)[0] in ("latch", "last") and old.get(name) != value
        )

    def undo(self, marks: Marks) -> "RuleState":
        """Forget what a win has set: it came to nothing, and earlier wins of the same rule still count."""
        frame = self.frame
        for position, name in marks:
            if name in frame.columns:
                frame = frame.with_columns(pl.when(pl.col("position") != position).then(pl.col(name)))
        return RuleState(frame)

    def drop(self, position: str) -> "RuleState":
        """Forget a position that is closed; opened again under the same id it starts afresh."""
        return RuleState(self.frame.filter(pl.col("position") != position))


def initial_state() -> RuleState:
    """Nothing has been seen yet."""
    return RuleState(pl.DataFrame(schema={"position": pl.String}))


def _compact(row: Mapping[str, Memory]) -> dict[str, Memory | str]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row.items()
        if value is not None
    }


def _column(name: str, values: list[Memory]) -> pl.Series:
    kind = name.split(":", 1)[0]
    if kind in ("since", "last"):
        times = [datetime.fromisoformat(value) if isinstance(value, str) else None for value in values]
        return pl.Series(name, times, TIME)
    dtype = pl.Float64 if kind == "track" else pl.Boolean
    return pl.Series(name, values, dtype)

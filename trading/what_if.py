"""What other rules would have done: two revisions of the rules, folded over the same beats of the past.

A decision of the past is a change: a position's winning rule, action or urgency is another one than on the
beat before, and some rule wins. A condition that stays true is no second decision. What a decision leads to
is kept simple. It is carried out on its first beat on which the P&L is known (without quotes the gate lets no
order pass), as long as it stands, at that P&L. A `close` or `roll` then ends the story of that position under
that revision; after a `reduce` it goes on; a shadow decides and nothing follows. The facts are those of
what really happened, whatever a revision would have done before: also those of the book.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from rules import DECISIONS, Rulebook, RuleState
from rules.columns import finite
from rules.fold import step_with_book
from rules.state import BOOK

_SAID = ("rule", "priority", "action", "params", "urgency", "kind")
SIDES = ("old", "new")
ENDING = ("close", "roll")
_ACTING = (*ENDING, "reduce")
_MONEY = pl.Schema({"profit": pl.Float64(), "profit_usd": pl.Float64(), "lots": pl.Float64()})
_SEEN = pl.Schema({"time": pl.Datetime("us", "UTC"), "position": pl.String(), **_MONEY})
_BOOK_ROW = pl.DataFrame({"position": [BOOK]})

CHANGES = pl.Schema({**_SEEN, **{f"{side}_{name}": DECISIONS[name] for side in SIDES for name in _SAID}})
"""A moment at which the two revisions decide: `old_…` and `new_…` as `rules.DECISIONS`, all null where that
revision decides nothing new then. `profit` and `profit_usd` of the position at that moment, null where
unknown; `position` is "" for the book."""

CARRIED_OUT = pl.Schema({"side": pl.String(), **_SEEN, **{name: DECISIONS[name] for name in _SAID}})
"""A decision of one side, "old" or "new", on the beat on which it is carried out; `profit_usd` is known."""

_FLAGS = tuple(f"{side}_{flag}" for side in SIDES for flag in ("over", "done"))
_STANDING = pl.Schema({**CHANGES, **dict.fromkeys(_FLAGS, pl.Boolean())})
_ROWS_AT_ONCE = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class Beat:
    """What was known at one moment, as `rules.step` takes it; `facts` may have some of the positions only.

    `ended`: positions that were closed since the beat before, so that nothing is remembered of them.
    """

    time: datetime
    facts: pl.DataFrame
    market: Mapping[str, float | str | None]
    ended: Collection[str] = ()


class WhatIf:
    """Both revisions on their way through the past. Show it beats in the order of time; ask at any point."""

    def __init__(self, old: Rulebook, new: Rulebook, old_state: RuleState, new_state: RuleState) -> None:
        """`old_state`, `new_state`: what each revision remembers before the first beat."""
        self._books = (old, new)
        self._states = [old_state, new_state]
        self._standing = pl.DataFrame(schema=_STANDING)
        self._changes = [pl.DataFrame(schema=CHANGES)]
        self._carried_out = [pl.DataFrame(schema=CARRIED_OUT)]
        self._waiting: list[_Waiting] = []
        self._rows = 0
        self.beats = 0

    def see(self, beat: Beat) -> None:
        """Let both revisions decide on a beat. Raises RuleError as `rules.step` does."""
        if beat.ended:
            self._settle()
            self._standing = self._standing.filter(~pl.col("position").is_in(list(beat.ended)))
            for position in beat.ended:
                self._states = [state.drop(position) for state in self._states]
        said: list[pl.Series] = []
        for number, (side, book) in enumerate(zip(SIDES, self._books, strict=True)):
            self._states[number], decisions = step_with_book(
                book, self._states[number], beat.facts, beat.market, beat.time
            )
            said += [decisions.get_column(name).alias(f"{side}_{name}") for name in _SAID]
        self._waiting.append(_Waiting(beat, pl.DataFrame(said)))
        self._rows += len(said[0])
        self.beats += 1
        if self._rows >= _ROWS_AT_ONCE:
            self._settle()

    def decided(self) -> pl.DataFrame:
        """Every decision of either revision so far (`CHANGES`), the same ones among them, by time."""
        self._settle()
        self._changes = [pl.concat(self._changes)]
        return self._changes[0].sort("time", "position", maintain_order=True)

    def differing(self) -> pl.DataFrame:
        """The moments at which the revisions decide something else (`CHANGES`), by time."""
        return self.decided().filter(
            pl.any_horizontal(pl.col(f"old_{name}").ne_missing(pl.col(f"new_{name}")) for name in _SAID)
        )

    def carried_out(self) -> pl.DataFrame:
        """What either revision has done with positions so far (`CARRIED_OUT`), by time."""
        self._settle()
        self._carried_out = [pl.concat(self._carried_out)]
        return self._carried_out[0].sort("time", "position", maintain_order=True)

    def _settle(self) -> None:
        """Find the decisions among the rows that wait."""
        if not self._waiting:
            return
        rows = _rows_of(self._waiting).with_columns(before=False)
        self._waiting, self._rows = [], 0
        rows = pl.concat([self._standing.with_columns(before=True), rows])
        for side in SIDES:
            rows = _with_consequences(rows, side)
        last = rows.unique("position", keep="last", maintain_order=True)
        self._standing = last.select(_STANDING.names())
        rows = rows.filter(~pl.col("before"))
        self._changes.append(_changes(rows))
        self._carried_out += [
            rows.filter(f"{side}_acts").select(
                pl.lit(side).alias("side"), *_SEEN, *[pl.col(f"{side}_{name}").alias(name) for name in _SAID]
            )
            for side in SIDES
        ]


def differing(
    old: Rulebook, new: Rulebook, beats: Iterable[Beat], old_state: RuleState, new_state: RuleState
) -> pl.DataFrame:
    """Where two revisions decide differently on the same beats: `CHANGES`, one row per moment and position.

    Each starts from its own state. The first beat has no beat before it: all that holds then is decided.
    Raises RuleError as `rules.step` does.
    """
    both = WhatIf(old, new, old_state, new_state)
    for beat in beats:
        both.see(beat)
    return both.differing()


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A beat with what both revisions say; the book's row comes first in `said`."""

    beat: Beat
    said: pl.DataFrame


def _rows_of(waiting: Sequence[_Waiting]) -> pl.DataFrame:
    """What was seen and said on all these beats, as `_STANDING`: put together once for many of them, since
    to do it for one costs nearly as much."""
    facts = [
        pl.DataFrame([one.beat.facts.get_column(name) for name in ("position", *_MONEY) if name in there])
        for one in waiting
        for there in [one.beat.facts.columns]
    ]
    seen = pl.concat([part for frame in facts for part in (_BOOK_ROW, frame)], how="diagonal_relaxed")
    there = seen.columns
    moments = pl.DataFrame(
        {"time": [one.beat.time for one in waiting], "rows": [one.said.height for one in waiting]},
        schema={"time": _SEEN["time"], "rows": pl.Int64},
    )
    return seen.select(
        moments.select(pl.col("time").repeat_by("rows").explode()).to_series(),
        "position",
        *[
            finite(pl.col(name).cast(dtype)) if name in there else pl.lit(None, dtype).alias(name)
            for name, dtype in _MONEY.items()
        ],
        *pl.concat([one.said for one in waiting]),
        *[pl.lit(value=False).alias(name) for name in _FLAGS],
    )


def _changes(rows: pl.DataFrame) -> pl.DataFrame:
    decided = [
        pl.when(f"{side}_decides").then(f"{side}_{name}").alias(f"{side}_{name}")
        for side in SIDES
        for name in _SAID
    ]
    return rows.filter(pl.col("old_decides") | pl.col("new_decides")).select(*_SEEN, *decided)


def _with_consequences(rows: pl.DataFrame, side: str) -> pl.DataFrame:
    """The rows with what follows from what the rules say on them.

    `…_decides`: it is new. `…_acts`: it is carried out. `…_done`: that was so by then since it was new.
    `…_over`: the story of the position had ended by then. Rows marked `before` stand from an earlier call;
    their `…_done` and `…_over` are those of then.
    """
    rule, action, kind, over, done = (
        pl.col(f"{side}_{name}") for name in ("rule", "action", "kind", "over", "done")
    )
    is_new = pl.any_horizontal(
        pl.col(f"{side}_{name}").ne_missing(pl.col(f"{side}_{name}").shift(1).over("position"))
        for name in _SAID
    )
    able = (kind == "decision") & action.is_in(_ACTING) & pl.col("profit_usd").is_not_null()
    rows = rows.with_columns(is_new.alias("@new"), is_new.cum_sum().over("position").alias("@run"))
    rows = rows.with_columns((done | (able.fill_null(False) & ~pl.col("before"))).alias("@able"))
    rows = rows.with_columns(pl.col("@able").cum_max().over("position", "@run").alias(f"{side}_done"))
    acts = done & ~done.shift(1).over("position", "@run").fill_null(False) & ~pl.col("before")
    rows = rows.with_columns(acts.alias("@acts"))
    ends = over | (pl.col("@acts") & action.is_in(ENDING))
    rows = rows.with_columns(ends.fill_null(False).cum_max().over("position").alias(f"{side}_over"))
    was_over = over.shift(1).over("position").fill_null(False)
    return rows.with_columns(
        (pl.col("@new") & rule.is_not_null() & ~was_over).alias(f"{side}_decides"),
        (pl.col("@acts") & ~was_over).alias(f"{side}_acts"),
    ).drop("@new", "@run", "@able", "@acts")

"""What other rules would have done: two revisions of the rules, folded over the same beats of the past.

A decision of the past is a change: a position's winning rule, action or urgency is another one than on the
beat before, and some rule wins. A condition that stays true is no second decision. What a decision leads to
is kept simple: the first `close` or `roll` ends the story of that position under that revision, at the P&L
of that moment; after a `reduce` it goes on; a shadow decides and nothing follows. The facts are those of
what really happened, whatever a revision would have done before: also those of the book.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from rules import DECISIONS, Rulebook, RuleState
from rules.columns import finite
from rules.fold import step_with_book
from rules.state import BOOK

_SAID = ("rule", "priority", "action", "params", "urgency", "kind")
_SIDES = ("old", "new")
_ENDING = ("close", "roll")
_MONEY = pl.Schema({"profit": pl.Float64(), "profit_usd": pl.Float64(), "lots": pl.Float64()})
_SEEN = pl.Schema({"time": pl.Datetime("us", "UTC"), "position": pl.String(), **_MONEY})
_BOOK_ROW = pl.DataFrame([[BOOK], *[[None] for _ in _MONEY]], schema={"position": pl.String(), **_MONEY})

CHANGES = pl.Schema({**_SEEN, **{f"{side}_{name}": DECISIONS[name] for side in _SIDES for name in _SAID}})
"""A moment at which the two revisions decide: `old_…` and `new_…` as `rules.DECISIONS`, all null where that
revision decides nothing new then. `profit` and `profit_usd` of the position at that moment, null where
unknown; `position` is "" for the book."""

_STANDING = pl.Schema({**CHANGES, "old_over": pl.Boolean(), "new_over": pl.Boolean()})
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
        self._waiting: list[pl.DataFrame] = []
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
        for number, (side, book) in enumerate(zip(_SIDES, self._books, strict=True)):
            self._states[number], decisions = step_with_book(
                book, self._states[number], beat.facts, beat.market, beat.time
            )
            said += [decisions.get_column(name).alias(f"{side}_{name}") for name in _SAID]
        self._waiting.append(_seen(beat).hstack(said))
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

    def _settle(self) -> None:
        """Find the decisions among the rows that wait."""
        if not self._waiting:
            return
        rows = pl.concat(self._waiting).with_columns(old_over=False, new_over=False, before=False)
        self._waiting, self._rows = [], 0
        rows = pl.concat([self._standing.with_columns(before=True), rows])
        for side in _SIDES:
            rows = _with_decisions(rows, side)
        last = rows.unique("position", keep="last", maintain_order=True)
        self._standing = last.select(_STANDING.names())
        decides = pl.col("old_decides") | pl.col("new_decides")
        self._changes.append(
            rows.filter(decides & ~pl.col("before")).select(
                *_SEEN.names(),
                *[
                    pl.when(f"{side}_decides").then(f"{side}_{name}").alias(f"{side}_{name}")
                    for side in _SIDES
                    for name in _SAID
                ],
            )
        )


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


def _seen(beat: Beat) -> pl.DataFrame:
    """The book's row, then one per position, as the step gives its decisions."""
    there = beat.facts.columns
    facts = beat.facts.select(
        "position",
        *[
            finite(pl.col(name).cast(dtype)) if name in there else pl.lit(None, dtype).alias(name)
            for name, dtype in _MONEY.items()
        ],
    )
    return pl.concat([_BOOK_ROW, facts]).select(pl.lit(beat.time, _SEEN["time"]).alias("time"), pl.all())


def _with_decisions(rows: pl.DataFrame, side: str) -> pl.DataFrame:
    """The rows with `…_decides`, and `…_over` where the position's story has ended by then."""
    changed = pl.any_horizontal(
        pl.col(f"{side}_{name}").ne_missing(pl.col(f"{side}_{name}").shift(1).over("position"))
        for name in _SAID
    )
    decides = changed & pl.col(f"{side}_rule").is_not_null()
    ends = decides & (pl.col(f"{side}_kind") == "decision") & pl.col(f"{side}_action").is_in(_ENDING)
    # A row that stands from before tells by itself whether the story is over.
    over = pl.when("before").then(f"{side}_over").otherwise(ends.fill_null(False)).cum_max().over("position")
    rows = rows.with_columns(decides.alias(f"{side}_decides"), over.alias(f"{side}_over"))
    was_over = pl.col(f"{side}_over").shift(1).over("position").fill_null(False)
    return rows.with_columns((pl.col(f"{side}_decides") & ~was_over).alias(f"{side}_decides"))

"""What each of two revisions would have made of the positions of the past, in USD.

Where a revision closes or rolls a position, its result is the P&L of the moment at which that is carried
out, at the marks: no spread and no commission is paid. Where it does not, the result is how the position
really ended. A reduce takes the share of its lots out at the P&L of its moment. Unknown money stays unknown.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import polars as pl

from trading.what_if import ENDING, SIDES

Row = Mapping[str, Any]


class Ending(StrEnum):
    """Where the last P&L of a position comes from."""

    REALIZED = "realized"  # it was closed or rolled, and this is what that brought
    LAST_KNOWN = "last known"  # at the last mark that was recorded


@dataclass(frozen=True, slots=True)
class Held:
    """A position as it really was: `lots` when it was first seen, and what it came to.

    `usd` is for the whole position, over its life when realized; `usd_per_lot` for one of the lots held
    last. Both None when never known. `was_closed`: it was closed or rolled in that time.
    """

    position: str
    lots: int | None
    usd: float | None
    usd_per_lot: float | None
    ending: Ending
    time: datetime
    was_closed: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """A position under one revision. `rule`: the one that ended it with `action`, None when it was held
    for as long as it really was. `usd` None: not known."""

    usd: float | None
    time: datetime
    rule: str | None = None
    action: str | None = None


@dataclass(frozen=True, slots=True)
class Hindsight:
    """One position under both revisions."""

    held: Held
    old: Result
    new: Result

    @property
    def gain_usd(self) -> float | None:
        """What the new revision would have brought more; None when one of the results is not known."""
        if self.old.usd is None or self.new.usd is None:
            return None
        return self.new.usd - self.old.usd


@dataclass(slots=True)
class Tally:
    """What a rule did under one revision: decisions, positions that it ended, and what these came to.

    `unknown` of the ended positions have no known P&L and are not in `usd`.
    """

    decisions: int = 0
    positions: int = 0
    usd: float = 0.0
    unknown: int = 0

    def add(self, result: Result) -> None:
        self.positions += 1
        if result.usd is None:
            self.unknown += 1
        else:
            self.usd += result.usd


@dataclass(frozen=True, slots=True)
class RuleTally:
    """One rule under both revisions; `rule` None: the positions that no rule ended."""

    rule: str | None
    old: Tally = field(default_factory=Tally)
    new: Tally = field(default_factory=Tally)


def results(carried_out: pl.DataFrame, held: Iterable[Held]) -> list[Hindsight]:
    """Every position under both revisions; `carried_out` as of `WhatIf`."""
    done: dict[tuple[str, str], list[Row]] = {}
    for row in carried_out.iter_rows(named=True):
        done.setdefault((row["position"], row["side"]), []).append(row)
    return [
        Hindsight(one, *(_result(one, done.get((one.position, side), ())) for side in SIDES)) for one in held
    ]


def tallies(decided: pl.DataFrame, found: Sequence[Hindsight]) -> list[RuleTally]:
    """What every rule did that decided something under either revision, by its priority; last, without a
    rule, the positions that none ended."""
    made: dict[str | None, RuleTally] = {}
    for rule in _by_priority(decided):
        made[rule] = RuleTally(rule)
    made[None] = RuleTally(None)
    for side in SIDES:
        for rule, count in decided.drop_nulls(f"{side}_rule").group_by(f"{side}_rule").len().iter_rows():
            getattr(made[rule], side).decisions = count
    for one in found:
        made[one.old.rule].old.add(one.old)
        made[one.new.rule].new.add(one.new)
    return list(made.values())


def _result(held: Held, done: Iterable[Row]) -> Result:
    lots = held.lots
    banked: float | None = 0.0
    for row in done:
        if row["action"] in ENDING:
            usd = row["profit_usd"] if lots is None else _times(_per_lot(row), lots)
            return Result(_sum(banked, usd), row["time"], row["rule"], row["action"])
        out = _lots_out(row["params"], lots)
        banked = _sum(banked, _times(_per_lot(row), out))
        lots = None if lots is None or out is None else lots - out
    rest = held.usd if lots is None else _times(held.usd_per_lot, lots)
    return Result(_sum(banked, rest), held.time)


def _lots_out(params: str, lots: int | None) -> int | None:
    """How many lots a reduce closes; a single lot is not halved."""
    if lots is None:
        return None
    count = json.loads(params or "{}").get("count", "half")
    return lots // 2 if count == "half" else min(int(count), lots)


def _per_lot(row: Row) -> float | None:
    return None if row["profit_usd"] is None or not row["lots"] else row["profit_usd"] / row["lots"]


def _times(usd_per_lot: float | None, lots: int | None) -> float | None:
    if lots == 0:
        return 0.0
    return None if usd_per_lot is None or lots is None else usd_per_lot * lots


def _sum(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first + second


def _by_priority(decided: pl.DataFrame) -> list[str]:
    ranked = pl.concat(
        [decided.select(rule=f"{side}_rule", priority=f"{side}_priority") for side in SIDES]
    ).drop_nulls()
    return ranked.group_by("rule").agg(pl.col("priority").min()).sort("priority", "rule")["rule"].to_list()

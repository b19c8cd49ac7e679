"""What the rules want of positions: the rows of `rules.step`, those of the book turned on a position."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from rules.state import BOOK
from trading.price_walk import Urgency

CONTRIBUTORS = pl.Schema({"position": pl.String(), "lots": pl.Int64(), "max_loss_usd": pl.Float64()})
"""What a rule of the book looks at to find the largest position; a null loss is unlimited."""

_REDUCE_LARGEST = "reduce_largest"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A position's winning rule on one beat, as `rules.step` gave it.

    `is_book`: a rule of the book won, and the position is the one that it is turned on.
    """

    position: str
    rule: str
    priority: int
    action: str
    params: Mapping[str, Any]
    urgency: Urgency
    fired: tuple[str, ...]
    unknown: tuple[str, ...]
    is_shadow: bool = False
    is_book: bool = False


def verdicts_of(rows: Iterable[Mapping[str, Any]], contributors: pl.DataFrame) -> list[Verdict]:
    """The rows of one step that name a rule, as verdicts in their order.

    A rule of the book that reduces the largest of `contributors` (schema `CONTRIBUTORS`; of equals the
    first) comes last, and only when no rule of that position's own acts.
    """
    named = [row for row in rows if row["rule"] is not None]
    verdicts = [_verdict(row) for row in named if row["position"] != BOOK]
    taken = {verdict.position for verdict in verdicts if not verdict.is_shadow}
    for row in named:
        if row["position"] != BOOK or _REDUCE_LARGEST not in str(row["params"]):
            continue
        largest = max(contributors.iter_rows(), key=_risk_usd, default=None)
        if largest is not None and largest[0] not in taken:
            params = json.dumps({"count": max(1, largest[1] // 2)})
            turned = {**row, "position": largest[0], "action": "reduce", "params": params}
            verdicts.append(_verdict(turned, is_book=True))
    return verdicts


def blocks_entries(rows: Iterable[Mapping[str, Any]]) -> str:
    """The rule of the book that wants no new positions now; empty when there is none, or only a shadow."""
    books = (row for row in rows if row["position"] == BOOK and row["rule"] is not None)
    return next((str(row["rule"]) for row in books if row["kind"] != "shadow"), "")


def _verdict(row: Mapping[str, Any], is_book: bool = False) -> Verdict:
    return Verdict(
        position=row["position"],
        rule=row["rule"],
        priority=row["priority"],
        action=row["action"],
        params=json.loads(row["params"] or "{}"),
        urgency=Urgency(row["urgency"]),
        fired=tuple(row["fired"]),
        unknown=tuple(row["unknown"]),
        is_shadow=row["kind"] == "shadow",
        is_book=is_book,
    )


def _risk_usd(contributor: tuple[str, int, float | None]) -> float:
    """What the position can lose at most; unknown counts as unlimited."""
    loss = contributor[2]
    return float("inf") if loss is None or not math.isfinite(loss) else loss

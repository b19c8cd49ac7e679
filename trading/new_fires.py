"""What an edit of the rules would set off at once: positions on which the new rules act and the old do not.

A rule with `for` acts only later, so both revisions are asked twice: now, and by the time the longest `for`
of either has passed while the facts stay as they are. What a mute only puts off is asked at its end too.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import polars as pl

from rules import Rulebook
from rules.carry import carried
from trading.decision import Moment
from trading.verdict import CONTRIBUTORS, Verdict, verdicts_of


@dataclass(frozen=True, slots=True)
class NewFire:
    """A position on which new rules would act, and those in force would not or would do something else.

    `at_once`: in this very moment, not only after the `for` of its rule or the end of a mute. `profit`
    (ratio) and `profit_usd` as known last, None when they never were.
    """

    position: str
    rule: str
    action: str
    params: str
    at_once: bool
    profit: float | None
    profit_usd: float | None

    @property
    def deed(self) -> tuple[str, str, str]:
        """What would be done to which position, whatever the rule and the price are called."""
        return self.position, *_deed(self.action, json.loads(self.params))

    def as_dict(self) -> dict[str, Any]:
        """JSON's view of it."""
        return {name: getattr(self, name) for name in self.__slots__}


def new_fires(moment: Moment, new: Rulebook) -> tuple[NewFire, ...]:
    """Where `new` would act in `moment`, whose book is in force, in the order of the facts.

    A rule in shadow mode acts nowhere, nor does one that blocks entries. Raises RuleError and PolarsError
    when the rules cannot be applied.
    """
    old = moment.book
    longest = max((rule.hold_s for book in (old, new) for rule in book.rules), default=0.0)
    state = carried(moment.state, old, new)
    ends = sorted({mute.until for mute in new.mutes if mute.until > moment.time})
    money = {position: known for position, *known in moment.facts.select(_money(moment.facts)).iter_rows()}
    found: dict[str, NewFire] = {}
    for time in (moment.time, *ends):
        usual: dict[str, set[tuple[str, str]]] = {}
        for _, verdict in _acts(replace(moment, time=time), longest):
            usual.setdefault(verdict.position, set()).add(_deed(verdict.action, verdict.params))
        for at_once, verdict in _acts(replace(moment, time=time, book=new, state=state), longest):
            is_usual = _deed(verdict.action, verdict.params) in usual.get(verdict.position, ())
            if not is_usual and verdict.position not in found:
                is_now = at_once and time == moment.time
                found[verdict.position] = _fire(verdict, is_now, *money[verdict.position])
    return tuple(found.values())


def with_known(facts: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """The facts; what is unknown among them as it was `before`, if it was known then."""
    gaps = [name for name in facts.columns if name in before.columns and facts[name].null_count()]
    gaps = [name for name in gaps if before[name].null_count() < before.height]
    if not gaps:
        return facts
    last = before
    if not before["position"].equals(facts["position"]):
        last = facts.select("position").join(
            before.select("position", *gaps), on="position", how="left", maintain_order="left"
        )
    return facts.with_columns(
        facts[name].zip_with(facts[name].is_not_null(), last[name]).alias(name) for name in gaps
    )


def _acts(moment: Moment, later_s: float) -> Iterable[tuple[bool, Verdict]]:
    """What is done at once, and what with the same facts `later_s` after."""
    contributors = moment.facts.select(CONTRIBUTORS.names())
    state, decided = moment.step()
    for verdict in _live(decided, contributors):
        yield True, verdict
    if not later_s:
        return
    then = moment.time + timedelta(seconds=later_s)
    _, decided = Moment(then, moment.book, state, moment.facts, moment.market).step()
    for verdict in _live(decided, contributors):
        yield False, verdict


def _live(decided: pl.DataFrame, contributors: pl.DataFrame) -> list[Verdict]:
    # Most positions have no rule: rows of these are not made.
    rows = decided.filter(pl.col("rule").is_not_null()).iter_rows(named=True)
    return [verdict for verdict in verdicts_of(rows, contributors) if not verdict.is_shadow]


def _deed(action: str, params: Mapping[str, Any]) -> tuple[str, str]:
    """What is done, without the price: a close is a close."""
    return action, json.dumps({key: value for key, value in params.items() if key != "price"}, sort_keys=True)


def _money(facts: pl.DataFrame) -> list[pl.Expr]:
    """Position and P&L; what the facts do not have, or not as a number, is unknown."""
    there = facts.columns
    names = ("profit", "profit_usd")
    return [
        pl.col("position"),
        *[pl.col(name) if name in there else pl.lit(None, pl.Float64).alias(name) for name in names],
    ]


def _fire(verdict: Verdict, at_once: bool, profit: float | None, profit_usd: float | None) -> NewFire:
    return NewFire(
        position=verdict.position,
        rule=verdict.rule,
        action=verdict.action,
        params=json.dumps(verdict.params, sort_keys=True),
        at_once=at_once,
        profit=_number(profit),
        profit_usd=_number(profit_usd),
    )


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None

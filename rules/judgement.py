"""`step` for a single row in plain Python: what explain shows, and what the fold is tested against."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal as OneOf

from rules.expression import Node
from rules.facts import FACTS
from rules.mutes import mute_of
from rules.rulebook import Mute, Rule, Rulebook, Tier, Urgency, Value
from rules.scalar import any_of, known, number, parameters_for, truth
from rules.state import (
    BOOK,
    Memory,
    active_column,
    last_column,
    latch_column,
    since_column,
    tracked_column,
)

Evaluate = Callable[[Node, Mapping[str, Value], Mapping[str, Value]], bool | None]
"""The truth of a condition by facts and parameters, such as `scalar.truth`."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a condition that is true does not fire: `for` holds since then and not long enough, `cooldown`
    won then and rests, `once` has acted before. `left_s`: seconds until it may fire, None = never again."""

    reason: OneOf["for", "cooldown", "once"]
    since: datetime | None = None
    left_s: float | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one rule.

    `holds`: its condition, None = unknown. `hot`: the index of the tier that may win, None = the rule
    does not fire. `waiting`: why it does not although its condition is true. `latched`: the tiers that
    have acted once already. `mute`: what keeps it from acting here now.
    """

    rule: Rule
    parameters: Mapping[str, Value]
    holds: bool | None
    hot: int | None
    waiting: Waiting | None
    latched: tuple[bool, ...]
    mute: Mute | None = None

    @property
    def acts(self) -> bool:
        """Whether it is more than a shadow here."""
        return self.rule.mode == "live" and self.mute is None


@dataclass(frozen=True, slots=True)
class Judgement:
    """One row of `step`. `facts`: cleaned, with the tracked values. `winner`: None when no rule fires."""

    facts: Mapping[str, Value]
    rules: tuple[Judged, ...]
    winner: Judged | None
    memory: Mapping[str, Memory]

    @property
    def tier(self) -> Tier | None:
        """The tier that won."""
        if self.winner is None or self.winner.hot is None:
            return None
        return self.winner.rule.tiers[self.winner.hot]

    @property
    def urgency(self) -> Urgency | None:
        """How urgent the winner is."""
        if self.tier is None or self.winner is None:
            return None
        for word, condition in self.tier.urgent_when:
            if truth(condition, self.facts, self.winner.parameters):
                return word
        return self.tier.urgency

    @property
    def fired(self) -> list[str]:
        return [judged.rule.id for judged in self.rules if judged.hot is not None]

    @property
    def unknown(self) -> list[str]:
        return [judged.rule.id for judged in self.rules if judged.holds is None]


def judge(
    book: Rulebook,
    memory: Mapping[str, Memory],
    facts: Mapping[str, float | str | None],
    market: Mapping[str, float | str | None],
    now: datetime,
    evaluate: Evaluate = truth,
) -> Judgement:
    """Apply the rules to one position, or to the book itself when `facts` has position "".

    `memory` is `RuleState.position(...)`; what is not in `facts` comes from `market`. Names that are not
    in the catalogue are passed over. `evaluate` is asked once for every condition.
    """
    seen = {name: known(facts.get(name)) for name in FACTS}
    seen |= {name: known(market.get(name)) for name, value in seen.items() if value is None}
    after: dict[str, Memory] = {}
    for item in book.tracked:
        current = number(item.node, seen, {})
        values = [memory.get(tracked_column(item.name)), current, seen.get(item.name)]
        numbers = [value for value in values if isinstance(value, float)]
        if numbers:
            extreme = max(numbers) if item.function == "max" else min(numbers)
            seen[item.name] = after[tracked_column(item.name)] = extreme
    position = facts.get("position")
    is_book = position == BOOK
    judged = [
        _judge_rule(rule, memory, after, seen, now, evaluate, mine=(rule.scope == "book") == is_book)
        for rule in book.rules
        if rule.mode != "off"
    ]
    if book.mutes:
        judged = [replace(one, mute=_mute(book, one.rule, position, seen, now)) for one in judged]
    hot = [one for one in judged if one.hot is not None]
    winner = min(hot, key=lambda one: not one.acts, default=None)
    _remember(judged, winner, memory, after, now)
    return Judgement(seen, tuple(judged), winner, after)


def _mute(
    book: Rulebook, rule: Rule, position: object, seen: Mapping[str, Value], now: datetime
) -> Mute | None:
    """A shadow does not act anyway."""
    return mute_of(book.mutes_of(rule.id), str(position), seen, now) if rule.mode == "live" else None


def _judge_rule(
    rule: Rule,
    memory: Mapping[str, Memory],
    after: dict[str, Memory],
    seen: Mapping[str, Value],
    now: datetime,
    evaluate: Evaluate,
    mine: bool,
) -> Judged:
    parameters = parameters_for(rule, seen)
    conditions = [evaluate(tier.when, seen, parameters) if mine else False for tier in rule.tiers]
    latched = [
        tier.once and bool(memory.get(latch_column(rule.id, index))) for index, tier in enumerate(rule.tiers)
    ]
    waiting: Waiting | None = None
    ready: list[bool] = []
    for index, condition in enumerate(conditions):
        met = rule.fires_when_unknown if condition is None else condition
        if met and rule.hold_s:
            since = memory.get(since_column(rule.id, index)) or now
            assert isinstance(since, datetime)
            after[since_column(rule.id, index)] = since
            met = now - since >= timedelta(seconds=rule.hold_s)
            if not met and not latched[index]:
                left_s = rule.hold_s - (now - since).total_seconds()
                waiting = waiting or Waiting("for", since, left_s)
        ready.append(met)
    if rule.clear_when:
        cleared = evaluate(rule.clear_when, seen, parameters) is True
        active = ready[0] or (bool(memory.get(active_column(rule.id))) and not cleared)
        after[active_column(rule.id)] = active
        ready = [active]
    if any(met and done for met, done in zip(ready, latched, strict=True)):
        waiting = waiting or Waiting("once")
    last = memory.get(last_column(rule.id))
    cooling = isinstance(last, datetime) and now - last < timedelta(seconds=rule.cooldown_s)
    if cooling and isinstance(last, datetime) and any(ready):
        waiting = Waiting("cooldown", last, rule.cooldown_s - (now - last).total_seconds())
    able = [met and not done and not cooling for met, done in zip(ready, latched, strict=True)]
    # A latched tier is over, whatever its condition says.
    holds = any_of([condition for condition, done in zip(conditions, latched, strict=True) if not done])
    hot = able.index(True) if True in able else None
    return Judged(rule, parameters, holds, hot, waiting, tuple(latched))


def _remember(
    judged: list[Judged],
    winner: Judged | None,
    memory: Mapping[str, Memory],
    after: dict[str, Memory],
    now: datetime,
) -> None:
    for one in judged:
        rule = one.rule
        acts = one is winner and one.mute is None and rule.mode == "live"
        if rule.cooldown_s:
            last = now if acts else memory.get(last_column(rule.id))
            if last is not None:
                after[last_column(rule.id)] = last
        for index, tier in enumerate(rule.tiers):
            if tier.once:
                column = latch_column(rule.id, index)
                after[column] = bool(memory.get(column)) or (acts and one.hot == index)

"""`step` for a single row in plain Python: what explain shows, and what the fold is tested against."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

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


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one rule.

    `holds`: its condition, None = unknown. `hot`: the index of the tier that may win, None = the rule
    does not fire. `waiting`: in words, why a condition that is true does not fire. `mute`: what keeps it
    from acting here now.
    """

    rule: Rule
    parameters: Mapping[str, Value]
    holds: bool | None
    hot: int | None
    waiting: str
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
) -> Judgement:
    """Apply the rules to one position, or to the book itself when `facts` has position "".

    `memory` is `RuleState.position(...)`; what is not in `facts` comes from `market`. Names that are not
    in the catalogue are passed over.
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
    judged = [
        replace(
            _judge_rule(rule, memory, after, seen, now, mine=(rule.scope == "book") == (position == BOOK)),
            mute=mute_of(book.mutes_of(rule.id), str(position), seen, now) if rule.mode == "live" else None,
        )
        for rule in book.rules
        if rule.mode != "off"
    ]
    hot = [one for one in judged if one.hot is not None]
    winner = min(hot, key=lambda one: not one.acts, default=None)
    _remember(judged, winner, memory, after, now)
    return Judgement(seen, tuple(judged), winner, after)


def _judge_rule(
    rule: Rule,
    memory: Mapping[str, Memory],
    after: dict[str, Memory],
    seen: Mapping[str, Value],
    now: datetime,
    mine: bool,
) -> Judged:
    parameters = parameters_for(rule, seen)
    conditions = [truth(tier.when, seen, parameters) if mine else False for tier in rule.tiers]
    latched = [bool(memory.get(latch_column(rule.id, index))) for index in range(len(rule.tiers))]
    waiting = ""
    ready: list[bool] = []
    for index, condition in enumerate(conditions):
        met = rule.fires_when_unknown if condition is None else condition
        if met and rule.hold_s:
            since = memory.get(since_column(rule.id, index)) or now
            assert isinstance(since, datetime)
            after[since_column(rule.id, index)] = since
            met = now - since >= timedelta(seconds=rule.hold_s)
            if not met:
                waiting = f"holds for {(now - since).total_seconds():g} s of {rule.hold_s:g} s"
        ready.append(met)
    if rule.clear_when:
        cleared = truth(rule.clear_when, seen, parameters) is True
        active = ready[0] or (bool(memory.get(active_column(rule.id))) and not cleared)
        after[active_column(rule.id)] = active
        ready = [active]
    if any(met and done for met, done in zip(ready, latched, strict=True)):
        waiting = "has acted once already"
    last = memory.get(last_column(rule.id))
    cooling = isinstance(last, datetime) and now - last < timedelta(seconds=rule.cooldown_s)
    if cooling and any(ready):
        waiting = f"cools down for {rule.cooldown_s:g} s since {last:%H:%M:%S}"
    able = [met and not done and not cooling for met, done in zip(ready, latched, strict=True)]
    # A latched tier is over, whatever its condition says.
    holds = any_of([condition for condition, done in zip(conditions, latched, strict=True) if not done])
    return Judged(rule, parameters, holds, able.index(True) if True in able else None, waiting)


def _remember(
    judged: list[Judged],
    winner: Judged | None,
    memory: Mapping[str, Memory],
    after: dict[str, Memory],
    now: datetime,
) -> None:
    for one in judged:
        rule = one.rule
        if rule.cooldown_s:
            last = now if one is winner and one.mute is None else memory.get(last_column(rule.id))
            if last is not None:
                after[last_column(rule.id)] = last
        for index, tier in enumerate(rule.tiers):
            if tier.once:
                column = latch_column(rule.id, index)
                acted = one is winner and one.mute is None and one.hot == index
                after[column] = bool(memory.get(column)) or acted

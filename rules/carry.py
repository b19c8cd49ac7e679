"""What an edit of the rules leaves of their memory.

What belongs to a condition (since when it holds, whether it is active) is kept as long as the condition says
the same. What belongs to an action that was taken (latches, cooldowns) is kept for the rule of that id, also
while no rule has it. A tracked value is kept as long as it tracks the same.
"""

from collections.abc import Hashable

import polars as pl

from rules.expression import Name, Node, Parameter, walk
from rules.rulebook import Rule, Rulebook, Tier
from rules.state import (
    RuleState,
    active_column,
    last_column,
    latch_column,
    since_column,
    tracked_column,
)


def carried(state: RuleState, before: Rulebook, after: Rulebook) -> RuleState:
    """What `after` takes over of what `before` remembered."""
    wanted = {**_of_tracked(before, after), **_of_rules(before, after)}
    frame = state.frame
    columns = [pl.col(old).alias(new) for new, old in wanted.items() if old in frame.columns]
    columns += _put_by(frame.columns, before, after, set(wanted.values()))
    known = {rule.id for rule in (*before.rules, *after.rules)}
    others = [name for name in _of_actions(frame.columns) if name.split(":")[1] not in known]
    gone = {rule.id for rule in before.rules} - {rule.id for rule in after.rules}
    left = [name for name in _of_actions(frame.columns) if name.split(":")[1] in gone]
    return RuleState(frame.select("position", *columns, *others, *left))


def remembering(after: RuleState, before: RuleState) -> RuleState:
    """`after` a step, with the latches and cooldowns of `before` that its rules know nothing of."""
    forgotten = [name for name in _of_actions(before.frame.columns) if name not in after.frame.columns]
    if not forgotten:
        return after
    kept = before.frame.select("position", *forgotten)
    return RuleState(after.frame.join(kept, on="position", how="left", maintain_order="left"))


def _put_by(there: list[str], before: Rulebook, after: Rulebook, used: set[str]) -> list[pl.Expr]:
    """The latches that no tier of `after` goes on with, under names of their actions."""
    olds = {rule.id: rule for rule in before.rules}
    put_by: dict[str, list[str]] = {}
    for rule in after.rules:
        prefix = latch_column(rule.id, 0).removesuffix("0")
        for name in there:
            place = name.removeprefix(prefix)
            if not name.startswith(prefix) or name in used:
                continue
            if not place.isdecimal():
                put_by.setdefault(name, []).append(name)
            elif rule.id in olds and int(place) < len(olds[rule.id].tiers):
                action = olds[rule.id].tiers[int(place)].action.name
                put_by.setdefault(_done_column(rule.id, action), []).append(name)
    return [pl.any_horizontal(names).alias(name) for name, names in put_by.items()]


def _done_column(rule: str, action: str) -> str:
    """Whether a `once` tier with this action, that is no more, has acted."""
    return latch_column(rule, 0).removesuffix("0") + action


def _of_actions(columns: list[str]) -> list[str]:
    return [name for name in columns if name.split(":", 1)[0] in ("latch", "last")]


def _of_tracked(before: Rulebook, after: Rulebook) -> dict[str, str]:
    same = set(before.tracked) & set(after.tracked)
    return {tracked_column(item.name): tracked_column(item.name) for item in after.tracked if item in same}


def _of_rules(before: Rulebook, after: Rulebook) -> dict[str, str]:
    """By column of `after`: the column of `before` that it goes on with."""
    olds = {rule.id: rule for rule in before.rules}
    wanted: dict[str, str] = {}
    for rule in after.rules:
        # A rule that was not there goes on with what one of that id left behind earlier.
        old = olds.get(rule.id, rule)
        is_new = rule.id not in olds
        wanted[last_column(rule.id)] = last_column(rule.id)
        places = _places(before, old, after, rule) if not is_new else {n: n for n in range(len(rule.tiers))}
        for index, tier in enumerate(rule.tiers):
            place = places.get(index)
            if place is None:
                if tier.once:
                    wanted[latch_column(rule.id, index)] = _done_column(rule.id, tier.action.name)
                continue
            if tier.once:
                wanted[latch_column(rule.id, index)] = latch_column(rule.id, place)
            if not is_new and _same(before, old, old.tiers[place], after, rule, tier):
                wanted[since_column(rule.id, index)] = since_column(rule.id, place)
                if index == place == 0 and _stays_active(before, old, after, rule):
                    wanted[active_column(rule.id)] = active_column(rule.id)
    return wanted


def _places(before: Rulebook, old: Rule, after: Rulebook, new: Rule) -> dict[int, int]:
    """Which tier of the old rule each tier of the new one is: the same condition, else the same action."""
    places: dict[int, int] = {}
    for is_it in (_same, _acts_alike):
        for index, tier in enumerate(new.tiers):
            free = (place for place in range(len(old.tiers)) if place not in places.values())
            found = next((p for p in free if is_it(before, old, old.tiers[p], after, new, tier)), None)
            if index not in places and found is not None:
                places[index] = found
    return places


def _same(before: Rulebook, old: Rule, tier: Tier, after: Rulebook, new: Rule, edited: Tier) -> bool:
    """The same action, on the same condition, which was and is looked at."""
    looked_at = "off" not in (old.mode, new.mode)
    alike = _acts_alike(before, old, tier, after, new, edited)
    return looked_at and alike and _meaning(before, old, tier.when) == _meaning(after, new, edited.when)


def _acts_alike(
    _before: Rulebook, _old: Rule, tier: Tier, _after: Rulebook, _new: Rule, edited: Tier
) -> bool:
    return (tier.action.name, tier.once) == (edited.action.name, edited.once)


def _stays_active(before: Rulebook, old: Rule, after: Rulebook, new: Rule) -> bool:
    if old.clear_when is None or new.clear_when is None:
        return False
    return _meaning(before, old, old.clear_when) == _meaning(after, new, new.clear_when)


def _meaning(book: Rulebook, rule: Rule, node: Node) -> Hashable:
    """All that the truth of a condition depends on, besides the facts."""
    names = {part.name for part in walk(node) if isinstance(part, Parameter)}
    facts = {part.name for part in walk(node) if isinstance(part, Name)}
    parameters = frozenset((name, rule.parameters.get(name)) for name in names)
    overrides = tuple(
        (target, name, values[name])
        for target, values in rule.overrides.items()
        for name in sorted(names & values.keys())
    )
    tracked = frozenset(item for item in book.tracked if item.name in facts)
    return node, parameters, overrides, tracked, rule.scope, rule.fires_when_unknown

"""A checked rules file: what the evaluators work from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal as OneOf

from rules.expression import Literal, Name, Node, Parameter, walk
from rules.facts import FACTS, Unit
from rules.problem import Mark

ActionName = OneOf["close", "reduce", "roll", "block_entries"]
Urgency = OneOf["immediate", "high", "normal"]
Mode = OneOf["off", "shadow", "live"]
Value = float | str | None
_DAY_S = 86_400.0

URGENCIES: tuple[Urgency, ...] = ("immediate", "high", "normal")
MODES: tuple[Mode, ...] = ("off", "shadow", "live")


@dataclass(frozen=True, slots=True)
class Action:
    """What to do: `close` {price}, `reduce` {count}, `roll` {dte}, `block_entries` {then}.

    `key` and `value` are the action's one argument: price "mid" or "market"; count "half" or a whole
    number; dte in days; then "reduce_largest". `value` may be a parameter of the rule.
    """

    name: ActionName
    key: str | None = None
    value: str | int | Parameter | None = None


@dataclass(frozen=True, slots=True)
class Tier:
    """One condition with what follows from it. `once`: acts a single time per position."""

    when: Node
    action: Action
    urgency: Urgency = "normal"
    urgent_when: tuple[tuple[Urgency, Node], ...] = ()
    once: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; of its tiers the first that is true acts.

    `parameters` are base values, `overrides` replace them for positions of that structure, strategy,
    underlying or regime. `hold_s`: how long the condition must hold. `examples`: facts in base units
    with whether the rule's condition fires on them. `mark`: where it stands in the file `path`; neither is
    part of what it is.
    """

    id: str
    priority: int
    tiers: tuple[Tier, ...]
    mark: Mark = field(compare=False)
    scope: OneOf["position", "book"] = "position"
    parameters: Mapping[str, Literal] = field(default_factory=dict)
    overrides: Mapping[str, Mapping[str, Literal]] = field(default_factory=dict)
    hold_s: float = 0.0
    clear_when: Node | None = None
    cooldown_s: float = 0.0
    mode: Mode = "live"
    fires_when_unknown: bool = False
    examples: tuple["Example", ...] = ()
    path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Example:
    facts: Mapping[str, Value]
    fires: bool
    mark: Mark = field(compare=False)


@dataclass(frozen=True, slots=True)
class Mute:
    """A rule that only decides and records, as a shadow does, on what is muted, as long as now < `until`.

    `on`: a position's id, a structure, a strategy or an underlying; "book" for a rule of the book.
    `until` is in UTC.
    """

    rule: str
    on: str
    until: datetime
    reason: str
    mark: Mark = field(compare=False)
    path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Tracked:
    """A value folded per position: the highest or lowest `node` since the position was opened."""

    name: str
    function: OneOf["max", "min"]
    node: Node
    unit: Unit


@dataclass(frozen=True, slots=True, eq=False)
class Rulebook:
    """The rules of one file, by priority. `revision` is a hash of the text.

    Where the file extends others, `text` has them all, so that it gives the same rulebook again. `files`:
    those that it was read from, the file itself first; none when it was read from a text.
    """

    path: str
    text: str = field(repr=False)
    revision: str
    rules: tuple[Rule, ...] = field(repr=False)
    tracked: tuple[Tracked, ...] = field(repr=False)
    mutes: tuple[Mute, ...] = field(default=(), repr=False)
    files: tuple[Path, ...] = field(default=(), repr=False)

    def mutes_of(self, rule: str) -> tuple[Mute, ...]:
        """All mutes of one rule, also those that have ended."""
        return tuple(mute for mute in self.mutes if mute.rule == rule)


def patience_s(rule: Rule) -> float:
    """How long the rule may be unknown before somebody should be told: the longest that any of its facts
    is normally unknown."""
    return max((FACTS[name].stale_after_s for name in _names(rule) if name in FACTS), default=0.0)


def reads_market(rule: Rule) -> bool:
    """Whether the rule looks at anything that moves within a day, so at more than a calendar and counts."""
    return any(name not in FACTS or FACTS[name].stale_after_s < _DAY_S for name in _names(rule))


def _names(rule: Rule) -> set[str]:
    """What its conditions name: facts, and tracked values."""
    return {part.name for tier in rule.tiers for part in walk(tier.when) if isinstance(part, Name)}

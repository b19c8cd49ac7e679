"""Why a rule fires or not: every condition with value, threshold, truth and distance."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any, NamedTuple
from typing import Literal as OneOf

from rules.checking import Checker
from rules.distance import (
    NO_GAP,
    Gap,
    Missing,
    Shape,
    distance,
    gap,
    is_near,
    relative,
    shape_of,
    unknown_facts,
)
from rules.expression import Node
from rules.facts import FACTS, Unit
from rules.judgement import Judged, Judgement, judge
from rules.mutes import told
from rules.problem import Problems
from rules.rulebook import Mode, Rule, Rulebook, Tier, Urgency, Value
from rules.scalar import OVERRIDE_FACTS
from rules.state import BOOK, RuleState, active_column
from rules.trace import Trace, Tracer, tracer_of

OUTCOMES = ("wins", "fires", "waits", "near", "unknown", "quiet", "off")
Outcome = OneOf["wins", "fires", "waits", "near", "unknown", "quiet", "off"]
"""What became of a rule; `waits`: its condition is true and something holds it back, `near`: see `NEAR`."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition. `holds`: None = unknown. A comparison of numbers has both sides in base units."""

    shape: Shape
    trace: Trace

    @property
    def text(self) -> str:
        return self.shape.text

    @property
    def holds(self) -> bool | None:
        return self.trace[0]

    @property
    def is_comparison(self) -> bool:
        return self.shape.kind == "compare"

    @property
    def value(self) -> Value:
        return self.trace[1] if self.is_comparison else None

    @property
    def threshold(self) -> Value:
        return self.trace[2] if self.is_comparison else None

    @property
    def distance(self) -> float | None:
        """What `value` would have to change by to make the comparison true; 0.0 when it is."""
        return distance(self.shape, self.trace) if self.is_comparison else None

    @property
    def relative(self) -> float | None:
        """`distance` as a share of the threshold, see `distance.relative`; None where there is none."""
        change, threshold = self.distance, self.threshold
        return (
            relative(self.shape, threshold, change)
            if isinstance(threshold, float) and change is not None
            else None
        )

    @property
    def parts(self) -> tuple["Condition", ...]:
        if self.is_comparison:
            return ()
        return tuple(map(Condition, self.shape.parts, self.trace[1]))

    def data(self) -> dict[str, Any]:
        """As plain data, see `Explanation.data`."""
        return _data(self.shape, self.trace)


class Setting(NamedTuple):
    """A parameter in force. `by`: the structure, strategy, underlying or regime whose override gave it."""

    name: str
    value: Value
    unit: Unit | None
    by: str | None


class ExplainedTier(NamedTuple):
    """`done`: it acts a single time and has."""

    action: str
    urgency: Urgency
    done: bool
    condition: Condition


@dataclass(frozen=True)
class ExplainedRule:
    """One rule for one position."""

    judged: Judged
    judgement: Judgement
    traced: "_Traced"
    traces: Mapping[int, Trace]

    @property
    def rule(self) -> str:
        return self.judged.rule.id

    @property
    def priority(self) -> int:
        return self.judged.rule.priority

    @property
    def mode(self) -> Mode:
        return self.judged.rule.mode

    @property
    def muted(self) -> str:
        """Until when it only decides here, and why; empty when it acts."""
        return told(self.judged.mute) if self.judged.mute else ""

    @property
    def outcome(self) -> Outcome:
        judged = self.judged
        if judged.rule.mode == "off":
            return "off"
        if judged.hot is not None:
            return "wins" if judged is self.judgement.winner else "fires"
        near = is_near(self.gap)
        if judged.waiting is not None and not (judged.waiting.reason == "once" and near):
            return "waits"
        if judged.holds is None:
            return "unknown"
        return "near" if near else "quiet"

    @property
    def active(self) -> bool | None:
        """Whether it fired and was not cleared since; None without `clear_when`."""
        if self.judged.rule.clear_when is None:
            return None
        return bool(self.judgement.memory.get(active_column(self.rule)))

    @cached_property
    def gap(self) -> Gap | None:
        """What is missing until it would fire, of its tiers the nearest that has not acted once already;
        None when that is not a matter of numbers, or not known."""
        judged = self.judged
        if judged.hot is not None:
            return NO_GAP
        gaps = [
            gap(self.traced.shapes[id(tier.when)], self.traces[id(tier.when)])
            for tier, done in zip(judged.rule.tiers, judged.latched, strict=False)
            if not done
        ]
        return min((one for one in gaps if one is not None), key=lambda one: one.relative, default=None)

    @property
    def unknown(self) -> dict[str, bool]:
        """The facts that its conditions lack, and whether one decides: known, it might fire."""
        found: dict[str, bool] = {}
        for tier, done in zip(self.judged.rule.tiers, self.judged.latched, strict=False):
            shape, trace = self.traced.shapes[id(tier.when)], self.traces[id(tier.when)]
            for name, decides in unknown_facts(shape, trace, self.judgement.facts):
                matters = decides and not done and self.judged.holds is None
                found[name] = found.get(name, False) or matters
        return found

    @property
    def tiers(self) -> tuple[ExplainedTier, ...]:
        """Empty for a rule that is off."""
        judged = self.judged
        return tuple(
            ExplainedTier(action_words(tier, judged.parameters), tier.urgency, done, self._of(tier.when))
            for tier, done in zip(judged.rule.tiers, judged.latched, strict=False)
        )

    @property
    def clear_when(self) -> Condition | None:
        node = self.judged.rule.clear_when
        return None if node is None or self.mode == "off" else self._of(node)

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Its parameters as they are for this position."""
        rule = self.judged.rule
        return tuple(
            Setting(name, value, rule.parameters[name].unit, self._given_by(name))
            for name, value in self.judged.parameters.items()
        )

    def data(self) -> dict[str, Any]:
        """As plain data, see `Explanation.data`."""
        judged, rule = self.judged, self.judged.rule
        waiting, found, clear = judged.waiting, self.gap, self.clear_when
        return {
            "rule": rule.id,
            "priority": rule.priority,
            "scope": rule.scope,
            "mode": rule.mode,
            "muted": self.muted or None,
            "outcome": self.outcome,
            "holds": judged.holds,
            "waiting": None
            if waiting is None
            else {
                "reason": waiting.reason,
                "since": waiting.since and waiting.since.isoformat(),
                "left_s": waiting.left_s,
            },
            "distance": None if found is None else found.relative,
            "missing": [] if found is None else [_missing(one) for one in found.missing],
            "unknown": [{"fact": name, "decides": decides} for name, decides in self.unknown.items()],
            "when_unknown": "fire" if rule.fires_when_unknown else "hold",
            "params": [
                {"name": one.name, "value": one.value, "unit": one.unit and str(one.unit), "by": one.by}
                for one in self.settings
            ],
            "active": self.active,
            "clear_when": clear and clear.data(),
            "tiers": [
                {
                    "action": tier.action,
                    "urgency": tier.urgency,
                    "done": tier.done,
                    "condition": tier.condition.data(),
                }
                for tier in self.tiers
            ],
        }

    def _of(self, node: Node) -> Condition:
        return Condition(self.traced.shapes[id(node)], self.traces[id(node)])

    def _given_by(self, name: str) -> str | None:
        overrides = self.judged.rule.overrides
        for fact in OVERRIDE_FACTS if overrides else ():
            key = self.judgement.facts.get(fact)
            if isinstance(key, str) and name in overrides.get(key, {}):
                return key
        return None


@dataclass(frozen=True)
class Explanation:
    """All rules for one position (or the book, "") at one moment.

    Truths, values and thresholds are there; distances, words and data are made when they are asked for.
    """

    position: str
    time: datetime
    book: Rulebook
    judgement: Judgement
    traces: Mapping[int, Trace]

    @cached_property
    def rules(self) -> tuple[ExplainedRule, ...]:
        """The rules that are about this position, or those of the book, by priority."""
        is_book, traced = self.position == BOOK, _traced(self.book)
        judged = {one.rule.id: one for one in self.judgement.rules}
        return tuple(
            ExplainedRule(judged.get(rule.id) or _off(rule), self.judgement, traced, self.traces)
            for rule in self.book.rules
            if (rule.scope == "book") == is_book
        )

    @property
    def tracked(self) -> dict[str, tuple[Value, Unit]]:
        """What the rules remember of the position, such as peak_profit, with its unit."""
        return {item.name: (self.judgement.facts.get(item.name), item.unit) for item in self.book.tracked}

    @property
    def rule(self) -> str | None:
        """The rule that wins."""
        return self.judgement.winner.rule.id if self.judgement.winner else None

    def __getitem__(self, rule: str) -> ExplainedRule:
        """The rule with that id; raises KeyError when there is none."""
        for one in self.rules:
            if one.rule == rule:
                return one
        raise KeyError(rule)

    def text(self, rule: str | None = None) -> str:
        """As a tree for people; only one rule when it is named."""
        from rules.explanation_text import rule_lines

        chosen = [one for one in self.rules if rule in (None, one.rule)]
        return "\n".join(line for one in chosen for line in rule_lines(one))

    def data(self) -> dict[str, Any]:
        """As plain data for JSON; keys stay, numbers are in base units, null is unknown or none.

        `rules`, by priority: `rule`, `priority`, `scope`, `mode`, `muted` (in words); `outcome` (one of
        OUTCOMES), `holds` (its condition); `waiting` (`reason`: for, cooldown or once; `since`, `left_s`);
        `distance` (see `Gap.relative`) with `missing`, the comparisons in the way; `unknown` (`fact`, and
        whether it `decides`), `when_unknown`; `params` (`by`: which override gave it); `active` and
        `clear_when`; `tiers` (`action`, `urgency`, `done`, `condition`). A condition: `kind` (compare, all,
        any, not), `text`, `holds`, and `parts` or, for a comparison, `value`, `threshold`, `unit`,
        `distance`, `relative`.
        """
        winner = self.judgement.winner
        tier = self.judgement.tier
        return {
            "position": self.position,
            "time": self.time.isoformat(),
            "revision": self.book.revision,
            "rule": self.rule,
            "action": None if tier is None or winner is None else action_words(tier, winner.parameters),
            "urgency": self.judgement.urgency,
            "tracked": {name: value for name, (value, _) in self.tracked.items()},
            "rules": [one.data() for one in self.rules],
        }


def explain(
    book: Rulebook,
    state: RuleState,
    facts_row: Mapping[str, Any],
    market: Mapping[str, Any],
    now: datetime,
) -> Explanation:
    """What `step` would make of this row and why; `state` is the one before the step.

    `facts_row`: `position` ("" = the book) and facts by name; other names are passed over.
    """
    position = str(facts_row.get("position", BOOK))
    traces: dict[int, Trace] = {}
    tracers = _traced(book).tracers

    def evaluate(node: Node, facts: Mapping[str, Value], parameters: Mapping[str, Value]) -> bool | None:
        trace = traces[id(node)] = tracers[id(node)](facts, parameters)
        return trace[0]

    return Explanation(
        position, now, book, judge(book, state.position(position), facts_row, market, now, evaluate), traces
    )


class _Traced(NamedTuple):
    """The conditions of a rulebook by the identity of their nodes."""

    tracers: Mapping[int, Tracer]
    shapes: Mapping[int, Shape]


@lru_cache(maxsize=8)
def _traced(book: Rulebook) -> _Traced:
    units = {fact.name: fact.unit for fact in FACTS.values()} | {one.name: one.unit for one in book.tracked}
    tracers: dict[int, Tracer] = {}
    shapes: dict[int, Shape] = {}
    for rule in book.rules:
        checker = Checker(units, Problems("", ""), parameters=rule.parameters)
        for node in _conditions(rule):
            tracers[id(node)], shapes[id(node)] = tracer_of(node), shape_of(node, checker)
    return _Traced(tracers, shapes)


def _conditions(rule: Rule) -> Iterator[Node]:
    yield from (tier.when for tier in rule.tiers)
    if rule.clear_when is not None:
        yield rule.clear_when


def _off(rule: Rule) -> Judged:
    return Judged(rule, {}, False, None, None, ())


def action_words(tier: Tier, parameters: Mapping[str, Value]) -> str:
    """What the tier does, such as `reduce half`."""
    value = tier.action.value
    if value is None:
        return tier.action.name
    shown = value if isinstance(value, str | int) else f"{parameters[value.name]:g}"
    return f"{tier.action.name} {shown}"


def _data(shape: Shape, trace: Trace) -> dict[str, Any]:
    holds, value, threshold = trace
    if shape.kind != "compare":
        parts = list(map(_data, shape.parts, value))
        return {"kind": shape.kind, "text": shape.text, "holds": holds, "parts": parts}
    change = distance(shape, trace) if shape.unit is not Unit.TEXT else None
    return {
        "kind": "compare",
        "text": shape.text,
        "holds": holds,
        "value": value,
        "threshold": threshold,
        "unit": str(shape.unit),
        "distance": change,
        "relative": relative(shape, threshold, change) if change is not None else None,
    }


def _missing(one: Missing) -> dict[str, Any]:
    return {
        "text": one.shape.text,
        "fact": one.shape.fact,
        "value": one.value,
        "threshold": one.threshold,
        "unit": str(one.shape.unit),
        "distance": one.distance,
        "relative": one.relative,
    }

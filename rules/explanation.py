"""Why a rule fires or not: every condition with value, threshold, truth and distance."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from rules.checking import Checker, Type
from rules.expression import Compare, Node, Not, children
from rules.facts import FACTS, Unit
from rules.judgement import Judged, judge
from rules.mutes import told
from rules.problem import Problems
from rules.rulebook import Rulebook, Tier, Value
from rules.scalar import number, truth
from rules.state import RuleState

_SIGNS = {True: "✓", False: "✗", None: "?"}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition. `holds`: None = unknown. Comparisons of numbers also have both sides in base units,
    and `distance`: how far `value` is from `threshold` (0 when it is there)."""

    text: str
    holds: bool | None
    value: float | str | None = None
    threshold: float | str | None = None
    distance: float | None = None
    shown: str = ""
    parts: tuple["Condition", ...] = ()


@dataclass(frozen=True, slots=True)
class ExplainedTier:
    action: str
    condition: Condition


@dataclass(frozen=True, slots=True)
class ExplainedRule:
    """`outcome`: wins, fires, waits, quiet or unknown; `waiting` says what a waiting rule waits for.

    `muted`: until when it only decides here and why, such as "muted on IWM until …"; empty when it acts.
    """

    rule: str
    priority: int
    mode: str
    outcome: str
    waiting: str
    tiers: tuple[ExplainedTier, ...]
    muted: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """All rules by priority, for one position at one moment."""

    position: str
    time: datetime
    revision: str
    rule: str | None
    rules: tuple[ExplainedRule, ...]

    def text(self, rule: str | None = None) -> str:
        """As a tree for people; only one rule when it is named."""
        chosen = [one for one in self.rules if rule in (None, one.rule)]
        return "\n".join(line for one in chosen for line in _rule_lines(one))

    def data(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return asdict(self) | {"time": self.time.isoformat()}


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
    position = str(facts_row.get("position", ""))
    facts = {name: value for name, value in facts_row.items() if name in FACTS or name == "position"}
    judgement = judge(book, state.position(position), facts, market, now)
    units = {fact.name: fact.unit for fact in FACTS.values()} | {one.name: one.unit for one in book.tracked}
    about = [one for one in judgement.rules if (one.rule.scope == "book") == (position == "")]
    explained = tuple(_explained(one, judgement.facts, units, one is judgement.winner) for one in about)
    winner = judgement.winner.rule.id if judgement.winner else None
    return Explanation(position, now, book.revision, winner, explained)


def _explained(
    judged: Judged, facts: Mapping[str, Value], units: Mapping[str, Unit], wins: bool
) -> ExplainedRule:
    rule = judged.rule
    outcome = "quiet"
    if judged.hot is not None:
        outcome = "wins" if wins else "fires"
    elif judged.waiting:
        outcome = "waits"
    elif judged.holds is None:
        outcome = "unknown"
    checker = Checker(units, Problems("", ""), parameters=rule.parameters)
    tracer = _Tracer(facts, judged.parameters, checker)
    tiers = tuple(
        ExplainedTier(_action(tier, judged.parameters), tracer.trace(tier.when)) for tier in rule.tiers
    )
    muted = told(judged.mute) if judged.mute else ""
    return ExplainedRule(rule.id, rule.priority, rule.mode, outcome, judged.waiting, tiers, muted)


def _action(tier: Tier, parameters: Mapping[str, Value]) -> str:
    value = tier.action.value
    if value is None:
        return tier.action.name
    shown = value if isinstance(value, str | int) else f"{parameters[value.name]:g}"
    return f"{tier.action.name} {shown}"


@dataclass(frozen=True, slots=True)
class _Tracer:
    facts: Mapping[str, Value]
    parameters: Mapping[str, Value]
    checker: Checker

    def trace(self, node: Node) -> Condition:
        holds = truth(node, self.facts, self.parameters)
        if isinstance(node, Compare):
            return self._compared(node, holds)
        text = "not" if isinstance(node, Not) else node.source.text
        return Condition(text, holds, parts=tuple(self.trace(child) for child in children(node)))

    def _compared(self, node: Compare, holds: bool | None) -> Condition:
        value = number(node.left, self.facts, self.parameters)
        threshold = number(node.right, self.facts, self.parameters)
        left, right = self.checker.kind(node.left), self.checker.kind(node.right)
        unit = left if isinstance(left, Unit) else right
        shown = f"{shown_value(value, unit)} against {shown_value(threshold, unit)}"
        distance = None
        if isinstance(value, float) and isinstance(threshold, float):
            distance = 0.0 if holds else abs(threshold - value)
            if not holds:
                shown += f", {shown_value(distance, unit)} away"
        return Condition(node.source.text, holds, value, threshold, distance, shown)


def shown_value(value: Value, unit: Type) -> str:
    """A value in its unit, as a trader writes it; unknown when it is None."""
    if value is None:
        return "unknown"
    if isinstance(value, str):
        return value
    plain = f"{value:.6g}"
    match unit:
        case Unit.RATIO:
            return f"{100 * value:.6g} %"
        case Unit.USD:
            return f"${value:,.2f}" if value >= 0 else f"-${-value:,.2f}"
        case Unit.DAYS:
            return f"{plain} d"
        case Unit.SECONDS:
            return f"{plain} s"
    return plain


def _rule_lines(rule: ExplainedRule) -> Iterator[str]:
    sign = {"wins": "✓", "fires": "✓", "unknown": "?"}.get(rule.outcome, "✗")
    mode = "" if rule.mode == "live" else f" ({rule.mode})"
    waiting = f": {rule.waiting}" if rule.waiting and rule.outcome == "waits" else ""
    yield f"{sign} {rule.priority} {rule.rule}{mode}: {rule.outcome}{waiting}"
    if rule.muted:
        yield f"  {rule.muted}"
    for tier in rule.tiers:
        yield f"  {_SIGNS[tier.condition.holds]} {tier.action} when"
        yield from _condition_lines(tier.condition, "    ")


def _condition_lines(condition: Condition, indent: str) -> Iterator[str]:
    shown = f"  ({condition.shown})" if condition.shown else ""
    yield f"{indent}{_SIGNS[condition.holds]} {condition.text}{shown}"
    for part in condition.parts:
        yield from _condition_lines(part, indent + "  ")

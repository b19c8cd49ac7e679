"""An explanation as a tree for people: a line per condition, its value beside its threshold."""

import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from rules.checking import Type
from rules.distance import Shape
from rules.explanation import Condition, ExplainedRule, Setting
from rules.facts import Unit
from rules.judgement import Waiting
from rules.rulebook import Value

SIGNS = {True: "✓", False: "✗", None: "?"}
_OUTCOME_SIGNS = {"wins": "✓", "fires": "✓", "unknown": "?", "near": "≈", "waits": "…"}
_WIDTH = 100
_VALUE_WIDTH = 12


class _Row(NamedTuple):
    """A line of the tree before its columns are set. `side`: value, threshold, distance."""

    tree: str
    side: tuple[str, str, str] | None = None


def rule_lines(rule: ExplainedRule) -> Iterator[str]:
    """The rule, its conditions and what else bears on it; at most 100 characters each where names allow."""
    yield from textwrap.wrap(_head(rule), _WIDTH, subsequent_indent="    ", break_long_words=False)
    if rule.muted:
        yield from _wrapped(rule.muted)
    rows = list(_rows(rule))
    width = max((len(row.tree) for row in rows if row.side), default=0)
    width = min(width, _WIDTH - 2 * _VALUE_WIDTH - 24)
    for row in rows:
        if row.side is None:
            yield row.tree
        else:
            value, threshold, away = row.side
            compared = f"{value:>{_VALUE_WIDTH}}  {threshold:>{_VALUE_WIDTH}}  {away}"
            yield f"{row.tree:<{width}}  {compared}".rstrip()
    yield from _remarks(rule)


def shown_value(value: Value, unit: Type) -> str:
    """A value in its unit, as a trader writes it; unknown when it is None."""
    if value is None:
        return "unknown"
    if isinstance(value, str):
        return value
    plain = _plain(value)
    match unit:
        case Unit.RATIO:
            return f"{_plain(100 * value)} %"
        case Unit.USD:
            return f"${value:,.2f}" if value >= 0 else f"-${-value:,.2f}"
        case Unit.DAYS:
            return f"{plain} d"
        case Unit.SECONDS:
            return f"{plain} s"
    return plain


def shown_distance(shape: Shape, change: float) -> str:
    """By how much a value would have to move, with its sign: `+18 %`, or just beyond where it stands."""
    shown = shown_value(change, shape.unit)
    if abs(change) < 1e-9 * shape.scale:
        return "any more" if change > 0 else "any less"
    return f"+{shown}" if change > 0 else shown


def _plain(value: float) -> str:
    """At most three decimals, or as many figures where that would be next to nothing."""
    if abs(value) < 0.1:
        return f"{value:.3g}"
    return f"{value:.3f}".rstrip("0").rstrip(".")


def waiting_words(waiting: Waiting) -> str:
    """What a rule waits for."""
    if waiting.reason == "once" or waiting.since is None or waiting.left_s is None:
        return "has acted once already"
    if waiting.reason == "for":
        return f"{_duration(waiting.left_s)} left, true since {waiting.since:%H:%M:%S} UTC"
    return f"cools down for {_duration(waiting.left_s)} more, won at {waiting.since:%H:%M:%S} UTC"


def outcome_words(rule: ExplainedRule) -> str:
    """What became of the rule and why, such as `near: profit +1 %`."""
    outcome = rule.outcome
    said: str = outcome
    if outcome == "waits" and rule.judged.waiting is not None:
        said = f"waits: {waiting_words(rule.judged.waiting)}"
    if outcome in ("near", "quiet") and rule.gap is not None and rule.gap.missing:
        away = " and ".join(
            f"{one.shape.subject} {shown_distance(one.shape, one.distance)}" for one in rule.gap.missing
        )
        said = f"{outcome}: {away}"
    if outcome == "unknown":
        deciding = [name for name, decides in rule.unknown.items() if decides]
        said = f"unknown: {', '.join(deciding) or 'a value'} not known"
    return said


def _head(rule: ExplainedRule) -> str:
    if rule.outcome == "off":
        return f"- {rule.priority} {rule.rule} is off and never wins"
    mode = "" if rule.mode == "live" else f" ({rule.mode})"
    sign = _OUTCOME_SIGNS.get(rule.outcome, "✗")
    return f"{sign} {rule.priority} {rule.rule}{mode}: {outcome_words(rule)}"


def _rows(rule: ExplainedRule) -> Iterator[_Row]:
    for tier in rule.tiers:
        done = ", done once already" if tier.done else ""
        yield _Row(f"  {SIGNS[tier.condition.holds]} {tier.action} when{done}")
        yield from _condition_rows(tier.condition, "    ")
    clear = rule.clear_when
    if clear is not None:
        yield _Row(f"  {SIGNS[clear.holds]} cleared when ({'active' if rule.active else 'not active'} now)")
        yield from _condition_rows(clear, "    ")


def _condition_rows(condition: Condition, indent: str) -> Iterator[_Row]:
    tree = f"{indent}{SIGNS[condition.holds]} {condition.text}"
    shape = condition.shape
    if shape.is_membership:
        value = shown_value(condition.parts[0].value, Unit.TEXT)
        room = _WIDTH - 2 - max(len(value), _VALUE_WIDTH)
        yield _Row(tree if len(tree) <= room else f"{tree[: room - 1]}…", (value, "", ""))
    elif not condition.is_comparison:
        yield _Row(tree)
        for part in condition.parts:
            yield from _condition_rows(part, indent + "  ")
    else:
        sides = (shown_value(condition.value, shape.unit), shown_value(condition.threshold, shape.unit))
        yield _Row(tree, (*sides, _away(condition)))


def _away(condition: Condition) -> str:
    """The distance in its unit, and as a share of the threshold."""
    change, threshold = condition.distance, condition.threshold
    if not change or not isinstance(threshold, float):
        return ""
    percent = 100 * abs(change / threshold) if threshold else 0.0
    share = f" ({percent:.{0 if percent >= 10 else 1}f} %)" if threshold else ""
    return f"{shown_distance(condition.shape, change)}{share}"


def _remarks(rule: ExplainedRule) -> Iterator[str]:
    lacking = rule.unknown
    idle = [name for name, decides in lacking.items() if not decides]
    if idle:
        yield from _wrapped(f"not known, but without consequence: {', '.join(idle)}")
    if rule.judged.holds is None and rule.outcome != "unknown":
        yield from _wrapped(f"not known: {', '.join(name for name, decides in lacking.items() if decides)}")
    if rule.judged.holds is None and rule.judged.rule.fires_when_unknown:
        yield "  `unknown: fire`, so it goes on as if its condition were true"
    given = [one for one in rule.settings if one.by is not None]
    if given:
        yield from _wrapped(", ".join(map(_setting, given)))


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False)


def _setting(one: Setting) -> str:
    return f"${one.name} is {shown_value(one.value, one.unit or Unit.NUMBER)} by the override for {one.by}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"

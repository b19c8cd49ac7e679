"""Any rulebook without rules of the book as nested functions: the quickest generic evaluator in plain Python.

It decides and says what is remembered, as the scalar interpreter does, but cannot tell why.
"""

import operator
from collections.abc import Callable
from datetime import datetime
from typing import Any

from benchmarks.rule_rivals import Judge, Row
from rules.expression import (
    All,
    AnyOf,
    Arithmetic,
    Call,
    Compare,
    Literal,
    Name,
    Negative,
    Node,
    Not,
    Parameter,
)
from rules.rulebook import Rule, Rulebook
from rules.scalar import OVERRIDE_FACTS
from rules.state import active_column, last_column, latch_column, since_column, tracked_column

_Closure = Callable[[Row, Row], Any]
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def as_closures(book: Rulebook) -> Judge:
    """A function that judges one position."""
    tracked = [
        (tracked_column(item.name), item.name, item.function, _closure(item.node)) for item in book.tracked
    ]
    compiled = [_compiled(rule) for rule in book.rules]

    def judge(facts: Row, memory: Row, now: datetime) -> tuple[str | None, dict[str, Any]]:
        seen, after = dict(facts), {}
        for column, name, function, inner in tracked:
            values = [value for value in (memory.get(column), inner(seen, {})) if value is not None]
            if values:
                seen[name] = after[column] = max(values) if function == "max" else min(values)
        winner: tuple[Rule, int] | None = None
        for rule, closures in compiled:
            hot = _hot(rule, closures, seen, memory, after, now)
            if hot is not None and winner is None:
                winner = (rule, hot)
        if winner is None:
            return None, after
        rule, tier = winner
        if rule.cooldown_s:
            after[last_column(rule.id)] = now
        if rule.tiers[tier].once:
            after[latch_column(rule.id, tier)] = True
        return rule.id, after

    return judge


def _compiled(rule: Rule) -> tuple[Rule, tuple[list[_Closure], _Closure | None]]:
    clear = _closure(rule.clear_when) if rule.clear_when else None
    return rule, ([_closure(tier.when) for tier in rule.tiers], clear)


def _hot(
    rule: Rule,
    closures: tuple[list[_Closure], _Closure | None],
    seen: Row,
    memory: Row,
    after: dict[str, Any],
    now: datetime,
) -> int | None:
    """The tier that may win; what a rule remembers without winning goes into `after`."""
    whens, clear = closures
    parameters = {name: literal.value for name, literal in rule.parameters.items()}
    for fact in reversed(OVERRIDE_FACTS) if rule.overrides else ():
        own = rule.overrides.get(seen.get(fact) or "", {})
        parameters |= {name: literal.value for name, literal in own.items()}
    ready = []
    for tier, when in enumerate(whens):
        met = when(seen, parameters) is True
        if met and rule.hold_s:
            column = since_column(rule.id, tier)
            since = after[column] = memory.get(column) or now
            met = (now - since).total_seconds() >= rule.hold_s
        ready.append(met)
    if clear is not None:
        column = active_column(rule.id)
        stays = bool(memory.get(column)) and clear(seen, parameters) is not True
        ready[0] = after[column] = ready[0] or stays
    last = after[last_column(rule.id)] = memory.get(last_column(rule.id)) if rule.cooldown_s else None
    rests = last is not None and (now - last).total_seconds() < rule.cooldown_s
    hot = None
    for tier, met in enumerate(ready):
        column = latch_column(rule.id, tier)
        done = after[column] = rule.tiers[tier].once and bool(memory.get(column))
        hot = tier if met and not (done or rests) and hot is None else hot
    return hot


def _closure(node: Node) -> _Closure:
    match node:
        case Literal(value=value):
            return lambda seen, parameters: value
        case Name(name=name):
            return lambda seen, parameters: seen.get(name)
        case Parameter(name=name):
            return lambda seen, parameters: parameters[name]
        case Negative(operand=operand):
            return _of_known(lambda one: -one, _closure(operand))
        case Arithmetic(operator=sign, left=left, right=right):
            return _of_known(_OPERATORS[sign], _closure(left), _closure(right))
        case Compare(operator=sign, left=left, right=right):
            return _of_known(_OPERATORS[sign], _closure(left), _closure(right))
        case Call(function=function, arguments=arguments):
            called = {"abs": abs, "min": min, "max": max}[function]
            return _of_known(called, *[_closure(argument) for argument in arguments])
        case Not(operand=operand):
            return _of_known(lambda one: not one, _closure(operand))
        case All(parts=parts):
            return _kleene([_closure(part) for part in parts], deciding=False)
        case AnyOf(parts=parts):
            return _kleene([_closure(part) for part in parts], deciding=True)


def _of_known(function: Callable[..., Any], *operands: _Closure) -> _Closure:
    """Unknown when an operand is; the twelve rules have no result that is not finite."""
    if len(operands) == 1:
        (only,) = operands

        def of_one(seen: Row, parameters: Row) -> Any:
            value = only(seen, parameters)
            return None if value is None else function(value)

        return of_one
    left, right = operands

    def of_two(seen: Row, parameters: Row) -> Any:
        one, other = left(seen, parameters), right(seen, parameters)
        return None if one is None or other is None else function(one, other)

    return of_two


def _kleene(parts: list[_Closure], deciding: bool) -> _Closure:
    def joined(seen: Row, parameters: Row) -> bool | None:
        unknown = False
        for part in parts:
            value = part(seen, parameters)
            if value is deciding:
                return deciding
            unknown = unknown or value is None
        return None if unknown else not deciding

    return joined

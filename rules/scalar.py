"""The second evaluator: plain Python over one row. Explains, runs examples, and is the polars oracle."""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

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
from rules.rulebook import Rule, Value

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def known(value: float | str | None) -> Value:
    """The value as the rules see it: numbers as float, whatever is not finite as None."""
    if value is None or isinstance(value, str):
        return value
    return float(value) if math.isfinite(value) else None


def truth(node: Node, facts: Mapping[str, Value], parameters: Mapping[str, Value]) -> bool | None:
    """Kleene's three values: None when what is unknown decides."""
    match node:
        case Compare():
            left = number(node.left, facts, parameters)
            right = number(node.right, facts, parameters)
            return None if left is None or right is None else COMPARE[node.operator](left, right)
        case Not(operand=operand):
            value = truth(operand, facts, parameters)
            return None if value is None else not value
        case All(parts=parts):
            return all_of([truth(part, facts, parameters) for part in parts])
        case AnyOf(parts=parts):
            return any_of([truth(part, facts, parameters) for part in parts])
    raise TypeError(f"{type(node).__name__} is not a condition")


def number(node: Node, facts: Mapping[str, Value], parameters: Mapping[str, Value]) -> Value:
    """A number or text; None when unknown or not finite."""
    match node:
        case Literal(value=value):
            return value
        case Name(name=name):
            return facts.get(name)
        case Parameter(name=name):
            return parameters[name]
        case Negative(operand=operand):
            positive = number(operand, facts, parameters)
            return -positive if isinstance(positive, float) else None
        case Arithmetic():
            left = number(node.left, facts, parameters)
            right = number(node.right, facts, parameters)
            return _calculated(node.operator, left, right)
        case Call(function=function, arguments=arguments):
            return _called(function, [number(argument, facts, parameters) for argument in arguments])
    raise TypeError(f"{type(node).__name__} is not a value")


def _calculated(sign: str, left: Value, right: Value) -> Value:
    if not isinstance(left, float) or not isinstance(right, float):
        return None
    try:
        result = _ARITHMETIC[sign](left, right)
    except ZeroDivisionError:
        return None
    return result if math.isfinite(result) else None


def _called(function: str, values: list[Value]) -> Value:
    numbers = [value for value in values if isinstance(value, float)]
    if len(numbers) < len(values):
        return None
    if function == "abs":
        return abs(numbers[0])
    return min(numbers) if function == "min" else max(numbers)


def all_of(values: list[bool | None]) -> bool | None:
    """Kleene's and."""
    if False in values:
        return False
    return None if None in values else True


def any_of(values: list[bool | None]) -> bool | None:
    """Kleene's or."""
    if True in values:
        return True
    return None if None in values else False


def parameters_for(rule: Rule, facts: Mapping[str, Value]) -> dict[str, Value]:
    """The rule's parameters for this position, overrides applied, the most specific first."""
    values: dict[str, Value] = {name: literal.value for name, literal in rule.parameters.items()}
    for fact in reversed(OVERRIDE_FACTS):
        key = facts.get(fact)
        if isinstance(key, str):
            values |= {name: literal.value for name, literal in rule.overrides.get(key, {}).items()}
    return values


# An override may name any of these; where several match, the first one here wins.
OVERRIDE_FACTS = ("strategy", "underlying", "structure", "regime")

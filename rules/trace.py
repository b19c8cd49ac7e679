"""Conditions compiled to functions that keep, besides the truth, what was compared with what.

The third value of a comparison and the parts of a junction are only collected here; words, units and
distances come later, and only for who looks (`shape`, `distance`).
"""

from collections.abc import Callable, Mapping
from typing import Any

from rules.expression import All, AnyOf, Compare, Literal, Name, Node, Not, Parameter, walk
from rules.rulebook import Value
from rules.scalar import COMPARE, number

Facts = Mapping[str, Value]
Trace = tuple[bool | None, Any, Any]
"""Of a comparison: truth, value, threshold. Of what joins conditions: truth, its parts' traces, None."""
Tracer = Callable[[Facts, Facts], Trace]
"""From facts and parameters to the trace."""

_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


def tracer_of(node: Node) -> Tracer:
    """The condition as a function: the same truth as `scalar.truth`, every part of it looked at."""
    match node:
        case Compare():
            return _comparison(*sides(node))
        case Not(operand=operand):
            return _negation(tracer_of(operand))
        case All(parts=parts):
            return _junction([tracer_of(part) for part in parts], decisive=False)
        case AnyOf(parts=parts):
            return _junction([tracer_of(part) for part in parts], decisive=True)
    raise TypeError(f"{type(node).__name__} is not a condition")


def sides(node: Compare) -> tuple[str, Node, Node]:
    """Operator, value and threshold: the side without facts is the threshold, wherever it was written."""
    if _has_facts(node.right) and not _has_facts(node.left):
        return _MIRRORED[node.operator], node.right, node.left
    return node.operator, node.left, node.right


def _has_facts(node: Node) -> bool:
    return any(isinstance(part, Name) for part in walk(node))


def _comparison(operator: str, value: Node, threshold: Node) -> Tracer:
    compare = COMPARE[operator]
    if isinstance(value, Name) and isinstance(threshold, Parameter):
        return _fact_against_parameter(compare, value.name, threshold.name)
    left_of, right_of = _value_of(value), _value_of(threshold)

    def compared(facts: Facts, parameters: Facts) -> Trace:
        left, right = left_of(facts, parameters), right_of(facts, parameters)
        return None if left is None or right is None else compare(left, right), left, right

    return compared


def _fact_against_parameter(compare: Callable[[Any, Any], bool], fact: str, parameter: str) -> Tracer:
    """What most comparisons are, without the calls in between."""

    def compared(facts: Facts, parameters: Facts) -> Trace:
        left, right = facts.get(fact), parameters[parameter]
        return None if left is None or right is None else compare(left, right), left, right

    return compared


def _value_of(node: Node) -> Callable[[Facts, Facts], Value]:
    match node:
        case Name(name=name):
            return lambda facts, parameters: facts.get(name)
        case Parameter(name=name):
            return lambda facts, parameters: parameters[name]
        case Literal(value=value):
            return lambda facts, parameters: value
    return lambda facts, parameters: number(node, facts, parameters)


def _negation(operand: Tracer) -> Tracer:
    def negated(facts: Facts, parameters: Facts) -> Trace:
        trace = operand(facts, parameters)
        holds = trace[0]
        return None if holds is None else not holds, (trace,), None

    return negated


def _junction(parts: list[Tracer], decisive: bool) -> Tracer:
    """Kleene's or (`decisive` True) or and (False): the decisive truth of one part is that of all."""

    def joined(facts: Facts, parameters: Facts) -> Trace:
        traces = [part(facts, parameters) for part in parts]
        holds: bool | None = not decisive
        for trace in traces:
            if trace[0] is decisive:
                holds = decisive
                break
            if trace[0] is None:
                holds = None
        return holds, traces, None

    return joined

"""Conditions as formulas of two values: what must be the case for a condition to be true, false or not.

Three-valued conditions become two-valued by naming the cases: a comparison that is not true is false, or
one of its facts is unknown, or its arithmetic has no finite result.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Literal as OneOf

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
    walk,
)
from rules.facts import FACTS, Unit
from rules.rulebook import Rule, Value
from rules.scalar import OVERRIDE_FACTS

Facts = Mapping[str, Value]
"""Facts by name, None = unknown."""


class Want(Enum):
    """What a condition shall come to."""

    TRUE = "true"
    FALSE = "false"
    NOT_TRUE = "false or unknown"
    NOT_FALSE = "true or unknown"


_OPPOSITE = {
    Want.TRUE: Want.FALSE,
    Want.FALSE: Want.TRUE,
    Want.NOT_TRUE: Want.NOT_FALSE,
    Want.NOT_FALSE: Want.NOT_TRUE,
}
_NEGATED = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}
_SWAPPED = {">": "<", ">=": "<="}


@dataclass(frozen=True)
class Holds:
    """Both sides are known, and `operator` (one of < <= == !=) is true of them; != only of texts."""

    operator: OneOf["<", "<=", "==", "!="]
    left: Node
    right: Node
    text: bool

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The facts in it."""
        parts = (*walk(self.left), *walk(self.right))
        return tuple(dict.fromkeys(part.name for part in parts if isinstance(part, Name)))

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The parameters with overrides in it."""
        parts = (*walk(self.left), *walk(self.right))
        return tuple(dict.fromkeys(part.name for part in parts if isinstance(part, Parameter)))

    def hangs_on(self, facts: Set[str]) -> bool:
        """Whether one of these facts has to do with it."""
        if not facts.isdisjoint(self.names):
            return True
        return bool(self.parameters) and not facts.isdisjoint(OVERRIDE_FACTS)


@dataclass(frozen=True, slots=True)
class Known:
    """The fact is known, or unknown."""

    name: str
    is_known: bool


@dataclass(frozen=True, slots=True)
class NotFinite:
    """The value has no finite result although everything in it is known."""

    value: Node


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple["Formula", ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple["Formula", ...]


Formula = Holds | Known | NotFinite | And | Or


@dataclass(frozen=True, slots=True)
class Choice:
    """A parameter with overrides: the value of the first case whose fact has that text, else `base`."""

    cases: tuple[tuple[str, str, float | str], ...]
    base: float | str


@dataclass(frozen=True, slots=True)
class Claim:
    """What is asked of one condition of one rule (None: of a condition without parameters)."""

    rule: Rule | None
    condition: Node
    want: Want


def choices_of(rule: Rule) -> dict[str, Choice]:
    """The rule's parameters that differ by position, by the name that `bound` gives them."""
    found: dict[str, Choice] = {}
    for name, literal in rule.parameters.items():
        cases = tuple(
            (fact, key, values[name].value)
            for fact in OVERRIDE_FACTS
            for key, values in rule.overrides.items()
            if name in values and _possible(fact, key)
        )
        if cases:
            found[_own(rule, name)] = Choice(cases, literal.value)
    return found


def _possible(fact: str, key: str) -> bool:
    known = FACTS[fact].values
    return not known or key in known


def _own(rule: Rule, name: str) -> str:
    return f"{rule.id}.{name}"


def bound(node: Node, rule: Rule | None) -> Node:
    """The node with the parameters of the rule in it: their values, or a name in `choices_of` the rule."""
    match node:
        case Parameter(name=name):
            assert rule is not None
            if any(name in values for values in rule.overrides.values()):
                return Parameter(_own(rule, name), node.source)
            return rule.parameters[name]
        case Negative(operand=operand):
            return replace(node, operand=bound(operand, rule))
        case Arithmetic(left=left, right=right) | Compare(left=left, right=right):
            return replace(node, left=bound(left, rule), right=bound(right, rule))
        case Call(arguments=arguments):
            return replace(node, arguments=tuple(bound(part, rule) for part in arguments))
        case Not(operand=operand):
            return replace(node, operand=bound(operand, rule))
        case All(parts=parts) | AnyOf(parts=parts):
            return replace(node, parts=tuple(bound(part, rule) for part in parts))
    return node


def formula(node: Node, want: Want, choices: Mapping[str, Choice]) -> Formula:
    """What must be the case for a bound condition to come to `want`."""
    match node:
        case Not(operand=operand):
            return formula(operand, _OPPOSITE[want], choices)
        case All(parts=parts) | AnyOf(parts=parts):
            made = tuple(formula(part, want, choices) for part in parts)
            all_of_them = isinstance(node, All) == (want in (Want.TRUE, Want.NOT_FALSE))
            return And(made) if all_of_them else Or(made)
        case Compare():
            return _compared(node, want, choices)
    raise TypeError(f"{type(node).__name__} is not a condition")


def _compared(node: Compare, want: Want, choices: Mapping[str, Choice]) -> Formula:
    is_true = want in (Want.TRUE, Want.NOT_FALSE)
    operator = node.operator if is_true else _NEGATED[node.operator]
    case = _holds(operator, node.left, node.right, choices)
    if want in (Want.TRUE, Want.FALSE):
        return case
    parts = list(walk(node))
    names = dict.fromkeys(part.name for part in parts if isinstance(part, Name))
    unknown = [Known(name, False) for name in names]
    sides = [
        side for side in (node.left, node.right) if any(isinstance(one, Arithmetic) for one in walk(side))
    ]
    calculating = [NotFinite(side) for side in sides]
    return Or((case, *calculating, *unknown))


def _holds(operator: str, left: Node, right: Node, choices: Mapping[str, Choice]) -> Formula:
    left, right = _without_difference(left, right)
    text = is_text(left, choices) or is_text(right, choices)
    if operator == "!=" and not text:
        return Or((Holds("<", left, right, False), Holds("<", right, left, False)))
    if operator in _SWAPPED:
        operator, left, right = _SWAPPED[operator], right, left
    assert operator in ("<", "<=", "==", "!=")
    return Holds(operator, left, right, text)  # type: ignore[arg-type]


def _without_difference(left: Node, right: Node) -> tuple[Node, Node]:
    """`a - b > 0` as `a > b`: floats that differ have a difference."""
    for one, other in ((left, right), (right, left)):
        is_zero = isinstance(other, Literal) and other.value == 0
        if is_zero and isinstance(one, Arithmetic) and one.operator == "-":
            return (one.left, one.right) if one is left else (one.right, one.left)
    return left, right


def is_text(node: Node, choices: Mapping[str, Choice]) -> bool:
    """Whether the value is text."""
    match node:
        case Literal(value=value):
            return isinstance(value, str)
        case Name(name=name):
            return name in FACTS and FACTS[name].unit is Unit.TEXT
        case Parameter(name=name):
            return isinstance(choices[name].base, str)
    return False

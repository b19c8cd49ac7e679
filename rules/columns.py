"""The first evaluator: conditions of a rulebook as polars expressions, compiled once.

Every arithmetic result becomes a column of its own, so that what is not finite can be made null without
writing (and computing) the expression twice, and equal expressions are computed once. Columns go into
layers: a layer only reads columns of the layers before it.
"""

import functools
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl

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
from rules.rulebook import Rule, Rulebook, Tracked
from rules.scalar import OVERRIDE_FACTS
from rules.state import tracked_column

_OPERATORS: dict[str, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda one, other: one / (other + one * 0.0),
}
"""polars divides by what is the same in every row by multiplying with its reciprocal, which may differ in the
last bit: with nothing of the row added, the divisor is a column."""


def finite(expression: pl.Expr) -> pl.Expr:
    """The number, null when it is NaN or infinite (polars would order NaN above everything)."""
    return pl.when(expression.is_finite()).then(expression)


@dataclass(slots=True)
class Columns:
    """Collects the columns that conditions need. `facts`: the catalogue facts that must be there."""

    layers: list[list[pl.Expr]] = field(default_factory=list)
    facts: dict[str, None] = field(default_factory=dict)
    _names: dict[object, str] = field(default_factory=dict)
    _levels: dict[str, int] = field(default_factory=dict)

    def track(self, item: Tracked) -> None:
        """Fold a tracked value: what was, what is, and what was handed in under its name."""
        inner, level = self._value(item.node, None)
        seen = [pl.col(tracked_column(item.name)), inner]
        if item.name in FACTS:
            self.facts[item.name] = None
            seen.append(pl.col(item.name))
        folded = pl.max_horizontal(seen) if item.function == "max" else pl.min_horizontal(seen)
        self._add(tracked_column(item.name), level, folded)

    def condition(self, node: Node, rule: Rule) -> pl.Expr:
        """A Kleene condition over columns of the layers, null = unknown."""
        match node:
            case Compare():
                left, _ = self._value(node.left, rule)
                right, _ = self._value(node.right, rule)
                return _OPERATORS[node.operator](left, right)
            case Not(operand=operand):
                return ~self.condition(operand, rule)
            case All(parts=parts):
                return _joined(operator.and_, [self.condition(part, rule) for part in parts])
            case AnyOf(parts=parts):
                return any_of([self.condition(part, rule) for part in parts])
        raise TypeError(f"{type(node).__name__} is not a condition")

    def value(self, node: Node, rule: Rule) -> pl.Expr:
        """A number or a text over columns of the layers, null = unknown."""
        return self._value(node, rule)[0]

    def parameter(self, name: str, rule: Rule) -> tuple[pl.Expr, int]:
        """A parameter of the rule and the layer after which it is known."""
        base = pl.lit(rule.parameters[name].value)
        expression: pl.Expr = base
        for fact in reversed(OVERRIDE_FACTS):
            for key, values in rule.overrides.items():
                if name in values:
                    here = pl.col(fact) == key
                    expression = pl.when(here).then(pl.lit(values[name].value)).otherwise(expression)
        if not any(name in values for values in rule.overrides.values()):
            return base, 0
        self.facts |= dict.fromkeys(OVERRIDE_FACTS)
        return self._hoisted((rule.id, name), 0, expression)

    def _value(self, node: Node, rule: Rule | None) -> tuple[pl.Expr, int]:
        match node:
            case Literal(value=value):
                return pl.lit(value), 0
            case Name(name=name):
                column = tracked_column(name)
                if column in self._levels:
                    return pl.col(column), self._levels[column]
                self.facts[name] = None
                return pl.col(name), 0
            case Parameter(name=name):
                assert rule is not None
                return self.parameter(name, rule)
            case Negative(operand=operand):
                positive, level = self._value(operand, rule)
                return -positive, level
            case Arithmetic() | Call():
                return self._computed(node, rule)
        raise TypeError(f"{type(node).__name__} is not a value")

    def _computed(self, node: Arithmetic | Call, rule: Rule | None) -> tuple[pl.Expr, int]:
        operands = (node.left, node.right) if isinstance(node, Arithmetic) else node.arguments
        values = [self._value(operand, rule) for operand in operands]
        level = max(level for _, level in values)
        parts = [part for part, _ in values]
        # Equal expressions share a column, unless they read the parameters of different rules.
        own = any(isinstance(part, Parameter) for part in walk(node))
        key = (node, rule.id if rule and own else None)
        if isinstance(node, Arithmetic):
            return self._hoisted(key, level, finite(_OPERATORS[node.operator](parts[0], parts[1])))
        if node.function == "abs":
            return parts[0].abs(), level
        first, second = parts
        stays = first <= second if node.function == "min" else first >= second
        # Unlike min_horizontal this is unknown as soon as one of them is.
        chosen = pl.when(stays).then(first).when(~stays).then(second)
        return self._hoisted(key, level, chosen)

    def _hoisted(self, key: object, level: int, expression: pl.Expr) -> tuple[pl.Expr, int]:
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = f"@{len(self._names)}"
            self._add(name, level, expression)
        return pl.col(name), self._levels[name]

    def _add(self, name: str, level: int, expression: pl.Expr) -> None:
        while len(self.layers) <= level:
            self.layers.append([])
        self.layers[level].append(expression.alias(name))
        self._levels[name] = level + 1


def any_of(parts: list[pl.Expr]) -> pl.Expr:
    """Kleene's or."""
    return _joined(operator.or_, parts)


def _joined(operation: Callable[[pl.Expr, pl.Expr], pl.Expr], parts: list[pl.Expr]) -> pl.Expr:
    """All of them in one, in pairs of pairs: polars needs long for what is nested hundreds deep."""
    while len(parts) > 1:
        parts = [functools.reduce(operation, parts[place : place + 2]) for place in range(0, len(parts), 2)]
    return parts[0]


def clean(name: str, column: pl.Expr) -> pl.Expr:
    """A fact as the conditions see it: numbers as finite floats, text as text."""
    if FACTS[name].unit is Unit.TEXT:
        return column.cast(pl.String)
    return finite(column.cast(pl.Float64))


def names_in(book: Rulebook) -> dict[str, None]:
    """Facts and tracked values that the conditions read, in the order of the rules."""
    found: dict[str, None] = {}
    for rule in book.rules:
        nodes = [tier.when for tier in rule.tiers]
        nodes += [node for tier in rule.tiers for _, node in tier.urgent_when]
        nodes += [rule.clear_when] if rule.clear_when else []
        for node in nodes:
            found |= {part.name: None for part in walk(node) if isinstance(part, Name)}
    return found


Market = Mapping[str, float | str | None]

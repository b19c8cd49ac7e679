"""How near every rule is to firing on every position at once: `distance.gap` over columns, for the beat.

In NumPy, where a comparison costs three passes over a column: as polars expressions the same took ten times
as long. NaN is what there is no telling of.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rules.checking import Checker
from rules.columns import Columns
from rules.distance import Shape, shape_of
from rules.expression import AnyOf, Compare, Literal, Node, Not, Parameter, children, walk
from rules.facts import FACTS, Unit
from rules.problem import Problems
from rules.rulebook import Rule, Rulebook
from rules.state import latch_column
from rules.trace import sides

Floats = NDArray[np.float64]
Gap = Callable[[Sequence[Floats]], Floats | float]
"""From the inputs to what is missing, as a share of the threshold."""


@dataclass(frozen=True, slots=True)
class Nearness:
    """`inputs` are columns of a step's frame, then `computed` ones; `gaps` a function of them per rule.

    `of_book`: which rules are about the book, that is the frame's first row, and not about the others.
    """

    rule_ids: tuple[str, ...]
    inputs: tuple[str, ...]
    computed: tuple[pl.Expr, ...]
    gaps: tuple[Gap, ...]
    of_book: tuple[bool, ...]

    def of(self, frame: pl.DataFrame) -> Floats:
        """What is missing until a rule's condition is true, shape (rules, rows of the frame), as
        `Gap.relative`: 0 when it is true, NaN when it is not a matter of numbers or not known."""
        found = np.empty((len(self.gaps), frame.height))
        whole = frame.with_columns(self.computed)
        inputs = [whole.get_column(name).to_numpy() for name in self.inputs]
        for place, gap in enumerate(self.gaps):
            found[place] = gap(inputs)
        of_book = np.array(self.of_book, np.bool_)
        found[of_book, 1:] = np.nan
        found[~of_book, :1] = np.nan
        return found


def nearness_of(book: Rulebook, rules: Iterable[Rule], columns: Columns) -> Nearness:
    """For these rules, over the columns that their conditions are computed from."""
    units = {fact.name: fact.unit for fact in FACTS.values()} | {one.name: one.unit for one in book.tracked}
    inputs = _Inputs(columns)
    rules = tuple(rules)
    gaps = []
    for rule in rules:
        checker = Checker(units, Problems("", ""), parameters=rule.parameters)
        gaps.append(_rule_gap(rule, checker, inputs))
    return Nearness(
        tuple(rule.id for rule in rules),
        tuple(inputs.names),
        tuple(inputs.computed),
        tuple(gaps),
        tuple(rule.scope == "book" for rule in rules),
    )


@dataclass(slots=True)
class _Inputs:
    """Collects the columns that the gaps read."""

    columns: Columns
    names: list[str] = field(default_factory=list)
    computed: list[pl.Expr] = field(default_factory=list)
    _places: dict[object, int] = field(default_factory=dict)

    def value(self, node: Node, rule: Rule) -> float | int:
        """The place of a number's column, or the number itself, as a float, when it is always the same."""
        if isinstance(node, Literal) and isinstance(node.value, float):
            return node.value
        if isinstance(node, Parameter) and not any(node.name in given for given in rule.overrides.values()):
            base = rule.parameters[node.name].value
            assert isinstance(base, float)
            return base
        own = any(isinstance(part, Parameter) for part in walk(node))
        return self.add((node, rule.id if own else None), self.columns.value(node, rule))

    def where(self, key: object, condition: pl.Expr) -> int:
        """The place of a column that is 0 where the condition holds and NaN elsewhere."""
        return self.add(key, pl.when(condition).then(0.0).otherwise(float("nan")))

    def add(self, key: object, expression: pl.Expr) -> int:
        place = self._places.setdefault(key, len(self.names))
        if place == len(self.names):
            if expression.meta.is_column():
                # A float column of the frame as it is: null is NaN in NumPy.
                self.names.append(expression.meta.output_name())
            else:
                self.names.append(f"input:{place}")
                self.computed.append(expression.cast(pl.Float64).alias(self.names[-1]))
        return place


def _rule_gap(rule: Rule, checker: Checker, inputs: _Inputs) -> Gap:
    """The nearest tier that has not acted once already."""
    gaps = []
    for index, tier in enumerate(rule.tiers):
        gap = _gap(tier.when, shape_of(tier.when, checker), rule, inputs, wanted=True)
        if tier.once:
            column = latch_column(rule.id, index)
            gap = _added(gap, inputs.where(column, ~pl.col(column).fill_null(False)))
        gaps.append(gap)
    return _folded(np.fmin, gaps)


def _gap(node: Node, shape: Shape, rule: Rule, inputs: _Inputs, wanted: bool) -> Gap:
    if isinstance(node, Compare):
        return _comparison(node, shape, rule, inputs, wanted)
    parts = zip(children(node), shape.parts, strict=True)
    if isinstance(node, Not):
        ((operand, below),) = parts
        return _gap(operand, below, rule, inputs, not wanted)
    if shape.is_membership and wanted:
        condition = inputs.columns.condition(node, rule)
        return _place(inputs.where((node, rule.id), condition))
    gaps = [_gap(child, below, rule, inputs, wanted) for child, below in parts]
    return _folded(np.fmin if isinstance(node, AnyOf) is wanted else np.maximum, gaps)


def _comparison(node: Compare, shape: Shape, rule: Rule, inputs: _Inputs, wanted: bool) -> Gap:
    operator = shape.operator
    is_equality = operator in ("==", "!=")
    if shape.unit is Unit.TEXT or (is_equality and (operator == "==") is not wanted):
        holds = inputs.columns.condition(node, rule)
        return _place(inputs.where((node, rule.id, wanted), holds if wanted else ~holds))
    _, left, right = sides(node)
    value, threshold = inputs.value(left, rule), inputs.value(right, rule)
    # A whole number has to go one further to be beyond a threshold.
    beyond = 1.0 if shape.whole and (operator in ("<", ">")) is wanted else 0.0
    sign = 1.0 if (operator in (">", ">=")) is wanted else -1.0

    def gap(columns: Sequence[Floats]) -> Floats | float:
        limit = columns[threshold] if isinstance(threshold, int) else threshold
        change = limit - (columns[value] if isinstance(value, int) else value)
        missing = np.abs(change) if is_equality else _over_zero(sign * change, beyond)
        return missing / np.maximum(np.abs(limit), shape.scale)

    return gap


def _over_zero(missing: Floats | float, beyond: float) -> Floats | float:
    """What is missing, 0 where nothing is."""
    if not beyond:
        return np.maximum(missing, 0.0)
    return np.where(missing < 0, 0.0, missing + beyond)


def _place(place: int) -> Gap:
    return lambda columns: columns[place]


def _added(gap: Gap, place: int) -> Gap:
    """NaN where the column at `place` is."""
    return lambda columns: gap(columns) + columns[place]


def _folded(function: np.ufunc, gaps: Sequence[Gap]) -> Gap:
    """`fmin` passes over what there is no telling of, `maximum` does not."""
    if len(gaps) == 1:
        return gaps[0]

    def gap(columns: Sequence[Floats]) -> Floats | float:
        found = gaps[0](columns)
        for one in gaps[1:]:
            found = function(found, one(columns))
        return found

    return gap

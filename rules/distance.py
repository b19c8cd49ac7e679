"""How far conditions are from true: by how much a value would have to change, and what is missing in all.

`relative` is a distance as a share of its threshold, so that dollars and days can be set side by side. A
threshold near zero would make every distance huge, so no threshold counts for less than ten steps of its
unit: a percentage point, a day, a second, a point, a cent, one of what is counted, a hundredth of a Greek.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal as OneOf
from typing import NamedTuple

import polars as pl

from rules.checking import Checker
from rules.expression import All, Compare, Name, Node, Not, children, walk
from rules.facts import FACTS, Unit
from rules.rulebook import Value
from rules.scalar import COMPARE
from rules.trace import Trace, sides

NEAR = 0.10
"""A rule is near when everything that is missing is within a tenth of its threshold (see `relative`)."""

_ROUNDING = 1e-9
_STEPS = {Unit.RATIO: 0.01, Unit.USD: 0.01, Unit.NUMBER: 0.01}
_NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a condition does not change: its words, its units, its parts.

    `operator`, `unit` and `whole` (its value is a whole number) are those of a comparison, `scale` ten of its
    smallest steps; `subject` its value as written, `fact` its name when it is a fact by itself; `facts` all
    that the condition reads.
    """

    kind: OneOf["compare", "all", "any", "not"]
    text: str
    facts: tuple[str, ...]
    parts: tuple["Shape", ...] = ()
    operator: str = ""
    unit: Unit = Unit.NUMBER
    whole: bool = False
    scale: float = 1.0
    subject: str = ""
    fact: str | None = None

    @property
    def is_membership(self) -> bool:
        """Whether it asks if a text is one of several, as in structure in ('stock', 'short_put')."""
        return self.kind == "any" and all(
            part.unit is Unit.TEXT and part.operator == "==" and part.fact == self.parts[0].fact
            for part in self.parts
        )


class Missing(NamedTuple):
    """A comparison in the way: `distance` is what its value would have to change by, with its sign."""

    shape: Shape
    value: float
    threshold: float
    distance: float
    relative: float


class Gap(NamedTuple):
    """What is missing in all, each for itself; `relative` is the largest of it, 0.0 when nothing is."""

    relative: float
    missing: tuple[Missing, ...]


NO_GAP = Gap(0.0, ())


def shape_of(node: Node, checker: Checker) -> Shape:
    """The shape of a condition that was checked; `checker` knows the units."""
    names = tuple(dict.fromkeys(part.name for part in walk(node) if isinstance(part, Name)))
    if not isinstance(node, Compare):
        kind: OneOf["all", "any", "not"] = "any"
        if isinstance(node, Not | All):
            kind = "not" if isinstance(node, Not) else "all"
        text = "not" if kind == "not" else node.source.text
        return Shape(kind, text, names, tuple(shape_of(child, checker) for child in children(node)))
    operator, value, threshold = sides(node)
    units = [kind for kind in (checker.kind(value), checker.kind(threshold)) if isinstance(kind, Unit)]
    fact = value.name if isinstance(value, Name) else None
    whole = fact in FACTS and FACTS[fact].dtype is pl.Int64
    unit = units[0] if units else Unit.NUMBER
    subject = value.source.text
    scale = 10.0 if whole else 10 * _STEPS.get(unit, 1.0)
    return Shape("compare", node.source.text, names, (), operator, unit, whole, scale, subject, fact)


def distance(shape: Shape, trace: Trace, wanted: bool = True) -> float | None:
    """What the value of a comparison would have to change by to make it `wanted`: 0.0 when it is so.

    Added to the value it does (for == to the value's last digit). None when no change is known to do it:
    text, and what is unknown.
    """
    holds, value, threshold = trace
    if holds is wanted and shape.unit is not Unit.TEXT:
        return 0.0
    if holds is None or not isinstance(value, float) or not isinstance(threshold, float):
        return None
    operator = shape.operator if wanted else _NEGATED[shape.operator]
    if operator == "!=" or (operator == "==" and shape.whole and threshold % 1):
        return None
    change = _target(operator, threshold, shape.whole) - value
    return _sufficient(operator, value, threshold, change) if math.isfinite(change) else None


def relative(shape: Shape, threshold: float, change: float) -> float:
    """The distance as a share of the threshold, or of ten steps where that is more."""
    return abs(change) / max(abs(threshold), shape.scale)


def gap(shape: Shape, trace: Trace, wanted: bool = True) -> Gap | None:
    """What is missing until the condition is `wanted`: of alternatives the nearest, else all that is
    missing. None when that is not a matter of numbers, or not known."""
    holds, parts, _ = trace
    if holds is wanted:
        return NO_GAP
    if shape.kind == "compare":
        change = distance(shape, trace, wanted)
        if change is None:
            return None
        share = relative(shape, trace[2], change)
        return Gap(share, (Missing(shape, trace[1], trace[2], change, share),))
    if shape.kind == "not":
        return gap(shape.parts[0], parts[0], not wanted)
    gaps = [gap(part, below, wanted) for part, below in zip(shape.parts, parts, strict=True)]
    known = [one for one in gaps if one is not None]
    if (shape.kind == "any") is wanted:
        return min(known, key=lambda one: one.relative, default=None)
    if len(known) < len(gaps):
        return None
    missing = tuple(one for found in known for one in found.missing)
    return Gap(max(one.relative for one in known), missing)


def is_near(found: Gap | None) -> bool:
    """Whether something is missing and all of it is within `NEAR`, roundings of floats aside."""
    return found is not None and bool(found.missing) and found.relative <= NEAR + _ROUNDING


def unknown_facts(
    shape: Shape, trace: Trace, facts: Mapping[str, Value], decides: bool = True
) -> Iterator[tuple[str, bool]]:
    """Every fact that is not known where the condition needs it, and whether that is why the whole is
    unknown: beside a false part of `all` or a true one of `any` it does not matter."""
    holds, parts, _ = trace
    decides = decides and holds is None
    if shape.kind == "compare":
        if holds is None:
            yield from ((name, decides) for name in shape.facts if facts.get(name) is None)
        return
    for part, below in zip(shape.parts, parts, strict=True):
        yield from unknown_facts(part, below, facts, decides)


def _target(operator: str, threshold: float, whole: bool) -> float:
    """The nearest value for which the comparison is true."""
    match operator:
        case ">=" if whole:
            return float(math.ceil(threshold))
        case "<=" if whole:
            return float(math.floor(threshold))
        case ">":
            return math.floor(threshold) + 1.0 if whole else math.nextafter(threshold, math.inf)
        case "<":
            return math.ceil(threshold) - 1.0 if whole else math.nextafter(threshold, -math.inf)
    return threshold


def _sufficient(operator: str, value: float, threshold: float, change: float) -> float | None:
    """The change, made larger by the last digit where rounding would leave the value short of its target.

    Of values that must be equal the last digit may stay a difference: some sums have no such summand.
    """
    ulp = max(math.ulp(value), math.ulp(threshold), math.ulp(change))
    for more in (0.0, ulp, 2 * ulp, -ulp):
        enough = change + math.copysign(more, change * more)
        if COMPARE[operator](value + enough, threshold):
            return enough
    return change if operator == "==" else None

"""What follows from the order of values that are compared with one another: a < b < a cannot be."""

from collections.abc import Iterable, Sequence
from itertools import combinations, permutations

from rules.expression import Arithmetic, Call, Literal, Node
from rules.lints.box import Box
from rules.lints.formula import Holds
from rules.lints.intervals import Interval

_MOST = 16
_Edges = dict[tuple[Node, Node], bool]
"""(smaller, larger) → whether it is strictly smaller."""


def contradicts(box: Box, atoms: Sequence[Holds]) -> bool:
    """Whether the comparisons, with what the box knows, put a value below itself."""
    terms = _terms(atoms)
    if len(terms) > _MOST:
        return False
    edges: _Edges = {}
    for atom in atoms:
        if atom.text:
            continue
        _note(edges, atom.left, atom.right, atom.operator == "<")
        if atom.operator == "==":
            _note(edges, atom.right, atom.left, False)
    for one, other in permutations(terms, 2):
        known = _known_order(box, one, other)
        if known is not None:
            _note(edges, one, other, known)
    return _has_strict_circle(edges, terms)


def bases(atoms: Sequence[Holds]) -> list[Node]:
    """Values of which two multiples are compared; their order hangs on the sign."""
    scaled = [_scaled(term) for term in _terms(atoms)]
    found: dict[Node, None] = {}
    for (one, operator, _), (other, operator2, _) in combinations(scaled, 2):
        if one == other and {operator, operator2} & {"*", "/"}:
            found[one] = None
    return list(found)


def _terms(atoms: Iterable[Holds]) -> list[Node]:
    found: dict[Node, None] = {}
    for atom in atoms:
        if not atom.text:
            for side in (atom.left, atom.right):
                found[side] = None
                base, _, _ = _scaled(side)
                found[base] = None
    return list(found)


def _note(edges: _Edges, one: Node, other: Node, strict: bool) -> None:
    edges[one, other] = edges.get((one, other), False) or strict


def _known_order(box: Box, one: Node, other: Node) -> bool | None:
    """True when `one` is certainly smaller, False when it is at most as large, None when neither."""
    mine, theirs = box.range_of(one), box.range_of(other)
    if mine.high < theirs.low:
        return True
    if mine.high <= theirs.low or _grows(box, one, other) or _is_part_of(one, other):
        return False
    return None


def _is_part_of(one: Node, other: Node) -> bool:
    """min(a, b) <= a <= max(a, b), and a <= abs(a)."""
    return (isinstance(one, Call) and one.function == "min" and other in one.arguments) or (
        isinstance(other, Call) and other.function != "min" and one in other.arguments
    )


def _scaled(term: Node) -> tuple[Node, str, float]:
    """The term as (base, operator, number); rounding keeps the order of those with one base."""
    if isinstance(term, Arithmetic):
        left, right = term.left, term.right
        if isinstance(right, Literal) and isinstance(right.value, float):
            return left, term.operator, right.value
        if isinstance(left, Literal) and isinstance(left.value, float) and term.operator in "+*":
            return right, term.operator, left.value
    return term, "", 0.0


def _grows(box: Box, one: Node, other: Node) -> bool:
    """Whether one and other are the same value, scaled or moved, and one by no more than the other."""
    (base, operator, number), (base2, operator2, number2) = _scaled(one), _scaled(other)
    if base != base2:
        return False
    move, move2 = _move(operator, number), _move(operator2, number2)
    if move is not None and move2 is not None:
        return move <= move2
    return _grows_by_scale(box.range_of(base), (operator, number), (operator2, number2))


def _grows_by_scale(base: Interval, one: tuple[str, float], other: tuple[str, float]) -> bool:
    # Multiples and quotients are only compared with their own kind, and with the value itself (once it).
    kinds = {one[0], other[0]} - {""}
    if len(kinds) != 1 or not kinds <= {"*", "/"}:
        return False
    smaller, larger = one[1] if one[0] else 1.0, other[1] if other[0] else 1.0
    if kinds == {"/"}:
        if smaller * larger <= 0:
            return False
        smaller, larger = larger, smaller
    if base.low >= 0:
        return smaller <= larger
    return base.high <= 0 and smaller >= larger


def _move(operator: str, number: float) -> float | None:
    """How much is added to the base; None when it is scaled."""
    match operator:
        case "" | "+":
            return number
        case "-":
            return -number
    return None


def _has_strict_circle(edges: _Edges, terms: Sequence[Node]) -> bool:
    for middle in terms:
        for one in terms:
            first = edges.get((one, middle))
            if first is None:
                continue
            for other in terms:
                second = edges.get((middle, other))
                if second is not None:
                    _note(edges, one, other, first or second)
    return any(edges.get((term, term), False) for term in terms)

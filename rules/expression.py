"""The syntax tree of conditions, and the parser that makes it from text.

Two evaluators walk the same tree: `columns` (polars) and `scalar` (plain Python, with a trace).
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput, UnexpectedToken

from rules.advice import number_advice, syntax_advice, unit_advice
from rules.facts import Unit
from rules.problem import Mark, Problems

MAX_CHARACTERS = 4_000
_MAX_DEPTH = 40


@dataclass(frozen=True, slots=True)
class Source:
    """What a node was written as, and where. Never part of its identity."""

    at: Mark
    text: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A value in base units. `unit` is None for a plain number, whose unit depends on its partner."""

    value: float | str
    unit: Unit | None
    source: Source = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Name:
    """A fact or tracked value (a macro until the checker has put its condition in its place)."""

    name: str
    source: Source = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    source: Source = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Negative:
    operand: "Node"
    source: Source = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`operator` is one of + - * /."""

    operator: str
    left: "Node"
    right: "Node"
    source: Source = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """`function` is abs, min or max."""

    function: str
    arguments: tuple["Node", ...]
    source: Source = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Compare:
    """`operator` is one of < <= > >= == !=."""

    operator: str
    left: "Node"
    right: "Node"
    source: Source = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Not:
    operand: "Node"
    source: Source = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple["Node", ...]
    source: Source = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple["Node", ...]
    source: Source = field(compare=False, repr=False)


Node = Literal | Name | Parameter | Negative | Arithmetic | Call | Compare | Not | All | AnyOf


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below."""
    match node:
        case Negative(operand=operand) | Not(operand=operand):
            return (operand,)
        case Arithmetic(left=left, right=right) | Compare(left=left, right=right):
            return (left, right)
        case Call(arguments=parts) | All(parts=parts) | AnyOf(parts=parts):
            return parts
    return ()


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it."""
    yield node
    for child in children(node):
        yield from walk(child)


_LITERAL = re.compile(r"(\$?)((?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)([A-Za-z_%]*)")
_SUFFIXES: dict[str, tuple[Unit, float]] = {
    "%": (Unit.RATIO, 0.01),
    "x": (Unit.RATIO, 1.0),
    "d": (Unit.DAYS, 1.0),
    "h": (Unit.SECONDS, 3600.0),
    "m": (Unit.SECONDS, 60.0),
    "s": (Unit.SECONDS, 1.0),
    "vol": (Unit.POINTS, 1.0),
}


def parse_literal(text: str, at: Mark) -> Literal:
    """A number with its unit, sign allowed.

    A plain number has no unit yet, except that one with a decimal point may be a ratio and zero may be
    anything: see `checking`. Raises ValueError saying what to write instead.
    """
    source = Source(at, text)
    sign = -1.0 if text.startswith("-") else 1.0
    match = _LITERAL.fullmatch(text.lstrip("+-").strip())
    if not match or len(text) - len(text.lstrip("+-")) > 1:
        raise ValueError(number_advice(text))
    dollar, digits, suffix = match.groups()
    number = sign * float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large for a number: write a smaller one")
    if dollar:
        if suffix:
            raise ValueError(unit_advice(text, dollar, digits, suffix))
        return Literal(number, Unit.USD, source)
    if not suffix:
        return Literal(number, None, source)
    if suffix not in _SUFFIXES:
        raise ValueError(unit_advice(text, dollar, digits, suffix))
    unit, factor = _SUFFIXES[suffix]
    # 80 / 100 is the float a trader means by 80 %; 80 * 0.01 is not always.
    return Literal(number / 100 if suffix == "%" else number * factor, unit, source)


def written_like(text: str, value: float) -> str:
    """A value in base units with the unit and the dollar sign of a literal: 0.85 like "80%" is "85%"."""
    match = _LITERAL.fullmatch(text.strip().lstrip("+-"))
    if not match:
        raise ValueError(number_advice(text))
    dollar, _, suffix = match.groups()
    number = value * 100 if suffix == "%" else value / _SUFFIXES[suffix][1] if suffix else value
    return f"{'-' if number < 0 else ''}{dollar}{abs(number):.10g}{suffix}"


@cache
def _parser() -> Lark:
    grammar = Path(__file__).with_name("condition.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=False)


class _TooDeep(Exception):
    pass


def parse_condition(text: str, place: Callable[[int], Mark], problems: Problems) -> Node | None:
    """The tree of one condition, its nodes placed in the file; None when `problems` got what is wrong."""
    if not text.strip():
        problems.add(place(0), "an empty condition: write one, such as profit >= 80%")
        return None
    if len(text) > MAX_CHARACTERS:
        problems.add(place(0), f"longer than {MAX_CHARACTERS} characters: use `macros:` or {{any: […]}}")
        return None
    try:
        tree = _parser().parse(text)
        return _Reader(text, place, problems).node(tree, 0)
    except UnexpectedInput as error:
        offset = error.pos_in_stream if error.pos_in_stream is not None else len(text)
        if isinstance(error, UnexpectedToken) and error.token.type == "$END":
            offset = len(text.rstrip())
        problems.add(place(max(offset, 0)), syntax_advice(text, offset, error))
    except _TooDeep:
        problems.add(place(0), f"nested more than {_MAX_DEPTH} deep: use `macros:` or {{any: […]}}")
    return None


class _Reader:
    """Turns lark's tree into ours."""

    def __init__(self, text: str, place: Callable[[int], Mark], problems: Problems) -> None:
        self._text = text
        self._place = place
        self._problems = problems

    def node(self, tree: Tree[Token] | Token, depth: int) -> Node:
        assert isinstance(tree, Tree)
        if depth > _MAX_DEPTH:
            raise _TooDeep
        start, end = tree.meta.start_pos, tree.meta.end_pos
        source = Source(self._place(start), " ".join(self._text[start:end].split()))
        below = [
            child if isinstance(child, Token) else self.node(child, depth + 1) for child in tree.children
        ]
        return self._made(tree.data, below, source)

    def _made(self, kind: str, below: list[Token | Node], source: Source) -> Node:
        nodes = tuple(part for part in below if not isinstance(part, Token))
        tokens = [part.value for part in below if isinstance(part, Token)]
        return self._condition(kind, tokens, nodes, source) or self._value(kind, tokens, nodes, source)

    @staticmethod
    def _condition(kind: str, tokens: list[str], nodes: tuple[Node, ...], source: Source) -> Node | None:
        match kind:
            case "compare":
                return Compare(tokens[0], nodes[0], nodes[1], source)
            case "between":
                value, low, high = nodes
                return All((_compare(">=", value, low), _compare("<=", value, high)), source)
            case "one_of":
                return AnyOf(tuple(_compare("==", nodes[0], item) for item in nodes[1:]), source)
            case "not_":
                return Not(nodes[0], source)
            case "all_of":
                return All(nodes, source)
            case "any_of":
                return AnyOf(nodes, source)
        return None

    def _value(self, kind: str, tokens: list[str], nodes: tuple[Node, ...], source: Source) -> Node:
        match kind:
            case "literal":
                return self._literal(tokens[0], source)
            case "text":
                return Literal(tokens[0][1:-1], Unit.TEXT, source)
            case "parameter":
                return Parameter(tokens[0][1:], source)
            case "name":
                return Name(tokens[0], source)
            case "signed":
                return self._signed(tokens[0], nodes[0], source)
            case "call":
                return Call(tokens[0], nodes, source)
        return Arithmetic(tokens[0], nodes[0], nodes[1], source)

    def _literal(self, text: str, source: Source) -> Literal:
        try:
            return parse_literal(text, source.at)
        except ValueError as error:
            self._problems.add(source.at, str(error))
            return Literal(0.0, None, source)

    @staticmethod
    def _signed(sign: str, operand: Node, source: Source) -> Node:
        if sign == "+":
            return operand
        if isinstance(operand, Literal) and isinstance(operand.value, float):
            return Literal(-operand.value, operand.unit, source)
        return Negative(operand, source)


def _compare(operator: str, left: Node, right: Node) -> Compare:
    text = f"{left.source.text} {operator} {right.source.text}"
    return Compare(operator, left, right, Source(right.source.at, text))

"""Names and units of conditions, checked before anything runs.

A plain number (`30`, `0.30`) takes the unit of its partner where the unit is a count, points or a
percentile; with a decimal point it may also be a ratio; zero may be anything. Everything else needs its
unit written, so that `profit >= 80` is refused instead of meaning 8,000 %.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

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
from rules.facts import FACTS, Unit
from rules.problem import Problems, did_you_mean

_MAX_NODES = 2_000
_MAX_NODES_OF_A_FILE = 10_000  # sixty rules of 150 parts each; more costs seconds to check
_PLAIN_UNITS = frozenset({Unit.NUMBER, Unit.POINTS, Unit.PERCENTILE})
_SYMBOL = re.compile(r"[A-Z][A-Z0-9]{0,5}")
_HOW_TO_WRITE = {
    Unit.RATIO: "{0}%",
    Unit.DAYS: "{0}d",
    Unit.SECONDS: "{0}s (or m, h)",
    Unit.USD: "${0}",
    Unit.POINTS: "{0}vol or {0}",
    Unit.PERCENTILE: "{0}",
    Unit.NUMBER: "{0}",
    Unit.TEXT: "'{0}'",
}


class Loose(Enum):
    """Types that are not a unit yet, or never will be."""

    ZERO = auto()
    PLAIN = auto()
    DECIMAL = auto()
    CONDITION = auto()


Type = Unit | Loose


class CheckFailed(Exception):
    """This condition is wrong; the problem is noted already."""


def type_of(literal: Literal) -> Type:
    """The unit of a literal, as far as it says."""
    if literal.unit is not None:
        return literal.unit
    if literal.value == 0:
        return Loose.ZERO
    return Loose.DECIMAL if set(literal.source.text) & set(".eE") else Loose.PLAIN


def fits(one: Type, other: Type) -> bool:
    """Whether two values may be compared, added or stand for each other."""
    if Loose.CONDITION in (one, other):
        return False
    if one == other:
        return True
    for loose, unit in ((one, other), (other, one)):
        if loose is Loose.ZERO:
            return unit is not Unit.TEXT
        if isinstance(loose, Loose) and isinstance(unit, Loose):
            return True
        if loose is Loose.PLAIN:
            return unit in _PLAIN_UNITS
        if loose is Loose.DECIMAL:
            return unit in _PLAIN_UNITS or unit is Unit.RATIO
    return False


def described(kind: Type) -> str:
    """The type in a trader's words."""
    match kind:
        case Unit.RATIO:
            return "a ratio"
        case Unit.NUMBER:
            return "a plain number"
        case Unit.TEXT:
            return "text"
        case Unit():
            return f"in {kind.value}" if kind is not Unit.PERCENTILE else "a percentile from 0 to 100"
        case Loose.CONDITION:
            return "a condition"
    return "a number without unit"


def how_to_write(literal_text: str, unit: Unit) -> str:
    """The literal with the unit that it should have."""
    return _HOW_TO_WRITE[unit].format(literal_text.strip("$%'\"dhmsxvol") or "…")


@dataclass(slots=True)
class Size:
    """How many parts all conditions of a file have, macros written out."""

    nodes: int = 0


@dataclass(slots=True)
class Checker:
    """Checks the conditions of one place: what names, macros and parameters mean there.

    `units`: facts and tracked values. `macros`: already checked, None when that noted a problem.
    `parameters`: base values. `book_only`: only facts of the book are known there. `macros_below`: the macro
    that is being read, and those that come after it.
    """

    units: Mapping[str, Unit]
    problems: Problems
    macros: Mapping[str, Node | None] = field(default_factory=dict)
    parameters: Mapping[str, Literal] = field(default_factory=dict)
    book_only: bool = False
    parameters_allowed: bool = True
    macros_below: Sequence[str] = ()
    size: Size = field(default_factory=Size)
    _visited: int = 0
    _within: Name | None = None

    def condition(self, node: Node) -> Node | None:
        """The checked condition with macros replaced by what they stand for; None when it is wrong."""
        checked = self._checked(node)
        if checked is None:
            return None
        resolved, kind = checked
        if kind is not Loose.CONDITION:
            self.problems.add(node.source.at, _no_condition(node, kind))
            return None
        return resolved

    def value(self, node: Node) -> tuple[Node, Unit] | None:
        """A checked number with its unit; None when it is wrong or not a number."""
        checked = self._checked(node)
        if checked is None:
            return None
        resolved, kind = checked
        if not isinstance(kind, Unit) or kind is Unit.TEXT:
            self.problems.add(node.source.at, f"{node.source.text} is {described(kind)}: give a number fact")
            return None
        return resolved, kind

    def kind(self, node: Node) -> Type:
        """The type of a node that was checked before."""
        return self._check(node)[1]

    def _checked(self, node: Node) -> tuple[Node, Type] | None:
        self._visited = 0
        try:
            return self._check(node)
        except CheckFailed:
            return None

    def _fail(self, node: Node, message: str) -> CheckFailed:
        """Note what is wrong; inside of a macro, which may stand in another file, where it is used."""
        if self._within:
            self.problems.add(self._within.source.at, f"in the macro {self._within.name}: {message}")
        else:
            self.problems.add(node.source.at, message)
        return CheckFailed()

    def _check(self, node: Node) -> tuple[Node, Type]:
        self._visited += 1
        self.size.nodes += 1
        if self._visited > _MAX_NODES:
            raise self._fail(node, f"more than {_MAX_NODES} parts once macros are written out: simplify it")
        if self.size.nodes > _MAX_NODES_OF_A_FILE:
            said = f"more than {_MAX_NODES_OF_A_FILE} parts in all conditions of the file"
            raise self._fail(node, f"{said}, macros written out: simplify them")
        match node:
            case Literal():
                return node, type_of(node)
            case Name():
                return self._name(node)
            case Parameter():
                return self._parameter(node)
            case Negative(operand=operand):
                resolved, kind = self._check(operand)
                self._number(operand, kind)
                return replace(node, operand=resolved), kind
            case Arithmetic():
                return self._arithmetic(node)
            case Call():
                return self._call(node)
            case Compare():
                return self._compare(node)
            case Not(operand=operand):
                return replace(node, operand=self._conditions((operand,))[0]), Loose.CONDITION
            case All(parts=parts) | AnyOf(parts=parts):
                return replace(node, parts=self._conditions(parts)), Loose.CONDITION

    def _name(self, node: Name) -> tuple[Node, Type]:
        if node.name in self.macros:
            return self._macro(node, self.macros[node.name])
        if node.name not in self.units:
            raise self._fail(node, self._unknown(node.name))
        fact = FACTS.get(node.name)
        if self.book_only and (fact is None or fact.scope != "book"):
            raise self._fail(node, f"{node.name} is not of the book: a book rule uses vix, regime and book_…")
        return node, self.units[node.name]

    def _unknown(self, name: str) -> str:
        if name in self.macros_below:
            if name == self.macros_below[0]:
                return f"the macro {name} cannot stand for itself: write out what it means"
            return f"the macro {name} stands further below: move it above this one"
        if any(name in fact.values for fact in FACTS.values()) or self._is_symbol(name):
            return f"{name} is text: write '{name}'"
        if name in ("true", "false", "yes", "no"):
            return f"{name} is not a condition: write one, such as dte <= 1d"
        return f"unknown fact {name}: {did_you_mean(name, [*self.units, *self.macros])}"

    def _is_symbol(self, name: str) -> bool:
        """Whether it looks like SPY, and not like VIX, which is a fact in capital letters."""
        return _SYMBOL.fullmatch(name) is not None and name.lower() not in self.units

    def _macro(self, node: Name, condition: Node | None) -> tuple[Node, Type]:
        if condition is None:
            raise CheckFailed
        outer = self._within
        self._within = outer or node
        try:
            return self._check(condition)
        finally:
            self._within = outer

    def _parameter(self, node: Parameter) -> tuple[Node, Type]:
        if not self.parameters_allowed:
            raise self._fail(node, f"${node.name}: parameters belong to rules; write the value here")
        if node.name not in self.parameters:
            hint = did_you_mean(node.name, self.parameters) if self.parameters else "add it under `params:`"
            if node.name in self.units:
                raise self._fail(node, f"{node.name} is a fact: write it without $")
            raise self._fail(node, f"unknown parameter ${node.name}: {hint}")
        return node, type_of(self.parameters[node.name])

    def _conditions(self, parts: tuple[Node, ...]) -> tuple[Node, ...]:
        """All parts are looked at before giving up, so that every mistake of a list is reported."""
        resolved: list[Node] = []
        for part in parts:
            try:
                checked, kind = self._check(part)
            except CheckFailed:
                continue
            if kind is Loose.CONDITION:
                resolved.append(checked)
            else:
                self.problems.add(part.source.at, _no_condition(part, kind))
        if len(resolved) < len(parts):
            raise CheckFailed
        return tuple(resolved)

    def _number(self, node: Node, kind: Type) -> None:
        if kind in (Unit.TEXT, Loose.CONDITION):
            raise self._fail(node, f"{node.source.text} is {described(kind)}: a number is needed here")

    def _arithmetic(self, node: Arithmetic) -> tuple[Node, Type]:
        left, left_kind = self._check(node.left)
        right, right_kind = self._check(node.right)
        self._number(node.left, left_kind)
        self._number(node.right, right_kind)
        kind = _result(node.operator, left_kind, right_kind)
        if kind is None:
            doing = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}[node.operator]
            advice = {
                "*": "one of them must be a plain number or a ratio",
                "/": "divide by a plain number, a ratio or the same unit",
            }.get(node.operator, "use the same unit")
            raise self._fail(
                node,
                f"cannot {doing} {node.left.source.text} ({described(left_kind)}) and "
                f"{node.right.source.text} ({described(right_kind)}): {advice}",
            )
        return replace(node, left=left, right=right), kind

    def _call(self, node: Call) -> tuple[Node, Type]:
        wanted = 1 if node.function == "abs" else 2
        if len(node.arguments) != wanted:
            values, more = ("one value", "") if wanted == 1 else ("two values", ", …")
            example = f"{node.function}({node.arguments[0].source.text}{more})"
            raise self._fail(node, f"{node.function} takes {values}: write {example}")
        resolved: list[Node] = []
        kinds: list[Type] = []
        for argument in node.arguments:
            checked, kind = self._check(argument)
            self._number(argument, kind)
            resolved.append(checked)
            kinds.append(kind)
        if not fits(kinds[0], kinds[-1]):
            raise self._fail(node, self._mismatch(node.arguments[0], kinds[0], node.arguments[1], kinds[1]))
        return replace(node, arguments=tuple(resolved)), _joined(kinds[0], kinds[-1])

    def _compare(self, node: Compare) -> tuple[Node, Type]:
        left, left_kind = self._check(node.left)
        right, right_kind = self._check(node.right)
        if not fits(left_kind, right_kind):
            message = self._mismatch(node.left, left_kind, node.right, right_kind)
            loose_left = isinstance(left_kind, Loose) and isinstance(right_kind, Unit)
            raise self._fail(node.left if loose_left else node.right, message)
        if Unit.TEXT in (left_kind, right_kind):
            if node.operator not in ("==", "!="):
                raise self._fail(node, f"text has no order: use == or != instead of {node.operator}")
            self._known_text(left, right)
            self._known_text(right, left)
        return replace(node, left=left, right=right), Loose.CONDITION

    def _mismatch(self, left: Node, left_kind: Type, right: Node, right_kind: Type) -> str:
        for one, kind, other, unit in (
            (right, right_kind, left, left_kind),
            (left, left_kind, right, right_kind),
        ):
            if isinstance(one, Literal) and isinstance(unit, Unit):
                said = f"{other.source.text} is {described(unit)}, {one.source.text} is {described(kind)}"
                return f"{said}: write {how_to_write(one.source.text, unit)}"
            if isinstance(one, Parameter) and isinstance(unit, Unit) and isinstance(other, Name):
                value = self.parameters[one.name].source
                said = f"{other.source.text} is {described(unit)}, ${one.name} is {described(kind)}"
                place = f"({value.text} in line {value.at.line})"
                return f"{said} {place}: write {how_to_write(value.text, unit)} there"
        return (
            f"{left.source.text} is {described(left_kind)}, {right.source.text} is {described(right_kind)}: "
            "only equal units can be compared"
        )

    def _known_text(self, name: Node, other: Node) -> None:
        if not isinstance(name, Name) or name.name not in FACTS:
            return
        value = self.parameters.get(other.name) if isinstance(other, Parameter) else other
        known = FACTS[name.name].values
        if isinstance(value, Literal) and known and value.value not in known:
            hint = did_you_mean(str(value.value), known)
            raise self._fail(other, f"{name.name} is never '{value.value}': {hint}")


_EXAMPLES = {
    Unit.RATIO: ">= 50%",
    Unit.DAYS: "<= 21d",
    Unit.SECONDS: ">= 30s",
    Unit.USD: ">= $500",
    Unit.POINTS: ">= 30vol",
    Unit.PERCENTILE: ">= 50",
    Unit.NUMBER: ">= 1",
    Unit.TEXT: "== '…'",
}


def _no_condition(node: Node, kind: Type) -> str:
    said = f"{node.source.text} is {described(kind)}, not a condition"
    if isinstance(node, Name) and isinstance(kind, Unit):
        return f"{said}: compare it, such as {node.name} {_EXAMPLES[kind]}"
    return f"{said}: compare it with something"


def _joined(one: Type, other: Type) -> Type:
    if isinstance(one, Unit):
        return one
    return other if isinstance(other, Unit) or one is Loose.ZERO else one


def _result(operator: str, left: Type, right: Type) -> Type | None:
    """The type of an arithmetic result, None when the units make no sense together."""
    if operator in "+-":
        return _joined(left, right) if fits(left, right) else None
    scales = (Loose.ZERO, Loose.PLAIN, Loose.DECIMAL, Unit.RATIO, Unit.NUMBER)
    if operator == "*":
        for scale in scales:
            if scale is left:
                return right
            if scale is right:
                return left
        return None
    if isinstance(right, Loose):
        return left
    if right in scales:
        return left if isinstance(left, Unit) else right
    return Unit.RATIO if left == right else None

"""A box: for every fact the values that it may still have, narrowed by one comparison after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

from options import Structure
from rules.expression import Arithmetic, Call, Literal, Name, Negative, Node, Parameter, walk
from rules.facts import FACTS, NEVER_KNOWN
from rules.lints.formula import Choice, Holds
from rules.lints.intervals import (
    WHOLE,
    Interval,
    above,
    below,
    calculated,
    magnitude,
    operand_ranges,
    whole_numbers,
)
from rules.rulebook import Tracked

# No fact of the trade is larger; keeps products finite.
LARGEST = 1e15
_EMPTY = Interval(1.0, 0.0)
_ROUNDS = 8


class Texts(NamedTuple):
    """Any of these words, or (`inside` False) any but these."""

    words: frozenset[str]
    inside: bool

    @property
    def is_empty(self) -> bool:
        return self.inside and not self.words

    def has(self, word: str) -> bool:
        return (word in self.words) == self.inside

    def only(self, words: frozenset[str]) -> "Texts":
        """Those that are also in `words`."""
        return Texts(self.words & words if self.inside else words - self.words, True)

    def shares_nothing_with(self, other: "Texts") -> bool:
        """Whether no word is in both."""
        if self.inside:
            return other.only(self.words).is_empty
        return other.inside and self.only(other.words).is_empty

    def without(self, words: frozenset[str]) -> "Texts":
        """Those that are not in `words`."""
        return Texts(self.words - words, True) if self.inside else Texts(self.words | words, False)


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """What may be at all.

    `choices`: parameters that differ by position. `tracked`: what is folded per position.
    `doubtful`: facts that may be unknown; every other is known, except where it is `never_known` for a
    structure, and strategy, which adopted positions lack.
    """

    choices: Mapping[str, Choice] = field(default_factory=dict)
    tracked: Mapping[str, Tracked] = field(default_factory=dict)
    doubtful: frozenset[str] = frozenset()
    never_known: Mapping[str, frozenset[Structure]] = field(default_factory=lambda: NEVER_KNOWN)

    def numbers(self, name: str) -> Interval:
        """All values that a number can have in this world."""
        fact = FACTS.get(name)
        if fact is None:
            return Box(self).range_of(self.tracked[name].node)
        low = -LARGEST if fact.low is None else fact.low
        return Interval(low, LARGEST if fact.high is None else fact.high)

    def texts(self, name: str) -> Texts:
        """All words that a text can be in this world."""
        values = FACTS[name].values
        return Texts(frozenset(values), bool(values))

    def may_be_unknown(self, name: str) -> bool:
        """Whether it can be unknown whatever the structure is."""
        if name in self.tracked:
            inside = list(walk(self.tracked[name].node))
            return any(
                isinstance(part, Arithmetic)
                or (
                    isinstance(part, Name)
                    and (part.name in self.never_known or self.may_be_unknown(part.name))
                )
                for part in inside
            )
        return name in self.doubtful or name == "strategy"


_WHOLE = frozenset(fact.name for fact in FACTS.values() if fact.dtype is pl.Int64)


def is_whole(name: str) -> bool:
    """Whether the fact has whole numbers only."""
    return name in _WHOLE


@dataclass(slots=True)
class Box:
    """`numbers` and `texts`: what a fact may be if it is known. `known`: facts of which that is settled.
    `changed`: those narrowed since all comparisons were looked at.

    Methods that narrow return False when nothing is left.
    """

    world: World
    numbers: dict[str, Interval] = field(default_factory=dict)
    texts: dict[str, Texts] = field(default_factory=dict)
    known: dict[str, bool] = field(default_factory=dict)
    steps: int = 0
    changed: set[str] = field(default_factory=set)

    def copy(self) -> "Box":
        return Box(
            self.world,
            dict(self.numbers),
            dict(self.texts),
            dict(self.known),
            changed=set(self.changed),
        )

    # Looking

    def number(self, name: str) -> Interval:
        """The values that this number may still have."""
        found = self.numbers.get(name)
        if found is None:
            found = self.numbers[name] = self.world.numbers(name)
        return found

    def text(self, name: str) -> Texts:
        """The words that this text may still be."""
        found = self.texts.get(name)
        if found is None:
            found = self.texts[name] = self.world.texts(name)
        return found

    def values_of(self, parameter: str) -> list[float | str]:
        """The values that a parameter with overrides may still have."""
        choice = self.world.choices[parameter]
        values: list[float | str] = []
        for fact, key, value in choice.cases:
            texts = self.text(fact)
            if self.known.get(fact) is False or not texts.has(key):
                continue
            values.append(value)
            if self.known.get(fact) and texts.inside and len(texts.words) == 1:
                return values
        return [*values, choice.base]

    def range_of(self, node: Node) -> Interval:
        """The finite values of a number; empty when it has none."""
        return self._range(node)[0]

    def may_overflow(self, node: Node) -> bool:
        """Whether some values in the box give no finite result."""
        return self._range(node)[1]

    def _range(self, node: Node) -> tuple[Interval, bool]:
        self.steps += 1
        match node:
            case Name(name=name):
                return self.number(name), False
            case Literal(value=float(value)):
                return Interval(value, value), False
            case Parameter(name=name):
                values = [value for value in self.values_of(name) if isinstance(value, float)]
                return Interval(min(values), max(values)), False
            case Arithmetic(operator=operator, left=left, right=right):
                (one, bad), (other, worse) = self._range(left), self._range(right)
                if one.is_empty or other.is_empty:
                    return _EMPTY, True
                result, overflows = calculated(operator, one, other)
                if operator == "-":
                    result = result.intersected(self._difference(left, right))
                return result, bad or worse or overflows
            case Negative(operand=operand):
                inner, bad = self._range(operand)
                return Interval(-inner.high, -inner.low), bad
            case Call(function=function, arguments=arguments):
                ranges = [self._range(argument) for argument in arguments]
                bad = any(one[1] for one in ranges)
                if any(one[0].is_empty for one in ranges):
                    return _EMPTY, True
                if function == "abs":
                    return magnitude(ranges[0][0]), bad
                chosen = min if function == "min" else max
                (one, _), (other, _) = ranges
                return Interval(chosen(one.low, other.low), chosen(one.high, other.high)), bad
        raise TypeError(f"{type(node).__name__} is not a number")

    def _difference(self, left: Node, right: Node) -> Interval:
        """What is known of left - right because of what they are."""
        if left == right:
            return Interval(0.0, 0.0)
        low, high = WHOLE
        for one in self.world.tracked.values():
            is_max = one.function == "max"
            if (left, right) == (one.node, Name(one.name, left.source)):
                low, high = (low, 0.0) if is_max else (0.0, high)
            if (left, right) == (Name(one.name, left.source), one.node):
                low, high = (0.0, high) if is_max else (low, 0.0)
        return Interval(low, high)

    def decides(self, atom: Holds) -> bool | None:
        """Whether the comparison is true, or false, of all known values in the box."""
        if atom.text:
            left, right = self._words(atom.left), self._words(atom.right)
            if left.shares_nothing_with(right):
                return atom.operator == "!="
            same = left == right and left.inside and len(left.words) == 1
            return atom.operator == "==" if same else None
        one, other = self.range_of(atom.left), self.range_of(atom.right)
        if one.is_empty or other.is_empty:
            return False
        match atom.operator:
            case "<":
                return True if one.high < other.low else False if one.low >= other.high else None
            case "<=":
                return True if one.high <= other.low else False if one.low > other.high else None
        if one.intersected(other).is_empty:
            return False
        return True if one == other and one.low == one.high else None

    def _words(self, node: Node) -> Texts:
        match node:
            case Name(name=name):
                return self.text(name)
            case Literal(value=str(value)):
                return Texts(frozenset({value}), True)
            case Parameter(name=name):
                return Texts(frozenset(v for v in self.values_of(name) if isinstance(v, str)), True)
        raise TypeError(f"{type(node).__name__} is not text")

    # Narrowing

    def know(self, name: str) -> bool:
        """The fact is known."""
        settled = self.known.get(name)
        if settled is not None:
            return settled
        self.known[name] = True
        if name in self.texts and self.texts[name].is_empty:
            return False
        without = self.world.never_known.get(name)
        return without is None or self.narrow_text("structure", self.text("structure").without(without))

    def unknow(self, name: str) -> bool:
        """The fact is unknown."""
        settled = self.known.get(name)
        if settled is not None:
            return not settled
        if not self.can_be_unknown(name):
            return False
        self.known[name] = False
        if self.world.may_be_unknown(name):
            return True
        return self.narrow_text("structure", self.text("structure").only(self.world.never_known[name]))

    def can_be_unknown(self, name: str) -> bool:
        """Whether it may be unknown, as far as is settled now."""
        if self.world.may_be_unknown(name):
            return True
        return (
            name in self.world.never_known
            and not self.text("structure").only(self.world.never_known[name]).is_empty
        )

    def narrow_number(self, name: str, to: Interval) -> bool:
        """The fact, if known, lies within."""
        before = self.number(name)
        if to.low <= before.low and before.high <= to.high and not before.is_empty:
            return True
        after = before.intersected(to)
        if is_whole(name) and not after.is_empty:
            after = whole_numbers(after)
        self.numbers[name] = after
        self.changed.add(name)
        return not after.is_empty or self.unknow(name)

    def narrow_text(self, name: str, to: Texts) -> bool:
        """The fact, if known, is one of these."""
        if to == self.texts.get(name) and not to.is_empty:
            return True
        self.texts[name] = to
        self.changed.add(name)
        return not to.is_empty or self.unknow(name)

    def admit(self, *values: Node) -> bool:
        """All facts in the values are known."""
        parts = (part for value in values for part in walk(value))
        return all(self.know(part.name) for part in parts if isinstance(part, Name))

    def hold(self, atoms: Sequence[Holds], new: Sequence[Holds] = ()) -> bool:
        """Narrow by all comparisons until nothing changes, or until it would take long; those that are not
        `new` only if something has changed for them since the last time."""
        pending = [*new, *(atom for atom in atoms if atom.hangs_on(self.changed))]
        for _ in range(_ROUNDS):
            self.changed = set()
            if not all(self._hold(atom) for atom in pending):
                return False
            pending = [atom for atom in (*atoms, *new) if atom.hangs_on(self.changed)]
            if not pending:
                break
        return True

    def _hold(self, atom: Holds) -> bool:
        if atom.text:
            return self._hold_text(atom)
        left, right = self.range_of(atom.left), self.range_of(atom.right)
        if left.is_empty or right.is_empty:
            return False
        match atom.operator:
            case "<":
                one, other = Interval(left.low, below(right.high)), Interval(above(left.low), right.high)
            case "<=":
                one, other = Interval(left.low, right.high), Interval(left.low, right.high)
            case _:
                one = other = left.intersected(right)
        return self._narrow(atom.left, left.intersected(one)) and self._narrow(
            atom.right, right.intersected(other)
        )

    def _hold_text(self, atom: Holds) -> bool:
        left, right = self._words(atom.left), self._words(atom.right)
        for node, mine, other in ((atom.left, left, right), (atom.right, right, left)):
            if not isinstance(node, Name) or not other.inside:
                continue
            if atom.operator == "==":
                left_over = mine.only(other.words)
            else:
                left_over = mine.without(other.words) if len(other.words) == 1 else mine
            if not self.narrow_text(node.name, left_over):
                return False
        return self.decides(atom) is not False

    def _narrow(self, node: Node, to: Interval) -> bool:
        """The value of the node lies within, hence so much of its facts."""
        if to.is_empty:
            return False
        match node:
            case Name(name=name):
                return self.narrow_number(name, to) and self.known.get(name) is not False
            case Literal(value=float(value)):
                return to.low <= value <= to.high
            case Parameter(name=name):
                return any(isinstance(v, float) and to.low <= v <= to.high for v in self.values_of(name))
            case Negative(operand=operand):
                return self._narrow_operand(operand, Interval(-to.high, -to.low))
            case Arithmetic(operator=operator, left=left, right=right):
                one, other = self.range_of(left), self.range_of(right)
                left_to, right_to = operand_ranges(operator, to, one, other)
                return self._narrow_operand(left, left_to) and self._narrow_operand(right, right_to)
            case Call(function="abs", arguments=(operand,)):
                return self._narrow_magnitude(operand, to)
            case Call(function=function, arguments=(one_node, other_node)):
                return self._narrow_extreme(function, one_node, other_node, to)
        raise TypeError(f"{type(node).__name__} is not a number")

    def _narrow_operand(self, node: Node, to: Interval) -> bool:
        return self._narrow(node, self.range_of(node).intersected(to))

    def _narrow_magnitude(self, operand: Node, to: Interval) -> bool:
        inner = self.range_of(operand).intersected(Interval(-to.high, to.high))
        if inner.low > -to.low:
            inner = Interval(max(inner.low, to.low), inner.high)
        if inner.high < to.low:
            inner = Interval(inner.low, min(inner.high, -to.low))
        return self._narrow(operand, inner)

    def _narrow_extreme(self, function: str, one: Node, other: Node, to: Interval) -> bool:
        ranges = self.range_of(one), self.range_of(other)
        for node, mine, theirs in ((one, ranges[0], ranges[1]), (other, ranges[1], ranges[0])):
            if function == "min":
                # Both reach the minimum, and one that alone can be the minimum is not above it.
                high = to.high if theirs.low > to.high else mine.high
                wanted = Interval(to.low, high)
            else:
                low = to.low if theirs.high < to.low else mine.low
                wanted = Interval(low, to.high)
            if not self._narrow(node, mine.intersected(wanted)):
                return False
        return True

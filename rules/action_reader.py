"""What stands under `do:`, read into an Action."""

import re
from dataclasses import dataclass

from rules import source
from rules.checking import Checker, fits, type_of
from rules.expression import Literal, Parameter, Source
from rules.facts import Unit
from rules.problem import Problems, did_you_mean
from rules.rulebook import Action
from rules.source import Mapping, Scalar, check_keys

ACTIONS = ("close", "reduce", "roll", "block_entries")
_BESIDE = ("urgency", "once", "when", "for", "cooldown")


@dataclass(frozen=True, slots=True)
class ActionReader:
    """Reads the actions of one rule; `checker` knows its parameters and whether it is about the book."""

    checker: Checker
    problems: Problems

    def action(self, node: source.Node) -> Action | None:
        """The action; None when it is wrong (the problems say why)."""
        if isinstance(node, Scalar):
            word, argument = node.text, None
        elif isinstance(node, Mapping) and len(node.items) == 1:
            word, (_, argument) = next(iter(node.items.items()))
        elif isinstance(node, Mapping) and (beside := [key for key in _BESIDE if key in node.items]):
            said = f"`{beside[0]}` stands beside `do:`, not in it: write it in a line of its own"
            self.problems.add(node.items[beside[0]][0].mark, said)
            return None
        else:
            self.problems.add(
                node.mark, "do is one action: write {close: mid}, {reduce: half} or {roll: {dte: 45d}}"
            )
            return None
        if word not in ACTIONS:
            self.problems.add(node.mark, f"unknown action {word}: {did_you_mean(word, ACTIONS)}")
            return None
        if (word == "block_entries") != self.checker.book_only:
            advice = "a rule about positions: write block_entries, or leave `scope: book` out"
            if word == "block_entries":
                advice = "a rule with `scope: book`: add that, or write close, reduce or roll"
            self.problems.add(node.mark, f"{word} belongs to {advice}")
            return None
        if word == "close":
            return self._close(argument)
        if word == "reduce":
            return self._reduce(node, argument)
        if word == "roll":
            return self._roll(node, argument)
        if argument is None:
            return Action("block_entries")
        if isinstance(argument, Scalar) and argument.text == "reduce_largest":
            return Action("block_entries", "then", "reduce_largest")
        self.problems.add(argument.mark, "write block_entries, or {block_entries: reduce_largest}")
        return None

    def _close(self, argument: source.Node | None) -> Action | None:
        if argument is None:
            return Action("close", "price", "mid")
        if isinstance(argument, Scalar) and argument.text in ("mid", "market"):
            return Action("close", "price", argument.text)
        self.problems.add(argument.mark, "close at which price? write {close: mid} or {close: market}")
        return None

    def _reduce(self, node: source.Node, argument: source.Node | None) -> Action | None:
        if isinstance(argument, Scalar):
            if argument.text == "half":
                return Action("reduce", "count", "half")
            if re.fullmatch(r"[1-9]\d{0,3}", argument.text):
                return Action("reduce", "count", int(argument.text))
            parameter = self._parameter(argument, Unit.NUMBER)
            if parameter:
                return Action("reduce", "count", parameter)
        mark = argument.mark if argument else node.mark
        self.problems.add(mark, "reduce by how much? write {reduce: half} or a number of lots, {reduce: 2}")
        return None

    def _roll(self, node: source.Node, argument: source.Node | None) -> Action | None:
        target = argument.get("dte") if isinstance(argument, Mapping) else None
        if isinstance(argument, Mapping):
            check_keys(argument, ("dte",), "roll", self.problems)
        if isinstance(target, Scalar):
            match = re.fullmatch(r"([1-9]\d{0,3})d", target.text)
            if match:
                return Action("roll", "dte", int(match.group(1)))
            parameter = self._parameter(target, Unit.DAYS)
            if parameter:
                return Action("roll", "dte", parameter)
        mark = (target or argument or node).mark
        self.problems.add(mark, "roll to which expiry? write {roll: {dte: 45d}}")
        return None

    def _parameter(self, node: Scalar, unit: Unit) -> Parameter | None:
        """`$name` where the parameter is a positive whole number of this unit, in its overrides too."""
        literal = self.checker.parameters.get(node.text[1:]) if node.text.startswith("$") else None
        if literal is None or not fits(type_of(literal), unit) or not is_count(literal):
            return None
        return Parameter(node.text[1:], Source(node.mark, node.text))


def is_count(literal: Literal) -> bool:
    """Whether it is a number of lots or days that an action may name: whole, from 1 to 9999."""
    return isinstance(literal.value, float) and 1 <= literal.value <= 9_999 and literal.value.is_integer()

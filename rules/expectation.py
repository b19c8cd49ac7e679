"""What a test of rules expects: which rule wins at which beat, or that none does."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rules import source
from rules.action_reader import ACTIONS, ActionReader
from rules.checking import Checker
from rules.expression import Parameter, parse_literal
from rules.facts import Unit
from rules.plan import action_params
from rules.problem import Mark, Problems, did_you_mean
from rules.rulebook import URGENCIES, Rule
from rules.source import Mapping as MappingNode
from rules.source import Scalar, Sequence, check_keys

WANTED_KEYS = ("rule", "action", "urgency")
_NOTHING = "none"
_SECONDS = {Unit.SECONDS: 1.0, Unit.DAYS: 86_400.0}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A rule that should win; None where action, its argument (as JSON) or urgency do not matter."""

    rule: Rule
    action: str | None = None
    params: str | None = None
    urgency: str | None = None


@dataclass(frozen=True, slots=True)
class Expectation:
    """What should win at these beats, nothing when `wanted` is empty; `position` None = anywhere."""

    mark: Mark
    beats: tuple[int, ...]
    wanted: tuple[Wanted, ...]
    position: str | None = None


@dataclass(frozen=True, slots=True)
class ExpectationReader:
    """Reads what one test of so many beats expects.

    `rules` by id. `positions`: the names of its positions, None when there is only one, without a name.
    """

    beats: int
    every_s: float
    rules: Mapping[str, Rule]
    positions: tuple[str, ...] | None
    problems: Problems

    def expectations(self, node: source.Node | None) -> tuple[Expectation, ...]:
        """What stands under `expect:`."""
        if node is None:
            return ()
        if not isinstance(node, MappingNode) or not node.items:
            self.problems.add(node.mark, "expect is a mapping: write {at 3m: trailing_stop}")
            return ()
        every = tuple(range(self.beats))
        named = {key: self._at(key, scalar.mark) for key, (scalar, _) in node.items.items()}
        others = tuple(beat for beat in every if (beat,) not in named.values())
        found: list[Expectation] = []
        for key, (scalar, value) in node.items.items():
            if key == "otherwise" and not others:
                self.problems.add(scalar.mark, "`at` names every beat already: remove `otherwise`")
            beats = {"always": every, "otherwise": others}.get(key, named[key])
            found += self._of_positions(value, beats)
        return tuple(found)

    def never(self, node: source.Node | None) -> tuple[tuple[Rule, Mark], ...]:
        """The rules under `never:`, with their places."""
        items = node.items if isinstance(node, Sequence) else [node] if node is not None else []
        rules = [(self._rule(item), item.mark) for item in items]
        return tuple((rule, mark) for rule, mark in rules if rule is not None)

    def _at(self, key: str, mark: Mark) -> tuple[int, ...]:
        """The beat that `at 3m` names."""
        if key in ("always", "otherwise"):
            return ()
        match = re.fullmatch(r"at\s+(\S+)", key)
        seconds = duration_s(match[1], mark) if match else None
        if seconds is None:
            self.problems.add(mark, f"when is {key}? write `at 3m`, `always` or `otherwise`")
            return ()
        beat = seconds / self.every_s
        if beat > self.beats - 1:
            last = shown_s((self.beats - 1) * self.every_s)
            advice = "make a series longer (`_` is as before)"
            self.problems.add(mark, f"{key} is after the last beat, which is at {last}: {advice}")
        elif not beat.is_integer():
            self.problems.add(mark, f"{key} is between two beats: there is one every {shown_s(self.every_s)}")
        else:
            return (int(beat),)
        return ()

    def _of_positions(self, node: source.Node, beats: tuple[int, ...]) -> Iterator[Expectation]:
        is_by_name = isinstance(node, MappingNode) and not {"rule", "action", "urgency"} & node.items.keys()
        if self.positions is None or not is_by_name or not isinstance(node, MappingNode):
            yield Expectation(node.mark, beats, self._all_wanted(node, None))
            return
        for name, (key, value) in node.items.items():
            if name not in self.positions:
                hint = did_you_mean(name, self.positions) if self.positions else "write `positions:`"
                self.problems.add(key.mark, f"no position {name} in this test: {hint}")
                continue
            yield Expectation(value.mark, beats, self._all_wanted(value, name), name)

    def _all_wanted(self, node: source.Node, position: str | None) -> tuple[Wanted, ...]:
        if isinstance(node, Scalar) and node.text == _NOTHING:
            return ()
        items = node.items if isinstance(node, Sequence) else [node]
        if not items:
            self.problems.add(node.mark, "an empty list: write `none` when nothing should win")
        wanted: dict[str, Wanted] = {}
        for item in items:
            one = self._wanted(item)
            if one is None:
                continue
            if one.rule.scope in wanted:
                self.problems.add(
                    item.mark, "only one rule wins on a position, and one on the book: keep one"
                )
            wanted[one.rule.scope] = one
            if one.rule.scope == "book" and position is not None:
                self.problems.add(item.mark, f"{one.rule.id} is of the book: write it without a position")
            if one.rule.scope != "book" and position is None and self.positions is not None:
                self.problems.add(item.mark, self._which_position(one.rule.id))
        return tuple(wanted.values())

    def _which_position(self, rule: str) -> str:
        if not self.positions:
            return f"{rule} is about positions, and this test has none: add `position:`"
        return f"{rule} wins on which position? write {{{self.positions[0]}: {rule}}}"

    def _wanted(self, node: source.Node) -> Wanted | None:
        if not isinstance(node, MappingNode):
            rule = self._rule(node)
            return Wanted(rule) if rule else None
        check_keys(node, WANTED_KEYS, "an expectation", self.problems)
        named = node.get("rule")
        if named is None:
            self.problems.add(node.mark, "which rule should win? write {rule: trailing_stop, action: close}")
            return None
        rule = self._rule(named)
        if rule is None:
            return None
        action, params = self._action(node.get("action"), rule)
        return Wanted(rule, action, params, self._urgency(node.get("urgency")))

    def _rule(self, node: source.Node) -> Rule | None:
        if not isinstance(node, Scalar):
            self.problems.add(node.mark, "name a rule here, or write `none`")
            return None
        rule = self.rules.get(node.text)
        if rule is None:
            hint = did_you_mean(node.text, self.rules)
            self.problems.add(node.mark, f"no rule {node.text} in the rules file: {hint}")
        return rule

    def _action(self, node: source.Node | None, rule: Rule) -> tuple[str | None, str | None]:
        if node is None:
            return None, None
        if isinstance(node, Scalar) and node.text in ACTIONS:
            return node.text, None
        checker = Checker({}, self.problems, book_only=rule.scope == "book")
        action = ActionReader(checker, self.problems).action(node)
        if action is None or isinstance(action.value, Parameter):
            return None, None
        return action.name, action_params(action, action.value)

    def _urgency(self, node: source.Node | None) -> str | None:
        if node is None:
            return None
        if isinstance(node, Scalar) and node.text in URGENCIES:
            return node.text
        self.problems.add(node.mark, f"urgency must be one of {', '.join(URGENCIES)}")
        return None


def duration_s(text: str, mark: Mark) -> float | None:
    """30s, 3m, 2h or 1d in seconds; 0 needs no unit. None when it is something else."""
    try:
        literal = parse_literal(text, mark)
    except ValueError:
        return None
    if literal.value == 0:
        return 0.0
    if literal.unit not in _SECONDS or not isinstance(literal.value, float) or literal.value < 0:
        return None
    return literal.value * _SECONDS[literal.unit]


def shown_s(seconds: float) -> str:
    """Seconds as a trader writes them: 3m, 90s, 2d."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s" if seconds else "0m"

"""One entry under `rules:` read into a Rule, with everything wrong in it noted."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal as OneOf
from typing import TypeVar

from rules import source
from rules.action_reader import ActionReader, is_count
from rules.checking import Checker, Size, described, fits, how_to_write, type_of
from rules.expression import (
    All,
    AnyOf,
    Literal,
    Node,
    Parameter,
    Source,
    parse_condition,
    parse_literal,
)
from rules.facts import FACTS, Unit
from rules.problem import Problems, did_you_mean
from rules.rulebook import MODES, URGENCIES, Example, Rule, Tier, Urgency, Value
from rules.source import Mapping as MappingNode
from rules.source import Scalar, Sequence, check_keys
from rules.targets import STRUCTURES_AND_REGIMES, meant

_KEYS = (
    "id",
    "priority",
    "when",
    "do",
    "tiers",
    "params",
    "overrides",
    "for",
    "clear_when",
    "cooldown",
    "mode",
    "unknown",
    "urgency",
    "scope",
    "examples",
)
_SCOPES: tuple[OneOf["position", "book"], ...] = ("position", "book")
_TIER_KEYS = ("when", "do", "urgency", "once")
_Word = TypeVar("_Word", bound=str)
_WORD = re.compile(r"[a-z][a-z0-9_]*")
_SECONDS = {Unit.SECONDS: 1.0, Unit.DAYS: 86_400.0}


@dataclass(frozen=True, slots=True)
class RuleReader:
    """What the entries of one file have in common. `units`: facts and tracked values by name.

    `ids`: those that it came across, also of rules that are wrong.
    """

    text: str
    units: Mapping[str, Unit]
    macros: Mapping[str, Node | None]
    problems: Problems
    size: Size
    ids: set[str] = field(default_factory=set)

    def rule(self, node: source.Node) -> Rule | None:
        """The rule; None when it is too broken to go on with (the problems say why)."""
        if not isinstance(node, MappingNode):
            self.problems.add(node.mark, "a rule is a mapping: start it with `- id: name`")
            return None
        check_keys(node, _KEYS, "a rule", self.problems)
        rule_id = self._id(node)
        priority = self._priority(node)
        scope = self._choice(node, "scope", _SCOPES, "position")
        parameters = self._literals(node.get("params"), "params")
        checker = Checker(
            self.units, self.problems, self.macros, parameters, book_only=scope == "book", size=self.size
        )
        tiers = self._tiers(node, checker)
        rule = Rule(
            id=rule_id or "",
            priority=priority or 0,
            tiers=tiers,
            mark=node.mark,
            scope=scope,
            parameters=parameters,
            overrides=self._overrides(node, parameters, scope),
            hold_s=self._duration(node, "for"),
            clear_when=self._clear_when(node, checker),
            cooldown_s=self._duration(node, "cooldown"),
            mode=self._choice(node, "mode", MODES, "live"),
            fires_when_unknown=self._choice(node, "unknown", ("hold", "fire"), "hold") == "fire",
            examples=self._examples(node),
            path=self.problems.path,
        )
        self._check_counts(rule)
        return rule if rule_id and priority and tiers else None

    def _check_counts(self, rule: Rule) -> None:
        """What an action counts by is a count in overrides too."""
        counts = [tier.action.value for tier in rule.tiers if isinstance(tier.action.value, Parameter)]
        for name in {count.name for count in counts}:
            for values in rule.overrides.values():
                if name in values and not is_count(values[name]):
                    said = f"${name} says how many in `do:`: write a whole number from 1 to 9999"
                    self.problems.add(values[name].source.at, said)

    # Identity and simple keys

    def _id(self, node: MappingNode) -> str | None:
        value = node.get("id")
        if not isinstance(value, Scalar):
            self.problems.add((value or node).mark, "a rule needs a name: add `id: take_profit`")
            return None
        self.ids.add(value.text)
        if not _WORD.fullmatch(value.text):
            plain = re.sub(r"\W+", "_", value.text.lower()).strip("_")
            better = f", such as {plain}" if _WORD.fullmatch(plain) else ""
            said = f"id {value.text!r}: use small letters, digits and _ only{better}"
            self.problems.add(value.mark, said)
        return value.text

    def _priority(self, node: MappingNode) -> int | None:
        value = node.get("priority")
        if value is None:
            self.problems.add(node.mark, "a rule needs a priority: add `priority: 7` (1 wins over 2)")
            return None
        if not isinstance(value, Scalar) or not re.fullmatch(r"[1-9]\d{0,5}", value.text):
            self.problems.add(value.mark, "priority must be a whole number from 1 (1 wins over 2)")
            return None
        return int(value.text)

    def _choice(self, node: MappingNode, key: str, known: tuple[_Word, ...], default: _Word) -> _Word:
        value = node.get(key)
        if value is None:
            return default
        for word in known:
            if isinstance(value, Scalar) and value.text == word:
                return word
        self.problems.add(value.mark, f"{key} must be one of {', '.join(known)}")
        return default

    def _duration(self, node: MappingNode, key: str) -> float:
        value = node.get(key)
        if value is None:
            return 0.0
        literal = self._literal(value, key)
        if literal is None:
            return 0.0
        if not isinstance(literal.value, float) or literal.unit not in _SECONDS:
            self.problems.add(value.mark, f"{key} is a duration: write 30s, 5m, 2h or 1d")
            return 0.0
        if literal.value < 0:
            self.problems.add(value.mark, f"{key} cannot be negative: write 30s, 5m, 2h or 1d")
        return literal.value * _SECONDS[literal.unit]

    # Values

    def _literal(self, node: source.Node, what: str) -> Literal | None:
        if not isinstance(node, Scalar):
            self.problems.add(node.mark, f"{what} must be one value, not a list or mapping")
            return None
        text = node.text.strip()
        if re.fullmatch(r"[+-]?\.?(nan|inf)", text.lower()):
            self.problems.add(node.mark, f"{what} is {text}: write a number")
            return None
        if re.match(r"[+-]?(\$|\.)?\d", text):
            try:
                return parse_literal(text, node.mark)
            except ValueError as error:
                self.problems.add(node.mark, str(error))
                return None
        if not text:
            self.problems.add(node.mark, f"{what} has no value: write one, such as 50%")
            return None
        return Literal(text.strip("'"), Unit.TEXT, Source(node.mark, text))

    def _literals(self, node: source.Node | None, what: str, example: str = "name") -> dict[str, Literal]:
        if node is None:
            return {}
        if not isinstance(node, MappingNode):
            self.problems.add(node.mark, f"{what} is a mapping: write {{{example}: 50%}}")
            return {}
        literals: dict[str, Literal] = {}
        for name, (key, value) in node.items.items():
            if not _WORD.fullmatch(name):
                self.problems.add(key.mark, f"parameter {name!r}: use small letters, digits and _ only")
            literal = self._literal(value, name)
            # A broken value still declares its name, so that no second problem is reported for it.
            literals[name] = literal or Literal(0.0, None, Source(value.mark, "0"))
        return literals

    def _overrides(
        self, node: MappingNode, parameters: Mapping[str, Literal], scope: str
    ) -> dict[str, dict[str, Literal]]:
        value = node.get("overrides")
        if value is None:
            return {}
        if not isinstance(value, MappingNode):
            self.problems.add(value.mark, "overrides is a mapping: write {iron_condor: {keep: 50%}}")
            return {}
        if scope == "book":
            self.problems.add(
                value.mark, "a book rule has no overrides: the book has no structure; remove them"
            )
        overrides: dict[str, dict[str, Literal]] = {}
        for target, (key, body) in value.items.items():
            if hint := meant(target, STRUCTURES_AND_REGIMES):
                said = f"override for an unknown {target}: did you mean {hint}?"
                self.problems.add_newer(key.mark, said)
            example = next(iter(parameters), "name")
            overrides[target] = self._literals(body, f"the override for {target}", example)
            for name, literal in overrides[target].items():
                self._check_override(name, literal, parameters)
        return overrides

    def _check_override(self, name: str, literal: Literal, parameters: Mapping[str, Literal]) -> None:
        if name not in parameters:
            hint = did_you_mean(name, parameters) if parameters else "add it under `params:`"
            self.problems.add(literal.source.at, f"override of an unknown parameter {name}: {hint}")
            return
        base, own = type_of(parameters[name]), type_of(literal)
        if fits(base, own):
            return
        if isinstance(base, Unit) or not isinstance(own, Unit):
            said = f"{name} is {described(base)}, {literal.source.text} is {described(own)}"
            advice = how_to_write(literal.source.text, base) if isinstance(base, Unit) else "the same unit"
            self.problems.add(literal.source.at, f"{said}: write {advice}")
            return
        # It is the base value that lacks its unit: told there, once for all overrides.
        written = parameters[name].source
        said = f"{name} is {described(base)}, and its overrides are {_plural(own)}"
        self.problems.add(written.at, f"{said}: write {how_to_write(written.text, own)}")

    # Conditions

    def condition(self, node: source.Node, checker: Checker) -> Node | None:
        """A condition as text, or as {any: […]} / {all: […]}; None when it is wrong."""
        parsed = self._parsed(node)
        return checker.condition(parsed) if parsed else None

    def _parsed(self, node: source.Node) -> Node | None:
        if isinstance(node, Scalar):
            return parse_condition(node.text, source.place_in(self.text, node), self.problems)
        if isinstance(node, Sequence):
            self.problems.add(node.mark, "a list of conditions: say {any: […]} or {all: […]}")
            return None
        if {"any", "all"} == set(node.items):
            said = "any and all beside each other: put one into the other, {all: [profit >= 10%, {any: […]}]}"
            self.problems.add(node.mark, said)
            return None
        meant = {"or": "any", "and": "all"}.get(next(iter(node.items), ""))
        if meant:
            self.problems.add(node.mark, f"a list of conditions: write {{{meant}: […]}}")
            return None
        if len(node.items) != 1 or not {"any", "all"} & set(node.items):
            self.problems.add(node.mark, "a condition is text, {any: […]} or {all: […]}")
            return None
        word, (_, listed) = next(iter(node.items.items()))
        if not isinstance(listed, Sequence) or not listed.items:
            self.problems.add(
                listed.mark, f"{word} needs a list: write {{{word}: [dte <= 1d, profit >= 80%]}}"
            )
            return None
        parts = [self._parsed(item) for item in listed.items]
        present = tuple(part for part in parts if part)
        made = (
            AnyOf(present, Source(node.mark, "any of"))
            if word == "any"
            else All(present, Source(node.mark, "all of"))
        )
        return made if present else None

    def _clear_when(self, node: MappingNode, checker: Checker) -> Node | None:
        value = node.get("clear_when")
        if value is None:
            return None
        if "tiers" in node.items:
            self.problems.add(value.mark, "clear_when goes with `when`, not with `tiers`: make it two rules")
            return None
        return self.condition(value, checker)

    # Tiers and actions

    def _tiers(self, node: MappingNode, checker: Checker) -> tuple[Tier, ...]:
        listed = node.get("tiers")
        if listed is None:
            for key in ("when", "do"):
                if key not in node.items:
                    self.problems.add(node.mark, f"a rule needs `{key}:` (or `tiers:` with several)")
            tier = self._tier(node, checker)
            return (tier,) if tier else ()
        for key in ("when", "do", "urgency"):
            if key in node.items:
                mark = node.items[key][0].mark
                self.problems.add(mark, f"`{key}` beside `tiers`: move it into the tiers")
        if not isinstance(listed, Sequence) or not listed.items:
            self.problems.add(listed.mark, "tiers is a list: write - {when: …, do: …}")
            return ()
        tiers: list[Tier] = []
        for item in listed.items:
            if not isinstance(item, MappingNode):
                self.problems.add(item.mark, "a tier is a mapping: write {when: …, do: …}")
                continue
            check_keys(item, _TIER_KEYS, "a tier", self.problems)
            for key in ("when", "do"):
                if key not in item.items:
                    self.problems.add(item.mark, f"a tier needs `{key}:`")
            tier = self._tier(item, checker)
            tiers += [tier] if tier else []
        return tuple(tiers)

    def _tier(self, node: MappingNode, checker: Checker) -> Tier | None:
        when, do = node.get("when"), node.get("do")
        condition = self.condition(when, checker) if when else None
        action = ActionReader(checker, self.problems).action(do) if do else None
        urgency, urgent_when = self._urgency(node.get("urgency"), checker)
        once = self._choice(node, "once", ("true", "false"), "false") == "true"
        if condition is None or action is None:
            return None
        return Tier(condition, action, urgency, urgent_when, once)

    def _urgency(
        self, node: source.Node | None, checker: Checker
    ) -> tuple[Urgency, tuple[tuple[Urgency, Node], ...]]:
        if node is None:
            return "normal", ()
        if isinstance(node, Scalar):
            for word in URGENCIES:
                if node.text == word:
                    return word, ()
        if not isinstance(node, MappingNode):
            self.problems.add(node.mark, "urgency is immediate, high or normal, or {high: condition}")
            return "normal", ()
        check_keys(node, URGENCIES, "urgency", self.problems)
        conditions: list[tuple[Urgency, Node]] = []
        for word in URGENCIES:
            value = node.get(word)
            condition = self.condition(value, checker) if value else None
            if condition:
                conditions.append((word, condition))
        return "normal", tuple(conditions)

    # Examples

    def _examples(self, node: MappingNode) -> tuple[Example, ...]:
        value = node.get("examples")
        if value is None:
            return ()
        if not isinstance(value, MappingNode):
            self.problems.add(
                value.mark, "examples is a mapping: write {fires: {dte: 25d}, quiet: {dte: 26d}}"
            )
            return ()
        check_keys(value, ("fires", "quiet"), "examples", self.problems)
        examples: list[Example] = []
        for word, (_, body) in value.items.items():
            for item in body.items if isinstance(body, Sequence) else [body]:
                if isinstance(item, MappingNode):
                    facts = self._example_facts(item)
                    examples.append(Example(facts, word == "fires", item.mark))
                else:
                    self.problems.add(item.mark, f"an example is facts: write {word}: {{dte: 25d}}")
        return tuple(examples)

    def _example_facts(self, node: MappingNode) -> dict[str, Value]:
        facts: dict[str, Value] = {}
        for name, (key, value) in node.items.items():
            unit = self.units.get(name)
            if unit is None:
                self.problems.add(key.mark, f"unknown fact {name}: {did_you_mean(name, self.units)}")
                continue
            if isinstance(value, Scalar) and value.text in ("null", "~"):
                facts[name] = None
                continue
            literal = self._literal(value, name)
            if literal is None:
                continue
            if not fits(type_of(literal), unit):
                said = f"{name} is {described(unit)}, {literal.source.text} is {described(type_of(literal))}"
                self.problems.add(value.mark, f"{said}: write {how_to_write(literal.source.text, unit)}")
                continue
            self._check_text(name, literal)
            facts[name] = literal.value
        return facts

    def _check_text(self, name: str, literal: Literal) -> None:
        known = FACTS[name].values if name in FACTS else ()
        if known and literal.value not in known:
            hint = did_you_mean(str(literal.value), known)
            self.problems.add(literal.source.at, f"{name} is never '{literal.value}': {hint}")


def _plural(unit: Unit) -> str:
    return {Unit.RATIO: "ratios", Unit.TEXT: "texts"}.get(unit, described(unit))

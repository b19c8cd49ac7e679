"""Rules files: from text to a checked Rulebook, or all that is wrong with it at once."""

import hashlib
from pathlib import Path

from rules.checking import Checker, described, fits
from rules.expression import Call, Node, parse_condition
from rules.facts import FACTS, Unit
from rules.problem import Mark, Problems
from rules.rule_reader import RuleReader
from rules.rulebook import Rule, Rulebook, Tracked
from rules.scalar import any_of, parameters_for, truth
from rules.source import Mapping, Scalar, Sequence, check_keys, place_in, read_text, read_tree

_KEYS = ("version", "track", "macros", "rules")
_RESERVED = frozenset({"and", "or", "not", "in", "between", "abs", "min", "max", "any", "all"})
MAX_RULES = 60  # fired and unknown are bits of one integer


def default_rules_path() -> Path:
    """The rules file that is shipped: the twelve rules."""
    return Path(__file__).with_name("default.yaml")


def load(path: Path) -> Rulebook:
    """The rules of a file; raises RulesInvalid with every problem in it."""
    return parse(read_text(path), str(path))


def parse(text: str, path: str = "rules.yaml") -> Rulebook:
    """The rules of a text; `path` is only named in messages. Raises RulesInvalid with every problem."""
    problems = Problems(path, text)
    top = read_tree(text, problems)
    if top is None:
        problems.raise_if_any()
        raise AssertionError("a file without a tree has a problem")
    check_keys(top, _KEYS, "a rules file", problems)
    _check_version(top, problems)
    tracked = _tracked(top, text, problems)
    units = {fact.name: fact.unit for fact in FACTS.values()} | {item.name: item.unit for item in tracked}
    macros = _macros(top, text, units, problems)
    rules = _rules(top, RuleReader(text, units, macros, problems), problems)
    problems.raise_if_any()
    _run_examples(rules, problems)
    problems.raise_if_any()
    return Rulebook(
        path, text, revision_of(text), tuple(sorted(rules, key=lambda rule: rule.priority)), tracked
    )


def revision_of(text: str) -> str:
    """The revision of a rules file with this text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _check_version(top: Mapping, problems: Problems) -> None:
    version = top.get("version")
    if version is not None and not (isinstance(version, Scalar) and version.text == "1"):
        problems.add(version.mark, "this optiond reads version 1: write `version: 1`")


def _tracked(top: Mapping, text: str, problems: Problems) -> tuple[Tracked, ...]:
    """What the file tracks, and peak_profit, which is always there."""
    found = {"peak_profit": _peak_profit()}
    node = top.get("track")
    if node is None:
        return tuple(found.values())
    if not isinstance(node, Mapping):
        problems.add(node.mark, "track is a mapping: write {peak_profit: max(profit)}")
        return tuple(found.values())
    units = {fact.name: fact.unit for fact in FACTS.values() if not fact.tracked}
    checker = Checker(units, problems, parameters_allowed=False)
    for name, (key, value) in node.items.items():
        if (name in FACTS and not FACTS[name].tracked) or name in _RESERVED or not name.isidentifier():
            problems.add(key.mark, f"{name} cannot be tracked under this name: choose another")
            continue
        parsed = (
            parse_condition(value.text, place_in(text, value), problems)
            if isinstance(value, Scalar)
            else None
        )
        if not isinstance(parsed, Call) or parsed.function == "abs" or len(parsed.arguments) != 1:
            problems.add(value.mark, f"track the highest or lowest: write {name}: max(profit) or min(…)")
            continue
        checked = checker.value(parsed.arguments[0])
        if checked is None:
            continue
        inner, unit = checked
        if name in FACTS and not fits(unit, FACTS[name].unit):
            problems.add(
                value.mark,
                f"{name} is {described(FACTS[name].unit)}, this is {described(unit)}: write max(profit)",
            )
            continue
        found[name] = Tracked(name, "min" if parsed.function == "min" else "max", inner, unit)
    return tuple(found.values())


def _peak_profit() -> Tracked:
    problems = Problems("", "")
    profit = parse_condition("profit", lambda _: Mark(1, 1), problems)
    assert profit is not None
    return Tracked("peak_profit", "max", profit, Unit.RATIO)


def _macros(top: Mapping, text: str, units: dict[str, Unit], problems: Problems) -> dict[str, Node | None]:
    """Conditions by name, None when it is wrong; a macro may use those above it."""
    node = top.get("macros")
    if node is None:
        return {}
    if not isinstance(node, Mapping):
        problems.add(node.mark, "macros is a mapping: write {name: condition}")
        return {}
    macros: dict[str, Node | None] = {}
    for name, (key, value) in node.items.items():
        if name in units or name in _RESERVED or not name.isidentifier():
            problems.add(key.mark, f"{name} cannot be the name of a macro: choose another")
            continue
        checker = Checker(units, problems, macros, parameters_allowed=False)
        macros[name] = RuleReader(text, units, macros, problems).condition(value, checker)
    return macros


def _rules(top: Mapping, reader: RuleReader, problems: Problems) -> list[Rule]:
    node = top.get("rules")
    if not isinstance(node, Sequence) or not node.items:
        problems.add((node or top).mark, "`rules:` needs a list with at least one rule")
        return []
    if len(node.items) > MAX_RULES:
        problems.add(
            node.items[MAX_RULES].mark, f"more than {MAX_RULES} rules: join some with `tiers:` or any"
        )
    rules = [rule for item in node.items[:MAX_RULES] if (rule := reader.rule(item))]
    ids: dict[str, Rule] = {}
    priorities: dict[int, Rule] = {}
    for rule in rules:
        if rule.id in ids:
            line = ids[rule.id].mark.line
            problems.add(rule.mark, f"a second rule with id {rule.id} (first in line {line}): rename one")
        elif rule.priority in priorities:
            other = priorities[rule.priority].id
            problems.add(rule.mark, f"priority {rule.priority} is taken by {other}: give {rule.id} another")
        ids.setdefault(rule.id, rule)
        priorities.setdefault(rule.priority, rule)
    return rules


def _run_examples(rules: list[Rule], problems: Problems) -> None:
    for rule in rules:
        for example in rule.examples:
            parameters = parameters_for(rule, example.facts)
            result = any_of([truth(tier.when, example.facts, parameters) for tier in rule.tiers])
            fires = rule.fires_when_unknown if result is None else result
            if fires != example.fires:
                why = "is unknown with" if result is None else "fires on" if fires else "is quiet on"
                wanted = "fires" if example.fires else "quiet"
                problems.add(example.mark, f"{rule.id} {why} this example of {wanted}: change one of them")

"""What a file makes of the rules of the file that it extends: replaced, removed, and new ones."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from rules import source
from rules.problem import Problems, did_you_mean
from rules.rulebook import Rule
from rules.source import Scalar, Sequence

MAX_RULES = 60  # fired and unknown are bits of one integer


def merged(
    extended: Iterable[Rule], replaced: Iterable[Rule], appended: Iterable[Rule], removed: Iterable[str]
) -> list[Rule]:
    """The rules of both files."""
    gone = {rule.id for rule in replaced} | set(removed)
    return [*(rule for rule in extended if rule.id not in gone), *replaced, *appended]


def removed_ids(node: source.Node | None, extended: Mapping[str, Rule], problems: Problems) -> list[str]:
    """The rules under `remove:`, those that the extended file has."""
    if node is None:
        return []
    if not isinstance(node, Sequence):
        problems.add(node.mark, "remove is a list of rules: write [gamma_risk]")
        return []
    found: list[str] = []
    for item in node.items:
        if not isinstance(item, Scalar):
            problems.add(item.mark, "remove is a list of rules, by id: write [gamma_risk]")
        elif item.text not in extended:
            problems.add(item.mark, f"no rule {item.text} to remove: {did_you_mean(item.text, extended)}")
        else:
            found.append(item.text)
    return found


def replaces(
    replaced: Iterable[Rule], extended: Mapping[str, Rule], removed: Collection[str], problems: Problems
) -> bool:
    """Whether every replaced rule is there to be replaced."""
    before = len(problems)
    for rule in replaced:
        if rule.id not in extended:
            said = f"no rule {rule.id} to replace: {did_you_mean(rule.id, extended)}"
            problems.add(rule.mark, f"{said} (a new rule goes under `append:`)")
        elif rule.id in removed:
            problems.add(rule.mark, f"{rule.id} is removed and replaced: keep one of them")
    return len(problems) == before


def check_unique(rules: Iterable[Rule], problems: Problems) -> None:
    """No two rules of one id or one priority; noted are those of the file of `problems`, which come last."""
    ids: dict[str, Rule] = {}
    priorities: dict[int, Rule] = {}
    for rule in rules:
        if rule.id in ids:
            first = ids[rule.id]
            if first.path == rule.path:
                said = f"a second rule with id {rule.id} (first in line {first.mark.line}): rename one"
            else:
                said = (
                    f"{rule.id} is a rule of {_name(first)} already: write it under `replace:`, or rename it"
                )
            problems.add(rule.mark, said)
        elif rule.priority in priorities:
            other = priorities[rule.priority]
            where = "" if other.path == rule.path else f" of {_name(other)}"
            said = f"priority {rule.priority} is taken by {other.id}{where}: give {rule.id} another"
            problems.add(rule.mark, said)
        ids.setdefault(rule.id, rule)
        priorities.setdefault(rule.priority, rule)


def _name(rule: Rule) -> str:
    return Path(rule.path).name

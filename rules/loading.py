"""Rules files: from text to a checked Rulebook, or all that is wrong with it at once."""

import hashlib
from collections.abc import Iterable
from collections.abc import Mapping as ByName
from dataclasses import dataclass, field
from pathlib import Path

from rules.chain import Chain, Link, chain_of_text, read_chain
from rules.checking import Checker, Size, described, fits
from rules.expression import Call, Name, Node, parse_condition, walk
from rules.extending import MAX_RULES, check_unique, merged, removed_ids, replaces
from rules.facts import FACTS, Unit
from rules.mute_reader import MuteReader
from rules.problem import Mark, Problems, raise_noted
from rules.rule_reader import RuleReader
from rules.rulebook import Example, Mute, Rule, Rulebook, Tracked, Value
from rules.scalar import any_of, parameters_for, truth
from rules.source import Mapping, Scalar, Sequence, check_keys, place_in

_KEYS = ("version", "extends", "track", "macros", "rules", "replace", "append", "remove", "mutes")
_RESERVED = frozenset({"and", "or", "not", "in", "between", "abs", "min", "max", "any", "all"})


@dataclass(slots=True)
class _Draft:
    """What was read of a file and of all that it extends. A macro is None when it is wrong."""

    rules: list[Rule] = field(default_factory=list)
    tracked: dict[str, Tracked] = field(default_factory=dict)
    macros: dict[str, Node | None] = field(default_factory=dict)
    mutes: list[Mute] = field(default_factory=list)


def default_rules_path() -> Path:
    """The rules file that is shipped: the twelve rules."""
    return Path(__file__).with_name("default.yaml")


def load(path: Path) -> Rulebook:
    """The rules of a file and of what it extends; raises RulesInvalid with every problem in it.

    What extends a file is only looked into once that file is sound.
    """
    return _read(read_chain(path))


def parse(text: str, path: str = "rules.yaml") -> Rulebook:
    """The rules of a text; `path` is only named in messages. Raises RulesInvalid with every problem.

    What the text extends must be part of it, as in `Rulebook.text`.
    """
    return _read(chain_of_text(text, path))


def parse_stored(text: str, path: str = "rules.yaml") -> Rulebook:
    """`parse` for a text that was accepted once: what is only checked since then is no mistake in it."""
    return _read(chain_of_text(text, path, stored=True))


def revision_of(text: str) -> str:
    """The revision of a rules file with this text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _read(chain: Chain) -> Rulebook:
    noted = [link.problems for link in chain.links]
    for link in chain.links:
        if link.tree:
            check_keys(link.tree, _KEYS, "a rules file", link.problems)
            _check_version(link.tree, link.problems)
            _check_extends(link.tree, link.problems)
    draft = _Draft()
    for place, link in reversed(list(enumerate(chain.links))):
        following = chain.links[place + 1 :]
        is_whole = bool(following) or "extends" not in (link.tree.items if link.tree else ())
        if link.tree is None or not is_whole or any(after.problems for after in following):
            break
        draft = _draft_of(link, link.tree, draft)
        if not link.problems:
            _run_examples((rule for rule in draft.rules if rule.path == link.path), link.problems)
    raise_noted(noted, chain.files)
    return Rulebook(
        path=chain.links[0].path,
        text=chain.text,
        revision=revision_of(chain.text),
        rules=tuple(sorted(draft.rules, key=lambda rule: rule.priority)),
        tracked=tuple(draft.tracked.values()),
        mutes=tuple(draft.mutes),
        files=chain.files,
    )


def _draft_of(link: Link, top: Mapping, extended: _Draft) -> _Draft:
    """What the file makes of the one that it extends; problems are noted."""
    problems = link.problems
    tracked = _tracked(top, link.text, extended.tracked, problems)
    units = {fact.name: fact.unit for fact in FACTS.values()} | {
        name: item.unit for name, item in tracked.items()
    }
    size = Size()
    macros = _macros(top, link.text, units, extended.macros, problems, size)
    reader = RuleReader(link.text, units, macros, problems, size)
    rules = _rules(top, reader, extended.rules) if "extends" in top.items else _own_rules(top, reader)
    by_id = {rule.id: rule for rule in rules}
    mutes = [mute for mute in extended.mutes if mute.rule in by_id]
    mutes += MuteReader(by_id, reader.ids, problems).mutes(top.get("mutes"))
    return _Draft(rules, tracked, macros, mutes)


def _check_version(top: Mapping, problems: Problems) -> None:
    version = top.get("version")
    if version is not None and not (isinstance(version, Scalar) and version.text == "1"):
        problems.add(version.mark, "this optiond reads version 1: write `version: 1`")


def _check_extends(top: Mapping, problems: Problems) -> None:
    value = top.get("extends")
    if value is not None and not (isinstance(value, Scalar) and value.text.strip()):
        problems.add(value.mark, "extends is the name of one file: write `extends: default.yaml`")


def _tracked(top: Mapping, text: str, extended: dict[str, Tracked], problems: Problems) -> dict[str, Tracked]:
    """What the file tracks besides what is tracked already, and peak_profit, which is always there."""
    found = extended or {"peak_profit": _peak_profit()}
    node = top.get("track")
    if node is None:
        return found
    if not isinstance(node, Mapping):
        problems.add(node.mark, "track is a mapping: write {peak_profit: max(profit)}")
        return found
    found = dict(found)
    units = {fact.name: fact.unit for fact in FACTS.values() if not fact.tracked}
    checker = Checker(units, problems, parameters_allowed=False)
    for name, (key, value) in node.items.items():
        if (name in FACTS and not FACTS[name].tracked) or name in _RESERVED or not name.isidentifier():
            why = f"{name} is the name of a fact" if name in FACTS else f"{name} is no name for a value"
            problems.add(key.mark, f"{why}: track it under another, such as best_profit")
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
        item = Tracked(name, "min" if parsed.function == "min" else "max", inner, unit)
        if name in extended and extended[name] != item:
            problems.add(key.mark, f"{name} is tracked by the extended file already: choose another name")
        found[name] = item
    return found


def _peak_profit() -> Tracked:
    problems = Problems("", "")
    profit = parse_condition("profit", lambda _: Mark(1, 1), problems)
    assert profit is not None
    return Tracked("peak_profit", "max", profit, Unit.RATIO)


def _macros(
    top: Mapping,
    text: str,
    units: dict[str, Unit],
    extended: dict[str, Node | None],
    problems: Problems,
    size: Size,
) -> dict[str, Node | None]:
    """Conditions by name, None when it is wrong; a macro may use those above it, and those extended."""
    node = top.get("macros")
    if node is None:
        return extended
    if not isinstance(node, Mapping):
        problems.add(node.mark, "macros is a mapping: write {name: condition}")
        return extended
    macros, names = dict(extended), [name for name in node.items if name not in extended]
    for name, (key, value) in node.items.items():
        if name in units or name in _RESERVED or not name.isidentifier():
            why = f"{name} is the name of a fact" if name in units else f"{name} is no name for a macro"
            problems.add(key.mark, f"{why}: give the macro another")
            continue
        below = names[names.index(name) :] if name in names else []
        checker = Checker(units, problems, macros, parameters_allowed=False, macros_below=below, size=size)
        condition = RuleReader(text, units, macros, problems, size).condition(value, checker)
        if name in extended and extended[name] != condition:
            problems.add(key.mark, f"{name} is a macro of the extended file already: choose another name")
        macros[name] = condition
    return macros


def _own_rules(top: Mapping, reader: RuleReader) -> list[Rule]:
    """The rules of a file that extends none."""
    problems = reader.problems
    for key in ("replace", "append", "remove"):
        if key in top.items:
            problems.add(top.items[key][0].mark, f"`{key}` goes with `extends:`; here write `rules:`")
            return []
    node = top.get("rules")
    if not isinstance(node, Sequence) or not node.items:
        if node is not None or all(key in _KEYS for key in top.items):
            said = "`rules:` needs a list with at least one rule: start each with `- id: name`"
            problems.add((node or top).mark, said)
        return []
    rules = _listed(node, reader)
    check_unique(rules, problems)
    return rules


def _rules(top: Mapping, reader: RuleReader, extended: Iterable[Rule]) -> list[Rule]:
    """The extended rules with what the file changes of them."""
    problems = reader.problems
    if "rules" in top.items:
        said = "`rules` beside `extends`: write `replace:` for rules that are there, `append:` for new ones"
        problems.add(top.items["rules"][0].mark, said)
        return list(extended)
    there = {rule.id: rule for rule in extended}
    lists: dict[str, list[Rule]] = {"replace": [], "append": []}
    for key in lists:
        node = top.get(key)
        if isinstance(node, Sequence):
            lists[key] = _listed(node, reader)
        elif node is not None:
            problems.add(node.mark, f"{key} is a list of rules, as under `rules:`: write - id: name")
    removed = removed_ids(top.get("remove"), there, problems)
    rules = merged(extended, lists["replace"], lists["append"], removed)
    if replaces(lists["replace"], there, removed, problems):
        check_unique(rules, problems)
    if len(rules) > MAX_RULES:
        problems.add(top.mark, f"more than {MAX_RULES} rules with those of the extended file: remove some")
    if not rules:
        problems.add(top.mark, "no rule is left: append one, or remove fewer")
    return rules


def _listed(node: Sequence, reader: RuleReader) -> list[Rule]:
    if len(node.items) > MAX_RULES:
        said = f"more than {MAX_RULES} rules: join some with `tiers:` or any"
        reader.problems.add(node.items[MAX_RULES].mark, said)
    return [rule for item in node.items[:MAX_RULES] if (rule := reader.rule(item))]


def result_on(rule: Rule, facts: ByName[str, Value]) -> bool | None:
    """Whether one of the rule's conditions is true on these facts alone; None when they are unknown."""
    parameters = parameters_for(rule, facts)
    return any_of([truth(tier.when, facts, parameters) for tier in rule.tiers])


def _left_out(rule: Rule, example: Example) -> str:
    """The facts that the rule asks for and the example does not give."""
    asked = {part.name for tier in rule.tiers for part in walk(tier.when) if isinstance(part, Name)}
    return ", ".join(sorted(name for name in asked if example.facts.get(name) is None))


def _run_examples(rules: Iterable[Rule], problems: Problems) -> None:
    for rule in rules:
        for example in rule.examples:
            result = result_on(rule, example.facts)
            fires = rule.fires_when_unknown if result is None else result
            if fires != example.fires:
                why = "fires on" if fires else "is quiet on"
                advice = "change one of them"
                if result is None:
                    why, advice = "is unknown on", f"say more in it ({_left_out(rule, example)})"
                wanted = "fires" if example.fires else "quiet"
                problems.add(example.mark, f"{rule.id} {why} this example of {wanted}: {advice}")

"""Conditions and facts as a trader reads them."""

from collections.abc import Iterable, Mapping, Sequence

from rules.explanation_text import shown_value
from rules.expression import All, AnyOf, Compare, Literal, Node, Not, Parameter, walk
from rules.facts import FACTS, ZERO_OF_STOCK, Unit
from rules.lints.formula import Facts
from rules.lints.inquiry import names_of
from rules.rulebook import Rule, Rulebook, Value
from rules.scalar import OVERRIDE_FACTS, parameters_for


def joined(words: Iterable[str], last: str = "and") -> str:
    """a, b and c."""
    listed = list(words)
    return f" {last} ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)


def written(node: Node) -> str:
    """The condition as it stands in the file, in one line."""
    match node:
        case All(parts=parts) | AnyOf(parts=parts) if node.source.text in ("all of", "any of"):
            word = " and " if isinstance(node, All) else " or "
            return word.join(_inner(part, written(part)) for part in parts)
    return node.source.text


def _inner(node: Node, text: str) -> str:
    return f"({text})" if isinstance(node, All | AnyOf) else text


def with_values(node: Node, rule: Rule, facts: Mapping[str, Value]) -> str:
    """The condition with the parameters' values, as they are for these facts."""
    match node:
        case All(parts=parts) | AnyOf(parts=parts):
            word = " and " if isinstance(node, All) else " or "
            return word.join(_inner(part, with_values(part, rule, facts)) for part in parts)
        case Not(operand=operand):
            return f"not ({with_values(operand, rule, facts)})"
    text = node.source.text
    named = {part.name for part in walk(node) if isinstance(part, Parameter)}
    for name in sorted(named, key=len, reverse=True):
        text = text.replace(f"${name}", _literal_for(rule, name, facts).source.text)
    return text


def _literal_for(rule: Rule, name: str, facts: Mapping[str, Value]) -> Literal:
    for fact in OVERRIDE_FACTS:
        key = facts.get(fact)
        if isinstance(key, str) and name in rule.overrides.get(key, {}):
            return rule.overrides[key][name]
    return rule.parameters[name]


def bounds(parts: Iterable[Node], rule: Rule, facts: Mapping[str, Value]) -> dict[str, Value]:
    """The comparisons among the parts with the number each compares with, None where it is not one."""
    values = parameters_for(rule, facts)
    found: dict[str, Value] = {}
    for part in parts:
        threshold: Value = None
        if isinstance(part, Compare):
            for side in (part.left, part.right):
                if isinstance(side, Literal):
                    threshold = side.value
                elif isinstance(side, Parameter):
                    threshold = values[side.name]
        found[written(part)] = threshold
    return found


def facts_shown(book: Rulebook, facts: Facts, conditions: Iterable[Node], *about: Rule) -> str:
    """The facts in the conditions, and those that choose an override of the rules."""
    return ", ".join(f"{name} = {value}" for name, value in _shown(book, facts, conditions, about))


def facts_in(facts: Facts, conditions: Iterable[Node], *about: Rule) -> dict[str, Value]:
    """The same as values."""
    return {name: facts.get(name) for name in _names(facts, conditions, about)}


def _shown(
    book: Rulebook, facts: Facts, conditions: Iterable[Node], about: Iterable[Rule]
) -> Iterable[tuple[str, str]]:
    units = {fact.name: fact.unit for fact in FACTS.values()} | {one.name: one.unit for one in book.tracked}
    for name in _names(facts, conditions, about):
        yield name, shown_value(facts.get(name), units.get(name, Unit.NUMBER))


def _names(facts: Facts, conditions: Iterable[Node], about: Iterable[Rule]) -> list[str]:
    names = names_of(conditions)
    for rule in about:
        names += [fact for fact in OVERRIDE_FACTS if facts.get(fact) in rule.overrides]
    return list(dict.fromkeys(name for name in names if name in facts))


def background(book: Rulebook, core: Sequence[Node]) -> list[str]:
    """What is known beforehand of the facts in parts that exclude each other: `dte is never below 0 d`.

    Limits are only told of a part that is impossible by itself: two that clash speak for themselves.
    """
    said: list[str] = []
    tracked = {one.name: one for one in book.tracked}
    names = names_of(core)
    for name in names:
        if name in tracked:
            side = "below" if tracked[name].function == "max" else "above"
            said.append(f"{name} is never {side} {tracked[name].node.source.text}")
        if name in ZERO_OF_STOCK and "structure" in names:
            said.append(f"{name} of stock is 0")
        if len(core) == 1:
            said += limits(name)
    return said


def limits(name: str) -> list[str]:
    """Between which values a fact lies; nothing when it has no limits."""
    fact = FACTS.get(name)
    if fact is None or (fact.low is None and fact.high is None):
        return []
    low = [] if fact.low is None else [f"below {shown_value(fact.low, fact.unit)}"]
    high = [] if fact.high is None else [f"above {shown_value(fact.high, fact.unit)}"]
    return [f"{name} is never {' or '.join(low + high)}"]


def duration(seconds: float) -> str:
    """30s, 5m, 2h or 1d, as in a rules file."""
    for unit, length in (("d", 86_400.0), ("h", 3600.0), ("m", 60.0)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"

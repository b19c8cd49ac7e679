"""What is declared and used nowhere."""

import re
from collections.abc import Iterator

from rules import source
from rules.chain import chain_of_text
from rules.expression import Name, Node, Parameter, walk
from rules.lints.inquiry import Inquiry, Lint
from rules.problem import Mark
from rules.rulebook import Rule, Rulebook

_CONDITIONS = frozenset({"when", "clear_when", "urgency", "tiers", "any", "all", "macros"})
_QUOTED = re.compile(r"'[^'\n]*'")
_WORD = re.compile(r"(?<![$\w])[A-Za-z_]\w*")


def unused_parameters(inquiry: Inquiry, rule: Rule) -> Iterator[Lint]:
    """Parameters that no condition and no action of the rule reads."""
    used = {part.name for node in _conditions(rule) for part in walk(node) if isinstance(part, Parameter)}
    used |= {tier.action.value.name for tier in rule.tiers if isinstance(tier.action.value, Parameter)}
    for name, literal in rule.parameters.items():
        if name not in used:
            yield inquiry.lint(
                "dead parameter",
                literal.source.at,
                f"parameter {name} of {rule.id} is used nowhere: write ${name} in a condition, or remove it",
                f"{name} = {literal.source.text}",
                {name: literal.value},
            )


def unused_declarations(inquiry: Inquiry) -> Iterator[Lint]:
    """Macros and tracked values that nothing reads; a file that is extended may offer more than is used."""
    book = inquiry.book
    trees = [link.tree for link in chain_of_text(book.text, book.path).links if link.tree]
    top, words = trees[0], {word for tree in trees for word in _words(tree)}
    for name, mark in _keys(top, "macros"):
        if name not in words:
            message = f"macro {name} is used nowhere: use it, or remove it"
            yield inquiry.lint("dead parameter", mark, message, f"macro {name}: not used")
    used = _names_read(book)
    for name, mark in _keys(top, "track"):
        if name not in used and name != "peak_profit":
            message = f"tracked value {name} is used nowhere: use it in a condition, or remove it"
            yield inquiry.lint("dead parameter", mark, message, f"{name}: not used")


def _keys(top: source.Mapping, key: str) -> list[tuple[str, Mark]]:
    node = top.get(key)
    return (
        [(name, scalar.mark) for name, (scalar, _) in node.items.items()]
        if isinstance(node, source.Mapping)
        else []
    )


def _names_read(book: Rulebook) -> set[str]:
    nodes = [node for rule in book.rules for node in _conditions(rule)]
    return {part.name for node in nodes for part in walk(node) if isinstance(part, Name)}


def _conditions(rule: Rule) -> list[Node]:
    nodes = [tier.when for tier in rule.tiers]
    nodes += [node for tier in rule.tiers for _, node in tier.urgent_when]
    return [*nodes, *([rule.clear_when] if rule.clear_when else [])]


def _words(node: source.Node) -> Iterator[str]:
    """Every word in every text of the file, what stands in quotes inside it left out."""
    match node:
        case source.Scalar(text=text):
            yield from _WORD.findall(_QUOTED.sub("", text))
        case source.Sequence(items=items):
            for item in items:
                yield from _words(item)
        case source.Mapping(items=pairs):
            for _, value in pairs.values():
                yield from _words(value)

"""Lints: what is sound and yet hardly meant so, each with values that prove it.

`lint(book)` asks about every rule whether there are facts that make its conditions true, false, or true
while nothing above fires. The search (`search`) narrows ranges of facts case by case (`box`, `order`): what
is narrowed to nothing is proven impossible, and facts that are found were tried with the evaluator. What it
cannot settle is not reported. docs/decisions/005-lints-by-intervals.md tells how it was chosen.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from rules.chain import chain_of_text
from rules.lints.conditions import always, dead_branches, dead_urgencies, idle_parts, impossible, rolls_again
from rules.lints.hysteresis import hysteresis
from rules.lints.inquiry import Inquiry, Lint
from rules.lints.overrides import overrides
from rules.lints.shadows import shadowed
from rules.lints.unused import unused_declarations, unused_parameters
from rules.mutes import ended, told
from rules.problem import Problem, rendered
from rules.rulebook import Rule, Rulebook

__all__ = ["Lint", "ended_mutes", "lint"]


def lint(book: Rulebook) -> list[Lint]:
    """What is odd in a rulebook, in the order of its files; rules in mode off are passed over."""
    inquiry = Inquiry(book)
    texts = _texts(book)
    found = list(unused_declarations(inquiry))
    for rule in book.rules:
        if rule.mode != "off":
            found += [replace(one, path=rule.path or one.path) for one in _about(inquiry, rule)]
    order = {path: place for place, path in enumerate(texts)}
    found.sort(key=lambda one: (order.get(one.path, 0), one.line, one.column))
    return [_with_text(one, texts) for one in found]


def ended_mutes(book: Rulebook, now: datetime) -> list[Lint]:
    """The mutes that mute nothing any more at `now`, in the order of the file."""
    found = [
        Lint(
            path=mute.path,
            line=mute.mark.line,
            column=mute.mark.column,
            kind="ended mute",
            message=f"this mute has ended, {mute.rule} acts on {mute.on} again: remove it",
            values=f"{mute.rule} was {told(mute)}",
            proof={"until": mute.until.isoformat()},
        )
        for mute in ended(book, now)
    ]
    texts = _texts(book)
    return [_with_text(one, texts) for one in found]


def _texts(book: Rulebook) -> dict[str, str]:
    """The text of every file of a rulebook, by the path that messages use."""
    links = chain_of_text(book.text, book.path).links
    paths = [str(path) for path in book.files] or [link.path for link in links]
    return dict(zip(paths, (link.text for link in links), strict=False))


def _with_text(one: Lint, texts: Mapping[str, str]) -> Lint:
    problem = Problem(one.path, one.line, one.column, f"warning: {one.message}")
    placed = rendered(problem, texts.get(one.path, "").split("\n"))
    return replace(one, text=f"{placed}\n      {one.values}")


def _about(inquiry: Inquiry, rule: Rule) -> Iterator[Lint]:
    yield from unused_parameters(inquiry, rule)
    dead = [impossible(inquiry, rule, tier) for tier in rule.tiers]
    yield from (one for one in dead if one)
    if any(dead):
        return
    constant = [one for tier in rule.tiers if (one := always(inquiry, rule, tier))]
    yield from constant
    if not constant:
        for tier in rule.tiers:
            yield from dead_branches(inquiry, rule, tier)
            yield from idle_parts(inquiry, rule, tier)
            yield from dead_urgencies(inquiry, rule, tier)
            again = rolls_again(inquiry, rule, tier)
            yield from [again] if again else []
        yield from overrides(inquiry, rule)
        yield from hysteresis(inquiry, rule)
    yield from shadowed(inquiry, rule)

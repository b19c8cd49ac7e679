"""`clear_when` that does not do what it is there for."""

from collections.abc import Iterator

from rules.expression import Node
from rules.lints.formula import Claim, Facts, Want
from rules.lints.inquiry import Inquiry, Lint, is_true, met
from rules.lints.search import Answer
from rules.lints.words import bounds, facts_in, facts_shown, with_values, written
from rules.rulebook import Rule


def hysteresis(inquiry: Inquiry, rule: Rule) -> Iterator[Lint]:
    """It never clears, clears while the rule fires, or changes nothing."""
    clear, when = rule.clear_when, rule.tiers[0].when
    if clear is None or inquiry.never(met(rule, when)):
        return
    if inquiry.never(is_true(rule, clear)):
        yield inquiry.lint(
            "hysteresis",
            clear.source.at,
            f"{rule.id} never clears: {written(clear)} is never true, so once it has "
            "fired it goes on for as long as the position is open: change clear_when",
            with_values(clear, rule, {}),
            bounds([clear], rule, {}),
        )
        return
    both = inquiry.ask(met(rule, when), is_true(rule, clear))
    if not isinstance(both, Answer):
        yield inquiry.lint(
            "hysteresis",
            clear.source.at,
            f"clear_when of {rule.id} can be true together with `when`: there it flutters as it would "
            "without: let clear_when begin where `when` is false",
            f"{_shown(inquiry, rule, both, when, clear)}: both are true",
            facts_in(both, [when, clear], rule),
        )
    elif _changes_nothing(inquiry, rule, when, clear):
        edge = inquiry.ask(is_true(rule, clear))
        facts = {} if isinstance(edge, Answer) else edge
        yield inquiry.lint(
            "hysteresis",
            clear.source.at,
            f"clear_when of {rule.id} changes nothing as long as its facts are known: it is true whenever "
            "`when` is not: leave a gap between the two",
            f"{_shown(inquiry, rule, facts, when, clear)}: it clears, and `when` is false",
            facts_in(facts, [when, clear], rule),
        )


def _changes_nothing(inquiry: Inquiry, rule: Rule, when: Node, clear: Node) -> bool:
    return inquiry.never(Claim(rule, when, Want.NOT_TRUE), Claim(rule, clear, Want.NOT_TRUE))


def _shown(inquiry: Inquiry, rule: Rule, facts: Facts, *conditions: Node) -> str:
    return facts_shown(inquiry.book, facts, conditions, rule)

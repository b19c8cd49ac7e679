"""Overrides that contradict their rule, or change nothing."""

from collections.abc import Iterator
from dataclasses import replace

from rules.expression import Literal
from rules.facts import FACTS
from rules.lints.conditions import clashing, when_known
from rules.lints.formula import Claim, Facts, Want
from rules.lints.inquiry import Inquiry, Lint, met, tier_name
from rules.lints.search import Answer
from rules.lints.words import background, bounds, facts_in, facts_shown, with_values
from rules.rulebook import Rule, Tier
from rules.scalar import OVERRIDE_FACTS


def overrides(inquiry: Inquiry, rule: Rule) -> Iterator[Lint]:
    """Everything that is odd about the overrides of a rule."""
    for target, values in rule.overrides.items():
        if not values:
            continue
        odd = list(_contradictions(inquiry, rule, target))
        yield from odd
        if not odd:
            yield from (
                _same(inquiry, rule, target, name, literal)
                for name, literal in values.items()
                if _is_same(rule, target, name, literal)
            )


def _facts_of(target: str) -> list[str]:
    """The facts whose value the target may be."""
    closed = [fact for fact in OVERRIDE_FACTS if target in FACTS[fact].values]
    return closed or [fact for fact in OVERRIDE_FACTS if not FACTS[fact].values]


def _contradictions(inquiry: Inquiry, rule: Rule, target: str) -> Iterator[Lint]:
    facts = _facts_of(target)
    tiers = [tier for tier in rule.tiers if not inquiry.never(met(rule, tier.when))]
    dead = [tier for tier in tiers if all(_never_fires(inquiry, rule, tier, fact, target) for fact in facts)]
    if tiers and len(dead) == len(tiers) and _never_without(inquiry, rule, tiers, facts, target):
        yield _unused(inquiry, rule, target)
        return
    for tier in dead:
        yield _never(inquiry, rule, tier, facts[0], target)
    for tier in tiers:
        false = Claim(rule, tier.when, Want.FALSE)
        if inquiry.never(false) or not all(inquiry.never(false, given=((fact, target),)) for fact in facts):
            continue
        found = inquiry.ask(met(rule, tier.when), given=((facts[0], target),))
        if not isinstance(found, Answer):
            yield _always(inquiry, rule, tier, target, found)


def _never_fires(inquiry: Inquiry, rule: Rule, tier: Tier, fact: str, target: str) -> bool:
    return inquiry.never(met(rule, tier.when), given=((fact, target),), unknown=True)


def _never_without(inquiry: Inquiry, rule: Rule, tiers: list[Tier], facts: list[str], target: str) -> bool:
    """Whether the rule would not fire there without the override either: it is not about this target."""
    others = {key: values for key, values in rule.overrides.items() if key != target}
    plain = replace(rule, overrides=others)
    return all(_never_fires(inquiry, plain, tier, fact, target) for tier in tiers for fact in facts)


def _mark_of(rule: Rule, target: str) -> Literal:
    return next(iter(rule.overrides[target].values()))


def _unused(inquiry: Inquiry, rule: Rule, target: str) -> Lint:
    literal = _mark_of(rule, target)
    fact = _facts_of(target)[0]
    elsewhere = inquiry.ask(met(rule, rule.tiers[0].when))
    facts = {} if isinstance(elsewhere, Answer) else elsewhere
    conditions = [tier.when for tier in rule.tiers]
    return inquiry.lint(
        "dead parameter",
        literal.source.at,
        f"the override of {rule.id} for {target} is never used: the rule never fires when {fact} is "
        f"{target}: remove it",
        f"{facts_shown(inquiry.book, facts, conditions, rule)}: it fires only elsewhere",
        facts_in(facts, conditions, rule),
    )


def _never(inquiry: Inquiry, rule: Rule, tier: Tier, fact: str, target: str) -> Lint:
    seen = {fact: target}
    core = clashing(inquiry, rule, tier.when, given=((fact, target),))
    shown = ", ".join(with_values(part, rule, seen) for part in core)
    return inquiry.lint(
        "contradictory override",
        _mark_of(rule, target).source.at,
        f"with its override for {target}, {tier_name(rule, tier)} can never fire there: change the override",
        "; ".join([shown, *background(inquiry.book, core)]),
        {fact: target} | bounds(core, rule, seen),
    )


def _always(inquiry: Inquiry, rule: Rule, tier: Tier, target: str, facts: Facts) -> Lint:
    return inquiry.lint(
        "contradictory override",
        _mark_of(rule, target).source.at,
        f"with its override for {target}, {tier_name(rule, tier)} fires on every open position there"
        f"{when_known(inquiry, rule, tier.when)}: change the override",
        f"{facts_shown(inquiry.book, facts, [tier.when], rule)}: it fires; "
        f"{with_values(tier.when, rule, facts)} is never false",
        facts_in(facts, [tier.when], rule),
    )


def _is_same(rule: Rule, target: str, name: str, literal: Literal) -> bool:
    """Equal to the base, and nothing else overrides what it could be there to set back."""
    base = rule.parameters[name].value
    others = [
        values[name].value for key, values in rule.overrides.items() if key != target and name in values
    ]
    return literal.value == base and all(value == base for value in others)


def _same(inquiry: Inquiry, rule: Rule, target: str, name: str, literal: Literal) -> Lint:
    return inquiry.lint(
        "dead parameter",
        literal.source.at,
        f"the override of {rule.id} for {target} changes nothing: {name} is {literal.source.text} without it "
        "too: remove it, or change it",
        f"{name} = {rule.parameters[name].source.text}",
        {name: literal.value},
    )

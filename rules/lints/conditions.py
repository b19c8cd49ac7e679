"""Conditions that can never be true, or never false."""

from collections.abc import Iterator

from rules.explanation_text import shown_value
from rules.expression import All, AnyOf, Compare, Literal, Name, Node, Parameter
from rules.facts import NEVER_KNOWN, Unit
from rules.lints.formula import Claim, Facts, Want
from rules.lints.inquiry import Inquiry, Lint, is_true, met, names_of, tier_name, unmet
from rules.lints.search import Answer
from rules.lints.words import background, bounds, facts_in, facts_shown, joined, with_values, written
from rules.rulebook import Rule, Tier


def impossible(inquiry: Inquiry, rule: Rule, tier: Tier) -> Lint | None:
    """The tier's condition is never true."""
    what, verb = tier_name(rule, tier), "fire" if len(rule.tiers) == 1 else "act"
    head = f"{what} can never {verb}"
    if rule.fires_when_unknown and not inquiry.never(met(rule, tier.when), unknown=True):
        head = f"{what} {verb}s only while facts are unknown"
    return _never_true(inquiry, rule, tier.when, head)


def dead_branches(inquiry: Inquiry, rule: Rule, tier: Tier) -> Iterator[Lint]:
    """Of an `any`, what is never true, or only when another part is true as well."""
    if not isinstance(tier.when, AnyOf):
        return
    dropped: set[int] = set()
    for place, branch in enumerate(tier.when.parts):
        head = f"this part of {tier_name(rule, tier)} is never true"
        lint = _never_true(inquiry, rule, branch, head)
        if lint:
            dropped.add(place)
            yield lint
            continue
        for other_place, other in enumerate(tier.when.parts):
            if other_place == place or other_place in dropped:
                continue
            if inquiry.never(is_true(rule, branch), Claim(rule, other, Want.NOT_TRUE), unknown=True):
                dropped.add(place)
                yield _redundant(inquiry, rule, branch, other)
                break


def idle_parts(inquiry: Inquiry, rule: Rule, tier: Tier) -> Iterator[Lint]:
    """Of an `all`, what is never false when the rest is true. Both ends of a `between` belong together."""
    for whole in tier.when.parts if isinstance(tier.when, AnyOf) else (tier.when,):
        parts = list(_conjuncts(whole, within_between=False))
        for part in list(parts):
            rest = [one for one in parts if one is not part]
            true = [is_true(rule, one) for one in rest]
            if not rest or not inquiry.never(*true, Claim(rule, part, Want.FALSE)):
                continue
            facts = inquiry.ask(is_true(rule, whole))
            if isinstance(facts, Answer):
                continue
            parts = rest
            yield _idle(inquiry, rule, tier, part, whole, facts, true)


def _idle(
    inquiry: Inquiry, rule: Rule, tier: Tier, part: Node, whole: Node, facts: Facts, rest: list[Claim]
) -> Lint:
    certain = inquiry.never(*rest, Claim(rule, part, Want.NOT_TRUE), unknown=True)
    when = "" if certain else " as long as its facts are known"
    by_itself = inquiry.never(Claim(rule, part, Want.FALSE))
    known = "".join(f"; {one}" for one in (background(inquiry.book, [part]) if by_itself else ()))
    return inquiry.lint(
        "redundant",
        part.source.at,
        f"this part of {tier_name(rule, tier)} changes nothing{when}: {written(part)} is never false when "
        "the rest is true: remove it, or change it",
        f"{facts_shown(inquiry.book, facts, [whole], rule)}: {with_values(part, rule, facts)} is true, as "
        f"always{known}",
        facts_in(facts, [whole], rule),
    )


def _redundant(inquiry: Inquiry, rule: Rule, branch: Node, other: Node) -> Lint:
    facts = inquiry.ask(is_true(rule, branch))
    seen: Facts = {} if isinstance(facts, Answer) else facts
    values = facts_shown(inquiry.book, seen, [branch, other], rule)
    return inquiry.lint(
        "redundant",
        branch.source.at,
        f"this part of {rule.id} changes nothing: whenever {written(branch)} is true, {written(other)} is "
        "true too: remove it, or change it",
        f"{values}: both {with_values(branch, rule, seen)} and {with_values(other, rule, seen)} are true",
        facts_in(seen, [branch, other], rule),
    )


def _never_true(inquiry: Inquiry, rule: Rule, condition: Node, head: str) -> Lint | None:
    claim = is_true(rule, condition)
    if not inquiry.never(claim):
        return None
    facts = inquiry.ask(claim, by_nature=False)
    if not isinstance(facts, Answer):
        return _lacking(inquiry, rule, condition, head, facts)
    return _clash(inquiry, rule, condition, head)


def _lacking(inquiry: Inquiry, rule: Rule, condition: Node, head: str, facts: Facts) -> Lint:
    """It is only never true because its structures never have one of the facts."""
    structure = str(facts.get("structure"))
    missing = [name for name in names_of([condition]) if structure in NEVER_KNOWN.get(name, ())]
    told = joined(missing or ["a fact"])
    return inquiry.lint(
        "never known",
        condition.source.at,
        f"{head}: {told} is never known for the structures it is about: use another fact",
        f"structure = {structure}, {', '.join(f'{name} = unknown' for name in missing)}",
        {"structure": structure} | dict.fromkeys(missing),
    )


def _clash(inquiry: Inquiry, rule: Rule, condition: Node, head: str) -> Lint:
    core = clashing(inquiry, rule, condition)
    told = joined([written(part) for part in core])
    together = "is never true" if len(core) == 1 else "are never true together"
    shown = ", ".join(with_values(part, rule, {}) for part in core)
    return inquiry.lint(
        "unsatisfiable",
        condition.source.at,
        f"{head}: {told} {together}: change it, or remove it",
        "; ".join([shown, *background(inquiry.book, core)]),
        bounds(core, rule, {}),
    )


def clashing(
    inquiry: Inquiry, rule: Rule, condition: Node, given: tuple[tuple[str, str], ...] = ()
) -> list[Node]:
    """Parts of a condition that are never true together, of which none can be left out."""
    parts = list(_conjuncts(condition))
    for part in list(parts):
        fewer = [one for one in parts if one is not part]
        if fewer and inquiry.never(*(is_true(rule, one) for one in fewer), given=given):
            parts = fewer
    return parts


def _conjuncts(condition: Node, within_between: bool = True) -> Iterator[Node]:
    is_between = " between " in condition.source.text and len(condition.source.text.split(" and ")) == 2
    if isinstance(condition, All) and (within_between or not is_between):
        for part in condition.parts:
            yield from _conjuncts(part, within_between)
    else:
        yield condition


def always(inquiry: Inquiry, rule: Rule, tier: Tier) -> Lint | None:
    """The tier's condition is true of every open position."""
    condition, what = tier.when, tier_name(rule, tier)
    claim = Claim(rule, condition, Want.FALSE)
    where = "on every beat" if rule.scope == "book" else "on every open position"
    facts = inquiry.ask(met(rule, condition))
    seen: Facts = {} if isinstance(facts, Answer) else facts
    if isinstance(facts, Answer) or not inquiry.never(claim):
        return None
    when = when_known(inquiry, rule, condition)
    values = facts_shown(inquiry.book, seen, [condition], rule)
    known = "".join(f"; {one}" for one in background(inquiry.book, [condition]))
    return inquiry.lint(
        "always true",
        condition.source.at,
        f"{what} fires {where}{when}: {written(condition)} is never false",
        f"{values}: it fires{known}",
        facts_in(seen, [condition], rule),
    )


def when_known(inquiry: Inquiry, rule: Rule, condition: Node) -> str:
    """Appended to what always fires: when it does not without some facts."""
    names = names_of([condition])
    if inquiry.never(unmet(rule, condition), unknown=True):
        return ""
    return f" when {joined(names)} {'is' if len(names) == 1 else 'are'} known"


def dead_urgencies(inquiry: Inquiry, rule: Rule, tier: Tier) -> Iterator[Lint]:
    """Urgencies that never apply while the tier acts."""
    earlier: list[tuple[str, Node]] = []
    for word, condition in tier.urgent_when:
        fires, urgent = met(rule, tier.when), is_true(rule, condition)
        above = [Claim(rule, node, Want.NOT_TRUE) for _, node in earlier]
        if rule.clear_when is None and inquiry.never(fires, urgent, *above, unknown=True):
            yield _dead_urgency(inquiry, rule, tier, word, condition)
        earlier.append((word, condition))


def _dead_urgency(inquiry: Inquiry, rule: Rule, tier: Tier, word: str, condition: Node) -> Lint:
    facts = inquiry.ask(met(rule, tier.when))
    seen: Facts = {} if isinstance(facts, Answer) else facts
    conditions = [tier.when, condition]
    return inquiry.lint(
        "urgency",
        condition.source.at,
        f"{tier_name(rule, tier)} is never of urgency {word}: when it fires, {written(condition)} is false, "
        "or a higher urgency holds",
        f"{facts_shown(inquiry.book, seen, conditions, rule)}: it fires without",
        facts_in(seen, conditions, rule),
    )


def rolls_again(inquiry: Inquiry, rule: Rule, tier: Tier) -> Lint | None:
    """What the tier rolls to would be rolled again at once."""
    target = tier.action.value
    if tier.action.name != "roll" or not isinstance(target, int | Parameter):
        return None
    like = tier.when.source
    goal = target if isinstance(target, Parameter) else Literal(float(target), Unit.DAYS, like)
    there = is_true(rule, Compare("==", Name("dte", like), goal, like))
    facts = inquiry.ask(there, met(rule, tier.when))
    if isinstance(facts, Answer) or not inquiry.never(there, unmet(rule, tier.when), unknown=True):
        return None
    dte = shown_value(facts["dte"], Unit.DAYS)
    return inquiry.lint(
        "rolls again",
        tier.when.source.at,
        f"{tier_name(rule, tier)} would roll again what it has rolled: {written(tier.when)} is true at its "
        "target: roll further out, or fire later",
        f"{facts_shown(inquiry.book, facts, [tier.when, there.condition], rule)}: rolled to {dte}, and it "
        "fires there",
        facts_in(facts, [tier.when, there.condition], rule),
    )

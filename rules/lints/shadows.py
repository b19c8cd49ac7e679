"""Rules, tiers and parts of conditions that never win: whenever they fire, something above them fires too."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rules.expression import AnyOf, Node
from rules.facts import FACTS, NEVER_KNOWN, Unit
from rules.lints.formula import Claim, Facts, Want
from rules.lints.inquiry import Inquiry, Lint, is_true, met, names_of, tier_name, unmet
from rules.lints.search import Answer
from rules.lints.words import duration, facts_in, facts_shown, joined
from rules.rulebook import Rule, Tier
from rules.scalar import number, parameters_for, truth


@dataclass(frozen=True, slots=True)
class _Above:
    """Conditions of one rule, each of which wins over the tier in question when it is met.

    `own`: a tier of the same rule. `rests_s`: the cooldown after it has won.
    """

    name: str
    rule: Rule
    conditions: tuple[Node, ...]
    own: bool = False

    @property
    def rests_s(self) -> float:
        return 0.0 if self.own else self.rule.cooldown_s

    def fires(self, facts: Facts) -> bool:
        """Whether one of the conditions is met on these facts."""
        parameters = parameters_for(self.rule, facts)
        truths = [truth(condition, facts, parameters) for condition in self.conditions]
        return True in truths or (self.rule.fires_when_unknown and None in truths)

    def quiet(self) -> list[Claim]:
        return [unmet(self.rule, condition) for condition in self.conditions]


@dataclass(frozen=True, slots=True)
class _Shadow:
    """What lies on a tier: `by` has one of which at least one fires, except while `unknown` are unknown."""

    by: tuple[_Above, ...]
    unknown: str


def shadowed(inquiry: Inquiry, rule: Rule) -> Iterator[Lint]:
    """The rule when none of its tiers can win; else the tiers, and parts of `any`, that never do."""
    shadows = [_shadow(inquiry, rule, tier) for tier in rule.tiers]
    if all(shadows):
        first = next(shadow for shadow in shadows if shadow)
        others = {above.name: above for one in shadows if one for above in one.by if not above.own}
        unknown = next((one.unknown for one in shadows if one and one.unknown), "")
        yield _lint(
            inquiry, rule, rule.tiers[0].when, rule.id, _Shadow(tuple(others.values()) or first.by, unknown)
        )
        return
    for tier, shadow in zip(rule.tiers, shadows, strict=True):
        if shadow:
            yield _lint(inquiry, rule, tier.when, tier_name(rule, tier), shadow)
        elif isinstance(tier.when, AnyOf) and rule.clear_when is None:
            yield from _shadowed_parts(inquiry, rule, tier, tier.when)


def _shadowed_parts(inquiry: Inquiry, rule: Rule, tier: Tier, when: AnyOf) -> Iterator[Lint]:
    for part in when.parts:
        if inquiry.never(is_true(rule, part)):
            continue
        shadow = _found(inquiry, rule, tier, [[is_true(rule, part)]])
        if shadow:
            yield _lint(inquiry, rule, part, f"this part of {tier_name(rule, tier)}", shadow)


def _shadow(inquiry: Inquiry, rule: Rule, tier: Tier) -> _Shadow | None:
    firing = [[met(rule, tier.when)]]
    if rule.clear_when is not None:
        # Once it has fired it goes on for as long as this is not true.
        firing.append([Claim(rule, rule.clear_when, Want.NOT_TRUE)])
    return _found(inquiry, rule, tier, firing)


def _found(inquiry: Inquiry, rule: Rule, tier: Tier, firing: list[list[Claim]]) -> _Shadow | None:
    """What fires whenever one of these ways to fire is taken."""
    at_once: list[_Above] = []
    lasting: list[_Above] = []
    for above, lasts in _all_above(inquiry, rule, tier):
        (lasting if lasts else at_once).append(above)
    enough = [one for way in firing if (one := _enough(inquiry, way, at_once))]
    by: Sequence[_Above] | None = None
    if len(enough) == len(firing):
        by = _fewest(inquiry, firing, [one for one in at_once if any(one in some for some in enough)])
    else:
        by = next(([one] for one in lasting if _never(inquiry, firing, [one])), None)
    return None if by is None else _Shadow(tuple(by), _while_unknown(inquiry, firing, by))


def _enough(inquiry: Inquiry, way: list[Claim], above: Sequence[_Above]) -> list[_Above]:
    """Some of `above` of which one always fires with the way; empty when the way is once free, or may be.

    Only what fires on facts found so far is asked about next: most rules have nothing to do with the way.
    """
    asked: list[_Above] = []
    while True:
        quiet = [claim for one in asked for claim in one.quiet()]
        facts = inquiry.ask(*way, *quiet)
        if facts is Answer.IMPOSSIBLE:
            return [one for one in above if one in asked]
        if isinstance(facts, Answer):
            return []
        firing = [one for one in above if one not in asked and one.fires(_completed(inquiry, facts, one))]
        if not firing:
            return []
        asked += firing


def _completed(inquiry: Inquiry, facts: Facts, above: _Above) -> Facts:
    """The facts with something for those that only `above` asks for."""
    seen = dict(facts)
    structure = seen.get("structure")
    tracked = {one.name: one.node for one in inquiry.book.tracked}
    for name in sorted(names_of(above.conditions), key=lambda name: name in tracked):
        if name in seen or structure in NEVER_KNOWN.get(name, ()):
            continue
        fact = FACTS.get(name)
        if name in tracked:
            seen[name] = number(tracked[name], seen, {}) or 0.0
        elif fact is not None and fact.unit is Unit.TEXT:
            seen[name] = fact.values[-1] if fact.values else "other"
        else:
            seen[name] = fact.low if fact is not None and fact.low is not None else 0.0
    return seen


def _all_above(inquiry: Inquiry, rule: Rule, tier: Tier) -> Iterator[tuple[_Above, bool]]:
    """What wins over the tier when it fires; with whether it has to hold as long as the tier itself.

    A `once` tier is over after its first time, so it shadows nothing. What must hold for longer than the
    tier does not either: until then the tier wins. A condition with `clear_when` fires at least while it
    is met.
    """
    for other in inquiry.book.rules:
        is_above = rule.mode == "shadow" or other.priority < rule.priority
        if other is rule or other.mode != "live" or other.scope != rule.scope or not is_above:
            continue
        conditions = tuple(one.when for one in other.tiers if not one.once)
        name = f"{other.id} (priority {other.priority})"
        if conditions and not other.hold_s:
            yield _Above(name, other, conditions), False
        elif other.hold_s <= rule.hold_s and rule.clear_when is None:
            for condition in conditions:
                yield _Above(name, other, (condition,)), True
    for place, one in enumerate(rule.tiers[: rule.tiers.index(tier)], start=1):
        if not one.once:
            yield _Above(f"tier {place}", rule, (one.when,), own=True), rule.hold_s > 0


def _never(
    inquiry: Inquiry,
    firing: list[list[Claim]],
    above: Sequence[_Above],
    doubtful: frozenset[str] = frozenset(),
) -> bool:
    """Whether the tier never fires while all of these are quiet."""
    quiet = [claim for one in above for claim in one.quiet()]
    return all(inquiry.never(*way, *quiet, doubtful=doubtful) for way in firing)


def _fewest(inquiry: Inquiry, firing: list[list[Claim]], above: list[_Above]) -> list[_Above]:
    """One that is enough, else as few as leaving out one by one gives."""
    for one in above:
        if _never(inquiry, firing, [one]):
            return [one]
    for one in list(above):
        fewer = [other for other in above if other is not one]
        if _never(inquiry, firing, fewer):
            above = fewer
    return above


def _while_unknown(inquiry: Inquiry, firing: list[list[Claim]], above: Sequence[_Above]) -> str:
    """The facts that let the tier win while they are unknown; "" when nothing does."""
    claims = [claim for way in firing for claim in way] + [claim for one in above for claim in one.quiet()]
    names = names_of(claim.condition for claim in claims)
    alone: list[str] = []
    while True:
        # A tracked value brings what it tracks: it is only unknown when that is.
        told = set(alone)
        for one in inquiry.book.tracked:
            told |= {one.name} if told & set(names_of([one.node])) else set()
        free = _free(inquiry, firing, above, frozenset(names) - told)
        if free is Answer.IMPOSSIBLE:
            return f"{joined(alone, 'or')} {'is' if len(alone) == 1 else 'are'} unknown" if alone else ""
        unknown = [] if isinstance(free, Answer) else [name for name in names if free.get(name, 0) is None]
        left = [name for name in unknown if name not in told]
        enough = [name for name in left if not _never(inquiry, firing, above, frozenset({name}))]
        if not enough:
            return "facts are unknown"
        alone += enough


def _free(
    inquiry: Inquiry, firing: list[list[Claim]], above: Sequence[_Above], doubtful: frozenset[str]
) -> Facts | Answer:
    """Facts, some unknown, on which the tier fires and nothing above; or that there are none, or neither."""
    quiet = [claim for one in above for claim in one.quiet()]
    answers = [inquiry.ask(*way, *quiet, doubtful=doubtful) for way in firing]
    found = [one for one in answers if one is not Answer.IMPOSSIBLE]
    return next(
        (one for one in found if not isinstance(one, Answer)), found[0] if found else Answer.IMPOSSIBLE
    )


def _lint(inquiry: Inquiry, rule: Rule, condition: Node, what: str, shadow: _Shadow) -> Lint:
    names = [above.name for above in shadow.by]
    fires = f"{names[0]} fires" if len(names) == 1 else f"one of {joined(names)} fires"
    resting = [f"{one.rule.id} cools down ({duration(one.rests_s)})" for one in shadow.by if one.rests_s]
    others = [one.rule.id for one in shadow.by if not one.own]
    resting += [f"{other} is muted" for other in others if inquiry.book.mutes_of(other)]
    except_while = joined([*resting, *([shadow.unknown] if shadow.unknown else [])], "or")
    can = f"can win only while {except_while}: otherwise," if except_while else "can never win:"
    facts, other = _both(inquiry, rule, condition, shadow.by)
    conditions = [condition, *(node for one in shadow.by for node in one.conditions)]
    about = (rule, *(one.rule for one in shadow.by))
    shown = facts_shown(inquiry.book, facts, conditions, *about)
    return inquiry.lint(
        "shadowed",
        condition.source.at,
        f"{what} {can} whenever it fires, {fires} too: {_advice(rule, shadow)}",
        f"{shown}: it fires, and so does {other}",
        facts_in(facts, conditions, *about),
    )


def _both(inquiry: Inquiry, rule: Rule, condition: Node, by: Sequence[_Above]) -> tuple[Facts, str]:
    """Facts on which the condition is true and one of those above is met, and which it is."""
    for above in by:
        for other in above.conditions:
            facts = inquiry.ask(is_true(rule, condition), met(above.rule, other))
            if not isinstance(facts, Answer):
                return facts, above.name
    return {}, by[0].name


def _advice(rule: Rule, shadow: _Shadow) -> str:
    others = [one.rule.id for one in shadow.by if not one.own]
    if not others:
        return f"move it above {shadow.by[0].name}, or change it"
    if rule.mode == "shadow":
        return "a rule in shadow mode wins only where no live rule fires"
    return f"move it above {joined(others)}, or change one of them"

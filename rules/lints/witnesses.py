"""Facts that show that something can be: chosen from a box, and tried with the rules' own evaluator."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rules.facts import FACTS, Unit
from rules.lints.box import Box, is_whole
from rules.lints.formula import Claim, Facts, Holds, Want
from rules.lints.intervals import Interval
from rules.lints.nice import candidates
from rules.rulebook import Tracked, Value
from rules.scalar import number, parameters_for, truth

_MOST_TRIES = 60
_IS_TRUE = {
    Want.TRUE: (True,),
    Want.FALSE: (False,),
    Want.NOT_TRUE: (False, None),
    Want.NOT_FALSE: (True, None),
}


@dataclass(slots=True)
class Witnesses:
    """Finds facts that make all claims true. `names`: those that get a value. `count` is told of every box
    that was narrowed, and may end the search."""

    claims: Sequence[Claim]
    tracked: Sequence[Tracked]
    names: Iterable[str]
    count: Callable[[Box], None]
    _tries: int = 0

    def facts(self, box: Box, atoms: Sequence[Holds]) -> Facts | None:
        """Facts in the box; None when none were found with a few tries. `atoms`: comparisons of facts with
        one another, which are to hold as well; without any, each fact can be chosen for itself."""
        self._tries = 0
        # Texts first: they settle parameters.
        names = sorted(self.names, key=lambda name: not _is_text(name))
        return self._chosen(box.copy(), atoms, names)

    def _chosen(self, box: Box, atoms: Sequence[Holds], names: Sequence[str]) -> Facts | None:
        """Give one fact after the other a value, and see whether all claims come true."""
        for place, name in enumerate(names):
            values = _values(box, atoms, name, self.count)
            if len(values) == 1 or not atoms:
                if not values or not _fix(box, name, values[0]):
                    return None
                continue
            for value in values:
                self._tries += 1
                if self._tries > _MOST_TRIES:
                    return None
                one = box.copy()
                fits = _fix(one, name, value) and one.hold(atoms)
                self.count(one)
                found = self._chosen(one, atoms, names[place + 1 :]) if fits else None
                if found is not None:
                    return found
            return None
        facts = {name: _value(box, name) for name in self.names}
        return facts if self._is_right(facts) else None

    def _is_right(self, facts: Facts) -> bool:
        """Whether the rules' own evaluator says the same."""
        for claim in self.claims:
            parameters = parameters_for(claim.rule, facts) if claim.rule else {}
            if truth(claim.condition, facts, parameters) not in _IS_TRUE[claim.want]:
                return False
        return all(_is_extreme(one, facts) for one in self.tracked)


def _values(
    box: Box, atoms: Sequence[Holds], name: str, count: Callable[[Box], None]
) -> list[float | str | None]:
    """What the fact could be, the most telling first; None = unknown."""
    known = box.known.get(name)
    if known is False or (known is None and _is_rather_unknown(box, name)):
        return [None]
    if _is_text(name):
        return list(_words(box, name))
    inside = box.number(name)
    if not inside.low < 0 < inside.high:
        return list(candidates(inside, box.world.numbers(name), is_whole(name)))
    found: list[Value] = []
    for half in (Interval(0.0, inside.high), Interval(inside.low, 0.0)):
        one = box.copy()
        if one.narrow_number(name, half) and one.hold(atoms):
            found += candidates(one.number(name), half, is_whole(name))
        count(one)
    return list(dict.fromkeys(found))


def _is_rather_unknown(box: Box, name: str) -> bool:
    """Whether it is unknown unless a condition asks for it."""
    if name == "strategy":
        return True
    structures = box.world.never_known.get(name, frozenset())
    return bool(structures) and box.text("structure").without(structures).is_empty


def _fix(box: Box, name: str, value: Value) -> bool:
    if value is None:
        return box.unknow(name)
    if not box.know(name):
        return False
    if isinstance(value, str):
        return box.narrow_text(name, box.text(name).only(frozenset({value})))
    return box.narrow_number(name, Interval(value, value))


def _value(box: Box, name: str) -> Value:
    if box.known.get(name) is not True:
        return None
    return next(iter(_words(box, name)), None) if _is_text(name) else box.number(name).low


def _is_extreme(one: Tracked, facts: Facts) -> bool:
    """Whether the tracked value is known and at least (at most) what is now, if that is known."""
    now, extreme = number(one.node, facts, {}), facts[one.name]
    if not isinstance(now, float):
        return True
    if not isinstance(extreme, float):
        return False
    return now <= extreme if one.function == "max" else now >= extreme


def _is_text(name: str) -> bool:
    return name in FACTS and FACTS[name].unit is Unit.TEXT


def _words(box: Box, name: str) -> list[str]:
    """Words that the fact may be, the plainest first."""
    texts = box.text(name)
    if not texts.inside:
        return [next(word for word in ("other", "another", "else", *map(str, range(99))) if texts.has(word))]
    usual = sorted(FACTS[name].values, key=lambda word: word != "normal")
    return [word for word in usual if word in texts.words] or sorted(texts.words)

"""Random rulebooks and facts: whatever the language allows, for holding two evaluators against each other.

Everything is drawn from one seeded generator, so that a run can be repeated. Numbers are drawn from few
values on both sides, so that equality happens, and from all magnitudes, so that results overflow.
"""

import json
import math
import random
from dataclasses import dataclass, field
from typing import Any

import polars as pl

import rules
from rules import Rulebook, source
from rules.checking import Checker, Size
from rules.expression import Node
from rules.facts import FACTS, Fact, Unit
from rules.problem import Mark, Problems
from rules.rule_reader import RuleReader

_NUMBERS = {
    unit: tuple(fact.name for fact in FACTS.values() if fact.unit is unit)
    for unit in Unit
    if unit is not Unit.TEXT
}
_TEXTS = {
    "structure": ("iron_condor", "short_put", "stock"),
    "strategy": ("wheel", "monthly"),
    "underlying": ("IWM", "SPY"),
    "regime": ("crash", "normal"),
    "quote_state": ("live", "stale"),
}
_MACRO_TEXT = "structure in ('iron_condor', 'short_put') or {}"
_WRITTEN = {
    Unit.RATIO: ("{}%", "{}x"),
    Unit.DAYS: ("{}d",),
    Unit.SECONDS: ("{}s", "{}m", "{}h"),
    Unit.POINTS: ("{}vol",),
    Unit.PERCENTILE: ("{}",),
    Unit.USD: ("${}",),
    Unit.NUMBER: ("{}",),
}
_DIGITS = ("0", "1", "2", "3", "0.5", "7", "2.5", "0.1", "10", "50")
_EXTREME = ("1e200", "1e-200", "1.5e308", "5e-324", "3e154")
_ODD = (None, math.nan, math.inf, -math.inf, -0.0, 0.0)
_OVERRIDDEN = ("iron_condor", "stock", "wheel", "IWM", "crash", "monthly")
_OTHER_PARAMETERS = {"p_text": ("short_put", "iron_condor"), "lots": ("2", "3"), "to": ("45d", "30d")}
_PARAMETERS = {unit: f"p_{unit.name.lower()}" for unit in Unit if unit is not Unit.TEXT}


@dataclass(slots=True)
class Author:
    """Writes conditions, rules and files. `extremes`: how often a number is huge or tiny."""

    chance: random.Random
    extremes: float = 0.1
    tracked: dict[Unit, list[str]] = field(default_factory=dict)
    macros: list[str] = field(default_factory=list)
    book_only: bool = False
    plain: bool = False
    """Without parameters, macros and tracked values."""

    # Values

    def literal(self, unit: Unit) -> str:
        digits = self.chance.choice(_EXTREME if self.chance.random() < self.extremes else _DIGITS)
        written = self.chance.choice(_WRITTEN[unit]).format(digits)
        return f"-{written}" if self.chance.random() < 0.3 else written

    def fact(self, unit: Unit) -> str | None:
        names = [name for name in _NUMBERS[unit] if not self.book_only or FACTS[name].scope == "book"]
        if not self.plain and not self.book_only:
            names += self.tracked.get(unit, [])
        if self.plain:
            names = [name for name in names if not FACTS[name].tracked]
        return self.chance.choice(names) if names else None

    def leaf(self, unit: Unit) -> str:
        drawn = self.chance.random()
        if drawn < 0.15 and not self.plain:
            return f"${_PARAMETERS[unit]}"
        fact = self.fact(unit) if drawn < 0.75 else None
        return fact or self.literal(unit)

    def value(self, unit: Unit, depth: int) -> str:
        """An expression of this unit."""
        if depth == 0 or self.chance.random() < 0.25:
            return self.leaf(unit)
        below = depth - 1
        match self.chance.randrange(8):
            case 0 | 1:
                return f"({self.value(unit, below)} {self.chance.choice('+-')} {self.value(unit, below)})"
            case 2 | 3:
                return self._scaled(unit, below)
            case 4:
                return f"-{self.value(unit, below)}"
            case 5:
                return f"abs({self.value(unit, below)})"
            case 6 if unit is Unit.RATIO:
                same = self.chance.choice((Unit.DAYS, Unit.SECONDS, Unit.USD, Unit.POINTS))
                return f"({self.value(same, below)} / {self.value(same, below)})"
        return f"{self.chance.choice(('min', 'max'))}({self.value(unit, below)}, {self.value(unit, below)})"

    def _scaled(self, unit: Unit, depth: int) -> str:
        """Times or by something without a unit, so that the unit stays."""
        sign = self.chance.choice("*/")
        if unit is Unit.RATIO:
            scale = self.value(unit, depth) if sign == "*" else self.literal(Unit.NUMBER)
        elif unit is Unit.PERCENTILE:
            scale = self.literal(Unit.NUMBER)
        else:
            scale = self.value(Unit.NUMBER, depth)
        return f"({self.value(unit, depth)} {sign} {scale})"

    # Conditions

    def condition(self, depth: int) -> str:
        drawn = self.chance.random()
        if depth == 0 or drawn < 0.35:
            return self._comparison(depth)
        below = depth - 1
        if drawn < 0.55:
            return f"not ({self.condition(below)})"
        if drawn < 0.6 and self.macros and not self.plain and not self.book_only:
            return self.chance.choice(self.macros)
        word = self.chance.choice((" and ", " or "))
        parts = [self.condition(below) for _ in range(self.chance.choice((2, 2, 3)))]
        return f"({word.join(parts)})"

    def _comparison(self, depth: int) -> str:
        unit = self.chance.choice(tuple(Unit))
        if unit is Unit.TEXT:
            return self._text_comparison()
        one, other = self.value(unit, depth), self.value(unit, depth)
        drawn = self.chance.random()
        if drawn < 0.12:
            return f"{one} between {other} and {self.value(unit, depth)}"
        if drawn < 0.2:
            return f"{one} in ({other}, {self.value(unit, depth)})"
        sign = self.chance.choice(("<", "<=", ">", ">=", "==", "!="))
        return f"{one} {sign} {other}"

    def _text_comparison(self) -> str:
        name = "regime" if self.book_only else self.chance.choice(tuple(_TEXTS))
        words = [f"'{word}'" for word in _TEXTS[name]]
        drawn = self.chance.random()
        if drawn < 0.1:
            return f"{self.chance.choice(words)} == {self.chance.choice(words)}"
        if drawn < 0.25 and name == "structure" and not self.plain:
            return f"structure {self.chance.choice(('==', '!='))} $p_text"
        if drawn < 0.35 and not self.book_only:
            return "underlying != strategy"
        if drawn < 0.7:
            return f"{name} {self.chance.choice(('==', '!='))} {self.chance.choice(words)}"
        return f"{name} in ({', '.join(words)})"

    # Files

    def top(self, tracked: int, macros: int, depth: int) -> dict[str, Any]:
        """What stands before the rules: so many tracked values and macros."""
        self.plain = True
        values = {"peak_profit": "max(profit)"}
        for number in range(tracked):
            unit, name = self.chance.choice(tuple(_NUMBERS)), f"t{number}"
            inner = self.value(unit, depth)
            if any(fact in inner for fact in FACTS):
                values[name] = f"{self.chance.choice(('min', 'max'))}({inner})"
                self.tracked.setdefault(unit, []).append(name)
        conditions = {f"m{number}": _MACRO_TEXT.format(self.condition(1)) for number in range(macros)}
        self.macros += conditions
        self.plain = False
        return {"track": values, "macros": conditions}

    def numbers(self, rule: dict[str, Any]) -> dict[str, Any]:
        """The parameters that a rule uses, and where they differ."""
        text = json.dumps(rule)
        used = {name: unit for unit, name in _PARAMETERS.items() if f"${name}" in text}
        written = {name: self.literal(unit) for name, unit in used.items()}
        written |= {name: usual for name, (usual, _) in _OTHER_PARAMETERS.items() if f"${name}" in text}
        if self.book_only or not written:
            return {"params": written}
        overrides = {}
        for target in self.chance.sample(_OVERRIDDEN, self.chance.randint(1, 3)):
            names = self.chance.sample(sorted(written), self.chance.randint(1, min(2, len(written))))
            overrides[target] = {
                name: self.literal(used[name]) if name in used else _OTHER_PARAMETERS[name][1]
                for name in names
            }
        return {"params": written, "overrides": overrides}

    def action(self) -> Any:
        if self.book_only:
            return self.chance.choice(("block_entries", {"block_entries": "reduce_largest"}))
        others = ({"close": "market"}, {"reduce": "half"}, {"reduce": "$lots"}, {"roll": {"dte": "$to"}})
        return self.chance.choice(("close", *others))

    def urgency(self, depth: int) -> Any:
        if self.chance.random() < 0.5:
            return self.chance.choice(("normal", "high", "immediate"))
        return {"high": self.condition(depth), "immediate": self.condition(depth)}

    def when(self, depth: int) -> Any:
        if self.chance.random() < 0.8:
            return self.condition(depth)
        listed = [self.condition(depth - 1) for _ in range(self.chance.randint(1, 3))]
        return {self.chance.choice(("any", "all")): listed}

    def tier(self, when_depth: int, urgency_depth: int) -> dict[str, Any]:
        when, do, urgency = self.when(when_depth), self.action(), self.urgency(urgency_depth)
        return {"when": when, "do": do, "urgency": urgency}


def probes(chance: random.Random, count: int, revision: str) -> Rulebook:
    """Rules without memory, one random condition each, and tracked values that show numbers.

    They are not written as YAML, which would take most of the time of a comparison.
    """
    author = Author(chance, extremes=chance.choice((0.0, 0.1, 0.4)))
    top = author.top(tracked=8, macros=3, depth=4)
    first = {"id": "first", "priority": "1", "when": " and ".join(author.macros), "do": "close"}
    tracked = rules.parse(written({**top, "rules": [first]})).tracked
    units = {name: fact.unit for name, fact in FACTS.items()} | {item.name: item.unit for item in tracked}
    problems = Problems(revision, "")
    macros: dict[str, Node | None] = {}
    reader = RuleReader("", units, macros, problems, Size())
    for name, text in top["macros"].items():
        macros[name] = reader.condition(_node(text), Checker(units, problems))
    made = []
    for number in range(count):
        author.book_only = chance.random() < 0.08
        rule = {"id": f"r{number}", "priority": f"{number + 1}", **author.tier(3, 1)}
        rule |= {"scope": "book"} if author.book_only else {}
        made.append(reader.rule(_node({**rule, **author.numbers(rule)})))
    problems.raise_if_any()
    return Rulebook("", "", revision, tuple(rule for rule in made if rule), tracked)


def remembering(chance: random.Random, count: int) -> str:
    """A file of rules with all that they can remember, in every mode and muted."""
    author = Author(chance, extremes=0.02)
    top = author.top(tracked=3, macros=2, depth=1)
    listed, mutes = [], []
    for number, priority in enumerate(chance.sample(range(1, 1000), count)):
        author.book_only = chance.random() < 0.15
        rule = {"id": f"r{number}", "priority": f"{priority}", **_remembering_rule(author)}
        listed.append({**rule, **author.numbers(rule)})
        if chance.random() < 0.3:
            on = "book" if author.book_only else chance.choice(("A", "B", "IWM", "wheel", "iron_condor"))
            until = f"2026-01-05T{chance.choice(('17:01', '17:05', '18:00', '23:00'))}:00Z"
            mutes.append({"rule": f"r{number}", "on": on, "until": until, "reason": "earnings"})
    return written({**top, "rules": listed, "mutes": mutes})


def _remembering_rule(author: Author) -> dict[str, Any]:
    chance = author.chance
    rule: dict[str, Any] = {"scope": "book"} if author.book_only else {}
    if chance.random() < 0.4:
        once = ({"once": chance.choice(("true", "false"))} for _ in range(3))
        rule["tiers"] = [{**author.tier(1, 0), **next(once)} for _ in range(chance.randint(1, 3))]
    else:
        rule |= author.tier(1, 0)
        rule |= {"clear_when": author.condition(1)} if chance.random() < 0.4 else {}
    rule |= {"for": chance.choice(("5s", "15s", "1m"))} if chance.random() < 0.4 else {}
    rule |= {"cooldown": chance.choice(("10s", "1m"))} if chance.random() < 0.4 else {}
    rule["mode"] = chance.choice(("live", "live", "live", "shadow", "off"))
    return {**rule, "unknown": chance.choice(("hold", "hold", "fire"))}


def written(content: dict[str, Any]) -> str:
    """A file with this content: JSON is YAML too."""
    return json.dumps(content, indent=1)


def _node(content: Any) -> source.Node:
    """The content as the YAML reader would hand it on."""
    here = Mark(1, 1)
    if isinstance(content, dict):
        items = {name: (_scalar(name), _node(value)) for name, value in content.items()}
        return source.Mapping(here, 0, flow=True, items=items)
    if isinstance(content, list):
        return source.Sequence(here, 0, flow=True, items=[_node(item) for item in content])
    return _scalar(content)


def _scalar(text: str) -> source.Scalar:
    return source.Scalar(Mark(1, 1), text, 0, 0, block=False)


# Facts

Value = float | str | None
_USUAL = (1.0, 2.0, 3.0, 0.5, 7.0, 2.5, 0.1, 0.01, 0.02, 10.0, 50.0, 60.0, -1.0, -0.5, -2.0, -0.1)


def number(chance: random.Random) -> float | None:
    """Mostly what the literals are too; sometimes unknown, not finite, huge or tiny."""
    drawn = chance.random()
    if drawn < 0.2:
        return chance.choice(_ODD)
    if drawn < 0.6:
        return chance.choice(_USUAL)
    if drawn < 0.85:
        return chance.gauss(0, 3)
    return chance.choice((-1, 1)) * chance.random() * 10.0 ** chance.randint(-320, 308)


def value(chance: random.Random, fact: Fact) -> Value:
    if fact.unit is Unit.TEXT:
        return chance.choice((*_TEXTS[fact.name], None))
    if fact.dtype is pl.Int64:
        return None if chance.random() < 0.2 else chance.choice((0, 1, 2, 3, 7, 10, -1, 50))
    return number(chance)


def frame(chance: random.Random, positions: list[str], missing: float = 0.1) -> pl.DataFrame:
    """A row of facts per position; some columns are missing, some unknown everywhere."""
    columns = [pl.Series("position", positions, pl.String)]
    for fact in FACTS.values():
        drawn = chance.random()
        if drawn < missing or (fact.tracked and chance.random() < 0.8):
            continue
        known = drawn > missing + 0.05
        values = [value(chance, fact) if known else None for _ in positions]
        columns.append(pl.Series(fact.name, values, fact.dtype))
    return pl.DataFrame(columns)


def market(chance: random.Random) -> dict[str, Value]:
    """Facts of the book, not all of them."""
    books = [fact for fact in FACTS.values() if fact.scope == "book"]
    return {fact.name: value(chance, fact) for fact in books if chance.random() < 0.7}

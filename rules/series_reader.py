"""A `*_test.yaml` file read into tests: facts beat by beat, and what should win when.

Several words under a fact are a series, one per beat; the last one holds to the end, so that one word
holds throughout. `~` is unknown, `_` as before, `10%*5` five times.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rules import source
from rules.checking import described, fits, how_to_write, type_of
from rules.expectation import Expectation, ExpectationReader, duration_s
from rules.expression import Literal, Source, parse_literal
from rules.facts import FACTS, Unit
from rules.problem import Mark, Problems, did_you_mean
from rules.rulebook import Rule, Rulebook, Value
from rules.source import Mapping as MappingNode
from rules.source import Scalar, Sequence, check_keys, place_in, read_tree

KEYS = ("rules", "tests")
TEST_KEYS = ("name", "every", "position", "series", "positions", "book", "expect", "never")
DEFAULT_EVERY_S = 60.0
MAX_EVERY_S = 30 * 86_400.0
MAX_BEATS = 3_000  # of a whole file: some ten seconds
_MAX_VALUES = 30_000

_ONLY = "position"
_RESERVED = ("", "rule", "action", "urgency")
_BEGINNING = "a file of tests is a mapping: start it with `tests:`"
_VALUE = re.compile(r"('[^']*'|[^\s*]+)(?:\*(\d+))?(?=\s|$)|\S+")

Values = tuple[Value, ...]
Series = dict[str, Values]


@dataclass(frozen=True, slots=True)
class SeriesTest:
    """Facts of positions and of the book, one value per beat until they hold, and what is expected.

    `never`: rules that must not win at any beat, with their place in the file.
    """

    name: str
    every_s: float
    positions: Mapping[str, Series]
    book: Series
    expectations: tuple[Expectation, ...]
    never: tuple[tuple[Rule, Mark], ...]

    @property
    def beats(self) -> int:
        """How many there are: as many as the longest series has values."""
        return _beats((*self.positions.values(), self.book))

    def facts(self, position: str, beat: int) -> dict[str, Value]:
        """What is known of a position at that beat."""
        return _at(self.positions[position], beat)

    def market(self, beat: int) -> dict[str, Value]:
        """What is known of the book at that beat."""
        return _at(self.book, beat)


def _at(series: Series, beat: int) -> dict[str, Value]:
    return {name: values[min(beat, len(values) - 1)] for name, values in series.items()}


def _beats(groups: tuple[Series, ...]) -> int:
    return max((len(values) for group in groups for values in group.values()), default=1)


def read_series(book: Rulebook, text: str, path: str) -> tuple[SeriesTest, ...]:
    """The tests of a text, for the rules of `book`; raises RulesInvalid with every problem in it."""
    problems = Problems(path, text)
    top = read_tree(text, problems, _BEGINNING)
    tests: tuple[SeriesTest, ...] = ()
    if top is not None:
        check_keys(top, KEYS, "a file of tests", problems)
        tests = _Reader(book, text, problems).tests(top)
    problems.raise_if_any()
    return tests


def named_rules(text: str, path: str) -> str | None:
    """What stands under `rules:`; raises RulesInvalid when the text is not YAML."""
    problems = Problems(path, text)
    top = read_tree(text, problems, _BEGINNING)
    problems.raise_if_any()
    named = top.get("rules") if top is not None else None
    return named.text if isinstance(named, Scalar) and named.text else None


@dataclass(slots=True)
class _Reader:
    book: Rulebook
    text: str
    problems: Problems
    _rules: Mapping[str, Rule] = field(init=False)
    _values: int = 0
    _beats: int = 0

    def __post_init__(self) -> None:
        self._rules = {rule.id: rule for rule in self.book.rules}

    def tests(self, top: MappingNode) -> tuple[SeriesTest, ...]:
        named, node = top.get("rules"), top.get("tests")
        if named is not None and not isinstance(named, Scalar):
            self.problems.add(named.mark, "rules is the name of a rules file: write `rules: mine.yaml`")
        if not isinstance(node, Sequence) or not node.items:
            self.problems.add((node or top).mark, "`tests:` needs a list with at least one test")
            return ()
        tests: dict[str, SeriesTest] = {}
        for item in node.items:
            test = self._test(item)
            if test is None:
                continue
            if test.name in tests:
                self.problems.add(item.mark, f"a second test named {test.name!r}: rename one")
            tests[test.name] = test
        return tuple(tests.values())

    def _test(self, node: source.Node) -> SeriesTest | None:
        if not isinstance(node, MappingNode):
            self.problems.add(node.mark, "a test is a mapping: start it with `- name: what should happen`")
            return None
        check_keys(node, TEST_KEYS, "a test", self.problems)
        name = node.get("name")
        if not isinstance(name, Scalar) or not name.text.strip():
            self.problems.add((name or node).mark, "a test needs a name: add `name: what should happen`")
            name = None
        every_s = self._every(node.get("every"))
        positions, book = self._groups(node)
        beats = _beats((*positions.values(), book))
        self._beats += beats
        if self._beats > MAX_BEATS:
            self.problems.add(node.mark, f"more than {MAX_BEATS:,} beats in one file: split it")
            return None
        names = None if _ONLY in positions and "positions" not in node.items else tuple(positions)
        reader = ExpectationReader(beats, every_s, self._rules, names, self.problems)
        expectations, never = reader.expectations(node.get("expect")), reader.never(node.get("never"))
        if "expect" not in node.items and "never" not in node.items:
            self.problems.add(node.mark, "a test that expects nothing: add `expect:` or `never:`")
        return SeriesTest(name.text, every_s, positions, book, expectations, never) if name else None

    def _every(self, node: source.Node | None) -> float:
        if node is None:
            return DEFAULT_EVERY_S
        seconds = duration_s(node.text, node.mark) if isinstance(node, Scalar) else None
        if seconds is None or not 1 <= seconds <= MAX_EVERY_S:
            said = "every is the time between two beats, from 1s to 30d: write 30s, 1m, 2h or 1d"
            self.problems.add(node.mark, said)
            return DEFAULT_EVERY_S
        return seconds

    # Facts

    def _groups(self, node: MappingNode) -> tuple[dict[str, Series], Series]:
        """Facts by position, and those of the book, which may also stand beside a single position's."""
        book = self._facts(node, "book")
        for name in [name for name in book if FACTS[name].scope != "book"]:
            said = f"{name} is not of the book: write it under `position:`"
            self.problems.add(_mark_of(node, "book", name), said)
        if "positions" in node.items:
            for key in {"position", "series"} & node.items.keys():
                mark = node.items[key][0].mark
                self.problems.add(mark, f"`{key}` beside `positions`: move its facts to one of them")
            return self._named_positions(node.items["positions"][1]), book
        position = self._facts(node, "position")
        for name, values in self._facts(node, "series").items():
            if name in position:
                self.problems.add(_mark_of(node, "series", name), f"{name} is given twice: keep one")
            position[name] = values
        for name in [name for name in position if FACTS[name].scope == "book"]:
            if name in book:
                self.problems.add(_mark_of(node, "book", name), f"{name} is given twice: keep one")
            book[name] = position.pop(name)
        return ({_ONLY: position} if position or not book else {}), book

    def _named_positions(self, node: source.Node) -> dict[str, Series]:
        if not isinstance(node, MappingNode) or not node.items:
            self.problems.add(node.mark, "positions is a mapping: write {A: {profit: 10% 30%}}")
            return {}
        found: dict[str, Series] = {}
        for name, (key, _) in node.items.items():
            if name in _RESERVED:
                self.problems.add(key.mark, f"{name!r} is no name for a position: choose another")
            found[name] = self._facts(node, name)
            for fact in [fact for fact in found[name] if FACTS[fact].scope == "book"]:
                said = f"{fact} is of the book: write it under `book:`"
                self.problems.add(_mark_of(node, name, fact), said)
        return found

    def _facts(self, node: MappingNode, key: str) -> Series:
        body = node.get(key)
        if body is None:
            return {}
        if not isinstance(body, MappingNode):
            self.problems.add(body.mark, f"{key} is facts: write {{structure: iron_condor, dte: 30d}}")
            return {}
        found: Series = {}
        for name, (scalar, value) in body.items.items():
            if name not in FACTS:
                self.problems.add(scalar.mark, self._no_fact(name))
            elif isinstance(value, Scalar):
                found[name] = tuple(self._series(name, value)) or (None,)
            else:
                said = "is one value, or several with blanks between them"
                self.problems.add(value.mark, f"{name} {said}: write {name}: 10% 30% 62%")
        return found

    def _no_fact(self, name: str) -> str:
        for item in self.book.tracked:
            if item.name == name:
                fact = item.node.source.text
                return f"{name} is {item.function}({fact}), folded by the rules: give {fact} instead"
        if not name.isidentifier():
            return f"{name} is no fact: the values of a series have blanks between them, no commas"
        return f"unknown fact {name}: {did_you_mean(name, FACTS)}"

    def _series(self, name: str, node: Scalar) -> Iterator[Value]:
        place = place_in(self.text, node)
        before: Values = ()
        if not node.text.strip():
            self.problems.add(node.mark, f"{name} has no value: write one, or ~ for unknown")
        for match in _VALUE.finditer(node.text):
            mark, times = place(match.start()), int((match[2] or "1")[:9])
            self._values += times
            if times > MAX_BEATS or self._values > _MAX_VALUES:
                self.problems.add(mark, f"more than {_MAX_VALUES:,} values in one file: split it")
                return
            if match[1] is None or not times:
                self.problems.add(mark, f"{match[0]}: a value is repeated so: 10%*5")
            elif match[1] != "_":
                before = (self._value(name, match[1], mark),)
            elif not before:
                self.problems.add(mark, f"nothing stands before this _: begin {name} with a value, or with ~")
            yield from before * times

    def _value(self, name: str, word: str, mark: Mark) -> Value:
        fact = FACTS[name]
        if word in ("~", "null"):
            return None
        literal = Literal(word.strip("'"), Unit.TEXT, Source(mark, word))
        if re.match(r"[+-]?(\$|\.)?\d", word):
            try:
                literal = parse_literal(word, mark)
            except ValueError as error:
                self.problems.add(mark, str(error))
                return None
        elif fact.unit is not Unit.TEXT:
            said = f"{name} is {described(fact.unit)}, {word} is no number: write one, or ~ for unknown"
            self.problems.add(mark, said)
            return None
        if not fits(type_of(literal), fact.unit):
            said = f"{name} is {described(fact.unit)}, {word} is {described(type_of(literal))}"
            self.problems.add(mark, f"{said}: write {how_to_write(word, fact.unit)}")
        elif fact.values and literal.value not in fact.values:
            hint = did_you_mean(str(literal.value), fact.values)
            self.problems.add(mark, f"{name} is never '{literal.value}': {hint}")
        return literal.value


def _mark_of(node: MappingNode, key: str, name: str) -> Mark:
    """The place of the word `name` in the mapping under `key`."""
    below = node.get(key)
    return below.items[name][0].mark if isinstance(below, MappingNode) else node.mark

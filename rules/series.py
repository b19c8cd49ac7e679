"""Tests of rules: `*_test.yaml` files beside a rules file, run through the same fold as live.

A series goes on as if nothing was done about what the rules decide: a position that should be closed is
still there on the next beat. The state is empty at the first beat.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from rules.expectation import Expectation, Wanted, shown_s
from rules.explanation import explain
from rules.facts import FACTS, Unit
from rules.fold import step_with_book
from rules.problem import Mark, Problem, RulesInvalid, rendered
from rules.rulebook import Rule, Rulebook, Value
from rules.series_reader import SeriesTest, named_rules, read_series
from rules.source import read_text
from rules.state import BOOK, RuleState, initial_state

SUFFIX = "_test.yaml"
# The first beat of every test; no rule knows what time it is.
_START = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SeriesFailure:
    """A moment at which something else won than a test expects.

    `line` and `column` are those of the expectation, `at_s` counts from the first beat. `explanation`:
    why the rules in question won or did not, as a tree. `shown`: message, line and caret.
    """

    path: str
    line: int
    column: int
    test: str
    at_s: float
    expected: str
    won: str
    explanation: str
    shown: str

    def __str__(self) -> str:
        return "\n".join([self.shown, *(f"    {line}" for line in self.explanation.splitlines())])


@dataclass(frozen=True, slots=True)
class SeriesRun:
    """The tests of one file in its order, and what failed."""

    path: str
    tests: tuple[str, ...]
    failures: tuple[SeriesFailure, ...]

    @property
    def failed(self) -> frozenset[str]:
        """The names of the tests that failed."""
        return frozenset(failure.test for failure in self.failures)


def run_series(book: Rulebook, source: Path | str) -> list[SeriesFailure]:
    """What fails in a file of tests (a path, or its text); raises RulesInvalid when it cannot be read."""
    return list(judge_series(book, source).failures)


def judge_series(book: Rulebook, source: Path | str) -> SeriesRun:
    """`run_series`, with the names of the tests."""
    text, path = (read_text(source), str(source)) if isinstance(source, Path) else (source, "rules_test.yaml")
    # A mute is of these days, a test is of the rules: it must not fail because something is let alone.
    book = replace(book, mutes=())
    tests = read_series(book, text, path)
    lines = text.split("\n")
    failures = [failure for test in tests for failure in _failures(book, test, path, lines)]
    return SeriesRun(path, tuple(test.name for test in tests), tuple(failures))


def series_beside(rules_path: Path) -> list[Path]:
    """The files of tests that belong to a rules file: NAME_test.yaml and NAME.*_test.yaml beside it."""
    beside = sorted(rules_path.parent.glob(f"*{SUFFIX}"))
    return [path for path in beside if _by_name(path) == rules_path.name]


def rules_of(series_path: Path) -> Path:
    """The rules file that a file of tests is about: what it says under `rules:`, else by its name."""
    try:
        named = named_rules(read_text(series_path), str(series_path))
    except RulesInvalid:
        named = None  # whoever runs the tests will be told
    return series_path.parent / (named or _by_name(series_path))


def _by_name(series_path: Path) -> str:
    name = series_path.name.removesuffix(SUFFIX)
    whole = f"{name}.yaml"
    return whole if (series_path.parent / whole).is_file() else f"{name.split('.')[0]}.yaml"


@dataclass(frozen=True, slots=True)
class _Beat:
    """One beat of a test and what won: `rows` of `DECISIONS` by position, the book's under ""."""

    book: Rulebook
    test: SeriesTest
    number: int
    state: RuleState
    rows: Mapping[str, Row]

    @property
    def at_s(self) -> float:
        return self.number * self.test.every_s

    def won(self, position: str | None) -> str:
        """What won on that position (None: anywhere), in words."""
        rows = self.rows.values() if position is None else [self.rows[position]]
        named = [_won(row, len(self.test.positions) > 1) for row in rows if row["rule"] is not None]
        return " and ".join(named) if named else "nothing"

    def explained(self, position: str, rule: str) -> str:
        """Why that rule won or did not."""
        facts = self.test.facts(position, self.number) if position != BOOK else {}
        now = _START + timedelta(seconds=self.at_s)
        row = {"position": position, **facts}
        told = explain(self.book, self.state, row, self.test.market(self.number), now).text(rule)
        return told or f"{rule} is off and never wins"


def _won(row: Row, is_one_of_several: bool) -> str:
    arguments = " ".join(str(value) for value in json.loads(row["params"]).values())
    urgency = "" if row["urgency"] == "normal" else f", {row['urgency']}"
    on = f" on {row['position']}" if is_one_of_several and row["position"] != BOOK else ""
    return f"{row['rule']} ({' '.join([row['action'], arguments]).strip()}{urgency}){on}"


def _failures(book: Rulebook, test: SeriesTest, path: str, lines: list[str]) -> Iterator[SeriesFailure]:
    """Each broken expectation once, at its first moment."""
    open_ones = list(test.expectations)
    refused = list(test.never)
    for beat in _beats(book, test):
        for expectation in [one for one in open_ones if beat.number in one.beats]:
            blamed = _blamed(expectation, beat)
            if blamed:
                open_ones.remove(expectation)
                won = beat.won(expectation.position)
                expected = _expected(expectation)
                said = f"expected {expected}, but {won} won"
                yield _failure(beat, expectation.mark, (expected, won, said), blamed, path, lines)
        for rule, mark in list(refused):
            blamed = [(name, rule.id) for name, row in beat.rows.items() if row["rule"] == rule.id]
            if blamed:
                refused.remove((rule, mark))
                won = " and ".join(_won(beat.rows[name], len(test.positions) > 1) for name, _ in blamed)
                said = f"{won} won, which should never win"
                yield _failure(beat, mark, (f"never {rule.id}", won, said), blamed, path, lines)


def _beats(book: Rulebook, test: SeriesTest) -> Iterator[_Beat]:
    names = list(test.positions)
    state = initial_state()
    for number in range(test.beats):
        frame = _frame(names, [test.facts(name, number) for name in names])
        now = _START + timedelta(seconds=number * test.every_s)
        before = state
        state, decisions = step_with_book(book, before, frame, test.market(number), now)
        rows = {row["position"]: row for row in decisions.iter_rows(named=True)}
        yield _Beat(book, test, number, before, rows)


def _frame(names: list[str], facts: list[dict[str, Value]]) -> pl.DataFrame:
    columns = [pl.Series("position", names, pl.String)]
    for name in sorted({name for row in facts for name in row}):
        dtype = pl.String if FACTS[name].unit is Unit.TEXT else pl.Float64
        columns.append(pl.Series(name, [row.get(name) for row in facts], dtype))
    return pl.DataFrame(columns)


def _blamed(expectation: Expectation, beat: _Beat) -> list[tuple[str, str]]:
    """The rules (with their position) that have to explain themselves; empty when it is as expected."""
    position = expectation.position
    if not expectation.wanted:
        rows = [beat.rows[position]] if position is not None else beat.rows.values()
        return [(row["position"], row["rule"]) for row in rows if row["rule"] is not None]
    blamed = []
    for wanted in expectation.wanted:
        name = _row_of(wanted.rule, expectation, beat)
        row = beat.rows[name]
        if not _is_met(wanted, row):
            blamed += [(name, rule) for rule in dict.fromkeys((row["rule"], wanted.rule.id)) if rule]
    return blamed


def _row_of(rule: Rule, expectation: Expectation, beat: _Beat) -> str:
    if rule.scope == "book":
        return BOOK
    return expectation.position if expectation.position is not None else next(iter(beat.test.positions))


def _is_met(wanted: Wanted, row: Row) -> bool:
    pairs = (
        (wanted.rule.id, row["rule"]),
        (wanted.action, row["action"]),
        (wanted.params, row["params"]),
        (wanted.urgency, row["urgency"]),
    )
    return all(one is None or one == other for one, other in pairs)


def _expected(expectation: Expectation) -> str:
    on = f" on {expectation.position}" if expectation.position is not None else ""
    return (" and ".join(_wanted(one) for one in expectation.wanted) or "nothing") + on


def _wanted(wanted: Wanted) -> str:
    arguments = json.loads(wanted.params).values() if wanted.params else ()
    action = " ".join([wanted.action, *map(str, arguments)]) if wanted.action else ""
    said = ", ".join(word for word in (action, wanted.urgency) if word)
    return f"{wanted.rule.id} ({said})" if said else wanted.rule.id


def _failure(
    beat: _Beat,
    mark: Mark,
    words: tuple[str, str, str],
    blamed: list[tuple[str, str]],
    path: str,
    lines: list[str],
) -> SeriesFailure:
    """`words`: what was expected, what won, and both in a sentence."""
    message = f"{beat.test.name}: at {shown_s(beat.at_s)} {words[2]}"
    return SeriesFailure(
        path=path,
        line=mark.line,
        column=mark.column,
        test=beat.test.name,
        at_s=beat.at_s,
        expected=words[0],
        won=words[1],
        explanation="\n".join(beat.explained(name, rule) for name, rule in dict.fromkeys(blamed)),
        shown=rendered(Problem(path, mark.line, mark.column, message), lines),
    )

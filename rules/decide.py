"""Facts as JSON lines in, decisions as JSON lines out: how other programs drive the rules.

Input, one object per line: `position` (may be left out), `time` (ISO; without a zone it is UTC), facts by
catalogue name in base units (0.85, days, points, USD), null or left out = unknown, and `book`, an object
of book facts: with it, the rules of the book are judged too, and compete by priority. Lines are evaluated
in the order of their times, those of one moment in one step, with the state carried on; answers come in
the order of the input.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from options import RuleError
from rules.facts import FACTS, Unit
from rules.fold import step_with_book
from rules.problem import did_you_mean
from rules.rulebook import Rulebook
from rules.state import BOOK, RuleState

# Stands for a line without a position: "" is the book's own row.
_NAMELESS = "(no position)"
_ANSWER = ("rule", "priority", "action", "urgency", "fired", "unknown")

Facts = dict[str, float | str | None]


@dataclass(frozen=True, slots=True)
class _Line:
    index: int
    position: str
    time: datetime
    time_text: str
    facts: Facts
    book: Facts
    judges_book: bool


class DecideRun:
    """Rules with the state that they have come to."""

    def __init__(self, book: Rulebook, state: RuleState) -> None:
        self._book = book
        self.state = state

    def decide(self, lines: Iterable[str]) -> Iterator[str]:
        """One JSON line per input line (blank ones are passed over).

        Nothing is evaluated when any line is wrong: raises RuleError naming it.
        """
        parsed = [_parsed(index, text) for index, text in enumerate(lines, start=1) if text.strip()]
        answers: dict[int, str] = {}
        for group in _steps(sorted(parsed, key=lambda line: line.time)):
            for line, answer in self._answers(group):
                answers[line.index] = answer
        for line in parsed:
            yield answers[line.index]

    def _answers(self, group: list[_Line]) -> Iterator[tuple[_Line, str]]:
        frame = _frame(group)
        self.state, decisions = step_with_book(self._book, self.state, frame, group[0].book, group[0].time)
        rows = {row["position"]: row for row in decisions.iter_rows(named=True)}
        for line in group:
            row = _merged(rows[line.position], rows[BOOK], line.judges_book)
            shown = "" if line.position == _NAMELESS else line.position
            answer = {"position": shown, "time": line.time_text} | {name: row[name] for name in _ANSWER}
            yield line, json.dumps(answer, ensure_ascii=False)


def decide_lines(lines: Iterable[str], book: Rulebook, state: RuleState) -> Iterator[str]:
    """`DecideRun.decide` for callers that do not need the state afterwards."""
    return DecideRun(book, state).decide(lines)


def _merged(row: Mapping[str, Any], book: Mapping[str, Any], judges_book: bool) -> Mapping[str, Any]:
    """A position's row, with the book rule competing by priority when it fires."""
    fires = book["rule"] is not None
    wins = fires and (row["rule"] is None or _rank(book) < _rank(row))
    return {
        **(book if wins else row),
        "fired": [*row["fired"], *book["fired"]],
        "unknown": [*row["unknown"], *(book["unknown"] if judges_book else [])],
    }


def _rank(row: Mapping[str, Any]) -> tuple[bool, int]:
    return row["kind"] == "shadow", row["priority"]


def _steps(lines: list[_Line]) -> Iterator[list[_Line]]:
    """Lines of one moment with different positions and the same book belong to one step."""
    group: list[_Line] = []
    for line in lines:
        first = group[0] if group else line
        same = (line.time, line.book) == (first.time, first.book)
        if group and (not same or line.position in {other.position for other in group}):
            yield group
            group = []
        group.append(line)
    if group:
        yield group


def _frame(group: list[_Line]) -> pl.DataFrame:
    names = sorted({name for line in group for name in line.facts})
    columns = [pl.Series("position", [line.position for line in group], pl.String)]
    for name in names:
        dtype = pl.String if FACTS[name].unit is Unit.TEXT else pl.Float64
        columns.append(pl.Series(name, [line.facts.get(name) for line in group], dtype))
    return pl.DataFrame(columns)


def _parsed(index: int, text: str) -> _Line:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RuleError(f"line {index}: not JSON ({error}): write one object per line") from error
    if not isinstance(content, dict):
        raise RuleError(f'line {index}: not an object: write {{"position": …, "time": …, facts}}')
    position = content.pop("position", None)
    if position is not None and not isinstance(position, str):
        raise RuleError(f"line {index}: position must be text")
    time_text = content.pop("time", None)
    time = _time(index, time_text)
    book = content.pop("book", None)
    if book is not None and not isinstance(book, dict):
        raise RuleError(f"line {index}: book must be an object of book facts")
    facts = {name: _value(index, name, value) for name, value in content.items()}
    about_book: Facts = {name: value for name, value in facts.items() if FACTS[name].scope == "book"}
    for name, value in (book or {}).items():
        about_book[name] = _value(index, name, value)
        if FACTS[name].scope != "book":
            raise RuleError(f"line {index}: {name} is not a fact of the book: write it outside of `book`")
    return _Line(index, position or _NAMELESS, time, time_text, facts, about_book, book is not None)


def _time(index: int, value: object) -> datetime:
    if not isinstance(value, str):
        raise RuleError(f'line {index}: no time: write "time": "2026-01-05T15:30:00Z"')
    try:
        time = datetime.fromisoformat(value)
    except ValueError as error:
        raise RuleError(f"line {index}: time {value!r} is not ISO: write 2026-01-05T15:30:00Z") from error
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _value(index: int, name: str, value: object) -> float | str | None:
    fact = FACTS.get(name)
    if fact is None:
        raise RuleError(f"line {index}: unknown fact {name}: {did_you_mean(name, FACTS)}")
    if value is None:
        return None
    if fact.unit is Unit.TEXT:
        if isinstance(value, str):
            return value
        raise RuleError(f"line {index}: {name} is {value!r}: it must be text")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RuleError(f"line {index}: {name} is {value!r}: it must be a number in base units")
    try:
        return float(value)
    except OverflowError as error:
        raise RuleError(f"line {index}: {name} is too large for a number") from error

"""`optiond rules facts` and `optiond rules schema`: the vocabulary of rules, for the eye and for editors."""

import argparse
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from daemon.reading import Columns, new_york, print_json, print_table
from daemon.rule_memory import remembered
from lake import LakeReader
from options import LakeError, RuleError
from rules import CATALOGUE, FACTS, Fact
from rules.explanation_text import shown_value
from rules.facts import AGE_OF, SOURCES, Source
from rules.problem import did_you_mean
from rules.schema import HOW_TO_WRITE, as_json, rules_schema, series_schema


@dataclass(frozen=True, slots=True)
class _Now:
    """The facts that were recorded last, by position; `missing` says why there are none."""

    time: str = ""
    rows: dict[str, dict[str, Any]] | None = None
    missing: str = ""


def facts(arguments: argparse.Namespace) -> int:
    """The catalogue, or one fact; with the values that were recorded last."""
    chosen = CATALOGUE if arguments.name is None else (_named(arguments.name),)
    now = _now(arguments)
    if arguments.json:
        return print_json([_data(fact, now) for fact in chosen])
    if arguments.name is None:
        return _print_all(now, arguments.position)
    return _print_one(chosen[0], now)


def schema(arguments: argparse.Namespace) -> int:
    """JSON Schema of rules files, or of the files of their tests."""
    made = series_schema() if arguments.tests else rules_schema()
    print(as_json(made))
    return 0


def _named(name: str) -> Fact:
    if name not in FACTS:
        raise RuleError(f"no fact {name}: {did_you_mean(name, FACTS)}")
    return FACTS[name]


def _now(arguments: argparse.Namespace) -> _Now:
    """Raises LakeError or RuleError when a position is asked for and not there."""
    try:
        reader = LakeReader.open(arguments.home)
        rows = {row["position"]: row for row in reader.newest("facts").iter_rows(named=True)}
        tracked = remembered(reader).tracked().iter_rows(named=True)
    except LakeError as error:
        if arguments.position is not None:
            raise
        return _Now(missing=str(error))
    for row in tracked:
        rows.get(row["position"], {}).update({name: row[name] for name in row if name in FACTS})
    if not rows:
        return _Now(missing="no facts have been recorded yet")
    time = new_york(next(iter(rows.values()))["time"])
    if arguments.position is None:
        return _Now(time, rows)
    if arguments.position not in rows:
        known = did_you_mean(arguments.position, rows)
        raise RuleError(f"no position {arguments.position} in the facts of {time}: {known}")
    return _Now(time, {arguments.position: rows[arguments.position]})


def _values(fact: Fact, now: _Now) -> dict[str, float | str | None]:
    """Its value by position, "book" for a fact of the book."""
    rows = now.rows or {}
    if fact.scope == "book":
        newest = next(iter(rows.values()), None)
        return {} if newest is None else {"book": newest[fact.name]}
    return {position: row[fact.name] for position, row in rows.items()}


def _shown(fact: Fact, value: float | str | None) -> str:
    return shown_value(float(value) if isinstance(value, int | float) else value, fact.unit)


def _print_all(now: _Now, position: str | None) -> int:
    rows = [_data(fact, now) for fact in CATALOGUE]
    columns: Columns = {name: itemgetter(name) for name in ("name", "unit", "scope", "meaning")}
    if position is not None:
        print(f"{position} at {now.time} New York")
        columns = {**columns, "now": lambda row: _shown(FACTS[row["name"]], next(iter(row["now"].values())))}
    return print_table(rows, columns, "no facts")


def _print_one(fact: Fact, now: _Now) -> int:
    print(f"{fact.name}: {fact.meaning}")
    said = {
        "unit": f"{fact.unit}, {HOW_TO_WRITE[fact.unit]}" if fact.unit != "text" else "text",
        "values": ", ".join(fact.values),
        "scope": fact.scope,
        "computed": fact.computed,
        "made of": ", ".join(SOURCES[fact.name]),
        "unknown": f"an alert after {fact.stale_after_s:g} s",
    }
    for key, text in said.items():
        if text:
            print(f"  {key:<9} {text}")
    if now.rows is None:
        print(f"  now       {now.missing}")
        return 0
    print(f"at {now.time} New York")
    ages = _ages(fact, now)
    for position, value in _values(fact, now).items():
        known = {source: age for source, age in ages[position].items() if age is not None}
        told = ", ".join(f"{source} {_shown_age(source, age)}" for source, age in known.items())
        print(f"  {position}  {_shown(fact, value)}{f'  ({told})' if told else ''}")
    return 0


def _ages(fact: Fact, now: _Now) -> dict[str, dict[Source, float | None]]:
    """How old what it is made of was then, by position; "book": the oldest of all. None = not known."""
    aged = [source for source in SOURCES[fact.name] if source in AGE_OF]
    ages = {
        position: {source: row[AGE_OF[source]] for source in aged}
        for position, row in (now.rows or {}).items()
    }
    if fact.scope != "book" or not ages:
        return ages
    return {"book": {source: _oldest([each[source] for each in ages.values()]) for source in aged}}


def _oldest(ages: list[float | None]) -> float | None:
    known = [age for age in ages if age is not None]
    return max(known) if len(known) == len(ages) else None


def _shown_age(source: Source, age: float) -> str:
    return f"{age:.0f} d old" if AGE_OF[source].endswith("_days") else f"{age:.1f} s old"


def _data(fact: Fact, now: _Now) -> dict[str, Any]:
    return {
        "name": fact.name,
        "unit": fact.unit,
        "scope": fact.scope,
        "meaning": fact.meaning,
        "computed": fact.computed,
        "stale_after_s": fact.stale_after_s,
        "values": list(fact.values),
        "made_of": [str(source) for source in SOURCES[fact.name]],
        "tracked": fact.tracked,
        "time": now.time or None,
        "now": _values(fact, now),
        "ages": _ages(fact, now),
    }

"""The tables of docs/ that code knows best: `python -m ops.docs` writes them anew.

They stand between `<!-- generated: NAME -->` and `<!-- end -->`; the rest of a page is written by hand.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import rules
from broker.gateway.desks.unsupported import UNSUPPORTED
from broker.gateway.faults.catalogue import SUBJECTS
from broker.gateway.faults.fault import ENDINGS, Fault, accepted
from broker.gateway.faults.requests import Request
from broker.gateway.markets.model.scenarios import SCENARIOS
from lake import LEDGER, TableSchema
from rules import CATALOGUE
from rules.breaker import MODES, described
from rules.breaker.table import MODE_MEANING
from rules.facts import SOURCES
from rules.schema import RULE_KEYS, TEST_KEYS, as_json, rules_schema, series_schema
from sync.tables import LAKE_TABLES

FOLDER = Path(__file__).parents[1] / "docs"
MISTAKES = Path(__file__).parents[1] / "tests" / "rules" / "mistakes"

EXAMPLES: Mapping[str, object] = {
    "by_usd": 5.0,
    "code": 1300,
    "con_id": 756733,
    "count": 10,
    "key": "NetLiquidation",
    "quantity": 7,
    "symbol": "SPY",
    "value": "1.00",
}

_BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def refreshed(page: str) -> str:
    """The page with every generated block as it should be; raises KeyError for an unknown block.

    `contents` lists the page's own chapters.
    """
    made: dict[str, Callable[[], str]] = {**GENERATED, "contents": lambda: _contents(page)}
    return _BLOCK.sub(lambda block: f"{block[1]}{made[block[2]]()}\n{block[3]}", page)


def _contents(page: str) -> str:
    chapters = re.findall(r"^## (.+)$", page, re.MULTILINE)
    return "\n".join(f"- [{title}](#{_anchor(title)})" for title in chapters)


def _anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def main() -> int:
    """Write every page whose tables have changed."""
    for path in sorted(FOLDER.glob("*.md")):
        before = path.read_text(encoding="utf-8")
        after = refreshed(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            sys.stdout.write(f"wrote {path.name}\n")
    for name, made in WHOLE.items():
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != made():
            path.write_text(made(), encoding="utf-8")
            sys.stdout.write(f"wrote {name}\n")
    return 0


def _facts() -> str:
    rows = (
        (f"`{fact.name}`", str(fact.unit), fact.scope, fact.meaning, fact.computed, _made_of(fact.name))
        for fact in CATALOGUE
    )
    return _table(("fact", "unit", "scope", "meaning", "computed", "made of"), rows)


def _made_of(fact: str) -> str:
    return ", ".join(SOURCES[fact])


def _breaker() -> str:
    return _table(
        ("event", "when", *(f"from {mode.value}" for mode in MODES)),
        ((f"`{event}`", when, *leads) for event, when, *leads in described()),
    )


def _breaker_modes() -> str:
    return _table(("mode", "meaning"), ((f"`{mode.value}`", MODE_MEANING[mode]) for mode in MODES))


def _mistakes() -> str:
    """Every mistake that the tests keep, with what is said of it."""
    told: list[str] = []
    for path in sorted(MISTAKES.glob("*.yaml")):
        try:
            rules.load(path)
        except rules.RulesInvalid as error:
            told.append(f"```text\n{str(error).replace(f'{MISTAKES}/', '')}\n```")
    return "\n\n".join(told)


def _tables() -> str:
    schemas = sorted((*LAKE_TABLES.values(), LEDGER), key=lambda schema: schema.name)
    return "\n\n".join(map(_schema, schemas))


def _schema(schema: TableSchema) -> str:
    rows = (
        (f"`{column.name}`", str(column.dtype), column.unit, column.meaning, column.null or "never null")
        for column in schema.columns
    )
    columns = _table(("column", "type", "unit", "meaning", "null means"), rows)
    return f"### {schema.name}\n\n{schema.about}\n\n{columns}"


def _faults() -> str:
    links = "\n".join(
        f"- {subject}: {', '.join(f'[{fault.name}](#{fault.name})' for fault in faults)}"
        for subject, faults in SUBJECTS.items()
    )
    return f"{links}\n\n" + "\n\n".join(
        "\n\n".join((f"### {subject}", *map(_fault, faults))) for subject, faults in SUBJECTS.items()
    )


def _scenarios() -> str:
    rows = ((f"`{name}`", scenario.about) for name, scenario in SCENARIOS.items())
    return _table(("scenario", "what happens"), rows)


def _unsupported() -> str:
    rows = ((f"`{entry.name}`", str(entry.code), entry.text) for entry in UNSUPPORTED.values())
    return _table(("request", "code", "what the client is told"), rows)


def _requests() -> str:
    return ", ".join(f"`{request.name.lower()}` ({request.value})" for request in Request) + "."


def _fault(fault: type[Fault]) -> str:
    rows = (
        (
            f"`{each.name}`",
            "a request, named as below" if each.type is Request else each.allowed,
            "must be given" if each.required else f"`{json.dumps(each.shown_default)}`",
            each.meaning,
        )
        for each in accepted(fault)
        if each not in ENDINGS
    )
    parameters = list(rows)
    return "\n\n".join(
        (
            f"#### {fault.name}",
            f"- Over the wire: {fault.wire}\n- The client: {fault.suffers}\n- Ends: {_ends(fault)}.\n"
            f"- Source: {fault.source}",
            *([_table(("parameter", "takes", "default", "meaning"), parameters)] if parameters else []),
            f"```json\n{json.dumps(example(fault))}\n```",
        )
    )


def example(fault: type[Fault]) -> dict[str, object]:
    """A command that inflicts it, with the parameters that must be given."""
    needed = (each for each in accepted(fault) if each.required)
    given = {each.name: next(iter(each.choices)) if each.choices else EXAMPLES[each.name] for each in needed}
    return {"cmd": "fault", "name": fault.name, **given}


def _ends(fault: type[Fault]) -> str:
    if not fault.lasts:
        return "at once, there is nothing to end"
    alone = f"after {fault.times} application{'s' * (fault.times > 1)}, " if fault.times else ""
    return f'{alone}after `seconds` or `times`, by `"on": false` or `heal`'


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (head, ("---",) * len(head), *rows)
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _keys(keys: Mapping[str, str]) -> str:
    return _table(("key", "meaning"), ((f"`{key}`", text) for key, text in keys.items()))


WHOLE: Mapping[str, Callable[[], str]] = {
    "rules.schema.json": lambda: as_json(rules_schema()) + "\n",
    "rules_test.schema.json": lambda: as_json(series_schema()) + "\n",
}
"""Files of docs/ that are generated from their first to their last byte."""

GENERATED: Mapping[str, Callable[[], str]] = {
    "breaker": _breaker,
    "breaker_modes": _breaker_modes,
    "facts": _facts,
    "faults": _faults,
    "mistakes": _mistakes,
    "requests": _requests,
    "rule_keys": lambda: _keys(RULE_KEYS),
    "scenarios": _scenarios,
    "tables": _tables,
    "test_keys": lambda: _keys(TEST_KEYS),
    "unsupported": _unsupported,
}

if __name__ == "__main__":
    sys.exit(main())

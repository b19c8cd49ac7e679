"""`optiond lake ...`: the tables as of a moment, SQL over them, the versions of one thing, differences."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import polars as pl

import lake
from daemon.reading import UNKNOWN, Columns, Row, new_york, print_json, print_table
from lake import LEDGER, LakeHistory, LakeReader, TableSchema, queries, views
from lake.moments import read_moment
from lake.schemas import no_such_table
from options import LakeError
from sync.tables import LAKE_TABLES

SHOWN = 50
"""Rows at most on a terminal; what goes to a file or another program is whole."""

_SCHEMAS: Mapping[str, TableSchema] = {**LAKE_TABLES, LEDGER.name: LEDGER}


def tables(arguments: argparse.Namespace) -> int:
    """`lake tables`: how far every table is; or, with `--describe`, what it holds."""
    if arguments.describe is not None:
        return _describe(arguments.describe, arguments.json)
    rows = views.lake_tables(LakeReader.open(arguments.home))
    if arguments.json:
        return print_json(rows)
    columns: Columns = {
        "table": lambda r: r["name"],
        ">rows": lambda r: r["rows"],
        ">files": lambda r: r["files"],
        ">last version": lambda r: _known(r["last_seq"]),
        "last time (New York)": lambda r: new_york(r["last_time"]),
        ">Delta version": lambda r: _known(r["version"]),
    }
    return print_table(rows, columns, "no tables yet")


def as_of(arguments: argparse.Namespace) -> int:
    """`lake as-of`."""
    picture = _history(arguments).as_of(arguments.as_of)
    table = arguments.table
    rows = picture.current(table) if arguments.current else picture[table]
    return _print_rows(table, rows.sort("seq", maintain_order=True), arguments.json)


def history(arguments: argparse.Namespace) -> int:
    """`lake history`."""
    past = _history(arguments)
    rows = past.history(arguments.table)
    key = _key(arguments.table, arguments.key, rows.collect_schema())
    return _print_rows(arguments.table, past.history(arguments.table, **key), arguments.json)


def sql(arguments: argparse.Namespace) -> int:
    """`lake sql`."""
    picture = _history(arguments).as_of(arguments.as_of)
    answer = picture.sql(arguments.query)
    with queries.asked(picture.tables):
        found = answer.collect()
    if arguments.json:
        found.write_ndjson(sys.stdout.buffer)
    elif arguments.csv:
        _flat(found).write_csv(sys.stdout.buffer)
    else:
        _print_answer(found)
    return 0


def diff(arguments: argparse.Namespace) -> int:
    """`lake diff`."""
    past, table = _history(arguments), arguments.table
    found = past.diff(arguments.before, arguments.after, table)
    if arguments.json:
        found.write_ndjson(sys.stdout.buffer)
        return 0
    span = " to ".join(new_york(past.as_of(text).time) for text in (arguments.before, arguments.after))
    counts = dict(found.group_by("change").len().sort("change").iter_rows())
    told = ", ".join(f"{count} {change}" for change, count in counts.items()) or "nothing changed"
    print(f"{table}, {span} in New York: {told}")
    for row in found.head(_limit(found.height)).iter_rows(named=True):
        _print_change(row)
    _note_limit("things", found.height)
    return 0


# --- what is asked -------------------------------------------------------------------------------


def _history(arguments: argparse.Namespace) -> LakeHistory:
    return lake.open(arguments.home, _SCHEMAS)


def _key(table: str, words: Sequence[str], types: pl.Schema) -> dict[str, object]:
    """The key that the words of the command line give, typed as the table's columns are."""
    names = _SCHEMAS[table].key if table in _SCHEMAS else ()
    given: dict[str, str] = {}
    plain = []
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name.isidentifier():
            given[name] = value
        else:
            plain.append(word)
    free = [name for name in names if name not in given]
    if len(plain) > len(free):
        keys = ", ".join(names) or "none: it is about one thing"
        raise LakeError(f"table {table} has no key column for {plain[len(free)]!r}; its key is {keys}")
    given |= dict(zip(free, plain, strict=False))
    return {name: _value(value, types.get(name)) for name, value in given.items()}


def _value(text: str, dtype: pl.DataType | None) -> object:
    """The text as a value of that type; as it is when it is none, which is told where it is looked for."""
    if text == "null":
        return None
    try:
        if dtype == pl.Int64():
            return int(text)
        if dtype == pl.Date():
            return date.fromisoformat(text)
    except ValueError:
        return text
    if isinstance(dtype, pl.Datetime):
        return read_moment(text) or text
    return text


# --- what is shown -------------------------------------------------------------------------------


def _describe(table: str, as_json: bool) -> int:
    if table and table not in _SCHEMAS:
        raise no_such_table(table, _SCHEMAS)
    wanted = [_SCHEMAS[name] for name in ([table] if table else sorted(_SCHEMAS))]
    described: list[dict[str, Any]] = [
        {
            "table": schema.name,
            "about": schema.about.replace("`", ""),
            "key": list(schema.key),
            "columns": [
                {
                    "name": column.name,
                    "type": str(column.dtype),
                    "unit": column.unit,
                    "meaning": column.meaning,
                    "null": column.null,
                }
                for column in schema.columns
            ],
        }
        for schema in wanted
    ]
    if as_json:
        return print_json(described)
    columns: Columns = {
        "column": lambda r: r["name"],
        "type": lambda r: r["type"],
        "unit": lambda r: r["unit"],
        "meaning": lambda r: r["meaning"],
        "null means": lambda r: r["null"] or "never null",
    }
    for each in described:
        print(f"{each['table']}: {each['about']}\n")
        print_table(each["columns"], columns, "no columns")
        print()
    return 0


def _print_rows(name: str, rows: pl.LazyFrame, as_json: bool) -> int:
    """Rows in order, one value per line: a table may have fifty columns, or long texts. What is not known
    is left out. On a terminal the newest."""
    if as_json:
        rows.collect().write_ndjson(sys.stdout.buffer)
        return 0
    count: int = rows.select(pl.len()).collect().item()
    limit = _limit(count)
    if limit < count:
        first = rows.select(pl.col("seq").top_k(limit).min()).collect().item()
        rows = rows.filter(pl.col("seq") >= first).tail(limit)
    shown = f"{count} rows" if limit == count else f"the newest {limit} of {count} rows (--json: all)"
    print(f"{name}: {shown}, times in New York")
    for row in rows.collect().iter_rows(named=True):
        print(f"\nversion {row.pop('seq')}, {new_york(row.pop('time'))}")
        _print_values({column: _plain(value) for column, value in row.items() if value is not None})
    return 0


def _print_change(row: dict[str, Any]) -> None:
    """One added, changed or gone thing; of one that was there before and is afterwards, what differs."""
    change, changed = row["change"], row["changed"]
    before = {name.removesuffix("_before"): row[name] for name in row if name.endswith("_before")}
    after = {name.removesuffix("_after"): row[name] for name in row if name.endswith("_after")}
    key = ", ".join(
        f"{name} {_plain(value)}"
        for name, value in row.items()
        if name not in ("change", "changed") and not name.endswith(("_before", "_after"))
    )
    print(f"\n{change}{f': {key}' if key else ''}")
    if before["seq"] is not None and after["seq"] is not None:
        _print_values({name: f"{_plain(before[name])} → {_plain(after[name])}" for name in changed})
    else:
        there = before if after["seq"] is None else after
        told = {name: value for name, value in there.items() if value is not None and name != "seq"}
        _print_values({name: _plain(value) for name, value in told.items()})


def _print_answer(found: pl.DataFrame) -> None:
    limit = _limit(found.height)
    sides = {name: ">" if dtype.is_numeric() else "" for name, dtype in found.schema.items()}
    heads: Columns = {
        f"{sides[name]}{name}{' (New York)' if isinstance(dtype, pl.Datetime) else ''}": _cell(name)
        for name, dtype in found.schema.items()
    }
    print_table(found.head(limit).to_dicts(), heads, "no rows")
    _note_limit("rows", found.height)


def _cell(name: str) -> Any:
    def cell(row: Row) -> str:
        return _plain(row[name]).replace("\n", " ")

    return cell


def _print_values(values: Mapping[str, str]) -> None:
    width = max(map(len, values), default=0)
    for name, text in values.items():
        print(f"  {name:<{width}}  {text}")


def _limit(count: int) -> int:
    return min(count, SHOWN) if sys.stdout.isatty() else count


def _note_limit(what: str, count: int) -> None:
    if _limit(count) < count:
        print(f"\nthe first {_limit(count)} of {count} {what}; --json gives all")


def _flat(found: pl.DataFrame) -> pl.DataFrame:
    """Lists as text, which CSV has no place for."""
    lists = pl.selectors.by_dtype(pl.List)
    return found.with_columns(lists.list.eval(pl.element().cast(pl.String)).list.join("; "))


def _plain(value: object) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, datetime):
        return new_york(value)
    if isinstance(value, float):
        return f"{value:,.6f}".rstrip("0").rstrip(".")
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or "none"
    return str(value)


def _known(value: object) -> str:
    return UNKNOWN if value is None else str(value)

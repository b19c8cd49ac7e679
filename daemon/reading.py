"""The commands that read the lake; they work with the daemon running or not."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import polars as pl

from lake import LakeReader, views
from options import NEW_YORK, SettingsError

UNKNOWN = "—"

Row: TypeAlias = Mapping[str, Any]
Columns: TypeAlias = Mapping[str, Callable[[Row], object]]


def moment(text: str | None) -> datetime | int | None:
    """A time or a version from the command line; raises SettingsError when it is neither."""
    if text is None:
        return None
    if text.isdecimal():
        return int(text)
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise SettingsError(
            f"'{text}' is neither a version (a whole number) nor a time such as 2026-02-04T10:31; "
            "`optiond lake tables` shows both"
        ) from None


def positions(arguments: argparse.Namespace) -> int:
    rows = views.positions(LakeReader.open(arguments.home), moment(arguments.as_of))
    return print_json(rows) if arguments.json else print_positions(rows)


def print_positions(rows: Sequence[Row]) -> int:
    """Positions as a table for people."""
    columns: Columns = {
        "id": lambda r: r["id"],
        "structure": lambda r: r["structure"],
        ">lots": lambda r: r["lots"],
        ">credit USD": lambda r: _usd(r["net_credit_usd"]),
        ">max loss": lambda r: _usd(r["max_loss_usd"], unlimited=True),
        ">value": lambda r: _usd(r["market_value_usd"]),
        ">profit": lambda r: _usd(r["profit_usd"]),
        ">of credit": lambda r: _percent(r["profit"]),
        ">delta": lambda r: _number(r["delta"], 3),
        ">gamma": lambda r: _number(r["gamma"], 4),
        ">theta": lambda r: _number(r["theta"], 3),
        ">vega": lambda r: _number(r["vega"], 3),
        ">dte": lambda r: _number(r["dte"], 0),
        "quotes": lambda r: r["quote_state"] + (" (last known)" if r["is_last_known"] else ""),
    }
    return print_table(rows, columns, "no open positions")


def decisions(arguments: argparse.Namespace) -> int:
    rows = views.decisions(LakeReader.open(arguments.home), moment(arguments.as_of))
    return print_json(rows) if arguments.json else print_decisions(rows)


def print_decisions(rows: Sequence[Row]) -> int:
    """Decisions as a table for people."""
    columns: Columns = {
        "time (New York)": lambda r: new_york(r["time"]),
        "id": lambda r: r["id"],
        "position": lambda r: r["position"],
        "rule": lambda r: f"{r['priority']} {r['rule']}",
        "action": lambda r: r["action"],
        "kind": lambda r: r["kind"],
        "outcome": lambda r: r["outcome"] or r["reason"] or UNKNOWN,
    }
    return print_table(rows, columns, "nothing decided yet")


def orders(arguments: argparse.Namespace) -> int:
    reader, as_of = LakeReader.open(arguments.home), moment(arguments.as_of)
    events, fills = views.orders(reader, as_of), views.fills(reader, as_of)
    if arguments.json:
        return print_json({"orders": events, "fills": fills})
    order_columns: Columns = {
        "time (New York)": lambda r: new_york(r["time"]),
        "order": lambda r: r["order_ref"] or f"not ours, {r['perm_id']}",
        "state": lambda r: r["state"],
        ">filled": lambda r: _number(r["filled"], 0),
        ">limit": lambda r: _number(r["limit_price"], 2),
        ">average": lambda r: _number(r["average_price"], 4),
        "said": lambda r: r["text"] or "",
    }
    fill_columns: Columns = {
        "time (New York)": lambda r: new_york(r["exec_time"]),
        "order": lambda r: r["order_ref"] or f"not ours, {r['perm_id']}",
        "contract": lambda r: "combo" if r["is_combo"] else r["con_id"],
        ">quantity": lambda r: _signed(r["quantity"]),
        ">price": lambda r: _number(r["price"], 4),
        ">commission USD": lambda r: _usd(r["commission_usd"]),
    }
    print("orders, newest first")
    print_table(events, order_columns, "no orders yet")
    print("\nfills, newest first")
    return print_table(fills, fill_columns, "no fills yet")


def alerts(arguments: argparse.Namespace) -> int:
    rows = views.alerts(LakeReader.open(arguments.home), moment(arguments.as_of))
    if arguments.json:
        return print_json(rows)
    columns: Columns = {
        "time (New York)": lambda r: new_york(r["time"]),
        "severity": lambda r: r["severity"],
        "kind": lambda r: r["kind"],
        "subject": lambda r: r["subject"],
        "what": lambda r: r["text"],
    }
    return print_table(rows, columns, "no alerts")


def explain(arguments: argparse.Namespace) -> int:
    story = views.explain(LakeReader.open(arguments.home), arguments.id, moment(arguments.as_of))
    if arguments.json:
        return print_json(story)
    from daemon.story import tell

    for line in tell(story):
        print(line)
    return 0


def lake_tables(arguments: argparse.Namespace) -> int:
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


def lake_as_of(arguments: argparse.Namespace) -> int:
    lazy = LakeReader.open(arguments.home).table(arguments.table, moment(arguments.as_of))
    frame = lazy.sort("seq", maintain_order=True).collect()
    if arguments.json:
        frame.write_ndjson(sys.stdout.buffer)
        return 0
    return _print_rows(arguments.table, frame)


# --- printing ------------------------------------------------------------------------------------


def new_york(moment: str | datetime | None) -> str:
    """A moment (a datetime or its ISO form) on a clock in New York, to the second."""
    if moment is None:
        return UNKNOWN
    time = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return f"{time.astimezone(NEW_YORK):%Y-%m-%d %H:%M:%S}"


def print_json(value: object) -> int:
    """As JSON for other programs; returns the exit code."""
    print(json.dumps(value, indent=2, allow_nan=False))
    return 0


def print_table(rows: Sequence[Row], columns: Columns, nothing: str) -> int:
    """Rows under their headings; a heading that starts with `>` stands, like its column, to the right."""
    if not rows:
        print(nothing)
        return 0
    heads = [name.removeprefix(">") for name in columns]
    cells = [[str(column(row)) for column in columns.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    sides = [">" if name.startswith(">") else "<" for name in columns]
    for line in (heads, *cells):
        aligned = (f"{cell:{side}{width}}" for cell, side, width in zip(line, sides, widths, strict=True))
        print("  ".join(aligned).rstrip())
    return 0


def _print_rows(name: str, frame: pl.DataFrame) -> int:
    """Any table of the lake, one value per line: it may have fifty columns, or long texts. What is not
    known is left out."""
    print(f"{name}: {frame.height} rows, times in New York")
    for row in frame.iter_rows(named=True):
        print(f"\nversion {row.pop('seq')}, {new_york(row.pop('time'))}")
        known = {column: _plain(value) for column, value in row.items() if value is not None}
        width = max(map(len, known), default=0)
        for column, text in known.items():
            print(f"  {column:<{width}}  {text}")
    return 0


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return new_york(value)
    if isinstance(value, float):
        return f"{value:,.6f}".rstrip("0").rstrip(".")
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or "none"
    return str(value)


def _known(value: object) -> str:
    return UNKNOWN if value is None else str(value)


def _usd(value: float | None, unlimited: bool = False) -> str:
    if value is None:
        return "unlimited" if unlimited else UNKNOWN
    return f"{value:,.2f}"


def _percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.1%}"


def _number(value: float | None, digits: int) -> str:
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def _signed(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:+,g}"

"""The commands that read the lake; they work with the daemon running or not."""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from lake import LakeHistory, LakeReader, views
from options import NEW_YORK

UNKNOWN = "—"
BOOK = "the book"
"""What a decision about no single position is about."""

Row: TypeAlias = Mapping[str, Any]
Columns: TypeAlias = Mapping[str, Callable[[Row], object]]


def asked(arguments: argparse.Namespace) -> tuple[LakeReader, int | None]:
    """The lake of the home, and the version that `--as-of` means (None: now)."""
    reader = LakeReader.open(arguments.home)
    return reader, None if arguments.as_of is None else LakeHistory(reader).seq_of(arguments.as_of)


def positions(arguments: argparse.Namespace) -> int:
    rows = views.positions(*asked(arguments))
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
    rows = views.decisions(*asked(arguments))
    return print_json(rows) if arguments.json else print_decisions(rows)


def print_decisions(rows: Sequence[Row]) -> int:
    """Decisions as a table for people."""
    columns: Columns = {
        "time (New York)": lambda r: new_york(r["time"]),
        "id": lambda r: r["id"],
        "position": lambda r: r["position"] or BOOK,
        "rule": lambda r: f"{r['priority']} {r['rule']}",
        "action": lambda r: r["action"],
        "kind": lambda r: r["kind"],
        "outcome": lambda r: r["outcome"] or r["reason"] or UNKNOWN,
    }
    return print_table(rows, columns, "nothing decided yet")


def orders(arguments: argparse.Namespace) -> int:
    reader, as_of = asked(arguments)
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
    rows = views.alerts(*asked(arguments))
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
    reader, as_of = asked(arguments)
    story = views.explain(reader, arguments.id, as_of)
    if arguments.json:
        return print_json(story)
    from daemon.story import tell

    for line in tell(story):
        print(line)
    return 0


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

"""The commands that read the lake; they work with the daemon running or not."""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from lake import LakeReader, views
from options import NEW_YORK, SettingsError

UNKNOWN = "—"


def moment(text: str | None) -> datetime | int | None:
    """A time or a version from the command line; raises SettingsError when it is neither."""
    if text is None:
        return None
    if text.isdigit():
        return int(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"--as-of '{text}': neither a version (a whole number) nor a time such as 2026-02-04T10:31"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def positions(arguments: argparse.Namespace) -> int:
    rows = views.positions(LakeReader.open(arguments.home), moment(arguments.as_of))
    return _print_json(rows) if arguments.json else print_positions(rows)


def print_positions(rows: Sequence[Mapping[str, Any]]) -> int:
    """Positions as a table for people."""
    columns = {
        "id": lambda r: r["id"],
        "structure": lambda r: r["structure"],
        "lots": lambda r: r["lots"],
        "credit": lambda r: _usd(r["net_credit_usd"]),
        "max loss": lambda r: _usd(r["max_loss_usd"]),
        "value": lambda r: _usd(r["market_value_usd"]),
        "profit": lambda r: _usd(r["profit_usd"]),
        "of credit": lambda r: _percent(r["profit"]),
        "delta": lambda r: _number(r["delta"], 3),
        "theta": lambda r: _number(r["theta"], 3),
        "dte": lambda r: _number(r["dte"], 0),
        "quotes": lambda r: r["quote_state"],
    }
    return _print_table(rows, columns, "no open positions")


def decisions(arguments: argparse.Namespace) -> int:
    rows = views.decisions(LakeReader.open(arguments.home), moment(arguments.as_of))
    return _print_json(rows) if arguments.json else print_decisions(rows)


def print_decisions(rows: Sequence[Mapping[str, Any]]) -> int:
    """Decisions as a table for people."""
    columns = {
        "time (New York)": lambda r: _clock(r["time"]),
        "id": lambda r: r["id"],
        "position": lambda r: r["position"],
        "rule": lambda r: f"{r['priority']} {r['rule']}",
        "action": lambda r: r["action"],
        "kind": lambda r: r["kind"],
        "outcome": lambda r: r["outcome"] or r["reason"] or UNKNOWN,
    }
    return _print_table(rows, columns, "nothing decided yet")


def orders(arguments: argparse.Namespace) -> int:
    reader, as_of = LakeReader.open(arguments.home), moment(arguments.as_of)
    events, fills = views.orders(reader, as_of), views.fills(reader, as_of)
    if arguments.json:
        return _print_json({"orders": events, "fills": fills})
    _print_table(
        events,
        {
            "time (New York)": lambda r: _clock(r["time"]),
            "order": lambda r: r["order_ref"],
            "state": lambda r: r["state"],
            "filled": lambda r: _number(r["filled"], 0),
            "limit": lambda r: _number(r["limit_price"], 2),
            "average": lambda r: _number(r["average_price"], 4),
            "said": lambda r: r["text"] or "",
        },
        "no orders yet",
    )
    return _print_table(
        fills,
        {
            "time (New York)": lambda r: _clock(r["exec_time"]),
            "order": lambda r: r["order_ref"],
            "con_id": lambda r: "combo" if r["is_combo"] else r["con_id"],
            "quantity": lambda r: _number(r["quantity"], 0),
            "price": lambda r: _number(r["price"], 4),
            "commission": lambda r: _usd(r["commission_usd"]),
        },
        "no fills yet",
    )


def alerts(arguments: argparse.Namespace) -> int:
    rows = views.alerts(LakeReader.open(arguments.home), moment(arguments.as_of))
    if arguments.json:
        return _print_json(rows)
    columns = {
        "time (New York)": lambda r: _clock(r["time"]),
        "severity": lambda r: r["severity"],
        "kind": lambda r: r["kind"],
        "subject": lambda r: r["subject"],
        "what": lambda r: r["text"],
    }
    return _print_table(rows, columns, "no alerts")


def explain(arguments: argparse.Namespace) -> int:
    reader = LakeReader.open(arguments.home)
    story = views.explain(reader, arguments.id, moment(arguments.as_of))
    if arguments.json:
        return _print_json(story)
    from daemon.story import tell

    for line in tell(reader, story):
        print(line)
    return 0


def lake_tables(arguments: argparse.Namespace) -> int:
    rows = views.lake_tables(LakeReader.open(arguments.home))
    if arguments.json:
        return _print_json(rows)
    names = list(rows[0]) if rows else []
    columns = {name: (lambda r, name=name: UNKNOWN if r[name] is None else r[name]) for name in names}
    return _print_table(rows, columns, "no tables yet")


def lake_as_of(arguments: argparse.Namespace) -> int:
    frame = LakeReader.open(arguments.home).table(arguments.table, moment(arguments.as_of)).collect()
    if arguments.json:
        frame.write_ndjson(sys.stdout.buffer)
    else:
        with pl.Config(tbl_rows=1000, tbl_cols=-1, tbl_width_chars=220):
            print(frame)
    return 0


# --- printing ------------------------------------------------------------------------------------


def _print_json(value: object) -> int:
    print(json.dumps(value, indent=2, allow_nan=False))
    return 0


def _print_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Any], nothing: str) -> int:
    if not rows:
        print(nothing)
        return 0
    cells = [[str(column(row)) for column in columns.values()] for row in rows]
    widths = [
        max(map(len, (name, *column))) for name, column in zip(columns, zip(*cells, strict=True), strict=True)
    ]
    for line in (list(columns), *cells):
        print(_line(line, widths))
    return 0


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _usd(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.2f}"


def _percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.1%}"


def _number(value: float | None, digits: int) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def _clock(iso: str | None) -> str:
    if iso is None:
        return UNKNOWN
    return f"{datetime.fromisoformat(iso).astimezone(NEW_YORK):%Y-%m-%d %H:%M:%S}"

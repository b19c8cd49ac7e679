"""Orders, fills and alerts: what happened at the broker and what somebody should know."""

from collections.abc import Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

from dashboard import notation, pieces

Row = dict[str, Any]

_ORDER_HEADS = ("Time", "Order", "State", "Filled", "Limit", "Average", "Note")
_FILL_HEADS = ("Time", "Order", "What", "Qty", "Price", "Commission", "Realised")
_SEVERITY_TONES = {"info": "calm", "warning": "poor", "critical": "bad"}


def orders(rows: Sequence[Row]) -> Component:
    """The latest state of every order."""
    if not rows:
        return pieces.empty("No orders yet.")
    return pieces.table("orders", _ORDER_HEADS, (_order_cells(row) for row in rows))


def fills(rows: Sequence[Row]) -> Component:
    """Every execution with its commission."""
    if not rows:
        return pieces.empty("No fills yet.")
    return pieces.table("fills", _FILL_HEADS, (_fill_cells(row) for row in rows))


def alerts(rows: Sequence[Row]) -> Component:
    """Alerts, newest first."""
    if not rows:
        return pieces.empty("No alerts.")
    return html.Ul([_alert(row) for row in rows], className="alerts")


def _order_cells(row: Row) -> list[pieces.Child]:
    done, left = row["filled"], row["remaining"]
    whole = None if done is None or left is None else done + left
    progress = f"{notation.number(done, 0)} of {notation.number(whole, 0)}"
    return [
        notation.moment(row["time"]),
        html.Code(row["order_ref"] or f"perm {notation.plain(row['perm_id'])}"),
        notation.words(row["state"]),
        progress,
        pieces.value(notation.number(row["limit_price"]), "no limit price"),
        pieces.value(notation.number(row["average_price"]), "nothing filled"),
        row["text"] or "",
    ]


def _fill_cells(row: Row) -> list[pieces.Child]:
    quantity = row["quantity"]
    pending = "not reported by the broker yet"
    return [
        notation.moment(row["exec_time"] or row["time"]),
        html.Code(row["order_ref"] or notation.DASH),
        row["label"],
        pieces.value(notation.number(quantity, 0, signed=True), pending),
        pieces.value(notation.number(row["price"]), pending),
        pieces.value(notation.usd(row["commission_usd"]), pending),
        pieces.value(
            notation.usd(row["realized_pnl_usd"], signed=True),
            pending,
            pieces.tone_of(row["realized_pnl_usd"]),
        ),
    ]


def _alert(row: Row) -> Component:
    severity = row["severity"] or "info"
    return html.Li(
        [
            html.Time(notation.moment(row["time"]), className="when"),
            pieces.badge(severity, _SEVERITY_TONES.get(severity, "calm")),
            html.Span([html.Strong(row["subject"] or ""), " ", row["text"] or ""], className="what"),
        ]
    )

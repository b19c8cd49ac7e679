"""How our books differ from the broker's: what was found, what was done about it, and what stands."""

from collections.abc import Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

from dashboard import notation, pieces
from dashboard.control import Reconciliation

Row = dict[str, Any]

SHOWN = 20
_HEADS = ("Found", "What", "About", "Ours", "The broker's", "What is done", "Now")
_NOTHING = "this side knows nothing of it"


def section(rows: Sequence[Row]) -> Component:
    """Rows of `reconciliations`, newest first: each difference that was found, and whether it is over."""
    lines: list[Sequence[pieces.Child]] = []
    over: set[tuple[str, str]] = set()
    for row in rows:
        about = (row["kind"], row["subject"])
        if row.get("state") == "over":
            over.add(about)
            continue
        lines.append(_cells(row, about in over))
        # Found again later, it was another story by then.
        over.add(about)
    if not lines:
        return pieces.empty("No difference with the broker's books was ever found.")
    return pieces.table("differences", _HEADS, lines[:SHOWN])


def _cells(row: Row, is_over: bool) -> Sequence[pieces.Child]:
    is_critical = row["kind"] == "naked_short"
    tone = "good" if is_over else "bad" if is_critical else "poor"
    return [
        notation.moment(row["time"]),
        notation.words(row["kind"]),
        html.Span(row["subject"] or ""),
        pieces.value(row["ours"] or notation.DASH, _NOTHING),
        pieces.value(row["theirs"] or notation.DASH, _NOTHING),
        row["resolution"] or "",
        pieces.badge("over" if is_over else "stands", tone),
    ]


def cell(seen: Reconciliation | None) -> tuple[str, str, str]:
    """Label, text and tone for the health strip; a dash where an older daemon does not say."""
    if seen is None or seen.last is None:
        return "Books", notation.DASH, "calm"
    if not seen.standing:
        return "Books", f"agree · {notation.moment(seen.last)}", "good"
    critical = any(each.critical for each in seen.standing)
    return "Books", f"{len(seen.standing)} differ", "bad" if critical else "poor"

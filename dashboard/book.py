"""The book at a glance: what the account is worth, what is open, what the book is exposed to."""

from collections.abc import Sequence
from typing import Any

from dash.development.base_component import Component

from dashboard import notation, pieces

Row = dict[str, Any]


def tiles(account: Row | None, positions: Sequence[Row]) -> list[Component]:
    """The figures above the positions. A sum over positions is unknown when one of them is."""
    recorded = account or {}
    why = "the account has not been recorded yet" if account is None else "not reported for this account"
    open_usd = _sum(positions, "profit_usd")
    theta = recorded.get("book_theta_usd")
    used = _margin_used(recorded)
    unknown_profit = "the profit of at least one position is unknown"
    return [
        _tile("Net liquidation value", notation.usd(recorded.get("nlv_usd")), why),
        _tile("Open profit", notation.usd(open_usd, signed=True), unknown_profit, pieces.tone_of(open_usd)),
        _tile("Book delta", notation.usd(recorded.get("book_delta_usd"), signed=True), why),
        _tile("Theta per day", notation.usd(theta, signed=True), why),
        _tile("Vega per vol point", notation.usd(recorded.get("book_vega_usd"), signed=True), why),
        _tile("Margin used", notation.percent(used), why),
    ]


def _tile(label: str, text: str, why: str, tone: str = "") -> Component:
    return pieces.field(label, pieces.value(text, why, f"figure {tone}".strip()), "tile")


def _sum(positions: Sequence[Row], key: str) -> float | None:
    amounts = [position[key] for position in positions]
    return None if not amounts or None in amounts else float(sum(amounts))


def _margin_used(account: Row) -> float | None:
    """Maintenance margin as a share of the net liquidation value."""
    margin, worth = account.get("maintenance_margin_usd"), account.get("nlv_usd")
    return margin / worth if margin is not None and worth else None

"""The positions section: one card per Position, its legs inside."""

from collections.abc import Callable, Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

from dashboard import notation, pieces

Row = dict[str, Any]

WHY = "why-of"
"""Type of the id of a link that asks why the rules fire or not on its position."""
TONES = {"live": "good", "modelled": "fair", "stale": "poor", "missing": "bad"}
_LEG_HEADS = ("Leg", "Qty", "Cost", "Bid", "Ask", "Mark", "IV", "Δ", "Γ", "Θ", "Vega", "Quote")
_MANY_EXPIRIES = "the legs end on different days"
_GREEKS: tuple[tuple[str, str, Callable[[float | None], str]], ...] = (
    ("Delta / lot", "delta", lambda amount: notation.number(amount, 3, signed=True)),
    ("Gamma / lot", "gamma", lambda amount: notation.number(amount, 4, signed=True)),
    ("Theta / day", "theta_usd", lambda amount: notation.usd(amount, signed=True)),
    ("Vega / point", "vega_usd", lambda amount: notation.usd(amount, signed=True)),
)


def section(positions: Sequence[Row]) -> Component:
    """All cards, or one line when nothing is held."""
    if not positions:
        return pieces.empty("No open positions.")
    return html.Div([_card(position) for position in positions], className="cards")


def title(underlying: str | None, structure: str | None) -> str:
    """`IWM iron condor`."""
    return f"{underlying or notation.DASH} {notation.words(structure).lower()}"


def _card(position: Row) -> Component:
    return html.Details(
        [html.Summary(_face(position)), html.Div(_inside(position), className="inside")],
        **pieces.dashed(data_keep=f"position-{position['id']}"),
        className="card position",
    )


def _face(position: Row) -> list[Component]:
    why = why_unknown(position)
    lots = position["lots"]
    dte = position["dte"]
    subtitle = [
        f"{lots} lot{'s' if lots != 1 else ''}",
        _strikes(position["legs"]),
        ", ".join(_expiries(position["legs"])),
        notation.DASH + " days" if dte is None else f"{dte:.0f} days",
    ]
    return [
        html.Div(
            [
                html.H3(title(position["underlying"], position["structure"])),
                html.Div([html.Span(part) for part in subtitle if part], className="subtitle"),
            ],
            className="who",
        ),
        html.Div([_profit(position), _range_bar(position)], className="result"),
        html.Div(
            [
                pieces.field(label, pieces.value(written(position[key]), why))
                for label, key, written in _GREEKS
            ],
            className="greeks",
        ),
        html.Div(pieces.badge(position["quote_state"], TONES[position["quote_state"]]), className="state"),
    ]


def _profit(position: Row) -> Component:
    profit, why = position["profit_usd"], why_unknown(position)
    aside = why if profit is None else notation.percent(position["profit"], signed=True)
    if position["is_last_known"]:
        aside += " · last known"
    return html.Div(
        [
            pieces.value(notation.usd(profit, signed=True), why, f"amount {pieces.tone_of(profit)}".strip()),
            html.Span(aside, className="aside"),
        ],
        className="profit",
    )


def _inside(position: Row) -> list[Component]:
    why = why_unknown(position)
    money = [
        ("Net credit", notation.usd(position["net_credit_usd"]), "not recorded"),
        ("Market value", notation.usd(position["market_value_usd"]), why),
        ("Max profit", _bound(position, "max_profit_usd"), _MANY_EXPIRIES),
        ("Max loss", _bound(position, "max_loss_usd"), _MANY_EXPIRIES),
        ("Underlying", notation.usd(position["underlying_price"]), "no price of the underlying"),
        ("Entered", notation.moment(position["entry_time"]), "adopted without an entry time"),
        ("Facts of", notation.moment(position["time"]), "no facts recorded yet"),
    ]
    figures = [pieces.field(label, pieces.value(text, reason)) for label, text, reason in money]
    figures.append(pieces.field("Id", html.Code(position["id"]), "wide"))
    parts: list[Component] = (
        [] if not _unquoted(position) else [html.P(_notice(position), className="notice")]
    )
    asked = html.A(
        "Why did its rules (not) fire?",
        id={"type": WHY, "position": position["id"]},
        href="#why-choice",
        className="asked",
    )
    return [
        *parts,
        html.P(asked),
        html.Div(figures, className="fields"),
        pieces.table("legs", _LEG_HEADS, (_leg_cells(leg) for leg in position["legs"])),
    ]


def _bound(position: Row, key: str) -> str:
    """None means unlimited, except when the legs end on different days: then it is not known."""
    if position[key] is None and len(_expiries(position["legs"])) <= 1:
        return "unlimited"
    return notation.usd(position[key])


def _leg_cells(leg: Row) -> list[pieces.Child]:
    why = f"the quote of this leg is {leg['quote_state']}"
    age = leg["quote_age_s"]
    state = leg["quote_state"] if age is None else f"{leg['quote_state']} · {notation.duration(age)}"
    prices = [
        pieces.value(notation.number(leg[key], digits), why)
        for key, digits in (("bid", 2), ("ask", 2), ("mark", 3))
    ]
    greeks = [
        pieces.value(notation.number(leg[key], digits), why)
        for key, digits in (("delta", 3), ("gamma", 4), ("theta", 3), ("vega", 3))
    ]
    return [
        leg_name(leg),
        f"{leg['quantity']:+d}".replace("-", notation.MINUS),
        notation.usd(leg["average_cost_usd"]),
        *prices,
        pieces.value(notation.percent(leg["iv"]), why),
        *greeks,
        pieces.badge(state, TONES[leg["quote_state"]]),
    ]


def leg_name(leg: Row) -> str:
    """`20 Mar 2026 235 put`; the symbol for stock."""
    if leg["strike"] is None:
        return str(leg["symbol"])
    right = {"P": "put", "C": "call"}.get(leg["right"], leg["right"])
    return f"{notation.day(leg['expiry'])} {leg['strike']:g} {right}"


def why_unknown(position: Row) -> str:
    """Why figures of this position may be missing, for a reader who is not a programmer."""
    legs = _unquoted(position)
    if legs:
        return f"no quote for {', '.join(leg_name(leg) for leg in legs)}"
    return "no facts recorded yet" if position["time"] is None else "not known in the latest facts"


def _notice(position: Row) -> str:
    legs = ", ".join(leg_name(leg) for leg in _unquoted(position))
    return f"No quote for {legs}. What depends on it is unknown, and no order is priced from it."


def _unquoted(position: Row) -> list[Row]:
    return [leg for leg in position["legs"] if leg["quote_state"] == "missing"]


def _strikes(legs: Sequence[Row]) -> str:
    """`235/245 – 282/290`: puts, then calls."""
    sides = [
        "/".join(
            f"{leg['strike']:g}"
            for leg in sorted(legs, key=lambda leg: leg["strike"] or 0.0)
            if leg["right"] == right
        )
        for right in ("P", "C")
    ]
    return " – ".join(side for side in sides if side)


def _expiries(legs: Sequence[Row]) -> list[str]:
    return [notation.day(expiry) for expiry in sorted({leg["expiry"] for leg in legs if leg["expiry"]})]


def _range_bar(position: Row) -> Component:
    """Where the profit stands between the most that can be lost and the most that can be won."""
    profit, best, worst = position["profit_usd"], position["max_profit_usd"], position["max_loss_usd"]
    if profit is None or not best or not worst:
        return html.Div(className="range none", **pieces.dashed(aria_hidden="true"))

    def place(amount: float) -> str:
        return f"{min(max((amount + worst) / (best + worst), 0.0), 1.0) * 100:.1f}%"

    said = f"between a loss of {notation.usd(worst)} and a profit of {notation.usd(best)}"
    return html.Div(
        [
            html.Span(className="zero", style={"left": place(0.0)}),
            html.Span(className=f"now {pieces.tone_of(profit)}", style={"left": place(profit)}),
        ],
        className="range",
        title=said,
        role="img",
        **pieces.dashed(aria_label=f"profit {notation.usd(profit, signed=True)}, {said}"),
    )

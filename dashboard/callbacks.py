"""What happens by itself (the refresh) and on a click (halt and resume)."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dash import Dash, Input, Output, State, ctx, no_update
from dash.development.base_component import Component

from dashboard import (
    book,
    decisions,
    figures,
    health,
    lines_and_link,
    notation,
    pieces,
    positions,
    reconciliation,
    trades,
)
from dashboard.control import Control, DaemonSilent, HaltRefused
from dashboard.layout import CHARTS, chart_id
from dashboard.sight import Books, Sight, Watch

_OPEN, _CLOSED = "veil open", "veil closed"
_WORDS = {
    "halt": (
        "Halt trading",
        "Working orders are cancelled and nothing new is opened. Open positions stay protected: "
        "the rules may still close them.",
    ),
    "resume": (
        "Resume trading",
        "The daemon may open positions again: one at a time for a while, then as usual.",
    ),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the page: drawn again only when `seen`, what it is drawn from, has changed."""

    component: str
    prop: str
    seen: Any
    draw: Callable[[], Any]

    @property
    def key(self) -> str:
        return f"{self.component}.{self.prop}"

    def mark(self) -> str:
        """A short fingerprint of `seen`."""
        text = json.dumps(self.seen, default=str)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def register(app: Dash, watch: Watch, control: Control) -> None:
    """Give the app its behaviour."""
    shape = [(part.component, part.prop) for part in _parts(_BLIND)]

    @app.callback(
        [*(Output(component, prop) for component, prop in shape), Output("shown", "data")],
        Input("tick", "n_intervals"),
        Input("switched", "data"),
        State("shown", "data"),
        # The browser drops an answer when it has asked again meanwhile: on a slow line it would show none.
        running=[(Output("tick", "disabled"), True, False)],
    )
    def refresh(_tick: int | None, _switched: int, shown: dict[str, str]) -> list[Any]:
        parts = _parts(watch.look())
        marks = {part.key: part.mark() for part in parts}
        drawn = [no_update if shown.get(part.key) == marks[part.key] else part.draw() for part in parts]
        return [*drawn, marks]

    @app.callback(
        Output("veil", "className"),
        Output("dialog-title", "children"),
        Output("dialog-text", "children"),
        Output("confirm", "children"),
        Output("confirm", "className"),
        Output("dialog-message", "children"),
        Output("reason", "value"),
        Output("switched", "data"),
        Input("switch", "n_clicks"),
        Input("cancel", "n_clicks"),
        Input("confirm", "n_clicks"),
        Input("reason", "n_submit"),
        Input("token", "n_submit"),
        State("confirm", "className"),
        State("reason", "value"),
        State("token", "value"),
        State("switched", "data"),
        prevent_initial_call=True,
    )
    def dialog(*arguments: Any) -> tuple[Any, ...]:
        action, reason, token, switched = arguments[-4:]
        if ctx.triggered_id == "cancel":
            return (_CLOSED, *[no_update] * 4, "", "", no_update)
        if ctx.triggered_id == "switch":
            action = health.next_switch(watch.look())
            head, text = _WORDS[action]
            return _OPEN, head, text, action.upper(), action, "", "", no_update
        trouble = _switch(control, action, (reason or "").strip(), (token or "").strip())
        if trouble:
            return (*[no_update] * 5, trouble, no_update, no_update)
        watch.forget()
        return (_CLOSED, *[no_update] * 4, "", "", switched + 1)


def _switch(control: Control, action: Any, reason: str, token: str) -> str | None:
    """Try to halt or resume; what went wrong in words, None when it worked."""
    if not reason:
        return "Say why: the reason is recorded."
    if not token:
        return "The token is needed. It is the content of control.token in the daemon's home folder."
    try:
        control.switch(action, reason, token)
    except HaltRefused as error:
        return str(error)
    except DaemonSilent as error:
        return f"Nothing has changed: {error}."
    return None


_BLIND = Sight(
    taken=datetime(2000, 1, 1, tzinfo=UTC),
    books=None,
    lake_trouble=None,
    status=None,
    answered=None,
    daemon_trouble=None,
)
"""Sees nothing; only tells which parts there are."""


def _parts(sight: Sight) -> list[Part]:
    """All parts of the page, always the same ones in the same order."""
    action = health.next_switch(sight)
    books = sight.books
    account = books.account if books else None
    return [
        _small("header", health.header(sight)),
        _small("switch", action.upper()),
        _small("switch", f"switch {action}", "className"),
        _small("banners", health.banners(sight)),
        _small("strip", health.strip(sight)),
        _small("tiles", book.tiles(account, books.positions if books else [])),
        _small("refreshed", notation.clock(sight.taken)),
        _section("positions", books, lambda b: b.positions, positions.section),
        _section("decisions", books, lambda b: b.decisions, decisions.section),
        _section("orders", books, lambda b: b.orders, trades.orders),
        _section("fills", books, lambda b: b.fills, trades.fills),
        _section("differences", books, lambda b: b.differences, reconciliation.section),
        _section("alerts", books, lambda b: b.alerts, trades.alerts),
        _small("lines-and-link", lines_and_link.panel(sight)),
        *(_chart(series, books) for series in CHARTS),
    ]


def _small(component: str, content: Any, prop: str = "children") -> Part:
    return Part(component, prop, content, lambda: content)


def _section(
    component: str,
    books: Books | None,
    rows: Callable[[Books], list[Any]],
    draw: Callable[[list[Any]], Component],
) -> Part:
    if books is None:
        return Part(
            component, "children", None, lambda: pieces.empty("Nothing to show: there is no lake yet.")
        )
    seen = rows(books)
    return Part(component, "children", seen, lambda: draw(seen))


def _chart(series: figures.Series, books: Books | None) -> Part:
    if books is None or books.history.is_empty():
        return Part(chart_id(series), "figure", None, lambda: no_update)
    history = books.history
    return Part(chart_id(series), "figure", history["seq"][-1], lambda: figures.chart(history, series))

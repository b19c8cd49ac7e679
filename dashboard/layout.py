"""The page's skeleton: everything that never changes while it is open."""

from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dashboard import pieces, rules_desk, rules_gate, why
from dashboard.figures import GREEKS, NLV, Series

REFRESH_EVERY_MS = 2000
CHARTS = (NLV, *GREEKS)

_GRAPH_CONFIG: Any = {"displayModeBar": False, "responsive": True, "scrollZoom": False}
_NO_AXES = {"visible": False, "fixedrange": True}
_BLANK = {
    "data": [],
    "layout": {
        "xaxis": _NO_AXES,
        "yaxis": _NO_AXES,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
    },
}


def page(title: str) -> Component:
    """The whole document; the refresh fills the parts that have an id."""
    return html.Div(
        [
            dcc.Interval(id="tick", interval=REFRESH_EVERY_MS),
            dcc.Store(id="shown", data={}),
            dcc.Store(id="switched", data=0),
            dcc.Store(id="gate-shown", data=None),
            html.Header(
                [
                    html.H1(title),
                    html.Div(id="header", className="header-state"),
                    html.Button("HALT", id="switch", className="switch halt", type="button"),
                ],
                className="top",
            ),
            html.Div(
                "This page gets no answers from its own server any more. What you see is old.",
                id="page-silent",
                className="banner bad",
                role="alert",
            ),
            html.Main(
                [
                    html.Div(id="banners"),
                    html.Section(id="strip", className="strip", **pieces.dashed(aria_label="Health")),
                    html.Section(id="tiles", className="tiles", **pieces.dashed(aria_label="Book")),
                    _section("Positions", html.Div(id="positions")),
                    _section("Why did it (not) fire?", why.panel()),
                    _section("Decisions", html.Div(id="decisions")),
                    html.Div(
                        [
                            _section("Orders", html.Div(id="orders")),
                            _section("Fills", html.Div(id="fills")),
                        ],
                        className="pair",
                    ),
                    _section(
                        "Account and book Greeks",
                        html.Div([_chart(series) for series in CHARTS], className="charts"),
                    ),
                    _section("Lines and link", html.Div(id="lines-and-link")),
                    _section("Rules", html.Div([html.Div(id="rules-gate"), html.Div(id="rules")])),
                    _section("Our books and the broker's", html.Div(id="differences")),
                    _section("Alerts", html.Div(id="alerts")),
                ]
            ),
            html.Footer(
                ["All times are New York time. Page refreshed ", html.Time(id="refreshed"), "."],
            ),
            _dialog(),
            rules_desk.dialog(),
            rules_gate.dialog(),
        ],
        className="page",
    )


def chart_id(series: Series) -> str:
    """The id of the graph that shows the series."""
    return f"chart-{series.column}"


def _section(name: str, content: Component) -> Component:
    return html.Section([html.H2(name), content], className="section")


def _chart(series: Series) -> Component:
    wide = series is NLV
    graph = dcc.Graph(
        id=chart_id(series),
        figure=_BLANK,
        config=_GRAPH_CONFIG,
        responsive=True,
        style={"height": "240px" if wide else "140px"},
    )
    return html.Figure([html.Figcaption(series.name), graph], className="chart wide" if wide else "chart")


def _dialog() -> Component:
    """Asks for a reason and the token. The token stays in the browser until its session ends."""
    return html.Div(
        html.Div(
            [
                html.H2(id="dialog-title"),
                html.P(id="dialog-text"),
                html.Label(
                    ["Reason", dcc.Input(id="reason", type="text", maxLength=500, autoComplete="off")]
                ),
                html.Label(
                    [
                        "Token",
                        dcc.Input(
                            id="token",
                            type="password",
                            autoComplete="off",
                            persistence=True,
                            persistence_type="session",
                        ),
                    ]
                ),
                html.Small("The content of control.token in the daemon's home folder."),
                html.P(id="dialog-message", className="dialog-message", role="alert"),
                html.Div(
                    [
                        html.Button("Cancel", id="cancel", className="quiet cancel", type="button"),
                        html.Button(id="confirm", type="button"),
                    ],
                    className="buttons",
                ),
            ],
            className="dialog",
            role="dialog",
            **pieces.dashed(aria_modal="true", aria_labelledby="dialog-title"),
        ),
        id="veil",
        className="veil closed",
    )

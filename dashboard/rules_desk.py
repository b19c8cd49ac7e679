"""The rules section: what is in the rules file, and a dialog that has one thing in it changed.

The page never writes a file: it asks the daemon, with the owner's token, and shows what the check said.
"""

from collections.abc import Sequence
from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from dashboard import pieces
from dashboard.control import ChangeRefused, Control, DaemonSilent, MuteInFile, RuleInFile, RulesFile

_OPEN, _CLOSED = "veil open", "veil closed"
_MODE_TONES = {"live": "good", "shadow": "fair", "off": "calm"}
_TOKEN_NEEDED = "The token is needed. It is the content of control.token in the daemon's home folder."


# --- what is shown -------------------------------------------------------------------------------


def section(file: RulesFile | None) -> Component:
    """All rules by priority, each with its numbers and mutes inside."""
    if file is None:
        return pieces.empty("The daemon does not tell its rules.")
    if file.error is not None:
        return html.Div(
            [
                html.P(f"{file.path} is not sound; the rules before it stay in force.", className="notice"),
                html.Pre(file.error, className="explanation"),
            ]
        )
    entries = [_entry(rule, [mute for mute in file.mutes if mute.rule == rule.id]) for rule in file.rules]
    return html.Div(
        [
            html.P([html.Code(file.path), " · revision ", html.Code(file.revision)], className="empty"),
            html.Div(entries, className="entries rules"),
        ]
    )


def _entry(rule: RuleInFile, mutes: Sequence[MuteInFile]) -> Component:
    active = [mute for mute in mutes if not mute.ended]
    tags = [pieces.badge(rule.mode, _MODE_TONES[rule.mode])]
    tags += [pieces.badge(f"{len(active)} muted", "poor")] if active else []
    line = [
        html.Span(f"Priority {rule.priority}", className="when"),
        html.Span(rule.id, className="rule"),
        html.Span(" or ".join(rule.when), className="what"),
        html.Span(tags, className="tags"),
    ]
    return html.Details(
        [html.Summary(line), html.Div(_inside(rule, mutes), className="inside")],
        **pieces.dashed(data_keep=f"rule-{rule.id}"),
        className="entry rule-entry",
    )


def _inside(rule: RuleInFile, mutes: Sequence[MuteInFile]) -> list[Component]:
    numbers = [
        _number(rule, name, value, target)
        for target, values in (("", rule.parameters), *rule.overrides.items())
        for name, value in values.items()
    ]
    muted = [
        html.Li(
            [
                html.Span(f"{mute.said}{' (ended)' if mute.ended else ''} "),
                _open("unmute", rule.id, on=mute.on),
            ]
        )
        for mute in mutes
    ]
    return [
        html.Div(numbers, className="fields numbers") if numbers else pieces.empty("It has no numbers."),
        *([html.Ul(muted, className="mutes")] if muted else []),
        html.Div(
            [
                _open("mode", rule.id, value=rule.mode),
                _open("mute", rule.id, on="book" if rule.scope == "book" else ""),
            ],
            className="buttons",
        ),
    ]


def _number(rule: RuleInFile, name: str, value: str, target: str) -> Component:
    label = f"{name} for {target}" if target else name
    return pieces.field(label, [html.Code(value), " ", _open("parameter", rule.id, name, target, value)])


def _open(kind: str, rule: str, name: str = "", target: str = "", value: str = "", on: str = "") -> Component:
    """The button that opens the dialog for this change."""
    words = {"parameter": "Change", "mode": "Mode …", "mute": "Mute …", "unmute": "Unmute"}
    about = " ".join(part for part in (kind, rule, name, target, on) if part)
    return html.Button(
        words[kind],
        id={
            **{"type": "desk-open", "kind": kind, "rule": rule},
            **{"name": name, "target": target, "value": value, "on": on},
        },
        className="quiet small",
        type="button",
        **pieces.dashed(aria_label=about),
    )


def dialog() -> Component:
    """The dialog with what a change needs; its fields come when it is opened."""
    token = dcc.Input(
        id="desk-token", type="password", autoComplete="off", persistence=True, persistence_type="session"
    )
    return html.Div(
        [
            dcc.Store(id="desk-shown", data=None),
            dcc.Store(id="desk-asked", data=None),
            dcc.Store(id="desk-done", data=0),
            html.Div(
                [
                    html.H2(id="desk-title"),
                    html.P(id="desk-text"),
                    html.Div(id="desk-fields"),
                    html.Label(["Token", token]),
                    html.Small("The content of control.token in the daemon's home folder."),
                    html.Pre(id="desk-message", className="dialog-message", role="alert"),
                    html.Div(
                        [
                            html.Button("Cancel", id="desk-cancel", className="quiet cancel", type="button"),
                            html.Button("Save", id="desk-save", className="resume", type="button"),
                        ],
                        className="buttons",
                    ),
                ],
                className="dialog",
                role="dialog",
                **pieces.dashed(aria_modal="true", aria_labelledby="desk-title"),
            ),
        ],
        id="desk-veil",
        className=_CLOSED,
    )


# --- what a change asks for ----------------------------------------------------------------------


def _title(asked: dict[str, str]) -> str:
    rule, target = asked["rule"], f" for {asked['target']}" if asked["target"] else ""
    return {
        "parameter": f"{rule}: {asked['name']}{target}",
        "mode": f"{rule}: mode",
        "mute": f"Mute {rule}",
        "unmute": f"Unmute {rule} on {asked['on']}",
    }[asked["kind"]]


def _text(asked: dict[str, str]) -> str:
    return {
        "parameter": "The value with its unit, as in the file. It is checked before anything is written.",
        "mode": "A shadow decides and records, and never acts.",
        "mute": "Until then the rule decides and records here, and does not act.",
        "unmute": "The rule may act here again.",
    }[asked["kind"]]


def _fields(asked: dict[str, str]) -> list[Component]:
    match asked["kind"]:
        case "parameter":
            move = dcc.Checklist(
                [{"label": "move examples that do not hold any more by as much", "value": "yes"}],
                id=_field("move_examples"),
            )
            return [_asked("Value", "value", asked["value"]), move]
        case "mode":
            modes = dcc.RadioItems(["live", "shadow", "off"], asked["value"], id=_field("mode"), inline=True)
            return [html.Label(["Mode", modes])]
        case "mute":
            return [
                _asked("On", "on", asked["on"], "IWM, iron_condor, a strategy, a position, or book"),
                _asked("Until", "until", "", "2026-03-20, or 2026-03-20 15:30 America/New_York"),
                _asked("Reason", "reason", "", "it stands in the file"),
            ]
    return []


def _asked(label: str, name: str, value: str, placeholder: str = "") -> Component:
    field = dcc.Input(
        id=_field(name), type="text", value=value, placeholder=placeholder, maxLength=500, autoComplete="off"
    )
    return html.Label([label, field])


def _field(name: str) -> dict[str, str]:
    return {"type": "desk-field", "name": name}


def _change(asked: dict[str, str], given: dict[str, Any], revision: str | None) -> dict[str, Any]:
    """What the daemon is told."""
    change = {"rule": asked["rule"], "revision": revision or "none"}
    match asked["kind"]:
        case "parameter":
            override = {"override": asked["target"]} if asked["target"] else {}
            moves = {"move_examples": bool(given.get("move_examples"))}
            return {
                **change,
                "parameter": asked["name"],
                "value": given.get("value") or "",
                **override,
                **moves,
            }
        case "unmute":
            return {**change, "on": asked["on"]}
    return {**change, **{name: str(value or "").strip() for name, value in given.items()}}


# --- behaviour -----------------------------------------------------------------------------------


def register(app: Dash, control: Control) -> None:
    """Give the section its behaviour."""

    @app.callback(
        Output("rules", "children"),
        Output("desk-shown", "data"),
        Input("tick", "n_intervals"),
        Input("desk-done", "data"),
        State("desk-shown", "data"),
    )
    def refresh(_tick: int | None, _done: int, shown: dict[str, str] | None) -> tuple[Any, Any]:
        try:
            file = control.rules_file()
        except DaemonSilent:
            # What was there stays; the page says elsewhere that the daemon is silent.
            return no_update, no_update
        now = {"seen": file.model_dump_json() if file else "", "revision": file.revision if file else None}
        return (no_update, no_update) if now == shown else (section(file), now)

    @app.callback(
        Output("desk-veil", "className"),
        Output("desk-title", "children"),
        Output("desk-text", "children"),
        Output("desk-fields", "children"),
        Output("desk-asked", "data"),
        Output("desk-message", "children"),
        Output("desk-done", "data"),
        Input(
            {"type": "desk-open", **dict.fromkeys(("kind", "rule", "name", "target", "value", "on"), ALL)},
            "n_clicks",
        ),
        Input("desk-cancel", "n_clicks"),
        Input("desk-save", "n_clicks"),
        Input("desk-token", "n_submit"),
        State({"type": "desk-field", "name": ALL}, "value"),
        State("desk-token", "value"),
        State("desk-asked", "data"),
        State("desk-shown", "data"),
        State("desk-done", "data"),
        prevent_initial_call=True,
    )
    def dialog_moves(*arguments: Any) -> tuple[Any, ...]:
        values, token, asked, shown, done = arguments[-5:]
        if not ctx.triggered or not ctx.triggered[0]["value"]:
            return (no_update,) * 7  # drawn anew, not clicked
        clicked = ctx.triggered_id
        if isinstance(clicked, dict):
            opened = {**clicked, "revision": (shown or {}).get("revision")}
            return _OPEN, _title(opened), _text(opened), _fields(opened), opened, "", no_update
        if clicked == "desk-cancel" or asked is None:
            return (_CLOSED, *[no_update] * 4, "", no_update)
        names = [state["id"]["name"] for state in ctx.states_list[0]]
        trouble = _save(control, asked, dict(zip(names, values, strict=True)), (token or "").strip())
        if trouble:
            return (*[no_update] * 5, trouble, no_update)
        return (_CLOSED, *[no_update] * 4, "", done + 1)


def _save(control: Control, asked: dict[str, Any], given: dict[str, Any], token: str) -> str | None:
    """Have it changed; what went wrong in words, None when it worked."""
    if not token:
        return _TOKEN_NEEDED
    try:
        control.change_rules(asked["kind"], _change(asked, given, asked["revision"]), token)
    except ChangeRefused as error:
        return str(error)
    except DaemonSilent as error:
        return f"{error}: the section shows whether it was changed all the same."
    return None

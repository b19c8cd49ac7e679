"""Which rules are in force, and those that wait for a human: what they would do, with Approve and Reject."""

import json
from collections.abc import Sequence
from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from dashboard import notation, pieces
from dashboard.control import ChangeRefused, Control, DaemonSilent, NewFire, Rules, WaitingRules
from dashboard.sight import Watch

_OPEN, _CLOSED = "veil open", "veil closed"
_TOKEN_NEEDED = "The token is needed. It is the content of control.token in the daemon's home folder."
_WORDS = {
    "approve": "They come into force with the next beat, if they would still do what is listed here.",
    "reject": "The rules in force stay. The file is ignored until it is saved again.",
    "rollback": "These rules come into force again. The file stays, and is ignored until it is saved again.",
}


# --- what is shown -------------------------------------------------------------------------------


def section(rules: Rules | None) -> Component:
    """The rules in force, and what waits."""
    if rules is None or rules.step is None:
        return html.Div()
    parts: list[Component] = [_in_force(rules)]
    if rules.ignored:
        text = f"The file holds revision {rules.ignored}: it is ignored until it is saved again."
        parts.append(html.P(text, className="notice"))
    if rules.waiting:
        parts.append(_waiting(rules.waiting, rules.revision))
    return html.Div(parts)


def _in_force(rules: Rules) -> Component:
    by = f"rolled back by {rules.actor}" if rules.step == "rolled_back" else f"approved by {rules.actor}"
    how = by if rules.actor else "as saved"
    since = f" since {notation.moment(rules.since)}" if rules.since else ""
    back: list[pieces.Child] = []
    if rules.before and not rules.waiting:
        back = [" ", _open("rollback", rules.before, f"Roll back to {rules.before}")]
    said: list[pieces.Child] = ["In force: revision ", html.Code(rules.revision), f"{since}, {how}.", *back]
    return html.P(said, className="in-force")


def _waiting(waiting: WaitingRules, in_force: str) -> Component:
    since = f" since {notation.moment(waiting.since)}" if waiting.since else ""
    head = f"Revision {waiting.revision} waits for you{since}."
    what = f" It would {counted(waiting.fires)}, which revision {in_force} would not."
    rows = [_row(fire) for fire in waiting.fires]
    notes = [html.Li(text) for text in _notes(waiting)]
    return html.Div(
        [
            html.P([html.Strong(head), html.Span(what)], className="banner bad", role="alert"),
            pieces.table("fires", ("Position", "Rule", "Action", "When", "Profit", "P&L"), rows),
            *([html.Ul(notes, className="mutes")] if notes else []),
            html.Div(
                [
                    _open("reject", waiting.revision, "Reject …", "quiet"),
                    _open("approve", waiting.revision, "Approve …", "resume"),
                ],
                className="buttons",
            ),
        ],
        className="waiting",
    )


def counted(fires: Sequence[NewFire]) -> str:
    """What would be done to how many: `close 14 positions`."""
    counts: dict[str, int] = {}
    for fire in fires:
        counts[fire.action] = counts.get(fire.action, 0) + 1
    return ", ".join(f"{action} {n} position{'s' if n > 1 else ''}" for action, n in sorted(counts.items()))


def _row(fire: NewFire) -> tuple[pieces.Child, ...]:
    why = "its quotes were not known"
    arguments = " ".join(str(value) for value in json.loads(fire.params).values())
    return (
        html.Code(fire.position),
        fire.rule,
        f"{fire.action} {arguments}".strip(),
        "at once" if fire.at_once else "later",
        pieces.value(notation.percent(fire.profit, signed=True), why, pieces.tone_of(fire.profit)),
        pieces.value(notation.usd(fire.profit_usd, signed=True), why, pieces.tone_of(fire.profit_usd)),
    )


def _notes(waiting: WaitingRules) -> list[str]:
    notes = [f"Warning: {said}" for said in waiting.lints]
    if waiting.replayed:
        tried = waiting.replayed
        notes.append(
            f"Decisions that would have been others: {tried.changed} (beats looked at: {tried.beats})."
        )
    return notes


def _open(word: str, revision: str, text: str, tone: str = "quiet small") -> Component:
    return html.Button(
        text,
        id={"type": "gate-open", "word": word, "revision": revision},
        className=tone,
        type="button",
        **pieces.dashed(aria_label=f"{word} {revision}"),
    )


def dialog() -> Component:
    """Asks for the token, and for a reason where one is recorded."""
    token = dcc.Input(
        id="gate-token", type="password", autoComplete="off", persistence=True, persistence_type="session"
    )
    reason = dcc.Input(id="gate-reason", type="text", maxLength=500, autoComplete="off")
    return html.Div(
        [
            dcc.Store(id="gate-asked", data=None),
            dcc.Store(id="gate-done", data=0),
            html.Div(
                [
                    html.H2(id="gate-title"),
                    html.P(id="gate-text"),
                    html.Label(["Reason", reason], id="gate-why"),
                    html.Label(["Token", token]),
                    html.Small("The content of control.token in the daemon's home folder."),
                    html.P(id="gate-message", className="dialog-message", role="alert"),
                    html.Div(
                        [
                            html.Button("Cancel", id="gate-cancel", className="quiet cancel", type="button"),
                            html.Button(id="gate-confirm", className="resume", type="button"),
                        ],
                        className="buttons",
                    ),
                ],
                className="dialog",
                role="dialog",
                **pieces.dashed(aria_modal="true", aria_labelledby="gate-title"),
            ),
        ],
        id="gate-veil",
        className=_CLOSED,
    )


# --- behaviour -----------------------------------------------------------------------------------


def register(app: Dash, watch: Watch, control: Control) -> None:
    """Give the section and its dialog their behaviour."""

    @app.callback(
        Output("rules-gate", "children"),
        Output("gate-shown", "data"),
        Input("tick", "n_intervals"),
        Input("gate-done", "data"),
        State("gate-shown", "data"),
    )
    def refresh(_tick: int | None, _done: int, shown: str | None) -> tuple[Any, Any]:
        status = watch.look().status
        rules = status.rules if status else None
        now = rules.model_dump_json() if rules else ""
        return (no_update, no_update) if now == shown else (section(rules), now)

    @app.callback(
        Output("gate-veil", "className"),
        Output("gate-title", "children"),
        Output("gate-text", "children"),
        Output("gate-why", "style"),
        Output("gate-confirm", "children"),
        Output("gate-asked", "data"),
        Output("gate-message", "children"),
        Output("gate-done", "data"),
        Input({"type": "gate-open", "word": ALL, "revision": ALL}, "n_clicks"),
        Input("gate-cancel", "n_clicks"),
        Input("gate-confirm", "n_clicks"),
        Input("gate-token", "n_submit"),
        State("gate-reason", "value"),
        State("gate-token", "value"),
        State("gate-asked", "data"),
        State("gate-done", "data"),
        prevent_initial_call=True,
    )
    def dialog_moves(*arguments: Any) -> tuple[Any, ...]:
        reason, token, asked, done = arguments[-4:]
        if not ctx.triggered or not ctx.triggered[0]["value"]:
            return (no_update,) * 8  # drawn anew, not clicked
        clicked = ctx.triggered_id
        if isinstance(clicked, dict):
            word, revision = clicked["word"], clicked["revision"]
            title = f"{word.capitalize()} revision {revision}"
            why = {} if word == "reject" else {"display": "none"}
            return _OPEN, title, _WORDS[word], why, word.capitalize(), clicked, "", no_update
        if clicked == "gate-cancel" or asked is None:
            return (_CLOSED, *[no_update] * 5, "", no_update)
        trouble = _say(control, asked, (reason or "").strip(), (token or "").strip())
        watch.forget()
        if trouble:
            # What is shown may be another list by now: it is drawn anew under the dialog.
            return (*[no_update] * 6, trouble, done + 1)
        return (_CLOSED, *[no_update] * 5, "", done + 1)


def _say(control: Control, asked: dict[str, str], reason: str, token: str) -> str | None:
    """Tell the daemon; what went wrong in words, None when it worked."""
    if not token:
        return _TOKEN_NEEDED
    why = {"reason": reason} if asked["word"] == "reject" and reason else {}
    try:
        control.say_of_rules(asked["word"], {"revision": asked["revision"], **why}, token)
    except ChangeRefused as error:
        return str(error)
    except DaemonSilent as error:
        return f"{error}: the section shows what came of it."
    return None

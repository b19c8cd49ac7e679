"""The section that tells why each rule fires or not on a position: conditions, distances, traces."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

import rules
from dashboard import notation, pieces, positions
from dashboard.control import Control, DaemonSilent
from dashboard.sight import Watch
from lake import LakeReader
from lake.rule_moments import rule_moment, traces
from options import LakeError, RuleError
from rules import Explanation
from rules.explanation import Condition, ExplainedRule
from rules.explanation_text import SIGNS, outcome_words, shown_distance, shown_value
from rules.facts import Unit
from rules.outcomes import TELLING_FIRST

Row = Mapping[str, Any]

BOOK = ""
SHOWN_TRACES = 5
_TONES = {"wins": "good", "fires": "good", "near": "poor", "waits": "fair"}
_HOLDING = {True: "holds", False: "fails", None: "unclear"}


@dataclass(frozen=True, slots=True)
class Answer:
    """Why, for one position; `source` says in words when and by whom it was seen."""

    explanation: Explanation
    source: str
    traces: Mapping[str, Sequence[Row]]

    def mark(self) -> str:
        """Changes when there is something else to show."""
        seen = {**self.explanation.data(), "time": None}
        told = [row["seq"] for rows in self.traces.values() for row in rows]
        return hashlib.blake2b(json.dumps([seen, told]).encode(), digest_size=8).hexdigest()


# --- what is known -------------------------------------------------------------------------------


@dataclass(slots=True)
class Asker:
    """Finds out why; what is recorded is read again only when something new is."""

    home: Path
    control: Control
    _reader: LakeReader | None = None
    _seq: int = -1
    _traces: dict[str, list[Row]] = field(default_factory=dict)
    _recorded: dict[str, Row] = field(default_factory=dict)

    def answer(self, position: str) -> Answer:
        """From the daemon's last beat, else from what is recorded. Raises LakeError and RuleError."""
        reader = self._reader = self._reader or LakeReader.open(self.home)
        seq = reader.seq
        if seq != self._seq:
            by_rule: dict[str, list[Row]] = {}
            for trace in traces(reader, SHOWN_TRACES, with_conditions=False):
                by_rule.setdefault(trace["rule"], []).append(trace)
            self._seq, self._recorded, self._traces = seq, {}, by_rule
        source = "as the daemon sees it"
        try:
            row: Row | None = self.control.rule_moment(position)
        except DaemonSilent:
            row = None
        if row is None:
            row = self._recorded[position] = self._recorded.get(position) or rule_moment(reader, position)
            source = "as last recorded"
        explanation = _explained(position, row)
        return Answer(explanation, f"{source}, {notation.moment(explanation.time)}", self._traces)


def _explained(position: str, row: Row) -> Explanation:
    time = row["time"] if isinstance(row["time"], datetime) else datetime.fromisoformat(row["time"])
    if row["rules"] is None:
        raise RuleError("Which rules were in force is not recorded.")
    market = {name: row["market"].get(name) for name, fact in rules.FACTS.items() if fact.scope == "book"}
    state = rules.RuleState.from_json(row["state"])
    book = _rulebook(row["revision"], row["rules"])
    return rules.explain(book, state, {"position": position, **row["facts"]}, market, time)


@lru_cache(maxsize=4)
def _rulebook(revision: str | None, text: str) -> rules.Rulebook:
    return rules.parse(text, f"rules {revision}")


# --- what is shown -------------------------------------------------------------------------------


def panel() -> Component:
    """The section's skeleton."""
    return html.Div(
        [
            dcc.Store(id="why-chosen", data=None),
            dcc.Store(id="why-shown", data=None),
            html.Div(id="why-choice", className="choice"),
            html.Div(id="why"),
        ]
    )


def choice(held: Sequence[Row], chosen: str) -> list[Component]:
    """A button per position, and one for the book."""
    named = [(row["id"], positions.title(row["underlying"], row["structure"])) for row in held]
    return [
        html.Button(
            name,
            id={"type": "why-pick", "position": position},
            className="quiet small picked" if position == chosen else "quiet small",
            type="button",
            title=position or "the rules of the whole book",
        )
        for position, name in (*named, (BOOK, "Book"))
    ]


def section(found: Answer) -> Component:
    """All rules, near misses first, each with its conditions and its last traces inside."""
    explanation = found.explanation
    won = f"{explanation.rule} wins" if explanation.rule else "no rule fires"
    about = [won, found.source, f"rules {explanation.book.revision}"]
    if explanation.position != BOOK:
        about += [
            f"{name.replace('_', ' ')} {shown_value(value, unit)}"
            for name, (value, unit) in explanation.tracked.items()
        ]
    ordered = sorted(explanation.rules, key=lambda one: TELLING_FIRST.index(one.outcome))
    entries = [_entry(one, found.traces.get(one.rule, ())) for one in ordered]
    return html.Div(
        [html.P(" · ".join(about), className="empty"), html.Div(entries, className="entries why")]
    )


def _entry(one: ExplainedRule, traced: Sequence[Row]) -> Component:
    words = outcome_words(one).removeprefix(one.outcome).removeprefix(": ")
    line = [
        pieces.badge(one.outcome, _TONES.get(one.outcome, "calm")),
        html.Span(one.rule, className="rule"),
        html.Span(_typeset(words), className="what"),
        _bar(None if one.gap is None else one.gap.relative, one.outcome in ("wins", "fires", "waits")),
    ]
    return html.Details(
        [html.Summary(line), html.Div(_inside(one, traced), className="inside")],
        **pieces.dashed(data_keep=f"why-{one.rule}"),
        className="entry",
    )


def _inside(one: ExplainedRule, traced: Sequence[Row]) -> list[Component]:
    parts: list[Component] = []
    for tier in one.tiers:
        done = ", done once already" if tier.done else ""
        parts.append(html.H4(f"{tier.action.capitalize()} when{done}"))
        parts.append(html.Div(list(_lines(tier.condition, 0)), className="tree"))
    if one.clear_when is not None:
        parts.append(html.H4(f"Cleared when ({'active' if one.active else 'not active'} now)"))
        parts.append(html.Div(list(_lines(one.clear_when, 0)), className="tree"))
    remarks = _remarks(one)
    if remarks:
        parts.append(html.Ul([html.Li(remark) for remark in remarks], className="remarks"))
    parts += [html.H4("Last traces of this rule"), _traces(traced)]
    return parts


def _remarks(one: ExplainedRule) -> list[str]:
    given = [
        f"{setting.name} is {shown_value(setting.value, setting.unit or Unit.NUMBER)} "
        f"by the override for {setting.by}"
        for setting in one.settings
        if setting.by is not None
    ]
    lacking = [
        f"{name} is not known{'' if decides else ', but without consequence'}"
        for name, decides in one.unknown.items()
    ]
    mode = [] if one.mode == "live" else [f"The rule is in mode {one.mode}: it never acts."]
    return [*mode, *([one.muted] if one.muted else []), *lacking, *given]


def _lines(condition: Condition, depth: int) -> Iterator[Component]:
    shape, holds = condition.shape, condition.holds
    text = html.Span(
        [html.Span(SIGNS[holds], className=f"sign {_HOLDING[holds]}"), html.Code(condition.text)],
        className="condition",
        style={"paddingLeft": f"{depth * 18}px"},
    )
    if shape.is_membership:
        value = shown_value(condition.parts[0].value, Unit.TEXT)
        yield html.Div([text, html.Span(value, className="is")], className="line")
    elif not condition.is_comparison:
        yield html.Div(text, className="line")
        for part in condition.parts:
            yield from _lines(part, depth + 1)
    else:
        change, threshold = condition.distance, condition.threshold
        share = condition.relative
        away = _typeset(shown_distance(shape, change)) if change else ""
        yield html.Div(
            [
                text,
                html.Span(_typeset(shown_value(condition.value, shape.unit)), className="is"),
                html.Span(_typeset(shown_value(threshold, shape.unit)), className="limit"),
                html.Span(away, className="away"),
                _bar(share, holds is True),
            ],
            className="line",
        )


def _typeset(text: str) -> str:
    """With minus signs where a number begins."""
    return re.sub(r"(^|\s)-(?=[\d$])", rf"\1{notation.MINUS}", text)


def _bar(relative: float | None, there: bool) -> Component:
    """How much of the way is gone: full where nothing is missing, none where there is no telling."""
    if relative is None and not there:
        return html.Span(className="reach none", **pieces.dashed(aria_hidden="true"))
    gone = 1.0 if there or relative is None else min(max(1.0 - relative, 0.0), 1.0)
    tone = "there" if there else "close" if relative is not None and relative <= rules.NEAR else ""
    said = "there" if there else f"{100 * gone:.0f} % of the way"
    return html.Span(
        html.Span(style={"width": f"{100 * gone:.0f}%"}),
        className=f"reach {tone}".strip(),
        title=said,
        role="img",
        **pieces.dashed(aria_label=said),
    )


def _traces(traced: Sequence[Row]) -> Component:
    if not traced:
        return pieces.empty("Nothing has become of it yet, not even nearly.")
    return html.Ul(
        [
            html.Li(
                [
                    html.Time(notation.moment(row["seen"]), className="when"),
                    html.Code(row["position"] or "book"),
                    html.Span(f"{row['was'] or 'quiet'} → {row['words']}"),
                ]
            )
            for row in traced
        ],
        className="traces",
    )


# --- behaviour -----------------------------------------------------------------------------------


def register(app: Dash, watch: Watch, control: Control) -> None:
    """Give the section its behaviour."""
    asker = Asker(watch.home, control)

    @app.callback(
        Output("why-chosen", "data"),
        Input({"type": "why-pick", "position": ALL}, "n_clicks"),
        Input({"type": positions.WHY, "position": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )
    def pick(_picked: list[int | None], _asked: list[int | None]) -> Any:
        # Buttons that were just drawn come here too, with no click yet.
        return ctx.triggered_id["position"] if ctx.triggered[0]["value"] else no_update

    @app.callback(
        Output("why-choice", "children"),
        Output("why", "children"),
        Output("why-shown", "data"),
        Input("tick", "n_intervals"),
        Input("why-chosen", "data"),
        State("why-shown", "data"),
    )
    def refresh(_tick: int | None, chosen: str | None, shown: list[str] | None) -> tuple[Any, Any, Any]:
        books = watch.look().books
        held = books.positions if books else []
        known = {row["id"] for row in held} | {BOOK}
        first: str = held[0]["id"] if held else BOOK
        position = first if chosen is None or chosen not in known else chosen
        buttons = choice(held, position)
        among = json.dumps([position, *(row["id"] for row in held)])
        try:
            found = asker.answer(position)
        except (LakeError, RuleError) as error:
            return buttons, pieces.empty(str(error)), None
        now = [among, found.mark()]
        if shown == now:
            return no_update, no_update, no_update
        return (no_update if shown and shown[0] == among else buttons), section(found), now

"""The decisions section: what the rules wanted, why, and what came of it."""

from collections.abc import Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

from dashboard import notation, pieces
from dashboard.positions import title
from rules import FACTS, Unit

Row = dict[str, Any]

_KIND_TONES = {"decision": "calm", "veto": "poor", "shadow": "fair"}
_OUTCOME_TONES = {"settled": "good", "filled": "good", "rejected": "bad", "cancelled": "poor"}


def section(decisions: Sequence[Row]) -> Component:
    """All decisions, newest first, each with its explanation inside."""
    if not decisions:
        return pieces.empty("No rule has wanted anything yet.")
    return html.Div([_entry(decision) for decision in decisions], className="entries")


def _entry(decision: Row) -> Component:
    return html.Details(
        [html.Summary(_line(decision)), html.Div(_explanation(decision), className="inside")],
        **pieces.dashed(data_keep=f"decision-{decision['id']}"),
        className="entry decision",
    )


def _line(decision: Row) -> list[Component]:
    about = title(decision["underlying"], decision["structure"]) if decision["position"] else "the whole book"
    outcome = decision["outcome"]
    tags = [] if decision["kind"] == "decision" else [pieces.badge(decision["kind"], _kind_tone(decision))]
    if outcome:
        tags.append(pieces.badge(outcome.replace("_", " "), _OUTCOME_TONES.get(outcome, "calm")))
    return [
        html.Time(notation.moment(decision["time"]), className="when"),
        html.Span(decision["rule"] or "no rule", className="rule"),
        html.Span(f"{notation.words(decision['action']).lower()} {about}", className="what"),
        html.Span(tags, className="tags"),
    ]


def _kind_tone(decision: Row) -> str:
    return _KIND_TONES.get(decision["kind"], "calm")


def _explanation(decision: Row) -> list[Component]:
    outcome = " · ".join(part for part in (decision["outcome"], decision["outcome_reason"]) if part).replace(
        "_", " "
    )
    about: list[tuple[str, pieces.Child]] = [
        ("Priority", notation.plain(decision["priority"])),
        ("Urgency", decision["urgency"] or notation.DASH),
        ("Rules", html.Code((decision["rules_revision"] or notation.DASH)[:12])),
    ]
    wide: list[tuple[str, pieces.Child]] = [
        ("Outcome", outcome or "nothing was tried"),
        ("Position", html.Code(decision["position"] or notation.DASH)),
        ("Decision", html.Code(decision["id"])),
        ("Intent", html.Code(decision["intent"]) if decision["intent"] else "none"),
    ]
    reason: list[Component] = [html.P(decision["reason"], className="reason")] if decision["reason"] else []
    if decision["explanation"]:
        reason.append(html.Pre(decision["explanation"], className="explanation"))
    facts = [
        pieces.field(name.replace("_", " "), pieces.value(_fact(name, known), "not known at that moment"))
        for name, known in decision["facts"].items()
    ]
    return [
        *reason,
        html.Div(
            [
                *(pieces.field(label, content) for label, content in about),
                *(pieces.field(label, content, "wide") for label, content in wide),
            ],
            className="fields",
        ),
        html.Div(
            [
                html.Div([html.H4("Rules that fired"), _chips(decision["fired"], "fired")]),
                html.Div(
                    [html.H4("Rules that could not be judged"), _chips(decision["unknown"], "undecided")]
                ),
            ],
            className="verdicts",
        ),
        html.H4("Facts"),
        html.Div(facts, className="fields facts") if facts else pieces.empty("No facts recorded."),
    ]


def _fact(name: str, known: Any) -> str:
    """A fact's value in the unit that the catalogue gives it."""
    unit = FACTS[name].unit if name in FACTS else None
    if isinstance(known, (int, float)) and unit is Unit.RATIO:
        return notation.percent(known)
    if isinstance(known, (int, float)) and unit is Unit.USD:
        return notation.usd(known)
    return notation.plain(known)


def _chips(names: Sequence[str], class_name: str) -> Component:
    if not names:
        return pieces.empty("None.")
    return html.Div([html.Span(name, className=f"chip {class_name}") for name in names], className="chips")

"""Small parts that several sections are made of."""

from collections.abc import Iterable, Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

from dashboard.notation import DASH

Child = Component | str


def dashed(**attributes: str) -> dict[str, Any]:
    """`aria_label` as `aria-label`: attributes whose names Python cannot spell."""
    return {name.replace("_", "-"): text for name, text in attributes.items()}


def value(text: str, why_unknown: str, class_name: str = "") -> Component:
    """`text`, or when it is the dash of an unknown value, the dash with its reason."""
    if text != DASH:
        return html.Span(text, className=class_name)
    return html.Span(
        DASH, className="unknown", title=why_unknown, **dashed(aria_label=f"unknown: {why_unknown}")
    )


def badge(text: str, tone: str) -> Component:
    """A small coloured word; `tone` is one of good, fair, poor, bad, calm."""
    return html.Span(text, className=f"badge {tone}")


def field(label: str, content: Child | Sequence[Child], class_name: str = "") -> Component:
    """A label over its value."""
    return html.Div(
        [html.Span(label, className="label"), html.Span(content, className="field-value")],
        className=f"field {class_name}".strip(),
    )


def table(name: str, heads: Sequence[str], rows: Iterable[Sequence[Child]]) -> Component:
    """A table that a phone shows as a list of labelled values."""
    body = [
        html.Tr([html.Td(cell, **dashed(data_label=head)) for head, cell in zip(heads, row, strict=True)])
        for row in rows
    ]
    head = html.Thead(html.Tr([html.Th(text, scope="col") for text in heads]))
    return html.Table([head, html.Tbody(body)], className=f"table {name}")


def empty(text: str) -> Component:
    """What a section says when there is nothing in it."""
    return html.P(text, className="empty")


def tone_of(amount: float | None) -> str:
    """`gain`, `loss` or nothing, for the colour of an amount."""
    if not amount:
        return ""
    return "gain" if amount > 0 else "loss"

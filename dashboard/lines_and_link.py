"""How the way to the broker is, what is seen through it, and whether the daemon keeps up."""

from collections.abc import Mapping
from datetime import datetime

from dash import html
from dash.development.base_component import Component

from dashboard import notation, pieces
from dashboard.control import Connection, Lines, Loop, MarkErrors, Marks, Queue, Status
from dashboard.sight import Sight

SILENT = "the daemon does not answer"
UNTOLD = "the daemon does not tell"
OLD_HEARTBEAT_S = 20.0
MODEL_ERROR_RATIO = 0.01
MODEL_ERROR_TICKS = 1.0
MODEL_ERROR_DELTA = 0.01
LONG_TURN_MS = 5.0
_STATES = ("live", "modelled", "stale", "missing")
_BREAKER_TONES = {"closed": "good", "half_open": "poor", "open": "bad"}

Figure = tuple[str, str, str, str]
"""Label, text, tone (empty: none) and why it is unknown where it is."""


def panel(sight: Sight) -> Component:
    """Four groups of figures, and the contracts that never answered; dashes where nobody knows."""
    status = sight.status if sight.daemon_trouble is None else None
    queue = status.queue if status else None
    groups = [
        _group("Link", _link(status)),
        _group("Lines", _lines(status)),
        _group("Marks", _marks(status)),
        _group("Event loop", _loop(status)),
    ]
    parked = _parked(queue) if queue and queue.parked_first else []
    return html.Div([*groups, *parked], className="card lines-and-link")


def _group(name: str, figures: list[Figure]) -> Component:
    fields = [
        pieces.field(label, pieces.value(text, why), f"cell {tone}" if tone and text != notation.DASH else "")
        for label, text, tone, why in figures
    ]
    return html.Div([html.H4(name), html.Div(fields, className="fields")], className="group")


def _link(status: Status | None) -> list[Figure]:
    why = UNTOLD if status else SILENT
    link = status.connection if status else Connection(state="down")
    state = notation.DASH if status is None else link.state
    rate = link.messages_per_s
    return [
        ("State", state, "good" if link.state == "up" else "bad", why),
        ("Since", notation.moment(link.since), "", why),
        ("Attempts", _count(link.attempts), "poor" if link.attempts else "good", why),
        ("Connection breaker", _breaker(link), _BREAKER_TONES.get(link.breaker or "", "poor"), why),
        ("Orders", _orders(status), "poor" if link.blackout or link.state != "up" else "good", why),
        (
            "Messages in",
            notation.DASH if rate is None else f"{rate:,.0f} /s",
            "",
            "counted for less than a second" if link.breaker else why,
        ),
        ("Messages waiting", _count(link.messages_waiting), "", why),
        (
            "Last heard",
            _ago(link.heartbeat_age_s),
            "poor" if (link.heartbeat_age_s or 0.0) > OLD_HEARTBEAT_S else "good",
            "there is no connection" if link.breaker else why,
        ),
    ]


def _breaker(link: Connection) -> str:
    if link.breaker is None:
        return notation.DASH
    word = link.breaker.replace("_", "-")
    return f"{word}, {notation.duration(link.breaker_pause_s)} to go" if link.breaker_pause_s else word


def _orders(status: Status | None) -> str:
    """Whether the link lets new orders out."""
    if status is None or status.connection.breaker is None:
        return notation.DASH
    if status.connection.state != "up":
        return "not sent"
    return status.connection.blackout or "sent"


def _lines(status: Status | None) -> list[Figure]:
    why = UNTOLD if status else SILENT
    lines = status.lines if status else None
    queue = (status.queue if status else None) or Queue()
    nobody = "nobody waits" if queue.contracts is not None else why
    return [
        ("Open", f"{lines.used} of {lines.budget}" if lines else notation.DASH, _line_tone(lines), why),
        ("Kept for orders", _count(lines.reserve if lines else None), "", why),
        ("Taking turns", _turns(queue), "", why),
        ("Contracts in turn", _count(queue.contracts), "", why),
        ("Longest unseen", notation.duration(queue.oldest_s), _age_tone(queue), nobody),
        ("Seen within", notation.duration(queue.turn_s), "", nobody),
        ("To confirm", _count(queue.confirming), "", why),
        ("Never answered", _count(queue.parked), "poor" if queue.parked else "good", why),
    ]


def _line_tone(lines: Lines | None) -> str:
    return "bad" if lines and lines.used > lines.budget else "good"


def _turns(queue: Queue) -> str:
    if queue.visiting is None or queue.lines is None:
        return notation.DASH
    return f"{queue.visiting} on {queue.lines} lines"


def _age_tone(queue: Queue) -> str:
    if queue.oldest_s is None or queue.turn_s is None:
        return ""
    return "good" if queue.oldest_s <= queue.turn_s else "poor"


def _marks(status: Status | None) -> list[Figure]:
    why = UNTOLD if status else SILENT
    marks = (status.marks if status else None) or Marks()
    errors = marks.errors
    unmeasured = "no visit has been measured yet" if errors else why
    counts = [(notation.words(name), _state_count(marks.contracts, name), "", why) for name in _STATES]
    if errors is None:
        ratio = ticks = delta = None
    else:
        ratio, ticks, delta = errors.median_ratio, errors.median_ticks, errors.median_delta
    is_small = (ratio or 0.0) <= MODEL_ERROR_RATIO or (ticks or 0.0) <= MODEL_ERROR_TICKS
    return [
        *counts,
        ("Flagged", notation.DASH if marks.flagged is None else _flags(marks.flagged), "", why),
        ("Model error", _error(ratio, ticks), "good" if is_small else "poor", unmeasured),
        (
            "Delta error",
            notation.number(delta, 4),
            "good" if (delta or 0.0) <= MODEL_ERROR_DELTA else "poor",
            unmeasured,
        ),
        ("Within 1 % or a tick", _within(errors), "", unmeasured),
    ]


def _state_count(contracts: Mapping[str, int] | None, name: str) -> str:
    return _count(None if contracts is None else contracts.get(name, 0))


def _flags(flagged: Mapping[str, int]) -> str:
    said = [f"{count} {notation.words(name).lower()}" for name, count in flagged.items() if count]
    return ", ".join(said) or "none"


def _error(ratio: float | None, ticks: float | None) -> str:
    """The median in both measures."""
    if ratio is None:
        return notation.DASH
    return f"{ratio:.2%}" if ticks is None else f"{ratio:.2%} · {ticks:.1f} ticks"


def _within(errors: MarkErrors | None) -> str:
    if errors is None or errors.within is None:
        return notation.DASH
    return f"{notation.percent(errors.within)} of {errors.visits:,}"


def _loop(status: Status | None) -> list[Figure]:
    why = UNTOLD if status else SILENT
    loop = (status.loop if status else None) or Loop()
    own = loop.longest_own_ms
    return [
        ("Longest turn", _turn(loop.longest_ms, loop.longest_by), "", why),
        (
            "Of it our own work",
            _turn(own, loop.longest_own_by),
            "good" if (own or 0.0) <= LONG_TURN_MS else "poor",
            why,
        ),
        ("Turns over 5 ms", _blocked(loop), "", why),
        ("Last beat", _ms(status.beat.last_ms if status else None), "", why),
        ("Beat p99", _ms(status.beat.p99_ms if status else None), "", why),
    ]


def _turn(took_ms: float | None, by: str | None) -> str:
    if took_ms is None:
        return notation.DASH
    return f"{took_ms:.1f} ms" + (f", {by}" if by else "")


def _blocked(loop: Loop) -> str:
    if loop.blocked is None:
        return notation.DASH
    return f"{loop.blocked:,}" if not loop.turns else f"{loop.blocked:,} of {loop.turns:,}"


def _count(value: int | None) -> str:
    return notation.DASH if value is None else f"{value:,}"


def _ms(value: float | None) -> str:
    return notation.DASH if value is None else f"{value:.1f} ms"


def _ago(seconds: float | None) -> str:
    return notation.DASH if seconds is None else f"{notation.duration(seconds)} ago"


def _parked(queue: Queue) -> list[Component]:
    rows = [
        (each.contract or f"contract {each.con_id}", each.reason or notation.DASH, _retry(each.due))
        for each in queue.parked_first
    ]
    more = (queue.parked or 0) - len(rows)
    return [
        html.Div(pieces.table("parked", ("Never answered", "Why", "Tried again"), rows), className="group"),
        *([pieces.empty(f"and {more:,} more")] if more > 0 else []),
    ]


def _retry(due: datetime | None) -> str:
    return notation.moment(due) if due else "by hand"

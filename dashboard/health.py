"""Header, banners and health strip: who we are, whether it works, and how old what you see is."""

from datetime import datetime
from typing import Literal

from dash import html
from dash.development.base_component import Component

from dashboard import lake_cells, notation, pieces, reconciliation
from dashboard.control import Breaker, Rules, Status
from dashboard.sight import Sight

_CONNECTION_TONES = {"up": "good", "connecting": "poor", "lost": "bad", "down": "bad"}
_CELLS = ("Broker since", "Lines", "Data age", "Beat p99", *lake_cells.NAMES, "Rules", "Books", "Alerts")
_RESUMABLE = ("tripped", "halted", "frozen")
SLOW_BEAT_MS = 250.0
OLD_DATA_S = 30.0


def mode(sight: Sight) -> tuple[str, str]:
    """Whether money is real: the word and its tone."""
    status = sight.status
    if status is not None and status.connection.simulated:
        return "simulated", "calm"
    if status is None or status.is_paper is None:
        return "mode unknown", "calm"
    return ("paper", "fair") if status.is_paper else ("live", "bad")


def account(sight: Sight) -> str:
    """The account's number as the daemon or else the lake knows it."""
    if sight.status and sight.status.account:
        return sight.status.account
    recorded = sight.books.account if sight.books else None
    return str(recorded["account"]) if recorded else notation.DASH


def breaker(sight: Sight) -> str | None:
    """The mode of trading, from `armed` to `frozen`; None when nobody knows."""
    if sight.status:
        return sight.status.breaker.state
    recorded = sight.books.breaker if sight.books else None
    return str(recorded["state"]) if recorded else None


def next_switch(sight: Sight) -> Literal["halt", "resume"]:
    """What the button in the header would do."""
    return "resume" if breaker(sight) in _RESUMABLE else "halt"


def header(sight: Sight) -> list[Component]:
    """Account, mode, connection, breaker and the daemon's clock."""
    word, tone = mode(sight)
    state, tone_of_breaker = _breaker(sight)
    connection, connection_tone = _connection(sight)
    return [
        html.Span(account(sight), className="account"),
        html.Span(word, className=f"badge mode {tone}"),
        html.Span(connection, className=f"badge dot {connection_tone}"),
        html.Span(state, className=f"badge dot breaker {tone_of_breaker}"),
        html.Span(
            [html.Time(notation.clock(_clock(sight))), html.Small("New York")],
            className="clock",
            title="the daemon's clock, in New York time",
        ),
    ]


def banners(sight: Sight) -> list[Component]:
    """One line for everything that makes the page less than the present truth."""
    lines = [_daemon_banner(sight), _lake_banner(sight), *_trouble_banners(sight)]
    return [line for line in lines if line is not None]


def strip(sight: Sight) -> list[Component]:
    """The figures of the daemon's health; dashes when it does not answer."""
    why = "the daemon does not answer"
    status = sight.status if sight.daemon_trouble is None else None
    cells = _cells(status) if status else [(name, notation.DASH, "calm") for name in _CELLS]
    return [
        pieces.field(label, pieces.value(text, why), f"cell {cell_tone}") for label, text, cell_tone in cells
    ]


def _cells(status: Status) -> list[tuple[str, str, str]]:
    full = status.lines.used >= status.lines.budget
    age, p99 = status.data_age_s, status.beat.p99_ms
    connection = status.connection
    return [
        (
            "Broker since",
            notation.moment(connection.since) if connection.state == "up" else connection.state,
            _CONNECTION_TONES[connection.state],
        ),
        ("Lines", f"{status.lines.used} of {status.lines.budget}", "poor" if full else "good"),
        ("Data age", notation.duration(age), "calm" if age is None else _limit(age, OLD_DATA_S)),
        (
            "Beat p99",
            notation.DASH if p99 is None else f"{p99:.0f} ms",
            "calm" if p99 is None else _limit(p99, SLOW_BEAT_MS),
        ),
        *lake_cells.cells(status.lake),
        ("Rules", status.rules.revision[:10], "bad" if status.rules.error else "good"),
        reconciliation.cell(status.reconciliation),
        ("Alerts", notation.plain(status.alerts), "poor" if status.alerts else "good"),
    ]


def _limit(value: float, limit: float) -> str:
    return "good" if value <= limit else "poor"


def _connection(sight: Sight) -> tuple[str, str]:
    if sight.daemon_trouble or sight.status is None:
        return "daemon silent", "bad"
    connection = sight.status.connection
    tone = _CONNECTION_TONES[connection.state]
    if connection.state == "up":
        return "connected", tone
    return (
        f"{connection.state}, attempt {connection.attempts}" if connection.attempts else connection.state,
        tone,
    )


def _breaker(sight: Sight) -> tuple[str, str]:
    state = breaker(sight)
    if state is None:
        return "breaker unknown", "calm"
    if sight.daemon_trouble:
        return f"last {state}", "calm"
    return state, {"armed": "good", "half_open": "poor"}.get(state, "bad")


def _clock(sight: Sight) -> datetime | None:
    if sight.status and sight.daemon_trouble is None:
        return sight.status.time
    return sight.books.time if sight.books else None


def _banner(tone: str, head: str, text: str) -> Component:
    return html.Div([html.Strong(head), html.Span(text)], className=f"banner {tone}", role="alert")


def _daemon_banner(sight: Sight) -> Component | None:
    if sight.daemon_trouble is None:
        return None
    shown = ""
    if sight.books and sight.books.time:
        shown = f" What you see is of {notation.moment(sight.books.time)} New York time"
        since = sight.answered or sight.books.time
        shown += f", {notation.duration((sight.taken - since).total_seconds())} old."
    return _banner("bad", "The daemon does not answer.", f"{sight.daemon_trouble}.{shown}")


def _lake_banner(sight: Sight) -> Component | None:
    if sight.lake_trouble is None:
        return None
    head = "There is no lake to read yet." if sight.books is None else "The lake cannot be read."
    return _banner("poor", head, sight.lake_trouble)


def _rules_banners(rules: Rules) -> list[Component]:
    if rules.waiting:
        head = f"Rules {rules.waiting.revision} wait for you."
        return [_banner("bad", head, f"They would {rules.waiting.summary}. See under Rules.")]
    if rules.ignored:
        head = f"Rules {rules.revision} are in force, not those of the file."
        return [_banner("poor", head, f"The file holds {rules.ignored}, ignored until it is saved again.")]
    return []


def _breaker_banner(breaker: Breaker) -> Component:
    """The mode of trading with its reason, what it allows, and which conditions stand or are not known."""
    since = f" since {notation.moment(breaker.since)}" if breaker.since else ""
    who = f" by {breaker.actor}" if breaker.actor else ""
    told = [breaker.reason or "", breaker.means]
    if breaker.trial_ends:
        told.append(f"armed again from {notation.moment(breaker.trial_ends)} on at the earliest")
    for name, condition in breaker.conditions.items():
        if condition.stands or condition.holds is None:
            word = "stands" if condition.stands else "is not known"
            told.append(f"{notation.words(name).lower()} {word}: {condition.text}")
    tone = "poor" if breaker.state == "half_open" else "bad"
    return _banner(tone, f"Trading is {breaker.state.upper()}{since}{who}.", " · ".join(filter(None, told)))


def _trouble_banners(sight: Sight) -> list[Component]:
    status = sight.status
    if status is None or sight.daemon_trouble:
        return []
    lines = []
    if status.breaker.state != "armed":
        lines.append(_breaker_banner(status.breaker))
    if status.lake.entries_stopped:
        begun = status.lake.entries_stopped_since
        head = "Nothing new is opened" + (f" since {notation.moment(begun)}" if begun else "")
        why = "; ".join(status.lake.pressure.values())
        lines.append(
            _banner("bad", f"{head}: the lake's disk does not keep up.", f"{why}. Protection goes on.")
        )
    if status.rules.error:
        head = f"The rules file has an error; revision {status.rules.revision[:10]} stays in force."
        lines.append(_banner("poor", head, status.rules.error))
    lines += _rules_banners(status.rules)
    if status.connection.state != "up":
        where = f"{status.connection.host}:{status.connection.port}"
        head = f"The broker connection at {where} is {status.connection.state}."
        lines.append(_banner("poor", head, "Quotes stand still and no order is sent until it is back."))
    return lines

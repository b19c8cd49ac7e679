"""The panel "Lines and link" in Chromium: what the daemon tells, and what it does not."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.dashboard.conftest import NOW

LINK = {
    "state": "up",
    "since": (NOW - timedelta(hours=2)).isoformat(),
    "connected": (NOW - timedelta(hours=2)).isoformat(),
    "attempts": 0,
    "breaker": "closed",
    "breaker_pause_s": 0.0,
    "blackout": None,
    "messages_per_s": 1832.4,
    "messages_waiting": 3,
    "heartbeat_age_s": 0.4,
    "host": "127.0.0.1",
    "port": 4002,
    "simulated": True,
}
QUEUE = {
    "contracts": 4921,
    "lines": 10,
    "visiting": 7,
    "confirming": 2,
    "oldest_s": 470.0,
    "turn_s": 498.1,
    "parked": 12,
    "parked_first": [
        {
            "con_id": 1,
            "contract": "IWM 2026-03-20 235 P",
            "reason": "no answer within 3 s",
            "due": (NOW + timedelta(hours=23)).isoformat(),
        },
        {"con_id": 9, "contract": "", "reason": "200: No security definition", "due": None},
    ],
}
TOLD: dict[str, Any] = {
    "connection": LINK,
    "lines": {"used": 82, "budget": 90, "reserve": 8},
    "queue": QUEUE,
    "marks": {
        "contracts": {"live": 82, "modelled": 4906, "stale": 3, "missing": 9},
        "flagged": {"crossed": 2, "no_greeks": 0},
        "errors": {
            "visits": 20_311,
            "median_ratio": 0.0041,
            "median_ticks": 0.6,
            "median_delta": 0.0018,
            "within": 0.873,
        },
    },
    "loop": {
        "turns": 912_004,
        "blocked": 3,
        "longest_ms": 7.25,
        "longest_by": "garbage collection",
        "longest_own_ms": 4.1,
        "longest_own_by": None,
    },
}


def panel(page: Page) -> Locator:
    return page.locator("#lines-and-link")


def value(page: Page, label: str) -> Locator:
    found = panel(page).locator(".field", has=page.get_by_text(label, exact=True))
    return found.locator(".field-value")


def test_what_the_daemon_tells_of_link_lines_marks_and_loop_is_shown(
    desktop: Page, daemon: Any, trader: Any, serve: Callable[[], str]
) -> None:
    daemon.changes = TOLD
    desktop.goto(serve())
    shown = {
        "State": "up",
        "Since": "4 Feb 08:31:05",
        "Connection breaker": "closed",
        "Orders": "sent",
        "Messages in": "1,832 /s",
        "Messages waiting": "3",
        "Last heard": "0.4 s ago",
        "Open": "82 of 90",
        "Kept for orders": "8",
        "Taking turns": "7 on 10 lines",
        "Contracts in turn": "4,921",
        "Longest unseen": "7 min",
        "Seen within": "8 min",
        "To confirm": "2",
        "Live": "82",
        "Modelled": "4,906",
        "Missing": "9",
        "Flagged": "2 crossed",
        "Model error": "0.41% · 0.6 ticks",
        "Delta error": "0.0018",
        "Within 1 % or a tick": "87.3 % of 20,311",
        "Longest turn": "7.2 ms, garbage collection",
        "Of it our own work": "4.1 ms",
        "Turns over 5 ms": "3 of 912,004",
        "Beat p99": "14.2 ms",
    }
    for label, text in shown.items():
        expect(value(desktop, label)).to_have_text(text)
    expect(panel(desktop).locator(".unknown")).to_have_count(0)
    rows = panel(desktop).locator(".parked tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("no answer within 3 s")
    expect(rows.nth(0)).to_contain_text("5 Feb 09:31:05")
    expect(rows.nth(1)).to_contain_text("contract 9")
    expect(rows.nth(1)).to_contain_text("by hand")
    expect(panel(desktop)).to_contain_text("and 10 more")


def test_trouble_has_its_colour_and_its_words(
    desktop: Page, daemon: Any, trader: Any, serve: Callable[[], str]
) -> None:
    daemon.changes = TOLD | {
        "connection": LINK
        | {"state": "down", "attempts": 6, "breaker": "open", "breaker_pause_s": 41.0}
        | dict.fromkeys(("connected", "messages_per_s", "heartbeat_age_s")),
        "lines": {"used": 91, "budget": 90},
        "queue": QUEUE | {"oldest_s": 9000.0},
        "marks": TOLD["marks"]
        | {"errors": TOLD["marks"]["errors"] | {"median_ratio": 0.021, "median_ticks": 3}},
    }
    desktop.goto(serve())
    expect(value(desktop, "Connection breaker")).to_have_text("open, 41 s to go")
    expect(value(desktop, "Orders")).to_have_text("not sent")
    expect(value(desktop, "Last heard").locator(".unknown")).to_have_attribute(
        "title", "there is no connection"
    )
    expect(value(desktop, "Model error")).to_have_text("2.10% · 3.0 ticks")
    for label, tone in (
        *(("State", "bad"), ("Connection breaker", "bad"), ("Attempts", "poor"), ("Open", "bad")),
        *(("Longest unseen", "poor"), ("Model error", "poor"), ("Delta error", "good")),
    ):
        field = panel(desktop).locator(f".field.{tone}", has=desktop.get_by_text(label, exact=True))
        expect(field).to_have_count(1)


def test_what_the_daemon_does_not_tell_is_a_dash_and_never_a_zero(
    desktop: Page, daemon: Any, trader: Any, serve: Callable[[], str]
) -> None:
    desktop.goto(serve())
    expect(value(desktop, "Open")).to_have_text("15 of 90")
    for label in ("Connection breaker", "Orders", "Messages in", "Last heard", "Taking turns"):
        expect(value(desktop, label)).to_have_text("—")
    for label in (
        "Contracts in turn",
        "Modelled",
        "Flagged",
        "Model error",
        "Longest turn",
        "Turns over 5 ms",
    ):
        expect(value(desktop, label).locator(".unknown")).to_have_attribute(
            "title", "the daemon does not tell"
        )
    expect(panel(desktop).locator(".parked")).to_have_count(0)
    daemon.stop()
    expect(value(desktop, "State")).to_have_text("—")
    expect(value(desktop, "Open").locator(".unknown")).to_have_attribute(
        "title", "the daemon does not answer"
    )
    values = panel(desktop).locator(".field-value").all_inner_texts()
    assert set(values) == {"—"}


def test_a_blackout_is_told_where_orders_are_and_nothing_is_wider_than_a_phone(
    phone: Page, daemon: Any, trader: Any, serve: Callable[[], str]
) -> None:
    words = "23:35 to 00:05 New York time: the gateway restarts"
    daemon.changes = TOLD | {"connection": LINK | {"blackout": words}}
    phone.goto(serve())
    expect(value(phone, "Orders")).to_have_text(words)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390

"""Rules that wait for a human, in Chromium, over the real routes and a real engine with six condors."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from daemon.rules_control import RulesHand
from tests.daemon.test_decision_replay import Beat
from tests.daemon.test_reload import ALL, Room, on, text_of

TOKEN = "correct-horse-battery-staple"


class Apart(Room):
    """Its beats run in a thread of their own: the browser's loop runs in this one."""

    def beat(self, beat: Beat, after_s: float = 30.0) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(super().beat, beat, after_s).result()


@dataclass
class Pulse:
    """The time of the room."""

    room: Room
    ended: bool = False

    def now(self) -> datetime:
        return self.room.now

    async def next_beat(self, wake: datetime | None) -> datetime:
        return self.now()


@pytest.fixture
def room(tmp_path: Path, daemon: Any) -> Iterator[Room]:
    made = Apart(tmp_path / "room")
    daemon.hand = RulesHand(made.home, made.engine, Pulse(made))
    yield made
    made.lake.close()


@pytest.fixture
def opened(desktop: Page, room: Room, trader: Any, serve: Callable[[], str]) -> Page:
    """The page, six positions waiting to be closed by an eager edit."""
    room.saved(text_of(ALL))
    desktop.goto(serve())
    expect(desktop.locator(".waiting")).to_be_visible()
    return desktop


def say(page: Page, word: str, token: str = TOKEN, reason: str = "") -> None:
    page.get_by_role("button", name=f"{word} ").first.click()
    expect(page.locator("#gate-veil")).to_be_visible()
    if reason:
        page.locator("#gate-reason").fill(reason)
    page.locator("#gate-token").fill(token)
    page.locator("#gate-confirm").click()


def test_what_waits_is_shown_with_every_position_and_approved(opened: Page, room: Room) -> None:
    first, eager = room.in_force, room.waiting
    gate = opened.locator("#rules-gate")
    expect(gate.locator(".in-force")).to_contain_text(f"In force: revision {first}")
    expect(gate.locator(".banner")).to_contain_text(f"Revision {eager} waits for you")
    expect(gate.locator(".banner")).to_contain_text("It would close 6 positions")
    expect(gate.locator("tbody tr")).to_have_count(6)
    row = gate.locator("tbody tr").first
    for text in ("S0-", "take", "close", "at once", "+10", "+$"):
        expect(row).to_contain_text(text)
    expect(opened.locator("#banners")).to_contain_text(f"Rules {eager} wait for you.")

    say(opened, "approve", token="guess")
    expect(opened.locator("#gate-message")).to_contain_text("Wrong token")
    assert room.in_force == first
    opened.locator("#gate-token").fill(TOKEN)
    opened.locator("#gate-confirm").click()
    expect(opened.locator("#gate-veil")).to_be_hidden()
    expect(gate.locator(".in-force")).to_contain_text(f"revision {eager}")
    expect(gate.locator(".in-force")).to_contain_text("approved by page")
    expect(gate.locator(".waiting")).to_have_count(0)
    assert room.in_force == eager


def test_a_rejected_file_is_told_and_a_step_back_is_one_click(opened: Page, room: Room) -> None:
    first, eager = room.in_force, room.waiting
    say(opened, "reject", reason="too eager")
    gate = opened.locator("#rules-gate")
    expect(gate.locator(".notice")).to_have_text(
        f"The file holds revision {eager}: it is ignored until it is saved again."
    )
    assert room.rows()["reason"][-1] == "too eager"
    second = room.saved(text_of(on("S0")))
    expect(gate.locator(".in-force")).to_contain_text(f"revision {second}")
    say(opened, "rollback")
    expect(gate.locator(".in-force")).to_contain_text(f"revision {first}")
    expect(gate.locator(".in-force")).to_contain_text("rolled back by page")
    expect(gate.locator(".notice")).to_contain_text(f"The file holds revision {second}")


def test_a_list_that_has_grown_is_shown_anew_and_nothing_is_approved(
    desktop: Page, room: Room, trader: Any, serve: Callable[[], str]
) -> None:
    first = room.in_force
    grows = room.saved(text_of(f"(vix > 30 and profit >= 5%) or ({on('S0', 'S1', 'S2')})"))
    desktop.goto(serve())
    rows = desktop.locator("#rules-gate tbody tr")
    expect(rows).to_have_count(3)
    room.beat(Beat(worth=0.9, vix=31.0))
    say(desktop, "approve")
    expect(desktop.locator("#gate-message")).to_contain_text("meanwhile it would also close 3 positions")
    expect(rows).to_have_count(6)
    assert (room.in_force, room.waiting) == (first, grows)
    desktop.locator("#gate-confirm").click()
    expect(desktop.locator("#gate-veil")).to_be_hidden()
    assert room.in_force == grows


def test_on_a_phone_the_list_and_the_dialog_fit(
    phone: Page, room: Room, trader: Any, serve: Callable[[], str]
) -> None:
    room.saved(text_of(ALL))
    phone.goto(serve())
    expect(phone.locator("#rules-gate tbody tr")).to_have_count(6)
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
    phone.get_by_role("button", name="approve ").first.click()
    expect(phone.locator("#gate-confirm")).to_be_in_viewport()

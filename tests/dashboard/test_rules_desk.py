"""The rules section in Chromium, over the real routes of a real rules file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

import rules

TOKEN = "correct-horse-battery-staple"


@pytest.fixture
def opened(desktop: Page, trader: Any, serve: Callable[[], str]) -> Page:
    """The page on a desktop, once it shows the rules."""
    desktop.goto(serve())
    expect(desktop.locator(".rule-entry")).to_have_count(12)
    return desktop


def rule(page: Page, name: str) -> Locator:
    entry = page.locator(f"[data-keep='rule-{name}']")
    entry.locator("summary").click()
    return entry


def save(page: Page, token: str = TOKEN, **fields: str) -> None:
    for label, text in fields.items():
        page.locator("#desk-fields").get_by_label(label, exact=True).fill(text)
    page.locator("#desk-token").fill(token)
    page.locator("#desk-save").click()


def test_every_rule_shows_its_condition_its_mode_and_its_numbers(opened: Page) -> None:
    entry = rule(opened, "take_profit")
    expect(entry.locator(".badge").first).to_have_text("live")
    expect(entry.locator(".what")).to_have_text("profit >= $full or profit >= $half")
    labels = entry.locator(".numbers .label")
    expect(labels).to_have_text(["full", "half", "full for crash", "full for high_vol", "full for low_vol"])
    expect(entry.locator(".numbers code").first).to_have_text("80%")


def test_a_number_is_changed_in_the_file_and_nothing_else(opened: Page, rules_path: Path) -> None:
    before = rules_path.read_text()
    rule(opened, "stop_loss").get_by_label("parameter stop_loss loss").click()
    expect(opened.locator("#desk-title")).to_have_text("stop_loss: loss")
    save(opened, Value="-250%")
    message = opened.locator("#desk-message")
    expect(message).to_contain_text("stop_loss is quiet on this example of fires: change one of them")
    expect(message).to_contain_text("^")
    assert rules_path.read_text() == before
    opened.get_by_text("move examples").click()
    opened.locator("#desk-save").click()
    expect(opened.locator("#desk-veil")).to_be_hidden()
    expect(opened.locator("[data-keep='rule-stop_loss'] .numbers code").first).to_have_text("-250%")
    expect(opened.locator("[data-keep='rule-stop_loss']")).to_have_attribute("open", "")
    assert rules_path.read_text() == before.replace("{loss: -200%,", "{loss: -250%,").replace(
        "{profit: -200%, dte: 30d}", "{profit: -250%, dte: 30d}"
    )


def test_an_override_a_mode_and_a_mute_are_changed(opened: Page, rules_path: Path) -> None:
    entry = rule(opened, "take_profit")
    entry.get_by_label("parameter take_profit full crash").click()
    save(opened, Value="39%")
    expect(opened.locator("#desk-message")).to_contain_text("take_profit fires on this example of quiet")
    opened.locator("#desk-fields").get_by_label("Value", exact=True).fill("40.0%")
    opened.locator("#desk-save").click()
    expect(entry.locator(".numbers code").nth(2)).to_have_text("40.0%")
    entry.get_by_label("mode take_profit").click()
    opened.locator("#desk-fields").get_by_text("shadow", exact=True).click()
    opened.locator("#desk-save").click()
    expect(entry.locator(".badge").first).to_have_text("shadow")
    entry.get_by_label("mute take_profit", exact=True).click()
    save(opened, On="IWM", Until="2026-03-20", Reason="earnings on Thursday")
    expect(entry.locator(".badge").nth(1)).to_have_text("1 muted")
    expect(entry.locator(".mutes")).to_contain_text("until the end of 2026-03-20: earnings on Thursday")
    entry.get_by_label("unmute take_profit IWM").click()
    opened.locator("#desk-save").click()
    expect(entry.locator(".mutes")).to_have_count(0)
    assert rules.load(rules_path).mutes == ()


def test_without_the_right_token_nothing_is_changed(opened: Page, rules_path: Path) -> None:
    before = rules_path.read_text()
    rule(opened, "time_exit").get_by_label("mode time_exit").click()
    opened.locator("#desk-save").click()
    expect(opened.locator("#desk-message")).to_contain_text("The token is needed")
    save(opened, token="guess")
    expect(opened.locator("#desk-message")).to_contain_text("Wrong token")
    opened.keyboard.press("Escape")
    expect(opened.locator("#desk-veil")).to_be_hidden()
    assert rules_path.read_text() == before


def test_a_file_that_was_saved_meanwhile_is_not_overwritten(opened: Page, rules_path: Path) -> None:
    rule(opened, "time_exit").get_by_label("parameter time_exit last").click()
    saved = rules_path.read_text() + "# by somebody else\n"
    rules_path.write_text(saved)
    save(opened, Value="1d")
    expect(opened.locator("#desk-message")).to_contain_text("was changed meanwhile")
    assert rules_path.read_text() == saved


def test_a_file_that_is_not_sound_is_shown_with_its_mistakes(opened: Page, rules_path: Path) -> None:
    rules_path.write_text(rules_path.read_text().replace("dte <= $start", "dtee <= $start"))
    expect(opened.locator("#rules .explanation")).to_contain_text("unknown fact dtee: did you mean dte")
    expect(opened.locator("#rules .notice")).to_contain_text("the rules before it stay in force")


def test_on_a_phone_the_dialog_fits(phone: Page, trader: Any, serve: Callable[[], str]) -> None:
    phone.goto(serve())
    rule(phone, "portfolio_limits").get_by_label("mute portfolio_limits").click()
    expect(phone.locator("#desk-fields").get_by_label("On", exact=True)).to_have_value("book")
    expect(phone.locator("#desk-save")).to_be_in_viewport()
    assert phone.evaluate("document.documentElement.scrollWidth") == 390

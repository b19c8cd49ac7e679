"""Why the rules fire or not, in Chromium: near misses first, each with its conditions and its last traces."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

import rules

SEEN = datetime(2026, 2, 4, 15, 20, 0, tzinfo=UTC)


@pytest.fixture
def told(trader: Any) -> Any:
    """A lake that has the rules in force, and traces of them."""
    book = rules.load(rules.default_rules_path())
    trace = {
        **{"seen": SEEN, "rule": "take_profit", "position": "IWM-1", "revision": book.revision},
        **{"trace": json.dumps({"rule": "take_profit"}), "distance": 0.05},
    }
    trader.commit(
        rules_revisions=[{"revision": book.revision, "text": book.text, "path": "rules.yaml"}],
        traces=[
            {**trace, "outcome": "near", "was": None, "words": "near: profit +2.5 %"},
            {**trace, "outcome": "wins", "was": "near", "words": "wins", "distance": 0.0},
        ],
    )
    # The profit is near its threshold, and so is the day of the roll.
    known = {"profit": 0.47, "dte": 27.0, "delta": 0.05, "gamma": 0.002}
    trader.commit(facts=[{"position": "IWM-1", **known}, {"position": "QQQ-1", **dict.fromkeys(known)}])
    return trader


@pytest.fixture
def opened(desktop: Page, told: Any, serve: Callable[[], str]) -> Page:
    desktop.goto(serve())
    expect(desktop.locator(".why .entry")).to_have_count(11)
    return desktop


def entry(page: Page, rule: str) -> Locator:
    return page.locator(f"[data-keep='why-{rule}']")


def test_near_misses_come_first_with_what_is_missing(opened: Page) -> None:
    outcomes = opened.locator(".why .entry > summary > .badge").all_inner_texts()
    assert outcomes[:2] == ["near", "near"]
    assert outcomes == sorted(outcomes, key=["near", "wins", "fires", "waits", "unknown", "quiet"].index)
    expect(entry(opened, "take_profit").locator("summary .what")).to_have_text("profit +3 %")
    expect(entry(opened, "dte_roll").locator("summary .what")).to_have_text("dte −2 d")
    expect(entry(opened, "take_profit").locator("summary .reach")).to_have_attribute(
        "title", "94 % of the way"
    )
    expect(opened.locator("#why > div > p")).to_contain_text(
        "no rule fires · as last recorded, 4 Feb 10:31:05"
    )


def test_a_rule_opens_to_its_conditions_and_its_last_traces(opened: Page) -> None:
    rule = entry(opened, "take_profit")
    rule.locator("summary").click()
    lines = rule.locator(".tree .line").all_inner_texts()
    assert [line.split("\n") for line in lines] == [
        ["✗", "profit >= $full", "47 %", "80 %", "+33 %"],
        ["✗", "profit >= $half", "47 %", "50 %", "+3 %"],
    ]
    traces = rule.locator(".traces li").all_inner_texts()
    assert [line.split("\n") for line in traces] == [
        ["4 Feb 10:20:00", "IWM-1", "near → wins"],
        ["4 Feb 10:20:00", "IWM-1", "quiet → near: profit +2.5 %"],
    ]
    unknown = entry(opened, "vix_exit")
    unknown.locator("summary").click()
    expect(unknown.locator(".sign.unclear").first).to_have_text("?")
    expect(unknown.locator(".remarks")).to_contain_text("vix is not known")


def test_another_position_is_chosen_here_or_on_its_card_and_stays_chosen(opened: Page) -> None:
    opened.locator("#why-choice button", has_text="Book").click()
    expect(opened.locator(".why .entry")).to_have_count(1)
    expect(opened.locator("#why-choice .picked")).to_have_text("Book")
    card = opened.locator("[data-keep='position-QQQ-1']")
    card.locator("summary").click()
    card.locator(".asked").click()
    expect(opened.locator("#why-choice .picked")).to_have_text("QQQ iron condor")
    expect(entry(opened, "take_profit").locator(".badge")).to_have_text("unknown")


def test_an_opened_rule_stays_open_while_its_facts_change(opened: Page, told: Any) -> None:
    rule = entry(opened, "take_profit")
    rule.locator("summary").click()
    told.commit(facts=[{"position": "IWM-1", "profit": 0.55, "dte": 27.0}])
    expect(rule.locator("summary .badge")).to_have_text("wins")
    expect(rule.locator(".tree .line").last).to_be_visible()
    expect(rule.locator(".tree .line").last.locator(".reach")).to_have_attribute("title", "there")


def test_a_running_daemon_is_asked_first(
    desktop: Page, told: Any, daemon: Any, serve: Callable[[], str]
) -> None:
    book = rules.parse("rules: [{id: only, priority: 1, when: profit >= 50%, do: close}]")
    daemon.moment = {
        **{"time": "2026-02-04T15:31:05+00:00", "facts": {"position": "IWM-1", "profit": 0.6}, "market": {}},
        **{"state": rules.initial_state().to_json(), "revision": book.revision, "rules": book.text},
    }
    desktop.goto(serve())
    expect(desktop.locator(".why .entry")).to_have_count(1)
    expect(desktop.locator("#why > div > p")).to_contain_text("only wins · as the daemon sees it")


def test_a_lake_without_rules_says_so(desktop: Page, trader: Any, serve: Callable[[], str]) -> None:
    desktop.goto(serve())
    expect(desktop.locator("#why")).to_have_text("Which rules were in force is not recorded.")


def test_on_a_phone_nothing_is_cut_off(phone: Page, told: Any, serve: Callable[[], str]) -> None:
    phone.goto(serve())
    entry(phone, "take_profit").locator("summary").click()
    expect(entry(phone, "take_profit").locator(".tree .line").first).to_be_visible()
    wide = phone.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide == 0

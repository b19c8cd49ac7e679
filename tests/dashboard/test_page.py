"""The page in Chromium, over a real lake and a control API that answers over HTTP."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from rules.breaker import Event, Mode
from trading.breaker import Entry

DECISION = "[data-keep='decision-d-1']"
CHART = ".chart:has(.js-line)"
POSITION = "[data-keep='position-{}-1']"


@pytest.fixture
def opened(desktop: Page, trader: Any, serve: Callable[[], str]) -> Page:
    """The page on a desktop, once it shows the lake."""
    desktop.goto(serve())
    expect(desktop.locator(".position")).to_have_count(3)
    return desktop


def position(page: Page, symbol: str) -> Locator:
    return page.locator(POSITION.format(symbol))


def field(place: Locator, label: str) -> Locator:
    return place.locator(".field", has=place.page.get_by_text(label, exact=True)).locator(".field-value")


def test_every_position_shows_its_money_and_the_state_of_its_quotes(opened: Page) -> None:
    iwm = position(opened, "IWM")
    expect(iwm.locator("h3")).to_have_text("IWM iron condor")
    expect(iwm.locator(".subtitle")).to_have_text("2 lots235/245 – 282/29020 Mar 202644 days")
    expect(iwm.locator(".amount")).to_have_text("+$23.18")
    expect(iwm.locator(".state")).to_have_text("live")
    expect(position(opened, "QQQ").locator(".state")).to_have_text("stale")
    expect(position(opened, "QQQ").locator(".profit")).to_have_text("−$144.02−28.8 % · last known")
    expect(position(opened, "SPY").locator(".state")).to_have_text("missing")
    iwm.locator("summary").click()
    expect(field(iwm, "Net credit")).to_have_text("$435.18")
    expect(field(iwm, "Max loss")).to_have_text("$1,564.82")


def test_what_depends_on_a_missing_quote_is_a_dash_with_its_reason(opened: Page) -> None:
    spy = position(opened, "SPY")
    expect(spy.locator(".profit")).to_have_text("—no quote for 20 Mar 2026 745 call")
    for label in ("Delta / lot", "Theta / day"):
        expect(field(spy, label)).to_have_text("—")
        expect(field(spy, label).locator(".unknown")).to_have_attribute(
            "title", "no quote for 20 Mar 2026 745 call"
        )
    spy.locator("summary").click()
    expect(spy.locator(".notice")).to_contain_text("no order is priced from it")
    cells = spy.locator(".legs tbody tr").nth(2).locator("td").all_inner_texts()
    assert cells == ["20 Mar 2026 745 call", "−2", "$49.54", *["—"] * 8, "missing"]
    expect(opened.locator(".tile", has_text="Open profit").locator(".unknown")).to_have_text("—")


def test_a_decision_opens_to_its_facts_rules_intent_and_outcome(opened: Page) -> None:
    decision = opened.locator(DECISION)
    expect(field(decision, "profit")).to_be_hidden()
    decision.locator("summary").click()
    expect(decision.locator(".reason")).to_have_text("profit 52.3 % is at or above 50 %: close half")
    expect(field(decision, "profit")).to_have_text("81.2 %")
    expect(field(decision, "iv rank")).to_have_text("—")
    expect(decision.locator(".chip.fired")).to_have_text("take_profit")
    expect(decision.locator(".chip.undecided")).to_have_text("iv_crush")
    expect(field(decision, "Intent")).to_have_text("i-1")
    expect(field(decision, "Outcome")).to_have_text("settled · filled 1 of 1 at -1.04")


def test_orders_fills_and_alerts_are_listed(opened: Page) -> None:
    expect(opened.locator(".orders tbody tr")).to_have_count(1)
    expect(opened.locator(".orders tbody")).to_contain_text("1 of 1")
    expect(opened.locator(".fills tbody td").nth(5)).to_have_text("$2.61")
    expect(opened.locator(".alerts li")).to_contain_text("has had no quote for 10 minutes")


def test_differences_with_the_brokers_books_are_listed_with_what_stands(
    opened: Page, trader: Any, daemon: Any
) -> None:
    expect(opened.locator("#differences")).to_contain_text("No difference")
    naked = {"run": "rec-1", "kind": "naked_short", "subject": "IWM 2026-03-20 245 P", "ours": ""}
    naked |= {"theirs": "1 short, not covered", "resolution": "critical alert, and a covering decision"}
    gone = {**naked, "kind": "missing_there", "theirs": "", "ours": "+2 at 194.45", "state": "found"}
    trader.commit(reconciliations=[{**naked, "state": "found"}, gone])
    trader.commit(reconciliations=[{**gone, "run": "rec-2", "state": "over"}])
    rows = opened.locator("#differences tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.filter(has_text="Missing there").locator(".badge")).to_have_text("over")
    expect(rows.filter(has_text="Naked short").locator(".badge")).to_have_text("stands")
    expect(rows.filter(has_text="Missing there").locator(".unknown")).to_have_attribute(
        "title", "this side knows nothing of it"
    )
    standing = {"kind": "naked_short", "subject": "IWM 2026-03-20 245 P", "critical": True}
    daemon.changes["reconciliation"] = {"last": "2026-02-04T15:31:00+00:00", "standing": [standing]}
    cell = opened.locator("#strip .cell", has_text="Books")
    expect(cell).to_contain_text("1 differ")
    daemon.changes["reconciliation"] = {"last": "2026-02-04T15:31:00+00:00", "standing": []}
    expect(cell).to_contain_text("agree")


def test_the_charts_are_drawn_and_unknown_values_are_gaps(opened: Page) -> None:
    expect(opened.locator(CHART)).to_have_count(5)
    expect(opened.locator("#chart-book_vega_usd .js-line")).to_have_count(1)
    expect(opened.locator("#chart-book_delta_usd .js-line")).to_have_count(2)


def test_health_and_clock_are_the_daemons_in_new_york_time(opened: Page) -> None:
    expect(opened.locator("#header .account")).to_have_text("DU8675309")
    expect(opened.locator("#header .mode")).to_have_text("simulated")
    expect(opened.locator("#header .breaker")).to_have_text("armed")
    expect(opened.locator("#header .clock")).to_have_text("10:31:05New York")
    strip = opened.locator("#strip")
    expect(field(strip, "Lines")).to_have_text("15 of 90")
    expect(field(strip, "Beat p99")).to_have_text("14 ms")
    expect(field(strip, "Lake")).to_have_text("seq 129 · 37 unflushed")
    expect(field(strip, "Flushed")).to_have_text("12 s ago")
    expect(field(strip, "Lake files")).to_have_text("1,204 · 30% small")
    expect(field(strip, "Upkeep")).to_have_text("3 Feb 16:31:05")
    expect(opened.locator("#banners .banner")).to_have_count(0)


def test_a_stop_for_the_disks_sake_and_a_running_upkeep_are_seen(
    desktop: Page, daemon: Any, serve: Callable[[], str]
) -> None:
    step = {"table": "facts", "action": "compact 2026-02-03", "done": 40, "total": 100}
    words = "the disk is nearly full: less than 500 MB free, make room"
    daemon.changes["lake"] = {
        **daemon.status()["lake"],
        "flush_error": "cannot write",
        "entries_stopped": True,
        "entries_stopped_since": "2026-02-04T15:20:00+00:00",
        "pressure": {"disk": words},
        "upkeep": {"running": True, "step": step, "last": None},
    }
    desktop.goto(serve())
    banner = desktop.locator("#banners .banner.bad")
    expect(banner).to_have_text(
        "Nothing new is opened since 4 Feb 10:20:00: the lake's disk does not keep up."
        f"{words}. Protection goes on."
    )
    expect(field(desktop.locator("#strip"), "Upkeep")).to_have_text("40% facts")
    expect(desktop.locator("#header .breaker")).to_have_text("armed")
    daemon.changes["lake"] = {"seq": 129, "unflushed_rows": 37}
    expect(banner).to_have_count(0)
    expect(field(desktop.locator("#strip"), "Upkeep")).to_have_text("—")


@pytest.mark.parametrize(
    ("is_paper", "simulated", "word"),
    [
        (True, True, "simulated"),
        (True, False, "paper"),
        (False, False, "live"),
        (None, False, "mode unknown"),
    ],
)
def test_it_says_whether_the_money_is_real(
    desktop: Page, daemon: Any, serve: Callable[[], str], is_paper: bool | None, simulated: bool, word: str
) -> None:
    connection = {"state": "up", "host": "127.0.0.1", "port": 4002, "simulated": simulated}
    daemon.changes = {"is_paper": is_paper, "connection": connection}
    desktop.goto(serve())
    expect(desktop.locator("#header .mode")).to_have_text(word)


def test_a_refresh_shows_new_rows_and_keeps_open_what_was_opened(opened: Page, trader: Any) -> None:
    opened.locator(DECISION).locator("summary").click()
    position(opened, "QQQ").locator("summary").click()
    position(opened, "QQQ").locator("summary").focus()
    trader.decide(decision="d-9", rule="stop_loss", position="QQQ-1")
    trader.commit(facts=[{"position": "QQQ-1", "profit_usd": -401.5, "profit": -0.8, "dte": 44.0}])
    expect(opened.locator("[data-keep='decision-d-9'] .rule")).to_have_text("stop_loss")
    expect(position(opened, "QQQ").locator(".amount")).to_have_text("−$401.50")
    expect(opened.locator(DECISION)).to_have_attribute("open", "")
    expect(position(opened, "QQQ")).to_have_attribute("open", "")
    expect(position(opened, "QQQ").locator("summary")).to_be_focused()
    expect(position(opened, "IWM")).not_to_have_attribute("open", "")
    expect(opened.locator("[data-keep='decision-d-9']")).not_to_have_attribute("open", "")


def test_a_refresh_without_news_touches_nothing(opened: Page) -> None:
    opened.evaluate("document.querySelector('.position').dataset.mine = 'yes'")
    seen = opened.locator("#refreshed").inner_text()
    expect(opened.locator("#refreshed")).not_to_have_text(seen)
    expect(opened.locator(".position").first).to_have_attribute("data-mine", "yes")


def ask_halt(page: Page, reason: str, token: str) -> None:
    page.locator("#switch").click()
    page.locator("#reason").fill(reason)
    page.locator("#token").fill(token)
    page.locator("#confirm").click()


def test_a_wrong_token_halts_nothing_and_says_so(opened: Page, daemon: Any) -> None:
    ask_halt(opened, "fire drill", "guess")
    expect(opened.locator("#dialog-message")).to_contain_text("Wrong token")
    expect(opened.locator("#header .breaker")).to_have_text("armed")
    assert daemon.orders == []
    opened.keyboard.press("Escape")
    expect(opened.locator("#veil")).to_be_hidden()


def test_the_right_token_halts_and_later_resumes(opened: Page, daemon: Any) -> None:
    ask_halt(opened, "fire drill", "correct-horse-battery-staple")
    expect(opened.locator("#header .breaker")).to_have_text("halted")
    expect(opened.locator("#veil")).to_be_hidden()
    expect(opened.locator("#banners .banner")).to_contain_text(
        "Trading is HALTED since 4 Feb 10:31:05 by page.fire drill"
    )
    assert daemon.orders == [{"reason": "fire drill", "actor": "page"}]
    expect(opened.locator("#switch")).to_have_text("RESUME")
    opened.locator("#switch").click()
    expect(opened.locator("#token")).to_have_value("correct-horse-battery-staple")
    opened.locator("#reason").fill("all is well")
    opened.locator("#reason").press("Enter")
    expect(opened.locator("#header .breaker")).to_have_text("armed")
    expect(opened.locator("#switch")).to_have_text("HALT")


TRIPPED: dict[str, Any] = {
    "state": "tripped",
    "means": "no entries; the rules protect; a human must look",
    "reason": "VIX +43.1% since its close",
    "actor": "breaker",
    "since": "2026-02-04T15:31:05+00:00",
    "trial_ends": None,
    "conditions": {
        "vix_shock": {"holds": True, "stands": True, "text": "VIX +43.1% since its close"},
        "data_stale": {"holds": False, "stands": False, "text": "0% of the positions without live quotes"},
        "daily_loss": {"holds": None, "stands": False, "text": "the loss of the day is unknown"},
    },
}


def test_a_tripped_breaker_says_why_what_it_allows_and_what_is_not_known(
    opened: Page, daemon: Any, trader: Any
) -> None:
    entry = Entry(
        1, trader.time, Event.VIX_SHOCK, Mode.ARMED, Mode.TRIPPED, "breaker", "VIX +43.1% since its close", {}
    )
    trader.commit(decisions=[entry.decision_row()])
    daemon.breaker = TRIPPED
    expect(opened.locator("#header .breaker")).to_have_text("tripped")
    banner = opened.locator("#banners .banner").first
    expect(banner).to_contain_text("Trading is TRIPPED since 4 Feb 10:31:05 by breaker.")
    expect(banner).to_contain_text("no entries; the rules protect; a human must look")
    expect(banner).to_contain_text("vix shock stands: VIX +43.1% since its close")
    expect(banner).to_contain_text("daily loss is not known: the loss of the day is unknown")
    expect(banner).not_to_contain_text("data stale")
    expect(opened.locator("#switch")).to_have_text("RESUME")
    decided = opened.locator("summary").filter(has_text="tripped the whole book")
    decided.click()
    expect(opened.locator("pre.explanation").first).to_contain_text("breaker armed → tripped on vix_shock")


def test_a_breaker_on_trial_can_be_halted_and_tells_until_when(opened: Page, daemon: Any) -> None:
    ends = "2026-02-04T15:46:05+00:00"
    daemon.breaker = {**TRIPPED, "state": "half_open", "trial_ends": ends, "conditions": {}}
    expect(opened.locator("#header .breaker")).to_have_text("half_open")
    banner = opened.locator("#banners .banner").first
    expect(banner).to_contain_text("armed again from 4 Feb 10:46:05 on at the earliest")
    expect(opened.locator("#switch")).to_have_text("HALT")


def test_a_halt_needs_a_reason(opened: Page, daemon: Any) -> None:
    ask_halt(opened, " ", "correct-horse-battery-staple")
    expect(opened.locator("#dialog-message")).to_have_text("Say why: the reason is recorded.")
    assert daemon.orders == []


def test_the_token_is_kept_for_the_browser_session_only(opened: Page) -> None:
    opened.locator("#switch").click()
    expect(opened.locator("#token")).to_have_attribute("type", "password")
    opened.locator("#token").fill("kept-for-now")
    opened.locator("#reason").fill("x")
    kept = opened.evaluate("JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie])")
    session, local, cookie = json.loads(kept)
    assert "kept-for-now" in json.dumps(session)
    assert "kept-for-now" not in json.dumps([local, cookie])


def test_a_silent_daemon_is_announced_and_the_last_data_stays(opened: Page, daemon: Any) -> None:
    daemon.stop()
    banner = opened.locator("#banners .banner")
    expect(banner).to_contain_text("The daemon does not answer.")
    expect(banner).to_contain_text(re.compile(r"of 4 Feb 10:31:05 New York time, [\d.]+ s old"))
    expect(opened.locator("#header")).to_contain_text("daemon silent")
    expect(opened.locator("#header .breaker")).to_have_text("last armed")
    expect(field(opened.locator("#strip"), "Lines")).to_have_text("—")
    expect(opened.locator(".position")).to_have_count(3)
    ask_halt(opened, "fire drill", "correct-horse-battery-staple")
    expect(opened.locator("#dialog-message")).to_contain_text("Nothing has changed: nothing answers at")


def test_without_a_lake_the_page_says_so_and_fills_when_it_comes(
    desktop: Page, serve: Callable[[], str], request: pytest.FixtureRequest
) -> None:
    desktop.goto(serve())
    expect(desktop.locator("#banners .banner")).to_contain_text("There is no lake to read yet.")
    expect(desktop.locator("#positions")).to_have_text("Nothing to show: there is no lake yet.")
    request.getfixturevalue("trader")
    expect(desktop.locator(".position")).to_have_count(3)
    expect(desktop.locator("#banners .banner")).to_have_count(0)


def test_a_server_slower_than_the_refresh_is_waited_for(opened: Page, trader: Any) -> None:
    def answer_late(route: Route) -> None:
        opened.wait_for_timeout(3000)
        route.continue_()

    opened.route("**/_dash-update-component*", answer_late)
    trader.decide(decision="d-9", rule="stop_loss", position="QQQ-1")
    expect(opened.locator("[data-keep='decision-d-9'] .rule")).to_have_text("stop_loss")
    # An answer that is still kept back would find its page gone.
    opened.unroute_all(behavior="wait")


def test_a_page_whose_own_server_is_gone_says_that_it_is_old(opened: Page) -> None:
    expect(opened.locator("#page-silent")).to_be_hidden()
    opened.route("**/_dash-update-component*", lambda route: route.abort())
    expect(opened.locator("#page-silent")).to_be_visible(timeout=40_000)
    opened.unroute_all()
    expect(opened.locator("#page-silent")).to_be_hidden()


def test_rules_and_connection_trouble_are_announced(opened: Page, daemon: Any) -> None:
    connection = {"state": "lost", "attempts": 3, "host": "127.0.0.1", "port": 4002, "simulated": True}
    rules = {
        "revision": "9f3c1d7ab24e",
        "path": "rules.yaml",
        "error": "rules.yaml:12:9: unknown fact 'profti'",
    }
    daemon.changes = {"connection": connection, "rules": rules}
    expect(opened.locator("#banners .banner")).to_have_count(2)
    expect(opened.locator("#banners")).to_contain_text("unknown fact 'profti'")
    expect(opened.locator("#banners")).to_contain_text("The broker connection at 127.0.0.1:4002 is lost.")
    expect(opened.locator("#header")).to_contain_text("lost, attempt 3")


def test_on_a_phone_nothing_overflows_even_with_everything_open(
    phone: Page, trader: Any, serve: Callable[[], str]
) -> None:
    phone.goto(serve())
    expect(phone.locator(CHART)).to_have_count(5)
    for summary in phone.locator("summary").all():
        summary.click()
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
    wide = (
        "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > 391).length"
    )
    assert phone.evaluate(wide) == 0
    phone.locator("#switch").click()
    expect(phone.locator("#confirm")).to_be_in_viewport()
    assert phone.evaluate("document.documentElement.scrollWidth") == 390


def test_dark_and_light_follow_the_system(phone: Page, desktop: Page, serve: Callable[[], str]) -> None:
    address = serve()
    shades = []
    for page in (phone, desktop):
        page.goto(address)
        expect(page.locator("h1")).to_have_text("optiond")
        shades.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert shades == ["rgb(18, 20, 22)", "rgb(245, 244, 240)"]


def test_nothing_is_fetched_from_elsewhere(desktop: Page, trader: Any, serve: Callable[[], str]) -> None:
    asked: list[str] = []
    desktop.on("request", lambda request: asked.append(request.url))
    address = serve()
    desktop.goto(address)
    expect(desktop.locator(CHART)).to_have_count(5)
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []

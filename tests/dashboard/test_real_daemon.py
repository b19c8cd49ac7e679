"""The page beside the real daemon, as a newcomer meets it: watch it trade, stop it, let it go on."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.test_lines_and_link import value
from tests.programs import end_programs_of

OPTIOND = Path(sys.executable).with_name("optiond")
WAIT_MS = 60_000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path, str]]:
    """A daemon on the built-in market with its page: (process, home, address of the page)."""
    home, port = tmp_path / "home", free_port()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPTIOND_")}
    process = subprocess.Popen(
        [str(OPTIOND), "run", "--home", str(home), "--speed", "240"],
        env={**environment, "OPTIOND_CONTROL__PORT": "0", "OPTIOND_PAGE__PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "reconciled with the broker" in line:
                break
        deadline = time.monotonic() + 30
        while not answers(port):
            assert time.monotonic() < deadline, "the page does not come up"
            time.sleep(0.1)
        yield process, home, f"http://127.0.0.1:{port}"
    finally:
        end_programs_of(home)
        process.communicate()


def breaker(home: Path) -> str:
    done = subprocess.run(
        [str(OPTIOND), "status", "--json", "--home", str(home)], capture_output=True, text=True, check=True
    )
    state: str = json.loads(done.stdout)["breaker"]["state"]
    return state


def test_a_newcomer_sees_it_trade_stops_it_and_lets_it_go_on(
    running: tuple[subprocess.Popen[str], Path, str], desktop: Page
) -> None:
    process, home, address = running
    desktop.goto(address)
    for symbol in ("IWM", "QQQ", "SPY"):
        expect(desktop.get_by_text(f"{symbol} iron condor").first).to_be_visible(timeout=WAIT_MS)
    told = {
        "State": "up",
        "Connection breaker": "closed",
        "Last heard": r"\S+ s ago",
        "Open": r"[1-9]\d* of 90",
        "Live": r"\d+",
        "Modelled": r"\d+",
        "Longest turn": r"[\d.]+ ms.*",
        "Turns over 5 ms": r"[\d,]+ of [\d,]+",
    }
    for label, text in told.items():
        expect(value(desktop, label)).to_have_text(re.compile(text), timeout=WAIT_MS)
    decision = desktop.locator(".decision summary").filter(has_text="take_profit").first
    expect(decision).to_be_visible(timeout=WAIT_MS)
    decision.click()
    expect(desktop.locator("pre.explanation").first).to_contain_text("profit >= $half", timeout=WAIT_MS)
    expect(desktop.get_by_text(re.compile(r"SPY 2026-04-17 \d+ [CP]")).first).to_be_visible(timeout=WAIT_MS)

    token = (home / "control.token").read_text().strip()
    # A quarter of an hour on trial is over in four seconds here.
    for order, states in (("HALT", "halted"), ("RESUME", "half_open|armed")):
        expect(desktop.locator("#switch")).to_have_text(order)
        desktop.locator("#switch").click()
        if order == "HALT":
            desktop.locator("#token").fill(token)
        desktop.locator("#reason").fill("trying the brake")
        desktop.locator("#reason").press("Enter")
        expect(desktop.locator("#header .breaker")).to_have_text(re.compile(states), timeout=WAIT_MS)
        assert re.fullmatch(states, breaker(home))

    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=8)
    assert process.returncode == 0, said
    assert "stopped cleanly" in said
    assert not answers(int(address.rsplit(":", 1)[1])), "the page ended with it"

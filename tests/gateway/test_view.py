import asyncio
import io
import json
import logging
import os
import pty
import re
import signal
import subprocess
import sys
import termios

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ib_async import LimitOrder, MarketOrder
from rich.console import Console

from broker.gateway.view.picture import Pulse, picture, share_lines
from broker.gateway.view.terminal import Meter, News, obey
from tests.gateway.processes import FREE

STILL = Pulse(0.0, 0.0, 0.0, {})


def drawn(gateway, width, height, pulse=STILL, news=()):
    """The picture as lines of text."""
    console = Console(width=width, height=height, file=io.StringIO(), color_system=None)
    console.print(picture(gateway, "model calm", "API on port 1", pulse, news, width, height))
    return console.file.getvalue().splitlines()


@pytest.fixture
async def trading(open_bench, connect, until):
    """A model market after a fill, with a resting order, a fault and two clients with lines."""
    async with open_bench("--speed", "0") as bench, connect(bench, 1) as one, connect(bench, 7) as seven:
        held = [position.contract for position in one.positions()]
        for contract in held:
            contract.exchange = "SMART"
            one.reqMktData(contract)
        seven.reqMktData(held[0])
        one.placeOrder(held[0], MarketOrder("SELL", 1, tif="DAY"))
        seven.placeOrder(held[1], LimitOrder("BUY", 2, 0.05, tif="DAY"))
        await until(lambda: one.fills() and seven.openTrades())
        await bench.tell("fault", name="reject", reason="because")
        yield bench


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 50), (120, 36), (200, 60)])
async def test_the_picture_fits_any_terminal_and_has_everything(trading, width, height):
    lines = drawn(trading.gateway, width, height, news=["10:00:00 something happened"])
    assert len(lines) <= height
    assert max(len(line) for line in lines) <= width
    text = "\n".join(lines)
    for part in (
        "model calm +Mon 2026-03-02 10:00:00 New York",
        r"worth [\d,]+\.\d\d USD",
        r"SPY +\d+\.\d\d +[+-]\d\.\d\d%",
        r"VIX +\d+\.\d\d",
        r"2 IWM iron condor +17 Apr [\dPC/]+ +-?[\d.]+ +[+-][\d.]+",
        r"BUY 2 SPY 17 Apr \d+P +LMT 0.05 Submitted",
        r"SELL 1 SPY 17 Apr \d+P +MKT +Filled at \d",
        r"client 1 +version 178 +12 of 100 lines",
        r"client 7 +version 178 +1 of 100 lines",
        "reject +reason because",
        "something happened",
        "p pause .* q quit",
    ):
        assert re.search(part, text), (part, text)


async def test_what_does_not_fit_is_counted(trading):
    lines = drawn(trading.gateway, 80, 18, news=[f"line {n}" for n in range(40)])
    assert len(lines) <= 18
    (title,) = [line for line in lines if line.startswith("news")]
    shown = [line for line in lines if re.match(r"line \d+", line)]
    assert f"(+{40 - len(shown)})" in title
    assert shown[-1].strip() == "line 39"


@given(st.integers(0, 60), st.lists(st.integers(0, 30), max_size=6))
def test_lines_are_shared_out_to_the_last_one(lines, wanted):
    given = share_lines(lines, wanted)
    assert sum(given) == min(lines, sum(wanted))
    assert all(one <= want for one, want in zip(given, wanted, strict=True))
    unfilled = [one for one, want in zip(given, wanted, strict=True) if one < want]
    assert all(one >= max(given) - 1 for one in unfilled)


async def test_the_headline_says_when_time_stands_and_when_it_falls_behind(trading):
    clock = trading.gateway.clock
    assert "0x" in drawn(trading.gateway, 80, 24)[0]
    clock.pause(True)
    assert "PAUSED" in drawn(trading.gateway, 80, 24)[0]
    clock.pause(False)
    clock.speed = 600
    assert drawn(trading.gateway, 80, 24, Pulse(599.0, 0, 0, {}))[0].endswith("600x")
    assert drawn(trading.gateway, 80, 24, Pulse(120.0, 0, 0, {}))[0].endswith("600x (reaches 120x)")


async def test_rates_are_those_between_two_looks(trading):
    meter, gateway = Meter(), trading.gateway
    assert meter.look(gateway, 100.0) == STILL
    before = gateway.sessions[1].sent
    await trading.step(20)
    pulse = meter.look(gateway, 102.0)
    assert pulse.speed == 10.0
    assert pulse.sent_to[gateway.sessions[1].number] == (gateway.sessions[1].sent - before) / 2 > 0
    assert pulse.sent == sum(pulse.sent_to.values())


async def test_the_keys_pause_change_the_pace_and_quit(trading):
    clock = trading.gateway.clock
    clock.speed = 1
    for key, speed in (("+", 2), ("+", 5), ("-", 2), ("x", 2), ("-", 1), ("-", 1)):
        obey(trading.gateway, key)
        assert clock.speed == speed
    obey(trading.gateway, "p")
    assert clock.paused
    obey(trading.gateway, " ")
    assert not clock.paused
    obey(trading.gateway, "q")
    assert trading.gateway.stop.is_set()


async def test_the_news_are_the_last_lines_of_the_log_with_the_simulated_time(trading):
    news = News(trading.gateway)
    for n in range(80):
        news.handle(_record(f"event {n}"))
    assert len(news.lines) == 50
    assert news.lines[-1] == "10:00:00 event 79"


def _record(text):
    return logging.LogRecord("gateway", logging.INFO, "", 0, text, (), None)


class Terminal:
    """The program in a pseudo-terminal of 80 by 24."""

    def __init__(self, *argv):
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 80))
        self.slave = slave
        self.before = termios.tcgetattr(slave)
        command = [sys.executable, "-m", "broker.gateway", *FREE, *argv]
        environment = {**os.environ, "TERM": "xterm-256color"}
        self.program = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=subprocess.PIPE, env=environment
        )
        os.set_blocking(self.master, False)
        self.heard = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.program.kill()
        self.program.wait()
        self.program.stderr.close()

    async def until(self, part):
        """Waits for a text; what came up to its end."""
        async with asyncio.timeout(60):
            while part not in self.heard:
                await asyncio.sleep(0.02)
                try:
                    self.heard += os.read(self.master, 65536).decode(errors="replace")
                except BlockingIOError:
                    continue
        before, _, self.heard = self.heard.partition(part)
        return before + part

    def press(self, key):
        os.write(self.master, key.encode())

    async def ended(self):
        """The exit code, with the terminal as it was found."""
        code = await asyncio.to_thread(self.program.wait, 60)
        assert termios.tcgetattr(self.slave) == self.before
        os.close(self.master)
        os.close(self.slave)
        return code, self.program.stderr.read().decode()


async def test_a_terminal_that_is_closed_ends_the_program():
    with Terminal("--speed", "60") as terminal:
        await terminal.until("iron condor")
        os.close(terminal.slave)
        os.close(terminal.master)
        await asyncio.to_thread(terminal.program.wait, 60)
        assert terminal.program.stderr.read().decode() == ""


async def test_in_a_terminal_the_program_shows_itself_obeys_keys_and_leaves_no_trace():
    with Terminal("--speed", "60") as terminal:
        await terminal.until("\x1b[?1049h")
        await terminal.until("iron condor")
        terminal.press("p")
        await terminal.until("PAUSED")
        terminal.press("p")
        terminal.press("+")
        await terminal.until("120x")
        terminal.press("q")
        await terminal.until("\x1b[?1049l")
        assert await terminal.ended() == (0, "")


async def test_a_view_that_is_interrupted_gives_the_terminal_back():
    with Terminal() as terminal:
        await terminal.until("iron condor")
        terminal.program.send_signal(signal.SIGINT)
        await terminal.until("\x1b[?1049l")
        assert await terminal.ended() == (0, "")


async def test_json_is_a_ready_line_in_a_terminal_too():
    with Terminal("--json") as terminal:
        line = await terminal.until("\n")
        assert json.loads(line)["ready"] is True
        terminal.program.terminate()
        assert (await terminal.ended())[0] == 0

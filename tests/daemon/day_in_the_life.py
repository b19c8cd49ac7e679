"""Plays the script of one bad day with a real gateway process and a real daemon process.

Time moves by command: from act to act, minute by minute, and it stands still while the daemon notices the
end of its link and comes back. So the day is the same however fast the machine is.

`python -m tests.daemon.day_in_the_life` plays it and writes docs/day-in-the-life.md.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from options import NEW_YORK
from tests.daemon.day_comparison import compare
from tests.daemon.day_report import report
from tests.daemon.day_script import (
    ACTS,
    BOOK,
    END,
    EXPIRY,
    LEGS,
    LOTS,
    QUOTE_EVERY,
    START,
    Act,
)

REPORT = Path(__file__).parents[2] / "docs" / "day-in-the-life.md"
OPTIOND = Path(sys.executable).with_name("optiond")
NOTICED_WITHIN_S = 60.0
UNDERLYING_USD = 100.0
VIX = 16.0
HALF_SPREAD = 0.01
CLOSE_HOUR = 16


class Wire:
    """The gateway's control port."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._answers = self._socket.makefile()

    def ask(self, cmd: str, **arguments: Any) -> dict[str, Any]:
        self._socket.sendall(json.dumps({"cmd": cmd, **arguments}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._answers.readline())
        assert answer["ok"], answer
        return answer

    def close(self) -> None:
        self._answers.close()
        self._socket.close()


@dataclass
class Day:
    """The day under way in `folder`, whose home is read by its comparison."""

    folder: Path
    gateway: subprocess.Popen[str] = field(init=False)
    daemon: subprocess.Popen[str] = field(init=False)
    wire: Wire = field(init=False)
    now: datetime = START
    said: list[list[str]] = field(default_factory=list)
    """What the daemon told before the first act, then after each."""
    most_lines: int = 0
    """Market-data lines that were open at once, as the gateway counts them."""
    gateway_at_end: dict[str, Any] = field(default_factory=dict)
    _read: int = 0
    _worth: dict[str, float] = field(default_factory=dict)
    _round: int = 0

    @property
    def home(self) -> Path:
        return self.folder / "home"

    # --- the two programs ------------------------------------------------------------------------

    def open(self) -> None:
        """Start gateway and daemon; returns when the daemon has adopted the whole book."""
        self._write_book()
        self.gateway = subprocess.Popen(
            [
                *(sys.executable, "-m", "broker.gateway", "--market", "script", "--speed", "0"),
                *("--quotes", str(self.folder / "market.json"), "--start", START.isoformat()),
                *("--positions", str(self.folder / "positions.csv")),
                *("--state", str(self.folder / "gateway.sqlite"), "--port", "0", "--control-port", "0"),
            ],
            stdout=subprocess.PIPE,
            stderr=(self.folder / "gateway.log").open("w"),
            text=True,
        )
        assert self.gateway.stdout is not None
        ready = json.loads(self.gateway.stdout.readline())
        self.wire = Wire(ready["control_port"])
        self.home.mkdir()
        (self.home / "optiond.toml").write_text(
            f"[broker]\nport = {ready['port']}\ncontrol_port = {ready['control_port']}\n"
            "[control]\nport = 0\n[sync]\nflush_every_s = 30\nrecord_every_s = 300\n"
            "stale_after_s = 400\n"
        )
        self.daemon = subprocess.Popen(
            [str(OPTIOND), "run", "--home", str(self.home), "--no-page"],
            stdout=(self.folder / "daemon.out").open("w"),
            stderr=subprocess.STDOUT,
            text=True,
            env={key: value for key, value in os.environ.items() if not key.startswith("OPTIOND_")},
            start_new_session=True,
        )
        self._wait(lambda: self.status() is not None and self._connected(), "the daemon connects")
        self.quote()
        for _ in range(10):
            self.step(timedelta(seconds=1))
        self._wait(lambda: (self.status() or {}).get("positions") == len(BOOK), "the book is adopted")

    def close(self) -> None:
        """End the daemon as Ctrl-C does, then the gateway."""
        self.daemon.send_signal(signal.SIGINT)
        self.daemon.wait(timeout=30)
        self.wire.close()
        self.kill()

    def kill(self) -> None:
        """End what still runs, whatever state it is in."""
        for name in ("daemon", "gateway"):
            program = getattr(self, name, None)
            if program is not None and program.poll() is None:
                program.kill()
                program.wait()

    def _write_book(self) -> None:
        lines = ["conid,symbol,expiry,right,strike,position,average_cost"]
        contracts = []
        for number, held in enumerate(BOOK):
            for leg, (right, strike, quantity, cost) in enumerate(LEGS):
                con_id = 1000 + 10 * number + leg
                lines.append(f"{con_id},{held.symbol},{EXPIRY},{right},{strike},{quantity * LOTS},{cost}")
                terms = {"symbol": held.symbol, "expiry": EXPIRY, "strike": strike, "right": right}
                contracts.append({**terms, "con_id": con_id})
        (self.folder / "positions.csv").write_text("\n".join(lines) + "\n")
        contracts += [{"symbol": symbol} for symbol in ("VIX", *(held.symbol for held in BOOK))]
        (self.folder / "market.json").write_text(json.dumps({"contracts": contracts}))

    # --- time and prices -------------------------------------------------------------------------

    def play(self) -> None:
        """The whole day, act by act."""
        for act in ACTS:
            self.go_on_to(act.moment)
            self.said.append(self._new_lines())
            self.perform(act)
        self.go_on_to(END)
        self.said.append(self._new_lines())
        self.gateway_at_end = {
            **{name: self.wire.ask(name)[name] for name in ("orders", "executions", "holdings")},
            "account": self.wire.ask("account"),
        }

    def perform(self, act: Act) -> None:
        before = self._connections()
        for name, arguments in act.faults:
            self.wire.ask("fault", name=name, **arguments)
        self._worth.update(act.worth)
        if act.worth:
            self.quote()
        self.step(timedelta(seconds=1))
        for name, arguments in act.after:
            self.wire.ask("fault", name=name, **arguments)
        for name in act.heal:
            self.wire.ask("fault", name=name, on=False)
        if act.down:
            ended = f"{act.at} {act.words}: the link ends"
            self._wait(lambda: not self._connected() or self._connections() > before, ended)

    def go_on_to(self, moment: datetime) -> None:
        """Let time pass, with fresh quotes now and then while the exchange is open."""
        while self.now < moment:
            self._take_up_link()
            if self.now.hour < CLOSE_HOUR:
                self.quote()
            self.step(min(moment - self.now, QUOTE_EVERY))

    def step(self, by: timedelta) -> None:
        """Let so much simulated time pass, through everything that happens on the way."""
        answer = self.wire.ask("step", seconds=by.total_seconds())
        self.now = datetime.fromisoformat(answer["time"]).astimezone(NEW_YORK)
        self.most_lines = max([self.most_lines, *answer["lines"].values()])

    def quote(self) -> None:
        """Every contract's quote; sizes alternate, so that the market is seen to live."""
        self._round += 1
        size = 10 + self._round % 2
        for symbol, price in (("VIX", VIX), *((held.symbol, UNDERLYING_USD) for held in BOOK)):
            quote = {"bid": price - HALF_SPREAD, "ask": price + HALF_SPREAD, "last": price, "close": price}
            self.wire.ask("quote", symbol=symbol, bid_size=size, ask_size=size, **quote)
        for number, held in enumerate(BOOK):
            for leg, (right, _, quantity, cost) in enumerate(LEGS):
                mid = round(self._worth.get(held.symbol, 1.0) * cost / 100, 2)
                delta = (0.10 if quantity > 0 else 0.20) * (1 if right == "C" else -1)
                self.wire.ask(
                    "quote",
                    con_id=1000 + 10 * number + leg,
                    bid=round(mid - HALF_SPREAD, 2),
                    ask=round(mid + HALF_SPREAD, 2),
                    bid_size=size,
                    ask_size=size,
                    last=mid,
                    iv=0.25,
                    delta=delta,
                    gamma=0.01,
                    theta=-0.02,
                    vega=0.10,
                    underlying_price=UNDERLYING_USD,
                )

    # --- the daemon ------------------------------------------------------------------------------

    def _new_lines(self) -> list[str]:
        """What the daemon has told since the last call."""
        lines = (self.folder / "daemon.out").read_text().splitlines()
        new, self._read = lines[self._read :], len(lines)
        return new

    def status(self) -> dict[str, Any] | None:
        """What the daemon says of itself; None while it does not answer."""
        try:
            port = json.loads((self.home / "control.json").read_text())["port"]
            token = (self.home / "control.token").read_text().strip()
            answer = httpx.get(
                f"http://127.0.0.1:{port}/status", headers={"Authorization": f"Bearer {token}"}, timeout=10
            )
        except (OSError, ValueError, httpx.HTTPError):
            return None
        found: dict[str, Any] = answer.json()
        return found

    def _connected(self) -> bool:
        return bool(self.wire.ask("status")["clients"])

    def _connections(self) -> int:
        """How often the daemon has connected."""
        return (self.folder / "gateway.log").read_text().count("client 1 has connected")

    def _take_up_link(self) -> None:
        """Time stands still until the daemon is back, unless the gateway refuses it."""
        active = {each["fault"] for each in self.wire.ask("faults")["active"]}
        if "refuse_connections" in active or self._connected():
            return
        self._wait(self._connected, f"{self.now:%H:%M:%S}: the daemon comes back")

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + NOTICED_WITHIN_S
        while not condition():
            assert time.monotonic() < deadline, f"not within {NOTICED_WITHIN_S:g} s: {what}"
            assert self.daemon.poll() is None, (self.folder / "daemon.out").read_text()
            time.sleep(0.02)


@contextmanager
def played(folder: Path) -> Iterator[Day]:
    """The day, played to its end, with both programs ended in order."""
    day = Day(folder)
    try:
        day.open()
        day.play()
        day.close()
        yield day
    finally:
        day.kill()


def main() -> None:
    with TemporaryDirectory(prefix="day-") as folder, played(Path(folder)) as day:
        lines = compare(day.gateway_at_end, day.home)
        REPORT.write_text(report(day.said, lines), encoding="utf-8")
        print(f"{REPORT}: {sum(bool(line.differs) for line in lines)} differences")


if __name__ == "__main__":
    main()

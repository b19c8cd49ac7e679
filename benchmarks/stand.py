"""A stand for measuring the real daemon: the real gateway with many positions, and the daemon as a process.

`python -m benchmarks.stand HOME` is that daemon, in a terminal that other programs read: it says as JSON when
it decided what, and on its first beat which legs its positions have.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

import rules
from broker.gateway.exchange.account import Holding
from broker.gateway.main import read_arguments
from broker.gateway.markets.market import Market
from broker.gateway.program import build
from broker.protocol import Broker
from daemon import loop_turns
from daemon.clock import Pulse, SystemPulse
from daemon.console import Console, configure_logging
from daemon.engine import Engine
from daemon.gateway import EmbeddedGateway
from daemon.lake_watch import LakeWatch
from daemon.run import HAND_OVER_S, Daemon, Until, make_home
from daemon.settings import load_settings
from lake import Lake
from options import NEW_YORK, Contract, Right, UsdPerContract
from sync.tables import LAKE_TABLES

_DEPOSIT_USD = 50e6
OPEN_AT = datetime(2026, 3, 2, 11, 0, tzinfo=NEW_YORK)


# --- the gateway -----------------------------------------------------------------------------------


def write_account(state: Path, condors: int) -> dict[int, float]:
    """A gateway's state file with an account of so many iron condors; the price of each contract."""
    gateway = build(read_arguments([*_when(), "--state", str(state)]))
    holdings = _condors(gateway.market, condors)
    account = gateway.exchange.account
    account.deposit_usd = _DEPOSIT_USD
    account.cash_usd = _DEPOSIT_USD - sum(each.quantity * each.average_cost for each in holdings)
    account.holdings = {each.contract.con_id: each for each in holdings}
    gateway.save()
    gateway.close()
    return {each.contract.con_id: each.average_cost / 100 for each in holdings}


def _when() -> tuple[str, str]:
    return "--start", OPEN_AT.isoformat()


def _condors(market: Market, count: int) -> list[Holding]:
    """First one of each series, then further ones beside them, no contract in two of them."""
    now = OPEN_AT.astimezone(UTC)
    series: dict[tuple[str, Any], list[Contract]] = {}
    for contract in market.listings:
        if contract.expiry is not None and (contract.expiry - now.date()).days > 7:
            series.setdefault((contract.symbol, contract.expiry), []).append(contract)
    shelves = [_shelf(market, chain, now) for chain in series.values()]
    found: list[Holding] = []
    for place in range(max(map(len, shelves))):
        for shelf in shelves:
            if place < len(shelf) and len(found) < 4 * count:
                found += shelf[place]
    return found


def _shelf(market: Market, chain: Sequence[Contract], now: datetime) -> list[list[Holding]]:
    quotes = market.quotes([each.con_id for each in chain], now)
    spot = next(quote.underlying_price for quote in quotes.values() if quote.underlying_price) or 0.0
    strikes = sorted(chain, key=lambda each: each.strike or 0.0)
    puts = [c for c in strikes if c.right is Right.PUT and (c.strike or 0) < spot][::-1]
    calls = [c for c in strikes if c.right is Right.CALL and (c.strike or 0) > spot]

    def held(contract: Contract, quantity: int) -> Holding:
        price = quotes[contract.con_id].mark or 0.05
        return Holding(contract, quantity, UsdPerContract(round(100 * price, 2)))

    spreads = zip(list(pairwise(puts))[::2], list(pairwise(calls))[::2], strict=False)
    return [
        [held(low, 1), held(high, -1), held(above, -1), held(top, 1)] for (high, low), (above, top) in spreads
    ]


@contextmanager
def gateway(state: Path, speed: float, *more: str) -> Iterator[dict[str, Any]]:
    """The gateway program on that state; its ready line with its `pid`."""
    command = [sys.executable, "-m", "broker.gateway", "--state", str(state), *_when(), "--speed", str(speed)]
    with running([*command, "--port", "0", "--control-port", "0", *more]) as program:
        assert program.stdout is not None
        yield {**json.loads(program.stdout.readline()), "pid": program.pid}


@contextmanager
def running(command: Sequence[str]) -> Iterator["subprocess.Popen[str]"]:
    """A program, ended with the block."""
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield program
    finally:
        program.terminate()
        with suppress(subprocess.TimeoutExpired):
            program.wait(10)
        program.kill()
        program.wait()


# --- the daemon ------------------------------------------------------------------------------------


def write_home(home: Path, port: int, text: str, **sections: dict[str, Any]) -> None:
    """A home whose daemon trades at `port`, with these rules."""
    make_home(home)
    (home / "rules.yaml").write_text(text)
    wanted = {
        "broker": {"kind": "interactive_brokers", "port": port},
        "control": {"port": 0},
        "breaker": {"statechart": False, "stale_share": 0.0},
        **sections,
    }
    lines: list[str] = []
    for name, values in wanted.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    (home / "optiond.toml").write_text("\n".join(lines) + "\n")


def shadow_rules(*first: dict[str, Any]) -> str:
    """A rules file with these rules before the twelve shipped ones, which all only watch."""
    book = yaml.safe_load(rules.default_rules_path().read_text(encoding="utf-8"))
    book["rules"][:0] = first
    for place, rule in enumerate(book["rules"]):
        rule.pop("examples", None)
        rule.update(priority=place + 1, mode="shadow")
    return str(yaml.safe_dump(book, sort_keys=False))


@contextmanager
def daemon(home: Path) -> Iterator["subprocess.Popen[str]"]:
    """The daemon on that home; what it says are lines of JSON."""
    with running([sys.executable, "-m", "benchmarks.stand", str(home)]) as program:
        yield program


def processor_s(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [row for row in rows if row.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


class _TellingConsole(Console):
    """Says every line as JSON, with the moment at which it was said."""

    def say(self, text: str, time: datetime | None = None) -> None:
        del time
        _tell("said", text=text)


def _tell(kind: str, **what: Any) -> None:
    print(json.dumps({"kind": kind, "at": time.monotonic(), **what}), flush=True)


class _ShiftedPulse(SystemPulse):
    """The wall clock, moved to the middle of a trading day."""

    def __init__(self, beat_s: float) -> None:
        super().__init__(beat_s)
        self._by: timedelta = OPEN_AT.astimezone(UTC) - datetime.now(UTC)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._by


class _MeasuredDaemon(Daemon):
    async def _start_clock(self, gateway: EmbeddedGateway | None) -> Pulse:
        del gateway
        return _ShiftedPulse(self._settings.sync.beat_s)

    async def _live(self, engine: Engine, broker: Broker, pulse: Pulse, watch: LakeWatch) -> None:
        telling = asyncio.create_task(self._tell_positions(engine))
        status = asyncio.create_task(self._tell_status(engine, broker, pulse, watch))
        try:
            await super()._live(engine, broker, pulse, watch)
        finally:
            telling.cancel()
            status.cancel()

    async def _tell_positions(self, engine: Engine) -> None:
        while not (engine.state.has_picture and engine.picture is not None):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        legs = {
            each.id: [leg.contract.con_id for leg in each.legs] for each in engine.state.positions.positions
        }
        _tell("positions", legs=legs)

    async def _tell_status(self, engine: Engine, broker: Broker, pulse: Pulse, watch: LakeWatch) -> None:
        while True:
            await asyncio.sleep(1.0)
            status = self._status(engine, broker, pulse, watch)
            blocked = dict(self._metrics.loop_turns.blocked)
            _tell("status", status=status, blocked=blocked)


async def _run(home: Path) -> int:
    sys.setswitchinterval(HAND_OVER_S)
    settings = load_settings(home)
    configure_logging(home)
    with Lake.open(home, LAKE_TABLES, location=settings.lake.location) as lake:
        return await _MeasuredDaemon(home, settings, lake, _TellingConsole(), Until()).run(with_page=False)


if __name__ == "__main__":
    sys.exit(loop_turns.run(_run(Path(sys.argv[1]))))

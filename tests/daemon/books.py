"""A daemon's engine in this process on a real lake, in lock-step with a real gateway over its socket."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from broker.events import LinkState
from broker.interactive_brokers import InteractiveBrokers
from daemon.account_state import AccountState
from daemon.clock import SimulatedPulse
from daemon.console import Console
from daemon.engine import Engine
from daemon.metrics import Metrics
from daemon.recorded_books import take_up_books
from daemon.records import Records
from daemon.restore import restore
from daemon.rules_file import RulesFile
from daemon.rules_standing import Standing
from daemon.settings import BreakerSettings, SyncSettings
from lake import Lake, LakeReader
from sync.line_budget import LineBudget
from sync.quote_board import QuoteBoard
from sync.tables import LAKE_TABLES
from tests.broker.bench import gateway_process
from trading.desk import Desk
from trading.rolling import Roller

START = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
EXPIRY = date(2026, 4, 17)
# con_id, right, strike, signed contracts, average cost in USD per contract
CONDOR = (
    (101, "P", 90.0, 2, 50.70),
    (102, "P", 95.0, -2, 119.30),
    (103, "C", 105.0, -2, 119.30),
    (104, "C", 110.0, 2, 50.70),
)
LISTED = (*CONDOR, (105, "P", 85.0, 0, 25.0))
WAIT_S = 20.0
RULES = """
version: 1
rules:
  - id: never_here
    priority: 1
    when: dte <= 1d
    do: {close: mid}
    examples:
      fires: [{dte: 1d}]
      quiet: [{dte: 40d}]
"""
"""So that what is done is done by covering alone."""


@dataclass
class Books:
    """One home and one gateway; `live` runs cycles, `restart` ends the engine as a kill does."""

    home: Path
    ports: dict[str, int]
    lake: Lake
    said: io.StringIO = field(default_factory=io.StringIO)
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    async def begin(self) -> None:
        """A fresh engine on the home: what it knows, it has from the lake and from the broker."""

        async def control_port() -> int:
            return self.ports["control_port"]

        self.pulse = SimulatedPulse("127.0.0.1", 1, control_port)
        await self.pulse.start()
        self.broker = InteractiveBrokers("127.0.0.1", self.ports["port"], 1, self.pulse, throttle_per_s=None)
        self.pulse.client = self.broker
        state = AccountState(
            self.broker, QuoteBoard(), LineBudget(90), Desk(self.broker), Roller(self.broker)
        )
        (self.home / "rules.yaml").write_text(RULES)
        file, self.metrics = RulesFile(self.home / "rules.yaml"), Metrics()
        place = self.lake, state, Standing(file.read()), file, Records(LAKE_TABLES), SyncSettings()
        limits = BreakerSettings(stale_share=0)
        self.engine = Engine(*place, Console(self.said), self.metrics, pl.LazyFrame, limits=limits)
        restore(self.home, state, self.pulse.now())
        take_up_books(LakeReader.open(self.home), state, self.engine.reconciler, self.pulse.now())
        self.tasks.append(asyncio.create_task(self.broker.run()))
        await self.connected()
        self.engine.account = self.broker.account

    async def connected(self) -> None:
        """Return when the link is up, be it for the first time or again."""
        async with asyncio.timeout(WAIT_S):
            while True:
                if self.broker.link is LinkState.UP:
                    return
                await asyncio.sleep(0.005)

    async def end(self) -> None:
        """As a kill does: no last picture, no flush."""
        for task in self.tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self.tasks.clear()
        self.pulse.close()

    async def restart(self) -> None:
        await self.ask("pause", on=True)  # else hours pass while nobody follows the clock
        await self.end()
        self.lake.close()
        self.lake = Lake.open(self.home, LAKE_TABLES)
        await self.begin()
        await self.ask("pause", on=False)

    async def live(self, seconds: float, until: Callable[[], Any] = lambda: False) -> None:
        """Cycle after cycle until so much simulated time has passed, or until something is so."""
        end = self.pulse.now() + timedelta(seconds=seconds)
        async with asyncio.timeout(WAIT_S):
            wake = await self.engine.cycle(self.pulse.now())
            while self.pulse.now() < end and not until():
                await self.pulse.next_beat(min(wake or end, end))
                wake = await self.engine.cycle(self.pulse.now())

    async def ask(self, cmd: str, **arguments: Any) -> dict[str, Any]:
        """A command of the gateway's control port."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports["control_port"])
        try:
            writer.write(json.dumps({"cmd": cmd, **arguments}).encode() + b"\n")
            async with asyncio.timeout(WAIT_S):
                answer: dict[str, Any] = json.loads(await reader.readline())
        finally:
            writer.close()
        assert answer["ok"], answer
        return answer

    async def fault(self, name: str, **arguments: Any) -> None:
        await self.ask("fault", name=name, **arguments)

    async def by_hand(self, action: str, con_id: int, quantity: int) -> None:
        """Somebody trades at the market, at a desk that we know nothing of."""
        await self.ask("order_by_hand", action=action, con_id=con_id, quantity=quantity)

    async def orders(self) -> list[dict[str, Any]]:
        """Those of the daemon."""
        return [each for each in (await self.ask("orders"))["orders"] if each["order_ref"].startswith("opt-")]

    async def holdings(self) -> dict[int, int]:
        return {h["con_id"]: h["quantity"] for h in (await self.ask("holdings"))["holdings"] if h["quantity"]}

    def rows(self, table: str) -> list[dict[str, Any]]:
        frame = LakeReader.open(self.home).table(table).sort("seq", maintain_order=True).collect()
        return frame.to_dicts()

    def decisions(self) -> list[dict[str, Any]]:
        """The covering ones."""
        return [row for row in self.rows("decisions") if row["rule"] == "cover"]

    def found(self, state: str = "found") -> list[tuple[str, str]]:
        """Kind and subject of the differences on record."""
        rows = self.rows("reconciliations")
        return [(row["kind"], row["subject"]) for row in rows if row["state"] == state]

    def held(self) -> dict[int, int]:
        """What our positions add up to."""
        total: dict[int, int] = {}
        for position in self.engine.state.positions.positions:
            for leg in position.legs:
                con_id = int(leg.contract.con_id)
                total[con_id] = total.get(con_id, 0) + leg.quantity
        return total


def _write_market(folder: Path) -> tuple[Path, Path]:
    terms = [
        {"con_id": c, "symbol": "XYZ", "expiry": EXPIRY.isoformat(), "right": r, "strike": k}
        for c, r, k, _, _ in LISTED
    ]
    figures = {"iv": 0.25, "gamma": 0.01, "theta": -0.02, "vega": 0.1, "underlying_price": 100.0}
    quotes = [
        {
            "con_id": c,
            "bid": round(cost / 100 - 0.01, 2),
            "ask": round(cost / 100 + 0.01, 2),
            "delta": -0.2 if r == "P" else 0.2,
            **figures,
        }
        for c, r, _, _, cost in LISTED
    ]
    script, positions = folder / "script.json", folder / "positions.csv"
    script.write_text(json.dumps({"contracts": terms, "quotes": quotes}))
    lines = ["conid,symbol,expiry,right,strike,position,average_cost"]
    lines += [f"{c},XYZ,{EXPIRY},{r},{k},{float(q)},{cost}" for c, r, k, q, cost in CONDOR]
    positions.write_text("\n".join(lines) + "\n")
    return script, positions


@asynccontextmanager
async def opened_books(folder: Path) -> AsyncIterator[Books]:
    """A gateway of a scripted market that holds two condors, and an engine that has just connected."""
    script, positions = _write_market(folder)
    files = ("--quotes", str(script), "--positions", str(positions), "--start", START.isoformat())
    async with gateway_process("--market", "script", *files, "--speed", "1000000") as (_, ports):
        home = folder / "home"
        books = Books(home, ports, Lake.open(home, LAKE_TABLES))
        await books.begin()
        try:
            yield books
        finally:
            await books.end()
            books.lake.close()

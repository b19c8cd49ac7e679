"""A bench for tests: the real simulated gateway and an adapter that talks to it over real sockets."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from broker.events import BrokerEvent, LinkState
from broker.interactive_brokers import InteractiveBrokers
from broker.simulated_clock import FollowedClock
from options import ConId, Contract, Right, SecType

E = TypeVar("E")
EXPIRY = date(2026, 3, 20)


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass
class Bench:
    """A gateway, an adapter running against it, and everything that the adapter has said so far."""

    port: int
    control_port: int
    control: FollowedClock
    broker: InteractiveBrokers
    said: list[BrokerEvent] = field(default_factory=list)

    async def until(
        self, kind: type[E], matches: Callable[[E], bool] = lambda _: True, within_s: float = 15
    ) -> E:
        """The first event of that kind since the last `forget` that matches."""
        async with asyncio.timeout(within_s):
            while True:
                self.said += self.broker.drain()
                for event in self.said:
                    if isinstance(event, kind) and matches(event):
                        return event
                await asyncio.sleep(0.005)

    def all(self, kind: type[E]) -> list[E]:
        self.said += self.broker.drain()
        return [event for event in self.said if isinstance(event, kind)]

    def forget(self) -> None:
        self.broker.drain()
        self.said.clear()

    async def connected(self) -> None:
        """Return when the link is up, be it for the first time or again."""
        async with asyncio.timeout(15):
            while True:
                if self.broker.link is LinkState.UP:
                    return
                await asyncio.sleep(0.005)

    async def ask(self, cmd: str, **arguments: object) -> dict[str, Any]:
        return await self.control.request(cmd, **arguments)

    async def fault(self, name: str, **arguments: object) -> None:
        await self.control.request("fault", name=name, **arguments)

    async def list_put(self, strike: float, bid: float | None, ask: float | None) -> Contract:
        """A scripted IWM put with a quote."""
        terms = {"symbol": "IWM", "expiry": EXPIRY.isoformat(), "strike": strike, "right": "P"}
        con_id = (await self.ask("contract", **terms))["con_id"]
        await self.quote(con_id, bid, ask)
        return Contract(
            ConId(con_id), "IWM", SecType.OPTION, EXPIRY, strike, Right.PUT, 100, trading_class="IWM"
        )

    async def quote(self, con_id: int, bid: float | None, ask: float | None) -> None:
        greeks = {"iv": 0.2, "delta": -0.3, "gamma": 0.01, "theta": -0.05, "vega": 0.1}
        await self.ask("quote", con_id=con_id, bid=bid, ask=ask, underlying_price=245.0, **greeks)


Start = Callable[..., Awaitable[Bench]]


@asynccontextmanager
async def gateway_process(
    *arguments: str,
) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "broker.gateway", "--port", "0", "--control-port", "0", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            ready = json.loads(await process.stdout.readline())
        yield process, ready
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()

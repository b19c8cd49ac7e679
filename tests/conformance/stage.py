"""The gateway of most tests here: a scripted market with one share and four of its options, all quoted."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from broker.gateway.main import read_arguments
from broker.gateway.program import serving

ACCOUNT = "DU1234567"
EXPIRY = "2026-04-17"
# Strike and right of the quoted options: bid, ask, the model's IV, delta, gamma, vega, theta and price.
CHAIN = {
    "P90": (0.45, 0.55, 0.31, -0.10, 0.015, 0.055, -0.012, 0.50),
    "P95": (1.15, 1.25, 0.28, -0.24, 0.028, 0.100, -0.020, 1.20),
    "C105": (1.05, 1.15, 0.24, 0.27, 0.031, 0.105, -0.021, 1.10),
    "C110": (0.35, 0.45, 0.23, 0.12, 0.019, 0.064, -0.014, 0.40),
}
STOCK = {"bid": 99.95, "ask": 100.05, "last": 100.0, "close": 98.5, "volume": 1200}


@dataclass
class Control:
    """The control port; `con_ids` of the quoted contracts by name: XYZ, P90."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    con_ids: dict[str, int] = field(default_factory=dict)

    async def tell(self, cmd: str, **arguments: Any) -> dict[str, Any]:
        """A command's reply, which must be ok."""
        self.writer.write(json.dumps({"cmd": cmd, **arguments}).encode() + b"\n")
        reply: dict[str, Any] = json.loads(await self.reader.readline())
        assert reply["ok"], reply
        return reply

    async def quote_all(self) -> None:
        """Lists what is not listed yet and sets every quote as it is above."""
        self.con_ids["XYZ"] = (await self.tell("contract", symbol="XYZ"))["con_id"]
        await self.tell("quote", symbol="XYZ", **STOCK)
        for name, (bid, ask, iv, delta, gamma, vega, theta, price) in CHAIN.items():
            terms = {"symbol": "XYZ", "expiry": EXPIRY, "strike": float(name[1:]), "right": name[0]}
            self.con_ids[name] = (await self.tell("contract", **terms))["con_id"]
            greeks = {"iv": iv, "delta": delta, "gamma": gamma, "vega": vega, "theta": theta}
            model = {"model_price": price, "underlying_price": 100.0}
            await self.tell("quote", **terms, **greeks, **model, bid=bid, ask=ask)


@asynccontextmanager
async def opened_gateway(*arguments: str) -> AsyncIterator[tuple[int, Control]]:
    """A new gateway on free ports: the port for its clients, and its control port."""
    words = ["--port", "0", "--control-port", "0", "--account", ACCOUNT, *arguments]
    async with serving(read_arguments(words)) as (_, ready):
        reader, writer = await asyncio.open_connection("127.0.0.1", ready["control_port"], limit=1 << 24)
        try:
            yield ready["port"], Control(reader, writer)
        finally:
            writer.close()


@asynccontextmanager
async def quoted_gateway() -> AsyncIterator[tuple[int, Control]]:
    """One whose market is the scripted one, with all quotes set."""
    async with opened_gateway("--market", "script") as (port, control):
        await control.quote_all()
        yield port, control

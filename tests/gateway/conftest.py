"""A real gateway on free ports, the untouched ib_async against it, and the control port beside it."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from ib_async import IB, ComboLeg, Contract, Option

from broker.gateway.gateway import Gateway
from broker.gateway.main import read_arguments
from broker.gateway.program import serving

CONDOR = {"P90": 0.50, "P95": 1.20, "C105": 1.10, "C110": 0.40}
EXPIRY = "2026-04-17"
PATIENCE_S = 20.0
"""How long a test waits for what must come, on a machine that does other things too."""


@dataclass
class Bench:
    """A running gateway with everything that a test needs to talk to it."""

    gateway: Gateway
    port: int
    control_port: int
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    inflicted: set[str]

    async def ask(self, cmd: str, **arguments: Any) -> dict[str, Any]:
        """A command's reply over the real control port, whatever it says."""
        self._writer.write(json.dumps({"cmd": cmd, **arguments}).encode() + b"\n")
        reply: dict[str, Any] = json.loads(await self._reader.readline())
        return reply

    async def tell(self, cmd: str, **arguments: Any) -> dict[str, Any]:
        """A command's reply, which must be ok."""
        reply = await self.ask(cmd, **arguments)
        assert reply["ok"], reply
        return reply

    async def inflict(self, name: str, **parameters: Any) -> None:
        await self.tell("fault", name=name, **parameters)
        self.inflicted.add(name)

    async def heal(self) -> list[str]:
        healed: list[str] = (await self.tell("heal"))["healed"]
        return healed

    async def step(self, seconds: float) -> None:
        await self.tell("step", seconds=seconds)

    async def list_condor(self) -> dict[str, Contract]:
        """An iron condor's four contracts on XYZ, each quoted 0.10 wide; ready to subscribe and trade."""
        for name, middle in CONDOR.items():
            terms = {"symbol": "XYZ", "expiry": EXPIRY, "strike": float(name[1:]), "right": name[0]}
            await self.tell("contract", **terms)
            await self.tell("quote", **terms, bid=round(middle - 0.05, 2), ask=round(middle + 0.05, 2))
        return {c.localSymbol[12] + f"{c.strike:g}": c for c in await self._qualified()}

    async def _qualified(self) -> list[Contract]:
        found = []
        for contract in self.gateway.market.listings.chain("XYZ"):
            found.append(
                Option(
                    conId=contract.con_id,
                    symbol="XYZ",
                    lastTradeDateOrContractMonth="20260417",
                    strike=contract.strike or 0.0,
                    right=str(contract.right),
                    multiplier="100",
                    exchange="SMART",
                    currency="USD",
                    localSymbol=contract.local_symbol,
                )
            )
        return found


OpenBench = Callable[..., AbstractAsyncContextManager[Bench]]
Connect = Callable[..., AbstractAsyncContextManager[IB]]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(name): shows what a client suffers from that fault")


@pytest.fixture
def open_bench(request: pytest.FixtureRequest) -> Iterator[OpenBench]:
    """`async with open_bench("--market", "script") as bench`. A test that is marked as a fault's has to
    inflict it."""
    inflicted: set[str] = set()

    @asynccontextmanager
    async def opened(*argv: str) -> AsyncIterator[Bench]:
        arguments = read_arguments(["--port", "0", "--control-port", "0", *argv])
        async with serving(arguments) as (gateway, ready):
            reader, writer = await asyncio.open_connection("127.0.0.1", ready["control_port"], limit=1 << 24)
            try:
                yield Bench(gateway, ready["port"], ready["control_port"], reader, writer, inflicted)
            finally:
                writer.close()

    yield opened
    for mark in request.node.iter_markers("fault"):
        assert mark.args[0] in inflicted


@pytest.fixture
async def script(open_bench: OpenBench) -> AsyncIterator[Bench]:
    """A gateway whose prices and time the test decides."""
    async with open_bench("--market", "script") as bench:
        yield bench


@pytest.fixture
def connect() -> Connect:
    """`async with connect(bench, client_id=1) as ib`: synchronised, disconnected at the end."""

    @asynccontextmanager
    async def connected(bench: Bench, client_id: int = 1) -> AsyncIterator[IB]:
        ib = IB()
        await ib.connectAsync("127.0.0.1", bench.port, client_id, timeout=PATIENCE_S, raiseSyncErrors=True)
        try:
            yield ib
        finally:
            ib.disconnect()
            await asyncio.sleep(0)

    return connected


@pytest.fixture(autouse=True)
def _clean_decoding(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test does, ib_async must have understood every message."""
    yield
    wrong = [r.getMessage() for r in caplog.get_records("call") if r.name == "ib_async.Decoder"]
    assert not [text for text in wrong if text], wrong


@pytest.fixture
def combo() -> Callable[..., Contract]:
    """A combo of contracts with an action each."""

    def make(*legs: tuple[Contract, str], ratio: int = 1) -> Contract:
        return Contract(
            secType="BAG",
            symbol=legs[0][0].symbol,
            exchange="SMART",
            currency="USD",
            comboLegs=[
                ComboLeg(conId=contract.conId, ratio=ratio, action=action, exchange="SMART")
                for contract, action in legs
            ],
        )

    return make


@pytest.fixture
def heard() -> Callable[[IB], list[tuple[int, int]]]:
    """A list that gathers (request id, code) of the errors that a client hears."""

    def listen(ib: IB) -> list[tuple[int, int]]:
        errors: list[tuple[int, int]] = []
        ib.errorEvent += lambda req_id, code, *_: errors.append((req_id, code))
        return errors

    return listen


@pytest.fixture
def raw() -> Callable[[IB], list[list[str]]]:
    """A list that gathers the fields of every message that a client receives from now on."""

    def listen(ib: IB) -> list[list[str]]:
        messages: list[list[str]] = []
        decode = ib.client.decoder.interpret

        def hear(fields: list[str]) -> None:
            messages.append(list(fields))
            decode(fields)

        ib.client.decoder.interpret = hear
        return messages

    return listen


@pytest.fixture
def of() -> Callable[[list[list[str]], int], list[list[str]]]:
    """`of(messages, 61)`: those of one message number."""
    return lambda messages, kind: [fields for fields in messages if fields[0] == str(kind)]


@pytest.fixture
def misread(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What ib_async could not decode so far; nobody minds these any more."""

    def take() -> list[str]:
        wrong = [r.getMessage() for r in caplog.get_records("call") if r.name == "ib_async.Decoder"]
        caplog.clear()
        return wrong

    return take


@pytest.fixture
def until() -> Callable[..., Any]:
    """`await until(lambda: condition)`: lets the loop run until it holds."""

    async def wait(condition: Callable[[], Any]) -> Any:
        for _ in range(round(PATIENCE_S * 1000)):
            if found := condition():
                return found
            await asyncio.sleep(0.001)
        raise AssertionError("it never came to hold")

    return wait


logging.getLogger("ib_async").setLevel(logging.ERROR)

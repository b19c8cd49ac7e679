"""An adapter that is connected to the real simulated gateway."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from broker.gateway.main import read_arguments
from broker.gateway.program import serving
from broker.interactive_brokers import InteractiveBrokers
from broker.simulated_clock import FollowedClock
from tests.broker.bench import Bench, Start, SystemClock


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a gateway (by default a scripted market, whose time stands still) and connects to it. It runs in
    the loop of the test, which is quicker than a process and the same on the wire."""
    ends: list[Callable[[], Awaitable[object]]] = []

    async def begin(*arguments: str, **settings: Any) -> Bench:
        words = [*("--port", "0", "--control-port", "0"), *(arguments or ("--market", "script"))]
        gateway = serving(read_arguments(words))
        _, ready = await gateway.__aenter__()
        ends.append(lambda: gateway.__aexit__(None, None, None))
        control = FollowedClock("127.0.0.1", ready["control_port"])
        settings = {"jitter": random.Random(1), "throttle_per_s": None, **settings}
        clock = settings.pop("clock", None) or SystemClock()
        broker = InteractiveBrokers("127.0.0.1", ready["port"], 1, clock, **settings)
        bench = Bench(ready["port"], ready["control_port"], control, broker)
        running = asyncio.create_task(broker.run())

        async def stop() -> None:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            control.close()

        ends.append(stop)
        await bench.connected()
        return bench

    yield begin
    for end in reversed(ends):
        await end()


@pytest.fixture
async def bench(start: Start) -> Bench:
    return await start()

"""In lock-step with the real simulated gateway."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

import pytest

from broker.events import OrderChanged, OrderState, QuoteChanged
from broker.interactive_brokers import InteractiveBrokers
from broker.protocol import ComboLeg, OrderRequest
from broker.simulated_clock import FollowedClock
from options import BrokerError
from tests.broker.bench import Bench, Start, gateway_process


async def run_once(beats: int) -> list[object]:
    """All quotes and orders of a short simulated session with one order in it."""
    seen: list[object] = []
    async with gateway_process("--market", "model", "--speed", "50") as (_, ready):
        clock = FollowedClock("127.0.0.1", ready["control_port"])
        await clock.start(1)
        broker = InteractiveBrokers("127.0.0.1", ready["port"], 1, clock, throttle_per_s=None)
        running = asyncio.create_task(broker.run())
        while True:
            if broker.link == "up":
                break
            await asyncio.sleep(0.005)
        held = [each.contract for each in (await broker.picture()).holdings]
        broker.drain()
        for contract in held:
            broker.subscribe(contract)
        order = OrderRequest("x", (ComboLeg(held[0], 1), ComboLeg(held[1], 1)), 1, 0.01, opens=True)
        broker.place(order)
        wake: datetime | None = None
        for number in range(beats):
            beat = await clock.next_beat(wake, broker.frames_sent)
            await broker.frames_arrived(beat.frames_expected)
            assert broker.frames_received >= beat.frames_expected
            assert clock.now() == beat.time
            events = broker.drain()
            seen += [(beat.time, e) for e in events if isinstance(e, QuoteChanged | OrderChanged)]
            wake = beat.time + timedelta(milliseconds=250)
            if number == beats // 2:
                broker.reprice("x", 0.02)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        clock.close()
    return seen


async def test_two_runs_are_the_same_to_the_last_tick() -> None:
    first, second = await run_once(40), await run_once(40)
    assert first == second
    assert len(first) > 100


async def test_wake_is_kept_and_time_stands_still_between_beats(start: Start) -> None:
    bench = await start("--market", "model", "--speed", "1000")
    clock = FollowedClock("127.0.0.1", bench.control_port)
    await clock.start(1)
    wake = clock.now() + timedelta(milliseconds=300)
    beat = await clock.next_beat(wake, bench.broker.frames_sent)
    assert beat.time <= wake
    assert (await clock.request("status"))["time"] == beat.time.isoformat()
    clock.close()


async def test_a_refused_order_is_settled_within_its_beat(start: Start) -> None:
    bench = await start("--market", "model", "--speed", "1000")
    clock = FollowedClock("127.0.0.1", bench.control_port)
    await clock.start(1)
    held = [each.contract for each in (await bench.broker.picture()).holdings]
    bench.broker.place(OrderRequest("odd", (ComboLeg(held[0], 1),), 1, 0.0151, opens=True))
    beat = await clock.next_beat(None, bench.broker.frames_sent)
    await bench.broker.frames_arrived(beat.frames_expected)
    last = bench.all(OrderChanged)[-1]
    assert (last.order_ref, last.state) == ("odd", OrderState.REJECTED)
    clock.close()


async def test_commands_are_answered_or_refused_with_the_reason(bench: Bench) -> None:
    assert (await bench.control.request("status"))["market"] == "script"
    with pytest.raises(BrokerError, match="nonsense"):
        await bench.control.request("nonsense")
    assert (await bench.control.request("status"))["ok"]


async def test_a_gateway_that_goes_away_is_told() -> None:
    async with gateway_process("--market", "model") as (process, ready):
        clock = FollowedClock("127.0.0.1", ready["control_port"])
        await clock.start(9)
        process.kill()
        await process.wait()
        with pytest.raises(BrokerError, match="went away"):
            async with asyncio.timeout(10):
                while True:
                    await clock.next_beat(None, 0)
        with pytest.raises(BrokerError, match="no simulated gateway"):
            await FollowedClock("127.0.0.1", ready["control_port"]).start(1)
        clock.close()


def test_a_clock_that_was_not_started_says_so() -> None:
    with pytest.raises(BrokerError, match="start"):
        FollowedClock("127.0.0.1", 1).now()

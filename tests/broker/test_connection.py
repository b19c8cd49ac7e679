"""The link: refused, half-open, stopped, and what it waits between attempts."""

import asyncio
import logging
import random
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from broker.connection import Backoff
from broker.events import ALARM, BrokerNotice, LinkChanged, LinkState
from broker.interactive_brokers import InteractiveBrokers
from broker.protocol import Broker
from options import BrokerError
from tests.broker.bench import Bench, Start, SystemClock


@pytest.mark.row("client-id-in-use")
async def test_a_client_id_in_use_is_recognised_at_once_and_tried_again(bench: Bench) -> None:
    second = InteractiveBrokers("127.0.0.1", bench.port, 1, SystemClock(), jitter=random.Random(1))
    running = asyncio.create_task(second.run())
    other = Bench(bench.port, bench.control_port, bench.control, second)
    refused = await other.until(LinkChanged, lambda event: "326" in event.reason, within_s=3)
    assert refused.state is LinkState.DOWN
    await bench.fault("drop")
    await other.until(LinkChanged, lambda event: event.state is LinkState.UP)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


@pytest.mark.row("half-open")
async def test_a_silent_gateway_is_taken_for_down(start: Start) -> None:
    bench = await start(probe_every_s=0.2, probe_timeout_s=0.3)
    await bench.fault("silent")
    down = await bench.until(LinkChanged, lambda event: event.state is LinkState.DOWN)
    assert "half-open" in down.reason
    bench.forget()
    await bench.until(LinkChanged, lambda event: event.state is LinkState.UP)


async def test_a_request_that_is_not_answered_fails_in_time(start: Start) -> None:
    bench = await start(request_timeout_s=0.2)
    await bench.fault("silent")
    with pytest.raises(BrokerError, match="did not answer"):
        await bench.broker.picture()


@pytest.mark.row("server-drops")
async def test_a_request_fails_at_once_when_the_connection_drops(bench: Bench) -> None:
    await bench.fault("silent")
    asking = asyncio.create_task(bench.broker.picture())
    await asyncio.sleep(0)
    await bench.fault("drop")
    async with asyncio.timeout(2):
        with pytest.raises(BrokerError, match="lost"):
            await asking


async def test_cancelling_run_frees_the_client_id(bench: Bench) -> None:
    second = InteractiveBrokers("127.0.0.1", bench.port, 2, SystemClock())
    running = asyncio.create_task(second.run())
    other = Bench(bench.port, bench.control_port, bench.control, second)
    await other.connected()
    assert (await bench.ask("status"))["clients"] == [1, 2]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert second.link is LinkState.DOWN
    assert second.frames_received == second.frames_sent == 0
    assert (await bench.ask("status"))["clients"] == [1]


async def test_an_account_that_the_login_does_not_manage_ends_the_run(bench: Bench) -> None:
    second = InteractiveBrokers("127.0.0.1", bench.port, 2, SystemClock(), account="U999")
    async with asyncio.timeout(10):
        with pytest.raises(BrokerError, match=r"U999.*DU1234567"):
            await second.run()
    assert not second.is_paper


async def test_without_a_gateway_it_keeps_trying_until_it_is_stopped() -> None:
    broker = InteractiveBrokers("127.0.0.1", 1, 1, SystemClock(), jitter=random.Random(1))
    as_seen_above: Broker = broker
    running = asyncio.create_task(broker.run())
    async with asyncio.timeout(10):
        while True:
            if broker.attempts == 2:
                break
            await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    reasons = [event.reason for event in as_seen_above.drain() if isinstance(event, LinkChanged)]
    assert any("127.0.0.1:1" in reason for reason in reasons)


async def test_a_message_that_cannot_be_decoded_raises_an_alarm(bench: Bench) -> None:
    logging.getLogger("ib_async.Decoder").error("Error handling fields: ['11', 'GMT Standard Time']")
    alarm = await bench.until(BrokerNotice, lambda event: event.code == ALARM)
    assert "GMT Standard Time" in alarm.text


def test_the_waits_double_from_one_to_thirty_seconds_and_are_jittered() -> None:
    backoff = Backoff(random.Random(7))
    waits = [backoff.next_s() for _ in range(8)]
    bounds = [1, 2, 4, 8, 16, 30, 30, 30]
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))
    assert waits == [same.next_s() for same in [Backoff(random.Random(7))] for _ in range(8)]
    backoff.reset()
    assert backoff.next_s() <= 1


def test_time_comes_from_the_clock_that_was_handed_in() -> None:
    class Standing:
        def now(self) -> datetime:
            return datetime(2026, 3, 2, tzinfo=UTC)

    broker = InteractiveBrokers("127.0.0.1", 1, 1, Standing())
    assert broker.link is LinkState.DOWN and broker.link_since is None and broker.account == ""

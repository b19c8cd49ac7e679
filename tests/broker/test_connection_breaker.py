"""The connection breaker: what opens it, what it waits, what closes it."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest

from broker.connection_breaker import DEATHS, FIRST_PAUSE_S, MOST_PAUSE_S, BreakerState, ConnectionBreaker
from broker.events import LinkChanged, LinkState
from tests.broker.bench import Bench, Start


class Hurried(random.Random):
    """Makes every wait between attempts a thousand times shorter."""

    def uniform(self, a: float, b: float) -> float:
        return 0.001


class HandClock:
    """Goes on when the test says so."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


def stormed() -> ConnectionBreaker:
    breaker = ConnectionBreaker()
    for _ in range(DEATHS):
        assert breaker.state is BreakerState.CLOSED
        breaker.try_again()
        breaker.died()
    return breaker


def test_it_opens_after_so_many_early_deaths_in_a_row_and_not_before() -> None:
    breaker = stormed()
    assert (breaker.state, breaker.pause_s) == (BreakerState.OPEN, FIRST_PAUSE_S)


def test_one_connection_that_proves_itself_starts_the_count_afresh() -> None:
    breaker = ConnectionBreaker()
    for _ in range(DEATHS - 1):
        breaker.died()
    breaker.proved()
    breaker.died()
    assert breaker.state is BreakerState.CLOSED


def test_a_trial_that_fails_opens_it_for_twice_as_long_and_never_for_longer_than_the_most() -> None:
    breaker = stormed()
    pauses = []
    for _ in range(4):
        breaker.try_again()
        assert breaker.state is BreakerState.HALF_OPEN
        breaker.died()
        assert breaker.state is BreakerState.OPEN
        pauses.append(breaker.pause_s)
    assert pauses == [2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S, MOST_PAUSE_S, MOST_PAUSE_S]


def test_a_trial_that_proves_itself_closes_it() -> None:
    breaker = stormed()
    breaker.try_again()
    breaker.proved()
    assert (breaker.state, breaker.deaths, breaker.pause_s) == (BreakerState.CLOSED, 0, 0)


def reasons(bench: Bench) -> list[str]:
    return [event.reason for event in bench.all(LinkChanged) if event.state is LinkState.DOWN]


async def breaker_is(bench: Bench, state: BreakerState) -> None:
    async with asyncio.timeout(10):
        while True:
            if bench.broker.health.breaker is state:
                return
            await asyncio.sleep(0.005)


@pytest.mark.row("reconnect-storm")
async def test_a_gateway_that_lets_every_connection_die_is_left_alone_and_then_tried_once(
    start: Start,
) -> None:
    clock = HandClock()
    bench = await start(clock=clock, jitter=Hurried(), probe_every_s=0.05)
    await bench.fault("drop", after_request="open_orders", times=DEATHS + 1)
    bench.forget()
    bench.broker.renew("to begin")
    await bench.until(LinkChanged, lambda event: "none for 120 s" in event.reason)
    told = [reason for reason in reasons(bench) if "died early" in reason]
    assert [text.rpartition("none for ")[2] for text in told] == ["60 s", "120 s"]
    await bench.until(LinkChanged, lambda event: event.state is LinkState.UP)
    assert bench.broker.health.breaker is BreakerState.HALF_OPEN
    clock.time += timedelta(seconds=31)
    await breaker_is(bench, BreakerState.CLOSED)


@pytest.mark.row("reconnect-storm")
async def test_a_gateway_that_does_not_answer_at_all_opens_nothing(start: Start) -> None:
    bench = await start(jitter=Hurried())
    await bench.fault("refuse_connections")
    await bench.fault("drop")
    await bench.until(LinkChanged, lambda _: len(reasons(bench)) > 4 * DEATHS)
    await bench.ask("heal")
    await bench.connected()
    assert bench.broker.health.breaker is BreakerState.CLOSED


@pytest.mark.row("reconnect-storm")
async def test_drops_of_connections_that_had_proved_themselves_open_nothing(start: Start) -> None:
    clock = HandClock()
    bench = await start(clock=clock, jitter=Hurried())
    for _ in range(DEATHS + 2):
        clock.time += timedelta(minutes=1)
        bench.forget()
        await bench.fault("drop")
        await bench.until(LinkChanged, lambda event: event.state is LinkState.UP)
    assert bench.broker.health.breaker is BreakerState.CLOSED


async def test_a_connection_that_is_renewed_comes_back_at_once_and_counts_for_nothing(start: Start) -> None:
    bench = await start(jitter=random.Random(1))
    before = bench.broker.health
    for _ in range(DEATHS + 1):
        bench.forget()
        bench.broker.renew("planned")
        async with asyncio.timeout(1):
            down = await bench.until(LinkChanged, lambda event: event.state is LinkState.DOWN)
            up = await bench.until(LinkChanged, lambda event: event.state is LinkState.UP)
        assert down.planned and up.resubscribe
    after = bench.broker.health
    assert after.breaker is BreakerState.CLOSED
    assert after.received > before.received and after.sent > before.sent


async def test_the_health_says_since_when_and_what_it_costs(start: Start) -> None:
    clock = HandClock()
    bench = await start(clock=clock, request_timeout_s=0.2)
    put = await bench.list_put(245, 2.00, 2.10)
    bench.broker.subscribe(put)
    await bench.broker.picture()
    health = bench.broker.health
    assert (health.state, health.since, health.connected) == (LinkState.UP, clock.time, clock.time)
    assert (health.attempts, health.lines_used, health.waiting) == (0, 1, 0)
    assert health.heard_s is not None and health.heard_s < 5
    await bench.fault("refuse_connections")
    await bench.fault("drop")
    await bench.until(LinkChanged, lambda event: event.state is LinkState.DOWN)
    health = bench.broker.health
    assert (health.connected, health.heard_s, health.lines_used) == (None, None, 0)


@pytest.mark.row("servers")
async def test_a_gateway_that_says_no_more_of_its_servers_is_asked_by_a_new_connection(start: Start) -> None:
    clock = HandClock()
    bench = await start(clock=clock, jitter=Hurried(), probe_every_s=0.05)
    await bench.fault("connectivity", code=2110)
    await bench.until(LinkChanged, lambda event: event.state is LinkState.LOST)
    clock.time += timedelta(seconds=299)
    sent = bench.broker.frames_sent
    async with asyncio.timeout(5):
        while True:
            if bench.broker.frames_sent >= sent + 2:
                break
            await asyncio.sleep(0.005)
    assert bench.broker.link is LinkState.LOST, "two probes later"
    clock.time += timedelta(seconds=1)
    down = await bench.until(LinkChanged, lambda event: event.state is LinkState.DOWN)
    assert "no word of the broker's servers" in down.reason
    await bench.until(LinkChanged, lambda event: event.state is LinkState.UP)

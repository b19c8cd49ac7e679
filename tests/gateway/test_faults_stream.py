"""What an untouched ib_async suffers when bytes come late, in pieces, in heaps, or make no sense."""

import asyncio
import json

import pytest
from ib_async import IB


async def quote(script, contract, bid):
    await script.tell("quote", con_id=contract.conId, bid=bid, ask=round(bid + 0.10, 2))


@pytest.mark.fault("delay")
async def test_delayed_messages_are_old_prices_with_new_times(script, connect, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        ticker = ib.reqMktData(legs["P90"])
        await until(lambda: ticker.bid == 0.45)
        await script.inflict("delay", delay_s=3)
        await quote(script, legs["P90"], 0.30)
        asked = asyncio.ensure_future(ib.reqCurrentTimeAsync())
        await script.step(2.5)
        assert ticker.bid == 0.45
        assert not asked.done()
        await quote(script, legs["P90"], 0.20)
        await script.step(0.5)
        told = await asked
        assert told.isoformat() == "2026-03-02T15:00:00+00:00", "it is three seconds later by now"
        assert ticker.bid == 0.30
        await script.step(2.5)
        await until(lambda: ticker.bid == 0.20)


async def stepped(script, seconds: float, times: int) -> None:
    for _ in range(times):
        await script.step(seconds)
        await asyncio.sleep(0)


@pytest.mark.fault("slow")
async def test_a_slow_line_makes_the_start_up_fail_by_its_time_out(script, until):
    await script.inflict("slow", bytes_per_s=1000)
    ib = IB()
    with pytest.raises(TimeoutError):
        await ib.connectAsync("127.0.0.1", script.port, 1, timeout=0.5)
    patient = asyncio.ensure_future(IB().connectAsync("127.0.0.1", script.port, 2, timeout=20))
    steps = 0
    while not patient.done():
        await stepped(script, 0.1, 1)
        steps += 1
    assert steps > 50, "more than five simulated seconds"
    (await patient).disconnect()


@pytest.mark.fault("torn")
@pytest.mark.parametrize("cut_at", [1, 3, 4, 9])
async def test_frames_that_are_torn_anywhere_are_put_together(script, connect, until, cut_at):
    legs = await script.list_condor()
    async with connect(script) as ib:
        await script.inflict("torn", cut_at=cut_at, gap_s=0.05)
        ticker = ib.reqMktData(legs["P90"])
        asked = asyncio.ensure_future(ib.reqCurrentTimeAsync())
        await until(lambda: script.gateway.sessions[1].lines)
        inside = []
        while not asked.done():
            await stepped(script, 0.05, 1)
            inside.append(len(ib.client._data))
        assert max(inside) == cut_at, "a frame lay there in pieces"
        assert ticker.bid == 0.45
        assert len(ib.client._data) == 0


@pytest.mark.fault("merged")
async def test_of_merged_prices_only_the_last_can_be_read(script, connect, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        ticker = ib.reqMktData(legs["P90"])
        await until(lambda: ticker.bid == 0.45)
        seen = []
        ticker.updateEvent += lambda t: seen.append(
            (t.bid, [tick.price for tick in t.ticks if tick.tickType == 1])
        )
        await script.inflict("merged", gap_s=1)
        for bid in (0.40, 0.30, 0.20):
            await quote(script, legs["P90"], bid)
        await script.step(1)
        await until(lambda: seen)
        assert seen == [(0.20, [0.40, 0.30, 0.20])]


@pytest.mark.fault("garbage")
@pytest.mark.parametrize("what", ["unknown_message", "unknown_tick", "too_short", "text", "not_ascii"])
async def test_garbage_is_logged_and_survived(script, connect, misread, what):
    async with connect(script) as ib:
        await script.inflict("garbage", what=what)
        assert await ib.reqCurrentTimeAsync()
        if what == "unknown_tick":
            assert misread() == [], "nobody waits for ticks of request 1"
        else:
            assert len(misread()) == 1


@pytest.mark.fault("garbage")
async def test_after_a_huge_length_the_client_is_connected_deaf_and_growing(script, connect):
    async with connect(script) as ib:
        await script.inflict("garbage", what="huge_length")
        asked = asyncio.ensure_future(ib.reqCurrentTimeAsync())
        other = asyncio.ensure_future(ib.reqMatchingSymbolsAsync("X"))
        before = 0
        while len(ib.client._data) <= before + 30:
            before = before or len(ib.client._data)
            await asyncio.sleep(0)
        assert ib.isConnected()
        assert not asked.done()
        asked.cancel()
        other.cancel()


@pytest.mark.fault("slow")
async def test_one_client_can_be_slow_beside_a_quick_one_also_after_it_has_come_back(script, connect, until):
    await script.inflict("slow", bytes_per_s=1000, client=2)
    async with connect(script, 1) as quick:
        slow = asyncio.ensure_future(IB().connectAsync("127.0.0.1", script.port, 2, timeout=20))
        await until(lambda: 2 in script.gateway.sessions)
        assert await quick.reqCurrentTimeAsync()
        assert not slow.done()
        await script.heal()
        (await slow).disconnect()


async def test_the_same_commands_under_the_same_faults_give_the_same_bytes(open_bench):
    """Delay, tearing and duplicates included: the stream depends on simulated time alone."""

    async def run() -> list[str]:
        async with open_bench("--market", "script") as bench:
            got: list[str] = []
            ib = IB()
            await ib.connectAsync("127.0.0.1", bench.port, 1, timeout=20)
            decode = ib.client.decoder.interpret
            ib.client.decoder.interpret = lambda fields: (got.append(json.dumps(fields)), decode(fields))[1]
            legs = await bench.list_condor()
            await bench.inflict("delay", delay_s=0.3)
            await bench.inflict("torn", cut_at=3)
            await bench.inflict("repeated_status", copies=3)
            ib.reqMktData(legs["P90"])
            for bid in (0.40, 0.30, 0.20):
                await quote(bench, legs["P90"], bid)
                await bench.step(0.2)
            await bench.step(2)
            await bench.heal()
            await ib.reqCurrentTimeAsync()
            ib.disconnect()
            return got

    assert await run() == await run()

import asyncio
import json
import logging
from datetime import datetime, timedelta

from ib_async import Contract, LimitOrder

from broker.gateway.clock import LONGEST_STEP, TICK_S


class Follower:
    """A minimal daemon: after each step it waits for its frames, acts, and says it is done."""

    def __init__(self, ib, reader, writer):
        self.ib, self.reader, self.writer = ib, reader, writer
        self.steps = []

    @classmethod
    async def follow(cls, bench, ib, client_id=1):
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.control_port)
        writer.write(json.dumps({"cmd": "follow", "client_id": client_id}).encode() + b"\n")
        return cls(ib, reader, writer)

    async def told(self):
        step = json.loads(await self.reader.readline())
        for _ in range(100_000):
            if not self.ib or self.ib.client._numMsgRecv >= step["sent"]:
                break
            await asyncio.sleep(0)
        self.steps.append(step)
        return datetime.fromisoformat(step["time"])

    def done(self, wake=None):
        sent = self.ib.client.conn.numMsgSent - 1 if self.ib else 0
        line = {
            "done": self.steps[-1]["time"],
            "sent": sent,
            "wake": wake.isoformat() if wake else None,
        }
        self.writer.write(json.dumps(line).encode() + b"\n")


async def transcript(open_bench, connect, speed):
    """Everything a following client hears in ten simulated minutes in which it trades twice."""
    async with open_bench("--speed", speed, "--seed", "11") as bench:
        lead = await Follower.follow(bench, None)
        await lead.told()
        async with connect(bench) as ib:
            lead.ib = ib
            heard = []
            decode = ib.client.decoder.interpret
            ib.client.decoder.interpret = lambda fields: (heard.append(list(fields)), decode(fields))
            held = [p.contract for p in ib.positions()]
            for contract in held:
                contract.exchange = "SMART"
                ib.reqMktData(contract)
            now = datetime.fromisoformat(lead.steps[0]["time"])
            begun = now
            for beat in range(2400):
                if beat in (300, 900):
                    order = LimitOrder("SELL", 1, ib.ticker(held[0]).ask, tif="DAY", orderRef=f"beat {beat}")
                    ib.placeOrder(held[0], order)
                lead.done(now + timedelta(milliseconds=250))
                now = await lead.told()
                if now - begun > timedelta(minutes=10):
                    break
            return heard, (await bench.tell("executions"))["executions"], [s["time"] for s in lead.steps]


async def test_followed_runs_are_the_same_to_the_last_message_at_any_speed(open_bench, connect):
    one = await transcript(open_bench, connect, "100000")
    two = await transcript(open_bench, connect, "2000")
    assert len(one[0]) > 10_000
    assert one == two


async def test_time_stands_still_until_the_first_visitor_and_for_each_follower(open_bench):
    async with open_bench("--speed", "1000000") as bench:
        start = bench.gateway.clock.now
        await asyncio.sleep(0.1)
        assert bench.gateway.clock.now == start
        lead = await Follower.follow(bench, None)
        assert await lead.told() == start
        await asyncio.sleep(0.1)
        assert bench.gateway.clock.now == start
        lead.done(start + timedelta(seconds=3))
        assert await lead.told() == start + timedelta(seconds=3)


async def test_a_step_comes_at_the_wake_the_news_or_the_fill_whichever_is_first(script, connect):
    legs = await script.list_condor()
    put = legs["P90"]
    async with connect(script) as ib:
        lead = await Follower.follow(script, ib)
        start = await lead.told()
        ib.placeOrder(put, LimitOrder("BUY", 1, 0.50, tif="DAY"))
        lead.done(start + timedelta(seconds=1.5))
        going = asyncio.ensure_future(script.step(5))
        assert await lead.told() == start + timedelta(seconds=1.5)
        lead.done(start + timedelta(seconds=60))
        assert await lead.told() == start + timedelta(seconds=2)
        assert ib.fills()[0].execution.price == 0.50
        lead.done()
        assert await lead.told() == start + timedelta(seconds=5)
        lead.done()
        await going


async def test_a_follower_that_goes_away_does_not_stop_time(open_bench, until):
    async with open_bench("--speed", "10000") as bench:
        lead = await Follower.follow(bench, None)
        start = await lead.told()
        lead.writer.close()
        await until(lambda: bench.gateway.clock.now > start + timedelta(hours=1))


async def test_time_goes_on_without_a_late_follower_and_takes_it_back(open_bench, monkeypatch, caplog, until):
    monkeypatch.setattr("broker.gateway.clock.PATIENCE_S", 0.1)
    caplog.set_level(logging.INFO)
    async with open_bench("--speed", "1000") as bench:
        lead = await Follower.follow(bench, None)
        start = await lead.told()
        lead.done()
        await lead.told()
        await until(lambda: bench.gateway.clock.now > start + timedelta(minutes=5))
        assert any("late" in record.getMessage() for record in caplog.records)
        lead.done()
        assert await lead.told() > start + timedelta(minutes=5)
        stands = bench.gateway.clock.now
        lead.done(stands + timedelta(seconds=1))
        assert (await lead.told()) > stands


async def test_free_running_time_keeps_the_pace_it_was_given(open_bench, connect, until):
    async with open_bench("--speed", "60") as bench, connect(bench) as ib:
        ib.reqMktData(Contract(conId=756733, exchange="SMART"))
        loop, clock = asyncio.get_running_loop(), bench.gateway.clock
        first, wall = clock.now, loop.time()

        def behind_s():
            """By how many simulated seconds it lies behind its pace; before it, it never lies."""
            behind = 60 * (loop.time() - wall) - (clock.now - first).total_seconds()
            assert behind > -60 * TICK_S
            return behind

        await until(lambda: clock.now > first + timedelta(seconds=30))
        await until(lambda: behind_s() < 60 * 2 * TICK_S)


async def test_a_quiet_market_is_left_behind_at_a_pace_slower_than_its_longest_step(open_bench, connect):
    """Thirty quiet seconds at twenty-five a second are little more than one of waiting, not for ever."""
    async with open_bench("--speed", "25") as bench, connect(bench) as ib:
        follower = await Follower.follow(bench, ib)
        start = await follower.told()
        follower.done()
        async with asyncio.timeout(10):
            assert await follower.told() == start + LONGEST_STEP


async def test_time_stands_still_while_it_is_paused_and_takes_up_its_pace_again(open_bench, connect, until):
    async with open_bench("--speed", "1000") as bench, connect(bench):
        clock = bench.gateway.clock
        start = clock.now
        await until(lambda: clock.now > start + timedelta(seconds=10))
        await bench.tell("pause")
        stands = clock.now
        await asyncio.sleep(0.2)
        assert clock.now == stands
        assert (await bench.tell("status"))["paused"] is True
        await bench.step(30)
        assert clock.now == stands + timedelta(seconds=30)
        await bench.tell("pause", on=False)
        await until(lambda: clock.now > stands + timedelta(seconds=60))


async def test_a_follower_that_leaves_while_time_is_paused_does_not_let_it_go_on(open_bench):
    """A daemon is killed within a cycle, so the clock was waiting for it when it was paused."""
    async with open_bench("--speed", "1000000") as bench:
        follower = await Follower.follow(bench, None)
        stood = await follower.told()
        await bench.tell("pause")
        follower.writer.close()
        await asyncio.sleep(0.1)
        assert bench.gateway.clock.now == stood


async def test_a_paused_follower_is_told_its_next_step_when_time_goes_on(open_bench, connect):
    async with open_bench("--speed", "1000") as bench, connect(bench) as ib:
        lead = await Follower.follow(bench, ib)
        start = await lead.told()
        await bench.tell("pause")
        lead.done(start + timedelta(seconds=1))
        next_step = asyncio.ensure_future(lead.told())
        await asyncio.sleep(0.1)
        assert not next_step.done()
        await bench.tell("pause", on=False)
        assert await next_step == start + timedelta(seconds=1)


async def test_the_pace_can_be_changed_at_any_time_even_from_none(open_bench, connect, until):
    async with open_bench("--speed", "0") as bench, connect(bench):
        start = bench.gateway.clock.now
        await bench.tell("speed", speed=5000)
        await until(lambda: bench.gateway.clock.now > start + timedelta(minutes=10))
        await bench.tell("speed", speed=0)
        stands = bench.gateway.clock.now
        await asyncio.sleep(0.1)
        assert bench.gateway.clock.now == stands
        for wrong in (-1, "NaN", None):
            reply = await bench.ask("speed", speed=wrong)
            assert not reply["ok"]

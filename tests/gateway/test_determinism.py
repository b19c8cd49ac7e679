"""The same seed and the same commands give the same bytes, whatever else is different."""

import asyncio
import os
from collections import defaultdict
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

import pytest
from ib_async import IB, ComboLeg, Contract, LimitOrder, MarketOrder

from broker.gateway.recording.tape import Frames, Mark, Recording
from broker.simulated_clock import FollowedClock
from tests.gateway.processes import FREE, running


@contextmanager
def gateway(record, *argv, hash_seed="0"):
    """A gateway in a process of its own; stopped in order at the end. Its ready line."""
    words = (*FREE, "--seed", "5", "--record", str(record), *argv)
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    with running(*words, environment=environment) as (program, ready):
        yield ready
        program.terminate()
        assert program.wait(60) == 0


def streams(path):
    """The messages that each connection was sent; nothing is left of its bytes besides."""
    sent = defaultdict(bytes)
    for entry in Recording(path).entries():
        if entry.mark is Mark.SENT:
            sent[entry.connection] += entry.data
    found = {}
    for connection, data in sent.items():
        frames = Frames()
        found[connection] = frames.cut(data)
        assert frames.left == b""
    return found


@asynccontextmanager
async def clients(ready, *ids):
    """Connected one after the other, and disconnected in the same order."""
    found = [IB() for _ in ids]
    for ib, client_id in zip(found, ids, strict=True):
        await ib.connectAsync("127.0.0.1", ready["port"], client_id, timeout=20, raiseSyncErrors=True)
    yield found
    for ib in found:
        ib.disconnect()
        await asyncio.sleep(0.05)


def held_contracts(ib):
    """What the account holds, in the order in which it was told."""
    contracts = [position.contract for position in ib.positions()]
    for contract in contracts:
        contract.exchange = "SMART"
    return contracts


def buy_back(legs):
    """The combo that closes four legs."""
    return Contract(
        symbol=legs[0].symbol,
        secType="BAG",
        exchange="SMART",
        currency="USD",
        comboLegs=[
            ComboLeg(conId=leg.conId, ratio=1, action=action, exchange="SMART")
            for leg, action in zip(legs, ("SELL", "BUY", "BUY", "SELL"), strict=True)
        ],
    )


async def act(beat, one, two, legs):
    """What the two clients do at a beat, never both at the same one."""
    match beat:
        case 1:
            for contract in legs[:8]:
                one.reqMktData(contract)
            one.reqPnL(one.managedAccounts()[0])
        case 2:
            for contract in reversed(legs[4:]):
                two.reqMktData(contract)
        case 5:
            one.placeOrder(buy_back(legs[:4]), LimitOrder("BUY", 1, 0.5, tif="DAY", orderRef="rests"))
        case 6:
            two.placeOrder(buy_back(legs[4:8]), LimitOrder("BUY", 2, 9.0, tif="DAY", orderRef="fills"))
        case 9:
            one.placeOrder(legs[0], MarketOrder("SELL", 1, tif="DAY"))
        case 12:
            two.placeOrder(legs[9], LimitOrder("SELL", 1, 50.0, tif="GTC", orderRef="stays"))
        case 15:
            one.cancelOrder(one.openTrades()[0].order)
        case 18:
            await two.reqAllOpenOrdersAsync()
            await two.reqCompletedOrdersAsync(False)


async def scripted(ready, beats=range(24)):
    """Two clients trade for some minutes that are stepped by command."""
    clock = FollowedClock("127.0.0.1", ready["control_port"])
    async with clients(ready, 1, 2) as (one, two):
        legs = held_contracts(one)
        for beat in beats:
            await act(beat, one, two, legs)
            for ib in (one, two):
                await ib.reqCurrentTimeAsync()
            await clock.request("step", seconds=7.25)
        for ib in (one, two):
            await ib.reqCurrentTimeAsync()
        fills = len(one.fills()) + len(two.fills())
    clock.close()
    return fills


async def test_two_processes_with_other_hash_seeds_send_the_same_bytes(tmp_path):
    for name, hash_seed in (("one", "1"), ("two", "2")):
        with gateway(tmp_path / name, "--speed", "0", hash_seed=hash_seed) as ready:
            assert await scripted(ready) > 5
    one, two = streams(tmp_path / "one"), streams(tmp_path / "two")
    assert set(one) == {1, 2}
    assert min(len(stream) for stream in one.values()) > 500
    assert one == two


async def followed(ready, until):
    """The same trading, by clients that follow the clock and act at beats of its time."""
    clocks = [FollowedClock("127.0.0.1", ready["control_port"]) for _ in range(2)]
    for clock, client_id in zip(clocks, (1, 2), strict=True):
        await clock.start(client_id)
    async with clients(ready, 1, 2) as pair:
        legs = held_contracts(pair[0])
        begun = now = clocks[0].now()
        for beat in range(24):
            await act(beat, *pair, legs)
            due = begun + timedelta(seconds=7.25 * (beat + 1))
            while now < due:
                now = await step(clocks, pair, due, until)
    for clock in clocks:
        clock.close()


async def step(clocks, pair, due, until):
    """Both say that they are done and wait until all of the next step has arrived."""

    async def one(clock, ib):
        beat = await clock.next_beat(due, ib.client.conn.numMsgSent - 1)
        await until(lambda: ib.client._numMsgRecv >= beat.frames_expected)
        return beat.time

    times = await asyncio.gather(*(one(clock, ib) for clock, ib in zip(clocks, pair, strict=True)))
    assert times[0] == times[1]
    return times[0]


BAD_MINUTES = """
- {after_s: 1, fault: delay, delay_s: 0.7, seconds: 60}
- {after_s: 2, fault: torn, seconds: 90}
- {after_s: 3, fault: repeated_status}
- {after_s: 30, fault: greeks, seconds: 20}
- {after_s: 40, fault: shuffled_fill}
- {after_s: 40, fault: slow_cancel, delay_s: 5}
- {after_s: 45, fault: connectivity, code: 1100}
- {after_s: 55, fault: connectivity, code: 1102}
"""


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["[]", BAD_MINUTES])
async def test_followers_are_sent_the_same_bytes_at_any_speed(tmp_path, until, plan):
    faults = tmp_path / "plan.yaml"
    faults.write_text(plan)
    for speed in ("100", "100000"):
        argv = ("--speed", speed, "--faults", str(faults))
        with gateway(tmp_path / speed, *argv, hash_seed=speed) as ready:
            await followed(ready, until)
    slow, fast = streams(tmp_path / "100"), streams(tmp_path / "100000")
    assert min(len(stream) for stream in slow.values()) > 500
    assert slow == fast


@pytest.mark.slow
async def test_a_gateway_goes_on_from_its_state_file_with_the_same_bytes(tmp_path):
    for name, hash_seed in (("one", "3"), ("two", "4")):
        folder = tmp_path / name
        folder.mkdir()
        argv = ("--speed", "0", "--state", str(folder / "state.json"))
        with gateway(folder / "before", *argv, hash_seed=hash_seed) as ready:
            await scripted(ready, range(13))
        with gateway(folder / "after", *argv, hash_seed=hash_seed) as ready:
            await scripted(ready, range(13, 24))
    for part in ("before", "after"):
        one, two = streams(tmp_path / "one" / part), streams(tmp_path / "two" / part)
        assert set(one) == {1, 2}
        assert one == two


@pytest.mark.slow
async def test_a_restart_changes_nothing_that_a_client_is_sent_afterwards(tmp_path):
    """Against a gateway that ran on while its clients went away and came back."""
    argv = ("--speed", "0", "--state", str(tmp_path / "state.json"))
    with gateway(tmp_path / "before", *argv) as ready:
        await scripted(ready, range(13))
    with gateway(tmp_path / "after", *argv) as ready:
        await scripted(ready, (1, 2, *range(13, 24)))
    with gateway(tmp_path / "whole", "--speed", "0") as ready:
        await scripted(ready, range(13))
        await scripted(ready, (1, 2, *range(13, 24)))
    after, whole = streams(tmp_path / "after"), streams(tmp_path / "whole")
    assert after[1] == whole[3]
    assert after[2] == whole[4]

import asyncio
import subprocess
from contextlib import contextmanager

import pytest
from ib_async import IB, LimitOrder

from broker.gateway import main
from tests.gateway.processes import running


async def one_trade(ib, until):
    """A client's program: it looks at a quote, buys, and tells what it saw."""
    held = ib.positions()[0].contract
    held.exchange = "SMART"
    ticker = ib.reqMktData(held)
    await until(lambda: ticker.bid > 0)
    trade = ib.placeOrder(held, LimitOrder("SELL", 1, 0.01, tif="DAY", orderRef="again"))
    await until(lambda: trade.fills and trade.orderStatus.status == "Filled")
    return ticker.bid, ticker.ask, trade.fills[0].execution.execId, trade.orderStatus.avgFillPrice


@pytest.fixture
async def recorded(open_bench, connect, until, tmp_path):
    """A recording of that program, and what it told."""
    path = tmp_path / "trade.rec"
    async with open_bench("--speed", "0", "--record", str(path)) as bench, connect(bench, 3) as ib:
        seen = await one_trade(ib, until)
    return path, seen


@contextmanager
def playing(path):
    """The program that plays it; its ready line and, once it has ended, all that it has logged."""
    with running("play", str(path), "--port", "0", stderr=subprocess.PIPE) as (program, ready):
        logged = []
        yield ready, logged
        program.terminate()
        logged.append(program.communicate(timeout=60)[1])
        assert program.returncode == 0


async def test_the_same_client_lives_through_the_same_again(recorded, until):
    path, seen = recorded
    with playing(path) as (ready, logged):
        assert ready["clients"] == [3]
        for _ in range(2):
            ib = IB()
            await ib.connectAsync("127.0.0.1", ready["port"], 3, timeout=20, raiseSyncErrors=True)
            assert await one_trade(ib, until) == seen
            ib.disconnect()
            await asyncio.sleep(0.05)
    assert logged[0].count("client 3 has heard everything") == 2


async def test_an_order_is_not_filled_before_it_is_placed(recorded, until):
    path, _ = recorded
    with playing(path) as (ready, _):
        ib = IB()
        await ib.connectAsync("127.0.0.1", ready["port"], 3, timeout=20, raiseSyncErrors=True)
        held = ib.positions()[0].contract
        held.exchange = "SMART"
        ticker = ib.reqMktData(held)
        await until(lambda: ticker.bid > 0)
        await asyncio.sleep(0.2)
        assert ib.isConnected()
        assert not ib.fills()
        ib.disconnect()


async def test_a_client_that_was_not_recorded_is_sent_away(recorded):
    path, _ = recorded
    with playing(path) as (ready, logged):
        stranger = IB()
        with pytest.raises((TimeoutError, ConnectionError)):
            await stranger.connectAsync("127.0.0.1", ready["port"], 8, timeout=1)
    assert "client 8 is not in the recording: there are 3" in logged[0]


async def test_a_recording_without_clients_cannot_be_played(open_bench, tmp_path, capsys):
    path = tmp_path / "empty.rec"
    async with open_bench("--market", "script", "--record", str(path)):
        pass
    assert main(["play", str(path)]) == 2
    assert "has no client in it" in capsys.readouterr().err

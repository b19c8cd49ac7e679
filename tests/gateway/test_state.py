import asyncio
import json
import os
import signal
import sys
from datetime import datetime, timedelta

import pytest
from ib_async import IB, LimitOrder

from broker.gateway.errors import GatewayError
from broker.gateway.main import main, read_arguments
from broker.gateway.program import build


async def books(bench):
    return {name: (await bench.tell(name))[name] for name in ("orders", "executions", "holdings")}


async def test_account_orders_and_time_continue_after_a_restart(open_bench, connect, tmp_path, until):
    argv = ("--speed", "0", "--state", str(tmp_path / "new" / "gateway.json"))
    async with open_bench(*argv) as bench, connect(bench) as ib:
        held = ib.positions()[0].contract
        held.exchange = "SMART"
        ib.placeOrder(held, LimitOrder("SELL", 1, 0.01, tif="DAY", orderRef="sold"))
        working = ib.placeOrder(held, LimitOrder("BUY", 1, 0.01, tif="GTC", orderRef="waits"))
        await until(lambda: len(bench.gateway.exchange.executions) == 1)
        await until(bench.gateway.exchange.working)
        await bench.step(90)
        before, time = await books(bench), (await bench.tell("status"))["time"]
        con_ids = [p.contract.conId for p in ib.positions()]
        quotes = bench.gateway.exchange.quotes(con_ids, bench.gateway.clock.now)
    async with open_bench(*argv) as bench, connect(bench) as ib:
        assert await books(bench) == before
        assert (await bench.tell("status"))["time"] == time
        assert bench.gateway.exchange.quotes(con_ids, bench.gateway.clock.now) == quotes
        assert [t.order.orderRef for t in ib.openTrades()] == ["waits"]
        assert ib.client.getReqId() > working.order.orderId
        ib.placeOrder(held, LimitOrder("SELL", 1, 0.01, tif="DAY", orderRef="more"))
        await until(lambda: len(bench.gateway.exchange.executions) == 2)
        first, second = bench.gateway.exchange.executions
        assert first.exec_id != second.exec_id
        assert second.perm_id > first.perm_id


async def test_a_kill_loses_no_execution_that_was_announced(tmp_path):
    state = tmp_path / "gateway.json"
    command = (
        sys.executable,
        "-m",
        "broker.gateway",
        "--port",
        "0",
        "--control-port",
        "0",
        "--state",
        str(state),
    )
    program = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    ready = json.loads(await program.stdout.readline())
    ib = IB()
    await ib.connectAsync("127.0.0.1", ready["port"], 1)
    held = ib.positions()[0].contract
    held.exchange = "SMART"
    announced = asyncio.Event()
    ib.execDetailsEvent += lambda *_: announced.set()
    ib.placeOrder(held, LimitOrder("SELL", 1, 0.01, tif="DAY", orderRef="sold"))
    await asyncio.wait_for(announced.wait(), 5)
    exec_id = ib.fills()[0].execution.execId
    os.kill(program.pid, signal.SIGKILL)
    await program.wait()
    gateway = build(read_arguments(["--state", str(state)]))
    assert [e.exec_id for e in gateway.exchange.executions] == [exec_id]
    assert gateway.exchange.account.holdings[held.conId].quantity == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read"),
        ("[]", "unknown format"),
        ('{"format": 2, "market": "script"}', "belongs to market"),
    ],
)
def test_a_state_file_of_another_kind_is_refused(tmp_path, capsys, text, says):
    path = tmp_path / "gateway.json"
    path.write_text(text)
    assert main(["--state", str(path), "--port", "0", "--control-port", "0"]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1


def test_a_damaged_state_file_is_refused(tmp_path):
    path = tmp_path / "gateway.json"
    path.write_text('{"format": 1, "market": "model", "market_state": {}}')
    with pytest.raises(GatewayError, match="damaged"):
        build(read_arguments(["--state", str(path)]))


async def test_the_next_day_begins_where_the_last_ended(open_bench, tmp_path):
    argv = ("--speed", "0", "--state", str(tmp_path / "gateway.json"))
    async with open_bench(*argv, "--start", "2026-03-02T15:59:00-05:00") as bench:
        await bench.step(90)
        ended = bench.gateway.clock.now
    async with open_bench(*argv) as bench:
        await bench.step(3600)
        assert bench.gateway.clock.now - ended == timedelta(hours=1)
        assert isinstance(datetime.fromisoformat((await bench.tell("status"))["time"]), datetime)

import asyncio
import json
import os
import signal
import sqlite3
import sys
from datetime import datetime, timedelta

import pytest
from ib_async import IB, LimitOrder

from broker.gateway.errors import GatewayError
from broker.gateway.main import main, read_arguments
from broker.gateway.program import build
from broker.gateway.state import FORMAT, StateFile


async def books(bench):
    return {name: (await bench.tell(name))[name] for name in ("orders", "executions", "holdings")}


async def test_account_orders_and_time_continue_after_a_restart(open_bench, connect, tmp_path, until):
    argv = ("--speed", "0", "--state", str(tmp_path / "new" / "gateway.sqlite"))
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
    state = tmp_path / "gateway.sqlite"
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


def other_kind(path, kind):
    """A file that is not a state file of the model market."""
    if kind == "an older version's":
        path.write_text('{"format": 1, "market": "model"}')
        return
    StateFile(path).close()
    if kind == "another market's":
        with sqlite3.connect(path) as database:
            rows = [("format", str(FORMAT)), ("market", '"script"')]
            database.executemany("INSERT INTO facts VALUES (?, ?)", rows)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("an older version's", "older version"),
        ("one without anything", "unknown format"),
        ("another market's", "belongs to market script"),
    ],
)
def test_a_state_file_of_another_kind_is_refused(tmp_path, capsys, kind, says):
    path = tmp_path / "gateway.sqlite"
    other_kind(path, kind)
    assert main(["--state", str(path), "--port", "0", "--control-port", "0"]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1


def test_a_damaged_state_file_is_refused(tmp_path):
    path = tmp_path / "gateway.sqlite"
    StateFile(path).close()
    with sqlite3.connect(path) as database:
        rows = [("format", str(FORMAT)), ("market", '"model"'), ("market_state", "{}")]
        database.executemany("INSERT INTO facts VALUES (?, ?)", rows)
    with pytest.raises(GatewayError, match="damaged"):
        build(read_arguments(["--state", str(path)]))


async def test_two_gateways_cannot_write_one_state_file(open_bench, tmp_path, capsys):
    path = tmp_path / "gateway.sqlite"
    async with open_bench("--state", str(path)):
        with pytest.raises(GatewayError, match="in use"):
            build(read_arguments(["--state", str(path)]))


async def test_what_an_order_costs_to_keep_does_not_grow_with_the_history(
    open_bench, connect, tmp_path, until
):
    argv = ("--speed", "0", "--state", str(tmp_path / "gateway.sqlite"))
    async with open_bench(*argv) as bench, connect(bench) as ib:
        held = ib.positions()[0].contract
        held.exchange = "SMART"
        written = bench.gateway._state._database
        sizes = []
        for n in range(40):
            before = written.total_changes
            ib.placeOrder(held, LimitOrder("BUY", 1, 0.01, tif="GTC", orderRef=str(n)))
            await until(lambda n=n: len(bench.gateway.exchange.orders) == n + 1)
            sizes.append(written.total_changes - before)
    assert max(sizes[1:]) == min(sizes[1:]) <= 5


async def test_the_next_day_begins_where_the_last_ended(open_bench, tmp_path):
    argv = ("--speed", "0", "--state", str(tmp_path / "gateway.sqlite"))
    async with open_bench(*argv, "--start", "2026-03-02T15:59:00-05:00") as bench:
        await bench.step(90)
        ended = bench.gateway.clock.now
    async with open_bench(*argv) as bench:
        await bench.step(3600)
        assert bench.gateway.clock.now - ended == timedelta(hours=1)
        assert isinstance(datetime.fromisoformat((await bench.tell("status"))["time"]), datetime)

import sqlite3
from datetime import datetime, timedelta

import pytest
from ib_async import IB, LimitOrder

from broker.gateway.errors import GatewayError
from broker.gateway.main import main, read_arguments
from broker.gateway.program import build
from broker.gateway.state import FORMAT, StateFile
from tests.gateway.processes import FREE, running


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


async def test_a_kill_loses_no_execution_that_was_announced(tmp_path, until):
    state = tmp_path / "gateway.sqlite"
    with running(*FREE, "--state", str(state)) as (program, ready):
        ib = IB()
        await ib.connectAsync("127.0.0.1", ready["port"], 1)
        held = ib.positions()[0].contract
        held.exchange = "SMART"
        ib.placeOrder(held, LimitOrder("SELL", 1, 0.01, tif="DAY", orderRef="sold"))
        await until(ib.fills)
        program.kill()
        exec_id = ib.fills()[0].execution.execId
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


# -- killed between two instructions ----------------------------------------------------------------------


@pytest.fixture
def kills(monkeypatch, tmp_path):
    """What a kill leaves on the disk after each write: arguments of a gateway that goes on from there."""
    left = []

    class Copies(StateFile):
        def write(self, *news):
            super().write(*news)
            copy = tmp_path / f"killed after {len(left)}"
            copy.mkdir()
            for file in tmp_path.glob("gateway.sqlite*"):
                (copy / file.name).write_bytes(file.read_bytes())
            left.append(("--market", "script", "--state", str(copy / "gateway.sqlite")))

    monkeypatch.setattr("broker.gateway.gateway.StateFile", Copies)
    return left


def orders_left(argv):
    """(status, filled, quantity) by order id."""
    orders = build(read_arguments(list(argv))).exchange.orders.values()
    return {order.order_id: (str(order.status), order.filled, order.request.quantity) for order in orders}


@pytest.fixture
async def script_with_state(open_bench, tmp_path, kills):
    async with open_bench("--market", "script", "--state", str(tmp_path / "gateway.sqlite")) as bench:
        yield bench


@pytest.mark.parametrize("kind", [1, 2, 3])
async def test_no_kill_parts_a_fill_from_what_it_does_to_its_group(
    script_with_state, connect, until, kills, kind
):
    bench = script_with_state
    legs = list((await bench.list_condor()).values())
    async with connect(bench) as ib:
        trades = ib.oneCancelsAll([LimitOrder("BUY", 3, 0.02, tif="DAY") for _ in legs], "exits", kind)
        trades = [ib.placeOrder(leg, order) for leg, order in zip(legs, trades, strict=True)]
        await until(lambda: all(trade.orderStatus.status == "Submitted" for trade in trades))
        await bench.tell("quote", con_id=legs[0].conId, bid=0.01, ask=0.02)
        await until(lambda: all(trade.isDone() for trade in trades))
    found = [[status for status, _, _ in orders_left(argv).values()] for argv in kills]
    assert found[-1] == ["Filled", "Cancelled", "Cancelled", "Cancelled"]
    assert all(statuses in (["Submitted"] * len(statuses), found[-1]) for statuses in found), found


async def test_no_kill_parts_a_parent_from_its_children(script_with_state, connect, until, kills):
    bench = script_with_state
    leg = (await bench.list_condor())["P95"]
    async with connect(bench) as ib:
        bracket = [ib.placeOrder(leg, order) for order in ib.bracketOrder("BUY", 4, 1.00, 1.50, 0.80)]
        await until(lambda: bracket[0].orderStatus.status == "Submitted")
        await bench.tell("quote", con_id=leg.conId, bid=0.90, ask=1.00, ask_size=2, bid_size=2)
        await until(lambda: bracket[0].orderStatus.filled == 2)
        ib.cancelOrder(bracket[0].order)
        await until(bracket[0].isDone)
    parent, target, stop = (trade.order.orderId for trade in bracket)
    for found in map(orders_left, kills):
        assert set(found) in (set(), {parent, target, stop})
        if found and found[parent][0] == "Cancelled":
            assert (found[target][2], found[stop][2]) == (2, 2)


async def test_orders_that_are_held_back_are_lost_with_every_end(open_bench, connect, tmp_path):
    argv = ("--market", "script", "--state", str(tmp_path / "gateway.sqlite"))
    async with open_bench(*argv) as bench:
        leg = (await bench.list_condor())["P95"]
        async with connect(bench) as ib:
            ib.placeOrder(leg, LimitOrder("BUY", 1, 1.00, tif="GTC", transmit=False))
            await ib.reqCurrentTimeAsync()
            assert len(bench.gateway.exchange.orders) == 1
    assert orders_left(argv) == {}


async def test_a_kill_loses_no_wish_to_exercise(script_with_state, connect, until, kills):
    bench = script_with_state
    call = (await bench.list_condor())["C105"]
    await bench.tell("quote", symbol="XYZ", bid=106.9, ask=107.1)
    async with connect(bench) as ib:
        ib.placeOrder(call, LimitOrder("BUY", 2, 2.00, tif="DAY"))
        await until(ib.positions)
        ib.exerciseOptions(call, 1, 1, "", 0)
        await ib.reqCurrentTimeAsync()
        restored = build(read_arguments(list(kills[-1]))).exchange
        assert {con_id: wish.quantity for con_id, wish in restored.settlement.instructions.items()} == {
            call.conId: 1
        }

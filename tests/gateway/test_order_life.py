"""The life of dependent, waiting and partly filled orders as the untouched ib_async sees it."""

import pytest
from ib_async import LimitOrder, MarketOrder, Order, StopOrder


async def status(until, trade, wanted):
    await until(lambda: trade.orderStatus.status == wanted)


async def test_a_bracket_is_held_sent_filled_and_closed(script, connect, until):
    put = (await script.list_condor())["P90"]
    async with connect(script) as ib:
        orders = ib.bracketOrder("BUY", 5, 0.55, 0.90, 0.20, tif="DAY")
        parent, target, stop = (ib.placeOrder(put, order) for order in orders)
        await status(until, parent, "Filled")
        await status(until, target, "Submitted")
        await status(until, stop, "PreSubmitted")
        assert stop.orderStatus.whyHeld == "trigger"
        async with connect(script, 2) as other:
            seen = [trade.order for trade in await other.reqAllOpenOrdersAsync()]
            assert {(o.ocaGroup, o.ocaType) for o in seen} == {(str(parent.order.permId), 3)}
            assert {o.parentId for o in seen} == {parent.order.orderId}
        await script.tell("quote", con_id=put.conId, bid=0.90, ask=1.00)
        await status(until, target, "Filled")
        await status(until, stop, "Cancelled")
        await until(lambda: not ib.positions())


async def test_held_orders_are_nobodys_open_orders(script, connect, until):
    put = (await script.list_condor())["P90"]
    async with connect(script) as ib:
        held = ib.placeOrder(put, LimitOrder("BUY", 1, 0.55, tif="DAY", transmit=False))
        assert await ib.reqAllOpenOrdersAsync() == []
        assert held.orderStatus.status == "PendingSubmit"
        held.order.transmit = True
        ib.placeOrder(put, held.order)
        await status(until, held, "Filled")


async def test_a_partial_fill_is_told_slice_by_slice(script, connect, until):
    put = (await script.list_condor())["P90"]
    async with connect(script) as ib:
        trade = ib.placeOrder(put, LimitOrder("BUY", 14, 0.55, tif="DAY"))
        await until(lambda: trade.orderStatus.filled == 10)
        assert (trade.orderStatus.status, trade.orderStatus.remaining) == ("Submitted", 4)
        await script.tell("quote", con_id=put.conId, bid=0.35, ask=0.45)
        await status(until, trade, "Filled")
        slices = [(f.execution.shares, f.execution.cumQty, f.execution.avgPrice) for f in trade.fills]
        assert slices == [(10, 10, 0.55), (4, 14, pytest.approx((10 * 0.55 + 4 * 0.45) / 14))]
        assert trade.orderStatus.lastFillPrice == 0.45
        assert trade.orderStatus.avgFillPrice == pytest.approx(slices[-1][2])
        await until(lambda: all(fill.commissionReport.execId for fill in trade.fills))
        assert sum(fill.commissionReport.commission for fill in trade.fills) == pytest.approx(14 * 0.65)


async def test_one_cancels_all_over_the_wire(script, connect, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        terms = {"tif": "DAY", "ocaGroup": "either", "ocaType": 1}
        first, second = (
            ib.placeOrder(legs[name], LimitOrder("BUY", 2, 0.30, **terms)) for name in ("P90", "C110")
        )
        await status(until, second, "Submitted")
        await script.tell("quote", con_id=legs["P90"].conId, bid=0.20, ask=0.30)
        await status(until, first, "Filled")
        await status(until, second, "Cancelled")


async def test_a_stop_waits_and_an_unknown_parent_is_refused(script, connect, heard, until):
    put = (await script.list_condor())["P90"]
    async with connect(script) as ib:
        errors = heard(ib)
        stop = ib.placeOrder(put, StopOrder("SELL", 1, 0.30, tif="GTC"))
        await status(until, stop, "PreSubmitted")
        orphan = ib.placeOrder(put, LimitOrder("BUY", 1, 0.50, tif="DAY", parentId=4711))
        await until(lambda: errors == [(orphan.order.orderId, 135)])
        await script.tell("quote", con_id=put.conId, bid=0.20, ask=0.30)
        await status(until, stop, "Filled")


async def test_an_order_at_night_waits_for_the_morning_with_a_warning(open_bench, connect, heard, until):
    argv = ("--market", "script", "--start", "2026-03-02T18:00:00-05:00")
    async with open_bench(*argv) as bench, connect(bench) as ib:
        put = (await bench.list_condor())["P90"]
        errors = heard(ib)
        trade = ib.placeOrder(put, MarketOrder("BUY", 1, tif="DAY"))
        await until(lambda: errors == [(trade.order.orderId, 399)])
        (waiting,) = await ib.reqAllOpenOrdersAsync()
        assert waiting.orderStatus.status == "PreSubmitted"
        await bench.step(15.5 * 3600)
        await status(until, trade, "Filled")


async def test_what_if_answers_for_every_type(script, connect):
    put = (await script.list_condor())["P90"]
    kinds = (
        MarketOrder("SELL", 1, tif="DAY"),
        StopOrder("SELL", 1, 0.30, tif="DAY"),
        Order(action="SELL", totalQuantity=1, orderType="STP LMT", lmtPrice=0.2, auxPrice=0.3, tif="GTC"),
    )
    async with connect(script) as ib:
        for order in kinds:
            state = await ib.whatIfOrderAsync(put, order)
            assert float(state.initMarginChange) > 0
            assert state.maxCommission == 1.0
        assert (await script.tell("orders"))["orders"] == []


async def test_a_restart_keeps_working_orders_and_their_place(open_bench, connect, until, tmp_path):
    argv = ("--market", "script", "--state", str(tmp_path / "state"))
    async with open_bench(*argv) as bench, connect(bench) as ib:
        put = (await bench.list_condor())["P90"]
        ib.placeOrder(put, LimitOrder("BUY", 14, 0.55, tif="GTC"))
        stop = ib.placeOrder(put, StopOrder("SELL", 1, 0.30, tif="GTC"))
        await status(until, stop, "PreSubmitted")
    async with open_bench(*argv) as bench, connect(bench) as ib:
        trades = {trade.order.orderType: trade for trade in ib.openTrades()}
        assert trades["LMT"].orderStatus.filled == 10
        assert trades["STP"].orderStatus.status == "PreSubmitted"
        await bench.tell("quote", con_id=put.conId, bid=0.20, ask=0.30)
        await status(until, trades["LMT"], "Filled")
        await status(until, trades["STP"], "Filled")

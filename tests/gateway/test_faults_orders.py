"""What an untouched ib_async suffers when the news of its orders are false, late, double or missing."""

import asyncio
from contextlib import suppress

import pytest
from ib_async import IB, LimitOrder, OrderState

UNSET = 1.7976931348623157e308


def buy(price, ref="one"):
    return LimitOrder("BUY", 1, price, tif="DAY", orderRef=ref)


async def placed(ib, contract, order, until):
    trade = ib.placeOrder(contract, order)
    await until(lambda: trade.orderStatus.status == "Submitted")
    return trade


@pytest.mark.fault("reject")
async def test_a_rejected_order_is_cancelled_and_nowhere(script, connect, heard, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        errors = heard(ib)
        await script.inflict("reject", reason="no such luck")
        trade = ib.placeOrder(legs["P90"], buy(0.70))
        await until(lambda: errors == [(trade.order.orderId, 201)])
        await until(lambda: trade.orderStatus.status == "Inactive")
        assert [entry.status for entry in trade.log] == ["PendingSubmit", "Cancelled", "Inactive"]
        assert "no such luck" in trade.log[1].message
        assert script.gateway.exchange.orders == {}
        again = ib.placeOrder(legs["P90"], buy(0.70))
        await until(lambda: again.orderStatus.status == "Filled")


@pytest.mark.fault("hold_fills")
@pytest.mark.fault("false_cancel")
@pytest.mark.parametrize("code", [10349, 10148, 10147, 103, 104])
async def test_a_falsely_cancelled_order_lives_on_and_fills(script, connect, until, code):
    legs = await script.list_condor()
    async with connect(script) as ib:
        cancelled = []
        ib.cancelOrderEvent += cancelled.append
        await script.inflict("hold_fills")
        trade = await placed(ib, legs["P90"], buy(0.70), until)
        trade.cancelledEvent += cancelled.append
        await script.inflict("false_cancel", order_ref="one", code=code)
        await until(lambda: trade.orderStatus.status == "Cancelled")
        assert trade.isDone()
        assert cancelled == [trade]
        assert [order.request.order_ref for order in script.gateway.exchange.working()] == ["one"]
        await script.inflict("hold_fills", on=False)
        await until(lambda: trade.orderStatus.status == "Filled")


@pytest.mark.fault("order_warning")
@pytest.mark.parametrize("code", [399, 404, 2109])
async def test_a_warned_order_has_a_status_of_the_clients_own_making_and_lives(script, connect, until, code):
    legs = await script.list_condor()
    async with connect(script) as ib:
        trade = await placed(ib, legs["P90"], buy(0.10), until)
        await script.inflict("order_warning", order_ref="one", code=code)
        await until(lambda: trade.orderStatus.status == "ValidationError")
        assert not trade.isDone()
        assert [str(order.status) for order in script.gateway.exchange.working()] == ["Submitted"]


WARNINGS = (105, 110, 165, 321, 329, 399, 404, 434, 492, 10167, 2100, 2199)
ENDS = (103, 104, 200, 201, 202, 300, 322, 10147, 10148, 10182, 10349)


@pytest.mark.fault("notice")
@pytest.mark.parametrize(
    ("code", "status"),
    [*((code, "ValidationError") for code in WARNINGS), *((code, "Cancelled") for code in ENDS)],
)
async def test_a_code_decides_what_becomes_of_an_order_that_lives(script, connect, until, code, status):
    legs = await script.list_condor()
    async with connect(script) as ib:
        trade = await placed(ib, legs["P90"], buy(0.10), until)
        await script.inflict("notice", code=code, req_id=trade.order.orderId)
        await until(lambda: trade.orderStatus.status == status)
        assert [str(order.status) for order in script.gateway.exchange.working()] == ["Submitted"]


@pytest.mark.fault("fill_while_away")
async def test_a_fill_while_away_fires_no_event_and_is_found_only_by_asking(script, connect, until):
    legs = await script.list_condor()
    await script.inflict("hold_fills")
    async with connect(script) as ib:
        trade = await placed(ib, legs["P90"], buy(0.70, "away"), until)
        await script.inflict("fill_while_away", seconds=10)
        await until(lambda: not ib.isConnected())
    assert script.gateway.exchange.executions
    await script.step(10)
    events = []
    ib = IB()
    ib.execDetailsEvent += lambda *_: events.append("execution")
    ib.orderStatusEvent += lambda *_: events.append("status")
    await ib.connectAsync("127.0.0.1", script.port, 1, timeout=20, raiseSyncErrors=True)
    assert events == []
    assert [fill.execution.orderRef for fill in ib.fills()] == ["away"]
    assert ib.openTrades() == []
    (done,) = await ib.reqCompletedOrdersAsync(False)
    assert (done.order.orderId, done.order.permId) == (0, trade.order.permId)
    ib.disconnect()


@pytest.mark.fault("repeated_status")
async def test_repeated_statuses_fire_one_event_each(script, connect, raw, of, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        await script.inflict("repeated_status", copies=3)
        messages, seen = raw(ib), []
        ib.orderStatusEvent += lambda trade: seen.append(trade.orderStatus.status)
        trade = await placed(ib, legs["P90"], buy(0.10), until)
        ib.cancelOrder(trade.order)
        await until(lambda: trade.orderStatus.status == "Cancelled")
        statuses = [fields[2] for fields in of(messages, 3)]
        assert all(statuses.count(status) % 3 == 0 for status in set(statuses))
        assert seen.count("Submitted") == seen.count("Cancelled") == 1


@pytest.mark.fault("shuffled_fill")
async def test_filled_before_its_execution_is_an_empty_fill(script, connect, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        await script.inflict("shuffled_fill", first="status")
        trade = ib.placeOrder(legs["P90"], buy(0.70))
        fills = []
        trade.filledEvent += lambda done: fills.append(list(done.fills))
        await until(lambda: trade.fills)
        assert fills == [[]]
        await until(lambda: trade.fills[0].commissionReport.execId)


@pytest.mark.fault("shuffled_fill")
async def test_a_commission_before_its_execution_is_lost_until_executions_are_asked_for(
    script, connect, until
):
    legs = await script.list_condor()
    async with connect(script) as ib:
        await script.inflict("shuffled_fill", first="commission")
        trade = ib.placeOrder(legs["P90"], buy(0.70))
        await until(lambda: trade.fills)
        assert await ib.reqCurrentTimeAsync()
        assert trade.fills[0].commissionReport.execId == ""
        await ib.reqExecutionsAsync()
        assert trade.fills[0].commissionReport.commission > 0


@pytest.mark.fault("shuffled_fill")
async def test_an_execution_before_its_open_order_finds_its_trade(script, connect, raw, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        await script.inflict("shuffled_fill", first="execution")
        messages = raw(ib)
        trade = ib.placeOrder(legs["P90"], buy(0.70))
        await until(lambda: trade.orderStatus.status == "Filled" and trade.fills)
        assert messages[0][0] == "11"
        waiting = ib.placeOrder(legs["P90"], buy(0.10))
        await script.step(0.1)
        await until(lambda: waiting.orderStatus.status == "Submitted")


@pytest.mark.fault("slow_cancel")
@pytest.mark.parametrize(("fills", "end"), [(True, "Filled"), (False, "Cancelled")])
async def test_a_slow_cancel_leaves_time_to_fill(script, connect, until, fills, end):
    legs = await script.list_condor()
    async with connect(script) as ib:
        trade = await placed(ib, legs["P90"], buy(0.10), until)
        await script.inflict("slow_cancel", delay_s=60)
        ib.cancelOrder(trade.order)
        await until(lambda: script.gateway.faults.describe()[0]["applied"] == 1)
        assert await ib.reqCurrentTimeAsync()
        assert trade.orderStatus.status == "PendingCancel"
        if fills:
            await script.tell("quote", con_id=legs["P90"].conId, bid=0.05, ask=0.09)
        await script.step(60)
        await until(lambda: trade.orderStatus.status == end)


async def ask_what_if(ib, legs, combo):
    spread = combo((legs["P90"], "BUY"), (legs["P95"], "SELL"))
    return await ib.whatIfOrderAsync(spread, LimitOrder("BUY", 1, -0.60, tif="DAY"))


@pytest.mark.fault("what_if")
async def test_a_what_if_waits_for_the_margins_behind_the_unset_ones(script, connect, combo, raw, of):
    legs = await script.list_condor()
    async with connect(script) as ib:
        await script.inflict("what_if", answer="unset_first")
        messages = raw(ib)
        state = await ask_what_if(ib, legs, combo)
        assert isinstance(state, OrderState)
        assert 0 < float(state.initMarginChange) < UNSET
        assert len(of(messages, 5)) == 2


@pytest.mark.fault("what_if")
async def test_a_what_if_without_commission_costs_a_lot(script, connect, combo):
    legs = await script.list_condor()
    async with connect(script) as ib:
        await script.inflict("what_if", answer="no_commission")
        state = await ask_what_if(ib, legs, combo)
        assert (state.commission, state.minCommission, state.maxCommission) == (UNSET,) * 3
        assert state.commissionCurrency == ""


@pytest.mark.fault("what_if")
async def test_a_rejected_what_if_is_an_empty_list(script, connect, combo):
    legs = await script.list_condor()
    async with connect(script) as ib:
        await script.inflict("what_if", answer="rejected")
        assert await ask_what_if(ib, legs, combo) == []


@pytest.mark.fault("what_if")
@pytest.mark.parametrize(("answer", "misreadings"), [("empty", 1), ("warning", 0), ("silence", 0)])
async def test_a_what_if_that_is_empty_warned_of_or_not_answered_waits_for_ever(
    script, connect, combo, misread, answer, misreadings
):
    legs = await script.list_condor()
    async with connect(script) as ib:
        await script.inflict("what_if", answer=answer)
        asked = asyncio.ensure_future(ask_what_if(ib, legs, combo))
        await asyncio.sleep(0)
        assert await ib.reqCurrentTimeAsync()
        assert not asked.done()
        assert len(misread()) == misreadings
        asked.cancel()
        with suppress(asyncio.CancelledError):
            await asked

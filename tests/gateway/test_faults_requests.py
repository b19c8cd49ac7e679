"""What an untouched ib_async suffers when requests get no answer, half of one, or a wrong one."""

import asyncio

import pytest
from ib_async import IB, LimitOrder, Option, RequestError, Stock


def option(strike=90.0):
    return Option("XYZ", "20260417", strike, "P", "SMART", currency="USD")


SHORT_S = 0.5
"""Many times what a start-up takes, for one that cannot succeed."""
START_UP = {
    "positions": "positions",
    "open_orders": "open orders",
    "completed_orders": "completed orders",
    "account_updates": "account updates",
    "account_multi": "account updates for DU1234567",
    "executions": "executions",
}


@pytest.mark.fault("missing_end")
@pytest.mark.parametrize("of", START_UP)
async def test_a_start_up_request_without_end_is_only_logged_unless_it_was_asked_to_raise(script, caplog, of):
    await script.inflict("missing_end", of=of)
    ib = IB()
    await ib.connectAsync("127.0.0.1", script.port, 1, timeout=SHORT_S)
    assert ib.isConnected()
    assert f"{START_UP[of]} request timed out" in caplog.text
    ib.disconnect()
    strict = IB()
    with pytest.raises(ConnectionError, match=START_UP[of]):
        await strict.connectAsync("127.0.0.1", script.port, 2, timeout=SHORT_S, raiseSyncErrors=True)


@pytest.mark.fault("missing_end")
async def test_after_a_missing_open_order_end_order_events_are_swallowed(script, until):
    legs = await script.list_condor()
    await script.inflict("missing_end", of="open_orders", times=1)
    ib = IB()
    await ib.connectAsync("127.0.0.1", script.port, 1, timeout=SHORT_S)
    seen = []
    ib.openOrderEvent += seen.append
    trade = ib.placeOrder(legs["P90"], LimitOrder("BUY", 1, 0.10, tif="DAY"))
    await until(lambda: trade.orderStatus.status == "Submitted")
    assert seen == []
    await ib.reqOpenOrdersAsync()
    again = ib.placeOrder(legs["P90"], LimitOrder("BUY", 1, 0.10, tif="DAY"))
    await until(lambda: again.orderStatus.status == "Submitted")
    assert seen == [again]
    ib.disconnect()


@pytest.mark.fault("unanswered")
async def test_an_unanswered_request_waits_for_ever(script, connect):
    await script.list_condor()
    async with connect(script) as ib:
        await script.inflict("unanswered", request="contract_details")
        asked = asyncio.ensure_future(ib.reqContractDetailsAsync(option()))
        assert await ib.reqCurrentTimeAsync(), "later requests are answered"
        assert not asked.done()
        asked.cancel()


@pytest.mark.fault("unanswered")
async def test_a_cancel_that_is_never_acknowledged_leaves_the_order_alive(script, connect, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        trade = ib.placeOrder(legs["P90"], LimitOrder("BUY", 1, 0.10, tif="DAY"))
        await until(lambda: trade.orderStatus.status == "Submitted")
        await script.inflict("unanswered", request="cancel_order")
        ib.cancelOrder(trade.order)
        assert await ib.reqCurrentTimeAsync()
        assert trade.orderStatus.status == "PendingCancel"
        await script.tell("quote", con_id=legs["P90"].conId, bid=0.05, ask=0.09)
        await until(lambda: trade.orderStatus.status == "Filled")


@pytest.mark.fault("request_error")
async def test_321_is_only_a_warning_and_the_request_waits_for_ever(script, connect, heard):
    await script.list_condor()
    async with connect(script) as ib:
        errors = heard(ib)
        await script.inflict("request_error", request="contract_details", code=321)
        asked = asyncio.ensure_future(ib.reqContractDetailsAsync(option()))
        assert await ib.reqCurrentTimeAsync()
        assert [code for _, code in errors] == [321]
        assert not asked.done()
        asked.cancel()


@pytest.mark.fault("request_error")
@pytest.mark.parametrize("code", [200, 162, 322])
async def test_any_other_error_ends_the_request_with_an_empty_list(script, connect, heard, code):
    await script.list_condor()
    async with connect(script) as ib:
        errors = heard(ib)
        await script.inflict("request_error", request="contract_details", code=code)
        assert await ib.reqContractDetailsAsync(option()) == []
        assert [found for _, found in errors] == [code]
        ib.RaiseRequestErrors = True
        with pytest.raises(RequestError):
            await ib.reqContractDetailsAsync(option())


@pytest.mark.fault("late_answers")
async def test_late_answers_come_in_order_and_orders_meet_later_prices(script, connect, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        await script.inflict("late_answers", delay_s=10)
        trade = ib.placeOrder(legs["P90"], LimitOrder("BUY", 1, 0.70, tif="DAY"))
        asked = asyncio.ensure_future(ib.reqCurrentTimeAsync())
        await until(lambda: script.gateway.faults.describe()[0]["applied"] == 2)
        await script.tell("quote", con_id=legs["P90"].conId, bid=0.60, ask=0.65)
        await script.step(9)
        assert not asked.done()
        await script.step(1)
        await asked
        await until(lambda: trade.orderStatus.status == "Filled")
        assert trade.orderStatus.avgFillPrice == 0.65


@pytest.mark.fault("late_answers")
async def test_a_client_that_has_gone_before_its_late_answer_leaves_its_id_free(script, connect, until):
    await script.inflict("late_answers", delay_s=10)
    with pytest.raises(TimeoutError):
        await IB().connectAsync("127.0.0.1", script.port, 1, timeout=SHORT_S)
    await until(lambda: not script.gateway.connections)
    await script.step(10)
    await script.heal()
    async with connect(script, 1) as ib:
        assert ib.isConnected()


@pytest.mark.fault("read_only")
async def test_a_read_only_gateway_answers_no_order_request(script, connect, heard, until):
    legs = await script.list_condor()
    await script.inflict("read_only")
    strict = IB()
    with pytest.raises(ConnectionError, match="open orders"):
        await strict.connectAsync("127.0.0.1", script.port, 1, timeout=SHORT_S, raiseSyncErrors=True)
    ib = IB()
    await ib.connectAsync("127.0.0.1", script.port, 2, timeout=20, readonly=True, raiseSyncErrors=True)
    errors = heard(ib)
    trade = ib.placeOrder(legs["P90"], LimitOrder("BUY", 1, 0.70, tif="DAY"))
    await until(lambda: errors == [(trade.order.orderId, 321)])
    assert trade.orderStatus.status == "ValidationError"
    assert not trade.isDone()
    assert script.gateway.exchange.orders == {}
    ib.disconnect()


@pytest.mark.fault("chain_hole")
async def test_a_hole_in_the_chain_cannot_be_qualified_asked_about_or_traded(script, connect, heard, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        stock = Stock("XYZ", "SMART", "USD")
        await ib.qualifyContractsAsync(stock)
        await script.inflict("chain_hole", con_id=legs["P90"].conId)
        chains = await ib.reqSecDefOptParamsAsync("XYZ", "", "STK", stock.conId)
        assert 90.0 in chains[0].strikes, "the chain says that it is there"
        errors = heard(ib)
        assert await ib.qualifyContractsAsync(option()) == [None]
        assert await ib.reqContractDetailsAsync(option()) == []
        trade = ib.placeOrder(option(), LimitOrder("BUY", 1, 0.70, tif="DAY"))
        ticker = ib.reqMktData(legs["P90"])
        await until(lambda: len(errors) == 4)
        assert {code for _, code in errors} == {200}
        assert trade.orderStatus.status == "Cancelled"
        assert ticker.bid != ticker.bid

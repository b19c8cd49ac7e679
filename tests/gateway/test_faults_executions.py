"""What an untouched ib_async suffers when executions and commissions are late, double, wrong or lost."""

import pytest
from ib_async import LimitOrder, MarketOrder

UNSET = 1.7976931348623157e308


def buy(price=0.70):
    return LimitOrder("BUY", 2, price, tif="DAY", orderRef="one")


@pytest.mark.fault("late_execution")
async def test_a_filled_trade_has_no_fills_until_its_executions_come(script, connect, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        await script.inflict("late_execution", delay_s=5)
        trade = ib.placeOrder(legs["P90"], buy())
        await until(lambda: trade.orderStatus.status == "Filled")
        await script.step(4.9)
        assert trade.fills == []
        await script.step(0.1)
        await until(lambda: trade.fills and trade.fills[0].commissionReport.execId)


@pytest.mark.fault("duplicate_execution")
async def test_a_duplicate_execution_is_ignored(script, connect, raw, of, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        await script.inflict("duplicate_execution")
        messages = raw(ib)
        trade = ib.placeOrder(legs["P90"], buy())
        await until(lambda: trade.fills and trade.fills[0].commissionReport.execId)
        assert len(of(messages, 11)) == 2
        assert len(trade.fills) == 1


@pytest.mark.fault("execution_time_zone")
async def test_an_unknown_time_zone_loses_the_fill(script, connect, misread, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        await script.inflict("execution_time_zone", zone="GMT Standard Time")
        trade = ib.placeOrder(legs["P90"], buy())
        await until(lambda: trade.orderStatus.status == "Filled")
        await ib.reqExecutionsAsync()
        assert trade.fills == ib.fills() == []
        assert any("ZoneInfo" in text or "GMT Standard Time" in text for text in misread())
        assert ib.positions(), "the position came all the same"


@pytest.mark.fault("execution_time_zone")
async def test_another_known_zone_shifts_the_time_of_the_fill(script, connect, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        await script.inflict("execution_time_zone", zone="MET")
        trade = ib.placeOrder(legs["P90"], buy())
        await until(lambda: trade.fills)
        assert trade.fills[0].execution.time.isoformat() == "2026-03-02T09:00:00+00:00", "it was 15:00"


@pytest.mark.fault("commission")
@pytest.mark.parametrize(("value", "seen"), [("pending", -1.0), ("unset", UNSET)])
async def test_a_pending_or_unset_commission_passes_as_a_number(script, connect, until, value, seen):
    legs = await script.list_condor()
    async with connect(script) as ib:
        await script.inflict("commission", value=value)
        trade = ib.placeOrder(legs["P90"], buy())
        await until(lambda: trade.fills and trade.fills[0].commissionReport.execId)
        assert trade.fills[0].commissionReport.commission == seen


@pytest.mark.fault("commission")
@pytest.mark.parametrize(("value", "comes"), [("late", True), ("lost", False)])
async def test_a_late_or_lost_commission_leaves_an_empty_report(script, connect, until, value, comes):
    legs = await script.list_condor()
    async with connect(script) as ib:
        await script.inflict("commission", value=value, delay_s=30)
        trade = ib.placeOrder(legs["P90"], buy())
        await until(lambda: trade.orderStatus.status == "Filled")
        await script.step(29.9)
        assert trade.fills[0].commissionReport.execId == ""
        await script.step(0.2)
        assert await ib.reqCurrentTimeAsync()
        assert bool(trade.fills[0].commissionReport.execId) is comes
        await ib.reqExecutionsAsync()
        assert trade.fills[0].commissionReport.commission > 0, "asking again brings it"


@pytest.mark.fault("correction")
@pytest.mark.parametrize(("quantity_by", "counted", "held"), [(0, 4.0, 2), (-1, 3.0, 1), (-2, 2.0, 0)])
async def test_a_corrected_execution_is_counted_as_one_more_fill(
    script, connect, until, quantity_by, counted, held
):
    legs = await script.list_condor()
    async with connect(script) as ib:
        await script.inflict("correction", delay_s=5, price_by_usd=0.01, quantity_by=quantity_by)
        trade = ib.placeOrder(legs["P90"], buy())
        await until(lambda: trade.fills and trade.fills[0].commissionReport.execId)
        await script.step(5)
        await until(lambda: len(trade.fills) == 2)
        first, second = (fill.execution for fill in trade.fills)
        assert second.execId.rsplit(".", 1) == [first.execId.rsplit(".", 1)[0], "02"]
        assert (first.price, second.price) == (0.55, 0.56)
        assert trade.filled() == counted
        await until(lambda: sum(p.position for p in ib.positions()) == held)
        account = script.gateway.exchange.account
        worth = sum(h.quantity * h.average_cost for h in account.holdings.values())
        assert account.cash_usd + worth == pytest.approx(account.deposit_usd + account.realized_usd)
        (told,) = await ib.reqExecutionsAsync()
        assert (told.execution.execId, told.execution.price) == (second.execId, 0.56)
        assert (told.execution.cumQty, told.execution.shares) == (held, held)
        assert told.execution.avgPrice == pytest.approx(0.56 if held else 0.0)


@pytest.mark.fault("correction")
async def test_an_execution_that_is_told_twice_is_corrected_once(script, connect, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        await script.inflict("duplicate_execution")
        await script.inflict("correction", delay_s=5, times=2)
        trade = ib.placeOrder(legs["P90"], buy())
        await until(lambda: trade.orderStatus.status == "Filled")
        await script.step(5)
        await until(lambda: len(trade.fills) == 2)
        assert (await script.tell("holdings"))["holdings"][0]["quantity"] == 2
        (execution,) = (await script.tell("executions"))["executions"]
        assert execution["exec_id"].endswith(".02")


@pytest.mark.fault("correction")
async def test_a_correction_outlives_the_gateway(tmp_path, open_bench, connect, until):
    argv = ("--market", "script", "--state", str(tmp_path / "state"))
    async with open_bench(*argv) as bench:
        legs = await bench.list_condor()
        async with connect(bench) as ib:
            await bench.inflict("correction", price_by_usd=0.01)
            trade = ib.placeOrder(legs["P90"], buy())
            await until(lambda: trade.orderStatus.status == "Filled")
            await bench.step(5)
            await until(lambda: len(trade.fills) == 2)
            cash_usd = (await bench.tell("account"))["cash_usd"]
    async with open_bench(*argv) as bench, connect(bench) as ib:
        assert [(f.execution.execId[-2:], f.execution.price) for f in ib.fills()] == [("02", 0.56)]
        assert (await bench.tell("account"))["cash_usd"] == cash_usd


def law(exchange):
    """What was realized and what is held must follow from the executions; the realized USD."""
    account, trades = exchange.account, [e for e in exchange.executions if e.contract]
    cost = sum(h.quantity * h.average_cost for h in account.holdings.values())
    flow = sum(-e.quantity * e.price * e.contract.multiplier - e.commission_usd for e in trades)
    assert account.cash_usd == pytest.approx(account.deposit_usd + flow)
    assert account.cash_usd + cost == pytest.approx(account.deposit_usd + account.realized_usd)
    assert sum(e.realized_usd or 0.0 for e in trades) == pytest.approx(account.realized_usd)
    return account.realized_usd


@pytest.mark.fault("correction")
async def test_a_correction_changes_the_cost_of_what_is_held_and_realizes_nothing(script, connect, until):
    leg = (await script.list_condor())["P90"]
    async with connect(script) as ib:
        for middle in (0.50, 1.00):
            await script.tell("quote", con_id=leg.conId, bid=middle - 0.05, ask=middle + 0.05)
            if middle == 1.00:
                await script.inflict("correction", price_by_usd=0.10)
            trade = ib.placeOrder(leg, MarketOrder("BUY", 5, tif="DAY"))
            await until(trade.isDone)
        await script.step(5)
        held = script.gateway.exchange.account.holdings[leg.conId]
        fees = sum(e.commission_usd for e in script.gateway.exchange.executions)
        assert held.average_cost == pytest.approx((5 * 55 + 5 * 115 + fees) / 10)
        assert law(script.gateway.exchange) == 0.0


@pytest.mark.fault("correction")
@pytest.mark.parametrize(("quantity_by", "gained"), [(0, 3 * 10), (1, 3 * 10 - 0.65), (-1, 3 * 10)])
async def test_a_corrected_close_realizes_the_difference(script, connect, until, quantity_by, gained):
    leg = (await script.list_condor())["P90"]
    async with connect(script) as ib:
        await until(ib.placeOrder(leg, MarketOrder("BUY", 5, tif="DAY")).isDone)
        await script.inflict("correction", price_by_usd=0.10, quantity_by=quantity_by)
        await until(ib.placeOrder(leg, MarketOrder("SELL", 3, tif="DAY")).isDone)
        before = law(script.gateway.exchange)
        await script.step(5)
        assert script.gateway.exchange.account.holdings[leg.conId].quantity == 2 - quantity_by
        assert law(script.gateway.exchange) - before == pytest.approx(gained)


@pytest.mark.fault("correction")
async def test_a_correction_counts_in_the_sums_of_later_fills(script, connect, until):
    leg = (await script.list_condor())["P90"]
    async with connect(script) as ib:
        await script.tell("quote", con_id=leg.conId, bid=0.45, ask=0.55, bid_size=2, ask_size=2)
        await script.inflict("correction", delay_s=10, quantity_by=1, price_by_usd=0.0)
        trade = ib.placeOrder(leg, LimitOrder("BUY", 6, 0.70, tif="DAY"))
        for seconds in (5, 5, 5):
            await script.tell("quote", con_id=leg.conId, bid=0.45, ask=0.55, bid_size=2, ask_size=2)
            await script.step(seconds)
        await until(trade.isDone)
        told = [fill.execution for fill in await ib.reqExecutionsAsync()]
        assert [(e.shares, e.cumQty) for e in told] == [(3, 3), (2, 5), (2, 7)]
        law(script.gateway.exchange)


@pytest.mark.fault("correction")
async def test_an_execution_that_came_twice_is_corrected_once(script, connect, until):
    leg = (await script.list_condor())["P90"]
    async with connect(script) as ib:
        await script.inflict("duplicate_execution")
        await script.inflict("correction", times=2)
        await until(ib.placeOrder(leg, buy()).isDone)
        await script.step(5)
        assert [e.exec_id[-2:] for e in script.gateway.exchange.executions] == ["02"]
        law(script.gateway.exchange)

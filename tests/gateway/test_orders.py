import asyncio

import pytest
from ib_async import LimitOrder, MarketOrder, Order, Stock, TagValue

UNSET = 1.7976931348623157e308
# XYZ 90/95/105/110: the condor costs 1.20 + 1.10 - 0.50 - 0.40 = 1.40 in the middle and 1.60 at once.
MIDDLE, NATURAL = 1.40, 1.60


@pytest.fixture
def condor(combo):
    """Buying this combo closes a short condor (or opens a long one)."""

    def make(legs):
        return combo(
            (legs["P90"], "SELL"), (legs["P95"], "BUY"), (legs["C105"], "BUY"), (legs["C110"], "SELL")
        )

    return make


def day_order(action, quantity, price, ref="one"):
    return LimitOrder(action, quantity, price, tif="DAY", orderRef=ref)


async def test_a_marketable_combo_fills_at_the_natural_price_with_legs_that_add_up(
    script, connect, condor, until
):
    legs = await script.list_condor()
    async with connect(script) as ib:
        trade = ib.placeOrder(condor(legs), day_order("BUY", 2, 1.75))
        await until(lambda: len(trade.fills) == 5 and trade.fills[-1].commissionReport.execId)
        whole, *parts = trade.fills
        assert trade.orderStatus.status == "Filled"
        assert whole.contract.secType == "BAG"
        assert (whole.execution.side, whole.execution.shares, whole.execution.price) == ("BOT", 2, NATURAL)
        signs = {"BOT": 1, "SLD": -1}
        net = sum(signs[f.execution.side] * f.execution.price for f in parts)
        assert round(net, 6) == NATURAL
        assert [f.commissionReport.commission for f in parts] == [1.30] * 4
        assert len({f.execution.execId for f in trade.fills}) == 5
        assert {f.execution.permId for f in trade.fills} == {trade.order.permId}
        await until(lambda: len(ib.positions()) == 4)
        assert {p.contract.conId: p.position for p in ib.positions()} == {
            legs["P90"].conId: -2,
            legs["P95"].conId: 2,
            legs["C105"].conId: 2,
            legs["C110"].conId: -2,
        }


async def test_a_credit_combo_has_a_negative_limit(script, connect, combo, until):
    legs = await script.list_condor()
    spread = combo((legs["P90"], "BUY"), (legs["P95"], "SELL"))
    async with connect(script) as ib:
        trade = ib.placeOrder(spread, day_order("BUY", 1, -0.60))
        await until(trade.isDone)
        assert trade.fills[0].execution.price == -0.60
        book = (await script.tell("executions"))["executions"]
        assert [(e["is_combo"], e["quantity"], e["price"]) for e in book] == [
            (True, 1, -0.60),
            (False, 1, 0.55),
            (False, -1, 1.15),
        ]


async def test_a_limit_at_the_middle_fills_at_its_price_after_two_seconds(script, connect, condor, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        trade = ib.placeOrder(condor(legs), day_order("BUY", 2, 1.45))
        await until(lambda: trade.orderStatus.status == "Submitted")
        await script.step(1.9)
        assert trade.orderStatus.status == "Submitted"
        await script.step(0.2)
        await until(trade.isDone)
        assert trade.orderStatus.avgFillPrice == 1.45
        for fill in trade.fills[1:]:
            middle = {"P90": 0.5, "P95": 1.2, "C105": 1.1, "C110": 0.4}[
                fill.contract.right + f"{fill.contract.strike:g}"
            ]
            assert abs(fill.execution.price - middle) <= 0.05 + 1e-9


async def test_a_limit_below_the_middle_waits_until_it_is_modified(script, connect, condor, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        order = day_order("BUY", 2, 1.39)
        trade = ib.placeOrder(condor(legs), order)
        await script.step(60)
        assert trade.orderStatus.status == "Submitted"
        order.lmtPrice = MIDDLE
        assert ib.placeOrder(condor(legs), order) is trade
        await until(lambda: script.gateway.exchange.working()[0].request.limit_price == MIDDLE)
        await script.step(2)
        await until(trade.isDone)
        assert trade.orderStatus.avgFillPrice == MIDDLE
        assert len((await script.tell("orders"))["orders"]) == 1


async def test_nothing_fills_while_a_leg_has_no_two_sided_quote(script, connect, condor, until):
    legs = await script.list_condor()
    await script.tell("fault", name="no_quote", con_id=legs["C110"].conId, on=True)
    async with connect(script) as ib:
        trade = ib.placeOrder(condor(legs), day_order("BUY", 1, 3.00))
        await script.step(60)
        assert trade.orderStatus.status == "Submitted"
        await script.tell("fault", name="no_quote", con_id=legs["C110"].conId, on=False)
        await script.step(1)
        await until(trade.isDone)
        assert trade.orderStatus.avgFillPrice == NATURAL


async def test_a_market_order_opens_and_closes_with_realized_profit(script, connect, until):
    leg = (await script.list_condor())["P95"]
    async with connect(script) as ib:
        opened = ib.placeOrder(leg, MarketOrder("SELL", 3, tif="DAY"))
        await until(lambda: opened.isDone() and opened.fills and opened.fills[0].commissionReport.execId)
        assert opened.fills[0].execution.price == 1.15
        assert opened.fills[0].commissionReport.realizedPNL in (0.0, UNSET)
        assert ib.positions()[0].avgCost == pytest.approx(115 - 0.65)
        await script.tell("quote", con_id=leg.conId, bid=0.50, ask=0.60)
        closed = ib.placeOrder(leg, MarketOrder("BUY", 3, tif="DAY"))
        await until(lambda: closed.isDone() and closed.fills and closed.fills[0].commissionReport.execId)
        assert closed.fills[0].commissionReport.realizedPNL == pytest.approx(3 * (115 - 0.65 - 60 - 0.65))
        assert ib.positions() == []
        account = await script.tell("account")
        assert account["cash_usd"] == pytest.approx(100_000 + 3 * (115 - 60) - 6 * 0.65)
        assert account["realized_usd"] == pytest.approx(account["cash_usd"] - 100_000)


async def test_what_if_tells_margin_and_commission_and_orders_nothing(script, connect, combo):
    legs = await script.list_condor()
    spread = combo((legs["P90"], "BUY"), (legs["P95"], "SELL"))
    async with connect(script) as ib:
        state = await ib.whatIfOrderAsync(spread, day_order("BUY", 2, -0.60))
        assert (state.initMarginBefore, state.initMarginChange) == ("0.00", "1000.00")
        assert (state.commission, state.minCommission, state.maxCommission) == (UNSET, 2.60, 2.60)
        assert (await script.tell("orders"))["orders"] == []


async def test_cancel_is_confirmed_and_comes_too_late_for_filled_orders(
    script, connect, condor, heard, until
):
    legs = await script.list_condor()
    async with connect(script) as ib:
        errors = heard(ib)
        waiting = ib.placeOrder(condor(legs), day_order("BUY", 1, 1.00, "waits"))
        filled = ib.placeOrder(condor(legs), day_order("BUY", 1, 2.00, "fills"))
        await until(filled.isDone)
        ib.cancelOrder(waiting.order)
        await until(lambda: waiting.orderStatus.status == "Cancelled")
        ib.client.cancelOrder(filled.order.orderId)
        ib.client.cancelOrder(4711)
        await until(lambda: len(errors) == 3)
        assert errors == [(waiting.order.orderId, 202), (filled.order.orderId, 10148), (4711, 10147)]
        statuses = {o["order_ref"]: o["status"] for o in (await script.tell("orders"))["orders"]}
        assert statuses == {"waits": "Cancelled", "fills": "Filled"}


async def test_finished_orders_cannot_be_modified_nor_their_ids_used_again(
    script, connect, condor, heard, until
):
    legs = await script.list_condor()
    async with connect(script) as ib:
        errors = heard(ib)
        bag = condor(legs)
        filled, cancelled, working = (day_order("BUY", 1, price) for price in (2.00, 1.00, 1.00))
        trades = [ib.placeOrder(bag, order) for order in (filled, cancelled, working)]
        ib.cancelOrder(cancelled)
        await until(lambda: trades[0].isDone() and trades[1].isDone())
        errors.clear()
        for order, contract, action in (
            (filled, bag, "BUY"),
            (cancelled, bag, "BUY"),
            (working, bag, "SELL"),
            (working, legs["P90"], "BUY"),
        ):
            wrong = LimitOrder(action, 1, 2.00, tif="DAY")
            ib.client.placeOrder(order.orderId, contract, wrong)
        await until(lambda: len(errors) == 4)
        assert [code for _, code in errors] == [104, 103, 105, 105]
        assert len(script.gateway.exchange.working()) == 1


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (LimitOrder("BUY", 1, 1.405, tif="DAY"), 110),
        (LimitOrder("BUY", 0, 1.40, tif="DAY"), 434),
        (LimitOrder("BUY", 1.5, 1.40, tif="DAY"), 10243),
        (LimitOrder("BUY", float("inf"), 1.40, tif="DAY"), 10243),
        (LimitOrder("BUY", 200_000, 1.40, tif="DAY"), 383),
        (LimitOrder("BUY", 1, 1.40, tif="OPG"), 111),
        (LimitOrder("BUY", 1, 1.40, tif="GTD", goodTillDate="tomorrow"), 343),
        (LimitOrder("BUY", 1, 1.40, tif="DAY", parentId=4711), 135),
        (LimitOrder("BUY", 1, 1.40, tif="DAY", account="U999"), 201),
        (LimitOrder("SELL", 5000, 1.00, tif="DAY"), 201),
        (Order(action="BUY", totalQuantity=1, orderType="STP", tif="DAY"), 403),
        (Order(action="BUY", totalQuantity=1, orderType="TRAIL", auxPrice=2.0, tif="DAY"), 387),
        (Order(action="BUY", totalQuantity=1, orderType="MIDPRICE", tif="DAY"), 387),
        (LimitOrder("BUY", 1, float("nan"), tif="DAY"), 201),
    ],
)
async def test_impossible_orders_are_refused_with_brokers_codes(
    script, connect, condor, heard, until, order, code
):
    legs = await script.list_condor()
    async with connect(script) as ib:
        errors = heard(ib)
        ib.placeOrder(condor(legs), order)
        await until(lambda: errors)
        assert errors[0][1] == code
        assert (await script.tell("orders"))["orders"] == []


async def test_orders_for_unknown_contracts_get_200(script, connect, combo, heard, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        errors = heard(ib)
        ib.placeOrder(Stock("NOPE", "SMART", "USD"), day_order("BUY", 1, 1.0))
        stranger = combo((legs["P90"], "BUY"), (legs["P95"], "SELL"))
        stranger.comboLegs[0].conId = 4711
        ib.placeOrder(stranger, day_order("BUY", 1, 1.0))
        await until(lambda: [code for _, code in errors] == [200, 200])


async def test_faults_reject_hold_and_falsely_cancel(script, connect, condor, heard, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        errors = heard(ib)
        await script.tell("fault", name="reject", reason="no reason")
        rejected = ib.placeOrder(condor(legs), day_order("BUY", 1, 2.00, "rejected"))
        await until(lambda: errors == [(rejected.order.orderId, 201)])
        await script.tell("fault", name="hold_fills", on=True)
        held = ib.placeOrder(condor(legs), day_order("BUY", 1, 2.00, "held"))
        await until(lambda: held.orderStatus.status == "Submitted")
        await script.step(30)
        await script.tell("fault", name="false_cancel", order_ref="held")
        await until(lambda: held.orderStatus.status == "Cancelled")
        assert script.gateway.exchange.working()
        await script.tell("fault", name="hold_fills", on=False)
        await until(lambda: held.orderStatus.status == "Filled")


async def test_fills_while_away_are_seen_only_by_asking(script, connect, condor, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        order = day_order("BUY", 1, 1.45, "away")
        ib.placeOrder(condor(legs), order)
        await until(script.gateway.exchange.working)
    await until(lambda: not script.gateway.sessions)
    await script.step(10)
    async with connect(script) as ib:
        assert [fill.execution.orderRef for fill in ib.fills()] == ["away"] * 5
        assert all(fill.commissionReport.execId for fill in ib.fills())
        assert ib.openTrades() == []
        (done,) = await ib.reqCompletedOrdersAsync(False)
        assert (done.order.orderRef, done.order.permId) == ("away", order.permId)
        assert done.orderStatus.status == "Filled"
        assert ib.client.getReqId() > order.orderId


async def test_working_orders_outlive_their_client_and_others_see_them_on_request(
    script, connect, condor, until
):
    legs = await script.list_condor()
    bag = condor(legs)
    bag_order = day_order("BUY", 1, 1.00, "stays")
    bag_order.smartComboRoutingParams = [TagValue("NonGuaranteed", "0")]
    async with connect(script, 1) as ib:
        ib.placeOrder(bag, bag_order)
        await until(script.gateway.exchange.working)
    await until(lambda: not script.gateway.sessions)
    async with connect(script, 2) as other:
        assert other.openTrades() == []
        (seen,) = await other.reqAllOpenOrdersAsync()
        assert seen.order.orderRef == "stays"
        assert [(leg.conId, leg.action) for leg in seen.contract.comboLegs] == [
            (leg.conId, leg.action) for leg in bag.comboLegs
        ]
        assert seen.order.smartComboRoutingParams[0].tag == "NonGuaranteed"
    async with connect(script, 1) as ib:
        (mine,) = ib.openTrades()
        assert (mine.order.permId, mine.order.lmtPrice) == (bag_order.permId, 1.00)
        ib.reqGlobalCancel()
        await until(lambda: mine.orderStatus.status == "Cancelled")


async def test_executions_are_filtered_by_client_symbol_side_and_time(script, connect, condor, until):
    from ib_async import ExecutionFilter

    legs = await script.list_condor()
    async with connect(script, 1) as ib, connect(script, 2) as other:
        first = ib.placeOrder(condor(legs), day_order("BUY", 1, 2.00))
        await until(first.isDone)
        await script.step(60)
        second = other.placeOrder(legs["P90"], day_order("SELL", 1, 0.40))
        await until(second.isDone)
        for wanted, count in (
            (ExecutionFilter(), 6),
            (ExecutionFilter(clientId=2), 1),
            (ExecutionFilter(symbol="SPY"), 0),
            (ExecutionFilter(secType="BAG"), 1),
            (ExecutionFilter(side="SLD"), 3),
            (ExecutionFilter(time="20260302 10:00:30"), 1),
        ):
            assert len(await ib.reqExecutionsAsync(wanted)) == count


async def test_day_orders_end_with_their_day(open_bench, connect, condor, until):
    argv = ("--speed", "0", "--start", "2026-03-02T15:59:30-05:00")
    async with open_bench(*argv) as bench, connect(bench) as ib:
        held = ib.positions()[0].contract
        held.exchange = "SMART"
        today = ib.placeOrder(held, day_order("BUY", 1, 0.01, "day"))
        lasting = ib.placeOrder(held, LimitOrder("BUY", 1, 0.01, tif="GTC", orderRef="gtc"))
        await until(lambda: len(bench.gateway.exchange.working()) == 2)
        await bench.step(31)
        await until(lambda: today.orderStatus.status == "Cancelled")
        assert lasting.orderStatus.status == "Submitted"


async def test_a_hundred_orders_in_a_row_all_reach_the_book_once(script, connect, condor, until):
    legs = await script.list_condor()
    for leg in legs.values():
        await script.tell("quote", con_id=leg.conId, bid=1.0, ask=1.1, bid_size=100, ask_size=100)
    async with connect(script) as ib:
        ib.client.MaxRequests = 0
        for n in range(100):
            ib.placeOrder(condor(legs), day_order("BUY", 1, 2.00, f"order {n}"))
        await until(lambda: len(script.gateway.exchange.executions) == 500)
        book = (await script.tell("executions"))["executions"]
        assert len({e["exec_id"] for e in book}) == 500
        assert sum(e["quantity"] for e in book if e["is_combo"]) == 100
        await asyncio.sleep(0)

"""The messages around orders in the order in which a gateway sends them, by number and status."""

import pytest
from ib_async import ExecutionFilter, LimitOrder, MarketOrder

ORDER_KINDS = {"3", "4", "5", "11", "59"}


def told(frames):
    """(number, status or code) of each message about orders; a fill's price, a report's commission."""
    place = {"3": 2, "4": 3, "11": 20, "59": 3}
    found = []
    for fields in frames:
        if fields[0] == "5":
            found.append(("5", next(f for f in fields[60:] if f in STATUSES)))
        elif fields[0] in ORDER_KINDS:
            found.append((fields[0], fields[place[fields[0]]]))
    return found


STATUSES = ("PreSubmitted", "Submitted", "Filled", "Cancelled", "Inactive", "PendingCancel")


async def test_a_fill_is_told_as_recorded_of_a_real_gateway(script, connect, raw, until):
    leg = (await script.list_condor())["P95"]
    async with connect(script) as ib:
        frames = raw(ib)
        ib.placeOrder(leg, MarketOrder("SELL", 3, tif="DAY"))
        await until(lambda: [f for f in frames if f[0] == "59"])
        assert told(frames) == [
            ("5", "Submitted"),
            ("3", "Submitted"),
            ("11", "1.15"),
            ("5", "Filled"),
            ("3", "Filled"),
            ("5", "Filled"),
            ("3", "Filled"),
            ("59", "1.95"),
        ]
        opened = [fields for fields in frames if fields[0] == "5"]
        assert ["1.95" in fields for fields in opened] == [False, False, True]


async def test_a_combo_is_filled_as_a_whole_before_its_legs(script, connect, raw, combo, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        frames = raw(ib)
        bag = combo((legs["P90"], "BUY"), (legs["P95"], "SELL"))
        ib.placeOrder(bag, LimitOrder("BUY", 1, -0.60, tif="DAY"))
        await until(lambda: len([f for f in frames if f[0] == "59"]) == 2)
        fills = [fields for fields in frames if fields[0] == "11"]
        assert [fields[5] for fields in fills] == ["BAG", "OPT", "OPT"]
        assert [fields[14].split(".")[2] for fields in fills] == ["01", "02", "03"]
        assert {fields[1] for fields in fills} == {"-1"}
        assert len({fields[20] for fields in fills}) == 3


async def test_a_change_is_confirmed_and_a_cancel_passes_through_its_stations(script, connect, raw, until):
    leg = (await script.list_condor())["P95"]
    async with connect(script) as ib:
        order = LimitOrder("BUY", 1, 0.50, tif="DAY")
        trade = ib.placeOrder(leg, order)
        await until(lambda: trade.orderStatus.status == "Submitted")
        frames = raw(ib)
        order.lmtPrice = 0.60
        ib.placeOrder(leg, order)
        await until(lambda: len(frames) == 2)
        assert told(frames) == [("5", "Submitted"), ("3", "Submitted")]
        assert frames[0][16] == "0.6"
        frames.clear()
        ib.cancelOrder(order, "20260302 10:00:00 US/Eastern")
        await until(lambda: len(frames) == 3)
        assert told(frames) == [("3", "PendingCancel"), ("3", "Cancelled"), ("4", "202")]
        assert frames[2][4] == "Order Canceled - reason:"


async def test_an_order_id_below_the_last_one_is_a_duplicate(script, connect, heard, until):
    leg = (await script.list_condor())["P95"]
    async with connect(script, 1) as ib, connect(script, 2) as other:
        errors = heard(ib)
        ib.client.placeOrder(50, leg, LimitOrder("BUY", 1, 0.50, tif="DAY"))
        ib.client.placeOrder(49, leg, LimitOrder("BUY", 1, 0.50, tif="DAY"))
        await until(lambda: errors == [(49, 103)])
        other.client.placeOrder(49, leg, LimitOrder("BUY", 1, 0.50, tif="DAY"))
        await until(lambda: len(script.gateway.exchange.working()) == 2)


async def test_next_ids_are_each_clients_own(script, connect, raw, of, until):
    leg = (await script.list_condor())["P95"]
    async with connect(script, 1) as ib, connect(script, 2) as other:
        ib.client.placeOrder(50, leg, LimitOrder("BUY", 1, 0.50, tif="DAY"))
        frames, others = raw(ib), raw(other)
        ib.client.reqIds(1)
        other.client.reqIds(1)
        await until(lambda: of(frames, 9) and of(others, 9))
        assert (of(frames, 9), of(others, 9)) == ([["9", "1", "51"]], [["9", "1", "1"]])


async def test_only_the_owner_and_client_0_may_cancel(script, connect, heard, until):
    leg = (await script.list_condor())["P95"]
    async with connect(script, 1) as ib, connect(script, 2) as other, connect(script, 0) as first:
        errors, refused = heard(other), heard(first)
        for order_id in (50, 51):
            ib.client.placeOrder(order_id, leg, LimitOrder("BUY", 1, 0.50, tif="DAY"))
        await until(lambda: len(script.gateway.exchange.working()) == 2)
        other.client.cancelOrder(50)
        await until(lambda: errors == [(50, 10147)])
        first.client.cancelOrder(50)
        await until(lambda: len(script.gateway.exchange.working()) == 1)
        other.client.placeOrder(51, leg, LimitOrder("BUY", 1, 0.50, tif="DAY"))
        await until(lambda: len(script.gateway.exchange.working()) == 2)
        first.client.cancelOrder(51)
        await until(lambda: refused == [(51, 10147)])


async def test_only_client_0_may_bind_orders_placed_by_hand(script, connect, heard, until):
    async with connect(script, 0) as first, connect(script, 1) as ib:
        errors, none = heard(ib), heard(first)
        first.reqAutoOpenOrders(True)
        ib.reqAutoOpenOrders(False)
        ib.reqAutoOpenOrders(True)
        await until(lambda: errors == [(-1, 321)])
        assert none == []


async def test_a_message_of_another_layout_than_agreed_is_refused(script, connect, heard, until):
    async with connect(script) as ib:
        errors = heard(ib)
        ib.client.send(4, 1, 5, "", "surplus")
        await until(lambda: errors == [(-1, 320)])


async def test_executions_can_be_filtered_by_all_that_they_are(script, connect, combo, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        ib.placeOrder(legs["P95"], MarketOrder("SELL", 1, tif="DAY"))
        await until(lambda: len(ib.fills()) == 1)
        await script.step(60)
        bag = combo((legs["P90"], "BUY"), (legs["P95"], "SELL"))
        ib.placeOrder(bag, LimitOrder("BUY", 1, -0.60, tif="DAY"))
        await until(lambda: len(ib.fills()) == 4)
        for wanted, count in (
            (ExecutionFilter(), 4),
            (ExecutionFilter(acctCode="DU1234567"), 4),
            (ExecutionFilter(acctCode="U999"), 0),
            (ExecutionFilter(exchange="SMART"), 4),
            (ExecutionFilter(exchange="CBOE"), 0),
            (ExecutionFilter(side="BUY"), 2),
            (ExecutionFilter(secType="OPT", side="SELL"), 2),
            (ExecutionFilter(time="20260302-15:00:30"), 3),
            (ExecutionFilter(time="20260302  10:00:30"), 3),
            (ExecutionFilter(time="20260302 16:00:30 Europe/Berlin"), 3),
            (ExecutionFilter(time="20260302 10:02:00 US/Eastern"), 0),
        ):
            assert len(await ib.reqExecutionsAsync(wanted)) == count, wanted


@pytest.mark.parametrize("wanted", [ExecutionFilter(time="yesterday"), ExecutionFilter(side="HOLD")])
async def test_a_filter_that_makes_no_sense_is_refused_and_nobody_waits(script, connect, heard, wanted):
    async with connect(script) as ib:
        errors = heard(ib)
        assert await ib.reqExecutionsAsync(wanted) == []
        assert [code for _, code in errors] == [320]


async def test_executions_of_an_earlier_day_are_gone(script, connect, until):
    leg = (await script.list_condor())["P95"]
    async with connect(script) as ib:
        ib.placeOrder(leg, MarketOrder("SELL", 1, tif="DAY"))
        await until(lambda: len(ib.fills()) == 1)
        assert len(await ib.reqExecutionsAsync()) == 1
        await script.step(86_400)
        assert await ib.reqExecutionsAsync() == []
        assert len(script.gateway.exchange.executions) == 1

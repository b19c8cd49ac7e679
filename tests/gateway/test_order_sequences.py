"""The messages around orders in the order in which a gateway sends them, by number and status."""

import asyncio
from functools import partial

import pytest
from ib_async import IB, ExecutionFilter, LimitOrder, MarketOrder

UNSET_LONG = 9223372036854775807
UNSET_DOUBLE = "1.7976931348623157E308"
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
        perm_id = opened[0][25]
        assert all(f"{perm_id}.0/DU1234567/100" in fields for fields in opened)
        (report,) = (fields for fields in frames if fields[0] == "59")
        assert report[5] == UNSET_DOUBLE, "an opening trade realizes nothing yet"


async def test_a_fill_says_whether_it_took_liquidity_or_gave_it(script, connect, raw, of, until):
    leg = (await script.list_condor())["P95"]
    async with connect(script) as ib:
        frames = raw(ib)
        ib.placeOrder(leg, LimitOrder("BUY", 1, 1.25, tif="DAY"))
        waits = ib.placeOrder(leg, LimitOrder("BUY", 1, 1.20, tif="DAY"))
        await until(lambda: waits.orderStatus.status == "Submitted")
        await script.step(2)
        await until(lambda: len(of(frames, 11)) == 2)
        assert [fields[-2] for fields in of(frames, 11)] == ["2", "1"]


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


async def test_parts_of_an_order_fill_with_growing_sums_and_averages(script, connect, raw, of, until):
    leg = (await script.list_condor())["P95"]
    async with connect(script) as ib:
        await script.tell("quote", con_id=leg.conId, bid=1.15, ask=1.25, bid_size=2, ask_size=2)
        frames = raw(ib)
        trade = ib.placeOrder(leg, LimitOrder("BUY", 5, 1.30, tif="DAY"))
        await until(lambda: trade.orderStatus.filled == 2)
        assert (trade.orderStatus.status, trade.orderStatus.remaining) == ("Submitted", 3)
        await script.tell("quote", con_id=leg.conId, bid=1.20, ask=1.30, bid_size=9, ask_size=9)
        await until(lambda: trade.isDone() and len(of(frames, 59)) == 2)
        assert [(f[19], f[20], f[24], f[25]) for f in of(frames, 11)] == [
            ("2", "1.25", "2", "1.25"),
            ("3", "1.3", "5", "1.28"),
        ]
        statuses = [(*fields[2:6], fields[8]) for fields in of(frames, 3)]
        assert list(dict.fromkeys(statuses)) == [
            ("Submitted", "0", "5", "0", "0"),
            ("Submitted", "2", "3", "1.25", "1.25"),
            ("Filled", "5", "0", "1.28", "1.3"),
        ]
        assert [f.execution.cumQty for f in await ib.reqExecutionsAsync()] == [2, 5]


async def test_a_bracket_waits_for_its_last_order_and_its_children_for_their_parent(
    script, connect, raw, of, until
):
    leg = (await script.list_condor())["P95"]
    async with connect(script) as ib:
        frames = raw(ib)
        bracket = ib.bracketOrder("BUY", 1, 1.00, 1.50, 0.80)
        for order in bracket[:2]:
            ib.placeOrder(leg, order)
        await ib.reqCurrentTimeAsync()
        assert of(frames, 5) == of(frames, 3) == []
        ib.placeOrder(leg, bracket[2])
        await until(lambda: len(of(frames, 3)) == 3)
        parent = bracket[0].orderId
        assert [(fields[2], fields[7], fields[10]) for fields in of(frames, 3)] == [
            ("Submitted", "0", ""),
            ("PreSubmitted", str(parent), "child"),
            ("PreSubmitted", str(parent), "child,trigger"),
        ]
        assert len({fields[6] for fields in of(frames, 3)}) == 3
        ib.cancelOrder(bracket[0])
        await until(lambda: all(trade.isDone() for trade in ib.trades()))
        done = await ib.reqCompletedOrdersAsync(False)
        assert {trade.order.parentPermId for trade in done} == {UNSET_LONG, bracket[0].permId}


async def test_orders_of_older_versions_come_back_in_their_layout(script, until):
    leg = (await script.list_condor())["P95"]
    for version, fields in ((157, 128), (158, 129), (160, 130), (162, 131), (170, 136), (177, 135)):
        ib = IB()
        ib.client.MaxClientVersion = version
        async with asyncio.timeout(5):
            await ib.connectAsync("127.0.0.1", script.port, version, raiseSyncErrors=True)
        assert ib.client.serverVersion() == version
        counts = []
        decode = ib.client.decoder.handlers[5]
        ib.client.decoder.handlers[5] = lambda f, c=counts, d=decode: (c.append(len(f)), d(f))
        trade = ib.placeOrder(leg, LimitOrder("BUY", 1, 0.5, tif="DAY"))
        await until(lambda t=trade: t.orderStatus.status == "Submitted")
        ib.cancelOrder(trade.order)
        await until(lambda t=trade: t.orderStatus.status == "Cancelled")
        assert set(counts) == {fields}
        ib.disconnect()
        await asyncio.sleep(0)


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


async def test_a_rejected_order_is_told_its_reason_and_then_that_it_is_inactive(script, connect, raw, until):
    leg = (await script.list_condor())["P95"]
    async with connect(script) as ib:
        frames = raw(ib)
        trade = ib.placeOrder(leg, LimitOrder("SELL", 5000, 1.20, tif="DAY", orderRef="beyond means"))
        await until(lambda: trade.orderStatus.status == "Inactive")
        assert told(frames) == [("4", "201"), ("3", "Inactive")]
        assert frames[0][4].startswith("Order rejected - reason:YOUR ORDER IS NOT ACCEPTED")
        assert frames[1][3:6] == ["0", "5000", "0"]
        other = ib.placeOrder(leg, LimitOrder("SELL", 1, 1.50, tif="DAY"))
        await until(lambda: other.orderStatus.status == "Submitted")
        assert other.orderStatus.permId > trade.orderStatus.permId > 0


async def test_a_refused_change_and_an_order_that_is_wrongly_written_end_nothing(script, connect, raw, until):
    leg = (await script.list_condor())["P95"]
    async with connect(script) as ib:
        order = LimitOrder("SELL", 1, 1.50, tif="DAY")
        trade = ib.placeOrder(leg, order)
        await until(lambda: trade.orderStatus.status == "Submitted")
        frames = raw(ib)
        order.totalQuantity = 5000
        ib.placeOrder(leg, order)
        ib.placeOrder(leg, LimitOrder("SELL", 1, 3.02, tif="DAY"))
        await until(lambda: len(frames) == 2)
        await ib.reqCurrentTimeAsync()
        assert told(frames) == [("4", "201"), ("4", "110")]


async def test_a_bracket_whose_parent_is_rejected_when_it_is_sent(script, connect, raw, until):
    leg = (await script.list_condor())["P95"]
    async with connect(script) as ib:
        frames = raw(ib)
        for order in ib.bracketOrder("SELL", 5000, 1.20, 1.00, 1.50)[:2]:
            order.transmit = order.parentId != 0
            ib.placeOrder(leg, order)
        await until(lambda: all(trade.isDone() for trade in ib.trades()) and len(frames) > 5)
        parent, child = (trade.order.orderId for trade in sorted(ib.trades(), key=lambda t: t.order.orderId))
        kinds = list(zip(told(frames), (int(f[2] if f[0] == "4" else f[1]) for f in frames), strict=True))
        assert kinds == [
            (("4", "201"), parent),
            (("5", "Inactive"), parent),
            (("3", "Inactive"), parent),
            (("3", "PendingCancel"), child),
            (("3", "Cancelled"), child),
            (("4", "202"), child),
        ]


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


async def test_a_completed_order_tells_what_was_left_of_it_and_what_was_filled(script, connect, until):
    leg = (await script.list_condor())["P95"]
    async with connect(script) as ib:
        trade = ib.placeOrder(leg, LimitOrder("BUY", 14, 1.25, tif="DAY"))
        await until(lambda: trade.orderStatus.filled == 10)
        ib.cancelOrder(trade.order)
        await until(lambda: trade.orderStatus.status == "Cancelled")
        (done,) = await ib.reqCompletedOrdersAsync(False)
        assert (done.order.totalQuantity, done.order.filledQuantity) == (4, 10)


async def test_only_client_0_may_bind_orders_placed_by_hand(script, connect, heard, until):
    async with connect(script, 0) as first, connect(script, 1) as ib:
        errors, none = heard(ib), heard(first)
        first.reqAutoOpenOrders(True)
        ib.reqAutoOpenOrders(False)
        ib.reqAutoOpenOrders(True)
        await until(lambda: errors == [(-1, 321)])
        assert none == []


async def test_orders_placed_by_hand_are_seen_on_request_and_bound_by_client_0(
    script, connect, raw, of, until
):
    leg = (await script.list_condor())["P95"]
    async with connect(script, 1) as ib:
        by_hand = {"con_id": leg.conId, "action": "BUY", "quantity": 1}
        waiting = await script.tell("order_by_hand", **by_hand, limit=0.5)
        assert not (await script.ask("order_by_hand", **{**by_hand, "action": "KEEP"}))["ok"]
        assert "434" in (await script.ask("order_by_hand", **{**by_hand, "quantity": 0}, limit=1))["error"]
        assert ib.openTrades() == []
        (seen,) = await ib.reqAllOpenOrdersAsync()
        assert (seen.order.permId, seen.order.orderId) == (waiting["perm_id"], -1)
        async with connect(script, 0) as first:
            frames = raw(first)
            first.reqAutoOpenOrders(True)
            await until(lambda: of(frames, 100) == [["100", str(waiting["perm_id"]), "0", "-1"]])
            filled = await script.tell("order_by_hand", **by_hand)
            await until(lambda: of(frames, 59) and len(of(frames, 100)) == 2)
            assert of(frames, 100)[1:] == [["100", str(filled["perm_id"]), "0", "-2"]]
            first.client.cancelOrder(-1)
            await until(lambda: not script.gateway.exchange.working())
        assert len(await ib.reqCompletedOrdersAsync(False)) == 2
        assert await ib.reqCompletedOrdersAsync(True) == []
        assert [e.execution.permId for e in await ib.reqExecutionsAsync()] == [filled["perm_id"]]


async def test_an_order_placed_by_hand_gets_an_id_of_its_own_though_an_earlier_one_was_lost(script):
    legs = await script.list_condor()
    by_hand = partial(script.tell, "order_by_hand", con_id=legs["P90"].conId, action="BUY", quantity=1)
    await by_hand(limit=0.45)
    filled = await by_hand(limit=0.55)
    await script.inflict("restart", lost_s=5)
    after = await by_hand(limit=0.45)
    known = {order["order_id"]: order["perm_id"] for order in (await script.tell("orders"))["orders"]}
    assert known == {-2: filled["perm_id"], -3: after["perm_id"]}


async def test_client_0_that_does_not_bind_is_told_nothing_of_orders_placed_by_hand(
    script, connect, raw, of, until
):
    leg = (await script.list_condor())["P95"]
    async with connect(script, 0) as first:
        first.reqAutoOpenOrders(False)
        await first.reqCurrentTimeAsync()
        frames = raw(first)
        await script.tell("order_by_hand", con_id=leg.conId, action="BUY", quantity=1, limit=0.5)
        await script.tell("order_by_hand", con_id=leg.conId, action="BUY", quantity=1)
        first.reqGlobalCancel()
        await first.reqCurrentTimeAsync()
        assert not script.gateway.exchange.working()
        assert not any(of(frames, kind) for kind in (3, 4, 5, 11, 59, 100))


async def test_a_bought_option_is_exercised_on_request_at_the_close(script, connect, heard, until):
    legs = await script.list_condor()
    call, put = legs["C105"], legs["P90"]
    await script.tell("quote", symbol="XYZ", bid=106.9, ask=107.1)
    async with connect(script) as ib:
        errors = heard(ib)
        ib.placeOrder(call, MarketOrder("BUY", 2, tif="DAY"))
        await until(ib.positions)
        ib.exerciseOptions(call, 1, 1, "", 0)
        ib.exerciseOptions(put, 1, 1, "", 0)
        ib.exerciseOptions(call, 1, 3, "", 0)
        await until(lambda: [code for _, code in errors] == [322, 322])
        await script.step(6 * 3600 + 60)
        await until(lambda: len(ib.positions()) == 2)
        held = {p.contract.secType: p.position for p in ib.positions()}
        assert held == {"OPT": 1, "STK": 100}


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


@pytest.mark.parametrize(
    "wanted",
    [
        ExecutionFilter(time="yesterday"),
        ExecutionFilter(time="20260302 10:00:00 US"),
        ExecutionFilter(side="HOLD"),
    ],
)
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

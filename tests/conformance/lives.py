"""How orders live: types, times in force, conditions, brackets, groups, and the end of them all."""

from typing import Any

from tests.conformance.day import Day
from tests.conformance.orders import error, place, same_contract, same_order, status
from tests.conformance.stage import ACCOUNT


async def types(day: Day) -> None:
    """A stop, a stop with a limit and a mid-price order wait, and are shown as they were placed."""
    waiting = (
        ("P95", day.order("BUY", 1, "STP", auxPrice=3.00, tif="GTC")),
        ("P95", day.order("BUY", 1, "STP LMT", auxPrice=3.00, lmtPrice=3.10, outsideRth=True)),
        ("XYZ", day.order("BUY", 10, "MIDPRICE", lmtPrice=90.0)),
        ("P95", day.order("BUY", 1, "STP", auxPrice=3.00, triggerMethod=2, ocaGroup="alone", ocaType=3)),
    )
    for name, order in waiting:
        order_id, _ = await place(day, day.contract(name), order)
        await day.client.told("orderStatus", lambda found, text, *_, wanted=order_id: found == wanted)
        day.client.calls.cancelOrder(order_id)
        await status(day, order_id, "Cancelled")


async def times(day: Day) -> None:
    """Good till a moment, good after one, and only at once."""
    zone = " US/Eastern" if day.client.version >= 174 else ""
    dated = day.order("BUY", 1, "LMT", lmtPrice=0.20, tif="GTD", goodTillDate=f"20260303 12:00:00{zone}")
    later = day.order("BUY", 1, "LMT", lmtPrice=0.20, goodAfterTime=f"20260302 15:00:00{zone}")
    for order in (dated, later):
        order_id, _ = await place(day, day.contract("P90"), order)
        day.client.calls.cancelOrder(order_id)
        await status(day, order_id, "Cancelled")
    at_once = day.order("BUY", 1, "LMT", lmtPrice=0.20, tif="IOC")
    order_id, _ = await place(day, day.contract("P90"), at_once)
    await status(day, order_id, "Cancelled")


async def conditions(day: Day) -> None:
    """One order that waits for four things at once."""
    conditions = []
    exchange = "exchange" if day.client.name == "ibapi" else "exch"
    for kind, terms in (
        ("PriceCondition", {"isMore": True, "price": 150.5, "triggerMethod": 0, "conId": day.con_ids["XYZ"]}),
        ("TimeCondition", {"isMore": True, "time": "20260302-20:00:00"}),
        ("PercentChangeCondition", {"isMore": False, "changePercent": 12.5, "conId": day.con_ids["XYZ"]}),
        ("VolumeCondition", {"isMore": True, "volume": 900000, "conId": day.con_ids["XYZ"]}),
    ):
        place_of = {exchange: "SMART"} if "conId" in terms else {}
        conditions.append(day.make(kind, **terms, **place_of))
    order = day.order("BUY", 1, "LMT", lmtPrice=0.60, conditions=conditions, conditionsIgnoreRth=True)
    order_id, _ = await place(day, day.contract("P90"), order)
    await status(day, order_id, "PreSubmitted")
    day.client.calls.cancelOrder(order_id)
    await status(day, order_id, "Cancelled")


async def bracket(day: Day) -> None:
    """Entry, profit and loss are held back until the last of them, and end with the entry."""
    client, calls = day.client, day.client.calls
    contract = day.contract("C105")
    entry, profit, loss = day.order_id(), day.order_id(), day.order_id()
    orders = {
        entry: day.order("BUY", 1, "LMT", lmtPrice=0.80, transmit=False, orderRef="entry"),
        profit: day.order("SELL", 1, "LMT", lmtPrice=2.00, parentId=entry, transmit=False),
        loss: day.order("SELL", 1, "STP", auxPrice=0.40, parentId=entry, transmit=True),
    }
    for order_id, order in orders.items():
        order.account = ACCOUNT
        calls.placeOrder(order_id, contract, order)
    for order_id, order in orders.items():
        _, shown, echoed, _ = await client.told(
            "openOrder", lambda found, *_, wanted=order_id: found == wanted
        )
        same_order(day, 5, order, echoed)
        same_contract(day, 5, contract, shown)
    found = await client.told("orderStatus", lambda order_id, *_: order_id == loss)
    day.equal(3, found[6], entry, "parentId")
    calls.cancelOrder(entry)
    for order_id in orders:
        await status(day, order_id, "Cancelled")


async def group(day: Day) -> None:
    """Of two orders in a group the one that fills cancels the other."""
    waiting: dict[int, Any] = {}
    for name in ("P90", "C110"):
        order = day.order("BUY", 1, "LMT", lmtPrice=0.20, ocaGroup="either", ocaType=1)
        order_id, _ = await place(day, day.contract(name), order)
        waiting[order_id] = order
    fills, ends = waiting
    waiting[fills].lmtPrice = 0.60
    await place(day, day.contract("P90"), waiting[fills], fills)
    await day.tell("step", seconds=10)
    await status(day, fills, "Filled")
    await status(day, ends, "Cancelled")


async def unsupported(day: Day) -> None:
    """What the exchange does not trade is refused by number and with words that say what to do."""
    order = day.order("BUY", 1, "LMT", lmtPrice=0.60, algoStrategy="Adaptive", account=ACCOUNT)
    order.algoParams = [day.make("TagValue", "adaptivePriority", "Normal")]
    for refused, code in ((order, 439), (day.order("BUY", 1, "TRAIL", auxPrice=0.1, account=ACCOUNT), 387)):
        day.client.calls.placeOrder(order_id := day.order_id(), day.contract("P90"), refused)
        await error(day, order_id, code)


async def end_of_all(day: Day) -> None:
    """A global cancel ends every order."""
    resting = []
    for name in ("P90", "C110"):
        order_id, _ = await place(day, day.contract(name), day.order("BUY", 1, "LMT", lmtPrice=0.20))
        resting.append(order_id)
    day.client.calls.reqGlobalCancel()
    for order_id in resting:
        await status(day, order_id, "Cancelled")
    day.client.calls.reqAutoOpenOrders(False)
    since = day.client.now
    day.client.calls.reqOpenOrders()
    await day.client.told("openOrderEnd", since=since)
    assert "openOrder" not in [name for name, _ in day.client.listener.told[since:]]


async def by_hand(day: Day) -> None:
    """An order given at the broker's own screen: everyone may see it, client 0 may make it its own."""
    placed = {"con_id": day.con_ids["P90"], "action": "BUY", "quantity": 1, "limit": 0.2}
    perm_id = (await day.tell("order_by_hand", **placed))["perm_id"]
    since = day.client.now
    day.client.calls.reqAllOpenOrders()
    _, _, order, _ = await day.client.told("openOrder", since=since)
    day.same(5, order, permId=perm_id, orderId=-1, clientId=0, action="BUY", lmtPrice=0.2)
    async with day.joined(0) as owner:
        owner.calls.reqAutoOpenOrders(True)
        day.equal(100, await owner.told("orderBound"), (perm_id, 0, -1))
        owner.calls.cancelOrder(-1)
        await owner.told("orderStatus", lambda order_id, text, *_: (order_id, text) == (-1, "Cancelled"))

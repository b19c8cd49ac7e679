"""Orders: what is placed is what is shown again, then fills, changes, cancels and the books of the day."""

from typing import Any

from tests.conformance.day import Day
from tests.conformance.stage import ACCOUNT

UNSET = 1.7976931348623157e308
SINGLE = ("action", "totalQuantity", "orderType", "lmtPrice", "auxPrice", "tif", "ocaGroup", "ocaType")
SINGLE += ("account", "orderRef", "parentId", "outsideRth", "goodTillDate", "goodAfterTime", "algoStrategy")
SINGLE += ("allOrNone", "minQty", "triggerMethod", "conditionsIgnoreRth", "conditionsCancelOrder")
LEG = ("conId", "ratio", "action", "exchange")


async def place(day: Day, contract: Any, order: Any, order_id: int | None = None) -> tuple[int, Any]:
    """Places (or changes) an order and compares what the gateway then shows; (order id, order state)."""
    order.account = ACCOUNT
    since = day.client.now
    order_id = order_id or day.order_id()
    day.client.calls.placeOrder(order_id, contract, order)
    _, shown, echoed, state = await day.client.told("openOrder", lambda found, *_: found == order_id, since)
    same_order(day, 5, order, echoed)
    same_contract(day, 5, contract, shown)
    day.same(5, echoed, orderId=order_id, clientId=1, whatIf=order.whatIf)
    return order_id, state


def same_order(day: Day, kind: int, placed: Any, found: Any) -> None:
    """Every attribute that the user set; the pairs and conditions one by one."""
    fresh = day.make("Order")
    for name in SINGLE:
        if getattr(placed, name) != getattr(fresh, name):
            day.equal(kind, getattr(found, name), getattr(placed, name), name)
    for name in ("algoParams", "smartComboRoutingParams"):
        pairs = [[(pair.tag, pair.value) for pair in getattr(order, name) or []] for order in (placed, found)]
        day.equal(kind, tuple(pairs[1]), tuple(pairs[0]), name)
    for wanted, condition in zip(placed.conditions or [], found.conditions or [], strict=True):
        day.equal(kind, vars(condition), vars(wanted), type(wanted).__name__)


def same_contract(day: Day, kind: int, placed: Any, found: Any) -> None:
    if placed.secType == "BAG":
        day.same(kind, found, secType="BAG", conId=28812380, symbol="XYZ", tradingClass="COMB")
        for wanted, leg in zip(placed.comboLegs, found.comboLegs, strict=True):
            day.same(kind, leg, **{name: getattr(wanted, name) for name in LEG})
        signed = [f"{leg.conId}|{leg.ratio * (1 if leg.action == 'BUY' else -1)}" for leg in placed.comboLegs]
        day.same(kind, found, comboLegsDescrip=",".join(signed))
    else:
        for name in ("symbol", "secType", "strike", "lastTradeDateOrContractMonth", "currency"):
            day.equal(kind, getattr(found, name), getattr(placed, name), name)
        day.same(kind, found, right=placed.right or "?")


async def status(day: Day, order_id: int, wanted: str, since: int = 0) -> tuple[Any, ...]:
    return await day.client.told(
        "orderStatus", lambda found, text, *_: (found, text) == (order_id, wanted), since
    )


async def error(day: Day, req_id: int, code: int) -> None:
    found = await day.client.told("error", lambda found, number, *_: (found, number) == (req_id, code))
    day.equal(4, found[:2], (req_id, code))


async def resting(day: Day) -> None:
    """A limit order rests, is shown to who asks, is changed, and is cancelled."""
    calls = day.client.calls
    contract, order = day.contract("P90"), day.order("BUY", 3, "LMT", lmtPrice=0.30, orderRef="resting")
    order_id, _ = await place(day, contract, order)
    found = await status(day, order_id, "Submitted")
    day.equal(3, (found[2:5], found[6:11]), ((0, 3, 0.0), (0, 0.0, 1, "", 0.0)))
    for ask in (calls.reqOpenOrders, calls.reqAllOpenOrders):
        since = day.client.now
        ask()
        await day.client.told("openOrderEnd", since=since)
        _, shown, again, _ = await day.client.told("openOrder", since=since)
        same_order(day, 5, order, again)
        same_contract(day, 5, contract, shown)
        day.equal(5, again.permId, found[5])
    order.lmtPrice, order.totalQuantity = 0.32, 2
    await place(day, contract, order, order_id)
    calls.cancelOrder(order_id)
    await error(day, order_id, 202)
    await status(day, order_id, "Cancelled")
    calls.cancelOrder(order_id)
    await error(day, order_id, 10148)
    calls.cancelOrder(99999)
    await error(day, 99999, 10147)


async def single_fill(day: Day) -> None:
    """An option bought at the market: execution, status and commission, as the gateway's books have them."""
    order_id, _ = await place(day, day.contract("C110"), day.order("BUY", 2, "MKT", orderRef="single"))
    await status(day, order_id, "Filled")
    _, contract, execution = await day.client.told("execDetails", lambda _r, _c, e: e.orderId == order_id)
    (booked,) = await _booked(day, "single")
    day.same(11, contract, conId=day.con_ids["C110"], secType="OPT", strike=110.0, right="C")
    day.same(
        11,
        execution,
        execId=booked["exec_id"],
        acctNumber=ACCOUNT,
        side="BOT",
        shares=2.0,
        price=0.45,
        permId=booked["perm_id"],
        clientId=1,
        orderId=order_id,
        cumQty=2.0,
        avgPrice=0.45,
        orderRef="single",
        lastLiquidity=2,
    )
    await _commissions(day, [booked])


async def _booked(day: Day, order_ref: str) -> list[dict[str, Any]]:
    executions = (await day.tell("executions"))["executions"]
    return [execution for execution in executions if execution["order_ref"] == order_ref]


async def _commissions(day: Day, booked: list[dict[str, Any]], since: int = 0) -> None:
    for execution in booked:
        (report,) = await day.client.told(
            "commissionReport", lambda found, wanted=execution: found.execId == wanted["exec_id"], since
        )
        realized = UNSET if execution["realized_usd"] is None else execution["realized_usd"]
        day.same(59, report, commission=execution["commission_usd"], currency="USD", realizedPNL=realized)


async def combos(day: Day) -> None:
    """Combos of two, three and four legs are shown as they were placed and filled with their legs; the last
    one may trade leg by leg."""
    for legs in (
        {"P90": "BUY", "P95": "SELL"},
        {"P90": "BUY", "P95": "SELL", "C105": "SELL"},
        {"P90": "BUY", "P95": "SELL", "C105": "SELL", "C110": "BUY"},
    ):
        label = f"combo of {len(legs)}"
        order = day.order("BUY", 1, "LMT", lmtPrice=1.00, orderRef=label)
        order.smartComboRoutingParams = [day.make("TagValue", "NonGuaranteed", str(int(len(legs) == 4)))]
        order_id, _ = await place(day, day.combo(**legs), order)
        await day.tell("step", seconds=30)
        await status(day, order_id, "Filled")
        booked = await _booked(day, label)
        await _commissions(day, [execution for execution in booked if not execution["is_combo"]])
        fills = [found[1:] for found in day.client.all("execDetails") if found[2].orderId == order_id]
        ((_, whole),) = [fill for fill in fills if fill[0].secType == "BAG"]
        parts = [fill for fill in fills if fill[0].secType == "OPT"]
        net = sum({"BOT": 1, "SLD": -1}[part.side] * part.price for _, part in parts)
        day.same(11, whole, side="BOT", price=round(net, 6), shares=1.0)
        day.equal(
            11,
            {contract.conId: part.side for contract, part in parts},
            {day.con_ids[name]: "BOT" if action == "BUY" else "SLD" for name, action in legs.items()},
            "sides",
        )


async def what_if(day: Day) -> None:
    """Margin and commission of an order that is not placed."""
    books = await day.tell("account")
    puts = day.order("SELL", 9, "LMT", lmtPrice=1.15, whatIf=True)
    _, state = await place(day, day.contract("P95"), puts)
    before, change, after = (
        float(getattr(state, f"initMargin{when}")) for when in ("Before", "Change", "After")
    )
    day.equal(5, (before, round(before + change, 2)), (books["initial_margin_usd"], after))
    day.same(5, state, commissionCurrency="USD", status="PreSubmitted")
    assert change > 0
    assert 0 < state.minCommission <= state.maxCommission < 10


async def day_of_books(day: Day) -> None:
    """What was filled and what has ended today, asked for."""
    client, calls = day.client, day.client.calls
    live = {execution.execId: execution for _, _, execution in client.all("execDetails")}
    since = client.now
    calls.reqExecutions(asked := day.request(), day.make("ExecutionFilter"))
    day.equal(55, await client.told("execDetailsEnd"), (asked,))
    again = {e.execId: e for name, (*_, e) in client.listener.told[since:] if name == "execDetails"}
    day.equal(11, sorted(again), sorted(live))
    for exec_id, execution in again.items():
        day.equal(11, vars(execution), vars(live[exec_id]), "as live")
    await _commissions(
        day, [e for e in (await day.tell("executions"))["executions"] if not e["is_combo"]], since
    )
    calls.reqCompletedOrders(False)
    await client.told("completedOrdersEnd")
    ended = {
        order.orderRef: (contract, order, state) for contract, order, state in client.all("completedOrder")
    }
    contract, order, state = ended["single"]
    day.same(101, contract, conId=day.con_ids["C110"], secType="OPT", strike=110.0, right="C")
    day.same(101, order, action="BUY", totalQuantity=0, orderType="MKT", filledQuantity=2, account=ACCOUNT)
    day.same(101, state, status="Filled", completedStatus="Filled Size: 2")
    _, order, state = ended["resting"]
    day.same(101, order, action="BUY", totalQuantity=2, lmtPrice=0.32, filledQuantity=0)
    day.same(101, state, status="Cancelled")
    contract, order, _ = ended["combo of 4"]
    day.same(101, contract, secType="BAG", tradingClass="COMB")
    day.equal(101, len(contract.comboLegs), 4)
    day.equal(101, [(p.tag, p.value) for p in order.smartComboRoutingParams], [("NonGuaranteed", "1")])

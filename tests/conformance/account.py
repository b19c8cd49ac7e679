"""The account: values, holdings, summary, profit. Begins with a position, so that there is something."""

from typing import Any

from tests.conformance.day import Day
from tests.conformance.stage import ACCOUNT


async def first_position(day: Day) -> None:
    """Two puts sold at the bid of 1.15, less a commission that the gateway's book knows."""
    order = day.order("SELL", 2, "MKT", account=ACCOUNT)
    day.client.calls.placeOrder(order_id := day.order_id(), day.contract("P95"), order)
    await day.client.told("orderStatus", lambda found, status, *_: (found, status) == (order_id, "Filled"))


async def _holding(day: Day) -> dict[str, Any]:
    (held,) = (await day.tell("holdings"))["holdings"]
    return dict(held)


async def positions(day: Day) -> None:
    client, calls = day.client, day.client.calls
    held = await _holding(day)
    calls.reqPositions()
    await client.told("positionEnd")
    account, contract, size, cost = client.all("position")[-1]
    day.equal(61, (account, size, cost), (ACCOUNT, -2.0, held["average_cost"]))
    _is_put(day, 61, contract)
    calls.cancelPositions()
    calls.reqPositionsMulti(asked := day.request(), ACCOUNT, "")
    day.equal(72, await client.told("positionMultiEnd"), (asked,))
    req_id, account, model, contract, size, cost = client.all("positionMulti")[-1]
    day.equal(71, (req_id, account, model, size, cost), (asked, ACCOUNT, "", -2.0, held["average_cost"]))
    _is_put(day, 71, contract)
    calls.cancelPositionsMulti(asked)


def _is_put(day: Day, kind: int, contract: Any) -> None:
    day.same(kind, contract, conId=day.con_ids["P95"], symbol="XYZ", secType="OPT", strike=95.0, right="P")
    day.same(kind, contract, lastTradeDateOrContractMonth="20260417", multiplier="100", currency="USD")
    day.same(kind, contract, localSymbol="XYZ   260417P00095000", tradingClass="XYZ")


async def updates(day: Day) -> None:
    client, calls = day.client, day.client.calls
    books = await day.tell("account")
    held = await _holding(day)
    calls.reqAccountUpdates(True, ACCOUNT)
    day.equal(54, await client.told("accountDownloadEnd"), (ACCOUNT,))
    values = {key: (value, currency, account) for key, value, currency, account in _values(day)}
    for key, name in (
        ("NetLiquidation", "net_liquidation_usd"),
        ("TotalCashValue", "cash_usd"),
        ("InitMarginReq", "initial_margin_usd"),
    ):
        day.equal(6, values[key], (f"{books[name]:.2f}", "USD", ACCOUNT), key)
    contract, size, price, worth, cost, unrealized, realized, account = client.all("updatePortfolio")[-1]
    day.equal(7, (size, price, worth, account), (-2.0, 1.2, -240.0, ACCOUNT))
    day.equal(7, (cost, realized), (held["average_cost"], 0.0))
    day.equal(7, round(unrealized, 4), round(-240.0 + 2 * held["average_cost"], 4))
    _is_put(day, 7, contract)
    day.equal(8, client.all("updateAccountTime")[-1], ("10:00",))
    calls.reqAccountUpdates(False, ACCOUNT)


def _values(day: Day) -> list[tuple[Any, ...]]:
    return day.client.all("updateAccountValue")


async def updates_multi(day: Day) -> None:
    client, calls = day.client, day.client.calls
    books = await day.tell("account")
    calls.reqAccountUpdatesMulti(asked := day.request(), ACCOUNT, "", False)
    day.equal(74, await client.told("accountUpdateMultiEnd"), (asked,))
    worth = await client.told("accountUpdateMulti", lambda *found: found[3] == "NetLiquidation")
    wanted = (asked, ACCOUNT, "", "NetLiquidation", f"{books['net_liquidation_usd']:.2f}", "USD")
    day.equal(73, worth, wanted)
    calls.cancelAccountUpdatesMulti(asked)


async def summary(day: Day) -> None:
    client, calls = day.client, day.client.calls
    books = await day.tell("account")
    calls.reqAccountSummary(asked := day.request(), "All", "NetLiquidation,TotalCashValue")
    day.equal(64, await client.told("accountSummaryEnd"), (asked,))
    found = [told[1:] for told in client.all("accountSummary") if told[0] == asked]
    wanted = [
        (ACCOUNT, "NetLiquidation", f"{books['net_liquidation_usd']:.2f}", "USD"),
        (ACCOUNT, "TotalCashValue", f"{books['cash_usd']:.2f}", "USD"),
    ]
    for one, other in zip(sorted(found), wanted, strict=True):
        day.equal(63, one, other)
    calls.cancelAccountSummary(asked)


async def profit(day: Day) -> None:
    """Of the account and of the puts alone."""
    client, calls = day.client, day.client.calls
    held = await _holding(day)
    unrealized = round(-240.0 + 2 * held["average_cost"], 4)
    calls.reqPnL(asked := day.request(), ACCOUNT, "")
    _, daily, found, realized = await client.told("pnl", lambda req_id, *_: req_id == asked)
    day.equal(94, (daily, found, realized), (unrealized, unrealized, 0.0))
    calls.cancelPnL(asked)
    calls.reqPnLSingle(asked := day.request(), ACCOUNT, "", day.con_ids["P95"])
    _, *single = await client.told("pnlSingle", lambda req_id, *_: req_id == asked)
    day.equal(95, tuple(single), (-2, unrealized, unrealized, 0.0, -240.0))
    calls.cancelPnLSingle(asked)


async def exercise(day: Day) -> None:
    """A bought option that is exercised becomes shares at the close; one that is not held is refused."""
    client, calls = day.client, day.client.calls
    calls.exerciseOptions(refused := day.request(), day.contract("C105"), 1, 1, ACCOUNT, 1)
    day.equal(4, (await client.told("error", lambda req_id, *_: req_id == refused))[1], 322)
    since = client.now
    calls.reqPositions()
    await client.told("positionEnd", since=since)
    calls.exerciseOptions(day.request(), day.contract("C110"), 1, 1, ACCOUNT, 1)
    await day.tell("step", seconds=8 * 3600)
    held = await client.told("position", lambda _, contract, *__: contract.secType == "STK")
    day.equal(61, held[2], 100, "shares")
    day.same(61, held[1], symbol="XYZ", localSymbol="XYZ", tradingClass="XYZ", strike=0.0)

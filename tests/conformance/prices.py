"""Market data: lines, snapshots, calculations."""

from typing import Any

from tests.conformance.day import Day
from tests.conformance.stage import CHAIN, STOCK

BID, ASK, LAST, CLOSE, DELAYED_BID = 1, 2, 4, 9, 66
VOLUME, LAST_TIME, HALTED, MODEL, CUSTOM = 8, 45, 49, 13, 53
OPENED_S = 1772463600


def _price_name(day: Day) -> str:
    return "tickPrice" if day.client.name == "ibapi" else "priceSizeTick"


async def share(day: Day) -> None:
    """A line on the share: parameters, type, prices, sizes, last time, halted; then what changes."""
    client, calls = day.client, day.client.calls
    calls.reqMktData(asked := day.request(), day.contract(), "", False, False, [])
    await client.told("tickGeneric", lambda req_id, *_: req_id == asked)
    _, tick, exchange, permissions = await client.told("tickReqParams", lambda req_id, *_: req_id == asked)
    day.equal(81, (tick, exchange, permissions), (0.01, "9c0001", 3))
    day.equal(58, await client.told("marketDataType"), (asked, 1))
    name = _price_name(day)
    prices = {found[1]: found[2] for found in client.all(name) if found[0] == asked}
    day.equal(1, prices, {BID: 99.95, ASK: 100.05, LAST: 100.0, CLOSE: 98.5})
    volume = await client.told("tickSize", lambda req_id, kind, _: (req_id, kind) == (asked, VOLUME))
    day.equal(2, volume[2], 1200)
    day.equal(45, await client.told("tickGeneric"), (asked, HALTED, 0.0))
    stamp = await client.told("tickString", lambda req_id, kind, _: (req_id, kind) == (asked, LAST_TIME))
    day.equal(46, stamp[2], str(OPENED_S))

    since = client.now
    await day.tell("quote", symbol="XYZ", bid=101.0, ask=101.1, bid_size=7, ask_size=9, last=101.05)
    await client.told(
        name, lambda req_id, kind, price, *_: (req_id, kind, price) == (asked, BID, 101.0), since
    )
    sizes = await client.told("tickSize", lambda req_id, kind, _: (req_id, kind) == (asked, 3), since)
    day.equal(2, sizes[2], 9)
    since = client.now
    await day.tell("quote", symbol="XYZ", ask=101.1)
    gone = await client.told(name, lambda req_id, kind, *_: (req_id, kind) == (asked, BID), since)
    day.equal(1, gone[2], -1.0)
    await day.control.quote_all()
    calls.cancelMktData(asked)


async def option(day: Day) -> None:
    """A line on an option brings the model's computation; an unknown line cannot be cancelled."""
    client, calls = day.client, day.client.calls
    calls.reqMktData(asked := day.request(), day.contract("C105"), "", False, False, [])
    found = await client.told("tickOptionComputation", lambda *told: told[:2] == (asked, MODEL))
    _, _, iv, delta, gamma, vega, theta, price = CHAIN["C105"]
    day.equal(21, _computed(found), (MODEL, 0, iv, delta, price, None, gamma, vega, theta, 100.0))
    calls.cancelMktData(asked)
    calls.cancelMktData(unknown := day.request())
    error = await client.told("error", lambda req_id, *_: req_id == unknown)
    day.equal(4, error[1], 300)


def _computed(found: tuple[Any, ...]) -> tuple[Any, ...]:
    """Type, attribute and values; where ibapi says None for "not computed" the others keep -1 or -2."""
    return (*found[1:3], *(None if value in (-1.0, -2.0) else value for value in found[3:]))


async def snapshot(day: Day) -> None:
    client, calls = day.client, day.client.calls
    calls.reqMktData(asked := day.request(), day.contract("P90"), "", True, False, [])
    day.equal(57, await client.told("tickSnapshotEnd"), (asked,))
    prices = {found[1]: found[2] for found in client.all(_price_name(day)) if found[0] == asked}
    day.equal(1, (prices[BID], prices[ASK]), CHAIN["P90"][:2])


async def delayed(day: Day) -> None:
    """Without a subscription delayed data come in their own types of tick, after a warning."""
    client, calls = day.client, day.client.calls
    await day.tell("entitlement", symbol="XYZ", live=False)
    calls.reqMktData(refused := day.request(), day.contract(), "", False, False, [])
    day.equal(4, (await client.told("error", lambda req_id, *_: req_id == refused))[1], 354)
    calls.reqMarketDataType(3)
    calls.reqMktData(asked := day.request(), day.contract(), "", False, False, [])
    day.equal(4, (await client.told("error", lambda req_id, *_: req_id == asked))[1], 10167)
    day.equal(58, await client.told("marketDataType", lambda req_id, _: req_id == asked), (asked, 3))
    bid = await client.told(_price_name(day), lambda req_id, kind, *_: (req_id, kind) == (asked, DELAYED_BID))
    day.equal(1, bid[2], STOCK["bid"], "price")
    calls.cancelMktData(asked)
    await day.tell("entitlement", symbol="XYZ", live=True)
    calls.reqMarketDataType(1)


async def generic(day: Day) -> None:
    """Ticks that come only when their numbers are asked for."""
    client, calls = day.client, day.client.calls
    calls.reqMktData(asked := day.request(), day.contract(), "100,101,104,106,165,233", False, False, [])
    await client.told("tickGeneric", lambda req_id, *_: req_id == asked)
    calls.cancelMktData(asked)


async def tick_by_tick(day: Day) -> None:
    """Quotes, middles and trades, each as it happens."""
    client, calls = day.client, day.client.calls
    quotes, middles, trades = day.request(), day.request(), day.request()
    calls.reqTickByTickData(quotes, day.contract(), "BidAsk", 0, False)
    calls.reqTickByTickData(middles, day.contract(), "MidPoint", 0, False)
    calls.reqTickByTickData(trades, day.contract(), "AllLast", 0, False)
    _, time, *quote = (await client.told("tickByTickBidAsk", lambda req_id, *_: req_id == quotes))[:6]
    day.equal(99, (time, *quote), (OPENED_S, STOCK["bid"], STOCK["ask"], 10, 10))
    day.equal(99, await client.told("tickByTickMidPoint"), (middles, OPENED_S, 100.0), "midpoint")
    await day.tell("quote", symbol="XYZ", bid=99.95, ask=100.05, last=100.02, volume=1250)
    trade = await client.told("tickByTickAllLast", lambda req_id, *_: req_id == trades)
    day.equal(99, (trade[1], *trade[3:5]), (2, 100.02, 50.0), "trade")
    assert trade[6], "an exchange"
    for asked in (quotes, middles, trades):
        calls.cancelTickByTickData(asked)
    await day.control.quote_all()


async def calculations(day: Day) -> None:
    """The price at a volatility, and back."""
    client, calls = day.client, day.client.calls
    calls.calculateOptionPrice(asked := day.request(), day.contract("C105"), 0.25, 100.0, [])
    priced = await client.told("tickOptionComputation", lambda req_id, *_: req_id == asked)
    day.equal(21, (priced[1], priced[3], priced[10]), (CUSTOM, 0.25, 100.0))
    calls.calculateImpliedVolatility(asked := day.request(), day.contract("C105"), priced[5], 100.0, [])
    implied = await client.told("tickOptionComputation", lambda req_id, *_: req_id == asked)
    day.equal(21, round(implied[3], 6), 0.25)
    calls.cancelCalculateOptionPrice(asked)
    calls.cancelCalculateImpliedVolatility(asked)

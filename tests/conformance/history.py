"""The past: bars, bars that go on, where they begin, and ticks."""

from datetime import datetime, timedelta
from typing import Any

from options import NEW_YORK
from tests.conformance.day import Day

OPENING = datetime(2026, 3, 2, 9, 30, tzinfo=NEW_YORK)
START = OPENING + timedelta(hours=1)


def _time(day: Day, minutes: int) -> str:
    """So long after the start, as the client's version writes the time of a bar."""
    moment = START + timedelta(minutes=minutes)
    return (
        f"{moment:%Y%m%d %H:%M:%S} US/Eastern" if day.client.version >= 174 else f"{moment:%Y%m%d  %H:%M:%S}"
    )


async def bars(day: Day) -> None:
    """Two minutes of the share's price, then one that goes on until it is cancelled."""
    client, calls = day.client, day.client.calls
    now = datetime.fromisoformat((await day.tell("status"))["time"])
    await day.tell("step", seconds=(START - now).total_seconds() + 60)
    await day.tell("quote", symbol="XYZ", bid=100.95, ask=101.05)
    await day.tell("step", seconds=60)
    asked = day.request()
    calls.reqHistoricalData(asked, day.contract(), "", "1 D", "1 min", "TRADES", 1, 1, True, [])
    await client.told("historicalDataEnd", lambda req_id, *_: req_id == asked)
    found = {bar.date: bar for req_id, bar in client.all("historicalData") if req_id == asked}
    for minutes, price in ((0, 100.0), (1, 101.0)):
        bar = found[_time(day, minutes)]
        day.same(17, bar, open=price, high=price, low=price, close=price, average=price)
        assert bar.volume >= 0 and bar.barCount >= 0
    since = client.now
    await day.tell("step", seconds=1)
    await day.tell("quote", symbol="XYZ", bid=101.95, ask=102.05)
    await day.tell("step", seconds=6)
    _, bar = await client.told("historicalDataUpdate", lambda req_id, _: req_id == asked, since)
    day.same(90, bar, date=_time(day, 2), open=101.0, high=102.0, low=101.0, close=102.0)
    calls.cancelHistoricalData(asked)
    day.equal(4, (await client.told("error", lambda req_id, *_: req_id == asked))[1], 162)
    await day.control.quote_all()


async def beginning(day: Day) -> None:
    client, calls = day.client, day.client.calls
    calls.reqHeadTimeStamp(asked := day.request(), day.contract(), "TRADES", 1, 2)
    day.equal(88, await client.told("headTimestamp"), (asked, f"{OPENING.timestamp():.0f}"))
    calls.cancelHeadTimeStamp(asked)


async def ticks(day: Day) -> None:
    """Middles, quotes and trades."""
    client = day.client
    _, (middle, *_), done = await _ticks(day, "MIDPOINT", "historicalTicks")
    day.equal(96, done, True, "done")
    day.same(96, middle, price=100.0, size=0)
    _, (quote, *_), done = await _ticks(day, "BID_ASK", "historicalTicksBidAsk")
    day.equal(97, done, True, "done")
    assert quote.priceBid < 100.0 < quote.priceAsk
    assert quote.sizeBid >= 0 and quote.sizeAsk >= 0
    _, (trade, *_), done = await _ticks(day, "TRADES", "historicalTicksLast")
    day.equal(98, done, True, "done")
    day.same(98, trade, price=100.0, specialConditions="")
    assert trade.exchange and trade.size > 0
    stamps = [
        tick.time if client.name == "ibapi" else tick.time.timestamp() for tick in (middle, quote, trade)
    ]
    for kind, stamp in zip((96, 97, 98), stamps, strict=True):
        day.equal(kind, stamp, START.timestamp(), "time")


async def _ticks(day: Day, show: str, told: str) -> tuple[Any, ...]:
    asked = day.request()
    start = f"{START:%Y%m%d %H:%M:%S}" + " US/Eastern" * (day.client.version >= 174)
    day.client.calls.reqHistoricalTicks(asked, day.contract(), start, "", 3, show, 1, False, [])
    return await day.client.told(told, lambda req_id, *_: req_id == asked)


async def schedule(day: Day) -> None:
    """When the share could be traded; the oldest client does not know such an answer."""
    client, calls = day.client, day.client.calls
    asked = day.request()
    calls.reqHistoricalData(asked, day.contract(), "", "2 D", "1 day", "SCHEDULE", 1, 1, False, [])
    if client.version < 165:
        error = await client.told("error", lambda req_id, *_: req_id == asked)
        day.equal(4, error[1], 321)
        return
    _, _, _, zone, sessions = await client.told("historicalSchedule", lambda req_id, *_: req_id == asked)
    day.equal(106, zone, "US/Eastern", "zone")
    day.same(106, sessions[-1], startDateTime="20260302-09:30:00", refDate="20260302")
    day.same(106, sessions[-1], endDateTime="20260302-16:00:00")

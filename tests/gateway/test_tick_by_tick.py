"""Tick-by-tick data: each kind, the past before the present, the limit, and refusals."""

import pytest
from ib_async import Contract, Index, Stock

from broker.gateway.markets.listings import synthetic_con_id

XYZ = Stock("XYZ", "SMART", "USD", conId=synthetic_con_id("XYZ"))


@pytest.fixture
async def share(script):
    """XYZ quoted 99.9 to 100.1, last 100 and 500 traded."""
    await script.tell("contract", symbol="XYZ")
    await script.tell("quote", symbol="XYZ", bid=99.9, ask=100.1, last=100.0, volume=500)
    await script.step(1)
    return script


async def gather(ib, kind, **options):
    """All ticks of a new stream, from the first on, as tuples without their time."""
    found = []
    ticker = ib.reqTickByTickData(XYZ, kind, **options)

    def keep(_):
        for tick in ticker.tickByTicks:
            found.append(tuple(v for n, v in tick._asdict().items() if n != "time"))

    ib.pendingTickersEvent += keep
    await ib.reqCurrentTimeAsync()
    return found


async def test_best_prices_are_told_at_once_and_at_every_change(share, connect, until):
    async with connect(share) as ib:
        ticks = await gather(ib, "BidAsk")
        await until(lambda: [t[:4] for t in ticks] == [(99.9, 100.1, 10.0, 10.0)])
        await share.tell("quote", symbol="XYZ", bid=99.9, ask=100.1, bid_size=7, ask_size=10)
        await share.tell("quote", symbol="XYZ", bid=99.9, ask=100.1, bid_size=7, ask_size=10)
        await share.tell("quote", symbol="XYZ", ask=100.1, ask_size=10, bid_size=0)
        await until(lambda: len(ticks) == 3)
        assert [t[:4] for t in ticks[1:]] == [(99.9, 100.1, 7.0, 10.0), (-1.0, 100.1, 0.0, 10.0)]


async def test_sizes_alone_are_no_news_when_they_are_to_be_ignored(share, connect, until):
    async with connect(share) as ib:
        ticks = await gather(ib, "BidAsk", ignoreSize=True)
        await share.tell("quote", symbol="XYZ", bid=99.9, ask=100.1, bid_size=7, ask_size=10)
        await share.tell("quote", symbol="XYZ", bid=99.8, ask=100.1, bid_size=8, ask_size=10)
        await until(lambda: len(ticks) == 2)
        assert ticks[1][:4] == (99.8, 100.1, 8.0, 10.0)


async def test_the_middle_is_told_when_it_moves(share, connect, until):
    async with connect(share) as ib:
        ticks = await gather(ib, "MidPoint")
        await share.tell("quote", symbol="XYZ", bid=99.8, ask=100.2)
        await share.tell("quote", symbol="XYZ", ask=100.2)
        await share.tell("quote", symbol="XYZ", bid=100.0, ask=100.2)
        await until(lambda: ticks == [(100.0,), (100.1,)])


@pytest.mark.parametrize(("kind", "number"), [("Last", 1), ("AllLast", 2)])
async def test_trades_are_told_from_the_next_one_on(share, connect, until, kind, number):
    async with connect(share) as ib:
        ticks = await gather(ib, kind)
        await share.tell("quote", symbol="XYZ", bid=99.9, ask=100.1, last=100.0, volume=500)
        await share.tell("quote", symbol="XYZ", bid=99.9, ask=100.1, last=100.0, volume=520)
        await share.tell("quote", symbol="XYZ", bid=99.9, ask=100.1, last=100.1, volume=521)
        await until(lambda: len(ticks) == 2)
        assert [t[:3] for t in ticks] == [(number, 100.0, 20.0), (number, 100.1, 1.0)]


async def test_some_ticks_of_the_past_come_first(share, connect, until):
    async with connect(share) as ib:
        past = []
        ib.wrapper.historicalTicks = lambda req_id, ticks, done: past.append((ticks, done))
        ib.reqTickByTickData(XYZ, "MidPoint", numberOfTicks=5)
        await until(lambda: past)
        assert [(tick.price, done) for ticks, done in past for tick in ticks] == [(100.0, True)]


async def test_five_streams_are_the_limit_and_a_cancelled_one_is_silent(share, connect, heard, until):
    async with connect(share) as ib:
        errors = heard(ib)
        for n in range(6):
            ib.client.reqTickByTickData(100 + n, XYZ, "Last", 0, False)
        ib.client.reqTickByTickData(100, XYZ, "Last", 0, False)
        await until(lambda: errors == [(105, 10190), (100, 102)])
        ib.client.cancelTickByTickData(100)
        ib.client.cancelTickByTickData(100)
        await until(lambda: errors[2:] == [(100, 300)])
        ib.client.reqTickByTickData(106, XYZ, "Last", 0, False)
        await ib.reqCurrentTimeAsync()
        assert len(errors) == 3


@pytest.mark.parametrize(
    ("contract", "kind", "code"),
    [
        (XYZ, "Everything", 10189),
        (Index("VIX", "CBOE"), "BidAsk", 10189),
        (Contract(secType="BAG", symbol="XYZ", exchange="SMART"), "Last", 10189),
        (Stock("NONE", "SMART", "USD"), "Last", 200),
        (Stock("DENIED", "SMART", "USD"), "Last", 10189),
    ],
)
async def test_what_has_no_ticks_is_refused(share, connect, heard, until, contract, kind, code):
    await share.tell("contract", symbol="VIX")
    await share.tell("contract", symbol="DENIED")
    await share.tell("entitlement", symbol="DENIED", live=False)
    async with connect(share) as ib:
        errors = heard(ib)
        ib.client.reqTickByTickData(9, contract, kind, 0, False)
        await until(lambda: errors == [(9, code)])

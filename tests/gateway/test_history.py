"""History over the wire: bars of every size and kind, kept up to date, refused, and ticks."""

import asyncio
from datetime import UTC, datetime

import pytest
from ib_async import Contract, Index, Stock

XYZ = Stock("XYZ", "SMART", "USD")


@pytest.fixture
async def priced(script):
    """XYZ at 100, 101, 102 and 103, a minute between them, from 10:00 on; it is 10:04:01 then."""
    await script.tell("contract", symbol="XYZ")
    for price in (100.0, 101.0, 102.0, 103.0):
        await script.tell("quote", symbol="XYZ", bid=price - 0.05, ask=price + 0.05)
        await script.step(60)
    await script.step(1)
    return script


def ask(ib, contract=XYZ, **changes):
    wanted = {
        **{"endDateTime": "", "durationStr": "1 D", "barSizeSetting": "1 min", "whatToShow": "TRADES"},
        **{"useRTH": True, "formatDate": 1, "timeout": 20},
        **changes,
    }
    return ib.reqHistoricalDataAsync(contract, **wanted)


async def test_a_price_stands_until_the_next_one(priced, connect):
    async with connect(priced) as ib:
        bars = await ask(ib)
        assert [(f"{b.date:%H:%M}", b.open, b.close) for b in bars] == [
            ("10:00", 100.0, 100.0),
            ("10:01", 101.0, 101.0),
            ("10:02", 102.0, 102.0),
            ("10:03", 103.0, 103.0),
            ("10:04", 103.0, 103.0),
        ]
        assert bars[0].date.utcoffset().total_seconds() == -5 * 3600


async def test_larger_bars_are_made_of_smaller_ones(priced, connect):
    async with connect(priced) as ib:
        (day,) = await ask(ib, barSizeSetting="1 day", durationStr="1 W")
        assert (str(day.date), day.open, day.high, day.low, day.close) == (
            "2026-03-02",
            100.0,
            103.0,
            100.0,
            103.0,
        )
        (hour,) = await ask(ib, barSizeSetting="1 hour")
        assert (f"{hour.date:%H:%M}", hour.high) == ("10:00", 103.0)
        two, three = await ask(ib, barSizeSetting="2 mins", durationStr="180 S")
        assert [(b.open, b.close) for b in (two, three)] == [(102.0, 103.0), (103.0, 103.0)]


@pytest.mark.parametrize(
    ("show", "first"),
    [
        ("MIDPOINT", (100.0, 100.0, 100.0, 100.0)),
        ("BID", (99.9515, 99.9515, 99.9515, 99.9515)),
        ("ASK", (100.0485, 100.0485, 100.0485, 100.0485)),
        ("BID_ASK", (99.9515, 100.0485, 99.9515, 100.0485)),
    ],
)
async def test_quoted_prices_have_no_volume_and_lie_around_the_middle(priced, connect, show, first):
    async with connect(priced) as ib:
        bar = (await ask(ib, whatToShow=show))[0]
        assert (bar.open, bar.high, bar.low, bar.close) == first
        assert (bar.volume, bar.average, bar.barCount) == (-1, -1, -1)


async def test_times_come_as_epoch_when_asked_for(priced, connect):
    async with connect(priced) as ib:
        bars = await ask(ib, formatDate=2)
        assert bars[0].date.astimezone(UTC) == datetime(2026, 3, 2, 15, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "end", ["20260302 10:02:00 US/Eastern", "20260302 10:02:00", "20260302-15:02:00", "10:02:00"]
)
async def test_the_end_can_be_written_in_every_form(priced, connect, end):
    async with connect(priced) as ib:
        assert [bar.close for bar in await ask(ib, endDateTime=end)] == [100.0, 101.0]


async def test_bars_that_are_kept_up_to_date_grow_every_five_seconds(priced, connect, until, heard):
    async with connect(priced) as ib:
        errors = heard(ib)
        bars = await ask(ib, keepUpToDate=True)
        grown = []
        bars.updateEvent += lambda _, has_new: grown.append((bars[-1].close, has_new))
        await priced.tell("quote", symbol="XYZ", bid=104.9, ask=105.1)
        await priced.step(4)
        assert grown == []
        await priced.step(1)
        await until(lambda: grown == [(105.0, False)])
        assert (bars[-1].high, bars[-1].low, len(bars)) == (105.0, 103.0, 5)
        await priced.step(60)
        await priced.tell("quote", symbol="XYZ", bid=105.9, ask=106.1)
        await priced.step(5)
        await until(lambda: grown[-1] == (106.0, True))
        ib.cancelHistoricalData(bars)
        await until(lambda: errors == [(bars.reqId, 162)])
        await priced.tell("quote", symbol="XYZ", bid=107.9, ask=108.1)
        await priced.step(10)
        await ib.reqCurrentTimeAsync()
        assert grown[-1] == (106.0, True)


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"barSizeSetting": "7 mins"}, 321, "bar size setting is invalid"),
        ({"durationStr": "1D"}, 321, "duration format is integer"),
        ({"durationStr": "400 D"}, 321, "must be made in years"),
        ({"durationStr": "90000 S"}, 321, "greater than 86400 seconds"),
        ({"durationStr": "20 S"}, 321, "duration is invalid"),
        ({"whatToShow": "NOTHING"}, 321, "What to show value of NOTHING rejected"),
        ({"formatDate": 9}, 321, "Date formatting selection of 9"),
        ({"endDateTime": "yesterday"}, 10314, "yyyymmdd hh:mm:ss"),
        ({"endDateTime": "20260302 10:00:00 Nowhere/Town"}, 10314, "time-zone"),
        ({"endDateTime": "20260302 10:00:00 America"}, 10314, "time-zone"),
        ({"endDateTime": "99991231 23:59:59 US/Eastern"}, 10314, "time-zone"),
        ({"durationStr": "5000 Y"}, 321, "duration is invalid"),
        ({"keepUpToDate": True, "endDateTime": "20260302-15:02:00"}, 321, "End date not supported"),
        ({"keepUpToDate": True, "barSizeSetting": "1 secs", "durationStr": "60 S"}, 321, "live updates"),
        ({"keepUpToDate": True, "whatToShow": "BID_ASK"}, 321, "Source price not supported"),
        ({"durationStr": "1 Y"}, 0, ""),
        ({"durationStr": "20 Y"}, 162, "Time length exceed max"),
        ({"endDateTime": "20260227 10:00:00 US/Eastern"}, 162, "no data: XYZ@SMART Trades"),
        ({"whatToShow": "OPTION_IMPLIED_VOLATILITY"}, 162, "no data"),
        ({"contract": Contract(secType="BAG", symbol="XYZ")}, 162, "ask for that of their legs"),
        ({"contract": Contract(secType="STK", symbol="XYZ")}, 321, "Please enter exchange"),
        ({"contract": Stock("NONE", "SMART", "USD")}, 200, "No security definition"),
    ],
)
async def test_senseless_requests_are_refused_in_a_gateways_words(
    priced, connect, until, changes, code, says
):
    async with connect(priced) as ib:
        said = []
        ib.errorEvent += lambda _, number, text, *__: said.append((number, text))
        asking = asyncio.ensure_future(ask(ib, **changes))
        if code:
            await until(lambda: said)
            assert said[0][0] == code
            assert says in said[0][1]
        else:
            assert await asking
        asking.cancel()


async def test_small_bars_asked_for_too_often_are_a_pacing_violation(priced, connect, heard):
    async with connect(priced) as ib:
        errors = heard(ib)
        small = {"barSizeSetting": "30 secs", "durationStr": "1800 S"}
        assert await ask(ib, **small)
        assert not await ask(ib, **small)
        assert [code for _, code in errors] == [162]
        await priced.step(15)
        assert await ask(ib, **small)
        assert await ask(ib, barSizeSetting="1 min")
        assert await ask(ib, barSizeSetting="1 min")
        assert len(errors) == 1


async def test_a_cancel_of_nothing_is_told(priced, connect, heard, until):
    async with connect(priced) as ib:
        errors = heard(ib)
        ib.client.cancelHistoricalData(77)
        await until(lambda: errors == [(77, 366)])


async def test_without_permission_there_are_neither_bars_nor_ticks(priced, connect, heard):
    await priced.tell("entitlement", symbol="XYZ", live=False)
    async with connect(priced) as ib:
        errors = heard(ib)
        assert not await ask(ib)
        assert await ib.reqHistoricalTicksAsync(XYZ, "", "20260302-16:00:00", 10, "TRADES", True) == []
        assert [code for _, code in errors] == [162, 10187]


async def test_history_begins_with_the_first_price(priced, connect, heard):
    async with connect(priced) as ib:
        errors = heard(ib)
        begin = await ib.reqHeadTimeStampAsync(XYZ, "TRADES", True, 1)
        assert begin == datetime(2026, 3, 2, 14, 30)  # the opening of the first day, in UTC
        assert await ib.reqHeadTimeStampAsync(XYZ, "TRADES", True, 2) == begin.replace(tzinfo=UTC)
        await priced.tell("contract", symbol="NEW")
        assert await ib.reqHeadTimeStampAsync(Stock("NEW", "SMART", "USD"), "TRADES", True, 1) == []
        assert [code for _, code in errors] == [162]


async def test_ticks_are_the_seconds_in_which_the_price_moved(priced, connect, heard, until):
    async with connect(priced) as ib:
        errors = heard(ib)
        first = await ib.reqHistoricalTicksAsync(XYZ, "19900101-00:00:00", "", 2, "MIDPOINT", True)
        assert [(t.time.isoformat()[11:19], t.price) for t in first] == [
            ("15:00:00", 100.0),
            ("15:01:00", 101.0),
        ]
        last = await ib.reqHistoricalTicksAsync(XYZ, "", "20260302-15:03:30", 2, "TRADES", True)
        assert [(t.price, t.size > 0, bool(t.exchange)) for t in last] == [
            (102.0, True, True),
            (103.0, True, True),
        ]
        sides = await ib.reqHistoricalTicksAsync(XYZ, "", "20260302-15:03:30", 1, "BID_ASK", True)
        assert [(round(t.priceBid, 2), round(t.priceAsk, 2), t.sizeBid) for t in sides] == [
            (102.95, 103.05, 10)
        ]
        for begin, end, count in (("", "", 10), ("20260302-15:00:00", "", 1001)):
            asking = asyncio.ensure_future(ib.reqHistoricalTicksAsync(XYZ, begin, end, count, "TRADES", True))
            before = len(errors)
            await until(lambda before=before: len(errors) > before)
            asking.cancel()
        assert [code for _, code in errors] == [321, 321]


async def test_sessions_are_told_with_holidays_left_out(priced, connect):
    async with connect(priced) as ib:
        asked = await ib.reqHistoricalScheduleAsync(XYZ, 5, "20260302-21:00:00")
        assert asked.timeZone == "US/Eastern"
        assert [s.refDate for s in asked.sessions] == [
            *("20260224", "20260225", "20260226", "20260227", "20260302"),
        ]
        assert asked.sessions[-1].startDateTime == "20260302-09:30:00"


async def test_an_index_has_trades_only_and_volatilities_belong_to_shares(open_bench, connect, heard):
    async with open_bench("--market", "script") as bench, connect(bench) as ib:
        errors = heard(ib)
        vix = Index("VIX", "CBOE")
        await bench.tell("contract", symbol="VIX")
        await bench.tell("contract", symbol="XYZ", expiry="2026-04-17", strike=100.0, right="C")
        await bench.tell("quote", symbol="VIX", last=20.0)
        await bench.tell("quote", symbol="XYZ", bid=99.9, ask=100.1)
        terms = {"symbol": "XYZ", "expiry": "2026-04-17", "strike": 100.0, "right": "C"}
        await bench.tell("quote", **terms, bid=4.0, ask=4.2, iv=0.30, delta=0.5, vega=0.1)
        await bench.step(61)
        assert [bar.close for bar in await ask(ib, vix)] == [20.0, 20.0]
        assert not await ask(ib, vix, whatToShow="BID")
        assert [code for _, code in errors] == [162]
        implied = await ask(ib, whatToShow="OPTION_IMPLIED_VOLATILITY")
        assert [bar.close for bar in implied] == [0.30, 0.30]
        for day in range(4):
            await bench.step(86_400)
            await bench.tell("quote", symbol="XYZ", bid=100.9 + day % 2, ask=101.1 + day % 2)
        realised = await ask(
            ib, whatToShow="HISTORICAL_VOLATILITY", barSizeSetting="1 day", durationStr="1 W"
        )
        assert [str(bar.date) for bar in realised] == ["2026-03-04", "2026-03-05", "2026-03-06"]
        assert realised[0].close < 0.01
        assert 0.1 < realised[1].close < 0.3


async def test_lost_data_end_bars_and_ticks_and_a_broken_line_keeps_them_back(priced, connect, heard, until):
    async with connect(priced) as ib:
        errors = heard(ib)
        bars = await ask(ib, keepUpToDate=True)
        ib.client.reqTickByTickData(50, XYZ, "MidPoint", 0, False)
        await priced.tell("fault", name="connectivity", code=1100)
        await priced.tell("quote", symbol="XYZ", bid=104.9, ask=105.1)
        await priced.step(10)
        await ib.reqCurrentTimeAsync()
        assert bars[-1].close == 103.0
        await priced.tell("fault", name="connectivity", code=1101)
        await until(lambda: [code for _, code in errors] == [1100, 1101, 10182])
        ib.client.cancelTickByTickData(50)
        ib.client.cancelHistoricalData(bars.reqId)
        await until(lambda: errors[3:] == [(50, 300), (bars.reqId, 366)])

"""What an untouched ib_async suffers when quotes, Greeks and farms are not what they should be."""

import math

import pytest
from ib_async import LimitOrder, Stock

GREEKS = {"iv": 0.25, "delta": -0.3, "gamma": 0.02, "theta": -0.05, "vega": 0.1, "underlying_price": 100.0}


async def quote(script, contract, bid, ask=None, **rest):
    await script.tell("quote", con_id=contract.conId, bid=bid, ask=ask or round(bid + 0.10, 2), **rest)


async def watched(ib, contract, until):
    ticker = ib.reqMktData(contract)
    await until(lambda: ticker.bid == 0.45)
    return ticker


@pytest.mark.fault("no_quote")
async def test_a_vanished_quote_is_minus_one_on_both_sides(script, connect, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        ticker = await watched(ib, legs["P90"], until)
        await script.inflict("no_quote", con_id=legs["P90"].conId)
        await until(lambda: (ticker.bid, ticker.ask, ticker.bidSize) == (-1, -1, 0))
        await script.inflict("no_quote", con_id=legs["P90"].conId, on=False)
        await until(lambda: (ticker.bid, ticker.ask) == (0.45, 0.55))


@pytest.mark.fault("one_sided")
@pytest.mark.parametrize(("missing", "left"), [("bid", (-1, 0.55)), ("ask", (0.45, -1))])
async def test_one_missing_side_is_minus_one_and_nothing_fills(script, connect, until, missing, left):
    legs = await script.list_condor()
    async with connect(script) as ib:
        ticker = await watched(ib, legs["P90"], until)
        await script.inflict("one_sided", con_id=legs["P90"].conId, missing=missing)
        await until(lambda: (ticker.bid, ticker.ask) == left)
        assert math.isnan(ticker.midpoint())
        trade = ib.placeOrder(legs["P90"], LimitOrder("BUY", 1, 0.70, tif="DAY"))
        await until(lambda: trade.orderStatus.status == "Submitted")
        await script.step(60)
        assert trade.orderStatus.status == "Submitted"
        await script.heal()
        await until(lambda: trade.orderStatus.status == "Filled")


@pytest.mark.fault("crossed")
async def test_a_crossed_quote_is_taken_as_it_comes_and_nothing_fills(script, connect, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        ticker = await watched(ib, legs["P90"], until)
        await script.inflict("crossed", con_id=legs["P90"].conId)
        await until(lambda: (ticker.bid, ticker.ask) == (0.55, 0.45))
        assert ticker.midpoint() == 0.50, "which looks like a price"
        trade = ib.placeOrder(legs["P90"], LimitOrder("BUY", 1, 0.70, tif="DAY"))
        await until(lambda: trade.orderStatus.status == "Submitted")
        await script.step(60)
        assert trade.orderStatus.status == "Submitted"


@pytest.mark.fault("locked")
async def test_a_locked_quote_has_no_spread(script, connect, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        ticker = await watched(ib, legs["P90"], until)
        await script.inflict("locked", con_id=legs["P90"].conId)
        await until(lambda: ticker.ask == ticker.bid == 0.45)
        trade = ib.placeOrder(legs["P90"], LimitOrder("BUY", 1, 0.70, tif="DAY"))
        await until(lambda: trade.orderStatus.status == "Submitted")
        await script.step(60)
        assert trade.orderStatus.status == "Submitted"
        await script.heal()
        await until(lambda: trade.orderStatus.status == "Filled")
        assert trade.orderStatus.avgFillPrice == 0.55


@pytest.mark.fault("stale")
async def test_a_frozen_stream_says_nothing_while_orders_meet_other_prices(script, connect, heard, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        ticker = await watched(ib, legs["P90"], until)
        errors = heard(ib)
        await script.inflict("stale", con_id=legs["P90"].conId)
        await quote(script, legs["P90"], 0.20)
        trade = ib.placeOrder(legs["P90"], LimitOrder("BUY", 1, 0.40, tif="DAY"))
        await until(lambda: trade.orderStatus.status == "Filled")
        assert trade.orderStatus.avgFillPrice == 0.30
        assert (ticker.bid, ticker.marketDataType, errors) == (0.45, 1, [])
        await script.heal()
        await until(lambda: ticker.bid == 0.20)


@pytest.mark.fault("halt")
async def test_a_halt_is_a_tick_and_empty_quotes(script, connect, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        ticker = await watched(ib, legs["P90"], until)
        await script.inflict("halt", symbol="XYZ")
        await until(lambda: (ticker.halted, ticker.bid, ticker.ask) == (1, -1, -1))
        trade = ib.placeOrder(legs["P90"], LimitOrder("BUY", 1, 0.70, tif="DAY"))
        await until(lambda: trade.orderStatus.status == "Submitted")
        stock = Stock("XYZ", "SMART", "USD")
        await ib.qualifyContractsAsync(stock)
        await script.tell("quote", symbol="XYZ", bid=99.9, ask=100.1)
        late = ib.reqMktData(stock)
        await ib.reqCurrentTimeAsync()
        await script.step(0.1)
        await until(lambda: late.halted == 1)
        await script.heal()
        await until(lambda: (late.halted, late.bid) == (0, 99.9))
        await until(lambda: (ticker.halted, ticker.bid, trade.orderStatus.status) == (0, 0.45, "Filled"))


@pytest.mark.fault("greeks")
@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("not_computed", {"impliedVol": None, "delta": None, "gamma": None, "vega": -2, "theta": -2}),
        ("nan", {"delta": "nan", "vega": "nan"}),
        ("unset", {"delta": 1.7976931348623157e308, "impliedVol": 1.7976931348623157e308}),
    ],
)
async def test_greeks_that_are_not_computed_pass_as_numbers(script, connect, until, value, seen):
    legs = await script.list_condor()
    await quote(script, legs["P90"], 0.45, **GREEKS)
    async with connect(script) as ib:
        await script.inflict("greeks", value=value)
        ticker = ib.reqMktData(legs["P90"])
        await until(lambda: ticker.modelGreeks)
        found = {name: getattr(ticker.modelGreeks, name) for name in seen}
        assert {n: "nan" if v is not None and math.isnan(v) else v for n, v in found.items()} == seen
        await script.heal()
        await quote(script, legs["P90"], 0.46, **GREEKS)
        await until(lambda: ticker.modelGreeks.delta == -0.3)


@pytest.mark.fault("greeks")
@pytest.mark.parametrize(("value", "misreadings"), [("empty", 1), ("missing", 0)])
async def test_greeks_that_are_empty_or_missing_never_arrive(
    script, connect, misread, until, value, misreadings
):
    legs = await script.list_condor()
    await quote(script, legs["P90"], 0.45, **GREEKS)
    async with connect(script) as ib:
        await script.inflict("greeks", value=value, con_id=legs["P90"].conId)
        ticker = await watched(ib, legs["P90"], until)
        await quote(script, legs["P90"], 0.40, **{**GREEKS, "delta": -0.2})
        await until(lambda: ticker.bid == 0.40)
        assert ticker.modelGreeks is None
        assert len(misread()) >= misreadings


@pytest.mark.fault("data_type")
async def test_delayed_data_land_in_the_fields_of_live_ones(script, connect, heard, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        ticker = await watched(ib, legs["P90"], until)
        errors = heard(ib)
        await script.inflict("data_type", type="delayed")
        await quote(script, legs["P90"], 0.20)
        await until(lambda: ticker.bid == 0.20)
        assert ticker.marketDataType == 3
        other = ib.reqMktData(legs["P95"])
        await until(lambda: other.bid == 1.15)
        assert (other.marketDataType, [code for _, code in errors]) == (3, [10167])
        await script.heal()
        await until(lambda: ticker.marketDataType == other.marketDataType == 1)


@pytest.mark.fault("data_type")
async def test_frozen_data_stand_still(script, connect, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        ticker = await watched(ib, legs["P90"], until)
        await script.inflict("data_type", type="frozen")
        await until(lambda: ticker.marketDataType == 2)
        await quote(script, legs["P90"], 0.20)
        other = ib.reqMktData(legs["P95"])
        await until(lambda: other.bid == 1.15)
        await quote(script, legs["P95"], 1.00)
        assert await ib.reqCurrentTimeAsync()
        assert (ticker.bid, other.bid) == (0.45, 1.15)
        await script.heal()
        await until(lambda: (ticker.bid, other.bid, ticker.marketDataType) == (0.20, 1.00, 1))


@pytest.mark.fault("lines")
async def test_a_line_too_many_stays_empty_for_ever(script, connect, heard, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        errors = heard(ib)
        await script.inflict("lines", count=1)
        ticker = await watched(ib, legs["P90"], until)
        refused = ib.reqMktData(legs["P95"])
        await until(lambda: [code for _, code in errors] == [101])
        await quote(script, legs["P95"], 1.00)
        assert await ib.reqCurrentTimeAsync()
        assert ticker.bid == 0.45
        assert math.isnan(refused.bid)


@pytest.mark.fault("no_market_data")
@pytest.mark.parametrize("code", [354, 10089, 10090, 10091, 10168, 10186, 10197])
async def test_data_that_were_not_paid_for_are_an_error_and_an_empty_ticker(
    script, connect, heard, until, code
):
    legs = await script.list_condor()
    async with connect(script) as ib:
        errors = heard(ib)
        await script.inflict("no_market_data", code=code, con_id=legs["P95"].conId)
        ticker = await watched(ib, legs["P90"], until)
        refused = ib.reqMktData(legs["P95"])
        await until(lambda: [found for _, found in errors] == [code])
        (snapshot,) = await ib.reqTickersAsync(legs["P95"])
        assert math.isnan(refused.bid)
        assert math.isnan(snapshot.bid)
        assert ticker.bid == 0.45


@pytest.mark.fault("error_storm")
async def test_a_storm_of_errors_changes_nothing_but_fires_each_time(script, connect, heard, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        errors = heard(ib)
        ticker = await watched(ib, legs["P90"], until)
        await script.inflict("error_storm", code=10197, repeats=20)
        await until(lambda: len(errors) == 20)
        assert {code for _, code in errors} == {10197}
        await quote(script, legs["P90"], 0.20)
        await until(lambda: ticker.bid == 0.20)


@pytest.mark.fault("connectivity")
@pytest.mark.parametrize(
    ("lost", "restored", "streams", "alive"),
    [
        (1100, 1101, "as_told", False),
        (1100, 1102, "as_told", True),
        (1100, 1102, "stop", False),
        (1100, 1101, "go_on", True),
        (2110, 1102, "as_told", True),
    ],
)
async def test_lost_connectivity_stops_ticks_and_only_the_code_tells_whether_they_come_back(
    script, connect, heard, until, lost, restored, streams, alive
):
    legs = await script.list_condor()
    async with connect(script) as ib:
        errors = heard(ib)
        ticker = await watched(ib, legs["P90"], until)
        await script.inflict("connectivity", code=lost)
        await quote(script, legs["P90"], 0.30)
        assert await ib.reqCurrentTimeAsync()
        assert (ticker.bid, ib.isConnected()) == (0.45, True)
        await script.inflict("connectivity", code=restored, streams=streams)
        await quote(script, legs["P90"], 0.20)
        await ib.reqCurrentTimeAsync()
        assert [code for _, code in errors] == [lost, restored]
        assert (ticker.bid == 0.20) is alive
        assert len(ib.tickers()) == 1, "it believes in its subscription"


@pytest.mark.parametrize(
    ("name", "given"),
    [
        pytest.param("stale", {}, marks=pytest.mark.fault("stale")),
        pytest.param("connectivity", {"code": 1101}, marks=pytest.mark.fault("connectivity")),
        pytest.param("farm", {"code": 2104, "streams": "stop"}, marks=pytest.mark.fault("farm")),
    ],
)
async def test_ticks_that_are_told_one_by_one_stop_with_the_others(script, connect, until, name, given):
    legs = await script.list_condor()
    async with connect(script) as ib:
        ticker = ib.reqTickByTickData(legs["P90"], "BidAsk")
        await until(lambda: ticker.tickByTicks)
        heard = []
        ticker.updateEvent += lambda _: heard.append(True)
        await script.inflict(name, **given)
        await quote(script, legs["P90"], 0.20)
        assert await ib.reqCurrentTimeAsync()
        assert heard == []


@pytest.mark.fault("connectivity")
async def test_each_1102_asks_for_the_account_summary_once_more(script, connect, heard, until):
    async with connect(script) as ib:
        await ib.accountSummaryAsync()
        errors = heard(ib)
        for _ in range(2):
            await script.inflict("connectivity", code=1102)
            await ib.reqCurrentTimeAsync()
        await until(lambda: [code for _, code in errors] == [1102, 1102, 322])


@pytest.mark.fault("farm")
async def test_streams_that_died_with_their_farm_look_like_a_quiet_market(script, connect, heard, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        errors = heard(ib)
        ticker = await watched(ib, legs["P90"], until)
        await script.inflict("farm", code=2103)
        await quote(script, legs["P90"], 0.30)
        assert await ib.reqCurrentTimeAsync()
        assert ticker.bid == 0.45
        await script.inflict("farm", code=2104, streams="stop")
        await quote(script, legs["P90"], 0.20)
        assert await ib.reqCurrentTimeAsync()
        assert (ticker.bid, [code for _, code in errors]) == (0.45, [2103, 2104])
        ib.cancelMktData(legs["P90"])
        fresh = ib.reqMktData(legs["P90"])
        await until(lambda: fresh.bid == 0.20)
    await until(lambda: not script.gateway.sessions)
    async with connect(script) as ib:
        again = ib.reqMktData(legs["P90"])
        await until(lambda: again.bid == 0.20)


@pytest.mark.fault("farm")
async def test_without_its_farm_history_ends_empty(script, connect, heard):
    async with connect(script) as ib:
        await script.tell("contract", symbol="XYZ")
        errors = heard(ib)
        await script.inflict("farm", code=2105)
        bars = await ib.reqHistoricalDataAsync(
            Stock("XYZ", "SMART", "USD"), "", "1 D", "1 hour", "TRADES", True
        )
        assert list(bars) == []
        assert [code for _, code in errors] == [2105, 162]
        await script.inflict("farm", code=2106)
        assert (await script.tell("faults"))["active"] == []


@pytest.mark.fault("notice")
@pytest.mark.parametrize("code", [1300, 2100, 2107, 2108, 2119, 2157, 2158, 504])
async def test_a_notice_without_an_id_is_heard_and_changes_nothing(script, connect, heard, until, code):
    legs = await script.list_condor()
    async with connect(script) as ib:
        errors = heard(ib)
        ticker = await watched(ib, legs["P90"], until)
        await script.inflict("notice", code=code)
        await until(lambda: errors == [(-1, code)])
        await quote(script, legs["P90"], 0.20)
        await until(lambda: ticker.bid == 0.20)
        assert ib.isConnected()

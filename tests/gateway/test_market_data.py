import math

from ib_async import Contract


async def test_quotes_stream_with_model_greeks(open_bench, connect, until):
    async with open_bench("--speed", "0") as bench, connect(bench) as ib:
        held = [position.contract for position in ib.positions()]
        for contract in held:
            contract.exchange = "SMART"
        tickers = [ib.reqMktData(contract) for contract in held]
        spy, vix = (ib.reqMktData(Contract(conId=i, exchange="SMART")) for i in (756733, 13455763))
        await until(lambda: all(t.modelGreeks for t in tickers) and vix.last == vix.last and spy.hasBidAsk())
        assert all(t.hasBidAsk() and t.bid < t.ask for t in tickers)
        for ticker in tickers:
            greeks = ticker.modelGreeks
            assert ticker.bid <= greeks.optPrice <= ticker.ask
            assert greeks.theta < 0 < greeks.vega
            assert (greeks.delta < 0) == (ticker.contract.right == "P")
        assert 10 < vix.last < 40
        assert not vix.hasBidAsk()
        before = [(t.bid, t.ask, t.modelGreeks.delta) for t in tickers]
        await bench.step(600)
        await until(lambda: [(t.bid, t.ask, t.modelGreeks.delta) for t in tickers] != before)
        assert (await bench.tell("status"))["lines"] == {"1": 14}


async def test_a_snapshot_ends_and_leaves_no_line_behind(open_bench, connect):
    async with open_bench("--speed", "0") as bench, connect(bench) as ib:
        (contract,) = await ib.qualifyContractsAsync(ib.positions()[0].contract)
        (ticker,) = await ib.reqTickersAsync(contract)
        assert ticker.hasBidAsk()
        assert (await bench.tell("status"))["lines"] == {"1": 0}


async def test_a_missing_side_is_minus_one_with_size_zero(script, connect, until):
    legs = await script.list_condor()
    con_id = legs["P90"].conId
    await script.tell("quote", con_id=con_id, bid=None, ask=0.05)
    async with connect(script) as ib:
        ticker = ib.reqMktData(legs["P90"])
        await until(lambda: ticker.ask == 0.05)
        assert (ticker.bid, ticker.bidSize) == (-1, 0)
        assert not ticker.hasBidAsk()
        await script.tell("quote", con_id=con_id, bid=0.01, ask=0.05)
        await until(ticker.hasBidAsk)
        await script.tell("fault", name="no_quote", con_id=con_id, on=True)
        await until(lambda: ticker.bid == ticker.ask == -1)
        await script.tell("fault", name="no_quote", con_id=con_id, on=False)
        await until(ticker.hasBidAsk)


async def test_a_contract_without_any_quote_sends_nothing_at_all(script, connect):
    legs = await script.list_condor()
    await script.tell("quote", con_id=legs["P90"].conId)
    async with connect(script) as ib:
        ticker = ib.reqMktData(legs["P90"])
        await ib.reqCurrentTimeAsync()
        assert math.isnan(ticker.bid)
        assert math.isnan(ticker.ask)
        assert ticker.modelGreeks is None


async def test_greeks_that_vanish_become_sentinels(script, connect, until):
    legs = await script.list_condor()
    con_id = legs["P90"].conId
    await script.tell("quote", con_id=con_id, bid=0.45, ask=0.55, delta=-0.1, vega=0.2)
    async with connect(script) as ib:
        ticker = ib.reqMktData(legs["P90"])
        await until(lambda: ticker.modelGreeks)
        assert ticker.modelGreeks.delta == -0.1
        assert ticker.modelGreeks.impliedVol is None
        await script.tell("quote", con_id=con_id, bid=0.45, ask=0.55)
        await until(lambda: ticker.modelGreeks.delta is None)


async def test_lines_beyond_the_limit_get_101_and_unknown_cancels_300(open_bench, connect, heard, until):
    async with open_bench("--market", "script", "--lines", "2") as bench, connect(bench) as ib:
        errors = heard(ib)
        legs = await bench.list_condor()
        for contract in legs.values():
            ib.reqMktData(contract)
        await until(lambda: [code for _, code in errors] == [101, 101])
        assert (await bench.tell("status"))["lines"] == {"1": 2}
        ib.cancelMktData(legs["P90"])
        ib.client.cancelMktData(4711)
        await until(lambda: [code for _, code in errors] == [101, 101, 300])
        assert (await bench.tell("status"))["lines"] == {"1": 1}


async def test_market_data_of_an_unknown_contract_is_refused(script, connect, heard, until):
    async with connect(script) as ib:
        errors = heard(ib)
        ib.reqMarketDataType(1)
        ib.reqMktData(Contract(conId=99, exchange="SMART"))
        await until(lambda: [code for _, code in errors] == [200])

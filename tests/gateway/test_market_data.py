import math

import pytest
from ib_async import Contract, Option, Stock

from broker.gateway.markets.listings import synthetic_con_id
from broker.gateway.protocol.wire import text
from tests.gateway.conftest import EXPIRY


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


XYZ = Stock("XYZ", "SMART", "USD", conId=synthetic_con_id("XYZ"))


def sent_to(bench, client_id=1):
    """Every message that goes out to a client from now on, as field tuples."""
    messages = []
    session = bench.gateway.sessions[client_id]

    def note(session, fields):
        messages.append(tuple(text(field) for field in fields))
        session.transmit(fields)

    session.editor = note
    return messages


def ticks_in(messages):
    """(kind of message, kind of tick, first value)."""
    return [(int(m[0]), int(m[3]), m[4]) for m in messages if m[0] in ("1", "2", "45", "46")]


async def test_a_new_line_tells_what_a_gateway_tells_of_a_share(script, connect, until):
    await script.tell("contract", symbol="XYZ")
    day = {"open": 98.0, "high": 101.0, "low": 97.0, "close": 96.0, "last": 100.0, "volume": 5000}
    await script.tell("quote", symbol="XYZ", bid=99.9, ask=100.1, bid_size=60, ask_size=10, **day)
    async with connect(script) as ib:
        messages = sent_to(script)
        ticker = ib.reqMktData(XYZ)
        await until(lambda: ticker.halted == 0)
        assert [m[0] for m in messages[:2]] == ["81", "58"]
        assert (ticker.bid, ticker.bidSize, ticker.ask, ticker.askSize) == (99.9, 60, 100.1, 10)
        assert (ticker.open, ticker.high, ticker.low, ticker.close) == (98.0, 101.0, 97.0, 96.0)
        assert (ticker.last, ticker.lastSize, ticker.volume) == (100.0, 1, 5000)
        assert (len(ticker.bidExchange), len(ticker.askExchange)) == (2, 1)
        assert ticker.bboExchange == "9c0001"


async def test_only_what_moved_is_told_and_a_quote_that_stands_now_and_then(script, connect, until):
    await script.tell("contract", symbol="XYZ")
    quote = {"symbol": "XYZ", "bid": 99.9, "ask": 100.1, "bid_size": 5, "ask_size": 5}
    await script.tell("quote", **quote)
    async with connect(script) as ib:
        ticker = ib.reqMktData(XYZ)
        await until(lambda: ticker.halted == 0)
        messages = sent_to(script)
        await script.tell("quote", **quote)
        await script.tell("quote", **{**quote, "bid_size": 6})
        await script.tell("quote", **{**quote, "bid_size": 6, "ask": 100.2})
        assert ticks_in(messages) == [(2, 0, "6"), (1, 2, "100.2"), (2, 3, "5")]
        messages.clear()
        await script.step(15)
        await script.tell("quote", **{**quote, "bid_size": 6, "ask": 100.2})
        assert ticks_in(messages) == [(1, 1, "99.9"), (1, 2, "100.2")]


async def test_volatilities_of_bid_ask_and_last_are_told_besides_the_models(script, connect, until):
    legs = await script.list_condor()
    model = {"iv": 0.3, "delta": -0.2, "gamma": 0.02, "vega": 0.1, "theta": -0.05, "model_price": 0.5}
    sides = {"bid": 0.45, "ask": 0.55, "last": 0.52, "underlying_price": 100.0}
    con_id = legs["P90"].conId
    await script.tell("quote", con_id=con_id, **sides, **model)
    async with connect(script) as ib:
        ticker = ib.reqMktData(legs["P90"])
        await until(lambda: ticker.modelGreeks)
        assert ticker.modelGreeks.impliedVol == 0.3
        implied = (ticker.bidGreeks, ticker.askGreeks, ticker.lastGreeks)
        assert [round(g.impliedVol, 6) for g in implied] == [0.295, 0.305, 0.302]
        assert [g.optPrice for g in implied] == [0.45, 0.55, 0.52]
        messages = sent_to(script)
        await script.tell("quote", con_id=con_id, **{**sides, "bid": 0.455}, **{**model, "delta": -0.21})
        assert [(m[0], m[2]) for m in messages if m[0] == "21"] == [("21", "13")]
        await script.tell("quote", con_id=con_id, **{**sides, "bid": 0.47}, **{**model, "delta": -0.21})
        assert [(m[0], m[2]) for m in messages if m[0] == "21"][1:] == [("21", "10")]


async def test_an_option_without_quotes_still_has_its_model(script, connect, until):
    legs = await script.list_condor()
    await script.tell("quote", con_id=legs["P90"].conId, iv=0.3, delta=-0.2, model_price=0.5, vega=0.1)
    async with connect(script) as ib:
        ticker = ib.reqMktData(legs["P90"])
        await until(lambda: ticker.modelGreeks)
        assert (ticker.bid, ticker.ask, ticker.bidGreeks) == (-1, -1, None)


async def test_a_combo_is_quoted_from_its_legs_and_has_no_greeks(script, connect, until, combo):
    legs = await script.list_condor()
    async with connect(script) as ib:
        spread = combo((legs["P95"], "SELL"), (legs["P90"], "BUY"))
        ticker = ib.reqMktData(spread)
        await until(lambda: ticker.ask == ticker.ask)
        assert (ticker.bid, ticker.ask) == (pytest.approx(-0.80), pytest.approx(-0.60))
        await script.tell("quote", con_id=legs["P90"].conId, bid=0.60, ask=0.70)
        await until(lambda: ticker.ask == pytest.approx(-0.45))
        await script.tell("quote", con_id=legs["P90"].conId, ask=0.70)
        await until(lambda: (ticker.bid, ticker.bidSize) == (-1, 0))
        assert ticker.modelGreeks is None
        errors = []
        ib.errorEvent += lambda _, code, *__: errors.append(code)
        ib.client.reqMktData(77, Contract(secType="BAG", symbol="XYZ"), "", False, False, [])
        nothing = combo((legs["P95"], "SELL"), (legs["P90"], "BUY"), ratio=0)
        ib.client.reqMktData(78, nothing, "", False, False, [])
        await until(lambda: errors == [321, 321])


async def test_generic_ticks_tell_what_they_are_asked_for(script, connect, until):
    await script.tell("contract", symbol="XYZ")
    await script.tell("quote", symbol="XYZ", bid=99.9, ask=100.1, last=100.0, volume=5000)
    for right, volume in (("C", 30), ("P", 40)):
        terms = {"symbol": "XYZ", "expiry": EXPIRY, "strike": 100.0, "right": right}
        await script.tell("contract", **terms)
        await script.tell("quote", **terms, bid=4, ask=4.2, iv=0.2, volume=volume, open_interest=volume * 10)
    await script.step(60)
    async with connect(script) as ib:
        ticker = ib.reqMktData(XYZ, "100,101,104,106,165,221,225,232,233,236,456,292:BRFG,mdoff")
        await until(lambda: ticker.dividends)
        assert (ticker.callVolume, ticker.putVolume) == (30, 40)
        assert (ticker.callOpenInterest, ticker.putOpenInterest) == (300, 400)
        assert (ticker.impliedVolatility, ticker.markPrice, ticker.shortableShares) == (
            0.2,
            100.0,
            10_000_000,
        )
        assert (ticker.low52week, ticker.high52week) == (100.0, 100.0)
        assert (ticker.rtTime.isoformat()[:16], ticker.rtVolume) == ("2026-03-02T15:01", 5000)
        assert ticker.dividends.nextDate is None
        (put,) = await ib.qualifyContractsAsync(Option("XYZ", "20260417", 100.0, "P", "SMART"))
        option = ib.reqMktData(put, "100,101")
        await until(lambda: option.putOpenInterest == 400)
        assert (option.callOpenInterest, option.putVolume, option.callVolume) == (0, 40, 0)


async def test_a_generic_tick_that_does_not_exist_is_refused_with_the_legal_ones(script, connect, until):
    await script.list_condor()
    async with connect(script) as ib:
        said = []
        ib.errorEvent += lambda _, code, words, *__: said.append((code, words))
        ib.reqMktData(XYZ, "233,999")
        await until(lambda: said)
        assert said[0][0] == 321
        assert "Incorrect generic tick list of 233,999.  Legal ones for (STK) are: 100(Opt" in said[0][1]
        assert (await script.tell("status"))["lines"] == {"1": 0}


async def test_an_incomplete_snapshot_ends_after_eleven_seconds_or_when_it_is_complete(
    script, connect, until
):
    legs = await script.list_condor()
    for name in ("P90", "P95"):
        await script.tell("quote", con_id=legs[name].conId, ask=0.55)
    async with connect(script) as ib:
        ended = []
        ib.wrapper.tickSnapshotEnd = ended.append
        for number, name in enumerate(("P90", "P95", "C105"), 1):
            ib.client.reqMktData(number, legs[name], "", True, False, [])
        await until(lambda: ended == [3])
        assert (await script.tell("status"))["lines"] == {"1": 2}
        await script.step(5)
        await script.tell("quote", con_id=legs["P95"].conId, bid=0.45, ask=0.55)
        await until(lambda: ended == [3, 2])
        await script.step(5.9)
        await ib.reqCurrentTimeAsync()
        assert ended == [3, 2]
        await script.step(0.1)
        await until(lambda: ended == [3, 2, 1])


@pytest.mark.parametrize(
    ("contract", "generic", "snapshot", "regulatory", "code"),
    [
        (XYZ, "233", True, False, 321),
        (Option("XYZ", "20260417", 90, "P", "SMART"), "", False, True, 321),
        (Option("XYZ", "20260417", 90, "", "SMART"), "", False, False, 200),
        (Option("XYZ", "20260417", 0, "P", "SMART"), "", False, False, 200),
        (Contract(secType="STK", symbol="XYZ"), "", False, False, 321),
        (Contract(symbol="XYZ", exchange="SMART"), "", False, False, 321),
    ],
)
async def test_requests_that_make_no_sense_get_no_line(
    script, connect, heard, until, contract, generic, snapshot, regulatory, code
):
    await script.list_condor()
    await script.tell("contract", symbol="XYZ", expiry=EXPIRY, strike=90.0, right="C")
    async with connect(script) as ib:
        errors = heard(ib)
        ib.client.reqMktData(5, contract, generic, snapshot, regulatory, [])
        await until(lambda: errors == [(5, code)])
        assert (await script.tell("status"))["lines"] == {"1": 0}


async def test_a_regulatory_snapshot_of_a_share_is_one(script, connect, until):
    await script.list_condor()
    await script.tell("quote", symbol="XYZ", bid=99.9, ask=100.1)
    async with connect(script) as ib:
        ended = []
        ib.wrapper.tickSnapshotEnd = ended.append
        ib.client.reqMktData(5, XYZ, "", False, True, [])
        await until(lambda: ended == [5])


async def test_an_ambiguous_contract_is_named_in_the_refusal(script, connect, until):
    await script.list_condor()
    async with connect(script) as ib:
        said = []
        ib.errorEvent += lambda _, code, words, *__: said.append((code, words))
        some = Option("XYZ", "20260417", exchange="SMART")
        ib.client.reqMktData(5, some, "", False, False, [])
        await until(lambda: said == [(200, "The contract description specified for XYZ is ambiguous.")])


async def test_the_same_contract_twice_opens_two_lines_but_no_id_twice(script, connect, heard, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        errors = heard(ib)
        for req_id in (5, 6, 5):
            ib.client.reqMktData(req_id, legs["P90"], "", False, False, [])
        await until(lambda: errors == [(5, 102)])
        assert (await script.tell("status"))["lines"] == {"1": 2}


@pytest.mark.parametrize("code", [354, 10089, 10168, 10186])
async def test_data_that_are_not_subscribed_are_refused(script, connect, heard, until, code):
    legs = await script.list_condor()
    await script.tell("entitlement", symbol="XYZ", live=False, code=code)
    async with connect(script) as ib:
        errors = heard(ib)
        ib.client.reqMktData(5, legs["P90"], "", False, False, [])
        ib.client.cancelMktData(5)
        await until(lambda: errors == [(5, code), (5, 300)])
        await script.tell("entitlement", symbol="XYZ", live=True)
        ticker = ib.reqMktData(legs["P90"])
        await until(ticker.hasBidAsk)
    assert not (await script.ask("entitlement", live=False, code=1))["ok"]


async def test_delayed_data_come_with_a_warning_and_their_own_ticks(script, connect, heard, until):
    legs = await script.list_condor()
    await script.tell("entitlement", symbol="all", live=False)
    await script.tell("quote", con_id=legs["P90"].conId, bid=0.45, ask=0.55, delta=-0.1, iv=0.3, volume=7)
    async with connect(script) as ib:
        errors = heard(ib)
        messages = sent_to(script)
        ib.reqMarketDataType(3)
        ticker = ib.reqMktData(legs["P90"])
        await until(lambda: ticker.hasBidAsk() and ticker.modelGreeks and ticker.volume == 7)
        assert (ticker.marketDataType, [code for _, code in errors]) == (3, [10167])
        kinds = {int(m[3]) for m in messages if m[0] in ("1", "2")} | {
            int(m[2]) for m in messages if m[0] == "21"
        }
        assert kinds == {66, 67, 69, 70, 74, 83}
        await script.tell("entitlement", live=True)
        live = ib.reqMktData(legs["P95"])
        await until(live.hasBidAsk)
        assert live.marketDataType == 1


async def test_frozen_data_are_what_stood_when_the_market_closed(script, connect, until, heard):
    legs = await script.list_condor()
    async with connect(script) as ib:
        errors = heard(ib)
        ib.reqMarketDataType(2)
        ticker = ib.reqMktData(legs["P90"])
        await until(ticker.hasBidAsk)
        assert ticker.marketDataType == 1
        await script.step(7 * 3600)
        frozen = ib.reqMktData(legs["P95"])
        await until(frozen.hasBidAsk)
        assert frozen.marketDataType == 2
        ib.client.reqMarketDataType(9)
        await until(lambda: [code for _, code in errors] == [321])


async def test_clients_that_watch_the_same_hear_the_same(script, connect, until):
    legs = await script.list_condor()
    async with connect(script, 1) as early, connect(script, 2) as late:
        first = early.reqMktData(legs["P90"])
        await until(first.hasBidAsk)
        await script.tell("quote", con_id=legs["P90"].conId, bid=0.46, ask=0.55)
        second = late.reqMktData(legs["P90"])
        await until(second.hasBidAsk)
        heard_by = {n: sent_to(script, n) for n in (1, 2)}
        await script.tell("quote", con_id=legs["P90"].conId, bid=0.47, ask=0.56)
        await until(lambda: first.ask == second.ask == 0.56)
        one, two = ([m[:2] + m[3:] for m in messages] for messages in heard_by.values())
        assert one == two
        assert len(one) == 4

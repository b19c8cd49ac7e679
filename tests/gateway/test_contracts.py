import asyncio

import pytest
from ib_async import Contract, Index, LimitOrder, Option, Stock


async def test_underlyings_and_options_qualify(open_bench, connect):
    async with open_bench() as bench, connect(bench) as ib:
        spy, vix = await ib.qualifyContractsAsync(Stock("SPY", "SMART", "USD"), Index("VIX", "CBOE"))
        assert (spy.conId, vix.conId) == (756733, 13455763)
        (put,) = await ib.qualifyContractsAsync(Option("SPY", "20260417", 645, "P", "SMART"))
        assert put.localSymbol == "SPY   260417P00645000"
        assert put.multiplier == "100"


async def test_a_contract_is_found_by_its_id_alone(open_bench, connect):
    async with open_bench() as bench, connect(bench) as ib:
        held = ib.positions()[0].contract
        details = await ib.reqContractDetailsAsync(Contract(conId=held.conId))
        assert len(details) == 1
        found = details[0]
        assert found.contract.localSymbol == held.localSymbol
        assert (found.minTick, found.underConId, found.realExpirationDate) == (0.01, 756733, "20260417")
        assert found.contract.lastTradeDateOrContractMonth == "20260417"


async def test_partial_contracts_list_everything_that_fits(open_bench, connect):
    async with open_bench() as bench, connect(bench) as ib:
        month = await ib.reqContractDetailsAsync(
            Option("SPY", "202604", 650, "PUT", exchange="", currency="")
        )
        days = {d.contract.lastTradeDateOrContractMonth for d in month}
        assert len(days) > 1
        assert all(day.startswith("202604") for day in days)
        assert {d.contract.right for d in month} == {"P"}
        both = await ib.reqContractDetailsAsync(Option("SPY", "20260417", 650))
        assert {d.contract.right for d in both} == {"P", "C"}


async def test_the_chain_has_holes_that_answer_200(open_bench, connect, heard):
    async with open_bench() as bench, connect(bench) as ib:
        errors = heard(ib)
        chain = (await ib.reqSecDefOptParamsAsync("SPY", "", "STK", 756733))[0]
        weekly = next(e for e in chain.expirations if e == "20260410")
        assert 653.0 in chain.strikes
        assert await ib.reqContractDetailsAsync(Option("SPY", weekly, 653, "C", "SMART")) == []
        assert len(await ib.reqContractDetailsAsync(Option("SPY", "20260417", 653, "C", "SMART"))) == 1
        assert [code for _, code in errors] == [200]


async def test_expiries_reach_from_days_to_five_months(open_bench, connect):
    async with open_bench() as bench, connect(bench) as ib:
        chain = (await ib.reqSecDefOptParamsAsync("IWM", "", "STK", 9579970))[0]
        assert (min(chain.expirations), max(chain.expirations)) == ("20260306", "20260821")


async def test_details_of_a_combo_are_refused_by_a_warning(script, connect, heard, until):
    async with connect(script) as ib:
        errors = heard(ib)
        asking = asyncio.ensure_future(ib.reqContractDetailsAsync(Contract(secType="BAG", symbol="SPY")))
        await until(lambda: [code for _, code in errors] == [321])
        assert not asking.done()
        asking.cancel()


async def test_symbols_and_market_rules_are_found(open_bench, connect):
    async with open_bench() as bench, connect(bench) as ib:
        assert [d.contract.symbol for d in await ib.reqMatchingSymbolsAsync("SP")] == ["SPY"]
        assert (await ib.reqMarketRuleAsync(26))[0].increment == 0.01


@pytest.mark.parametrize(
    "wrong",
    [Stock("NOPE", "SMART", "USD"), Option("SPY", "20260417", 645, "P", currency="EUR"), Contract(conId=1)],
)
async def test_unknown_contracts_answer_200(open_bench, connect, heard, wrong):
    async with open_bench() as bench, connect(bench) as ib:
        errors = heard(ib)
        assert await ib.reqContractDetailsAsync(wrong) == []
        assert [code for _, code in errors] == [200]


async def test_a_chain_comes_once_per_exchange_or_only_for_the_one_named(script, connect):
    await script.list_condor()
    async with connect(script) as ib:
        (share,) = await ib.qualifyContractsAsync(Stock("XYZ", "SMART", "USD"))
        everywhere = await ib.reqSecDefOptParamsAsync("XYZ", "", "STK", share.conId)
        details = (await ib.reqContractDetailsAsync(Option("XYZ", "20260417", 90, "P", "SMART")))[0]
        assert [c.exchange for c in everywhere] == details.validExchanges.split(",")
        assert {tuple(c.strikes) for c in everywhere} == {(90.0, 95.0, 105.0, 110.0)}
        (one,) = await ib.reqSecDefOptParamsAsync("XYZ", "CBOE", "STK", share.conId)
        assert (one.exchange, one.tradingClass, one.multiplier) == ("CBOE", "XYZ", "100")
        assert await ib.reqSecDefOptParamsAsync("XYZ", "", "IND", share.conId) == []


async def test_expired_options_are_not_found_any_more(script, connect, heard):
    today = await script.tell("contract", symbol="XYZ", expiry="2026-03-02", strike=90.0, right="P")
    async with connect(script) as ib:
        errors = heard(ib)
        gone = Contract(conId=today["con_id"], includeExpired=True)
        assert len(await ib.reqContractDetailsAsync(gone)) == 1
        await script.step(6 * 3600)
        assert await ib.reqContractDetailsAsync(gone) == []
        assert await ib.reqSecDefOptParamsAsync("XYZ", "", "STK", _share(script).con_id) == []
        assert [code for _, code in errors] == [200]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (Contract(secType="STK", symbol="SPY", secIdType="ISIN", secId="US78462F1030"), 200),
        (Contract(secType="BOND", issuerId="e1234567"), 200),
        (Stock("VIX", "SMART", "USD"), 200),
        (Index("VIX", "SMART"), 200),
        (Contract(secType="STOCK", symbol="SPY"), 321),
        (Contract(symbol="SPY"), 321),
    ],
)
async def test_what_cannot_be_looked_up_says_why(open_bench, connect, heard, until, wrong, code):
    async with open_bench() as bench, connect(bench) as ib:
        errors = heard(ib)
        asking = asyncio.ensure_future(ib.reqContractDetailsAsync(wrong))
        await until(lambda: [c for _, c in errors] == [code])
        asking.cancel()


async def test_an_option_is_found_at_any_exchange_that_lists_it(open_bench, connect):
    async with open_bench() as bench, connect(bench) as ib:
        for exchange in ("SMART", "CBOE", "ISE", ""):
            found = await ib.reqContractDetailsAsync(Option("SPY", "20260417", 645, "C", exchange))
            assert len(found) == 1, exchange


async def test_venues_behind_smart_quotes_are_told(script, connect):
    async with connect(script) as ib:
        venues = await ib.reqSmartComponentsAsync("9c0001")
        assert {"NYSE": "N", "ARCA": "P"}.items() <= {v.exchange: v.exchangeLetter for v in venues}.items()


async def test_an_unknown_market_rule_is_refused_and_a_price_off_its_rule_too(script, connect, heard, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        errors = heard(ib)
        assert await ib.reqMarketRuleAsync(1) is None
        (details,) = await ib.reqContractDetailsAsync(legs["P90"])
        rule = await ib.reqMarketRuleAsync(int(details.marketRuleIds.split(",")[0]))
        assert [(step.lowEdge, step.increment) for step in rule] == [(0.0, 0.01), (3.0, 0.05)]
        ib.placeOrder(legs["P90"], LimitOrder("BUY", 1, 3.01, tif="DAY"))
        await until(lambda: [code for _, code in errors] == [322, 110])


def _share(bench):
    return bench.gateway.market.listings.find("XYZ")

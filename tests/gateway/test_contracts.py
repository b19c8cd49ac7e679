import asyncio

import pytest
from ib_async import Contract, Index, Option, Stock


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
        assert 689.0 in chain.strikes
        assert await ib.reqContractDetailsAsync(Option("SPY", weekly, 689, "C", "SMART")) == []
        assert len(await ib.reqContractDetailsAsync(Option("SPY", "20260417", 689, "C", "SMART"))) == 1
        assert [code for _, code in errors] == [200]


async def test_expiries_reach_from_days_to_ten_weeks(open_bench, connect):
    async with open_bench() as bench, connect(bench) as ib:
        chain = (await ib.reqSecDefOptParamsAsync("IWM", "", "STK", 9579970))[0]
        assert (min(chain.expirations), max(chain.expirations)) == ("20260306", "20260508")


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

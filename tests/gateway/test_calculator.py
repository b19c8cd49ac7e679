import pytest
from ib_async import Stock

from options import Right, greeks


@pytest.fixture
async def option(script):
    return (await script.list_condor())["C105"]


async def test_a_price_gives_the_volatility_that_gives_the_price(script, connect, option):
    async with connect(script) as ib:
        priced = await ib.calculateOptionPriceAsync(option, 0.25, 100.0)
        years = (46 * 86_400 + 5 * 3600) / (365 * 86_400)  # 17 April, 16:00, a summer hour earlier
        expected = greeks(100.0, 105.0, years, 0.25, option.right == Right.CALL, 0.04)
        assert priced.optPrice == pytest.approx(float(expected.price), abs=1e-6)
        assert priced.delta == pytest.approx(float(expected.delta), abs=1e-6)
        implied = await ib.calculateImpliedVolatilityAsync(option, priced.optPrice, 100.0)
        assert implied.impliedVol == pytest.approx(0.25, abs=1e-6)
        assert implied.undPrice == 100.0


async def test_a_price_that_no_volatility_gives_is_not_computed(script, connect, option):
    async with connect(script) as ib:
        found = await ib.calculateImpliedVolatilityAsync(option, 500.0, 100.0)
        assert (found.impliedVol, found.delta, found.optPrice) == (None, None, None)


async def test_only_options_can_be_calculated(script, connect, heard, until, option):
    async with connect(script) as ib:
        errors = heard(ib)
        ib.client.calculateOptionPrice(5, Stock("XYZ", "SMART", "USD"), 0.2, 100.0, [])
        ib.client.calculateImpliedVolatility(6, Stock("NONE", "SMART", "USD"), 0.2, 100.0, [])
        ib.client.cancelCalculateOptionPrice(5)
        await until(lambda: errors == [(5, 321), (6, 200)])

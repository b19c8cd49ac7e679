"""ib_async and ib_insync as their users know them: synchronised, trading, content with every message."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import ib_async
import ib_insync
import pytest

from tests.conformance.stage import ACCOUNT, quoted_gateway
from tests.conformance.strict import strict_decoder

INFORMATION = {2104, 2106, 2158}


@asynccontextmanager
async def whole(library: ModuleType, port: int) -> AsyncIterator[tuple[Any, list[int]]]:
    """The library's IB with a strict decoder, and the codes of the errors that it hears."""
    ib = library.IB()
    ib.client.decoder = strict_decoder(library, ib.wrapper)
    codes: list[int] = []
    ib.errorEvent += lambda _, code, *__: codes.append(code)
    await ib.connectAsync("127.0.0.1", port, clientId=1, timeout=20)
    try:
        yield ib, codes
    finally:
        ib.disconnect()
        await asyncio.sleep(0)
    assert [heard for heard in ib.client.decoder.heard if heard.complaint] == []


async def until(condition: Callable[[], Any]) -> Any:
    for _ in range(20_000):
        if found := condition():
            return found
        await asyncio.sleep(0.001)
    raise AssertionError("it never came to hold")


@pytest.mark.parametrize("library", [ib_async, ib_insync], ids=lambda library: library.__name__)
async def test_a_user_looks_around_trades_and_finds_his_trade(library: ModuleType) -> None:
    async with quoted_gateway() as (port, control), whole(library, port) as (ib, codes):
        assert ib.managedAccounts() == [ACCOUNT]
        worth = {value.tag: value.value for value in ib.accountValues()}
        assert worth["NetLiquidation"] == "100000.00"

        call, put = library.Option("XYZ", "20260417", 105.0, "C", "SMART"), library.Contract()
        put.conId = control.con_ids["P95"]
        share = library.Stock("XYZ", "SMART", "USD")
        assert len(await ib.qualifyContractsAsync(share, call, put)) == 3
        assert (call.conId, put.strike, share.conId) == (
            control.con_ids["C105"],
            95.0,
            control.con_ids["XYZ"],
        )
        (smart,) = [
            chain
            for chain in await ib.reqSecDefOptParamsAsync("XYZ", "", "STK", share.conId)
            if chain.exchange == "SMART"
        ]
        assert (smart.expirations, smart.strikes) == (["20260417"], [90.0, 95.0, 105.0, 110.0])

        ticker = ib.reqMktData(call)
        await until(lambda: ticker.modelGreeks and ticker.bid > 0)
        assert (ticker.bid, ticker.ask, ticker.modelGreeks.delta) == (1.05, 1.15, 0.27)
        (snapshot,) = await ib.reqTickersAsync(put)
        assert (snapshot.bid, snapshot.ask) == (1.15, 1.25)

        state = await ib.whatIfOrderAsync(put, library.LimitOrder("SELL", 1, 1.15, tif="DAY"))
        assert float(state.initMarginChange) > 0

        spread = library.Contract(secType="BAG", symbol="XYZ", exchange="SMART", currency="USD")
        spread.comboLegs = [
            library.ComboLeg(conId=call.conId, ratio=1, action="BUY", exchange="SMART"),
            library.ComboLeg(conId=put.conId, ratio=1, action="SELL", exchange="SMART"),
        ]
        trade = ib.placeOrder(spread, library.LimitOrder("BUY", 2, 0.50, tif="DAY", orderRef="whole"))
        await until(lambda: trade.isDone() and len(trade.fills) == 3)
        await until(lambda: all(fill.commissionReport.commission for fill in trade.fills[1:]))
        assert (trade.orderStatus.status, trade.orderStatus.filled) == ("Filled", 2)

        await until(lambda: len(ib.positions()) == 2)
        assert {held.contract.conId: held.position for held in ib.positions()} == {
            call.conId: 2,
            put.conId: -2,
        }
        profit = ib.reqPnL(ACCOUNT)
        await until(lambda: profit.unrealizedPnL == profit.unrealizedPnL and profit.unrealizedPnL)
        await control.tell("step", seconds=60)
        bars = await ib.reqHistoricalDataAsync(share, "", "1 D", "1 min", "TRADES", True)
        assert bars[-1].close == 100.0
        assert [done.order.orderRef for done in await ib.reqCompletedOrdersAsync(False)] == ["whole"]
        assert len(await ib.reqExecutionsAsync()) == 3
        assert set(codes) <= INFORMATION

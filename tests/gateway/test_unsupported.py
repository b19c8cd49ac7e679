import pytest
from ib_async import ScannerSubscription, Stock

from broker.gateway.desks.unsupported import UNSUPPORTED

SPY = Stock("SPY", "SMART", "USD")


@pytest.mark.parametrize("kind", UNSUPPORTED)
async def test_each_unsupported_request_is_refused_by_its_own_number(script, connect, heard, until, kind):
    entry = UNSUPPORTED[kind]
    async with connect(script) as ib:
        errors = heard(ib)
        before = [1] * (entry.id_at or 0)
        ib.client.send(kind, *before, 4711)
        await until(lambda: errors)
        assert errors == [(-1 if entry.id_at is None else 4711, entry.code)]


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: c.reqMktDepth(4711, SPY, 5, True, ""),
        lambda c: c.replaceFA(4711, 1, "<xml/>"),
        lambda c: c.reqScannerSubscription(4711, ScannerSubscription(), [], []),
        lambda c: c.cancelScannerSubscription(4711),
        lambda c: c.reqFundamentalData(4711, SPY, "ReportSnapshot", []),
        lambda c: c.queryDisplayGroups(4711),
        lambda c: c.reqNewsArticle(4711, "BRFG", "1", []),
        lambda c: c.reqHistoricalNews(4711, 1, "BRFG", "", "", 10, []),
        lambda c: c.reqHistogramData(4711, SPY, True, "1 day"),
        lambda c: c.reqWshMetaData(4711),
    ],
)
async def test_the_clients_own_requests_are_refused_under_their_ids(script, connect, heard, until, ask):
    async with connect(script) as ib:
        errors = heard(ib)
        ask(ib.client)
        await until(lambda: errors)
        assert [req_id for req_id, _ in errors] == [4711]


async def test_what_has_no_id_is_refused_and_answered_empty_so_that_nobody_waits(script, connect):
    async with connect(script) as ib:
        assert await ib.reqNewsProvidersAsync() == []
        assert await ib.reqMktDepthExchangesAsync() == []
        assert "Scan" in await ib.reqScannerParametersAsync()


async def test_soft_dollars_and_family_codes_are_simply_none(script, connect, raw, of, until):
    async with connect(script) as ib:
        frames = raw(ib)
        ib.client.reqSoftDollarTiers(4711)
        ib.client.reqFamilyCodes()
        ib.client.setServerLogLevel(5)
        ib.client.cancelNewsBulletins()
        await until(lambda: len(frames) == 2)
        assert of(frames, 77) == [["77", "4711", "0"]]
        assert of(frames, 78) == [["78", "0"]]

"""What the gateway does not simulate is refused by number, under the id of the request; nothing hangs."""

from typing import Any

from tests.conformance.day import Day


async def of_requests(day: Day) -> None:
    """Each request that has an id: its name, what follows the id, and the code of the refusal."""
    contract = day.contract()
    scan = day.make("ScannerSubscription", instrument="STK", locationCode="STK.US", scanCode="TOP_PERC_GAIN")
    requests: dict[str, tuple[tuple[Any, ...], int]] = {
        "reqMktDepth": ((contract, 5, False, []), 10092),
        "cancelMktDepth": ((False,), 310),
        "reqRealTimeBars": ((contract, 5, "TRADES", True, []), 420),
        "cancelRealTimeBars": ((), 300),
        "replaceFA": ((1, "<xml/>"), 322),
        "reqScannerSubscription": ((scan, [], []), 162),
        "cancelScannerSubscription": ((), 365),
        "reqFundamentalData": ((contract, "ReportSnapshot", []), 430),
        "cancelFundamentalData": ((), 300),
        "queryDisplayGroups": ((), 322),
        "subscribeToGroupEvents": ((1,), 322),
        "updateDisplayGroup": (("none",), 322),
        "unsubscribeFromGroupEvents": ((), 322),
        "reqNewsArticle": (("BZ", "BZ$1", []), 10276),
        "reqHistoricalNews": ((day.con_ids["XYZ"], "BZ", "", "", 10, []), 10276),
        "reqHistogramData": ((contract, True, "3 days"), 10188),
        "cancelHistogramData": ((), 300),
    }
    if day.client.name != "ibapi":
        requests |= {
            "reqWshMetaData": ((), 10279),
            "cancelWshMetaData": ((), 10280),
            "reqWshEventData": ((day.make("WshEventData"),), 10283),
            "cancelWshEventData": ((), 10284),
        }
    for name, (arguments, code) in requests.items():
        getattr(day.client.calls, name)(asked := day.request(), *arguments)
        error = await day.client.told("error", lambda req_id, *_, asked=asked: req_id == asked)
        day.equal(4, error[:2], (asked, code), "refusal")


async def without_id(day: Day) -> None:
    """A request without an id is refused under none, with an empty answer where it would wait for one."""
    client, calls = day.client, day.client.calls
    for ask, code in (
        (lambda: calls.reqNewsBulletins(True), 10276),
        (lambda: calls.requestFA(1), 321),
        (calls.reqScannerParameters, 162),
        (calls.reqMktDepthExchanges, 10092),
        (calls.reqNewsProviders, 10276),
    ):
        since = client.now
        ask()
        error = await client.told("error", since=since)
        day.equal(4, error[:2], (-1, code), "refusal")
    day.equal(19, await client.told("scannerParameters"), ("<ScanParameterResponse/>",))
    day.equal(80, await client.told("mktDepthExchanges"), ([],))
    day.equal(85, await client.told("newsProviders"), ([],))


async def nothing_to_tell(day: Day) -> None:
    """An account without family and without soft dollars has none."""
    client, calls = day.client, day.client.calls
    calls.reqSoftDollarTiers(asked := day.request())
    day.equal(77, await client.told("softDollarTiers"), (asked, []))
    calls.reqFamilyCodes()
    day.equal(78, await client.told("familyCodes"), ([],))

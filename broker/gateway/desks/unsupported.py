"""What the simulated gateway cannot do: each such request is refused in words that help.

Codes are those with which the real gateway refuses the same request to an account without the permission,
so that a client treats the refusal as it would there.
"""

from dataclasses import dataclass

from broker.gateway.protocol.wire import Fields, Value
from broker.gateway.session import Session


@dataclass(frozen=True, slots=True)
class Unsupported:
    """`id_at`: how many fields precede the request id, None where a request has none.

    `answer`: an empty one, for requests that would wait for ever because an error without id ends nothing.
    """

    name: str
    code: int
    text: str
    id_at: int | None = 1
    answer: tuple[Value, ...] = ()


NO_DEPTH = "order books are not simulated: ask for the best bid and ask with reqMktData"
NO_NEWS = "news are not simulated: connect to a real gateway for them"
NO_SCANNER = "market scanners are not simulated: find contracts with reqMatchingSymbols or reqSecDefOptParams"
NO_ADVISER = (
    "the simulated account is no financial adviser's: leave the group and the allocation out of orders"
)
NO_EVENTS = "the event calendar is not simulated: earnings show in the prices only"
NO_VERIFYING = "clients are not verified: connect with startApi alone"
NO_GROUPS = "there are no windows and so no display groups: name the contract in each request"
NO_REAL_TIME = "five-second bars are not simulated: ask for bars kept up to date with reqHistoricalData"
NO_HISTOGRAM = "histograms are not simulated: count the closes of reqHistoricalData"

UNSUPPORTED: dict[int, Unsupported] = {
    10: Unsupported(
        "reqMktDepth",
        10092,
        f"Deep market data is not supported for this combination of security type/exchange: {NO_DEPTH}",
    ),
    11: Unsupported("cancelMktDepth", 310, f"Can't find the subscribed market depth: {NO_DEPTH}"),
    12: Unsupported("reqNewsBulletins", 10276, f"News feed is not allowed: {NO_NEWS}", None),
    18: Unsupported("requestFA", 321, f"Error validating request: {NO_ADVISER}", None),
    19: Unsupported("replaceFA", 322, f"Error processing request: {NO_ADVISER}", 3),
    22: Unsupported("reqScannerSubscription", 162, f"Market scanner error: {NO_SCANNER}", 0),
    23: Unsupported("cancelScannerSubscription", 365, f"No scanner subscription found: {NO_SCANNER}"),
    24: Unsupported(
        "reqScannerParameters",
        162,
        f"Market scanner error: {NO_SCANNER}",
        None,
        (19, 1, "<ScanParameterResponse/>"),
    ),
    50: Unsupported("reqRealTimeBars", 420, f"Invalid Real-time Query: {NO_REAL_TIME}"),
    51: Unsupported("cancelRealTimeBars", 300, f"Can't find EId: {NO_REAL_TIME}"),
    52: Unsupported(
        "reqFundamentalData",
        430,
        "The fundamentals data for the security specified is not available: company figures are not"
        " simulated, take them from elsewhere",
    ),
    53: Unsupported(
        "cancelFundamentalData", 300, "Can't find EId: company figures are not simulated, nothing to cancel"
    ),
    65: Unsupported("verifyRequest", 508, f"Bad message: {NO_VERIFYING}", None),
    66: Unsupported("verifyMessage", 508, f"Bad message: {NO_VERIFYING}", None),
    67: Unsupported("queryDisplayGroups", 322, f"Error processing request: {NO_GROUPS}"),
    68: Unsupported("subscribeToGroupEvents", 322, f"Error processing request: {NO_GROUPS}"),
    69: Unsupported("updateDisplayGroup", 322, f"Error processing request: {NO_GROUPS}"),
    70: Unsupported("unsubscribeFromGroupEvents", 322, f"Error processing request: {NO_GROUPS}"),
    72: Unsupported("verifyAndAuthRequest", 508, f"Bad message: {NO_VERIFYING}", None),
    73: Unsupported("verifyAndAuthMessage", 508, f"Bad message: {NO_VERIFYING}", None),
    82: Unsupported(
        "reqMktDepthExchanges",
        10092,
        f"Deep market data is not supported: {NO_DEPTH}",
        None,
        (80, 0),
    ),
    84: Unsupported("reqNewsArticle", 10276, f"News feed is not allowed: {NO_NEWS}", 0),
    85: Unsupported("reqNewsProviders", 10276, f"News feed is not allowed: {NO_NEWS}", None, (85, 0)),
    86: Unsupported("reqHistoricalNews", 10276, f"News feed is not allowed: {NO_NEWS}", 0),
    88: Unsupported("reqHistogramData", 10188, f"Failed to request histogram data: {NO_HISTOGRAM}", 0),
    89: Unsupported("cancelHistogramData", 300, f"Can't find EId: {NO_HISTOGRAM}", 0),
    100: Unsupported("reqWshMetaData", 10279, f"Failed request WSH meta data: {NO_EVENTS}", 0),
    101: Unsupported("cancelWshMetaData", 10280, f"Failed cancel WSH meta data: {NO_EVENTS}", 0),
    102: Unsupported("reqWshEventData", 10283, f"Failed request WSH event data: {NO_EVENTS}", 0),
    103: Unsupported("cancelWshEventData", 10284, f"Failed cancel WSH event data: {NO_EVENTS}", 0),
}


def refuse(session: Session, fields: Fields, kind: int) -> None:
    """Tells a client why its request of this message number will not be answered."""
    entry = UNSUPPORTED[kind]
    req_id = -1
    if entry.id_at is not None:
        fields.skip(entry.id_at)
        req_id = fields.integer()
    session.error(req_id, entry.code, entry.text)
    if entry.answer:
        session.send(*entry.answer)

"""The names of every message's fields, as an independent reading of the protocol.

The gateway itself does not use them: they put recordings into words, and tests hold them against what it
sends. A layout is a line of field names in wire order, the message's number apart. `name*( ... )` is a count
and the group that is repeated so often. `?test( ... )` is a group that is there when the test holds: `name`
is neither empty nor 0, `name=ONE|OTHER` (with _ for a blank), `name>0`, or a server version, `v>=164`,
`v<164`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from broker.gateway.protocol.wire import UNSET_DOUBLE, UNSET_INT

_TERMS = "conId symbol secType expiry strike right multiplier"
_CONTRACT = f"{_TERMS} exchange primaryExchange currency localSymbol tradingClass"
_SHORT = f"{_TERMS} exchange currency localSymbol tradingClass"
_BAG = "?secType=BAG( legs*( legConId ratio legAction legExchange ) )"
_LEGS = "legs*( legConId ratio legAction legExchange legOpenClose legShortSlot legLocation legExempt )"
_COMBO = f"{_LEGS} legPrices*( legPrice ) routing*( tag value )"
_ORDER = "action totalQuantity orderType lmtPrice auxPrice tif ocaGroup account openClose origin orderRef"
_SCALE = (
    "?scalePriceIncrement>0( priceAdjustValue priceAdjustInterval profitOffset autoReset initPosition"
    " initFillQty randomPercent )"
)
_ALGO = "algoStrategy ?algoStrategy( algoParams*( tag value ) )"
_NEUTRAL = "deltaNeutral ?deltaNeutral( neutralConId neutralDelta neutralPrice )"
_NEUTRAL_ORDER = (
    "?deltaNeutralOrderType( deltaNeutralConId deltaNeutralSettlingFirm deltaNeutralClearingAccount"
    " deltaNeutralClearingIntent deltaNeutralOpenClose deltaNeutralShortSale deltaNeutralShortSaleSlot"
    " deltaNeutralLocation )"
)
_BENCH = "?orderType=PEG_BENCH|PEGBENCH( benchConId isPegChangeDecrease pegChange refChange refExchange )"
_CONDITIONS = (
    "conditions*( condType conjunction ?condType=1( isMore price condConId condExchange triggerBy )"
    " ?condType=3( isMore time ) ?condType=4( isMore percent ) ?condType=5( condSecType condExchange"
    " condSymbol ) ?condType=6( isMore volume condConId condExchange ) ?condType=7( isMore changePercent"
    " condConId condExchange ) ) ?conditions( conditionsIgnoreRth conditionsCancelOrder )"
)
_HEDGE = "hedgeType ?hedgeType( hedgeParam )"
_ADJUSTED = (
    "lmtPriceOffset adjustedStopPrice adjustedStopLimitPrice adjustedTrailingAmount adjustableTrailingUnit"
)
_FA = "faGroup faMethod faPercentage ?v<177( faProfile )"

_PLACE_ORDER = (
    f"orderId {_CONTRACT} secIdType secId {_ORDER} transmit parentId blockOrder sweepToFill displaySize"
    f" triggerMethod outsideRth hidden ?secType=BAG( {_COMBO} ) obsolete discretionaryAmt goodAfterTime"
    f" goodTillDate {_FA} modelCode shortSaleSlot designatedLocation exemptCode ocaType rule80A settlingFirm"
    " allOrNone minQty percentOffset eTradeOnly firmQuoteOnly nbboPriceCap auctionStrategy startingPrice"
    " stockRefPrice delta stockRangeLower stockRangeUpper overridePercentageConstraints volatility"
    f" volatilityType deltaNeutralOrderType deltaNeutralAuxPrice {_NEUTRAL_ORDER} continuousUpdate"
    " referencePriceType trailStopPrice trailingPercent scaleInitLevelSize scaleSubsLevelSize"
    f" scalePriceIncrement {_SCALE} scaleTable activeStartTime activeStopTime {_HEDGE}"
    f" optOutSmartRouting clearingAccount clearingIntent notHeld {_NEUTRAL} {_ALGO} algoId whatIf miscOptions"
    f" solicited randomizeSize randomizePrice {_BENCH} {_CONDITIONS} adjustedOrderType triggerPrice"
    f" {_ADJUSTED} extOperator softDollarName softDollarValue cashQty mifid2DecisionMaker mifid2DecisionAlgo"
    " mifid2ExecutionTrader mifid2ExecutionAlgo dontUseAutoPriceForHedge isOmsContainer"
    " discretionaryUpToLimitPrice usePriceMgmtAlgo ?v>=158( duration ) ?v>=160( postToAts )"
    " ?v>=162( autoCancelParent ) ?v>=166( advancedErrorOverride ) ?v>=169( manualOrderTime )"
    " ?v>=170( ?exchange=IBKRATS( minTradeQty ) ?orderType=PEG_BEST|PEGBEST( minCompeteSize competeOffset"
    " ?competeOffset=Infinite( midOffsetAtWhole midOffsetAtHalf ) )"
    " ?orderType=PEG_MID|PEGMID( midOffsetAtWhole midOffsetAtHalf ) )"
)
_OPEN_ORDER = (
    f"orderId {_SHORT} {_ORDER} clientId permId outsideRth hidden discretionaryAmt goodAfterTime"
    f" sharesAllocation {_FA} modelCode goodTillDate rule80A percentOffset settlingFirm shortSaleSlot"
    " designatedLocation exemptCode auctionStrategy startingPrice stockRefPrice delta stockRangeLower"
    " stockRangeUpper displaySize blockOrder sweepToFill allOrNone minQty ocaType eTradeOnly firmQuoteOnly"
    " nbboPriceCap parentId triggerMethod volatility volatilityType deltaNeutralOrderType"
    f" deltaNeutralAuxPrice {_NEUTRAL_ORDER} continuousUpdate referencePriceType trailStopPrice"
    f" trailingPercent basisPoints basisPointsType comboLegsDescrip {_COMBO} scaleInitLevelSize"
    f" scaleSubsLevelSize scalePriceIncrement {_SCALE} {_HEDGE} optOutSmartRouting"
    f" clearingAccount clearingIntent notHeld {_NEUTRAL} {_ALGO} solicited whatIf status initMarginBefore"
    " maintMarginBefore equityWithLoanBefore initMarginChange maintMarginChange equityWithLoanChange"
    " initMarginAfter maintMarginAfter equityWithLoanAfter commission minCommission maxCommission"
    f" commissionCurrency warningText randomizeSize randomizePrice {_BENCH} {_CONDITIONS} adjustedOrderType"
    f" triggerPrice trailStopPrice {_ADJUSTED} softDollarName softDollarValue softDollarDisplayName cashQty"
    " dontUseAutoPriceForHedge isOmsContainer discretionaryUpToLimitPrice usePriceMgmtAlgo"
    " ?v>=158( duration ) ?v>=160( postToAts ) ?v>=162( autoCancelParent ) ?v>=170( minTradeQty"
    " minCompeteSize competeOffset midOffsetAtWhole midOffsetAtHalf )"
)
_COMPLETED_ORDER = (
    f"{_SHORT} {_ORDER} permId outsideRth hidden discretionaryAmt goodAfterTime {_FA} modelCode goodTillDate"
    " rule80A percentOffset settlingFirm shortSaleSlot designatedLocation exemptCode startingPrice"
    " stockRefPrice delta stockRangeLower stockRangeUpper displaySize sweepToFill allOrNone minQty ocaType"
    " triggerMethod volatility volatilityType deltaNeutralOrderType deltaNeutralAuxPrice"
    " ?deltaNeutralOrderType( deltaNeutralConId deltaNeutralShortSale deltaNeutralShortSaleSlot"
    " deltaNeutralLocation ) continuousUpdate referencePriceType trailStopPrice trailingPercent"
    f" comboLegsDescrip {_COMBO} scaleInitLevelSize scaleSubsLevelSize scalePriceIncrement {_SCALE}"
    f" {_HEDGE} clearingAccount clearingIntent notHeld {_NEUTRAL} {_ALGO} solicited status"
    f" randomizeSize randomizePrice {_BENCH} {_CONDITIONS} trailStopPrice lmtPriceOffset cashQty"
    " dontUseAutoPriceForHedge isOmsContainer autoCancelDate filledQuantity refFuturesConId autoCancelParent"
    " shareholder imbalanceOnly routeMarketableToBbo parentPermId completedTime completedStatus"
    " ?v>=170( minTradeQty minCompeteSize competeOffset midOffsetAtWhole midOffsetAtHalf )"
)
_CONTRACT_DETAILS = (
    "?v<164( version ) reqId symbol secType expiry strike right exchange currency localSymbol marketName"
    " tradingClass conId minTick ?v<164( sizeMultiplier ) multiplier orderTypes validExchanges priceMagnifier"
    " underConId longName primaryExchange contractMonth industry category subcategory timeZoneId tradingHours"
    " liquidHours evRule evMultiplier secIds*( tag value ) aggGroup underSymbol underSecType marketRuleIds"
    " realExpirationDate stockType ?v>=164( minSize sizeIncrement suggestedSizeIncrement )"
)

# None: the message is known by name only.
FROM_CLIENT: dict[int, tuple[str, str | None]] = {
    1: (
        "reqMktData",
        f"version reqId {_CONTRACT} {_BAG} {_NEUTRAL} genericTicks snapshot regulatorySnapshot options",
    ),
    2: ("cancelMktData", "version reqId"),
    3: ("placeOrder", _PLACE_ORDER),
    4: ("cancelOrder", "version orderId ?v>=169( manualCancelOrderTime )"),
    5: ("reqOpenOrders", "version"),
    6: ("reqAccountUpdates", "version subscribe account"),
    7: ("reqExecutions", "version reqId clientId account time symbol secType exchange side"),
    8: ("reqIds", "version count"),
    9: (
        "reqContractDetails",
        f"version reqId {_CONTRACT} includeExpired secIdType secId ?v>=176( issuerId )",
    ),
    10: ("reqMktDepth", None),
    11: ("cancelMktDepth", None),
    12: ("reqNewsBulletins", None),
    13: ("cancelNewsBulletins", None),
    14: ("setServerLogLevel", "version level"),
    15: ("reqAutoOpenOrders", "version bind"),
    16: ("reqAllOpenOrders", "version"),
    17: ("reqManagedAccts", "version"),
    18: ("requestFA", None),
    19: ("replaceFA", None),
    20: (
        "reqHistoricalData",
        f"reqId {_CONTRACT} includeExpired endDateTime barSize duration useRth whatToShow formatDate {_BAG}"
        " keepUpToDate options",
    ),
    21: ("exerciseOptions", f"version reqId {_SHORT} action quantity account override"),
    22: ("reqScannerSubscription", None),
    23: ("cancelScannerSubscription", None),
    24: ("reqScannerParameters", None),
    25: ("cancelHistoricalData", "version reqId"),
    49: ("reqCurrentTime", "version"),
    50: ("reqRealTimeBars", None),
    51: ("cancelRealTimeBars", None),
    52: ("reqFundamentalData", None),
    53: ("cancelFundamentalData", None),
    54: (
        "calculateImpliedVolatility",
        f"version reqId {_CONTRACT} optionPrice underPrice optionCount options",
    ),
    55: ("calculateOptionPrice", f"version reqId {_CONTRACT} volatility underPrice optionCount options"),
    56: ("cancelCalculateImpliedVolatility", "version reqId"),
    57: ("cancelCalculateOptionPrice", "version reqId"),
    58: ("reqGlobalCancel", "version"),
    59: ("reqMarketDataType", "version type"),
    61: ("reqPositions", "version"),
    62: ("reqAccountSummary", "version reqId group tags"),
    63: ("cancelAccountSummary", "version reqId"),
    64: ("cancelPositions", "version"),
    67: ("queryDisplayGroups", None),
    68: ("subscribeToGroupEvents", None),
    69: ("updateDisplayGroup", None),
    70: ("unsubscribeFromGroupEvents", None),
    71: ("startApi", "version clientId optionalCapabilities"),
    74: ("reqPositionsMulti", "version reqId account modelCode"),
    75: ("cancelPositionsMulti", "version reqId"),
    76: ("reqAccountUpdatesMulti", "version reqId account modelCode ledgerAndNlv"),
    77: ("cancelAccountUpdatesMulti", "version reqId"),
    78: ("reqSecDefOptParams", "reqId underlyingSymbol futFopExchange underlyingSecType underlyingConId"),
    79: ("reqSoftDollarTiers", "reqId"),
    80: ("reqFamilyCodes", ""),
    81: ("reqMatchingSymbols", "reqId pattern"),
    82: ("reqMktDepthExchanges", None),
    83: ("reqSmartComponents", "reqId bboExchange"),
    84: ("reqNewsArticle", None),
    85: ("reqNewsProviders", None),
    86: ("reqHistoricalNews", None),
    87: ("reqHeadTimeStamp", f"reqId {_CONTRACT} includeExpired useRth whatToShow formatDate"),
    88: ("reqHistogramData", None),
    89: ("cancelHistogramData", None),
    90: ("cancelHeadTimeStamp", "reqId"),
    91: ("reqMarketRule", "ruleId"),
    92: ("reqPnL", "reqId account modelCode"),
    93: ("cancelPnL", "reqId"),
    94: ("reqPnLSingle", "reqId account modelCode conId"),
    95: ("cancelPnLSingle", "reqId"),
    96: (
        "reqHistoricalTicks",
        f"reqId {_CONTRACT} includeExpired startDateTime endDateTime ticks whatToShow useRth ignoreSize"
        " options",
    ),
    97: ("reqTickByTickData", f"reqId {_CONTRACT} type ticks ignoreSize"),
    98: ("cancelTickByTickData", "reqId"),
    99: ("reqCompletedOrders", "apiOnly"),
    100: ("reqWshMetaData", None),
    101: ("cancelWshMetaData", None),
    102: ("reqWshEventData", None),
    103: ("cancelWshEventData", None),
    104: ("reqUserInfo", "reqId"),
}
FROM_GATEWAY: dict[int, tuple[str, str | None]] = {
    1: ("tickPrice", "version reqId tickType price size attributes"),
    2: ("tickSize", "version reqId tickType size"),
    3: (
        "orderStatus",
        "orderId status filled remaining avgFillPrice permId parentId lastFillPrice clientId whyHeld"
        " mktCapPrice",
    ),
    4: ("error", "version reqId code text ?v>=166( advancedOrderReject )"),
    5: ("openOrder", _OPEN_ORDER),
    6: ("accountValue", "version key value currency account"),
    7: (
        "portfolioValue",
        f"version {_TERMS} primaryExchange currency localSymbol tradingClass position marketPrice marketValue"
        " averageCost unrealizedPnl realizedPnl account",
    ),
    8: ("accountTime", "version time"),
    9: ("nextValidId", "version orderId"),
    10: ("contractDetails", _CONTRACT_DETAILS),
    11: (
        "execDetails",
        f"reqId orderId {_SHORT} execId time account execExchange side shares price permId clientId"
        " liquidation cumQty avgPrice orderRef evRule evMultiplier modelCode lastLiquidity"
        " ?v>=178( pendingPriceRevision )",
    ),
    15: ("managedAccounts", "version accounts"),
    17: (
        "historicalData",
        "reqId start end bars*( date open high low close volume wap count )",
    ),
    19: ("scannerParameters", "version parameters"),
    21: (
        "tickOptionComputation",
        "reqId tickType basis impliedVol delta optPrice pvDividend gamma vega theta undPrice",
    ),
    45: ("tickGeneric", "version reqId tickType value"),
    46: ("tickString", "version reqId tickType value"),
    49: ("currentTime", "version time"),
    52: ("contractDetailsEnd", "version reqId"),
    53: ("openOrderEnd", "version"),
    54: ("accountDownloadEnd", "version account"),
    55: ("execDetailsEnd", "version reqId"),
    57: ("tickSnapshotEnd", "version reqId"),
    58: ("marketDataType", "version reqId type"),
    59: (
        "commissionReport",
        "version execId commission currency realizedPnl yield yieldRedemptionDate",
    ),
    61: ("position", f"version account {_SHORT} position avgCost"),
    62: ("positionEnd", "version"),
    63: ("accountSummary", "version reqId account tag value currency"),
    64: ("accountSummaryEnd", "version reqId"),
    71: ("positionMulti", f"version reqId account {_SHORT} position avgCost modelCode"),
    72: ("positionMultiEnd", "version reqId"),
    73: ("accountUpdateMulti", "version reqId account modelCode key value currency"),
    74: ("accountUpdateMultiEnd", "version reqId"),
    75: (
        "secDefOptParams",
        "reqId exchange underlyingConId tradingClass multiplier expirations*( expiration )"
        " strikes*( strike )",
    ),
    76: ("secDefOptParamsEnd", "reqId"),
    77: ("softDollarTiers", "reqId tiers*( name value displayName )"),
    78: ("familyCodes", "codes*( account familyCode )"),
    79: (
        "symbolSamples",
        "reqId found*( conId symbol secType primaryExchange currency derivatives*( derivativeType )"
        " ?v>=176( description issuerId ) )",
    ),
    80: ("mktDepthExchanges", "exchanges*( exchange secType listingExchange serviceDataType aggGroup )"),
    81: ("tickReqParams", "reqId minTick bboExchange snapshotPermissions"),
    82: ("smartComponents", "reqId components*( bit exchange letter )"),
    85: ("newsProviders", "providers*( code name )"),
    88: ("headTimestamp", "reqId time"),
    90: ("historicalDataUpdate", "reqId count date open close high low wap volume"),
    93: ("marketRule", "ruleId increments*( lowEdge increment )"),
    94: ("pnl", "reqId daily unrealized realized"),
    95: ("pnlSingle", "reqId position daily unrealized realized value"),
    96: ("historicalTicks", "reqId ticks*( time mask price size ) done"),
    97: (
        "historicalTicksBidAsk",
        "reqId ticks*( time mask bid ask bidSize askSize ) done",
    ),
    98: ("historicalTicksLast", "reqId ticks*( time mask price size exchange conditions ) done"),
    99: (
        "tickByTick",
        "reqId type time ?type=1|2( price size mask exchange conditions )"
        " ?type=3( bid ask bidSize askSize mask ) ?type=4( middle )",
    ),
    100: ("orderBound", "permId clientId orderId"),
    101: ("completedOrder", _COMPLETED_ORDER),
    102: ("completedOrdersEnd", ""),
    106: ("historicalSchedule", "reqId start end timeZone sessions*( start end date )"),
    107: ("userInfo", "reqId whiteBrandingId"),
}
# Everything that concerns an order, in both directions.
ORDERS = ({3, 4, 5, 7, 15, 16, 58, 99}, {3, 5, 11, 53, 55, 59, 100, 101, 102})


@dataclass(frozen=True, slots=True)
class Message:
    """`fields` are (name, value) in wire order, a repeated one with its number. `wrong` says how the message
    departs from its layout, empty when it does not."""

    name: str
    fields: tuple[tuple[str, str], ...]
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class _Group:
    """`count` names the field that says how often; `test` (name, relation, value) says whether."""

    count: str
    test: tuple[str, str, str]
    parts: tuple["str | _Group", ...]


_TOKEN = re.compile(r"\?[^\s(]+\(|\w+\*\(|\)|\w+")


@cache
def _parsed(layout: str) -> tuple["str | _Group", ...]:
    return tuple(_parts(iter(_TOKEN.findall(layout))))


def _parts(tokens: Iterator[str]) -> Iterator["str | _Group"]:
    for token in tokens:
        if token == ")":
            return
        if token.endswith("*("):
            yield _Group(token[:-2], ("", "", ""), tuple(_parts(tokens)))
        elif token.startswith("?"):
            name, relation, value = re.fullmatch(r"(\w+)([<>=]*)(.*)", token[1:-1]).groups()  # type: ignore[union-attr]
            yield _Group("", (name, relation, value.replace("_", " ")), tuple(_parts(tokens)))
        else:
            yield token


class _Reader:
    def __init__(self, values: Sequence[str], version: int) -> None:
        self.values = values
        self.version = version
        self.at = 1
        self.found: list[tuple[str, str]] = []
        self.latest: dict[str, str] = {}

    def read(self, parts: tuple["str | _Group", ...], number: str = "") -> None:
        """Raises IndexError when the message ends too soon."""
        for part in parts:
            if isinstance(part, str):
                self._take(part, number)
            elif part.count:
                times = self._take(part.count, number)
                for n in range(int(times) if times.isdigit() else 0):
                    self.read(part.parts, f"{number}[{n + 1}]")
            elif self._holds(*part.test):
                self.read(part.parts, number)

    def _take(self, name: str, number: str) -> str:
        value = self.values[self.at]
        self.at += 1
        self.found.append((name + number, value))
        self.latest[name] = value
        return value

    def _holds(self, name: str, relation: str, wanted: str) -> bool:
        if name == "v":
            return self.version >= int(wanted) if relation == ">=" else self.version < int(wanted)
        value = self.latest[name]
        if relation == ">":
            return value not in ("", UNSET_DOUBLE, UNSET_INT) and float(value) > float(wanted)
        return value in wanted.split("|") if relation else value not in ("", "0")


def name_of(kind: int, from_client: bool) -> str:
    """What a message is called; its number when nobody knows it."""
    return (FROM_CLIENT if from_client else FROM_GATEWAY).get(kind, (f"message {kind}", None))[0]


def is_kind(text: str) -> bool:
    """Whether a message of either direction has this name or number."""
    messages = FROM_CLIENT | FROM_GATEWAY
    names = {name for name, _ in (*FROM_CLIENT.values(), *FROM_GATEWAY.values())}
    return text in names or (text.isdigit() and int(text) in messages)


def read(values: Sequence[str], version: int, from_client: bool) -> Message:
    """A message's fields by name; `values` begin with its number."""
    kind = int(values[0]) if values and values[0].isdigit() else -1
    name, layout = (FROM_CLIENT if from_client else FROM_GATEWAY).get(kind, (f"message {kind}", None))
    if layout is None:
        return Message(name, tuple((str(n), value) for n, value in enumerate(values[1:], 1)))
    reader = _Reader(values, version)
    try:
        reader.read(_parsed(layout))
    except IndexError:
        return Message(name, tuple(reader.found), f"it ends after {len(values)} fields")
    except ValueError as error:
        return Message(name, tuple(reader.found), f"field {reader.at - 1} makes no sense ({error})")
    extra = values[reader.at :]
    return Message(name, tuple(reader.found), f"{len(extra)} fields too many: {extra}" if extra else "")

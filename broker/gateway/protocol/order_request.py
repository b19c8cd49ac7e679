"""What a client asks for with placeOrder (3), read field by field at any server version from 157 to 178."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from broker.gateway.errors import MessageError, OrderRefused
from broker.gateway.markets.listings import Query
from broker.gateway.protocol.wire import INFINITY, Fields, Value, plain

CONDITION_FIELDS = {1: 6, 3: 3, 4: 3, 5: 4, 6: 5, 7: 5}
PEG_BENCH = ("PEG BENCH", "PEGBENCH")
PEG_BEST = ("PEG BEST", "PEGBEST")
PEG_MID = ("PEG MID", "PEGMID")

# The single fields by the names of the client libraries, in wire order, cut where a group or an older layout
# interrupts them.
HEAD = (
    "secIdType secId action totalQuantity orderType lmtPrice auxPrice tif ocaGroup account openClose origin"
    " orderRef transmit parentId blockOrder sweepToFill displaySize triggerMethod outsideRth hidden"
)
TO_ADVISER = "obsolete discretionaryAmt goodAfterTime goodTillDate faGroup faMethod faPercentage"
TO_DELTA_NEUTRAL = (
    "modelCode shortSaleSlot designatedLocation exemptCode ocaType rule80A settlingFirm allOrNone minQty"
    " percentOffset eTradeOnly firmQuoteOnly nbboPriceCap auctionStrategy startingPrice stockRefPrice delta"
    " stockRangeLower stockRangeUpper overridePercentageConstraints volatility volatilityType"
    " deltaNeutralOrderType deltaNeutralAuxPrice"
)
DELTA_NEUTRAL = (
    "deltaNeutralConId deltaNeutralSettlingFirm deltaNeutralClearingAccount deltaNeutralClearingIntent"
    " deltaNeutralOpenClose deltaNeutralShortSale deltaNeutralShortSaleSlot"
    " deltaNeutralDesignatedLocation"
)
TO_SCALE = (
    "continuousUpdate referencePriceType trailStopPrice trailingPercent scaleInitLevelSize"
    " scaleSubsLevelSize scalePriceIncrement"
)
SCALE = (
    "scalePriceAdjustValue scalePriceAdjustInterval scaleProfitOffset scaleAutoReset scaleInitPosition"
    " scaleInitFillQty scaleRandomPercent"
)
TO_HEDGE = "scaleTable activeStartTime activeStopTime hedgeType"
TO_DELTA_CONTRACT = "optOutSmartRouting clearingAccount clearingIntent notHeld"
TO_BENCHMARK = "algoId whatIf orderMiscOptions solicited randomizeSize randomizePrice"
BENCHMARK = (
    "referenceContractId isPeggedChangeAmountDecrease peggedChangeAmount referenceChangeAmount"
    " referenceExchangeId"
)
CONDITION_TERMS = "conditionsIgnoreRth conditionsCancelOrder"
TO_PRICE_MANAGEMENT = (
    "adjustedOrderType triggerPrice lmtPriceOffset adjustedStopPrice adjustedStopLimitPrice"
    " adjustedTrailingAmount adjustableTrailingUnit extOperator softDollarName softDollarValue cashQty"
    " mifid2DecisionMaker mifid2DecisionAlgo mifid2ExecutionTrader mifid2ExecutionAlgo"
    " dontUseAutoPriceForHedge isOmsContainer discretionaryUpToLimitPrice usePriceMgmtAlgo"
)
LATE = (
    (158, "duration"),
    (160, "postToAts"),
    (162, "autoCancelParent"),
    (166, "advancedErrorOverride"),
    (169, "manualOrderTime"),
)
PEGS_SINCE = 170
MIDDLE_OFFSETS = "midOffsetAtWhole midOffsetAtHalf"


@dataclass(frozen=True, slots=True)
class ComboLeg:
    """`action` is BUY or SELL as seen by a buyer of the combo; `ratio` contracts per combo.

    `terms` are openClose, shortSaleSlot, designatedLocation and exemptCode as the client sent them.
    """

    con_id: int
    ratio: int
    action: str
    exchange: str
    terms: tuple[str, str, str, str] = ("0", "0", "", "-1")

    @property
    def sign(self) -> int:
        return 1 if self.action == "BUY" else -1


Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """All that a client says of an order. Prices are USD per share, None unless set.

    `aux_price`: a stop's trigger, a trail's distance. `good_till` and `good_after`: as the client wrote them.
    `min_quantity` None: any part may fill. `trailing_percent` in percent. `conditions`: kind and body fields.
    `delta_contract`: conId, delta and price. `terms`: every other field that was not empty, by its name.
    """

    contract: Query
    action: str
    quantity: int
    order_type: str
    limit_price: float | None = None
    aux_price: float | None = None
    tif: str = "DAY"
    oca_group: str = ""
    oca_type: int = 0
    account: str = ""
    order_ref: str = ""
    transmit: bool = True
    parent_id: int = 0
    outside_rth: bool = False
    trigger_method: int = 0
    good_after: str = ""
    good_till: str = ""
    all_or_none: bool = False
    min_quantity: int | None = None
    trail_stop_price: float | None = None
    trailing_percent: float | None = None
    scale_increment: float | None = None
    what_if: bool = False
    legs: tuple[ComboLeg, ...] = ()
    leg_prices: tuple[float | None, ...] = ()
    routing: Pairs = ()
    algo: Pairs = ()
    conditions: tuple[tuple[str, ...], ...] = ()
    delta_contract: tuple[str, ...] = ()
    terms: Mapping[str, str] = field(default_factory=dict)

    @property
    def sign(self) -> int:
        return 1 if self.action == "BUY" else -1

    @property
    def is_combo(self) -> bool:
        return self.contract.sec_type == "BAG"

    def said(self, name: str) -> Value:
        """What the client said in the field of this name; None when it said nothing."""
        typed = TYPED.get(name)
        return getattr(self, typed[0]) if typed else self.terms.get(name)


def read_order(fields: Fields, version: int) -> OrderRequest:
    """All after the order id; raises MessageError for another layout, also when fields are left over."""
    contract = Query.read(fields)
    said: dict[str, Any] = {}
    groups: dict[str, Any] = {}

    def take(names: str) -> Any:
        """Reads the fields of these names; what the last of them says."""
        value = None
        for name in names.split():
            value = said[name] = TYPED[name][1](fields) if name in TYPED else plain(fields.text())
        return value

    take(HEAD)
    if contract.sec_type == "BAG":
        groups = _combo(fields)
    take(TO_ADVISER)
    if version < 177:
        take("faProfile")
    take(TO_DELTA_NEUTRAL)
    if said["deltaNeutralOrderType"]:
        take(DELTA_NEUTRAL)
    if (take(TO_SCALE) or 0.0) > 0:
        take(SCALE)
    if take(TO_HEDGE):
        take("hedgeParam")
    take(TO_DELTA_CONTRACT)
    if fields.flag():
        groups["delta_contract"] = (fields.text(), fields.text(), fields.text())
    if take("algoStrategy"):
        groups["algo"] = _pairs(fields)
    take(TO_BENCHMARK)
    if said["orderType"] in PEG_BENCH:
        take(BENCHMARK)
    groups["conditions"] = _conditions(fields)
    if groups["conditions"]:
        take(CONDITION_TERMS)
    take(TO_PRICE_MANAGEMENT)
    take(" ".join(name for since, name in LATE if version >= since))
    if version >= PEGS_SINCE:
        take(_peg_fields(said["orderType"], contract.exchange))
    if said.get("competeAgainstBestOffset") == INFINITY:
        take(MIDDLE_OFFSETS)
    fields.finish()
    if said["action"] not in ("BUY", "SELL"):
        raise MessageError(f"action {said['action']!r} is neither BUY nor SELL")
    typed = {attribute: said.pop(name) for name, (attribute, _) in TYPED.items()}
    terms = {name: text for name, text in said.items() if text}
    return OrderRequest(contract=contract, terms=terms, **typed, **groups)


def _contracts(fields: Fields) -> int:
    quantity = fields.real() or 0.0
    if not quantity.is_integer():
        raise OrderRefused(10243, f"Fractional-sized order cannot be placed via API: {quantity:g}")
    return int(quantity)


def _whole_or_none(fields: Fields) -> int | None:
    return fields.integer() or None


def _pairs(fields: Fields) -> Pairs:
    return tuple((fields.text(), fields.text()) for _ in range(fields.integer()))


def _combo(fields: Fields) -> dict[str, Any]:
    """The legs, their prices and the routing parameters of a BAG."""
    legs = []
    for _ in range(fields.integer()):
        con_id, ratio, action, exchange = fields.integer(), fields.integer(), fields.text(), fields.text()
        terms = (fields.text(), fields.text(), fields.text(), fields.text())
        legs.append(ComboLeg(con_id, ratio, action, exchange, terms))
    prices = tuple(fields.real() for _ in range(fields.integer()))
    return {"legs": tuple(legs), "leg_prices": prices, "routing": _pairs(fields)}


def _conditions(fields: Fields) -> tuple[tuple[str, ...], ...]:
    found = []
    for _ in range(fields.integer()):
        kind = fields.integer()
        if kind not in CONDITION_FIELDS:
            raise MessageError(f"order condition {kind} is unknown")
        found.append((str(kind), *(fields.text() for _ in range(CONDITION_FIELDS[kind]))))
    return tuple(found)


def _peg_fields(order_type: str, exchange: str) -> str:
    """The last fields of orders that are pegged or go to IBKRATS."""
    names = "minTradeQty " if exchange == "IBKRATS" else ""
    if order_type in PEG_BEST:
        return names + "minCompeteSize competeAgainstBestOffset"
    return names + MIDDLE_OFFSETS if order_type in PEG_MID else names


# The fields that OrderRequest carries by a name of its own, and how each is read.
TYPED: dict[str, tuple[str, Callable[[Fields], Any]]] = {
    "action": ("action", Fields.text),
    "totalQuantity": ("quantity", _contracts),
    "orderType": ("order_type", Fields.text),
    "lmtPrice": ("limit_price", Fields.real),
    "auxPrice": ("aux_price", Fields.real),
    "tif": ("tif", lambda fields: fields.text() or "DAY"),
    "ocaGroup": ("oca_group", Fields.text),
    "ocaType": ("oca_type", Fields.integer),
    "account": ("account", Fields.text),
    "orderRef": ("order_ref", Fields.text),
    "transmit": ("transmit", Fields.flag),
    "parentId": ("parent_id", Fields.integer),
    "outsideRth": ("outside_rth", Fields.flag),
    "triggerMethod": ("trigger_method", Fields.integer),
    "goodAfterTime": ("good_after", Fields.text),
    "goodTillDate": ("good_till", Fields.text),
    "allOrNone": ("all_or_none", Fields.flag),
    "minQty": ("min_quantity", _whole_or_none),
    "trailStopPrice": ("trail_stop_price", Fields.real),
    "trailingPercent": ("trailing_percent", Fields.real),
    "scalePriceIncrement": ("scale_increment", Fields.real),
    "whatIf": ("what_if", Fields.flag),
}

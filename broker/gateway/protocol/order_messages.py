"""What the gateway says about orders and executions, field by field at any server version from 157 to 178."""

from collections.abc import Sequence
from dataclasses import dataclass

from broker.gateway.exchange.account import Execution
from broker.gateway.exchange.order import Order, Status
from broker.gateway.markets.hours import ib_time
from broker.gateway.markets.listings import COMBO_CON_ID
from broker.gateway.protocol.order_request import (
    BENCHMARK,
    CONDITION_TERMS,
    DELTA_NEUTRAL,
    PEG_BENCH,
    PEGS_SINCE,
    SCALE,
    ComboLeg,
    OrderRequest,
)
from broker.gateway.protocol.wire import UNSET_DOUBLE, UNSET_INT, Value
from options import Contract, SecType

UNSET_LONG = "9223372036854775807"

ZEROES = (
    "origin hidden discretionaryAmt shortSaleSlot auctionStrategy blockOrder sweepToFill eTradeOnly"
    " firmQuoteOnly volatilityType deltaNeutralConId deltaNeutralShortSale deltaNeutralShortSaleSlot"
    " continuousUpdate referencePriceType optOutSmartRouting notHeld solicited randomizeSize randomizePrice"
    " conditionsIgnoreRth conditionsCancelOrder adjustableTrailingUnit cashQty isOmsContainer"
    " discretionaryUpToLimitPrice usePriceMgmtAlgo autoCancelParent"
)
# What a real gateway shows in a field that the client left empty or zero; every other field it repeats.
SHOWN: dict[str, Value] = {
    **dict.fromkeys(ZEROES.split(), 0),
    "lmtPrice": "0.0",
    "auxPrice": "0.0",
    "exemptCode": -1,
    "displaySize": UNSET_INT,
    "ocaType": 3,
    "deltaNeutralOrderType": "None",
    "deltaNeutralOpenClose": "?",
    "scaleInitLevelSize": UNSET_INT,
    "scaleSubsLevelSize": UNSET_INT,
    "clearingIntent": "IB",
    "adjustedOrderType": "None",
    "triggerPrice": UNSET_DOUBLE,
    "lmtPriceOffset": UNSET_DOUBLE,
    "adjustedStopPrice": UNSET_DOUBLE,
    "adjustedStopLimitPrice": UNSET_DOUBLE,
    "adjustedTrailingAmount": UNSET_DOUBLE,
    "dontUseAutoPriceForHedge": 1,
}

TERMS = "orderType lmtPrice auxPrice tif ocaGroup"
ORIGIN = "openClose origin orderRef"
TO_GOOD_AFTER = "outsideRth hidden discretionaryAmt goodAfterTime"
ADVISER = "faGroup faMethod faPercentage"
TO_EXEMPT = (
    "modelCode goodTillDate rule80A percentOffset settlingFirm shortSaleSlot designatedLocation exemptCode"
)
TO_DISPLAY = "startingPrice stockRefPrice delta stockRangeLower stockRangeUpper displaySize"
OPEN_TO_CAP = "blockOrder sweepToFill allOrNone minQty ocaType eTradeOnly firmQuoteOnly nbboPriceCap parentId"
VOLATILITY = "triggerMethod volatility volatilityType deltaNeutralOrderType deltaNeutralAuxPrice"
DELTA_NEUTRAL_SHORT = (
    "deltaNeutralConId deltaNeutralShortSale deltaNeutralShortSaleSlot deltaNeutralDesignatedLocation"
)
TRAIL = "continuousUpdate referencePriceType trailStopPrice trailingPercent"
RANDOMIZED = "randomizeSize randomizePrice"
ADJUSTED = (
    "lmtPriceOffset adjustedStopPrice adjustedStopLimitPrice adjustedTrailingAmount adjustableTrailingUnit"
    " softDollarName softDollarValue"
)
OPEN_TO_MANAGEMENT = (
    "cashQty dontUseAutoPriceForHedge isOmsContainer discretionaryUpToLimitPrice usePriceMgmtAlgo"
)
OPEN_LATE = ((158, "duration"), (160, "postToAts"), (162, "autoCancelParent"))
PEGS = "minTradeQty minCompeteSize competeAgainstBestOffset midOffsetAtWhole midOffsetAtHalf"


@dataclass(frozen=True, slots=True)
class OrderState:
    """The part of an openOrder that tells margins and commissions; the defaults are those of a plain order,
    which leaves the commission empty until it is known.

    `margins`: initial, maintenance and equity before, then their changes, then after.
    """

    status: str
    margins: tuple[Value, ...] = (UNSET_DOUBLE,) * 9
    commission: Value = None
    commission_bounds: Value = None
    currency: str = ""
    warning: str = ""


def contract_fields(
    contract: Contract, exchange: str | None = None, no_option: tuple[Value, Value] = (0.0, "")
) -> list[Value]:
    """conId to tradingClass without primaryExchange; `no_option`: strike and right of what has neither."""
    option = contract.sec_type is SecType.OPTION
    return [
        contract.con_id,
        contract.symbol,
        contract.sec_type,
        contract.expiry,
        *((contract.strike, contract.right) if option else no_option),
        contract.multiplier if option else "",
        contract.exchange if exchange is None else exchange,
        contract.currency,
        contract.local_symbol,
        contract.trading_class,
    ]


def combo_fields(request: OrderRequest) -> list[Value]:
    """The same fields for the combo as a whole."""
    asked = request.contract
    exchange, currency = asked.exchange or "SMART", asked.currency or "USD"
    return [COMBO_CON_ID, asked.symbol, "BAG", "", 0, "?", "", exchange, currency, asked.symbol, "COMB"]


def open_order(
    request: OrderRequest,
    legs: tuple[tuple[Contract, int], ...],
    ids: tuple[int, int, int],
    account: str,
    state: OrderState,
    version: int,
) -> list[Value]:
    """openOrder (5); `ids` are order, client and permanent id (0 for a what-if)."""
    order_id, client_id, perm_id = ids
    allocation = f"{perm_id}.0/{account}/100" if perm_id else ""
    bounds = (state.commission_bounds, state.commission_bounds, state.currency, state.warning)
    return [
        *(5, order_id, *_order_contract(request, legs), request.action, request.quantity),
        *(*_shown(request, TERMS), account),
        *(*_shown(request, ORIGIN), client_id, perm_id, *_shown(request, TO_GOOD_AFTER), allocation),
        *_adviser(request, version),
        *(*_shown(request, TO_EXEMPT), *_shown(request, "auctionStrategy " + TO_DISPLAY)),
        *(*_shown(request, OPEN_TO_CAP), *_shown(request, VOLATILITY), *_shown(request, DELTA_NEUTRAL)),
        *(*_shown(request, TRAIL), "", "", *_legs(request), *_scale(request), *_hedge(request)),
        *_shown(request, "optOutSmartRouting clearingAccount clearingIntent notHeld"),
        *(*_delta_contract(request), *_algo(request), *_shown(request, "solicited whatIf")),
        *(state.status, *state.margins, state.commission, *bounds),
        *(*_shown(request, RANDOMIZED), *_benchmark(request), *_conditions(request)),
        *(*_shown(request, "adjustedOrderType triggerPrice"), _unset(request.trail_stop_price)),
        *(*_shown(request, ADJUSTED), "", *_shown(request, OPEN_TO_MANAGEMENT)),
        *_shown(request, " ".join(name for since, name in OPEN_LATE if version >= since)),
        *_pegs(request, version),
    ]


def completed_order(order: Order, account: str, version: int, parent: Order | None = None) -> list[Value]:
    """completedOrder (101); its quantity is what was left of the order, its parent the permanent id."""
    request = order.request
    return [
        *(101, *_order_contract(request, order.legs), request.action, order.remaining),
        *(*_shown(request, TERMS), account),
        *(*_shown(request, ORIGIN), order.perm_id, *_shown(request, TO_GOOD_AFTER)),
        *(*_adviser(request, version), *_shown(request, TO_EXEMPT), *_shown(request, TO_DISPLAY)),
        *_shown(request, "sweepToFill allOrNone minQty ocaType " + VOLATILITY),
        *_shown(request, DELTA_NEUTRAL_SHORT),
        *(*_shown(request, TRAIL), *_legs(request), *_scale(request), *_hedge(request)),
        *_shown(request, "clearingAccount clearingIntent notHeld"),
        *(*_delta_contract(request), *_algo(request), *_shown(request, "solicited"), order.status),
        *(*_shown(request, RANDOMIZED), *_benchmark(request), *_conditions(request)),
        *(_unset(request.trail_stop_price), *_shown(request, "lmtPriceOffset cashQty")),
        *(*_shown(request, "dontUseAutoPriceForHedge isOmsContainer"), "", order.filled),
        *(UNSET_INT, *_shown(request, "autoCancelParent"), "Not an insider or substantial shareholder", 0, 0),
        *(
            parent.perm_id if parent else UNSET_LONG,
            ib_time(order.done, version) if order.done else "",
            order.outcome,
        ),
        *_pegs(request, version),
    ]


def _shown(request: OrderRequest, names: str) -> list[Value]:
    """What a real gateway writes into the fields of these names."""
    fields: list[Value] = []
    for name in names.split():
        said = request.said(name)
        fields.append(SHOWN.get(name, said) if said in (None, "", 0, "0", "0.0") else said)
    return fields


def _unset(price: float | None) -> Value:
    return UNSET_DOUBLE if price is None else price


def _order_contract(request: OrderRequest, legs: tuple[tuple[Contract, int], ...]) -> list[Value]:
    return combo_fields(request) if request.is_combo else contract_fields(legs[0][0], no_option=(0, "?"))


def _adviser(request: OrderRequest, version: int) -> list[Value]:
    return _shown(request, ADVISER + " faProfile" if version < 177 else ADVISER)


def _legs(request: OrderRequest) -> list[Value]:
    """The combo in short, its legs, their prices and the routing parameters."""
    fields: list[Value] = [",".join(_short(leg) for leg in request.legs), len(request.legs)]
    for leg in request.legs:
        fields += [leg.con_id, leg.ratio, leg.action, leg.exchange, *leg.terms]
    fields += [len(request.leg_prices), *request.leg_prices]
    return fields + _counted(request.routing)


def _short(leg: ComboLeg) -> str:
    return f"{leg.con_id}|{leg.sign * leg.ratio}"


def _counted(groups: Sequence[tuple[str, ...]]) -> list[Value]:
    """How many there are, then the fields of each."""
    return [len(groups), *(field for group in groups for field in group)]


def _scale(request: OrderRequest) -> list[Value]:
    fields = _shown(request, "scaleInitLevelSize scaleSubsLevelSize scalePriceIncrement")
    return fields + _shown(request, SCALE) if (request.scale_increment or 0.0) > 0 else fields


def _hedge(request: OrderRequest) -> list[Value]:
    return _shown(request, "hedgeType hedgeParam" if request.said("hedgeType") else "hedgeType")


def _delta_contract(request: OrderRequest) -> list[Value]:
    return [bool(request.delta_contract), *request.delta_contract]


def _algo(request: OrderRequest) -> list[Value]:
    strategy = request.said("algoStrategy")
    return [strategy, *_counted(request.algo)] if strategy else [""]


def _benchmark(request: OrderRequest) -> list[Value]:
    return _shown(request, BENCHMARK if request.order_type in PEG_BENCH else "")


def _conditions(request: OrderRequest) -> list[Value]:
    return _counted(request.conditions) + _shown(request, CONDITION_TERMS if request.conditions else "")


def _pegs(request: OrderRequest, version: int) -> list[Value]:
    return _shown(request, PEGS if version >= PEGS_SINCE else "")


def order_opened(order: Order, account: str, version: int, with_commission: bool = True) -> list[Value]:
    """openOrder for an order in the book; once it has filled, with its commission."""
    state = OrderState(order.status)
    if with_commission and order.commission_usd is not None:
        state = OrderState(order.status, commission=order.commission_usd, currency="USD")
    ids = (order.order_id, order.client_id, order.perm_id)
    return open_order(order.request, order.legs, ids, account, state, version)


def order_status(order: Order, status: str | None = None) -> list[Value]:
    """orderStatus (3); `status` overrides the book's, for stations that pass at once."""
    price = order.fill_price or 0
    return [
        *(3, order.order_id, status or order.status, order.filled, order.remaining, price, order.perm_id),
        *(order.request.parent_id, order.last_price or 0, order.client_id, order.why_held, 0),
    ]


def order_rejected(request: OrderRequest, order_id: int, client_id: int, perm_id: int) -> list[Value]:
    """orderStatus (3) of an order that never came into the book."""
    return [
        *(3, order_id, Status.INACTIVE, 0, request.quantity, 0, perm_id),
        *(request.parent_id, 0, client_id, "", 0),
    ]


def order_bound(order: Order) -> list[Value]:
    """orderBound (100): which client may address the order by which id."""
    return [100, order.perm_id, order.client_id, order.order_id]


def exec_details(
    execution: Execution, order: Order, account: str, version: int, req_id: int = -1
) -> list[Value]:
    """execDetails (11); `req_id` -1 announces a fill as it happens."""
    side = "BOT" if execution.quantity > 0 else "SLD"
    shares = abs(execution.quantity)
    contract = execution.contract
    return [
        *(11, req_id, execution.order_id),
        *(contract_fields(contract) if contract else combo_fields(order.request)),
        *(execution.exec_id, ib_time(execution.time, version), account, "SMART", side, shares),
        *(execution.price, execution.perm_id, execution.client_id, 0),
        *(execution.cumulative, execution.average_price, execution.order_ref, "", "", ""),
        *(1 if execution.adds_liquidity else 2, *((0,) if version >= 178 else ())),
    ]


def commission_report(execution: Execution) -> list[Value]:
    """commissionReport (59)."""
    realized: Value = UNSET_DOUBLE if execution.realized_usd is None else round(execution.realized_usd, 6)
    return [59, 1, execution.exec_id, execution.commission_usd, "USD", realized, UNSET_DOUBLE, ""]

"""What the gateway says about orders and executions, in the field order of server version 178."""

from dataclasses import dataclass

from broker.gateway.account import Execution
from broker.gateway.hours import ib_time
from broker.gateway.listings import COMBO_CON_ID
from broker.gateway.order import Order
from broker.gateway.order_request import OrderRequest
from broker.gateway.wire import UNSET_DOUBLE, UNSET_INT, Value
from options import Contract, SecType

UNSET_LONG = "9223372036854775807"


@dataclass(frozen=True, slots=True)
class OrderState:
    """The part of an openOrder that tells margins and commissions; the defaults are those of a plain order.

    `margins`: initial, maintenance and equity before, then their changes, then after.
    """

    status: str
    margins: tuple[Value, ...] = (UNSET_DOUBLE,) * 9
    commission: Value = UNSET_DOUBLE
    commission_bounds: Value = UNSET_DOUBLE
    currency: str = ""


def contract_fields(contract: Contract, exchange: str | None = None) -> list[Value]:
    """conId to tradingClass without primaryExchange, as openOrder and execDetails carry them."""
    option = contract.sec_type is SecType.OPTION
    return [
        contract.con_id,
        contract.symbol,
        contract.sec_type,
        contract.expiry,
        contract.strike if option else 0,
        contract.right if option else "?",
        contract.multiplier if option else "",
        contract.exchange if exchange is None else exchange,
        contract.currency,
        contract.local_symbol,
        contract.trading_class,
    ]


def combo_fields(request: OrderRequest) -> list[Value]:
    """The same fields for the combo as a whole."""
    symbol = request.contract.symbol
    currency = request.contract.currency or "USD"
    return [COMBO_CON_ID, symbol, "BAG", "", 0, "?", "", "SMART", currency, symbol, "COMB"]


def _order_contract(request: OrderRequest, legs: tuple[tuple[Contract, int], ...]) -> list[Value]:
    return combo_fields(request) if request.is_combo else contract_fields(legs[0][0])


def _legs(request: OrderRequest) -> list[Value]:
    """nComboLegs with the legs, no leg prices, and the routing parameters."""
    fields: list[Value] = [len(request.legs)]
    for leg in request.legs:
        fields += [leg.con_id, leg.ratio, leg.action, leg.exchange, 0, 0, "", -1]
    fields += [0, len(request.routing)]
    for tag, value in request.routing:
        fields += [tag, value]
    return fields


def _description(request: OrderRequest) -> str:
    return ",".join(f"{leg.con_id}|{leg.sign * leg.ratio}" for leg in request.legs)


def _terms(request: OrderRequest) -> list[Value]:
    """action to ocaGroup."""
    return [
        request.action,
        request.quantity,
        request.order_type,
        request.limit_price if request.limit_price is not None else 0.0,
        request.aux_price if request.aux_price is not None else 0.0,
        request.tif,
        request.oca_group,
    ]


def open_order(
    request: OrderRequest,
    legs: tuple[tuple[Contract, int], ...],
    ids: tuple[int, int, int],
    account: str,
    state: OrderState,
) -> list[Value]:
    """openOrder (5); `ids` are order, client and permanent id (0 for a what-if)."""
    order_id, client_id, perm_id = ids
    return [
        *(5, order_id, *_order_contract(request, legs), *_terms(request), account, "", 0),
        *(request.order_ref, client_id, perm_id, request.outside_rth, 0, 0, "", "", "", "", ""),
        *("", "", "", "", "", 0, "", -1, 0, "", "", "", "", "", UNSET_INT, 0, 0, 0, "", 3, 0, 0, ""),
        *(request.parent_id, 0, "", 0, "None", "", 0, "", "", "", "?", 0, 0, "", 0, 0, "", "", "", ""),
        *(_description(request), *_legs(request), UNSET_INT, UNSET_INT, "", "", 0, "", "IB", 0, 0, "", 0),
        *(request.what_if, state.status, *state.margins, state.commission),
        *(state.commission_bounds, state.commission_bounds, state.currency, "", 0, 0, 0, "None"),
        *(UNSET_DOUBLE,) * 6,
        *(0, "", "", "", 0, 1, 0, 0, 0, "", "", 0, "", "", "", "", ""),
    ]


def order_opened(order: Order, account: str) -> list[Value]:
    """openOrder for an order in the book; a filled one carries its commission."""
    state = OrderState(order.status)
    if order.commission_usd is not None:
        state = OrderState(order.status, commission=order.commission_usd, currency="USD")
    return open_order(
        order.request, order.legs, (order.order_id, order.client_id, order.perm_id), account, state
    )


def order_status(order: Order, status: str | None = None) -> list[Value]:
    """orderStatus (3); `status` overrides the book's, for stations that pass at once."""
    price = order.fill_price or 0.0
    return [
        *(3, order.order_id, status or order.status, order.filled, order.remaining, price, order.perm_id),
        *(order.request.parent_id, price, order.client_id, "", 0),
    ]


def completed_order(order: Order, account: str) -> list[Value]:
    """completedOrder (101)."""
    request = order.request
    return [
        *(101, *_order_contract(request, order.legs), *_terms(request), account, "", 0),
        *(request.order_ref, order.perm_id, request.outside_rth, 0, 0, "", "", "", "", "", "", "", "", ""),
        *(0, "", -1, "", "", "", "", "", UNSET_INT, 0, 0, "", 3, 0, "", 0, "None", "", 0, 0, 0, ""),
        *(0, 0, "", "", _description(request), *_legs(request), UNSET_INT, UNSET_INT, "", "", "", "IB"),
        *(0, 0, "", 0, order.status, 0, 0, 0, UNSET_DOUBLE, UNSET_DOUBLE, 0, 1, 0, "", order.filled, 0),
        *(0, "Not an insider or substantial shareholder", 0, 0, UNSET_LONG),
        *(ib_time(order.done) if order.done else "", order.outcome, "", "", "", "", ""),
    ]


def exec_details(execution: Execution, order: Order, account: str, req_id: int = -1) -> list[Value]:
    """execDetails (11); `req_id` -1 announces a fill as it happens."""
    side = "BOT" if execution.quantity > 0 else "SLD"
    shares = abs(execution.quantity)
    contract = execution.contract
    return [
        *(11, req_id, execution.order_id),
        *(contract_fields(contract) if contract else combo_fields(order.request)),
        *(execution.exec_id, ib_time(execution.time), account, "SMART", side, shares, execution.price),
        *(execution.perm_id, execution.client_id, 0, shares, execution.price, execution.order_ref),
        *("", "", "", 2, 0),
    ]


def commission_report(execution: Execution) -> list[Value]:
    """commissionReport (59)."""
    realized: Value = UNSET_DOUBLE if execution.realized_usd is None else round(execution.realized_usd, 6)
    return [59, 1, execution.exec_id, execution.commission_usd, "USD", realized, UNSET_DOUBLE, ""]

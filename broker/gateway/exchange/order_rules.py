"""Which orders the exchange takes, and what it says to the others. Pure."""

import math
from datetime import datetime

from broker.gateway.errors import OrderRefused, rejection
from broker.gateway.exchange.order import Legs, Order
from broker.gateway.exchange.time_in_force import IMMEDIATE, TIMES_IN_FORCE
from broker.gateway.exchange.triggers import TRIGGER_METHODS, conditions_of
from broker.gateway.markets.listings import NOT_FOUND, Listings
from broker.gateway.markets.market_rules import conforms
from broker.gateway.protocol.order_request import OrderRequest
from options import Contract, SecType, hours, round_to_tick

ORDER_TYPES = ("LMT", "MKT", "STP", "STP LMT", "MIDPRICE")
LIMITED = ("LMT", "STP LMT")
MOST_LEGS = 4
MOST_CONTRACTS = 100_000
MOST_SHARES = 10_000_000
MOST_USD = 10_000_000
COMBO_TICK = 0.01
OCA_TYPES = (1, 2, 3)
# What clients may ask for beside the order's type and this exchange does not do, and IB's code for it.
UNSUPPORTED = {
    "algoStrategy": 439,
    "hedgeType": 321,
    "deltaNeutralOrderType": 321,
    "discretionaryAmt": 325,
    "adjustedOrderType": 321,
    "cashQty": 321,
    "faGroup": 344,
    "percentOffset": 321,
    "auctionStrategy": 321,
}
NOT_SAID = (None, "", "0", "0.0", "None")


def legs_of(request: OrderRequest, listings: Listings) -> Legs:
    """The contracts that the order would trade; raises OrderRefused."""
    if not request.is_combo:
        found = listings.match(request.contract)
        if len(found) != 1 or found[0].sec_type is SecType.INDEX:
            raise OrderRefused(200, NOT_FOUND)
        return ((found[0], request.sign),)
    if not 1 < len(request.legs) <= MOST_LEGS or len({leg.con_id for leg in request.legs}) < len(
        request.legs
    ):
        raise rejection(f"a combo needs 2 to {MOST_LEGS} different legs")
    legs = []
    for leg in request.legs:
        contract = listings.get(leg.con_id)
        if contract is None or contract.sec_type is SecType.INDEX:
            raise OrderRefused(200, NOT_FOUND)
        if leg.ratio < 1 or leg.action not in ("BUY", "SELL"):
            raise rejection("a combo leg needs a ratio above 0 and the action BUY or SELL")
        legs.append((contract, request.sign * leg.sign * leg.ratio))
    return tuple(legs)


def check(request: OrderRequest, legs: Legs, account_id: str, now: datetime) -> None:
    """Whether an order for `legs` makes sense; raises OrderRefused."""
    if request.account not in ("", account_id):
        raise rejection(f"account {request.account} is not {account_id}")
    for name, code in UNSUPPORTED.items():
        if request.terms.get(name) not in NOT_SAID:
            raise OrderRefused(code, f"{name} is not supported by the simulated gateway: leave it out")
    _check_type(request, legs)
    _check_size(request, legs)
    for contract, _ in legs:
        if contract.expiry is not None and now >= hours.closing(contract.expiry):
            raise OrderRefused(392, f"Invalid order: contract expired: {contract.label}")
    _check_prices(request, legs)
    conditions_of(request)


def _check_type(request: OrderRequest, legs: Legs) -> None:
    kind = request.order_type
    if kind not in ORDER_TYPES:
        raise OrderRefused(
            387,
            f"Unsupported order type for this exchange and security type: {kind}: use LMT, MKT, STP, STP LMT"
            " or (shares) MIDPRICE",
        )
    if kind == "MIDPRICE" and (request.is_combo or legs[0][0].sec_type is not SecType.STOCK):
        raise OrderRefused(
            387,
            "Unsupported order type for this exchange and security type: MIDPRICE is for shares only: use"
            " LMT at the middle",
        )
    if request.tif not in TIMES_IN_FORCE:
        known = ", ".join(sorted(TIMES_IN_FORCE))
        raise OrderRefused(
            111, f"The TIF (Tif type) and the order type are incompatible: {request.tif}: use {known}"
        )
    if request.tif in IMMEDIATE and (waits := _what_waits(request)):
        raise OrderRefused(
            111,
            "The TIF (Tif type) and the order type are incompatible:"
            f" {request.tif} may not wait, {waits} must: use DAY",
        )
    if request.trigger_method not in TRIGGER_METHODS:
        raise rejection(
            f"trigger method {request.trigger_method} is not supported by the simulated gateway:"
            " use 0, 2 (last), 4 (bid/ask), 7 (last or bid/ask) or 8 (middle)"
        )
    if request.oca_group and request.oca_type not in (0, *OCA_TYPES):
        raise rejection(f"OCA type {request.oca_type} is none of 1, 2 and 3")


def _what_waits(request: OrderRequest) -> str:
    """Why an order cannot be over at once; empty when it can."""
    if request.order_type in ("STP", "STP LMT"):
        return "a stop"
    if ("NonGuaranteed", "1") in request.routing:
        return "a combo that trades leg by leg"
    return "an order with goodAfterTime" if request.good_after else ""


def _check_size(request: OrderRequest, legs: Legs) -> None:
    if request.quantity == 0:
        raise OrderRefused(434, "The order size cannot be zero.")
    if request.quantity < 0:
        raise rejection("the quantity must be above 0")
    for contract, amount in legs:
        size = request.quantity * abs(amount)
        most = MOST_SHARES if contract.sec_type is SecType.STOCK else MOST_CONTRACTS
        if size > most:
            raise OrderRefused(
                383,
                "The size specified violates the size constraint specified in the default order settings:"
                f" {size} is above {most}",
            )
    if request.min_quantity is not None and request.is_combo:
        raise OrderRefused(350, "Minimum quantity is not supported for best combo order.")


def _check_prices(request: OrderRequest, legs: Legs) -> None:
    if request.order_type in LIMITED:
        if request.limit_price is None or math.isnan(request.limit_price):
            raise rejection("a limit order needs a limit price")
        _check_price(
            request,
            legs[0][0],
            request.limit_price,
            rejection("the limit price of a single contract must be above 0"),
        )
    if request.order_type == "MIDPRICE" and request.limit_price:
        _check_price(request, legs[0][0], request.limit_price, rejection("a price cap must be above 0"))
    if request.order_type in ("STP", "STP LMT"):
        if request.aux_price is None or math.isnan(request.aux_price):
            raise OrderRefused(403, "Invalid stop price: an order of type STP needs one in auxPrice")
        _check_price(request, legs[0][0], request.aux_price, OrderRefused(403, "Invalid stop price."))


def _check_price(request: OrderRequest, contract: Contract, price: float, not_positive: OrderRefused) -> None:
    """Prices of single contracts are above 0 and keep the contract's increments, those of combos cents."""
    if not abs(price) <= MOST_USD:
        raise rejection(f"the price {price:g} is not within {MOST_USD} USD per share")
    if not request.is_combo and price <= 0:
        raise not_positive
    fits = (
        abs(round_to_tick(price, COMBO_TICK) - price) < 1e-9
        if request.is_combo
        else conforms(contract, price)
    )
    if not fits:
        raise OrderRefused(
            110, "The price does not conform to the minimum price variation for this contract."
        )


def check_change(order: Order, request: OrderRequest, legs: Legs) -> None:
    """Whether a living order may become `request`; raises OrderRefused."""
    known = order.request
    same = (
        legs == order.legs
        and request.account in ("", known.account)
        and request.parent_id == known.parent_id
        and request.oca_group == known.oca_group
        and request.routing == known.routing
    )
    if not same:
        raise OrderRefused(
            105,
            "Order being modified does not match original order: contract, side, account, parent and OCA"
            " group stay as they are: cancel it and place another",
        )
    if request.order_type != known.order_type:
        raise OrderRefused(
            329,
            f"Order modify failed. Cannot change to the new order type.{request.order_type}: it is"
            f" {known.order_type}",
        )
    if request.tif != known.tif:
        raise OrderRefused(462, f"Order modify failed. Cannot change to the new Time in Force.{request.tif}")
    least = order.filled + max(order.under_way, 1)
    if request.quantity < least:
        raise OrderRefused(
            105,
            f"Order being modified does not match original order: {order.filled + order.under_way} are filled"
            " or under way already: cancel the rest instead",
        )
    if order.works and not request.transmit:
        raise OrderRefused(
            105,
            "Order being modified does not match original order: a change of a working order must come with"
            " transmit=1",
        )

"""Contracts and orders between our words and ib_async's."""

from datetime import datetime

import ib_async as ib

from broker.protocol import OrderRequest, Side
from options import BrokerError, ConId, Contract, Right, SecType

# Indices are not routed: each is known at the exchange that computes it.
INDEX_EXCHANGES = {"VIX": "CBOE", "SPX": "CBOE", "XSP": "CBOE", "NDX": "NASDAQ", "RUT": "RUSSELL"}

_SEC_TYPES = {each.value: each for each in SecType}
_RIGHTS = {"C": Right.CALL, "CALL": Right.CALL, "P": Right.PUT, "PUT": Right.PUT}


def our_contract(theirs: ib.Contract, min_tick: float | None = None) -> Contract | None:
    """None for a kind of security that we don't trade (futures, bonds, currencies) or cannot read."""
    sec_type = _SEC_TYPES.get(theirs.secType)
    if sec_type is None:
        return None
    is_option = sec_type is SecType.OPTION
    right = _RIGHTS.get(theirs.right)
    if is_option and (right is None or not theirs.lastTradeDateOrContractMonth):
        return None
    routed = sec_type is not SecType.INDEX
    return Contract(
        con_id=ConId(theirs.conId),
        symbol=theirs.symbol,
        sec_type=sec_type,
        expiry=datetime.strptime(theirs.lastTradeDateOrContractMonth[:8], "%Y%m%d").date()
        if is_option
        else None,
        strike=float(theirs.strike) if is_option else None,
        right=right if is_option else None,
        multiplier=int(float(theirs.multiplier or 1)),
        exchange="SMART" if routed else theirs.exchange or INDEX_EXCHANGES.get(theirs.symbol, ""),
        currency=theirs.currency,
        local_symbol=theirs.localSymbol,
        trading_class=theirs.tradingClass,
        min_tick=min_tick if min_tick else 0.01,
    )


def their_contract(ours: Contract) -> ib.Contract:
    is_option = ours.sec_type is SecType.OPTION
    return ib.Contract(
        conId=ours.con_id,
        symbol=ours.symbol,
        secType=ours.sec_type.value,
        lastTradeDateOrContractMonth=f"{ours.expiry:%Y%m%d}" if ours.expiry else "",
        strike=ours.strike or 0.0,
        right=ours.right.value if ours.right else "",
        multiplier=str(ours.multiplier) if is_option else "",
        exchange=ours.exchange,
        currency=ours.currency,
        tradingClass=ours.trading_class if is_option else "",
    )


def their_order(request: OrderRequest, account: str) -> tuple[ib.Contract, ib.Order]:
    """What is sent for `request`. SMART guarantees combos by default, so no routing parameters.

    Raises BrokerError for an order that cannot be expressed: no legs, a ratio of 0, a quantity below 1, a
    lone leg with a ratio other than ±1 or one that would pay to sell.
    """
    legs = request.legs
    if not legs or request.quantity < 1 or any(leg.ratio == 0 for leg in legs):
        raise BrokerError(
            f"order {request.order_ref} has no legs, a ratio of 0 or a quantity below 1; "
            "give at least one leg with a ratio and a quantity of at least 1"
        )
    if len(legs) == 1:
        contract, action, limit = _single(request)
    else:
        contract, action, limit = _bag(request), Side.BUY, request.limit_price
    return contract, new_order(action, request.quantity, limit, account, request.order_ref)


def new_order(
    action: str, quantity: float, limit_price: float | None, account: str, order_ref: str
) -> ib.Order:
    """TIF is always said: when a preset fills it in, ib_async takes the notice for a cancellation."""
    order = ib.Order(
        action=str(action),
        totalQuantity=quantity,
        orderType="MKT" if limit_price is None else "LMT",
        tif="DAY",
        account=account,
        orderRef=order_ref,
        transmit=True,
    )
    if limit_price is not None:
        order.lmtPrice = round(limit_price, 6)
    return order


def _single(request: OrderRequest) -> tuple[ib.Contract, Side, float | None]:
    (leg,) = request.legs
    if abs(leg.ratio) != 1:
        raise BrokerError(
            f"order {request.order_ref}: a lone leg has ratio {leg.ratio}; put the size into quantity"
        )
    limit = request.limit_price
    if limit is not None and limit * leg.ratio <= 0:
        raise BrokerError(
            f"order {request.order_ref}: a limit of {limit} with ratio {leg.ratio} pays to sell or is paid "
            "to buy; a bought leg needs a positive limit, a sold one a negative"
        )
    side = Side.BUY if leg.ratio > 0 else Side.SELL
    return their_contract(leg.contract), side, None if limit is None else abs(limit)


def _bag(request: OrderRequest) -> ib.Contract:
    first = request.legs[0].contract
    return ib.Contract(
        secType="BAG",
        symbol=first.symbol,
        exchange="SMART",
        currency=first.currency,
        comboLegs=[
            ib.ComboLeg(
                conId=leg.contract.con_id,
                ratio=abs(leg.ratio),
                action=Side.BUY if leg.ratio > 0 else Side.SELL,
                exchange="SMART",
            )
            for leg in request.legs
        ],
    )

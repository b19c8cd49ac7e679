"""Answers what an option would be worth at another volatility, and which volatility a price implies.

By `options.greeks`: European exercise, no dividends, a fixed rate. A gateway's own calculation knows both
dividends and early exercise, so the two agree closely only for calls and short-dated puts.
"""

import math
from datetime import datetime

from broker.gateway.errors import RequestRefused
from broker.gateway.markets.listings import Listings, Query
from broker.gateway.protocol.tick_messages import CUSTOM_COMPUTATION, computation_tick
from broker.gateway.protocol.wire import Fields
from broker.gateway.session import Session
from options import Contract, Right, SecType, greeks, implied_vol
from options.hours import closing

RATE = 0.04
SECONDS_PER_YEAR = 365 * 86_400
ONLY_OPTIONS = (
    "Error validating request.-'bI' : cause - Calculation of {} supported for option securities only"
)


class Calculator:
    def __init__(self, listings: Listings) -> None:
        self._listings = listings

    def implied_volatility(self, session: Session, fields: Fields, now: datetime) -> None:
        """calculateImpliedVolatility (54) of a price (USD per share)."""
        self._answer(session, fields, now, "Implied Volatility")

    def option_price(self, session: Session, fields: Fields, now: datetime) -> None:
        """calculateOptionPrice (55) at an annualised volatility."""
        self._answer(session, fields, now, "Option Price")

    def _answer(self, session: Session, fields: Fields, now: datetime, what: str) -> None:
        fields.skip(1)
        req_id = fields.integer()
        query = Query.read(fields)
        given, spot = fields.real(), fields.real()
        fields.skip(2)
        fields.finish()
        with session.answering(req_id):
            contract = self._option(query, what, now)
            vol = given if what == "Option Price" else _vol(contract, given, spot, now)
            values = _computation(contract, vol, spot, now)
            session.send(*computation_tick(CUSTOM_COMPUTATION, values).message(req_id))

    def _option(self, query: Query, what: str, now: datetime) -> Contract:
        contract = self._listings.the_one(query, now)
        if contract.sec_type is not SecType.OPTION:
            raise RequestRefused(321, ONLY_OPTIONS.format(what))
        return contract


def _terms(contract: Contract, now: datetime) -> tuple[float, float, bool]:
    """Strike, years to expiry, whether it is a call."""
    years = (closing(contract.expiry) - now).total_seconds() / SECONDS_PER_YEAR if contract.expiry else 0.0
    return contract.strike or 0.0, years, contract.right is Right.CALL


def _vol(contract: Contract, price: float | None, spot: float | None, now: datetime) -> float | None:
    if price is None or spot is None:
        return None
    strike, years, call = _terms(contract, now)
    return _known(implied_vol(price, spot, strike, years, call, RATE).item())


def _computation(
    contract: Contract, vol: float | None, spot: float | None, now: datetime
) -> tuple[float | None, ...]:
    """The values of a computation tick; all but the given ones None where nothing can be calculated."""
    if vol is None or spot is None:
        return (None,) * 7 + (spot,)
    strike, years, call = _terms(contract, now)
    found = greeks(spot, strike, years, vol, call, RATE)
    price, delta, gamma, vega, theta = (
        _known(value.item()) for value in (found.price, found.delta, found.gamma, found.vega, found.theta)
    )
    return vol, delta, price, None, gamma, vega, theta, spot


def _known(value: float) -> float | None:
    """None for what is not a number."""
    return None if math.isnan(value) else round(value, 8)

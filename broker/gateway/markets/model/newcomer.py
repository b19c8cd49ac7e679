"""What a new account holds: three iron condors at different points of their lives."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

import numpy as np

from broker.gateway.exchange.account import Holding
from broker.gateway.markets.model.board import RATE, SECONDS_PER_YEAR
from broker.gateway.markets.model.chain import is_monthly
from broker.gateway.markets.quotes import Quote
from options import ConId, Contract, Right, UsdPerContract
from options.american import american
from options.hours import closing

SYMBOLS = ("SPY", "QQQ", "IWM")
LOTS = 2
WANTED_DAYS = 45
WING_USD = {"SPY": 10.0, "QQQ": 10.0, "IWM": 5.0}
SHORT_DELTAS = {"SPY": (-0.12, 0.10), "QQQ": (-0.18, 0.16), "IWM": (-0.18, 0.16)}
"""Of the put and the call as they are now."""
COMMISSION_USD = 0.65
EARNED = {"SPY": 0.525, "QQQ": 0.10, "IWM": -0.05}
"""The part of its credit that each condor has earned: SPY's has just reached the half that the rules take."""
HELD_DAYS = {"SPY": 30, "QQQ": 7, "IWM": 3}
MOST_VOL_FACTOR = 4.0


def wanted_series(chain: Sequence[Contract], day: date) -> list[Contract]:
    """The monthly series that ends in about 45 days."""
    monthlies = sorted({c.expiry for c in chain if c.expiry and is_monthly(c.expiry)})
    expiry = min(monthlies, key=lambda each: abs((each - day).days - WANTED_DAYS))
    return [c for c in chain if c.expiry == expiry]


def condor(
    symbol: str, series: Sequence[Contract], quotes: Mapping[ConId, Quote], now: datetime
) -> list[Holding]:
    """Two lots of one series, wings bought and bodies sold, at the prices of an earlier day on which
    volatility was such that `EARNED` is earned now."""
    expiry = series[0].expiry or now.date()

    def near(right: Right, delta: float) -> Contract:
        side = [c for c in series if c.right is right and (c.strike or 0) % 5 == 0]
        return min(side, key=lambda c: abs((quotes[c.con_id].delta or 0) - delta))

    put_delta, call_delta = SHORT_DELTAS[symbol]
    put, call = near(Right.PUT, put_delta), near(Right.CALL, call_delta)
    by_terms = {(c.strike, c.right): c for c in series}
    wings = (
        by_terms[(put.strike or 0) - WING_USD[symbol], Right.PUT],
        by_terms[(call.strike or 0) + WING_USD[symbol], Right.CALL],
    )
    legs = [(wings[0], LOTS), (put, -LOTS), (call, -LOTS), (wings[1], LOTS)]
    left = closing(expiry) - now + timedelta(days=HELD_DAYS[symbol])
    prices = _entry_prices(legs, quotes, EARNED[symbol], left.total_seconds())
    return [
        Holding(c, n, UsdPerContract(round(price * c.multiplier + (1 if n > 0 else -1) * COMMISSION_USD, 2)))
        for (c, n), price in zip(legs, prices, strict=True)
    ]


def _entry_prices(
    legs: list[tuple[Contract, int]], quotes: Mapping[ConId, Quote], earned: float, seconds: float
) -> list[float]:
    """USD per share of each leg, in whole cents, when its volatility was some factor of today's: the factor,
    found by bisection, at which the legs together have earned that part of their credit since."""
    found = [quotes[contract.con_id] for contract, _ in legs]
    amounts = np.array([amount for _, amount in legs])
    worth_now = -float(amounts @ np.array([quote.mark or 0.0 for quote in found]))

    def prices(factor: float) -> list[float]:
        values = american(
            found[0].underlying_price or 0.0,
            [contract.strike or 0.0 for contract, _ in legs],
            seconds / SECONDS_PER_YEAR,
            factor * np.array([quote.iv or 0.0 for quote in found]),
            [contract.right is Right.CALL for contract, _ in legs],
            RATE,
        ).price
        return [round(float(value), 2) for value in values]

    low, high = 0.5, MOST_VOL_FACTOR
    for _ in range(30):
        factor = 0.5 * (low + high)
        credit = -float(amounts @ np.array(prices(factor)))
        low, high = (factor, high) if credit - worth_now < earned * credit else (low, factor)
    return prices(high)

"""Credit, maximum profit and loss, and breakevens of any set of legs, from their payoff at expiry.

The payoff at a common expiry is piecewise linear in the underlying's price with kinks at the strikes,
so its extremes lie at the kinks, at zero, or at infinity. Nothing here knows structures by name.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from options.contract import Leg, Right, SecType


@dataclass(frozen=True, slots=True)
class Payoff:
    """USD for the whole holding, entry cost and commissions included.

    `net_credit_usd` is negative for a debit. `max_profit_usd` and `max_loss_usd` (a positive number)
    are inf when unlimited and None when the legs do not share one expiry. `breakevens` in USD per share.
    """

    net_credit_usd: float
    max_profit_usd: float | None
    max_loss_usd: float | None
    breakevens: tuple[float, ...]


def net_credit_usd(legs: Sequence[Leg]) -> float:
    """USD received (positive) or paid (negative) to open the legs, commissions included."""
    return -sum(leg.quantity * leg.average_cost for leg in legs)


def value_at_expiry(legs: Sequence[Leg], price: float) -> float:
    """USD that the legs are worth when the underlying stands at `price` at expiry."""
    total = 0.0
    for leg in legs:
        contract = leg.contract
        if contract.sec_type is SecType.OPTION:
            strike = contract.strike or 0.0
            sign = 1.0 if contract.right is Right.CALL else -1.0
            worth = max(sign * (price - strike), 0.0)
        else:
            worth = price
        total += leg.quantity * contract.multiplier * worth
    return total


def _slope_above(legs: Sequence[Leg]) -> float:
    """USD per USD of the underlying beyond the highest strike."""
    return sum(
        leg.quantity * leg.contract.multiplier
        for leg in legs
        if leg.contract.sec_type is not SecType.OPTION or leg.contract.right is Right.CALL
    )


def payoff(legs: Sequence[Leg]) -> Payoff:
    """The payoff's figures; raises ValueError without legs or with more than one underlying."""
    if not legs:
        raise ValueError("a payoff needs at least one leg")
    if len({leg.contract.symbol for leg in legs}) > 1:
        raise ValueError("a payoff needs legs of one underlying")
    credit = net_credit_usd(legs)
    options = [leg for leg in legs if leg.contract.sec_type is SecType.OPTION]
    if len({leg.contract.expiry for leg in options}) > 1:
        return Payoff(credit, None, None, ())
    kinks = sorted({0.0, *(leg.contract.strike or 0.0 for leg in options)})
    profits = [value_at_expiry(legs, kink) + credit for kink in kinks]
    slope = _slope_above(legs)
    best = math.inf if slope > 0 else max(profits)
    worst = -math.inf if slope < 0 else min(profits)
    return Payoff(credit, best, max(0.0, -worst), _crossings(kinks, profits, slope))


def _crossings(kinks: list[float], profits: list[float], slope: float) -> tuple[float, ...]:
    """Where the profit changes its sign, a kink itself included."""
    # A price beyond the last kink and as far from it as it takes to see the sign there.
    beyond = kinks[-1] + 1.0 + (abs(profits[-1] / slope) if slope else 0.0)
    prices = [*kinks, beyond]
    values = [*profits, profits[-1] + slope * (beyond - kinks[-1])]
    found: list[float] = []
    last_price, last_value, zero = prices[0], 0.0, None
    for price, value in zip(prices, values, strict=True):
        if value == 0.0:
            zero = price if zero is None else zero
            continue
        if last_value * value < 0:
            between = last_price + (price - last_price) * -last_value / (value - last_value)
            found.append(between if zero is None else zero)
        last_price, last_value, zero = price, value, None
    return tuple(found)

"""Margin in the manner of Regulation T, and the account's values.

Each structure of defined risk needs what it can lose at expiry, its premium apart (that is in the cash
already). A naked short needs its mark plus 20 % of the underlying less what it is out of the money, at
least its mark plus 10 % of the strike; without a price for the underlying the strike stands in. Shares
need 50 % to open and 25 % to keep.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from broker.gateway.account import Account
from options import ConId, Leg, Right, SecType, group_legs, payoff, per_share


@dataclass(frozen=True, slots=True)
class Values:
    """All in USD. `unrealized` counts each holding at its mark, or at cost when it was never priced."""

    net_liquidation: float
    cash: float
    initial_margin: float
    maintenance_margin: float
    position_value: float
    unrealized: float
    realized: float

    @property
    def available_funds(self) -> float:
        return self.net_liquidation - self.initial_margin

    @property
    def excess_liquidity(self) -> float:
        return self.net_liquidation - self.maintenance_margin

    @property
    def buying_power(self) -> float:
        return max(0.0, self.available_funds) * 4


def mark_of(leg: Leg, marks: Mapping[ConId, float]) -> float:
    """USD per share: the last known mark, else the average cost."""
    return marks.get(leg.contract.con_id, per_share(leg.average_cost, leg.contract.multiplier))


def margin_usd(
    legs: Iterable[Leg], marks: Mapping[ConId, float], spots: Mapping[str, float]
) -> tuple[float, float]:
    """(initial, maintenance) of all holdings together; `spots` are underlying prices by symbol."""
    initial = maintenance = 0.0
    for grouping in group_legs(legs):
        options = [leg for leg in grouping.legs if leg.contract.sec_type is SecType.OPTION]
        shares = [leg for leg in grouping.legs if leg.contract.sec_type is not SecType.OPTION]
        value = sum(abs(leg.quantity) * mark_of(leg, marks) for leg in shares)
        initial += 0.5 * value
        maintenance += 0.25 * value
        if not options or (shares and len(options) == 1):
            continue
        figures = payoff(options)
        loss = figures.max_loss_usd
        if loss is None or math.isinf(loss) or (len(options) == 1 and options[0].quantity < 0):
            need = sum(_naked_usd(leg, marks, spots) for leg in options if leg.quantity < 0)
        else:
            need = max(0.0, loss + figures.net_credit_usd)
        initial += need
        maintenance += need
    return initial, maintenance


def _naked_usd(leg: Leg, marks: Mapping[ConId, float], spots: Mapping[str, float]) -> float:
    strike = leg.contract.strike or 0.0
    spot = spots.get(leg.contract.symbol, strike)
    out = max(0.0, spot - strike if leg.contract.right is Right.PUT else strike - spot)
    need = mark_of(leg, marks) + max(0.2 * spot - out, 0.1 * strike)
    return -leg.quantity * leg.contract.multiplier * need


def account_values(account: Account, marks: Mapping[ConId, float], spots: Mapping[str, float]) -> Values:
    """The account as it stands."""
    legs = account.legs()
    value = sum(leg.quantity * leg.contract.multiplier * mark_of(leg, marks) for leg in legs)
    cost = sum(leg.quantity * leg.average_cost for leg in legs)
    initial, maintenance = margin_usd(legs, marks, spots)
    return Values(
        net_liquidation=account.cash_usd + value,
        cash=account.cash_usd,
        initial_margin=initial,
        maintenance_margin=maintenance,
        position_value=value,
        unrealized=value - cost,
        realized=account.realized_usd,
    )

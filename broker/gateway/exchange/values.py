"""What the account is worth and what it may still do, as Interactive Brokers defines it for a margin account.

Equity with loan value leaves the value of options out: a bought option is paid for and lends nothing, a
sold one has brought its premium into the cash and is secured by its requirement.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from broker.gateway.exchange.account import Account
from broker.gateway.exchange.margin import margin_of, mark_of
from options import ConId, SecType

LOAN_FACTOR = 4


@dataclass(frozen=True, slots=True)
class Values:
    """All in USD. `unrealized` counts each holding at its mark, or at cost when it was never priced."""

    cash: float
    stock_value: float
    option_value: float
    gross_position_value: float
    initial_margin: float
    maintenance_margin: float
    unrealized: float
    realized: float

    @property
    def position_value(self) -> float:
        return self.stock_value + self.option_value

    @property
    def net_liquidation(self) -> float:
        return self.cash + self.position_value

    @property
    def equity_with_loan(self) -> float:
        return self.cash + self.stock_value

    @property
    def available_funds(self) -> float:
        return self.equity_with_loan - self.initial_margin

    @property
    def excess_liquidity(self) -> float:
        """Below 0 the real broker begins to liquidate; the simulated one does not."""
        return self.equity_with_loan - self.maintenance_margin

    @property
    def buying_power(self) -> float:
        """What may be bought of shares within the day."""
        return max(0.0, self.available_funds) * LOAN_FACTOR

    @property
    def cushion(self) -> float:
        """Excess liquidity as a share of net liquidation, from 0 to 1."""
        if self.net_liquidation <= 0:
            return 0.0
        return min(1.0, max(0.0, self.excess_liquidity / self.net_liquidation))

    @property
    def leverage(self) -> float:
        """Gross position value per USD of net liquidation."""
        return self.gross_position_value / self.net_liquidation if self.net_liquidation > 0 else 0.0


def account_values(account: Account, marks: Mapping[ConId, float], spots: Mapping[str, float]) -> Values:
    """The account as it stands; `marks` and `spots` in USD per share, by contract and by symbol."""
    legs = account.legs()
    worth = [(leg, leg.quantity * leg.contract.multiplier * mark_of(leg, marks)) for leg in legs]
    margin = margin_of(legs, marks, spots)
    return Values(
        cash=account.cash_usd,
        stock_value=_total(value for leg, value in worth if leg.contract.sec_type is not SecType.OPTION),
        option_value=_total(value for leg, value in worth if leg.contract.sec_type is SecType.OPTION),
        gross_position_value=_total(abs(value) for _, value in worth),
        initial_margin=margin.initial,
        maintenance_margin=margin.maintenance,
        unrealized=_total(value - leg.quantity * leg.average_cost for leg, value in worth),
        realized=account.realized_usd,
    )


def _total(amounts: Iterable[float]) -> float:
    return sum(amounts, 0.0)

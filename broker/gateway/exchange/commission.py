"""What Interactive Brokers charges for an order: its published US schedule for smart-routed orders.

Options: 0.65 USD per contract at a premium of 0.10 USD or more, 0.50 from 0.05 to below 0.10, 0.25 below
0.05; 1.00 at least per order. Shares (fixed pricing): 0.005 USD each, 1.00 at least per order, yet never
more than 1 % of what they trade for. The minimum holds for a whole order, however many legs and partial
fills it has. Exchange, clearing and regulatory fees are left out. Exercise and assignment cost nothing.

Source: the pages "Commissions Options" and "Commissions Stocks" of interactivebrokers.com (up to 10,000
contracts a month).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from options import Contract, SecType

MINIMUM_USD = 1.00
SHARE_USD = 0.005
MOST_OF_SHARES = 0.01
DECIMALS = 4


@dataclass(frozen=True, slots=True)
class Trade:
    """`quantity` contracts (shares), negative when sold, at `price` USD per share."""

    contract: Contract
    quantity: int
    price: float

    @property
    def is_option(self) -> bool:
        return self.contract.sec_type is SecType.OPTION

    @property
    def rate_usd(self) -> float:
        """What the trade costs before the minimum and the maximum of its order."""
        return abs(self.quantity) * (_option_rate(self.price) if self.is_option else SHARE_USD)


def _option_rate(premium: float) -> float:
    """USD per contract."""
    if premium < 0.05:
        return 0.25
    return 0.50 if premium < 0.10 else 0.65


def order_commission_usd(trades: Sequence[Trade]) -> float:
    """USD for an order that has traded `trades` so far."""
    options = sum(trade.rate_usd for trade in trades if trade.is_option)
    shares = [trade for trade in trades if not trade.is_option]
    charged = max(sum(trade.rate_usd for trade in shares), 0.0 if options else MINIMUM_USD)
    charged = min(charged, MOST_OF_SHARES * sum(abs(trade.quantity) * trade.price for trade in shares))
    return max(options + charged, MINIMUM_USD) if options else charged


def commissions_usd(trades: Sequence[Trade], earlier: Sequence[Trade] = ()) -> list[float]:
    """USD for each of `trades`, the newest fill of an order that has traded `earlier` before.

    They add up to what the order costs now less what it cost before, each in proportion to its own rate.
    """
    left = round(order_commission_usd([*earlier, *trades]) - order_commission_usd(earlier), DECIMALS)
    rates = [trade.rate_usd for trade in trades]
    fees: list[float] = []
    for i, rate in enumerate(rates):
        share = round(left * rate / sum(rates[i:]), DECIMALS)
        fees.append(share)
        left = round(left - share, DECIMALS)
    return fees

"""Minimum price increments: which rule a contract follows, and which prices it therefore accepts.

The exchange refuses a price that `increment` does not allow, and reqMarketRule tells the same rules.
Combos follow their own rule: one cent at every price.
"""

from dataclasses import dataclass

from options import Contract, SecType, round_to_tick

PENNY_CLASSES = frozenset({"SPY", "QQQ", "IWM"})


@dataclass(frozen=True, slots=True)
class MarketRule:
    """`steps`: (price from which it holds, increment), both in USD per share, lowest first."""

    rule_id: int
    steps: tuple[tuple[float, float], ...]

    def increment(self, price: float) -> float:
        """What the price must be a multiple of; a negative price counts as its amount."""
        return [step for edge, step in self.steps if edge <= abs(price)][-1]


PENNY = MarketRule(26, ((0.0, 0.01),))
NICKEL_FROM_THREE = MarketRule(109, ((0.0, 0.01), (3.0, 0.05)))
DIME_FROM_THREE = MarketRule(110, ((0.0, 0.05), (3.0, 0.10)))
SHARE = MarketRule(557, ((0.0, 0.0001), (1.0, 0.01)))
RULES = {rule.rule_id: rule for rule in (PENNY, NICKEL_FROM_THREE, DIME_FROM_THREE, SHARE)}


def rule_of(contract: Contract) -> MarketRule:
    """Options of the most liquid funds trade in cents at every price, others in cents below 3 USD."""
    match contract.sec_type:
        case SecType.STOCK:
            return SHARE
        case SecType.OPTION if contract.min_tick >= DIME_FROM_THREE.steps[0][1]:
            return DIME_FROM_THREE
        case SecType.OPTION if contract.symbol not in PENNY_CLASSES:
            return NICKEL_FROM_THREE
    return PENNY


def conforms(contract: Contract, price: float) -> bool:
    """Whether the exchange accepts this limit or trigger price (USD per share)."""
    return abs(round_to_tick(price, rule_of(contract).increment(price)) - price) < 1e-9

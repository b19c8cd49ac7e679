"""What a trade costs beside its price."""

from options import Contract, SecType

COMMISSION_USD = 0.65
SHARE_COMMISSION_USD = 0.005


def commission_usd(contract: Contract, quantity: int) -> float:
    """USD for a trade of `quantity` contracts (shares)."""
    rate = COMMISSION_USD if contract.sec_type is SecType.OPTION else SHARE_COMMISSION_USD
    return round(rate * abs(quantity), 4)

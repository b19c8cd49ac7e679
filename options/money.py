"""Two ways to quote the same dollar, kept apart by type.

Order and quote prices are USD per share; Interactive Brokers' average cost of an option is USD per
contract, multiplier and commission included. A price is multiplied exactly once, here.
"""

from typing import NewType

UsdPerShare = NewType("UsdPerShare", float)
UsdPerContract = NewType("UsdPerContract", float)


def per_contract(price: UsdPerShare, multiplier: int) -> UsdPerContract:
    """USD per contract of a USD-per-share price."""
    return UsdPerContract(price * multiplier)


def per_share(cost: UsdPerContract, multiplier: int) -> UsdPerShare:
    """USD per share of a USD-per-contract cost."""
    return UsdPerShare(cost / multiplier)

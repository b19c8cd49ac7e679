"""What becomes of a holding when its contract ends."""

from collections.abc import Mapping
from datetime import date, datetime

from broker.gateway.account import Account, Holding
from options import ConId, Leg, UsdPerContract, hours, value_at_expiry


def expired(account: Account, now: datetime, today: date) -> list[Holding]:
    """Held options whose last session is over."""
    return [
        holding
        for holding in account.holdings.values()
        if holding.quantity
        and (expiry := holding.contract.expiry) is not None
        and expiry <= today
        and now >= hours.closing(expiry)
    ]


def settle(account: Account, holdings: list[Holding], spots: Mapping[str, float]) -> list[ConId]:
    """Expired options leave the account at their intrinsic value in cash; nobody delivers shares.

    Without a price for the underlying (in `spots`, by symbol) they stay. Gives those that left.
    """
    settled = []
    for contract, quantity in ((holding.contract, holding.quantity) for holding in holdings):
        if contract.symbol in spots:
            worth = value_at_expiry([Leg(contract, 1, UsdPerContract(0.0))], spots[contract.symbol])
            account.book(contract, -quantity, worth / contract.multiplier, 0.0)
            settled.append(contract.con_id)
    return settled

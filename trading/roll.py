"""Where a structure is rolled to: the same shape, further out in time.

Expiries and strikes come from the chain that the broker reports, never from arithmetic.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from broker.protocol import Chain
from options import ConId, Contract, Leg, days_to_expiry
from options.errors import GateRefusal


def roll_targets(
    legs: Sequence[Leg], chains: Sequence[Chain], dte: int, now: datetime
) -> tuple[Contract, ...]:
    """The contracts to qualify: each leg at the listed expiry nearest to `dte` days and later than its
    own, at the listed strike nearest to its own. `con_id` 0 until the broker has qualified them.

    Raises GateRefusal when the chain has no later expiry, or when two legs fall on one strike.
    """
    option = legs[0].contract
    classes = [chain for chain in chains if chain.trading_class == option.trading_class]
    listed = classes or list(chains)
    latest = max(leg.contract.expiry for leg in legs if leg.contract.expiry)
    expiries = sorted({day for chain in listed for day in chain.expiries if day > latest})
    if not expiries:
        raise GateRefusal(f"{option.symbol}: the broker lists no expiry after {latest} to roll to")
    expiry = min(expiries, key=lambda day: (abs(days_to_expiry(day, now) - dte), day))
    strikes = sorted({s for chain in listed if expiry in chain.expiries for s in chain.strikes})
    targets = tuple(
        replace(
            leg.contract,
            con_id=ConId(0),
            local_symbol="",
            expiry=expiry,
            strike=min(strikes, key=lambda s, leg=leg: abs(s - (leg.contract.strike or 0.0))),  # type: ignore[misc]
        )
        for leg in legs
    )
    if len({(target.strike, target.right) for target in targets}) < len(targets):
        raise GateRefusal(f"{option.symbol} {expiry}: the chain is too coarse for this structure's strikes")
    return targets

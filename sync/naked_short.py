"""Short options that nothing covers, and which of them were covered a moment ago."""

from collections.abc import Iterable, Mapping

from options import ConId, Contract, Leg, Right, SecType


def uncovered(legs: Iterable[Leg]) -> dict[ConId, int]:
    """Contracts sold that nothing covers, by con_id; the order of `legs` does not matter.

    A short is covered by a long option of the same underlying, right and multiplier that expires no
    earlier, a short call also by shares. Shorts that expire last choose first: they have fewest covers.
    Cash covers nothing here: what is left of a spread whose wing is gone is not what was decided.
    """
    held = sorted((leg for leg in legs if leg.quantity), key=_order)
    options = [leg for leg in held if leg.contract.sec_type is SecType.OPTION]
    longs = [leg for leg in options if leg.quantity > 0]
    spare = {id(leg): leg.quantity for leg in longs}
    shares: dict[str, int] = {}
    for leg in held:
        if leg.contract.sec_type is SecType.STOCK:
            shares[leg.contract.symbol] = shares.get(leg.contract.symbol, 0) + leg.quantity
    naked: dict[ConId, int] = {}
    for short in reversed([leg for leg in options if leg.quantity < 0]):
        contract, left = short.contract, -short.quantity
        for cover in longs:
            if left and _covers(cover.contract, contract):
                used = min(left, spare[id(cover)])
                spare[id(cover)] -= used
                left -= used
        if contract.right is Right.CALL:
            used = min(left, max(shares.get(contract.symbol, 0), 0) // contract.multiplier)
            shares[contract.symbol] = shares.get(contract.symbol, 0) - used * contract.multiplier
            left -= used
        if left:
            naked[contract.con_id] = naked.get(contract.con_id, 0) + left
    return naked


def naked_shorts(legs: Iterable[Leg]) -> dict[str, int]:
    """`uncovered` by the contracts' labels."""
    held = list(legs)
    labels = {leg.contract.con_id: leg.contract.label for leg in held}
    return {labels[con_id]: count for con_id, count in uncovered(held).items()}


def lost_cover(before: Iterable[Leg], now: Iterable[Leg]) -> dict[ConId, int]:
    """Of the shorts that are uncovered now, how many of each were held before and covered then.

    The others were uncovered before, or have been sold since.
    """
    old, new = list(before), list(now)
    naked_before, sold_before, sold_now = uncovered(old), _sold(old), _sold(new)
    lost = {
        con_id: count - naked_before.get(con_id, 0) - max(0, sold_now[con_id] - sold_before.get(con_id, 0))
        for con_id, count in uncovered(new).items()
    }
    return {con_id: count for con_id, count in lost.items() if count > 0}


def _sold(legs: Iterable[Leg]) -> Mapping[ConId, int]:
    """Contracts sold, by con_id, as they stand after long and short of one contract are added up."""
    total: dict[ConId, int] = {}
    for leg in legs:
        total[leg.contract.con_id] = total.get(leg.contract.con_id, 0) - leg.quantity
    return {con_id: max(0, count) for con_id, count in total.items()}


def _order(leg: Leg) -> tuple[str, float, int]:
    return (str(leg.contract.expiry), leg.contract.strike or 0.0, leg.contract.con_id)


def _covers(long: Contract, short: Contract) -> bool:
    return (
        long.symbol == short.symbol
        and long.right is short.right
        and long.multiplier == short.multiplier
        and str(long.expiry) >= str(short.expiry)
    )

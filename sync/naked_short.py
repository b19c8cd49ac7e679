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
    longs: dict[_Side, list[tuple[str, int]]] = {}
    shares: dict[str, int] = {}
    for leg in held:
        contract = leg.contract
        if contract.sec_type is SecType.STOCK:
            shares[contract.symbol] = shares.get(contract.symbol, 0) + leg.quantity
        elif contract.sec_type is SecType.OPTION and leg.quantity > 0:
            longs.setdefault(_side(contract), []).append((str(contract.expiry), leg.quantity))
    naked: dict[ConId, int] = {}
    for leg in reversed(held):
        contract, left = leg.contract, -leg.quantity
        if contract.sec_type is not SecType.OPTION or left <= 0:
            continue
        left = _covered_by(longs.get(_side(contract), []), contract, left)
        if contract.right is Right.CALL:
            used = min(left, max(shares.get(contract.symbol, 0), 0) // contract.multiplier)
            shares[contract.symbol] = shares.get(contract.symbol, 0) - used * contract.multiplier
            left -= used
        if left:
            naked[contract.con_id] = naked.get(contract.con_id, 0) + left
    return naked


_Side = tuple[str, Right | None, int]
"""Underlying, right and multiplier: only options that are the same in these cover each other."""


def _side(contract: Contract) -> _Side:
    return contract.symbol, contract.right, contract.multiplier


def _covered_by(longs: list[tuple[str, int]], short: Contract, count: int) -> int:
    """Use up `longs` (of its side, by expiry) that last as long as the short; how many are left uncovered."""
    expiry, place = str(short.expiry), 0
    while count and place < len(longs):
        lasts, spare = longs[place]
        used = min(count, spare) if lasts >= expiry else 0
        count -= used
        if used == spare:
            del longs[place]
        else:
            longs[place] = (lasts, spare - used)
            place += 1
    return count


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

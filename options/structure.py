"""Which structure a set of legs is, and which legs of an account belong together.

A Position is always a whole structure, never a single leg of one: closing half a condor would leave a
naked short. `group_legs` is the auto-tagger for holdings that no strategy of ours opened.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from options.contract import Leg, Right, SecType


class Structure(StrEnum):
    IRON_CONDOR = "iron_condor"
    IRON_BUTTERFLY = "iron_butterfly"
    PUT_CREDIT_SPREAD = "put_credit_spread"
    PUT_DEBIT_SPREAD = "put_debit_spread"
    CALL_CREDIT_SPREAD = "call_credit_spread"
    CALL_DEBIT_SPREAD = "call_debit_spread"
    SHORT_STRANGLE = "short_strangle"
    LONG_STRANGLE = "long_strangle"
    SHORT_STRADDLE = "short_straddle"
    LONG_STRADDLE = "long_straddle"
    COVERED_CALL = "covered_call"
    SHORT_PUT = "short_put"
    LONG_PUT = "long_put"
    SHORT_CALL = "short_call"
    LONG_CALL = "long_call"
    STOCK = "stock"
    CUSTOM = "custom"


_FOUR_LEGGED = (Structure.IRON_CONDOR, Structure.IRON_BUTTERFLY)
SINGLE_LEG = frozenset({Structure.SHORT_PUT, Structure.LONG_PUT, Structure.SHORT_CALL, Structure.LONG_CALL})


@dataclass(frozen=True, slots=True)
class Grouping:
    """Legs that are one structure, `lots` times."""

    structure: Structure
    lots: int
    legs: tuple[Leg, ...]

    @property
    def underlying(self) -> str:
        return self.legs[0].contract.symbol


def lots_of(legs: Sequence[Leg]) -> int:
    """How many times the smallest whole structure is held, so that every leg divides by it.

    100 shares are one unit of stock; an odd number of shares is one lot as it is.
    """
    units = [
        _round_lots(leg) if leg.contract.sec_type is SecType.STOCK else abs(leg.quantity) for leg in legs
    ]
    return max(1, math.gcd(*units))


def _round_lots(leg: Leg) -> int:
    hundreds, odd = divmod(abs(leg.quantity), 100)
    return 1 if odd else hundreds


def classify(legs: Sequence[Leg]) -> Structure:
    """The structure that the legs are, `CUSTOM` when none fits."""
    options = sorted(
        (leg for leg in legs if leg.contract.sec_type is SecType.OPTION),
        key=lambda leg: (leg.contract.right == Right.CALL, leg.contract.strike or 0.0),
    )
    stocks = [leg for leg in legs if leg.contract.sec_type is SecType.STOCK]
    if stocks:
        return _classify_with_stock(stocks, options)
    if len({leg.contract.expiry for leg in options}) != 1 or len(options) != len(legs):
        return Structure.CUSTOM
    if len({abs(leg.quantity) for leg in options}) != 1:
        return Structure.CUSTOM
    match len(options):
        case 1:
            return _classify_single(options[0])
        case 2:
            return _classify_pair(*options)
        case 4:
            return _classify_four(options)
    return Structure.CUSTOM


def _classify_with_stock(stocks: Sequence[Leg], options: Sequence[Leg]) -> Structure:
    if not options:
        return Structure.STOCK
    covered = (
        len(options) == 1
        and options[0].contract.right is Right.CALL
        and options[0].quantity < 0
        and sum(leg.quantity for leg in stocks) == -options[0].quantity * options[0].contract.multiplier
    )
    return Structure.COVERED_CALL if covered else Structure.CUSTOM


def _classify_single(leg: Leg) -> Structure:
    if leg.contract.right is Right.PUT:
        return Structure.SHORT_PUT if leg.quantity < 0 else Structure.LONG_PUT
    return Structure.SHORT_CALL if leg.quantity < 0 else Structure.LONG_CALL


def _classify_pair(first: Leg, second: Leg) -> Structure:
    low, high = (leg.contract for leg in (first, second))
    same_side = (first.quantity < 0) == (second.quantity < 0)
    if low.right == high.right:
        if same_side:
            return Structure.CUSTOM
        if low.right is Right.PUT:
            short_is_high = second.quantity < 0
            return Structure.PUT_CREDIT_SPREAD if short_is_high else Structure.PUT_DEBIT_SPREAD
        short_is_low = first.quantity < 0
        return Structure.CALL_CREDIT_SPREAD if short_is_low else Structure.CALL_DEBIT_SPREAD
    if not same_side:
        return Structure.CUSTOM
    straddle = low.strike == high.strike
    if first.quantity < 0:
        return Structure.SHORT_STRADDLE if straddle else Structure.SHORT_STRANGLE
    return Structure.LONG_STRADDLE if straddle else Structure.LONG_STRANGLE


def _classify_four(options: Sequence[Leg]) -> Structure:
    rights = [leg.contract.right for leg in options]
    signs = [leg.quantity > 0 for leg in options]
    if rights != [Right.PUT, Right.PUT, Right.CALL, Right.CALL]:
        return Structure.CUSTOM
    if signs != [True, False, False, True]:
        return Structure.CUSTOM
    put, call = options[1].contract.strike or 0.0, options[2].contract.strike or 0.0
    if put > call:
        return Structure.CUSTOM
    return Structure.IRON_BUTTERFLY if put == call else Structure.IRON_CONDOR


def group_legs(legs: Iterable[Leg]) -> list[Grouping]:
    """Every leg in exactly one grouping, protected structures first.

    Per underlying, expiry and multiplier, short options are paired with long ones of the same right
    (nearest strike further out of the money first), a put and a call credit spread of equal size make a
    condor, shares cover the short calls that are left, and what remains stands alone. Quantities are split
    as needed, so the groupings always add up to the holdings; the order of `legs` does not matter.
    """
    by_underlying: dict[str, list[Leg]] = defaultdict(list)
    for leg in legs:
        if leg.quantity:
            by_underlying[leg.contract.symbol].append(leg)
    groupings: list[Grouping] = []
    for symbol in sorted(by_underlying):
        held = by_underlying[symbol]
        by_expiry: dict[tuple[date | None, int], list[Leg]] = defaultdict(list)
        for leg in sorted(held, key=_leg_order):
            if leg.contract.sec_type is SecType.OPTION:
                by_expiry[(leg.contract.expiry, leg.contract.multiplier)].append(leg)
        singles: list[Leg] = []
        for expiry in sorted(by_expiry, key=str):
            condors, rest = _pair_expiry(by_expiry[expiry])
            groupings += condors
            singles += rest
        stocks = [leg for leg in held if leg.contract.sec_type is not SecType.OPTION]
        groupings += _cover_calls(stocks, singles)
    return groupings


def _grouping(legs: Sequence[Leg]) -> Grouping:
    return Grouping(classify(legs), lots_of(legs), tuple(legs))


def _take(leg: Leg, quantity: int) -> Leg:
    return replace(leg, quantity=quantity if leg.quantity > 0 else -quantity)


def _spreads(legs: Sequence[Leg]) -> tuple[list[tuple[Leg, Leg]], list[Leg]]:
    """(long, short) pairs of one right and what is left over."""
    longs = [leg for leg in legs if leg.quantity > 0]
    naked: list[Leg] = []
    pairs: list[tuple[Leg, Leg]] = []
    for short in (leg for leg in legs if leg.quantity < 0):
        left = -short.quantity
        out = -1.0 if short.contract.right is Right.PUT else 1.0
        at = short.contract.strike or 0.0

        def reach(leg: Leg, at: float = at, out: float = out) -> tuple[bool, float]:
            distance = ((leg.contract.strike or 0.0) - at) * out
            return (distance < 0, abs(distance))

        for wing in sorted(longs, key=reach):
            size = min(left, wing.quantity)
            if size == 0:
                continue
            pairs.append((_take(wing, size), _take(short, size)))
            left -= size
            longs[longs.index(wing)] = replace(wing, quantity=wing.quantity - size)
        if left:
            naked.append(_take(short, left))
    return pairs, naked + [leg for leg in longs if leg.quantity]


def _pair_expiry(legs: Sequence[Leg]) -> tuple[list[Grouping], list[Leg]]:
    puts, put_rest = _spreads([leg for leg in legs if leg.contract.right is Right.PUT])
    calls, call_rest = _spreads([leg for leg in legs if leg.contract.right is Right.CALL])
    groupings: list[Grouping] = []
    for put in puts:
        size = put[0].quantity
        fours = ((call, (*put, *call)) for call in calls if call[0].quantity == size)
        found = next(((call, four) for call, four in fours if classify(four) in _FOUR_LEGGED), None)
        if found is None:
            groupings.append(_grouping(sorted(put, key=_leg_order)))
        else:
            calls.remove(found[0])
            groupings.append(_grouping(sorted(found[1], key=_leg_order)))
    groupings += [_grouping(sorted(call, key=_leg_order)) for call in calls]
    return groupings, [*put_rest, *call_rest]


def _leg_order(leg: Leg) -> tuple[bool, float, int]:
    return (leg.contract.right == Right.CALL, leg.contract.strike or 0.0, leg.contract.con_id)


def _cover_calls(stocks: Sequence[Leg], singles: Sequence[Leg]) -> list[Grouping]:
    groupings: list[Grouping] = []
    spare = list(stocks)
    for leg in singles:
        left = abs(leg.quantity)
        if leg.contract.right is Right.CALL and leg.quantity < 0:
            for at, shares in enumerate(spare):
                size = min(left, max(shares.quantity, 0) // leg.contract.multiplier)
                if size:
                    block = _take(shares, size * leg.contract.multiplier)
                    groupings.append(_grouping((block, _take(leg, size))))
                    spare[at] = replace(shares, quantity=shares.quantity - block.quantity)
                    left -= size
        if left:
            groupings.append(_grouping((_take(leg, left),)))
    return groupings + [_grouping((leg,)) for leg in spare if leg.quantity]

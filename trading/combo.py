"""A structure as one order: which legs it buys, what the market asks for it, how it is priced.

Orders are always written as *buying* a combo: closing a credit structure buys it back for a positive
price, opening one "buys" it for a negative price. So a higher price is always worse for us.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from broker.protocol import ComboLeg
from options import ConId, Leg, SecType

Sides = Callable[[ConId], tuple[float, float] | None]
"""Gives a contract's live (bid, ask) in USD per share, None unless both are live and sane."""


@dataclass(frozen=True, slots=True)
class ComboQuote:
    """USD per share of one combo bought: `ask` is the natural price, `mid` lies half-way to `bid`."""

    bid: float
    ask: float
    tick: float

    @property
    def mid(self) -> float:
        return 0.5 * (self.bid + self.ask)

    @property
    def spread(self) -> float:
        return self.ask - self.bid


def closing_legs(legs: Sequence[Leg], lots: int) -> tuple[ComboLeg, ...]:
    """What buys one lot of the structure back; raises ValueError where a lot would be a fraction."""
    if any(leg.quantity % lots for leg in legs):
        raise ValueError(f"the legs do not divide into {lots} equal lots")
    return tuple(ComboLeg(leg.contract, -leg.quantity // lots) for leg in legs)


def combo_quote(legs: Sequence[ComboLeg], sides: Sides) -> ComboQuote | None:
    """The combo's market from its legs' quotes; None when any leg lacks a live two-sided quote."""
    bid = ask = 0.0
    for leg in legs:
        quote = sides(leg.contract.con_id)
        if quote is None:
            return None
        leg_bid, leg_ask = quote
        bid += leg.ratio * (leg_bid if leg.ratio > 0 else leg_ask)
        ask += leg.ratio * (leg_ask if leg.ratio > 0 else leg_bid)
    return ComboQuote(bid, ask, min(leg.contract.min_tick for leg in legs))


def naked_shorts(holdings: Sequence[Leg]) -> dict[str, int]:
    """Short option contracts that no long option of the same underlying and right, and no stock, covers.

    A long option covers a short one only when it expires no earlier. Keys are labels, values contracts.
    """
    uncovered: dict[str, int] = {}
    options = [leg for leg in holdings if leg.contract.sec_type is SecType.OPTION]
    shares = {
        leg.contract.symbol: leg.quantity
        for leg in holdings
        if leg.contract.sec_type is SecType.STOCK and leg.quantity > 0
    }
    longs = {leg.contract.con_id: leg.quantity for leg in options if leg.quantity > 0}
    # The shorts that expire last are the hardest to cover, so they choose first.
    for short in sorted(
        (leg for leg in options if leg.quantity < 0),
        key=lambda leg: str(leg.contract.expiry),
        reverse=True,
    ):
        left = -short.quantity
        for cover in options:
            fits = (
                cover.quantity > 0
                and cover.contract.symbol == short.contract.symbol
                and cover.contract.right == short.contract.right
                and str(cover.contract.expiry) >= str(short.contract.expiry)
            )
            if fits:
                used = min(left, longs[cover.contract.con_id])
                longs[cover.contract.con_id] -= used
                left -= used
        if left and short.contract.right == "C":
            held = shares.get(short.contract.symbol, 0)
            used = min(left, math.floor(held / short.contract.multiplier))
            shares[short.contract.symbol] = held - used * short.contract.multiplier
            left -= used
        if left:
            uncovered[short.contract.label] = left
    return uncovered

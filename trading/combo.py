"""A structure as one order: which legs it buys, what the market asks for it, how it is priced.

Orders are always written as *buying* a combo: closing a credit structure buys it back for a positive
price, opening one "buys" it for a negative price. So a higher price is always worse for us.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from broker.protocol import ComboLeg
from options import ConId, Leg

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

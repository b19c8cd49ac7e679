"""When an order fills, and at which prices. Small on purpose:

- A market order fills at the natural price: what the counterparties ask and bid right now.
- A limit order that the natural price satisfies fills at the natural price, improved over its limit.
- A limit at the combined middle or on the counterparty's side of it fills at its limit once it has lain
  there for `QUEUE_S` simulated seconds.
- Nothing fills while any leg lacks a current quote with both sides.

A combo's leg prices lie within the legs' quotes and add up to the net price exactly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from broker.gateway.order import Order
from broker.gateway.quotes import Quote
from options import ConId, Contract

QUEUE_S = 2.0
QUEUE = timedelta(seconds=QUEUE_S)
UNITS_PER_USD = 10_000
CENT = 100


@dataclass(frozen=True, slots=True)
class Terms:
    """What one unit of an order costs, in units of 0.0001 USD per share; a negative cost brings money."""

    natural: int
    opposite: int
    bids_asks: tuple[tuple[int, int], ...]

    @property
    def middle(self) -> float:
        return (self.natural + self.opposite) / 2


def units(price: float) -> int:
    return round(price * UNITS_PER_USD)


def terms_of(legs: Sequence[tuple[Contract, int]], quotes: Mapping[ConId, Quote]) -> Terms | None:
    """None while a leg has no two-sided quote."""
    sides: list[tuple[int, int]] = []
    natural = opposite = 0
    for contract, amount in legs:
        both = quotes[contract.con_id].two_sided
        if both is None:
            return None
        bid, ask = units(both[0]), units(both[1])
        sides.append((bid, ask))
        natural += amount * (ask if amount > 0 else bid)
        opposite += amount * (bid if amount > 0 else ask)
    return Terms(natural, opposite, tuple(sides))


def limit_units(order: Order) -> int | None:
    """The most that one unit may cost; None for a market order."""
    if order.request.order_type == "MKT" or order.request.limit_price is None:
        return None
    return order.request.sign * units(order.request.limit_price)


def may_be_met(order: Order, terms: Terms) -> bool:
    """Whether the limit is at the middle or on the counterparty's side of it."""
    limit = limit_units(order)
    return limit is None or limit >= terms.middle


def leg_prices(legs: Sequence[tuple[Contract, int]], terms: Terms, cost: int) -> list[float]:
    """USD per share of each leg, so that one unit costs `cost`, which lies from `opposite` to `natural`.

    Starts at the natural prices and hands the improvement to the legs in proportion to their spreads, in
    whole cents; what is left goes to the legs that have room. Where the ratios do not divide it, the last
    leg gives up to one unit of 0.0001 more: the sum of the legs is the price, and never beyond a limit.
    """
    amounts = [abs(amount) for _, amount in legs]
    room = [ask - bid for bid, ask in terms.bids_asks]
    left = terms.natural - cost
    width = terms.natural - terms.opposite
    taken = [spread * left // width // CENT * CENT if width else 0 for spread in room]
    left -= sum(take * amount for take, amount in zip(taken, amounts, strict=True))
    order = sorted(range(len(amounts)), key=lambda i: -amounts[i])
    for rounding in (0, 1):
        for i in order:
            more = min(room[i] - taken[i], (left + rounding * (amounts[i] - 1)) // amounts[i])
            taken[i] += max(more, 0)
            left -= max(more, 0) * amounts[i]
    return [
        (ask - take if amount > 0 else bid + take) / UNITS_PER_USD
        for (bid, ask), (_, amount), take in zip(terms.bids_asks, legs, taken, strict=True)
    ]

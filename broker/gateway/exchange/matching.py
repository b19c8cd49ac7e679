"""The fill model: when an order fills, how much of it, and at which prices. Pure.

A combo's quote is made of its legs' quotes: `natural` is what one unit costs when every counterparty gets
its price, `opposite` what it would cost if every counterparty gave way, `middle` lies between. A combo
trades in whole units only. Nothing fills while any leg lacks a bid or an ask, or has them crossed or locked.

- **At once**: a market order, or a limit that reaches the natural price, fills at the natural price.
- **Queue and price improvement**: a limit from the middle up to the natural price may be met by somebody who
  gives way, at the limit. It waits at least `QUEUE_S`. Where the legs are quoted at most `TIGHT_USD` wide on
  average that is all. Where they are `n` times as wide, it waits longer by an exponential time of mean
  `PATIENCE_S * (n^2 - 1) * (1 - c)`, where `c` is how far the limit has gone from the middle (0) to the
  natural price (1).
- **Adverse selection**: a limit on its own side of the middle is never met while the market stands still.
  It must wait until the middle has come to it, that is until the market has moved against it, and is then
  met the sooner the further the market has moved.
- **Size**: a fill is no larger than the size displayed on the side it trades against (for a combo the least
  lots of its legs); what is left waits for the next quote.

The exponential time comes from a number drawn by `draw` from the seed and the order's identity alone, so
the same seed and the same orders give the same fills.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from broker.gateway.exchange.displayed import Displayed
from broker.gateway.exchange.order import UNITS_PER_USD, Order
from broker.gateway.markets.quotes import Quote
from options import ConId, Contract

QUEUE_S = 2.0
QUEUE = timedelta(seconds=QUEUE_S)
PATIENCE_S = 20.0
TIGHT_USD = 0.10
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


def two_sided(quote: Quote) -> tuple[int, int] | None:
    """(bid, ask) in units; None when one is missing or they are crossed or locked."""
    if quote.bid is None or quote.ask is None or not 0 < quote.bid < quote.ask:
        return None
    return units(quote.bid), units(quote.ask)


def terms_of(legs: Sequence[tuple[Contract, int]], quotes: Mapping[ConId, Quote]) -> Terms | None:
    """None while a leg has no quote that can be met."""
    sides: list[tuple[int, int]] = []
    natural = opposite = 0
    for contract, amount in legs:
        both = two_sided(quotes[contract.con_id])
        if both is None:
            return None
        bid, ask = both
        sides.append(both)
        if amount > 0:
            natural += amount * ask
            opposite += amount * bid
        else:
            natural += amount * bid
            opposite += amount * ask
    return Terms(natural, opposite, tuple(sides))


def lots_shown(
    legs: Sequence[tuple[Contract, int]], quotes: Mapping[ConId, Quote], displayed: Displayed
) -> int:
    """How many units of an order the displayed sizes allow at the natural price."""
    return min(
        displayed.left(contract.con_id, quotes[contract.con_id], amount > 0) // abs(amount)
        for contract, amount in legs
    )


def limit_of(order: Order, terms: Terms) -> int | None:
    """The most that one unit of the order may cost now; None: any price."""
    request = order.request
    match request.order_type:
        case "LMT" | "STP LMT":
            return request.sign * units(request.limit_price or 0.0)
        case "MIDPRICE":
            middle = -(-(terms.natural + terms.opposite) // 2)
            return min(middle, request.sign * units(request.limit_price)) if request.limit_price else middle
    return None


def patience_s(limit: int, terms: Terms, legs: Sequence[tuple[Contract, int]]) -> float | None:
    """Seconds on average beyond the queue until a limit below the natural price is met; None: never.

    `limit` is the most that one unit may cost.
    """
    if 2 * limit < terms.natural + terms.opposite:
        return None
    contracts = sum(abs(amount) for _, amount in legs)
    width = (terms.natural - terms.opposite) / (contracts * TIGHT_USD * UNITS_PER_USD)
    if width <= 1:
        return 0.0
    conceded = (limit - terms.middle) / (terms.natural - terms.middle)
    return PATIENCE_S * (width**2 - 1) * (1 - conceded)


def wait(mean_s: float, luck: float) -> timedelta:
    """How long a limit must have lain where it may be met; `luck` from `draw`."""
    return QUEUE + timedelta(seconds=mean_s * -math.log(luck)) if mean_s else QUEUE


def leg_prices(legs: Sequence[tuple[Contract, int]], terms: Terms, cost: int) -> list[int]:
    """Units of each leg, so that one unit of the order costs `cost`, from `opposite` to `natural`.

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
        ask - take if amount > 0 else bid + take
        for (bid, ask), (_, amount), take in zip(terms.bids_asks, legs, taken, strict=True)
    ]


def leg_price(limit: int, both: tuple[int, int], buys: bool) -> int | None:
    """At what a single leg with a limit of its own trades against (bid, ask) at once; None: not now.

    At the counterparty's price when the limit reaches it, from the middle on at the limit.
    """
    bid, ask = both
    if buys:
        return ask if limit >= ask else limit if 2 * limit >= bid + ask else None
    return bid if limit <= bid else limit if 2 * limit <= bid + ask else None

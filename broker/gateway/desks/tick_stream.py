"""A client's subscription to every tick of one kind."""

from dataclasses import dataclass
from enum import IntEnum

from broker.gateway.markets.quotes import Quote
from options import Contract


class TickKind(IntEnum):
    """As tickByTick (99) numbers them; every trade here is one that `Last` tells too."""

    LAST = 1
    ALL_LAST = 2
    BID_ASK = 3
    MIDPOINT = 4


@dataclass(slots=True)
class TickStream:
    """`told`: the quote that the client knows, None before the first. `ignore_size`: a BID_ASK stream whose
    sizes alone are no news."""

    contract: Contract
    kind: TickKind
    ignore_size: bool
    told: Quote | None = None

"""How an order's limit moves from the mid towards the natural price, as a pure function of time.

Prices are those of a combo *bought* (see `combo`): a step is always upwards.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from options import Toward, round_to_tick
from trading.combo import ComboQuote


class Urgency(StrEnum):
    NORMAL = "normal"
    HIGH = "high"
    IMMEDIATE = "immediate"


@dataclass(frozen=True, slots=True)
class WalkTerms:
    """`step_every_s` between steps; a step is the larger of one tick and `step_of_spread` of the spread;
    the walk never pays more than `max_slippage_of_spread` of the spread above the first mid; after
    `patience_s` it gives up, or (`ends_marketable`) takes the natural price."""

    step_every_s: float = 30.0
    step_of_spread: float = 0.05
    max_slippage_of_spread: float = 0.5
    patience_s: float = 300.0
    ends_marketable: bool = False


CALM = WalkTerms()
URGENT = WalkTerms(step_every_s=10.0, patience_s=60.0, ends_marketable=True)


def terms_for(urgency: Urgency) -> WalkTerms:
    return URGENT if urgency is Urgency.IMMEDIATE else CALM


@dataclass(frozen=True, slots=True)
class Walk:
    """Where a walk stands. `limit` is the price at the broker, `worst` what it may never exceed."""

    started: datetime
    stepped: datetime
    limit: float
    worst: float


class WalkMove(StrEnum):
    HOLD = "hold"
    STEP = "step"
    GIVE_UP = "give_up"


def start_walk(quote: ComboQuote, terms: WalkTerms, now: datetime) -> Walk:
    """Begin at the mid, rounded in our favour."""
    worst = round_to_tick(quote.mid + terms.max_slippage_of_spread * quote.spread, quote.tick, Toward.UP)
    limit = round_to_tick(quote.mid, quote.tick, Toward.DOWN)
    return Walk(now, now, min(limit, worst), worst)


def next_move(walk: Walk, quote: ComboQuote | None, terms: WalkTerms, now: datetime) -> tuple[WalkMove, Walk]:
    """What to do now. Without a live quote the limit stays where it is: no price is made up."""
    if now - walk.started >= timedelta(seconds=terms.patience_s):
        if not terms.ends_marketable or quote is None:
            return WalkMove.GIVE_UP, walk
        natural = round_to_tick(quote.ask, quote.tick, Toward.UP)
        if natural > walk.limit:
            return WalkMove.STEP, Walk(walk.started, now, natural, max(natural, walk.worst))
        return WalkMove.HOLD, walk
    if quote is None or now - walk.stepped < timedelta(seconds=terms.step_every_s):
        return WalkMove.HOLD, walk
    step = max(quote.tick, terms.step_of_spread * quote.spread)
    target = round_to_tick(walk.limit + step, quote.tick, Toward.UP)
    natural = round_to_tick(quote.ask, quote.tick, Toward.UP)
    limit = min(target, natural, walk.worst)
    if limit <= walk.limit:
        return WalkMove.HOLD, walk
    return WalkMove.STEP, Walk(walk.started, now, limit, walk.worst)


def next_due(walk: Walk, terms: WalkTerms) -> datetime:
    """The next moment at which `next_move` could do something."""
    return min(
        walk.stepped + timedelta(seconds=terms.step_every_s),
        walk.started + timedelta(seconds=terms.patience_s),
    )

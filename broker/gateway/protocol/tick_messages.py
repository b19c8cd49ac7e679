"""Market data as it goes over the wire: which ticks a changed quote becomes, and their bytes.

A tick's bytes are the same for every subscription but for the request id in their middle, so they are
encoded once for all who watch the same contract.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from broker.gateway.markets.quotes import MISSING, Quote
from broker.gateway.markets.venues import best_letters
from broker.gateway.protocol.wire import LENGTH, Value, encoded
from options import Contract, SecType

BID, ASK, LAST, HIGH, LOW, CLOSE, OPEN, MARK = 1, 2, 4, 6, 7, 9, 14, 37
BID_SIZE, ASK_SIZE, LAST_SIZE, VOLUME = 0, 3, 5, 8
BID_COMPUTATION, ASK_COMPUTATION, LAST_COMPUTATION, MODEL_COMPUTATION, CUSTOM_COMPUTATION = 10, 11, 12, 13, 53
BID_EXCHANGE, ASK_EXCHANGE, LAST_EXCHANGE = 32, 33, 84
LAST_TIME, REAL_TIME_VOLUME, HALTED = 45, 48, 49
DELAYED = {
    **{BID: 66, ASK: 67, LAST: 68, BID_SIZE: 69, ASK_SIZE: 70, LAST_SIZE: 71, HIGH: 72, LOW: 73, VOLUME: 74},
    **{CLOSE: 75, OPEN: 76, BID_COMPUTATION: 80, ASK_COMPUTATION: 81, LAST_COMPUTATION: 82},
    **{MODEL_COMPUTATION: 83, LAST_TIME: 88, HALTED: 90},
}
CAN_AUTO_EXECUTE = 1
# iv, delta, price, present value of dividends, gamma, vega, theta, underlying price
NOT_COMPUTED = (-1.0, -2.0, -1.0, -1.0, -2.0, -2.0, -2.0, -1.0)
# A quote that is seen again unmoved is repeated this often, so that a client can tell it from a dead line.
REPEAT_AFTER = timedelta(seconds=15)
# The volatilities implied by bid, ask and last are sent again when they have moved by this much.
VOL_STEP = 0.001
LEAST_VEGA = 1e-4

_PRICE, _SIZE, _GENERIC, _TEXT, _COMPUTATION = (1, 6), (2, 6), (45, 6), (46, 6), (21,)
TICK_BY_TICK = (99,)
_HEADS: dict[tuple[int, ...], bytes] = {
    head: encoded(head) for head in (_PRICE, _SIZE, _GENERIC, _TEXT, _COMPUTATION, TICK_BY_TICK)
}


@dataclass(frozen=True, slots=True)
class Tick:
    """A message but for its request id, which stands between `head` and the `kind` of tick."""

    head: tuple[int, ...]
    kind: int
    values: tuple[Value, ...]

    def message(self, req_id: int) -> tuple[Value, ...]:
        return (*self.head, req_id, self.kind, *self.values)


def price_tick(kind: int, price: float, size: int = 0, mask: int = 0) -> Tick:
    return Tick(_PRICE, kind, (price, size, mask))


def size_tick(kind: int, size: int) -> Tick:
    return Tick(_SIZE, kind, (size,))


def generic_tick(kind: int, value: float) -> Tick:
    return Tick(_GENERIC, kind, (value,))


def text_tick(kind: int, words: str) -> Tick:
    return Tick(_TEXT, kind, (words,))


def computation_tick(kind: int, values: Sequence[float | None]) -> Tick:
    """`values` in the order of `NOT_COMPUTED`, whose sentinels stand for None."""
    sent = [lack if v is None else v for v, lack in zip(values, NOT_COMPUTED, strict=True)]
    return Tick(_COMPUTATION, kind, (0, *sent))


@dataclass(slots=True)
class Ticks:
    """Ticks of one moment, and their bytes once somebody needs them."""

    ticks: list[Tick]
    _parts: list[tuple[bytes, bytes]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ticks)

    def frames(self, req_id: int) -> bytes:
        """All of them, one frame behind the other."""
        if not self._parts:
            self._parts = [(_HEADS[tick.head], encoded((tick.kind, *tick.values))) for tick in self.ticks]
        number = b"%d\0" % req_id
        framed: list[bytes] = []
        for head, tail in self._parts:
            framed += (LENGTH.pack(len(head) + len(number) + len(tail)), head, number, tail)
        return b"".join(framed)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a subscriber has been told: the quote, the volatilities implied by its bid, ask and last, and
    when its prices were last sent."""

    quote: Quote
    vols: tuple[float | None, ...]
    at: datetime


def news(contract: Contract, shown: Shown | None, quote: Quote, now: datetime) -> tuple[list[Tick], Shown]:
    """What to tell of `quote` to somebody who knows `shown` (None: nothing yet), and what he knows then.

    Of each value that moved a tick, prices together with their size; a size alone when only it moved. A
    side that vanished is -1 with size 0. Unmoved prices are repeated after `REPEAT_AFTER`.
    """
    old = shown.quote if shown else MISSING
    repeat = shown is None or now - shown.at >= REPEAT_AFTER
    first = shown is None and quote != MISSING
    ticks = [
        *_side(BID, BID_SIZE, (quote.bid, quote.bid_size), (old.bid, old.bid_size), repeat, first),
        *_side(ASK, ASK_SIZE, (quote.ask, quote.ask_size), (old.ask, old.ask_size), repeat, first),
        *_venues(contract, old, quote),
        *_trades(contract, old, quote, now),
        *_day(old, quote),
    ]
    if first and contract.sec_type is SecType.STOCK:
        ticks.append(generic_tick(HALTED, 0))
    vols: tuple[float | None, ...] = (None, None, None)
    if contract.sec_type is SecType.OPTION:
        computed, vols = _computations(old, shown.vols if shown else vols, quote)
        ticks += computed
    sent_prices = any(tick.head == _PRICE for tick in ticks)
    return ticks, Shown(quote, vols, now if sent_prices or shown is None else shown.at)


def _side(
    kind: int,
    size_kind: int,
    new: tuple[float | None, int],
    old: tuple[float | None, int],
    repeat: bool,
    first: bool,
) -> Iterable[Tick]:
    price, size = new
    if price is None:
        if old[0] is not None or first:
            yield price_tick(kind, -1.0, 0, CAN_AUTO_EXECUTE)
            yield size_tick(size_kind, 0)
    elif price != old[0] or repeat:
        yield price_tick(kind, price, size, CAN_AUTO_EXECUTE)
        if new != old:
            yield size_tick(size_kind, size)
    elif size != old[1]:
        yield size_tick(size_kind, size)


def _venues(contract: Contract, old: Quote, new: Quote) -> Iterable[Tick]:
    """Who shows the best bid and ask, as letters."""
    if contract.sec_type is SecType.COMBO:
        return
    sides = (
        (BID_EXCHANGE, new.bid, new.bid_size, old.bid, old.bid_size),
        (ASK_EXCHANGE, new.ask, new.ask_size, old.ask, old.ask_size),
    )
    for kind, price, size, was, was_size in sides:
        if price is not None and (was is None or size != was_size):
            letters = best_letters(contract, size)
            if was is None or letters != best_letters(contract, was_size):
                yield text_tick(kind, letters)


def _trades(contract: Contract, old: Quote, new: Quote, now: datetime) -> Iterable[Tick]:
    """The last trade; its size is what the day's volume grew by, 1 where that is not known."""
    traded = (new.volume or 0) - (old.volume or 0) if old.volume is not None else 0
    if new.last is not None and (new.last != old.last or traded > 0):
        size = max(traded, 1)
        if contract.sec_type is SecType.INDEX:
            size = 0
        yield text_tick(LAST_TIME, str(int(now.timestamp())))
        yield price_tick(LAST, new.last, size)
        yield size_tick(LAST_SIZE, size)
        if size and old.last is None:
            yield text_tick(LAST_EXCHANGE, best_letters(contract, 0))
    if new.volume is not None and new.volume != old.volume:
        yield size_tick(VOLUME, new.volume)


def _day(old: Quote, new: Quote) -> Iterable[Tick]:
    pairs = (
        (HIGH, new.high, old.high),
        (LOW, new.low, old.low),
        (CLOSE, new.close, old.close),
        (OPEN, new.open, old.open),
    )
    for kind, value, was in pairs:
        if value is not None and value != was:
            yield price_tick(kind, value)


def _computations(
    old: Quote, told: tuple[float | None, ...], new: Quote
) -> tuple[list[Tick], tuple[float | None, ...]]:
    """Of bid, ask and last only when the volatility has moved enough; of the model at every change."""
    ticks: list[Tick] = []
    vols = []
    sides = ((BID_COMPUTATION, new.bid), (ASK_COMPUTATION, new.ask), (LAST_COMPUTATION, new.last))
    for (kind, price), was in zip(sides, told, strict=True):
        vol = implied_at(new, price)
        if vol is None or (was is not None and abs(vol - was) < VOL_STEP):
            vols.append(was)
            continue
        vols.append(vol)
        values = (vol, new.delta, price, None, new.gamma, new.vega, new.theta, new.underlying_price)
        ticks.append(computation_tick(kind, values))
    model = new.computation
    if model != old.computation:
        ticks.append(computation_tick(MODEL_COMPUTATION, model or (None,) * 8))
    return ticks, tuple(vols)


def implied_at(quote: Quote, price: float | None) -> float | None:
    """The volatility at which the option is worth `price`, by one step of Newton's method from the model's
    value. None without a price or a model, and where the step leads out of what a volatility can be."""
    if price is None or quote.iv is None or quote.model_price is None or quote.vega is None:
        return None
    if quote.vega < LEAST_VEGA:
        return None
    vol = quote.iv + 0.01 * (price - quote.model_price) / quote.vega
    return round(vol, 6) if 0.001 < vol < 5.0 else None


def delayed(ticks: Iterable[Tick]) -> list[Tick]:
    """The delayed twins of live ticks; what has none is left out."""
    return [replace(tick, kind=DELAYED[tick.kind]) for tick in ticks if tick.kind in DELAYED]

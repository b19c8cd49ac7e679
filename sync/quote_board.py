"""The latest quote of every contract, and whether it may be believed now.

Prices are kept as the broker reported them, each with the moment it arrived. A quote is `live` only while
it is two-sided, uncrossed, real-time and fresh; everything else is for display, never for a decision.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import polars as pl

from broker.events import QuoteChanged
from options import ConId
from sync.price_history import PriceHistory

STALE_AFTER_S = 120.0

FRAME_SCHEMA = pl.Schema(
    {
        "con_id": pl.Int64(),
        "bid": pl.Float64(),
        "ask": pl.Float64(),
        "last": pl.Float64(),
        "mark": pl.Float64(),
        "live_mark": pl.Float64(),
        "spread": pl.Float64(),
        "iv": pl.Float64(),
        "delta": pl.Float64(),
        "gamma": pl.Float64(),
        "theta": pl.Float64(),
        "vega": pl.Float64(),
        "underlying_price": pl.Float64(),
        "quote_time": pl.Datetime("us", "UTC"),
        "quote_state": pl.String(),
        "age_s": pl.Float64(),
    }
)


class QuoteState(StrEnum):
    """`MODELLED` is reserved for marks between visits of a line; nothing gives it yet."""

    LIVE = "live"
    MODELLED = "modelled"
    STALE = "stale"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class KnownQuote:
    """The last two-sided, uncrossed quote; USD per share. `time` is when it arrived."""

    bid: float
    ask: float
    time: datetime

    @property
    def mid(self) -> float:
        return 0.5 * (self.bid + self.ask)


@dataclass(frozen=True, slots=True)
class _Entry:
    """`received` is when the latest message arrived, None once the link it came over is gone."""

    quote: QuoteChanged
    received: datetime | None
    known: KnownQuote | None


class QuoteBoard:
    """Quotes by con_id. Ages are measured against the `now` that is handed in."""

    def __init__(self, stale_after_s: float = STALE_AFTER_S) -> None:
        self.stale_after = timedelta(seconds=stale_after_s)
        self._entries: dict[ConId, _Entry] = {}
        self._watched: dict[str, ConId] = {}
        self._history = PriceHistory()

    # --- what comes in ---------------------------------------------------------------------------

    def apply(self, event: QuoteChanged, now: datetime) -> None:
        """Take the contract's new quote in. `now` is when it was drained from the broker."""
        old = self._entries.get(event.con_id)
        known = old.known if old else None
        if is_two_sided(event) and event.quote_time is not None:
            assert event.bid is not None
            assert event.ask is not None
            known = KnownQuote(event.bid, event.ask, event.quote_time)
        self._entries[event.con_id] = _Entry(event, now, known)
        if event.con_id in self._watched.values():
            price = self.price(event.con_id, now)
            if price is not None:
                self._history.record(event.con_id, price, now)

    def watch(self, symbol: str, con_id: ConId) -> None:
        """Say which contract is the price of `symbol` (an underlying, or VIX); its history is kept."""
        self._watched[symbol] = con_id

    def forget(self) -> None:
        """The link is gone: nothing is live until it is quoted again; values stay for display."""
        self._entries = {con_id: replace(entry, received=None) for con_id, entry in self._entries.items()}

    # --- one contract ----------------------------------------------------------------------------

    def state(self, con_id: ConId, now: datetime) -> QuoteState:
        """`MISSING` when there is no quote that could be believed if it were fresh."""
        entry = self._entries.get(con_id)
        if entry is None:
            return QuoteState.MISSING
        if not is_two_sided(entry.quote) or not entry.quote.is_live:
            return QuoteState.MISSING
        return QuoteState.LIVE if self._is_fresh(entry, now) else QuoteState.STALE

    def sides(self, con_id: ConId, now: datetime) -> tuple[float, float] | None:
        """Live (bid, ask) in USD per share; None unless the quote is live."""
        if self.state(con_id, now) is not QuoteState.LIVE:
            return None
        quote = self._entries[con_id].quote
        assert quote.bid is not None
        assert quote.ask is not None
        return quote.bid, quote.ask

    def mid(self, con_id: ConId, now: datetime) -> float | None:
        """Half-way between live bid and ask, USD per share; None unless the quote is live."""
        sides = self.sides(con_id, now)
        return None if sides is None else 0.5 * (sides[0] + sides[1])

    def last_known(self, con_id: ConId) -> KnownQuote | None:
        """For display only: the last sane two-sided quote, however old; None when there never was one."""
        entry = self._entries.get(con_id)
        return entry.known if entry else None

    def price(self, con_id: ConId, now: datetime) -> float | None:
        """What an underlying or index trades at: the live mid, else a fresh last trade; else None."""
        mid = self.mid(con_id, now)
        entry = self._entries.get(con_id)
        if mid is not None or entry is None or not entry.quote.is_live:
            return mid
        fresh = entry.received is not None and now - entry.received <= self.stale_after
        return entry.quote.last if fresh and _positive(entry.quote.last) else None

    def _is_fresh(self, entry: _Entry, now: datetime) -> bool:
        times = [t for t in (entry.quote.quote_time, entry.quote.greeks_time) if t is not None]
        if entry.received is None or entry.quote.quote_time is None:
            return False
        return now - max(times) <= self.stale_after

    # --- an underlying by its symbol -------------------------------------------------------------

    def underlying_price(self, symbol: str, now: datetime) -> float | None:
        """USD per share (points for VIX); None when the symbol is not watched or not fresh."""
        con_id = self._watched.get(symbol)
        return None if con_id is None else self.price(con_id, now)

    def underlying_change(self, symbol: str, span: timedelta, now: datetime) -> float | None:
        """Relative change against the price `span` ago (-0.03 = three percent down).

        None until a price that old is known. A day ago is the previous close where the broker gave it.
        """
        con_id = self._watched.get(symbol)
        price = None if con_id is None else self.price(con_id, now)
        if con_id is None or price is None:
            return None
        close = self._entries[con_id].quote.close if span == timedelta(days=1) else None
        before = close if _positive(close) else self._history.price_before(con_id, span, now)
        return price / before - 1.0 if before is not None else None

    # --- all contracts at once -------------------------------------------------------------------

    def frame(self, now: datetime, con_ids: Iterable[ConId] | None = None) -> pl.DataFrame:
        """One row per contract (all that were ever quoted, or those asked for), schema `FRAME_SCHEMA`.

        `bid`, `ask`, `mark`, `quote_time` are the last sane quote, with `quote_state` `live`, or `stale`
        when it may only be shown; null and `missing` when there never was one. `live_mark` and `spread`
        (USD per share) are null unless live, Greeks and `underlying_price` unless the model is fresh,
        `last` is the last trade as reported. `age_s` is how old the last message about a price is.
        """
        wanted = self._entries if con_ids is None else con_ids
        return pl.DataFrame([self._row(c, now) for c in wanted], schema=FRAME_SCHEMA, orient="row")

    def _row(self, con_id: ConId, now: datetime) -> tuple[object, ...]:
        entry = self._entries.get(con_id)
        if entry is None:
            return (con_id, *[None] * 13, QuoteState.MISSING.value, None)
        quote, known = entry.quote, entry.known
        live = self.state(con_id, now) is QuoteState.LIVE
        model = quote if self._has_model(entry, now) else None
        shown = QuoteState.LIVE if live else QuoteState.STALE if known else QuoteState.MISSING
        times = [t for t in (quote.quote_time, quote.greeks_time) if t is not None]
        return (
            con_id,
            known.bid if known else None,
            known.ask if known else None,
            quote.last,
            known.mid if known else None,
            known.mid if known and live else None,
            known.ask - known.bid if known and live else None,
            model.iv if model else None,
            model.delta if model else None,
            model.gamma if model else None,
            model.theta if model else None,
            model.vega if model else None,
            model.underlying_price if model else None,
            known.time.astimezone(UTC) if known else None,
            shown.value,
            (now - max(times)).total_seconds() if times else None,
        )

    def _has_model(self, entry: _Entry, now: datetime) -> bool:
        at = entry.quote.greeks_time
        usable = entry.received is not None and entry.quote.is_live
        return usable and at is not None and now - at <= self.stale_after

    def data_age_s(self, now: datetime) -> float | None:
        """Seconds since the last message about any contract; None before the first and after `forget`."""
        times = [entry.received for entry in self._entries.values() if entry.received is not None]
        return (now - max(times)).total_seconds() if times else None


def is_two_sided(quote: QuoteChanged) -> bool:
    """Whether both sides are quoted, positive, and neither crossed nor locked.

    A bid of zero is nobody bidding: half of a lone ask would overstate what a wing is worth.
    """
    if quote.bid is None or quote.ask is None:
        return False
    return 0.0 < quote.bid < quote.ask


def _positive(price: float | None) -> bool:
    return price is not None and price > 0

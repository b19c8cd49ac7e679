"""The latest quote of every contract, and whether it may be believed now.

Prices are kept as the broker reported them, each with the moment it arrived. A quote is `live` only while
it is two-sided, uncrossed, real-time and fresh; everything else is for display, never for a decision.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import repeat
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

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
        "current_mark": pl.Float64(),
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
# One contract's row of figures; times are `epoch_us`.
_FIGURES = (
    "bid", "ask", "quote_time", "last", "iv", "delta", "gamma", "theta", "vega", "underlying_price",
    "heard", "live_from", "model_from", "bid_now", "ask_now", "close",
)  # fmt: skip
_MODEL = ("iv", "delta", "gamma", "theta", "vega", "underlying_price")
_AS_HEARD = ("bid", "ask", "last", "quote_time", "bid_now", "ask_now", "close")
_NEVER_QUOTED = 0  # the row that stays unknown
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Floats = NDArray[np.float64]
"""Float64 with NaN for unknown, inside of computations only: whatever leaves them is null instead."""


class QuoteState(StrEnum):
    """From best to worst. `MODELLED` is a mark between visits of a line, from the underlying's live price."""

    LIVE = "live"
    MODELLED = "modelled"
    STALE = "stale"
    MISSING = "missing"


STATES = tuple(state.value for state in QuoteState)


class Quotes(Protocol):
    """What facts are made of: the figures of many contracts, and underlyings by their symbols."""

    def figures(
        self, con_ids: Sequence[ConId], now: datetime
    ) -> tuple[dict[str, Floats], NDArray[np.int64]]: ...

    def underlying_price(self, symbol: str, now: datetime) -> float | None: ...

    def underlying_change(self, symbol: str, span: timedelta, now: datetime) -> float | None: ...

    def underlying_age_s(self, symbol: str, now: datetime) -> float | None: ...


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

    @property
    def is_believable(self) -> bool:
        """Whether the latest quote could be live if it is fresh."""
        return self.quote.is_live and is_two_sided(self.quote)

    @property
    def heard(self) -> datetime | None:
        """When a price or the model last arrived."""
        price, model = self.quote.quote_time, self.quote.greeks_time
        return price if model is None or (price is not None and price > model) else model

    @property
    def live_from(self) -> datetime | None:
        """What the age of a live quote counts from; None when the quote cannot be live."""
        answers = self.received is not None and self.quote.quote_time is not None
        return self.heard if answers and self.is_believable else None

    @property
    def model_from(self) -> datetime | None:
        """What the age of the Greeks counts from; None when they cannot be used."""
        return self.quote.greeks_time if self.received is not None and self.quote.is_live else None

    def figures(self) -> tuple[float | None, ...]:
        """The entry as `_FIGURES`."""
        quote, known = self.quote, self.known
        is_now = self.received is not None and quote.is_live
        return (
            known.bid if known else None,
            known.ask if known else None,
            _us(known.time if known else None),
            quote.last,
            quote.iv,
            quote.delta,
            quote.gamma,
            quote.theta,
            quote.vega,
            quote.underlying_price,
            _us(self.heard),
            _us(self.live_from),
            _us(self.model_from),
            quote.bid if is_now else None,
            quote.ask if is_now else None,
            quote.close,
        )


class QuoteBoard:
    """Quotes by con_id. Ages are measured against the `now` that is handed in.

    What was heard of each contract is kept twice: as its entry, and as a row of figures, because
    thousands of contracts a beat are too many to visit one by one.
    """

    def __init__(self, stale_after_s: float = STALE_AFTER_S) -> None:
        self.stale_after = timedelta(seconds=stale_after_s)
        self.revision = 0
        """Grows with everything that is heard or lost."""
        self._entries: dict[ConId, _Entry] = {}
        self._rows: dict[ConId, int] = {}
        self._figures = np.full((64, len(_FIGURES)), np.nan)
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
        self._keep(event.con_id, _Entry(event, now, known))
        if event.con_id in self._watched.values():
            price = self.price(event.con_id, now)
            if price is not None:
                self._history.record(event.con_id, price, now)

    def watch(self, symbol: str, con_id: ConId) -> None:
        """Say which contract is the price of `symbol` (an underlying, or VIX); its history is kept."""
        self._watched[symbol] = con_id

    def forget(self) -> None:
        """The link is gone: nothing is live until it is quoted again; values stay for display."""
        for con_id, entry in self._entries.items():
            self._keep(con_id, replace(entry, received=None))

    def release(self, con_ids: Iterable[ConId]) -> None:
        """These lines were closed: what was quoted on them is no longer live, however young it is."""
        for con_id in con_ids:
            entry = self._entries.get(con_id)
            if entry is not None:
                self._keep(con_id, replace(entry, received=None))

    def _keep(self, con_id: ConId, entry: _Entry) -> None:
        self.revision += 1
        row = self._rows.setdefault(con_id, _NEVER_QUOTED + 1 + len(self._rows))
        if row == len(self._figures):
            self._figures = np.concatenate([self._figures, np.full_like(self._figures, np.nan)])
        self._entries[con_id] = entry
        self._figures[row] = entry.figures()

    # --- one contract ----------------------------------------------------------------------------

    def state(self, con_id: ConId, now: datetime) -> QuoteState:
        """`MISSING` when there is no quote that could be believed if it were fresh."""
        entry = self._entries.get(con_id)
        if entry is None or not entry.is_believable:
            return QuoteState.MISSING
        since = entry.live_from
        return QuoteState.LIVE if since and now - since <= self.stale_after else QuoteState.STALE

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

    # --- an underlying by its symbol -------------------------------------------------------------

    def watched(self, symbol: str) -> ConId | None:
        """The contract that is the price of `symbol`."""
        return self._watched.get(symbol)

    def underlying_price(self, symbol: str, now: datetime) -> float | None:
        """USD per share (points for VIX); None when the symbol is not watched or not fresh."""
        con_id = self._watched.get(symbol)
        return None if con_id is None else self.price(con_id, now)

    def underlying_age_s(self, symbol: str, now: datetime) -> float | None:
        """Seconds since something was last heard of its price; None when nothing ever was."""
        con_id = self._watched.get(symbol)
        entry = None if con_id is None else self._entries.get(con_id)
        heard = None if entry is None else entry.quote.quote_time or entry.received
        return None if heard is None else (now - heard).total_seconds()

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
        when it may only be shown; null and `missing` when there never was one. `current_mark` and `spread`
        (USD per share) are null unless live, Greeks and `underlying_price` unless the model is fresh,
        `last` is the last trade as reported. `age_s` is how old the last message about a price is.
        """
        wanted = list(self._entries if con_ids is None else con_ids)
        figures, states = self.figures(wanted, now)
        return frame_of(wanted, figures, states)

    def figures(self, con_ids: Sequence[ConId], now: datetime) -> tuple[dict[str, Floats], NDArray[np.int64]]:
        """The numbers of `frame` by name, and of each quote the place of its state in `STATES`.

        Shape (n_con_ids,), in that order, repetitions included. `quote_time` is `epoch_us`. Besides there
        are `bid_now` and `ask_now`, the sides of the latest quote however little they make sense, and
        `close`, the last close.
        """
        rows = np.fromiter(map(self._rows.get, con_ids, repeat(_NEVER_QUOTED)), np.intp, len(con_ids))
        of = dict(zip(_FIGURES, self._figures[rows].T, strict=True))
        at, stale_after = epoch_us(now), self.stale_after / _MICROSECOND
        is_live, has_model = at - of["live_from"] <= stale_after, at - of["model_from"] <= stale_after
        mark = 0.5 * (of["bid"] + of["ask"])
        shown = np.where(np.isnan(mark), STATES.index(QuoteState.MISSING), STATES.index(QuoteState.STALE))
        figures = {
            **{name: of[name] for name in _AS_HEARD},
            **{name: np.where(has_model, of[name], np.nan) for name in _MODEL},
            "mark": mark,
            "current_mark": np.where(is_live, mark, np.nan),
            "spread": np.where(is_live, of["ask"] - of["bid"], np.nan),
            "age_s": (at - of["heard"]) / 1e6,
        }
        return figures, np.where(is_live, STATES.index(QuoteState.LIVE), shown)

    def data_age_s(self, now: datetime) -> float | None:
        """Seconds since the last message about any contract; None before the first and after `forget`."""
        times = [entry.received for entry in self._entries.values() if entry.received is not None]
        return (now - max(times)).total_seconds() if times else None


def frame_of(
    con_ids: Sequence[ConId], figures: Mapping[str, Floats], states: NDArray[np.int64]
) -> pl.DataFrame:
    """The figures of these contracts as `FRAME_SCHEMA`."""
    names = [name for name in FRAME_SCHEMA if name in figures]
    columns = [
        pl.Series("con_id", con_ids, pl.Int64),
        *(pl.Series(name, figures[name], nan_to_null=True) for name in names),
        pl.Series("quote_state", [STATES[state] for state in states.tolist()], pl.String),
    ]
    times = pl.col("quote_time").cast(pl.Int64).cast(FRAME_SCHEMA["quote_time"])
    return pl.DataFrame(columns).with_columns(times).select(FRAME_SCHEMA.names())


def is_two_sided(quote: QuoteChanged) -> bool:
    """Whether both sides are quoted, positive, and neither crossed nor locked.

    A bid of zero is nobody bidding: half of a lone ask would overstate what a wing is worth.
    """
    if quote.bid is None or quote.ask is None:
        return False
    return 0.0 < quote.bid < quote.ask


def _positive(price: float | None) -> bool:
    return price is not None and price > 0


def epoch_us(time: datetime) -> int:
    """Whole microseconds since 1970, which a float64 holds exactly."""
    return (time - _EPOCH) // _MICROSECOND


def _us(time: datetime | None) -> int | None:
    return None if time is None else epoch_us(time)

"""What every contract is worth now, between the visits of a market-data line too.

A contract that is quoted live is worth its mid. Of the others the price and the Greeks come from our own
model: the underlying's live price, and the volatility that the contract's own last quote implied (sticky
strike), moved as those of the underlying's other contracts have moved since. Each figure says by its state
how it was got; where one of its sources is missing, too old or flagged it is not known.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import repeat
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from options import ConId, Contract, Greeks, Right, SecType
from options.american import escrowed_american
from options.hours import closing, trading_day
from options.implied import solved_vol
from sync.carry import (
    YEAR_US,
    Dividends,
    ExDays,
    Pairs,
    Places,
    Series,
    implied_paid,
    narrow_pairs,
    series_of,
    strike_pairs,
)
from sync.mark_errors import MarkErrors, Visit
from sync.quote_board import STATES, Floats, QuoteBoard, QuoteState, epoch_us, frame_of
from sync.quote_flags import (
    JUMP_S,
    UNBELIEVABLE,
    Bools,
    Flag,
    Flags,
    flag_words,
    is_frozen,
    is_jump,
    price_flags,
)
from sync.volatility_shift import learnt

GREEKS = ("delta", "gamma", "theta", "vega")
ANCHOR_AGAIN_S = 5.0
"""How often the volatility of a contract that is quoted all the time is taken anew."""
PRICE_AGAIN_S = 60.0
VOL_MOVED = 0.001
"""How old a model price may be, and how far off its volatility (ratio), while its underlying stands still."""
DELTA_MOVE, LEAST_MOVE = 0.05, 0.0002
"""What cannot wait for the next beat: a delta's move; never less than this move of the underlying (ratio)."""
_LIVE, _MODELLED, _STALE = (
    STATES.index(state) for state in (QuoteState.LIVE, QuoteState.MODELLED, QuoteState.STALE)
)
TERMS_DTYPE = np.dtype(
    [
        ("con_id", np.int64),
        ("underlying", np.intp),
        ("series", np.intp),
        ("strike", np.float64),
        ("is_call", np.bool_),
        ("end", np.float64),
        ("tick", np.float64),
    ]
)
_NUMBERS = (
    "vol", "seen", "mid", "mid_spot", "width", "paid", "price", *GREEKS, "spot", "priced", "used", "jumped",
    "level",
)  # fmt: skip
_GIVEN = {
    "current_mark": "price",
    "mark": "price",
    "spread": "width",
    "iv": "used",
    "underlying_price": "spot",
}
"""Names of figures, and which columns of the marks they are."""


def _unknown(count: int) -> dict[str, NDArray[Any]]:
    """The columns of so many contracts of which nothing is known."""
    columns: dict[str, NDArray[Any]] = {name: np.full(count, np.nan) for name in _NUMBERS}
    return {**columns, "flags": np.zeros(count, np.int64), "was_live": np.zeros(count, np.bool_)}


@dataclass(frozen=True, slots=True)
class ModelTerms:
    """`rate` continuous, per year; a volatility older than `vol_within_s` makes no marks. When the underlying
    gains a percent, volatilities lose `stickiness` percent of themselves (0: sticky strike). An underlying
    that moves by `beat_move` (ratio) is news that cannot wait."""

    rate: float = 0.04
    vol_within_s: float = 3600.0
    stickiness: float = 0.0
    beat_move: float = 0.001


MODEL = ModelTerms()


class Marks:
    """Marks of the contracts it was told of, brought up to date when the board or the time changed.

    `terms` (`TERMS_DTYPE`) are the option contracts, `marks` what is known of them, column by column. Of
    the last good quote: `mid`, `width`, the underlying's price `mid_spot`, the volatility `vol` and the
    dividends `paid` it was solved with, `seen`, when, and what `level` the underlying's volatilities had
    (`sync/volatility_shift.py`). By the model at the underlying's price `spot`, at `priced`, with the
    volatility `used`: `price` and Greeks. Times are `epoch_us`, NaN is not known.
    """

    def __init__(self, board: QuoteBoard, model: ModelTerms = MODEL) -> None:
        self._board = board
        self.model = model
        self.errors = MarkErrors()
        self.dividends: Dividends | None = None
        """Where dividends are announced; None: nowhere."""
        self._terms = np.zeros(0, TERMS_DTYPE)
        self._marks = _unknown(0)
        self._con_ids: list[ConId] = []
        self._rows: dict[ConId, int] = {}
        self._symbols: dict[str, int] = {}
        self._series: dict[Series, int] = {}
        self._pairs = np.zeros((0, 2), np.intp)
        self._implied, self._day = np.zeros(0), date.min
        self._levels = np.zeros(0)
        self._ex_days: tuple[tuple[date, Dividends | None], ExDays] | None = None
        self._done: tuple[datetime, int] | None = None
        self._before = -np.inf

    def know(self, contracts: Iterable[Contract]) -> None:
        """Mark exactly these contracts from now on; what is known of those that stay is kept."""
        wanted = {c.con_id: c for c in contracts if c.sec_type is SecType.OPTION and c.expiry is not None}
        marks = _unknown(len(wanted))
        stay = [(row, self._rows[con_id]) for row, con_id in enumerate(wanted) if con_id in self._rows]
        if stay:
            to, kept = np.array(stay).T
            for name, values in marks.items():
                values[to] = self._marks[name][kept]
        self._terms = np.array([self._terms_of(contract) for contract in wanted.values()], TERMS_DTYPE)
        self._marks, self._con_ids = marks, list(wanted)
        self._rows = {con_id: row for row, con_id in enumerate(wanted)}
        more = len(self._series) - len(self._implied)
        self._implied = np.concatenate([self._implied, np.full(more, np.nan)])
        self._levels = np.concatenate([self._levels, np.zeros(len(self._symbols) - len(self._levels))])
        self._pairs = strike_pairs(self._terms)
        self._ex_days = self._done = None

    def _terms_of(self, contract: Contract) -> tuple[object, ...]:
        assert contract.expiry is not None
        return (
            contract.con_id,
            self._symbols.setdefault(contract.symbol, len(self._symbols)),
            self._series.setdefault(series_of(contract, contract.expiry), len(self._series)),
            contract.strike,
            contract.right is Right.CALL,
            epoch_us(closing(contract.expiry)),
            contract.min_tick,
        )

    # --- what it gives ---------------------------------------------------------------------------

    def figures(self, con_ids: Sequence[ConId], now: datetime) -> tuple[dict[str, Floats], NDArray[np.int64]]:
        """As `QuoteBoard.figures`, with the model's values and the state `modelled` where they serve.

        There `current_mark` and `mark` are the model's price, `spread` is that of the last quote, and
        `age_s` still tells how old that is. What is flagged is not known. `flags` are those of `Flag`.
        """
        self.remark(now)
        figures, states = self._board.figures(con_ids, now)
        rows = np.fromiter(map(self._rows.get, con_ids, repeat(-1)), np.intp, len(con_ids))
        flags = np.zeros(len(rows), np.int64)
        known = rows >= 0
        flags[known] = self._marks["flags"][rows[known]]
        is_bad = (flags & UNBELIEVABLE) != 0
        if is_bad.any():
            for name in ("current_mark", "spread", "iv", *GREEKS):
                figures[name][is_bad] = np.nan
        states[is_bad & (states == _LIVE)] = _STALE
        places = np.flatnonzero(known & (states != _LIVE) & ~is_bad)
        serves = np.isfinite(self._marks["price"][rows[places]])
        at = places[serves]
        marked = rows[at]
        for name, column in _GIVEN.items():
            figures[name][at] = self._marks[column][marked]
        for name in GREEKS:
            figures[name][at] = self._marks[name][marked]
        states[at] = _MODELLED
        return {**figures, "flags": flags.astype(np.float64)}, states

    def is_doubted(self, con_id: ConId) -> bool:
        """Whether its last quote jumped and has not stood long enough to be believed."""
        row = self._rows.get(con_id)
        return row is not None and bool(self._marks["flags"][row] & Flag.JUMP)

    def frame(self, now: datetime, also: Iterable[ConId] = ()) -> pl.DataFrame:
        """As `QuoteBoard.frame`, of all contracts it knows and of others `also`, with the `flags` in words
        (null: none)."""
        con_ids = list(dict.fromkeys([*self._con_ids, *also]))
        figures, states = self.figures(con_ids, now)
        words = [flag_words(flags) or None for flags in figures["flags"].astype(np.int64).tolist()]
        return frame_of(con_ids, figures, states).with_columns(pl.Series("flags", words, pl.String))

    def counts(self, now: datetime) -> tuple[dict[str, int], dict[str, int]]:
        """How many contracts there are of each state, and with each flag."""
        figures, states = self.figures(self._con_ids, now)
        flags = figures["flags"].astype(np.int64)
        found = np.bincount(states, minlength=len(STATES)).tolist()
        flagged = {flag: int(((flags & flag) != 0).sum()) for flag in Flag}
        return dict(zip(STATES, found, strict=True)), {flag_words(flag): n for flag, n in flagged.items()}

    def bands(self, now: datetime) -> dict[ConId, tuple[float, float]]:
        """Of each live underlying, between which prices (USD per share) nothing has changed much: within
        `beat_move` of now, and no delta by more than `DELTA_MOVE`, as gamma has it."""
        spots, gamma = self._underlyings(now)[0], self._marks["gamma"]
        steepest = np.zeros(len(spots))
        known = np.isfinite(gamma)
        np.maximum.at(steepest, self._terms["underlying"][known], gamma[known])
        with np.errstate(all="ignore"):
            half = np.minimum(self.model.beat_move * spots, DELTA_MOVE / steepest)
        half = np.maximum(half, LEAST_MOVE * spots)
        found = {}
        for symbol, price, room in zip(self._symbols, spots.tolist(), half.tolist(), strict=True):
            con_id = self._board.watched(symbol)
            if con_id is not None and room > 0:
                found[con_id] = (price - room, price + room)
        return found

    def underlying_price(self, symbol: str, now: datetime) -> float | None:
        return self._board.underlying_price(symbol, now)

    def underlying_change(self, symbol: str, span: timedelta, now: datetime) -> float | None:
        return self._board.underlying_change(symbol, span, now)

    def underlying_age_s(self, symbol: str, now: datetime) -> float | None:
        return self._board.underlying_age_s(symbol, now)

    # --- when something changed ------------------------------------------------------------------

    def remark(self, now: datetime) -> None:
        """Take what was quoted since the last time, and price what moved."""
        done = now, self._board.revision
        if done == self._done or not self._con_ids:
            return
        if self._day != trading_day(now):
            # Over night a dividend may have been paid.
            self._day, self._implied = trading_day(now), np.full(len(self._series), np.nan)
        at, terms, marks = epoch_us(now), self._terms, self._marks
        quotes, states = self._board.figures(self._con_ids, now)
        spots, moved_usd = (each[terms["underlying"]] for each in self._underlyings(now))
        with np.errstate(all="ignore"):
            is_live = states == _LIVE
            self._price(spots, at)
            marks["flags"] = self._flags(quotes, is_live, spots, moved_usd, at)
            is_good = is_live & ((marks["flags"] & UNBELIEVABLE) == 0)
            seen = self._to_anchor(quotes, is_good, spots, at)
            if seen.size:
                is_visit = np.isfinite(marks["price"]) & np.isfinite(quotes["current_mark"])
                visits = seen[(is_visit & ~marks["was_live"])[seen]]
                expected = self._vols(visits, spots[visits])
                self._measure(visits, quotes, now)
                self._anchor(seen, {name: values[seen] for name, values in quotes.items()}, spots[seen], now)
                self._learn(visits, expected)
        # What is still quoted has missed nothing.
        is_told = marks["was_live"] & is_good
        is_told[seen] = True
        marks["level"][is_told] = self._levels[terms["underlying"][is_told]]
        marks["jumped"][is_good] = np.nan
        marks["was_live"] = is_good
        self._done, self._before = done, at

    def _underlyings(self, now: datetime) -> tuple[Floats, Floats]:
        """The underlyings' prices, and how far they are from the last close; NaN where not live."""
        prices = [self._board.underlying_price(symbol, now) for symbol in self._symbols]
        spots = np.array(prices, np.float64)
        days = [self._board.underlying_change(symbol, timedelta(days=1), now) for symbol in self._symbols]
        change = np.array(days, np.float64)
        return spots, spots - spots / (1.0 + change)

    def _flags(
        self, quotes: dict[str, Floats], is_live: Bools, spots: Floats, moved_usd: Floats, at: int
    ) -> Flags:
        marks, terms = self._marks, self._terms
        flags = price_flags(quotes, is_live, terms["strike"], terms["is_call"], spots)
        flags[is_frozen(quotes, is_live, marks["price"], terms["tick"], at)] |= Flag.FROZEN
        # A line that was believed a moment ago is followed wherever it goes, and so is what has stood.
        jumps = is_live & is_jump(quotes, marks["price"], moved_usd, terms["tick"]) & ~marks["was_live"]
        since = np.where(jumps, np.fmin(marks["jumped"], at), np.where(is_live, np.nan, marks["jumped"]))
        has_stood = is_live & (at - since >= JUMP_S * 1e6)
        flags[np.isfinite(since) & ~has_stood] |= Flag.JUMP
        marks["jumped"] = since
        return flags

    def _to_anchor(self, quotes: dict[str, Floats], is_good: Bools, spots: Floats, at: int) -> Places:
        """Contracts quoted since the last time, so that quote and underlying are of one moment: those that
        were not live before, and of the others those whose volatility is some seconds old. A contract that
        nobody bids for has the broker's volatility."""
        marks = self._marks
        unbid = np.isnan(quotes["bid_now"]) & np.isfinite(quotes["ask_now"]) & np.isfinite(quotes["iv"])
        is_new = ~marks["was_live"] | ~(at - marks["seen"] < ANCHOR_AGAIN_S * 1e6)
        since = np.where(unbid, at - quotes["age_s"] * 1e6, quotes["quote_time"])
        heard = ((since >= self._before) & ~(since <= marks["seen"])) | np.isfinite(marks["jumped"])
        can = np.isfinite(spots) & (self._terms["end"] > at)
        return np.flatnonzero((is_good | unbid) & is_new & heard & can)

    def _measure(self, visits: Places, quotes: dict[str, Floats], now: datetime) -> None:
        """The model's error at the `visits`."""
        marks, terms = self._marks, self._terms
        age_s = (epoch_us(now) - marks["seen"]) / 1e6
        given = marks["price"], quotes["current_mark"], terms["tick"], marks["delta"], quotes["delta"]
        columns = (values[visits].tolist() for values in (terms["con_id"], *given, marks["used"], age_s))
        self.errors.add(
            Visit(con_id, now, mark, mid, tick, model_delta, None if np.isnan(delta) else delta, vol, age)
            for con_id, mark, mid, tick, model_delta, delta, vol, age in zip(*columns, strict=True)
        )

    def _learn(self, visits: Places, expected: Floats) -> None:
        """Let the underlyings' levels follow what the `visits` tell, whose volatility was `expected`."""
        marks, terms = self._marks, self._terms
        vol, open_usd = marks["vol"][visits], np.fmax(0.5 * marks["width"], terms["tick"])[visits]
        doubt = open_usd / (100.0 * marks["vega"][visits] * vol)
        self._levels = learnt(self._levels, terms["underlying"][visits], np.log(vol / expected), doubt)

    def _anchor(self, rows: Places, quotes: dict[str, Floats], spots: Floats, now: datetime) -> None:
        """Take the volatility that the quotes imply; the broker's where none gives their mid."""
        marks, terms, at = self._marks, self._terms[rows], epoch_us(now)
        mid = quotes["current_mark"]
        marks["mid"][rows], marks["mid_spot"][rows] = mid, spots
        marks["width"][rows], marks["seen"][rows] = quotes["spread"], at
        self._imply_paid(rows, now)
        implied, announced = self._implied[terms["series"]], self._announced(now).paid(at, self.model.rate)
        paid = np.where(np.isfinite(implied), implied, announced[terms["series"]])
        start = np.where(np.isfinite(marks["vol"][rows]), marks["vol"][rows], quotes["iv"])
        vol = solved_vol(lambda vols: self._worth(rows, spots, vols, paid, now), mid, start)
        vol = np.where(np.isfinite(vol), vol, quotes["iv"])
        marks["vol"][rows], marks["paid"][rows] = vol, paid
        marks["seen"][rows] = np.where(np.isfinite(vol), at, np.nan)
        marks["priced"][rows] = np.nan

    def _imply_paid(self, rows: Places, now: datetime) -> None:
        """Take the dividends that calls and puts of one strike imply, of series with one just quoted: the
        median over a series' pairs."""
        marks, terms, at = self._marks, self._terms, epoch_us(now)
        calls, puts = narrow_pairs(self._pairs[np.isin(self._pairs, rows).any(axis=1)], terms, marks, at)
        if not calls.size:
            return
        series, vol = terms["series"][calls], marks["vol"][calls]
        pairs = Pairs(
            terms["strike"][calls],
            (terms["end"][calls] - at) / YEAR_US,
            marks["mid"][calls],
            marks["mid_spot"][calls],
            marks["mid"][puts],
            marks["mid_spot"][puts],
            np.where(np.isfinite(vol), vol, 0.3),
        )
        announced = self._announced(now).paid(at, self.model.rate)[series]
        found = implied_paid(pairs, self.model.rate, announced)
        for each in np.unique(series[np.isfinite(found)]).tolist():
            self._implied[each] = np.nanmedian(found[series == each])

    def _announced(self, now: datetime) -> ExDays:
        of = trading_day(now), self.dividends
        if self._ex_days is None or self._ex_days[0] != of:
            self._ex_days = of, ExDays.of([key[:2] for key in self._series], self.dividends, of[0])
        return self._ex_days[1]

    def _price(self, spots: Floats, at: int) -> None:
        """Price what has a volatility, where the underlying moved or time passed."""
        marks = self._marks
        can = at - marks["seen"] <= self.model.vol_within_s * 1e6
        can &= np.isfinite(spots) & (self._terms["end"] > at)
        marks["price"][~can] = np.nan
        vols = self._vols(np.arange(len(spots)), spots)
        moved = (marks["spot"] != spots) | ~(at - marks["priced"] < PRICE_AGAIN_S * 1e6)
        moved |= np.abs(vols / marks["used"] - 1.0) > VOL_MOVED
        rows = np.flatnonzero(can & (moved | np.isnan(marks["price"])))
        if not rows.size:
            return
        now, vols = datetime.fromtimestamp(at / 1e6, UTC), vols[rows]
        worth = self._worth(rows, spots[rows], vols, marks["paid"][rows], now)
        marks["price"][rows] = worth.price
        for name in GREEKS:
            marks[name][rows] = getattr(worth, name)
        marks["spot"][rows], marks["priced"][rows], marks["used"][rows] = spots[rows], at, vols

    def _vols(self, rows: Places, spots: Floats) -> Floats:
        """With which volatilities to price, at these prices of the underlyings."""
        marks = self._marks
        shift = self._levels[self._terms["underlying"][rows]] - marks["level"][rows]
        moved = (spots / marks["mid_spot"][rows]) ** -self.model.stickiness
        return np.asarray(marks["vol"][rows] * np.exp(shift) * moved)

    def _worth(self, rows: Places, spots: Floats, vols: Floats, paid: Floats, now: datetime) -> Greeks:
        terms, at, rate = self._terms, epoch_us(now), self.model.rate
        years, strikes, is_call = (
            (terms["end"][rows] - at) / YEAR_US,
            terms["strike"][rows],
            terms["is_call"][rows],
        )
        chances = self._announced(now).chances(terms["series"][rows], vols, at, rate)
        return escrowed_american(spots, strikes, years, vols, is_call, rate, paid, chances)

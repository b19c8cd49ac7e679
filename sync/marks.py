"""What every contract is worth now, between the visits of a market-data line too.

A contract that is quoted live is worth its mid. Of the others the price and the Greeks come from our own
model: the underlying's live price, and the volatility that the contract's own last quote implied (sticky
strike). Each figure says by its state how it was got; where one of its sources is missing or too old it
is not known.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from options import ConId, Contract, Greeks, Right, SecType
from options.american import american
from options.hours import closing
from options.implied import solved_vol
from sync.quote_board import STATES, Floats, QuoteBoard, QuoteState, epoch_us

Bools = NDArray[np.bool_]
Places = NDArray[np.intp]

GREEKS = ("delta", "gamma", "theta", "vega")
ANCHOR_AGAIN_S = 5.0
"""How often the volatility of a contract that is quoted all the time is taken anew."""
PRICE_AGAIN_S = 60.0
"""How old a model price may be while its underlying stands still."""
_YEAR_US = 365.0 * 86_400e6
_LIVE, _MODELLED = (STATES.index(state) for state in (QuoteState.LIVE, QuoteState.MODELLED))

TERMS_DTYPE = np.dtype(
    [
        ("con_id", np.int64),
        ("underlying", np.intp),
        ("strike", np.float64),
        ("is_call", np.bool_),
        ("end", np.float64),
        ("tick", np.float64),
    ]
)
MARK_DTYPE = np.dtype(
    [
        ("vol", np.float64),
        ("seen", np.float64),
        ("width", np.float64),
        ("price", np.float64),
        *((name, np.float64) for name in GREEKS),
        ("spot", np.float64),
        ("priced", np.float64),
        ("was_live", np.bool_),
    ]
)


@dataclass(frozen=True, slots=True)
class ModelTerms:
    """`rate` continuous, per year; a volatility older than `vol_within_s` makes no marks."""

    rate: float = 0.04
    vol_within_s: float = 3600.0


MODEL = ModelTerms()


class Marks:
    """Marks of the contracts it was told of, brought up to date when the board or the time changed.

    `terms` (`TERMS_DTYPE`) are the option contracts, `marks` (`MARK_DTYPE`) what is known of them, row by
    row: `vol` from the last quote, `seen` when that was (`epoch_us`), `width` of that quote; `price` and
    Greeks by the model at the underlying's price `spot`, at `priced`. NaN for unknown.
    """

    def __init__(self, board: QuoteBoard, model: ModelTerms = MODEL) -> None:
        self._board = board
        self.model = model
        self._terms = np.zeros(0, TERMS_DTYPE)
        self._marks = np.zeros(0, MARK_DTYPE)
        self._con_ids: list[ConId] = []
        self._rows: dict[ConId, int] = {}
        self._symbols: dict[str, int] = {}
        self._done: tuple[datetime, int] | None = None
        self._before = -np.inf

    def know(self, contracts: Iterable[Contract]) -> None:
        """Mark exactly these contracts from now on; what is known of those that stay is kept."""
        wanted = {c.con_id: c for c in contracts if c.sec_type is SecType.OPTION and c.expiry is not None}
        marks = np.full(len(wanted), np.nan, MARK_DTYPE)
        marks["was_live"] = False
        terms = []
        for row, (con_id, contract) in enumerate(wanted.items()):
            known = self._rows.get(con_id)
            if known is not None:
                marks[row] = self._marks[known]
            terms.append(self._terms_of(contract))
        self._terms, self._marks = np.array(terms, TERMS_DTYPE), marks
        self._con_ids = list(wanted)
        self._rows = {con_id: row for row, con_id in enumerate(wanted)}
        self._done = None

    def _terms_of(self, contract: Contract) -> tuple[object, ...]:
        assert contract.expiry is not None
        return (
            contract.con_id,
            self._symbols.setdefault(contract.symbol, len(self._symbols)),
            contract.strike,
            contract.right is Right.CALL,
            epoch_us(closing(contract.expiry)),
            contract.min_tick,
        )

    # --- what it gives ---------------------------------------------------------------------------

    def figures(self, con_ids: Sequence[ConId], now: datetime) -> tuple[dict[str, Floats], NDArray[np.int64]]:
        """As `QuoteBoard.figures`, with the model's values and the state `modelled` where they serve.

        There `current_mark` and `mark` are the model's price, `spread` is that of the last quote, and
        `age_s` still tells how old that is.
        """
        self.remark(now)
        figures, states = self._board.figures(con_ids, now)
        rows = np.fromiter((self._rows.get(con_id, -1) for con_id in con_ids), np.intp, len(con_ids))
        places = np.flatnonzero((rows >= 0) & (states != _LIVE))
        marks = self._marks[rows[places]]
        serves = np.isfinite(marks["price"])
        at, marks = places[serves], marks[serves]
        figures["current_mark"][at] = figures["mark"][at] = marks["price"]
        figures["spread"][at] = marks["width"]
        figures["iv"][at] = marks["vol"]
        figures["underlying_price"][at] = marks["spot"]
        for name in GREEKS:
            figures[name][at] = marks[name]
        states[at] = _MODELLED
        return figures, states

    def underlying_price(self, symbol: str, now: datetime) -> float | None:
        return self._board.underlying_price(symbol, now)

    def underlying_change(self, symbol: str, span: timedelta, now: datetime) -> float | None:
        return self._board.underlying_change(symbol, span, now)

    # --- once per moment -------------------------------------------------------------------------

    def remark(self, now: datetime) -> None:
        """Take what was quoted since the last time, and price what moved."""
        done = now, self._board.revision
        if done == self._done or not self._con_ids:
            return
        at, terms, marks = epoch_us(now), self._terms, self._marks
        quotes, states = self._board.figures(self._con_ids, now)
        spots = self._spots(now)[terms["underlying"]]
        with np.errstate(all="ignore"):
            is_live = states == _LIVE
            seen = self._to_anchor(quotes, is_live, spots, at)
            if seen.size:
                self._anchor(seen, quotes, spots[seen], at)
            self._price(is_live, spots, at)
        marks["was_live"] = is_live
        self._done, self._before = done, at

    def _spots(self, now: datetime) -> Floats:
        """The underlyings' prices, NaN where not live."""
        prices = [self._board.underlying_price(symbol, now) for symbol in self._symbols]
        return np.array(prices, np.float64)

    def _to_anchor(self, quotes: dict[str, Floats], is_live: Bools, spots: Floats, at: int) -> Places:
        """Contracts quoted since the last time, so that quote and underlying are of one moment: those that
        were not live before, and of the others those whose volatility is some seconds old."""
        marks = self._marks
        is_new = ~marks["was_live"] | ~(at - marks["seen"] < ANCHOR_AGAIN_S * 1e6)
        heard = quotes["quote_time"] >= self._before
        return np.flatnonzero(is_live & is_new & heard & np.isfinite(spots) & (self._terms["end"] > at))

    def _anchor(self, rows: Places, quotes: dict[str, Floats], spots: Floats, at: int) -> None:
        """Take the volatility that the quotes imply; the broker's where none gives their mid."""
        marks = self._marks
        start = np.where(np.isfinite(marks["vol"][rows]), marks["vol"][rows], quotes["iv"][rows])
        vol = solved_vol(lambda vols: self._worth(rows, spots, vols, at), quotes["mark"][rows], start)
        vol = np.where(np.isfinite(vol), vol, quotes["iv"][rows])
        marks["vol"][rows], marks["seen"][rows] = vol, np.where(np.isfinite(vol), at, np.nan)
        marks["width"][rows] = quotes["spread"][rows]
        marks["priced"][rows] = np.nan

    def _price(self, is_live: Bools, spots: Floats, at: int) -> None:
        """Price those that are not live, where the underlying moved or time passed."""
        marks = self._marks
        can = ~is_live & (at - marks["seen"] <= self.model.vol_within_s * 1e6)
        can &= np.isfinite(spots) & (self._terms["end"] > at)
        marks["price"][~can] = np.nan
        moved = (marks["spot"] != spots) | ~(at - marks["priced"] < PRICE_AGAIN_S * 1e6)
        rows = np.flatnonzero(can & (moved | np.isnan(marks["price"])))
        if not rows.size:
            return
        worth = self._worth(rows, spots[rows], marks["vol"][rows], at)
        marks["price"][rows] = worth.price
        for name in GREEKS:
            marks[name][rows] = getattr(worth, name)
        marks["spot"][rows], marks["priced"][rows] = spots[rows], at

    def _worth(self, rows: Places, spots: Floats, vols: Floats, at: int) -> Greeks:
        terms = self._terms[rows]
        years = (terms["end"] - at) / _YEAR_US
        return american(spots, terms["strike"], years, vols, terms["is_call"], self.model.rate)

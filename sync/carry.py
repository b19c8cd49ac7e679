"""What a share pays before an expiry: as the calendar announces it, or as calls and puts imply it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from options import Contract
from options.american import LastChance, escrowed_american
from options.hours import closing, previous_trading_day
from options.normal import Floats
from sync.quote_board import epoch_us

Places = NDArray[np.intp]
Series = tuple[str, date, str, int]
"""Options of one underlying and expiry that stand for the same: adjusted ones have a class of their own."""

YEAR_US = 365.0 * 86_400e6
MOST_DIVIDENDS = 4
PARITY_STEPS = 6
CLOSE_ENOUGH_USD = 1e-4
NEAR_MONEY = 0.05
PAIR_WITHIN_S = 900.0
PAIR_MOVED = 0.005
PAIR_WIDTH = 0.001
"""Call and put imply dividends when their strike is so near to the underlying's price (logarithm), both were
quoted so lately, at prices of the underlying so near to each other (ratio), and so narrowly (both widths
against that price)."""


class Announced(Protocol):
    """A dividend: `day` without it (ex-day), `amount_usd` per share, None while that is not known."""

    @property
    def day(self) -> date: ...

    @property
    def amount_usd(self) -> float | None: ...


Dividends = Callable[[str, date, date], Sequence[Announced] | None]
"""Those of a symbol with their ex-day after the first date up to and with the second; None: not known."""


def series_of(contract: Contract, expiry: date) -> Series:
    return contract.symbol, expiry, contract.trading_class, contract.multiplier


@dataclass(frozen=True, slots=True, eq=False)
class ExDays:
    """Per underlying and expiry, shape (n, MOST_DIVIDENDS): `end`, the last moment with the dividend
    (`epoch_us`, NaN for none), and `usd` per share (0 for none)."""

    end: Floats
    usd: Floats

    @classmethod
    def of(cls, keys: Sequence[tuple[str, date]], dividends: Dividends | None, today: date) -> "ExDays":
        """Amounts that are not known count as nothing."""
        end, usd = np.full((len(keys), MOST_DIVIDENDS), np.nan), np.zeros((len(keys), MOST_DIVIDENDS))
        for row, (symbol, expiry) in enumerate(keys):
            announced = (dividends(symbol, today, expiry) if dividends else None) or ()
            for column, each in enumerate(announced[:MOST_DIVIDENDS]):
                if each.amount_usd is not None:
                    end[row, column] = epoch_us(closing(previous_trading_day(each.day)))
                    usd[row, column] = each.amount_usd
        return cls(end, usd)

    def paid(self, at: int, rate: float) -> Floats:
        """Present value of what is still to come before each expiry, USD per share."""
        return np.asarray(self._values(at, rate).sum(axis=1))

    def chances(self, rows: Places, vols: Floats, at: int, rate: float) -> list[LastChance]:
        """The moments at which a call may be worth exercising, for contracts of the `rows`."""
        if not self.usd.any():
            return []
        values, years = self._values(at, rate)[rows], (self.end[rows] - at) / YEAR_US
        before = np.cumsum(values, axis=1) - values
        years = np.where(values > 0, years, np.nan)
        return [
            LastChance(years[:, column], before[:, column], vols)
            for column in range(MOST_DIVIDENDS)
            if np.isfinite(years[:, column]).any()
        ]

    def _values(self, at: int, rate: float) -> Floats:
        years = (self.end - at) / YEAR_US
        is_ahead = years > 0
        return np.where(is_ahead, self.usd * np.exp(-rate * np.where(is_ahead, years, 0.0)), 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Calls and puts of one strike, quoted; prices USD per share, `vol` a first guess."""

    strike: Floats
    years: Floats
    call: Floats
    call_spot: Floats
    put: Floats
    put_spot: Floats
    vol: Floats


def strike_pairs(terms: NDArray[np.void]) -> Places:
    """(row of the call, row of the put) of each strike that has both; `terms` as `sync.marks.TERMS_DTYPE`."""
    of: dict[tuple[int, float], dict[bool, int]] = {}
    columns = (terms[name].tolist() for name in ("series", "strike", "is_call"))
    for row, (series, strike, is_call) in enumerate(zip(*columns, strict=True)):
        of.setdefault((series, strike), {})[is_call] = row
    found = [(pair[True], pair[False]) for pair in of.values() if len(pair) == 2]
    return np.array(found, np.intp).reshape(-1, 2)


def narrow_pairs(
    pairs: Places, terms: NDArray[np.void], marks: Mapping[str, NDArray[Any]], at: int
) -> tuple[Places, Places]:
    """Calls and puts of those `pairs` that can tell what is paid; `marks` as in `sync.marks.Marks`."""
    calls, puts = pairs.T
    spot = marks["mid_spot"][calls]
    near = np.abs(np.log(terms["strike"][calls] / spot)) < NEAR_MONEY
    near &= np.abs(marks["mid_spot"][puts] / spot - 1.0) < PAIR_MOVED
    near &= marks["width"][calls] + marks["width"][puts] < PAIR_WIDTH * spot
    near &= at - np.fmin(marks["seen"][calls], marks["seen"][puts]) < PAIR_WITHIN_S * 1e6
    return calls[near], puts[near]


def implied_paid(pairs: Pairs, rate: float, start: Floats) -> Floats:
    """The present value of dividends (USD per share) at which call and put have one volatility.

    Put-call parity for options that may be exercised early: price and premium are those of
    `escrowed_american`, the two unknowns are found by Newton's steps from `start`. NaN where they are not.
    """
    vol, paid = pairs.vol.copy(), start.copy()
    with np.errstate(all="ignore"):
        for _ in range(PARITY_STEPS):
            calls = escrowed_american(pairs.call_spot, pairs.strike, pairs.years, vol, True, rate, paid)
            puts = escrowed_american(pairs.put_spot, pairs.strike, pairs.years, vol, False, rate, paid)
            call_gap, put_gap = pairs.call - calls.price, pairs.put - puts.price
            found = (np.abs(call_gap) < CLOSE_ENOUGH_USD) & (np.abs(put_gap) < CLOSE_ENOUGH_USD)
            if found.all():
                break
            call_vega, put_vega = 100.0 * calls.vega, 100.0 * puts.vega
            # Each dollar paid takes a delta of it from the price.
            divisor = call_vega * -puts.delta + calls.delta * put_vega
            vol = vol + (call_gap * -puts.delta + calls.delta * put_gap) / divisor
            paid = paid + (call_vega * put_gap - put_vega * call_gap) / divisor
    return np.where(found, paid, np.nan)

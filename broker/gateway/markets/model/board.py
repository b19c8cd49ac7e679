"""What options are worth at a moment: one row per contract, all rows at once.

The surface gives each row its implied volatility, `options.american` its value and Greeks. Shares less the
dividends that are announced up to expiry are what moves; the forward of a slice is theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from broker.gateway.markets.model.course import CALM_VOLS
from broker.gateway.markets.model.shares import SHARES, SYMBOLS, Share
from broker.gateway.markets.model.surface import money_variance, total_variance
from broker.gateway.markets.model.variance_time import at, at_close
from options import Contract, Greeks, Right
from options.american import LastChance, escrowed_american
from options.hours import closing, opening, previous_trading_day, trading_day
from options.normal import Floats

RATE = 0.04
SECONDS_PER_YEAR = 365 * 86_400
MOST_DIVIDENDS = 3
SKEWS = np.array([share.skew for share in SHARES])
CURVES = np.array([share.curve for share in SHARES])

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Slices:
    """The pairs of share and expiry, seen from one day; arrays (slices,) and (slices, MOST_DIVIDENDS).

    `ends` and `ex_days` are epoch seconds, `ends_at` and `ex_at` variance time, `reported` and `ex_reported`
    the variance that reports add before them; a dividend that is not there has NaN for its time and 0 USD.
    """

    shares: Places
    ends: Floats
    ends_at: Floats
    reported: Floats
    ex_days: Floats
    ex_at: Floats
    ex_reported: Floats
    ex_usd: Floats

    def repeated(self, count: int) -> "Slices":
        """A single slice, so many times."""
        return Slices(*(np.repeat(getattr(self, column.name), count, axis=0) for column in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Contracts as columns; `slices` are places in the slices."""

    slices: Places
    strikes: Floats
    calls: NDArray[np.bool_]

    def take(self, places: Places) -> "Rows":
        return Rows(self.slices[places], self.strikes[places], self.calls[places])


@dataclass(frozen=True, slots=True, eq=False)
class Worth:
    """`vols` implied (annual, by calendar time) and `greeks` per row; `distance` from the forward in standard
    deviations, negative below it; `spots` and `strikes` USD per share."""

    vols: Floats
    greeks: Greeks
    distance: Floats
    spots: Floats
    strikes: Floats


def reported_variance(share: Share, after: datetime, until: datetime) -> float:
    """The variance of all reports that come after one moment and not after another."""
    if share.earnings is None:
        return 0.0
    first, last = trading_day(after) - timedelta(days=1), trading_day(until)
    days = share.earnings.days.between(first, last)
    times = (closing(day) if share.earnings.after_close else opening(day) for day in days)
    # At the close itself nothing has been said yet; before the opening everything has.
    late = share.earnings.after_close
    ahead = sum((after <= time < until) if late else (after < time <= until) for time in times)
    return ahead * share.earnings.move**2


def slices_of(keys: Sequence[tuple[int, date]], day: date) -> Slices:
    """The slices as they stand during a session; keys are (place of the share, expiry)."""
    begin = opening(day)
    found = []
    for place, expiry in keys:
        share, end = SHARES[place], closing(expiry)
        ex_days = share.dividends.between(day + timedelta(days=1), expiry) if share.dividends else []
        found.append(
            (
                end.timestamp(),
                at_close(expiry),
                reported_variance(share, begin, end),
                ex_days[:MOST_DIVIDENDS],
            )
        )
    ex = np.full((4, len(keys), MOST_DIVIDENDS), np.nan)
    ex[3] = 0.0
    for row, ((place, _), (*_, days)) in enumerate(zip(keys, found, strict=True)):
        for column, ex_day in enumerate(days):
            share, eve = SHARES[place], closing(previous_trading_day(ex_day))
            reported = reported_variance(share, begin, eve)
            ex[:, row, column] = eve.timestamp(), at(eve), reported, share.dividend_usd
    columns = [np.array([each[n] for each in found], dtype=np.float64) for n in range(3)]
    return Slices(np.array([place for place, _ in keys], dtype=np.intp), *columns, *ex)


def worth(
    rows: Rows, slices: Slices, spots: Floats, vols: Floats, moment: Floats | float, passed: Floats | float
) -> Worth:
    """What the rows are worth; NaN for those that have ended.

    Per slice: `spots` and short `vols` (slices,) of its share, and `moment` (epoch seconds) and `passed`
    (variance time), which may also be one for all.
    """
    calm = CALM_VOLS[slices.shares]
    with np.errstate(all="ignore"):
        years = np.where(slices.ends > moment, (slices.ends - moment) / SECONDS_PER_YEAR, np.nan)
        thetas = money_variance(vols, calm, slices.ends_at - passed) + slices.reported
        paid = np.zeros_like(spots)
        chances = []
        for column in range(MOST_DIVIDENDS):
            until = np.maximum(slices.ex_days[:, column] - moment, 1.0) / SECONDS_PER_YEAR
            if np.isfinite(until).any():
                variance = money_variance(vols, calm, np.maximum(slices.ex_at[:, column] - passed, 1e-9))
                chances.append((until, paid, variance + slices.ex_reported[:, column]))
                paid = paid + slices.ex_usd[:, column] * np.exp(-RATE * np.nan_to_num(until))
        return _worth(rows, slices, spots, years, thetas, paid, chances)


def _worth(
    rows: Rows,
    slices: Slices,
    spots: Floats,
    years: Floats,
    thetas: Floats,
    paid: Floats,
    ex_days: Sequence[tuple[Floats, Floats, Floats]],
) -> Worth:
    """`ex_days` are (years until, dividends paid before, total variance at the money until) per slice."""
    place, share = rows.slices, slices.shares[rows.slices]

    def vols(years: Floats, thetas: Floats, paid: Floats) -> tuple[Floats, Floats]:
        k = np.log(rows.strikes / (spots - paid)[place]) - RATE * years[place]
        return np.sqrt(total_variance(k, thetas[place], SKEWS[share], CURVES[share]) / years[place]), k

    vol, k = vols(years, thetas, paid)
    chances = [
        LastChance(until[place], before[place], vols(until, theta, before)[0])
        for until, before, theta in ex_days
    ]
    greeks = escrowed_american(
        spots[place], rows.strikes, years[place], vol, rows.calls, RATE, paid[place], chances
    )
    return Worth(vol, greeks, k / np.sqrt(thetas[place]), spots[place], rows.strikes)


@dataclass(frozen=True, slots=True, eq=False)
class Board:
    """All listed options of a day; `keys` are the slices' shares and expiries, `ids` the rows' contracts."""

    keys: tuple[tuple[int, date], ...]
    slices: Slices
    rows: Rows
    ids: NDArray[np.int64]
    place: dict[int, int]

    @classmethod
    def of(cls, contracts: Sequence[Contract], day: date) -> "Board":
        """Every contract has its row, by its id in `place`."""
        keys: dict[tuple[int, date], int] = {}
        slices = [
            keys.setdefault((SYMBOLS.index(c.symbol), c.expiry), len(keys)) for c in contracts if c.expiry
        ]
        rows = Rows(
            np.array(slices, dtype=np.intp),
            np.array([contract.strike for contract in contracts], dtype=np.float64),
            np.array([contract.right is Right.CALL for contract in contracts]),
        )
        return cls(
            tuple(keys),
            slices_of(list(keys), day),
            rows,
            np.array([contract.con_id for contract in contracts], dtype=np.int64),
            {contract.con_id: n for n, contract in enumerate(contracts)},
        )

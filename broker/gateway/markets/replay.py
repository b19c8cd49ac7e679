"""The replay market: recorded option quotes at their recorded times.

A recorded quote counts as current for `quote_life_s` (recorders come by every minute or two, and an order
must be able to rest against what they saw); afterwards the contract has no quote until its next
row. A null stays missing, and the underlyings, which were not recorded, have no quotes at all. Sizes were
not recorded either: every side is taken to show `SIZE` contracts. Time passes during regular hours and as
long as a recorded quote is current; the rest is skipped to the next row or opening.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from broker.gateway.errors import GatewayError
from broker.gateway.markets.bars import Price, bars_of
from broker.gateway.markets.listings import Listings, option, underlying
from broker.gateway.markets.market import BATCH, Bar, Dividend
from broker.gateway.markets.quotes import MISSING, Quote
from options import ConId, Right
from options.hours import is_open, next_opening

COLUMNS: dict[str, Any] = {
    "timestamp": pl.Datetime("us", "UTC"),
    "symbol": pl.String,
    "expiry": pl.Date,
    "right": pl.String,
    "strike": pl.Float64,
    "bid": pl.Float64,
    "ask": pl.Float64,
    "last": pl.Float64,
    "volume": pl.Int64,
    "open_interest": pl.Int64,
    "iv": pl.Float64,
    "delta": pl.Float64,
    "gamma": pl.Float64,
    "theta": pl.Float64,
    "vega": pl.Float64,
}
TERMS = ["symbol", "expiry", "right", "strike"]
VALUES = ["bid", "ask", "last", "volume", "iv", "delta", "gamma", "theta", "vega"]
SIZE = 10
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def read_quotes(path: Path) -> pl.DataFrame:
    """The rows in order of time, values that cannot be (NaN, negative prices) as null.

    Raises GatewayError when the file is missing, damaged, empty, or has other columns.
    """
    try:
        frame = pl.read_parquet(path)
    except FileNotFoundError:
        raise GatewayError(f"quotes file {path} does not exist: name an existing parquet file") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise GatewayError(f"quotes file {path} cannot be read as parquet ({reason}): get it anew") from None
    for name, dtype in COLUMNS.items():
        found = frame.schema.get(name)
        if found is None:
            raise GatewayError(f"quotes file {path} has no column {name!r}: it needs {', '.join(COLUMNS)}")
        if found != dtype:
            raise GatewayError(
                f"quotes file {path}, column {name!r} is {found}, should be {dtype}: convert it"
            )
    if frame.is_empty():
        raise GatewayError(f"quotes file {path} has no rows: record some quotes first")
    _check_terms(frame, path)
    floats = [name for name in VALUES if COLUMNS[name] == pl.Float64]
    prices = ("bid", "ask", "last")
    clean = frame.with_columns(pl.when(pl.col(name).is_finite()).then(pl.col(name)) for name in floats)
    clean = clean.with_columns(pl.when(pl.col(name) > 0).then(pl.col(name)) for name in prices)
    return clean.sort("timestamp", maintain_order=True)


def _check_terms(frame: pl.DataFrame, path: Path) -> None:
    sound = (
        pl.all_horizontal(pl.col("timestamp", *TERMS).is_not_null())
        & pl.col("right").is_in(["C", "P"])
        & pl.col("strike").is_finite()
        & (pl.col("strike") > 0)
    )
    bad = frame.with_row_index("row").filter(sound.fill_null(False).not_())
    if not bad.is_empty():
        row = bad["row"][0]
        raise GatewayError(
            f"quotes file {path}, row {row}: timestamp, symbol, expiry, right (C or P) and strike (above 0)"
            " must all be there: correct or remove the row"
        )


class ReplayMarket:
    """See the module. `con_ids` names the real id of contracts that have one, by local symbol."""

    name = "replay"

    def __init__(self, path: Path, con_ids: dict[str, int], quote_life_s: float = 120.0) -> None:
        frame = read_quotes(path)
        self.listings = Listings()
        for symbol in [*frame["symbol"].unique(maintain_order=True), "VIX"]:
            self.listings.add(underlying(symbol))
        self._life_us = round(quote_life_s * 1e6)
        frame = frame.with_columns(pl.col("timestamp").dt.epoch("us"))
        self._times: list[int] = frame["timestamp"].to_list()
        self._columns: dict[str, Any] = {name: frame[name] for name in VALUES}
        self._rows: dict[ConId, Any] = {}
        self._row_times: dict[ConId, list[int]] = {}
        moments = frame["timestamp"].to_numpy()
        groups = frame.with_row_index("row").group_by(TERMS, maintain_order=True).agg("row")
        for symbol, expiry, right, strike, rows in groups.iter_rows():
            contract = option(symbol, expiry, strike, Right(right))
            real = con_ids.get(contract.local_symbol)
            if real:
                contract = option(symbol, expiry, strike, Right(right), con_id=real)
            self.listings.add(contract)
            index = np.array(rows)
            self._rows[contract.con_id] = index
            self._row_times[contract.con_id] = moments[index].tolist()

    def start(self) -> datetime:
        return EPOCH + self._times[0] * MICROSECOND

    def _at(self, now: datetime) -> int:
        return (now - EPOCH) // MICROSECOND

    def quotes(self, con_ids: Collection[ConId], now: datetime) -> dict[ConId, Quote]:
        moment = self._at(now)
        return {con_id: self._quote(con_id, moment) for con_id in con_ids}

    def _quote(self, con_id: ConId, moment: int) -> Quote:
        times = self._row_times.get(con_id)
        if not times:
            return MISSING
        place = bisect_right(times, moment) - 1
        if place < 0 or moment - times[place] > self._life_us:
            return MISSING
        return self._row(int(self._rows[con_id][place]))

    def _row(self, row: int) -> Quote:
        values = {name: column[row] for name, column in self._columns.items()}
        values["volume"] = values["volume"] or None
        return Quote(
            bid_size=SIZE if values["bid"] is not None else 0,
            ask_size=SIZE if values["ask"] is not None else 0,
            **values,
        )

    def marks(self, con_ids: Collection[ConId], now: datetime) -> dict[ConId, float]:
        moment = self._at(now)
        found: dict[ConId, float] = {}
        for con_id in con_ids:
            rows = self._rows.get(con_id, ())
            place = bisect_right(self._row_times.get(con_id, []), moment) - 1
            while place >= 0:
                mark = self._row(int(rows[place])).mark
                if mark is not None:
                    found[con_id] = mark
                    break
                place -= 1
        return found

    def bars(self, con_id: ConId, since: datetime, until: datetime, seconds: int) -> list[Bar]:
        """Of the middles of recorded quotes; nothing is filled in where none was recorded."""
        times = self._row_times.get(con_id, [])
        first, behind = bisect_left(times, self._at(since)), bisect_left(times, self._at(until))
        marks = [(times[n], self._row(int(self._rows[con_id][n])).mark) for n in range(first, behind)]
        seen = [Price(EPOCH + at * MICROSECOND, mark) for at, mark in marks if mark is not None]
        return bars_of(seen, since, until, seconds, stand=False)

    def dividends(self, symbol: str) -> Sequence[Dividend]:
        return ()

    def next_change(self, watched: Collection[ConId], now: datetime) -> datetime | None:
        moment = self._at(now)
        upcoming = [
            times[place]
            for times in (self._row_times.get(con_id, []) for con_id in watched)
            if (place := bisect_right(times, moment)) < len(times)
        ]
        if not upcoming:
            return None
        limit = min(upcoming) + BATCH // MICROSECOND
        last = min(upcoming)
        for con_id in watched:
            times = self._row_times.get(con_id, [])
            place = bisect_right(times, limit) - 1
            if place >= 0:
                last = max(last, times[place])
        return EPOCH + last * MICROSECOND

    def changed(self, watched: Collection[ConId], since: datetime, until: datetime) -> list[ConId]:
        low, high = self._at(since), self._at(until)
        return sorted(
            con_id
            for con_id in watched
            if (times := self._row_times.get(con_id)) and bisect_right(times, low) < bisect_right(times, high)
        )

    def resume(self, now: datetime) -> datetime:
        if is_open(now) or self.ended(now):
            return now
        moment = self._at(now)
        place = bisect_right(self._times, moment)
        if place and moment - self._times[place - 1] < self._life_us:
            return now
        return min(EPOCH + self._times[place] * MICROSECOND, next_opening(now))

    def ended(self, now: datetime) -> bool:
        return self._at(now) >= self._times[-1]

    def save(self) -> dict[str, Any]:
        return {}

    def load(self, saved: dict[str, Any]) -> None:
        """Nothing to do: the rows are the state."""

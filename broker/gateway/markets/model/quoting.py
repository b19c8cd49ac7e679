"""The quotes of one trading day: of the shares and the index at any time, of options while it is open."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import repeat

import numpy as np

from broker.gateway.markets.model.board import Board, Rows, Slices, Worth, slices_of, worth
from broker.gateway.markets.model.course import CALM_VOLS, COUNT, FEAR, index_of, index_years
from broker.gateway.markets.model.paths import Paths, State, quoted_at_night
from broker.gateway.markets.model.shares import INDEX, SHARES, SYMBOLS
from broker.gateway.markets.model.spreads import (
    AFTER_HOURS_FACTOR,
    REPORT_FACTOR,
    Whole,
    chance,
    interest,
    opening_factor,
    option_sides,
    share_sides,
    sizes,
    stress,
)
from broker.gateway.markets.model.variance_time import at, session_share
from broker.gateway.markets.quotes import Quote
from options import Contract
from options.hours import (
    closing,
    is_open,
    next_trading_day,
    opening,
    previous_trading_day,
    trading_day,
)
from options.normal import Floats

SHARE_LOTS = 400
LAST_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, eq=False)
class DaySoFar:
    """Of the shares and, last, the index: the first, highest and lowest of the session, in USD per share or
    points; `volumes` of the shares."""

    opened: Floats
    highest: Floats
    lowest: Floats
    volumes: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Today:
    """A trading day with its listed options, and what of each option stays the same all day: the close before
    (NaN when it was not worth a cent), the open interest and what is traded on the whole day; of the shares
    and, last, the index the closes before and of the day; how much wider quotes are for a coming report."""

    day: date
    paths: Paths
    board: Board
    spread_factor: float
    closes: Floats
    held: Whole
    traded: Whole
    share_closes: Floats
    ended_at: Floats
    nervous: Floats

    @classmethod
    def of(cls, day: date, paths: Paths, contracts: Sequence[Contract], spread_factor: float) -> "Today":
        """`contracts` are the options that have not ended before the day."""
        board = Board.of(contracts, day)
        eve = previous_trading_day(day)
        then = closing(eve) - LAST_SECOND
        before = _worth_in(board.rows, slices_of(board.keys, eve), paths.at(then), then)
        shares = board.slices.shares[board.rows.slices]
        ids = board.ids
        steps = np.array([2.0 * share.step for share in SHARES])[shares]
        held, traded = interest(
            ids, shares, before.distance, board.rows.strikes % steps == 0, day.toordinal()
        )
        marks = paths.course.marks(day)
        return cls(
            day=day,
            paths=paths,
            board=board,
            spread_factor=spread_factor,
            closes=np.where(before.greeks.price >= 0.005, np.round(before.greeks.price, 2), np.nan),
            held=held,
            traded=traded,
            share_closes=_levels(marks.before, index_years(closing(eve))),
            ended_at=_levels(marks.closing, index_years(closing(day))),
            nervous=np.where(_reports_next(day), REPORT_FACTOR, 1.0),
        )

    # -- shares ---------------------------------------------------------------------------------------

    def share_quote(self, symbol: str, state: State, now: datetime) -> Quote:
        """Of a share or the index; without sides in the dead of night."""
        place = COUNT if symbol == INDEX else SYMBOLS.index(symbol)
        level = state.index if symbol == INDEX else float(state.prices[place])
        over = trading_day(now) > self.day
        price, close = round(level, 2), round(float((self.ended_at if over else self.share_closes)[place]), 2)
        session = is_open(now)
        if not session and not (quoted_at_night(now) and symbol != INDEX):
            return Quote(last=price, close=close)
        if not session:
            return self._sided(place, level, state, AFTER_HOURS_FACTOR, now, Quote(last=price, close=close))
        so_far = self._so_far(now)
        first, high, low = (
            round(float(values[place]), 2) for values in (so_far.opened, so_far.highest, so_far.lowest)
        )
        quote = Quote(last=price, close=close, open=first, high=max(high, price), low=min(low, price))
        if symbol == INDEX:
            return quote
        quote.volume = int(so_far.volumes[place])
        minutes = (now - opening(self.day)).total_seconds() / 60
        return self._sided(place, level, state, opening_factor(minutes), now, quote)

    def _sided(
        self, place: int, level: float, state: State, factor: float, now: datetime, quote: Quote
    ) -> Quote:
        wide = factor * self.spread_factor * float(stress(state.vols[place], CALM_VOLS[place]))
        quote.bid, quote.ask = share_sides(level, SHARES[place], wide)
        ids = np.array([place], dtype=np.int64) + int(now.timestamp()) // 3
        quote.bid_size, quote.ask_size = (100 + int(SHARE_LOTS * chance(ids, salt)[0]) for salt in (7, 8))
        return quote

    def _so_far(self, now: datetime) -> DaySoFar:
        """What the session has seen by now."""
        session = self.paths.session(self.day)
        minute, rest = divmod(int((now - opening(self.day)).total_seconds()), 60)
        seen = self.paths.seconds(self.day, minute)[: rest + 1]
        high = np.vstack([session.highs[:minute], seen]).max(axis=0)
        low = np.vstack([session.lows[:minute], seen]).min(axis=0)
        years = float(session.index_years[minute])

        part = session.volumes[minute] * rest / 60
        volumes = session.volumes[:minute].sum(axis=0) + part
        first, highest, lowest = (_levels(row, years) for row in (session.ends[0], high, low))
        return DaySoFar(first, highest, lowest, volumes)

    # -- options --------------------------------------------------------------------------------------

    def option_quotes(self, con_ids: Sequence[int], state: State, now: datetime) -> list[Quote]:
        """In the order of `con_ids`, all of which are on the board, while the exchange is open."""
        board = self.board
        places = np.array([board.place[con_id] for con_id in con_ids], dtype=np.intp)
        rows = board.rows.take(places)
        shares = board.slices.shares[rows.slices]
        found = _worth_in(rows, board.slices, state, now)
        passed = (now - opening(self.day)).total_seconds()
        factors = (stress(state.vols, CALM_VOLS) * self.nervous)[shares]
        factors *= opening_factor(passed / 60) * self.spread_factor
        sides = option_sides(found, shares, rows.calls, factors)
        bid_sizes, ask_sizes = sizes(board.ids[places], shares, int(now.timestamp()))
        session = self.paths.session(self.day)
        minute = min(int(passed // 60), session.minutes)
        part = float(session_share(minute / session.minutes))
        volumes = np.floor(self.traded[places] * part).astype(np.int64)
        # The last trade was at the beginning of the minute.
        moved = np.exp(session.ends[minute][:COUNT])[shares] - found.spots
        lasts = np.round(np.maximum(found.greeks.price + found.greeks.delta * moved, 0.01), 2)
        greeks = found.greeks
        columns = (
            [bid or None for bid in sides.bids.tolist()],
            sides.asks.tolist(),
            np.where(sides.bids > 0, bid_sizes, 0).tolist(),
            ask_sizes.tolist(),
            [last if volume else None for last, volume in zip(lasts.tolist(), volumes.tolist(), strict=True)],
            [None if math.isnan(close) else close for close in self.closes[places].tolist()],
            *(repeat(None) for _ in ("open", "high", "low")),
            [volume or None for volume in volumes.tolist()],
            [held or None for held in self.held[places].tolist()],
            np.round(found.vols, 6).tolist(),
            np.round(greeks.delta, 6).tolist(),
            np.round(greeks.gamma, 8).tolist(),
            np.round(greeks.theta, 6).tolist(),
            np.round(greeks.vega, 6).tolist(),
            np.round(greeks.price, 6).tolist(),
            np.round(found.spots, 2).tolist(),
        )
        return [Quote(*row) for row in zip(*columns, strict=False)]


def _levels(state: Floats, years: float) -> Floats:
    """The shares' prices and the index, from their logarithms and the fear."""
    return np.append(np.exp(state[:COUNT]), index_of(state[FEAR : FEAR + 1], years))


def _worth_in(rows: Rows, slices: Slices, state: State, now: datetime) -> Worth:
    share = slices.shares
    return worth(rows, slices, state.prices[share], state.vols[share], now.timestamp(), at(now))


def _reports_next(day: date) -> list[bool]:
    """Whether each share reports between this day's opening and the next one's."""
    return [
        bool(
            share.earnings
            and (
                share.earnings.days.between(day, day)
                if share.earnings.after_close
                else share.earnings.days.between(next_trading_day(day), next_trading_day(day))
            )
        )
        for share in SHARES
    ]

"""Bars of the past, of shares, the index and options, from the paths that the quotes come from."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby

import numpy as np

from broker.gateway.markets.bars import DAY_S, slots
from broker.gateway.markets.market import Bar
from broker.gateway.markets.model.board import Rows, slices_of, worth
from broker.gateway.markets.model.course import COUNT, FEAR, index_of, short_vols
from broker.gateway.markets.model.paths import Paths
from broker.gateway.markets.model.shares import INDEX, SYMBOLS
from broker.gateway.markets.model.variance_time import at
from options import Contract, Right, SecType
from options.hours import closing, opening, trading_day
from options.normal import Floats

HISTORY = timedelta(days=400)
"""How long before its beginning the market has a past."""
SHARES_PER_TRADE = 150
SAMPLES = 5
DAY_SAMPLES = 14
Slot = tuple[datetime, datetime]


@dataclass(slots=True)
class Charts:
    """`_days` remembers the whole days of shares and the index, by day and symbol, for `HISTORY` at most."""

    paths: Paths
    _days: dict[tuple[date, str], Bar] = field(default_factory=dict)

    def bars(self, contract: Contract, since: datetime, until: datetime, seconds: int) -> list[Bar]:
        """As `Market.bars`; nothing after `until` shows in them."""
        first = opening(self.paths.course.start) - HISTORY
        wanted = [(begin, min(end, until)) for begin, end in slots(max(since, first), until, seconds)]
        if contract.sec_type is not SecType.OPTION:
            return [self._bar(contract.symbol, slot, seconds) for slot in wanted]
        found: list[Bar] = []
        for day, group in groupby(wanted, lambda slot: trading_day(slot[0])):
            if contract.expiry is not None and day <= contract.expiry:
                found += self._option_bars(contract, contract.expiry, day, list(group), seconds)
        return found

    def _bar(self, symbol: str, slot: Slot, seconds: int) -> Bar:
        day = trading_day(slot[0])
        whole = seconds == DAY_S and slot[1] == closing(day)
        if whole and (day, symbol) in self._days:
            return self._days[day, symbol]
        begin = opening(day)
        span = ((slot[0] - begin).total_seconds(), (slot[1] - begin).total_seconds())
        place = FEAR if symbol == INDEX else SYMBOLS.index(symbol)
        ends, high, low, middles, volumes = self._span(day, place, *(int(second) for second in span))
        levels = np.array([ends[0], high, low, ends[1]])
        if symbol == INDEX:
            years = np.interp(np.array([span[0], span[1], span[1], span[1]]), *self._index_years(day))
            open_, high, low, close = (round(float(level), 2) for level in index_of(levels, years))
            bar = Bar(slot[0], open_, max(high, open_), min(low, open_), close, 0, 0.0, 0)
        else:
            open_, high, low, close = (round(float(level), 2) for level in np.exp(levels))
            volume = int(volumes.sum())
            average = float(np.exp(middles) @ volumes / volumes.sum()) if volume else close
            count = 1 + volume // SHARES_PER_TRADE
            bar = Bar(slot[0], open_, high, low, close, volume, round(average, 4), count)
        if whole:
            self._remember(day, symbol, bar)
        return bar

    def _remember(self, day: date, symbol: str, bar: Bar) -> None:
        if len(self._days) > HISTORY.days * (COUNT + 1):
            del self._days[next(iter(self._days))]
        self._days[day, symbol] = bar

    def _index_years(self, day: date) -> tuple[Floats, Floats]:
        """(second of the session, what `index_of` needs then) at the minutes' borders."""
        session = self.paths.session(day)
        return np.linspace(0.0, 60.0 * session.minutes, session.minutes + 1), session.index_years

    def _span(
        self, day: date, place: int, first: int, last: int
    ) -> tuple[tuple[float, float], float, float, Floats, Floats]:
        """Between two seconds of a session: (levels at both ends), highest, lowest, and of each minute of it
        the middle level and the shares traded; levels are logarithms."""
        session = self.paths.session(day)
        volumes = session.volumes[:, place] if place < COUNT else np.zeros(session.minutes)
        if first % 60 == last % 60 == 0 and last > first:
            whole = slice(first // 60, last // 60)
            ends = session.ends[first // 60 : last // 60 + 1, place]
            return (
                (float(ends[0]), float(ends[-1])),
                session.highs[whole, place].max(),
                session.lows[whole, place].min(),
                0.5 * (ends[:-1] + ends[1:]),
                np.floor(volumes[whole] * 60 / 60),
            )
        highs: list[float] = []
        lows: list[float] = []
        middles: list[float] = []
        traded: list[float] = []
        begin = end = float(session.ends[first // 60, place])
        for minute in range(first // 60, -(-last // 60)):
            start, stop = max(first - 60 * minute, 0), min(last - 60 * minute, 60)
            if (start, stop) == (0, 60):
                highs.append(session.highs[minute, place])
                lows.append(session.lows[minute, place])
                ends = session.ends[minute : minute + 2, place]
            else:
                ends = self.paths.seconds(day, minute)[start : stop + 1, place]
                highs.append(ends.max())
                lows.append(ends.min())
            begin = float(ends[0]) if not middles else begin
            end = float(ends[-1])
            middles.append(0.5 * (ends[0] + ends[-1]))
            traded.append(volumes[minute] * (stop - start) / 60)
        return (begin, end), max(highs), min(lows), np.array(middles), np.floor(traded)

    def _option_bars(
        self, contract: Contract, expiry: date, day: date, slots: list[Slot], seconds: int
    ) -> list[Bar]:
        """From values at a few moments of each bar; nobody is said to have traded."""
        count = DAY_SAMPLES if seconds == DAY_S else SAMPLES
        session, begin = self.paths.session(day), opening(day)
        edges = np.array([[(end - begin).total_seconds() for end in slot] for slot in slots])
        offsets = np.rint(np.linspace(edges[:, 0], edges[:, 1], count, axis=1)).astype(np.int64).ravel()
        rows = np.stack([self._row(day, int(offset)) for offset in offsets])
        place = SYMBOLS.index(contract.symbol)
        parts = offsets / (60 * session.minutes)
        own = session.own(0.0) + parts[:, None] * (session.own(1.0) - session.own(0.0))
        moments = [begin + timedelta(seconds=int(offset)) for offset in offsets]
        # At the very close of its last day an option is worth what it was a second before.
        latest = closing(expiry) - timedelta(seconds=1)
        prices = worth(
            Rows(
                np.arange(len(offsets)),
                np.full(len(offsets), contract.strike),
                np.full(len(offsets), contract.right is Right.CALL),
            ),
            slices_of([(place, expiry)], day).repeated(len(offsets)),
            np.exp(rows[:, place]),
            short_vols(rows[:, FEAR, None], own)[:, place],
            np.array([min(moment, latest).timestamp() for moment in moments]),
            np.array([at(min(moment, latest)) for moment in moments]),
        ).greeks.price
        levels = np.round(prices, 2).reshape(len(slots), count).tolist()
        return [
            Bar(slot[0], seen[0], max(seen), min(seen), seen[-1], 0, round(sum(seen) / count, 4), 0)
            for slot, seen in zip(slots, levels, strict=True)
        ]

    def _row(self, day: date, second: int) -> Floats:
        minute, rest = divmod(second, 60)
        rows = self.paths.seconds(day, minute) if rest else self.paths.session(day).ends[minute:]
        return np.asarray(rows[rest])

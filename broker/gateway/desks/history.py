"""The past of a contract, from its market's bars of middle prices.

Bids and asks of the past are middle prices moved by half of today's relative spread: no market here keeps
its old spreads. The implied volatility of an underlying moves like the volatility index, from where its own
options are now. Ticks are the seconds in which the price moved.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice

from broker.gateway.desks.underlying_statistics import VOL_DAYS, historical_vol, implied_vol
from broker.gateway.markets import bars as shape
from broker.gateway.markets.bars import DAY_S, HALF_HOUR_S
from broker.gateway.markets.market import Bar, Market
from broker.gateway.markets.quotes import Quote
from broker.gateway.protocol.history_request import MONTH, SECONDS, WEEK, Show
from options import Contract, SecType
from options.hours import trading_day

VOL_INDEX = "VIX"
LONGEST_SEARCH = timedelta(days=30)
SEARCH_STEP = timedelta(hours=1)
FIRST_YEARS = 5
YEAR = timedelta(days=366)
OPTION_LIFE = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class History:
    """What `market` knows of `contract`, asked at `now` when its quote is `quote`."""

    market: Market
    contract: Contract
    quote: Quote
    now: datetime

    def bars(self, show: Show, size: str, begin: datetime, end: datetime) -> list[Bar]:
        """Bars that begin in [begin, end), oldest first; none of what the contract does not have."""
        quoted = self.contract.sec_type is not SecType.INDEX
        match show:
            case Show.TRADES | Show.ADJUSTED_LAST | Show.AGGTRADES:
                return self._middle(self.contract, size, begin, end)
            case Show.HISTORICAL_VOLATILITY:
                return self._historical_vols(size, begin, end)
            case Show.OPTION_IMPLIED_VOLATILITY:
                return self._implied_vols(size, begin, end)
            case Show.SCHEDULE:
                return []
        middle = self._middle(self.contract, size, begin, end) if quoted else []
        half = self.half_spread
        match show:
            case Show.BID:
                return [shape.scaled(bar, 1 - half) for bar in middle]
            case Show.ASK:
                return [shape.scaled(bar, 1 + half) for bar in middle]
            case Show.BID_ASK:
                return [shape.bid_and_ask(bar, half) for bar in middle]
        return [shape.without_trades(bar) for bar in middle]

    @property
    def half_spread(self) -> float:
        """Half of today's spread as a share of the middle; 0 without a two-sided quote."""
        sides = self.quote.two_sided
        return (sides[1] - sides[0]) / (sides[1] + sides[0]) if sides else 0.0

    def _middle(self, contract: Contract, size: str, begin: datetime, end: datetime) -> list[Bar]:
        seconds = SECONDS[size]
        if seconds <= HALF_HOUR_S:
            return self.market.bars(contract.con_id, begin, end, seconds)
        if seconds < DAY_S:
            halves = self.market.bars(contract.con_id, begin, end, HALF_HOUR_S)
            return shape.merged(halves, lambda bar: shape.hour_of(bar, seconds // 3600))
        days = self.market.bars(contract.con_id, begin, end, DAY_S)
        if size == WEEK:
            return shape.merged(days, lambda bar: _day(bar).isocalendar()[:2], by_end=True)
        if size == MONTH:
            return shape.merged(days, lambda bar: (_day(bar).year, _day(bar).month), by_end=True)
        return days

    def _historical_vols(self, size: str, begin: datetime, end: datetime) -> list[Bar]:
        """Of 30 days up to each day; shorter bars are not known."""
        if SECONDS[size] < DAY_S or self.contract.sec_type is SecType.OPTION:
            return []
        days = self._middle(self.contract, "1 day", begin - 2 * timedelta(days=VOL_DAYS), end)
        found = []
        for place, bar in enumerate(days):
            vol = historical_vol([each.close for each in days[: place + 1]])
            if bar.start >= begin and vol is not None:
                found.append(shape.without_trades(Bar(bar.start, vol, vol, vol, vol, 0, 0.0, 0)))
        return found

    def _implied_vols(self, size: str, begin: datetime, end: datetime) -> list[Bar]:
        index = self.market.listings.find(VOL_INDEX)
        if index is None or self.contract.sec_type is not SecType.STOCK:
            return []
        marks = self.market.marks([index.con_id, self.contract.con_id], self.now)
        chain = self.market.listings.chain(self.contract.symbol, self.now)
        spot, level = marks.get(self.contract.con_id), marks.get(index.con_id)
        quotes = self.market.quotes([contract.con_id for contract in chain], self.now)
        vol = implied_vol(chain, quotes, spot, self.now) if spot else None
        if vol is None or not level:
            return []
        return [shape.scaled(bar, vol / level, 6) for bar in self._middle(index, size, begin, end)]

    def begins(self) -> datetime | None:
        """Where the daily bars of the last years begin, an option's of the last months; None without any."""
        found = None
        option = self.contract.sec_type is SecType.OPTION
        span, most = (OPTION_LIFE, 1) if option else (YEAR, FIRST_YEARS)
        for times in range(1, most + 1):
            since = self.now - times * span
            days = self.market.bars(self.contract.con_id, since, since + span, DAY_S)
            if not days:
                break
            found = days[0].start
        return found

    def ticks_from(self, begin: datetime, count: int) -> list[Bar]:
        """The first so many seconds from `begin` on, of the last year, in which the price moved."""
        found: list[Bar] = []
        begin = max(begin, self.now - YEAR)
        while begin < self.now and len(found) < count:
            end = min(begin + timedelta(days=1), self.now)
            found += islice(self._moves(begin, end), count - len(found))
            begin = end
        return found

    def ticks_until(self, end: datetime, count: int) -> list[Bar]:
        """The last so many seconds before `end`, of the month before it, in which the price moved, oldest
        first."""
        found: list[Bar] = []
        limit = end - LONGEST_SEARCH
        while end > limit and len(found) < count:
            found = [*self._moves(end - SEARCH_STEP, end), *found]
            end -= SEARCH_STEP
        return found[-count:]

    def _moves(self, begin: datetime, end: datetime) -> Iterator[Bar]:
        """The seconds in [begin, end) in which the price moved; half hours without any are passed over."""
        con_id, half = self.contract.con_id, timedelta(seconds=HALF_HOUR_S)
        before = None
        for span in self.market.bars(con_id, begin - half, end, HALF_HOUR_S):
            if span.low == span.high and not span.count:
                continue
            first, last = max(span.start, begin), min(span.start + half, end)
            for bar in self.market.bars(con_id, first, last, 1):
                if bar.close != before:
                    yield bar
                before = bar.close


def _day(bar: Bar) -> date:
    return trading_day(bar.start)

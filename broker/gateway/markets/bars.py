"""Bars made of prices, of smaller bars, and of middle prices what else a client may ask for."""

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from broker.gateway.markets.market import Bar
from options import NEW_YORK
from options.hours import closing, is_trading_day, opening, trading_day

DAY_S = 23_400
HALF_HOUR_S = 1800


@dataclass(frozen=True, slots=True)
class Price:
    """A price that was seen (USD per share) and how much was traded since the price before it."""

    at: datetime
    price: float
    volume: int = 0


def slots(since: datetime, until: datetime, seconds: int) -> Iterator[tuple[datetime, datetime]]:
    """(beginning, end) of the bars of each trading day that begin in [since, until); a day's first bar
    begins at the opening and its last ends with the close."""
    day = trading_day(since)
    step = timedelta(seconds=seconds)
    while opening(day) < until:
        if is_trading_day(day):
            begin, end = opening(day), closing(day)
            begin += max(math.ceil((since - begin) / step), 0) * step
            while begin < min(end, until):
                yield begin, min(begin + step, end)
                begin += step
        day += timedelta(days=1)


def bars_of(
    prices: Sequence[Price], since: datetime, until: datetime, seconds: int, stand: bool
) -> list[Bar]:
    """What has happened by `until`, as bars that begin in [since, until). With `stand` a price holds until
    the next one, else a bar without any price is left out. `prices` are in order of time."""
    times = [price.at for price in prices]
    bars = []
    for begin, end in slots(since, until, seconds):
        first = bisect_left(times, begin)
        behind = bisect_left(times, end) if end <= until else bisect_right(times, until)
        inside = prices[first:behind]
        levels = [price.price for price in inside]
        if stand and first and (not inside or inside[0].at > begin):
            levels.insert(0, prices[first - 1].price)
        if levels:
            bars.append(_bar(begin, levels, sum(price.volume for price in inside), len(inside)))
    return bars


def _bar(begin: datetime, levels: Sequence[float], volume: int, count: int) -> Bar:
    average = round(sum(levels) / len(levels), 6)
    return Bar(begin, levels[0], max(levels), min(levels), levels[-1], volume, average, count)


def merged(bars: Iterable[Bar], group: Callable[[Bar], object], by_end: bool = False) -> list[Bar]:
    """Neighbouring bars of the same group as one, which is dated like its first bar or like its last."""
    found = []
    for _, parts in itertools.groupby(bars, group):
        members = list(parts)
        volume = sum(bar.volume for bar in members)
        weights = [bar.volume or 1 for bar in members]
        worth = sum(bar.average * weight for bar, weight in zip(members, weights, strict=True))
        found.append(
            Bar(
                members[-1 if by_end else 0].start,
                members[0].open,
                max(bar.high for bar in members),
                min(bar.low for bar in members),
                members[-1].close,
                volume,
                round(worth / sum(weights), 6),
                sum(bar.count for bar in members),
            )
        )
    return found


def hour_of(bar: Bar, hours: int) -> tuple[date, int]:
    """Which of the day's spans of so many hours a bar begins in; they are counted from midnight."""
    local = bar.start.astimezone(NEW_YORK)
    return local.date(), local.hour // hours


def without_trades(bar: Bar) -> Bar:
    """As bars of quoted prices are told: they have no volume, average or count."""
    return replace(bar, volume=-1, average=-1.0, count=-1)


def scaled(bar: Bar, factor: float, digits: int = 4) -> Bar:
    """A bar of prices that are all so many times as high, without trades."""
    names = ("open", "high", "low", "close")
    levels = {name: round(getattr(bar, name) * factor, digits) for name in names}
    return without_trades(replace(bar, **levels))


def bid_and_ask(bar: Bar, half_spread: float) -> Bar:
    """A BID_ASK bar of a bar of middle prices: open is the average bid, close the average ask, high the
    highest ask and low the lowest bid. `half_spread` is a share of the price."""
    middle = (bar.open + bar.close) / 2
    return without_trades(
        replace(
            bar,
            open=round(middle * (1 - half_spread), 4),
            high=round(bar.high * (1 + half_spread), 4),
            low=round(bar.low * (1 - half_spread), 4),
            close=round(middle * (1 + half_spread), 4),
        )
    )

"""What a gateway tells of an underlying beyond its quote: ranges, volatilities, its options' activity."""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from broker.gateway.markets.bars import DAY_S
from broker.gateway.markets.market import Bar, Dividend, Market
from broker.gateway.markets.quotes import Quote
from options import ConId, Contract, Right
from options.hours import trading_day

TRADING_DAYS = 252
VOL_DAYS = 30
WEEKS = (13, 26, 52)


@dataclass(frozen=True, slots=True)
class Statistics:
    """None: not known. Volatilities annualised; `ranges`: (lowest, highest) price in USD of 13, 26 and 52
    weeks; `dividends`: past and coming twelve months, next date, next amount (USD per share)."""

    call_volume: int | None
    put_volume: int | None
    call_open_interest: int | None
    put_open_interest: int | None
    average_volume: int | None
    historical_vol: float | None
    implied_vol: float | None
    ranges: tuple[tuple[float, float], ...]
    dividends: str


def statistics_of(market: Market, owner: Contract, now: datetime) -> Statistics:
    """Everything about `owner` at `now`, from its daily bars and its options' quotes."""
    days = market.bars(owner.con_id, now - timedelta(weeks=WEEKS[-1]), now, DAY_S)
    chain = market.listings.chain(owner.symbol, now)
    quotes = market.quotes([contract.con_id for contract in chain], now)
    spot = market.marks([owner.con_id], now).get(owner.con_id)
    sides = {right: [quotes[c.con_id] for c in chain if c.right is right] for right in Right}
    volumes = [bar.volume for bar in days[-90:]]
    return Statistics(
        call_volume=_sum([quote.volume for quote in sides[Right.CALL]]),
        put_volume=_sum([quote.volume for quote in sides[Right.PUT]]),
        call_open_interest=_sum([quote.open_interest for quote in sides[Right.CALL]]),
        put_open_interest=_sum([quote.open_interest for quote in sides[Right.PUT]]),
        average_volume=round(statistics.fmean(volumes)) if volumes else None,
        historical_vol=historical_vol([bar.close for bar in days]),
        implied_vol=implied_vol(chain, quotes, spot, now) if spot else None,
        ranges=ranges(days, now),
        dividends=dividend_text(market.dividends(owner.symbol), trading_day(now)),
    )


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def historical_vol(closes: Sequence[float]) -> float | None:
    """Annualised deviation of the last 30 daily log returns; None with fewer than three closes."""
    last = closes[-VOL_DAYS - 1 :]
    if len(last) < 3:
        return None
    returns = [math.log(after / before) for before, after in itertools.pairwise(last)]
    return round(statistics.stdev(returns) * math.sqrt(TRADING_DAYS), 6)


def implied_vol(
    chain: Sequence[Contract], quotes: Mapping[ConId, Quote], spot: float, now: datetime
) -> float | None:
    """Of the options nearest to the money in the expiry nearest to 30 days; None where none has one."""
    priced = [c for c in chain if c.expiry and c.strike and quotes[c.con_id].iv is not None]
    if not priced:
        return None
    goal = trading_day(now) + timedelta(days=VOL_DAYS)

    def distance(contract: Contract) -> tuple[int, float]:
        days = abs(((contract.expiry or goal) - goal).days)
        return days, abs((contract.strike or 0.0) - spot)

    nearest = min(map(distance, priced))
    found = [quotes[c.con_id].iv or 0.0 for c in priced if distance(c) == nearest]
    return round(statistics.fmean(found), 6)


def ranges(days: Sequence[Bar], now: datetime) -> tuple[tuple[float, float], ...]:
    """(lowest, highest) of each of the `WEEKS`; empty without bars."""
    spans = []
    for weeks in WEEKS:
        span = [bar for bar in days if bar.start >= now - timedelta(weeks=weeks)]
        if span:
            spans.append((min(bar.low for bar in span), max(bar.high for bar in span)))
    return tuple(spans)


def dividend_text(dividends: Sequence[Dividend], today: date) -> str:
    """`past year,coming year,next date,next amount`, as tick 59 carries it; commas alone without any."""
    year = timedelta(days=365)
    past = [d.amount_usd for d in dividends if today - year < d.ex_date <= today]
    coming = [d for d in dividends if today < d.ex_date <= today + year]
    following = coming[0] if coming else None
    return ",".join(
        (
            f"{sum(past):g}" if past else "",
            f"{sum(d.amount_usd for d in coming):g}" if coming else "",
            f"{following.ex_date:%Y%m%d}" if following else "",
            f"{following.amount_usd:g}" if following else "",
        )
    )

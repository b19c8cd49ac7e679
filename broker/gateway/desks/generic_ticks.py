"""The generic ticks that a market data request may ask for by number, and what each of them tells."""

from collections.abc import Iterable
from datetime import datetime

from broker.gateway.desks.underlying_statistics import Statistics
from broker.gateway.errors import RequestRefused
from broker.gateway.markets.quotes import Quote
from broker.gateway.protocol.tick_messages import (
    MARK,
    REAL_TIME_VOLUME,
    Tick,
    generic_tick,
    price_tick,
    size_tick,
    text_tick,
)
from options import Contract, Right, SecType

OPTION_VOLUME, OPEN_INTEREST, HISTORICAL_VOL, IMPLIED_VOL, RANGES = 100, 101, 104, 106, 165
MARK_PRICE, PL_PRICE, RT_VOLUME, SHORTABLE, RT_TRADE_VOLUME, DIVIDENDS = 221, 232, 233, 236, 375, 456
OF_THE_UNDERLYING = frozenset({OPTION_VOLUME, OPEN_INTEREST, HISTORICAL_VOL, IMPLIED_VOL, RANGES, DIVIDENDS})
NAMES = {
    OPTION_VOLUME: "Option Volume",
    OPEN_INTEREST: "Option Open Interest",
    HISTORICAL_VOL: "Historical Volatility",
    105: "Average Opt Volume",
    IMPLIED_VOL: "impvolat",
    RANGES: "Misc. Stats",
    MARK_PRICE: "Creditman Mark Price",
    225: "Auction",
    PL_PRICE: "Pl Price",
    RT_VOLUME: "RTVolume",
    SHORTABLE: "inventory",
    258: "Fundamentals",
    292: "Wide_news",
    293: "TradeCount",
    294: "TradeRate",
    295: "VolumeRate",
    318: "LastRTHTrade",
    RT_TRADE_VOLUME: "RTTrdVolume",
    411: "rthistvol",
    DIVIDENDS: "IBDividends",
}
OLD_NUMBERS = {"220": MARK_PRICE, "47": 258, "59": DIVIDENDS}
CALL_OPEN_INTEREST, PUT_OPEN_INTEREST, CALL_VOLUME, PUT_VOLUME = 27, 28, 29, 30
AVERAGE_VOLUME, SHORTABLE_LEVEL, SHORTABLE_SHARES, DIVIDEND_TEXT, TRADE_VOLUME_TEXT = 21, 46, 89, 59, 77
EASY_TO_BORROW = 3.0
SHARES_TO_BORROW = 10_000_000


def read_list(words: str, sec_type: str) -> frozenset[int]:
    """The numbers of a generic tick list like `100,233`; raises RequestRefused for one that is not legal.

    `mdoff` and a news provider behind 292 are accepted and change nothing.
    """
    wanted = set()
    for word in filter(None, words.replace(" ", "").split(",")):
        number = word.split(":")[0]
        if number == "mdoff":
            continue
        known = OLD_NUMBERS.get(number) or (int(number) if number.isdigit() else 0)
        if known not in NAMES:
            legal = ",".join(f"{each}({name})" for each, name in NAMES.items())
            raise RequestRefused(
                321,
                f"Error validating request.-'bQ' : cause - Incorrect generic tick list of {words}."
                f"  Legal ones for ({sec_type}) are: {legal}",
            )
        wanted.add(known)
    return frozenset(wanted)


def of_quote(
    wanted: frozenset[int], contract: Contract, old: Quote, new: Quote, now: datetime
) -> Iterable[Tick]:
    """What the quote itself tells, as far as it has moved."""
    if wanted & {MARK_PRICE, PL_PRICE} and new.mark is not None and new.mark != old.mark:
        yield price_tick(MARK, new.mark)
    traded = (new.last, new.volume) != (old.last, old.volume)
    if wanted & {RT_VOLUME, RT_TRADE_VOLUME} and new.last is not None and traded:
        size = max((new.volume or 0) - (old.volume or 0), 0) if old.volume is not None else 0
        moment = int(now.timestamp() * 1000)
        words = f"{new.last};{size};{moment};{new.volume or 0};{new.last};true"
        for kind, number in ((REAL_TIME_VOLUME, RT_VOLUME), (TRADE_VOLUME_TEXT, RT_TRADE_VOLUME)):
            if number in wanted:
                yield text_tick(kind, words)
    if contract.sec_type is SecType.OPTION:
        call = contract.right is Right.CALL
        if OPEN_INTEREST in wanted and new.open_interest != old.open_interest:
            yield from _by_right(CALL_OPEN_INTEREST, PUT_OPEN_INTEREST, call, new.open_interest)
        if OPTION_VOLUME in wanted and new.volume != old.volume:
            yield from _by_right(CALL_VOLUME, PUT_VOLUME, call, new.volume)


def _by_right(call_kind: int, put_kind: int, call: bool, count: int | None) -> Iterable[Tick]:
    """An option's own number under its right; the other right's is 0."""
    if count is not None:
        yield size_tick(call_kind, count if call else 0)
        yield size_tick(put_kind, 0 if call else count)


def of_underlying(wanted: frozenset[int], statistics: Statistics) -> Iterable[Tick]:
    """What is known of an underlying and its options beyond its own quote; told once."""
    s = statistics
    counts = (
        (OPTION_VOLUME, CALL_VOLUME, s.call_volume),
        (OPTION_VOLUME, PUT_VOLUME, s.put_volume),
        (OPEN_INTEREST, CALL_OPEN_INTEREST, s.call_open_interest),
        (OPEN_INTEREST, PUT_OPEN_INTEREST, s.put_open_interest),
        (RANGES, AVERAGE_VOLUME, s.average_volume),
    )
    yield from (size_tick(kind, n) for number, kind, n in counts if number in wanted and n is not None)
    vols = ((HISTORICAL_VOL, 23, s.historical_vol), (IMPLIED_VOL, 24, s.implied_vol))
    yield from (generic_tick(kind, v) for number, kind, v in vols if number in wanted and v is not None)
    if RANGES in wanted:
        for kind, (low, high) in zip((15, 17, 19), s.ranges, strict=False):
            yield price_tick(kind, low)
            yield price_tick(kind + 1, high)
    if DIVIDENDS in wanted:
        yield text_tick(DIVIDEND_TEXT, s.dividends)


def of_lending() -> Iterable[Tick]:
    """Every share can be borrowed."""
    yield generic_tick(SHORTABLE_LEVEL, EASY_TO_BORROW)
    yield size_tick(SHORTABLE_SHARES, SHARES_TO_BORROW)

"""What the gateway says about the past, in the field order of the client's version."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime

from broker.gateway.markets.hours import ZONE, ib_time
from broker.gateway.markets.market import Bar
from broker.gateway.protocol.wire import Value
from options import NEW_YORK
from options.hours import closing, opening

MIDPOINT_TICKS, BID_ASK_TICKS, LAST_TICKS = 96, 97, 98


def bar_time(bar: Bar, daily: bool, as_epoch: bool, version: int) -> str:
    """A bar's date: the day, seconds since 1970, or time with zone (from version 174 on)."""
    if daily:
        return f"{bar.start.astimezone(NEW_YORK):%Y%m%d}"
    return str(int(bar.start.timestamp())) if as_epoch else ib_time(bar.start, version)


def historical_data(
    req_id: int, begin: datetime, end: datetime, bars: Sequence[tuple[str, Bar]], version: int
) -> list[Value]:
    """historicalData (17), which is its own end."""
    reply: list[Value] = [17, req_id, ib_time(begin, version), ib_time(end, version), len(bars)]
    for when, bar in bars:
        reply += [when, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.average, bar.count]
    return reply


def historical_update(req_id: int, when: str, bar: Bar) -> list[Value]:
    """historicalDataUpdate (90), whose order is another one."""
    prices = (bar.open, bar.close, bar.high, bar.low)
    return [90, req_id, bar.count, when, *prices, bar.average, bar.volume]


def schedule(req_id: int, begin: datetime, end: datetime, days: Sequence[date]) -> list[Value]:
    """historicalSchedule (106): regular sessions in New York's time."""
    reply: list[Value] = [106, req_id, _local(begin), _local(end), ZONE, len(days)]
    for day in days:
        reply += [_local(opening(day)), _local(closing(day)), day]
    return reply


def _local(moment: datetime) -> str:
    return f"{moment.astimezone(NEW_YORK):%Y%m%d-%H:%M:%S}"


def head_timestamp(req_id: int, moment: datetime, as_epoch: bool) -> list[Value]:
    """headTimestamp (88): where the history begins."""
    text = str(int(moment.timestamp())) if as_epoch else _utc(moment)
    return [88, req_id, text]


def _utc(moment: datetime) -> str:
    return f"{moment:%Y%m%d-%H:%M:%S}"


def historical_ticks(kind: int, req_id: int, rows: Iterable[Sequence[Value]]) -> list[Value]:
    """historicalTicks (96), -BidAsk (97) or -Last (98), all in one message."""
    ticks = list(rows)
    return [kind, req_id, len(ticks), *(value for row in ticks for value in row), 1]

"""When an order may be at the market: trading sessions, time in force, good-after and good-till moments.

Orders trade in regular hours. Limit and stop-limit orders for shares that say `outsideRth` trade from 04:00
to 20:00 New York, on days that close early to 17:00.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from broker.gateway.errors import OrderRefused
from broker.gateway.exchange.order import Legs
from broker.gateway.protocol.order_request import OrderRequest
from options import NEW_YORK, SecType, hours

IMMEDIATE = frozenset({"IOC", "FOK"})
TIMES_IN_FORCE = frozenset({"DAY", "GTC", "GTD", *IMMEDIATE})
PRE_MARKET = time(4, 0)
AFTER_HOURS_END = time(20, 0)
EARLY_AFTER_HOURS_END = time(17, 0)
MOMENT = re.compile(r"(2\d{7})(?:([ -])(\d{1,2}:\d{2}:\d{2})(?: (\S+))?)?")
# Names of zones that a gateway writes and the zone database does not have.
ZONES = {"EST": "America/New_York", "EDT": "America/New_York", "CST": "America/Chicago"}
FORMATS = "yyyymmdd hh:mm:ss US/Eastern, yyyymmdd-hh:mm:ss (UTC) or yyyymmdd"


@dataclass(frozen=True, slots=True)
class Lifetime:
    """From when to when an order may be at the market; `ends` None: until it is cancelled.

    `waits_for_opening`: it starts later only because the exchange is closed now.
    """

    starts: datetime
    ends: datetime | None
    waits_for_opening: bool


def trades_extended(request: OrderRequest, legs: Legs) -> bool:
    """Whether the order also trades before the opening and after the close."""
    shares = all(contract.sec_type is SecType.STOCK for contract, _ in legs)
    return request.outside_rth and shares and request.order_type in ("LMT", "STP LMT")


def session(day: date, extended: bool) -> tuple[datetime, datetime]:
    """(first moment, end) of a trading day."""
    if not extended:
        return hours.opening(day), hours.closing(day)
    end = EARLY_AFTER_HOURS_END if hours.closes_early(day) else AFTER_HOURS_END
    first, last = (datetime.combine(day, moment, NEW_YORK) for moment in (PRE_MARKET, end))
    return first.astimezone(UTC), last.astimezone(UTC)


def is_open(now: datetime, extended: bool) -> bool:
    if not extended:
        return hours.is_open(now)
    day = hours.trading_day(now)
    first, end = session(day, extended)
    return hours.is_trading_day(day) and first <= now < end


def next_session(now: datetime, extended: bool) -> tuple[datetime, datetime]:
    """The session that is on or comes next: (now or its first moment, its end)."""
    day = hours.trading_day(now)
    if not hours.is_trading_day(day) or now >= session(day, extended)[1]:
        day = hours.next_trading_day(day)
    first, end = session(day, extended)
    return max(first, now), end


def lifetime(request: OrderRequest, legs: Legs, now: datetime) -> Lifetime:
    """For an order that is transmitted at `now`; raises OrderRefused for times that make no sense."""
    extended = trades_extended(request, legs)
    wanted = _good_after(request, now)
    starts, session_end = next_session(wanted, extended)
    ends = None
    if request.tif == "DAY":
        ends = session_end
    elif request.tif == "GTD":
        ends = _good_till(request, now, extended)
    return Lifetime(starts, ends, starts > wanted)


def _good_after(request: OrderRequest, now: datetime) -> datetime:
    if not request.good_after:
        return now
    moment = parse_moment(request.good_after)
    if moment is None:
        raise OrderRefused(
            337, f"The date, time, or time-zone entered is invalid: {request.good_after!r}: write {FORMATS}"
        )
    return max(now, moment)


def _good_till(request: OrderRequest, now: datetime, extended: bool) -> datetime:
    moment = parse_moment(request.good_till, end_of_day=extended)
    if moment is None:
        raise OrderRefused(
            343, f"The date, time, or time-zone entered is invalid: {request.good_till!r}: write {FORMATS}"
        )
    if moment <= now:
        raise OrderRefused(334, f"Invalid Good Till Date order: {request.good_till!r} has passed")
    return moment


def parse_moment(text: str, end_of_day: bool | None = None) -> datetime | None:
    """A moment as clients write it, None when it is not one. Without a zone New York is meant.

    A mere date is its beginning; with `end_of_day` its regular (True: its extended) close.
    """
    found = MOMENT.fullmatch(text.strip())
    if found is None:
        return None
    day_text, joint, clock, zone_name = found.groups()
    zone = UTC if joint == "-" else _zone(zone_name)
    try:
        day = datetime.strptime(day_text, "%Y%m%d").date()
        if clock is None:
            return _whole_day(day, end_of_day)
        of_day = datetime.strptime(clock, "%H:%M:%S").time()
    except ValueError:
        return None
    return datetime.combine(day, of_day, zone).astimezone(UTC) if zone else None


def _whole_day(day: date, end_of_day: bool | None) -> datetime:
    if end_of_day is None:
        return datetime.combine(day, time(), NEW_YORK).astimezone(UTC)
    while not hours.is_trading_day(day):
        day -= timedelta(days=1)
    return session(day, end_of_day)[1]


def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return NEW_YORK
    try:
        return ZoneInfo(ZONES.get(name, name))
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a name may be that of a folder
        return None

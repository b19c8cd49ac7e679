"""What a request for history asks for, and the words with which a gateway refuses senseless ones."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from broker.gateway.errors import RequestRefused
from broker.gateway.markets.bars import DAY_S, HALF_HOUR_S
from broker.gateway.markets.listings import Query
from broker.gateway.markets.market import Bar
from broker.gateway.protocol.wire import Fields
from options import NEW_YORK, Contract
from options.hours import closing, is_trading_day, opening, trading_day

WEEK, MONTH = "1W", "1M"
SECONDS = {
    **{"1 secs": 1, "5 secs": 5, "10 secs": 10, "15 secs": 15, "30 secs": 30, "1 min": 60, "2 mins": 120},
    **{"3 mins": 180, "5 mins": 300, "10 mins": 600, "15 mins": 900, "20 mins": 1200},
    "30 mins": HALF_HOUR_S,
    **{"1 hour": 3600, "2 hours": 7200, "3 hours": 10_800, "4 hours": 14_400, "8 hours": 28_800},
    **{"1 day": DAY_S, WEEK: 5 * DAY_S, MONTH: 21 * DAY_S},
}
ALIASES = {"1 sec": "1 secs", "1 week": WEEK, "1 W": WEEK, "1w": WEEK, "1 month": MONTH, "1 M": MONTH}
LARGEST_PACED_S = 30
SHORTEST_KEPT_S = 5
LONGEST_SECONDS = 86_400
LONGEST_YEARS = 100
MOST_OF_UNIT = {"D": (365, "365 days"), "W": (52, "52 weeks"), "M": (12, "12 months")}
MOST_BARS = 100_000
BAD_MOMENT = (
    "End Date/Time: The date, time, or time-zone entered is invalid. The correct format is yyyymmdd hh:mm:ss"
    " xx/xxxx where yyyymmdd and xx/xxxx are optional. E.g.: 20031126 15:59:00 US/Eastern  Note that there is"
    " a space between the date and time, and between the time and time-zone.  If no date is specified,"
    " current date is assumed. If no time-zone is specified, local time-zone is assumed(deprecated).  You can"
    " also provide yyyymmddd-hh:mm:ss time is in UTC. Note that there is a dash between the date and time in"
    " UTC notation."
)
_UTC_MOMENT = re.compile(r"(\d{8})-(\d{1,2}:\d{2}:\d{2})")
_MOMENT = re.compile(r"(?:(\d{8})\s+)?(\d{1,2}:\d{2}(?::\d{2})?)(?:\s+([A-Za-z].*))?")


class Show(StrEnum):
    """whatToShow."""

    TRADES = "TRADES"
    MIDPOINT = "MIDPOINT"
    BID = "BID"
    ASK = "ASK"
    BID_ASK = "BID_ASK"
    ADJUSTED_LAST = "ADJUSTED_LAST"
    AGGTRADES = "AGGTRADES"
    HISTORICAL_VOLATILITY = "HISTORICAL_VOLATILITY"
    OPTION_IMPLIED_VOLATILITY = "OPTION_IMPLIED_VOLATILITY"
    SCHEDULE = "SCHEDULE"


LIVE_SHOWS = (Show.TRADES, Show.MIDPOINT, Show.BID, Show.ASK)


def refusal(cause: str) -> RequestRefused:
    return RequestRefused(321, f"Error validating request.-'bM' : cause - {cause}")


def read_show(word: str) -> Show:
    """Raises RequestRefused."""
    if word.upper() not in Show.__members__:
        raise refusal(f"What to show value of {word} rejected.")
    return Show[word.upper()]


def read_moment(words: str, now: datetime) -> datetime | None:
    """`20260302-15:00:00` in UTC, or `[20260302 ]10:00:00[ US/Eastern]`; None for empty words. Without a
    date it is today, without a zone New York is meant. Raises RequestRefused."""
    words = words.strip()
    if not words:
        return None
    in_utc = _UTC_MOMENT.fullmatch(words)
    found = _MOMENT.fullmatch(words)
    try:
        if in_utc:
            return datetime.strptime(f"{in_utc[1]} {in_utc[2]}", "%Y%m%d %H:%M:%S").replace(tzinfo=UTC)
        if found:
            day = found[1] or f"{trading_day(now):%Y%m%d}"
            time = found[2] if found[2].count(":") == 2 else f"{found[2]}:00"
            zone = ZoneInfo(found[3]) if found[3] else NEW_YORK
            local = datetime.strptime(f"{day} {time}", "%Y%m%d %H:%M:%S").replace(tzinfo=zone)
            return local.astimezone(UTC)
    except (
        ValueError,
        OverflowError,
        OSError,
        ZoneInfoNotFoundError,
    ):  # a zone's name may be that of a folder
        pass
    raise RequestRefused(10314, BAD_MOMENT)


@dataclass(frozen=True, slots=True)
class Duration:
    """`count` of seconds, trading days, weeks, months or years."""

    count: int
    unit: str

    @classmethod
    def read(cls, words: str) -> "Duration":
        """`2 D`, or seconds without a unit; raises RequestRefused."""
        if not words:
            raise refusal("Historical data request duration not specified.")
        found = re.fullmatch(r"(\d+)(?: ([sSdDwWmMyY]))?", words)
        if not found:
            raise refusal(
                "When specifying a unit, historical data request duration format is integer{SPACE}unit"
                " (S|D|W|M|Y)."
            )
        count, unit = int(found[1]), (found[2] or "S").upper()
        if count < 1 or (unit == "S" and count < 30) or (unit == "Y" and count > LONGEST_YEARS):
            raise refusal("Historical data requested duration is invalid.")
        if unit == "S" and count > LONGEST_SECONDS:
            raise refusal(f"Historical data request for greater than {LONGEST_SECONDS} seconds rejected.")
        most, label = MOST_OF_UNIT.get(unit, (count, ""))
        if count > most:
            raise refusal(
                f"Historical data requests for durations longer than {label} must be made in years."
            )
        return cls(count, unit)

    def begin(self, end: datetime) -> datetime:
        """Where a request that ends at `end` begins: the opening of the first of its trading days. Seconds
        are counted back from the last moment of trading."""
        if self.unit == "S":
            return last_trading(end) - timedelta(seconds=self.count)
        day = trading_day(last_trading(end))
        if self.unit == "D":
            for _ in range(self.count - 1):
                day = trading_day(last_trading(opening(day) - timedelta(seconds=1)))
            return opening(day)
        return opening(self._calendar(day) + timedelta(days=1))

    def told_begin(self, end: datetime) -> datetime:
        """Where the reply says that it begins, whatever the market did then."""
        if self.unit in "SD":
            return end - timedelta(**{"seconds" if self.unit == "S" else "days": self.count})
        day = trading_day(end)
        return end - (day - self._calendar(day))

    def _calendar(self, day: date) -> date:
        if self.unit == "W":
            return day - timedelta(weeks=self.count)
        months = self.count * (12 if self.unit == "Y" else 1)
        whole = day.year * 12 + day.month - 1 - months
        first = date(whole // 12, whole % 12 + 1, 1)
        return first + timedelta(days=min(day.day, _days_in(first)) - 1)


def _days_in(first: date) -> int:
    return ((first + timedelta(days=31)).replace(day=1) - first).days


def last_trading(moment: datetime) -> datetime:
    """`moment` while the market is open, else the last close before it."""
    day = trading_day(moment)
    while not is_trading_day(day) or moment <= opening(day):
        day -= timedelta(days=1)
        moment = closing(day)
    return min(moment, closing(day))


@dataclass(frozen=True, slots=True)
class BarRequest:
    """`end` None means the present. `seconds` is the size of a bar, whose name is `size`."""

    req_id: int
    query: Query
    end: datetime | None
    size: str
    duration: Duration
    show: Show
    as_epoch: bool
    keep: bool

    @property
    def seconds(self) -> int:
        return SECONDS[self.size]

    @property
    def is_daily(self) -> bool:
        return self.seconds >= DAY_S


def read_bar_request(req_id: int, query: Query, fields: Fields, now: datetime) -> BarRequest:
    """What follows the contract in reqHistoricalData (20); raises RequestRefused.

    useRTH changes nothing: no market here trades outside regular hours.
    """
    fields.skip(1)
    end, size, duration = fields.text(), fields.text(), fields.text()
    fields.skip(1)
    show, date_format = fields.text(), fields.integer()
    if query.sec_type == "BAG":
        fields.skip(4 * fields.integer())
    keep = fields.flag()
    fields.skip(1)
    fields.finish()
    moment = read_moment(end, now)
    span = Duration.read(duration)
    name = ALIASES.get(size, size)
    if name not in SECONDS:
        legal = ", ".join(SECONDS)
        raise refusal(f"Historical data bar size setting is invalid. Legal ones are: {legal}")
    what = read_show(show)
    if date_format not in (1, 2):
        raise refusal(f"Date formatting selection of {date_format} rejected.")
    if what is Show.ADJUSTED_LAST and moment:
        raise refusal("End date not supported with adjusted last")
    if what is Show.SCHEDULE and name != "1 day":
        raise refusal("Only daily resolution supported for Schedule requests")
    if keep:
        _check_kept(moment, query, name, what)
    return BarRequest(req_id, query, moment, name, span, what, date_format == 2, keep)


def _check_kept(end: datetime | None, query: Query, size: str, show: Show) -> None:
    if end:
        raise refusal("End date not supported with live updates")
    if query.sec_type == "BAG":
        raise refusal("Live updates for combos are not supported")
    if show not in LIVE_SHOWS:
        raise refusal("Source price not supported with live updates")
    if SECONDS[size] < SHORTEST_KEPT_S:
        raise refusal(f"Bar size of {size} not supported with live updates")


@dataclass(slots=True)
class KeptBars:
    """Bars that are kept up to date: the last one told, whether its contract has news since, and from when
    on the next message may go out."""

    request: BarRequest
    contract: Contract
    told: Bar
    due: datetime
    has_news: bool = False

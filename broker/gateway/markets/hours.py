"""Trading hours and times as the protocol writes them."""

from datetime import date, datetime, timedelta
from functools import lru_cache

from options import NEW_YORK, Contract, SecType
from options.hours import closing, is_trading_day, trading_day

ZONE = "US/Eastern"
DAYS_TOLD = 6


def _hours(day: date, begin: str, end: str) -> str:
    return f"{day:%Y%m%d}:{begin}-{day:%Y%m%d}:{end}" if is_trading_day(day) else f"{day:%Y%m%d}:CLOSED"


@lru_cache(maxsize=8)
def _told(today: date, begin: str, extra: timedelta) -> str:
    """Sessions from `begin` until so long after the close; contracts of a chain ask for the same ones."""
    days = (today + timedelta(days=offset) for offset in range(DAYS_TOLD))
    return ";".join(_hours(day, begin, _clock(closing(day) + extra)) for day in days)


def liquid_hours(now: datetime) -> str:
    """Regular hours of today and the days after it, early closes included."""
    return _told(trading_day(now), "0930", timedelta(0))


def trading_hours(contract: Contract, now: datetime) -> str:
    """Shares trade from 4:00 until four hours after the close, everything else in regular hours only."""
    if contract.sec_type is not SecType.STOCK:
        return liquid_hours(now)
    return _told(trading_day(now), "0400", timedelta(hours=4))


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone(NEW_YORK):%H%M}"


def last_trade_text(expiry: date | None) -> str:
    """`20260417 16:00:00 US/Eastern`; empty without an expiry."""
    return f"{closing(expiry).astimezone(NEW_YORK):%Y%m%d %H:%M:%S} {ZONE}" if expiry else ""


def ib_time(moment: datetime, version: int) -> str:
    """The form of execution and history times: `20260302 10:00:05 US/Eastern`, below server version 174
    `20260302  10:00:05` with two blanks and no zone."""
    local = moment.astimezone(NEW_YORK)
    return f"{local:%Y%m%d %H:%M:%S} {ZONE}" if version >= 174 else f"{local:%Y%m%d  %H:%M:%S}"

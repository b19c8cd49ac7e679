"""Trading hours and times as the protocol writes them."""

from datetime import UTC, date, datetime, timedelta

from options import NEW_YORK, Contract, SecType
from options.hours import closing, is_trading_day, opening, trading_day

ZONE = "US/Eastern"
DAYS_TOLD = 6


def _hours(day: date, begin: str, end: str) -> str:
    return f"{day:%Y%m%d}:{begin}-{day:%Y%m%d}:{end}" if is_trading_day(day) else f"{day:%Y%m%d}:CLOSED"


def _days(now: datetime) -> list[date]:
    return [trading_day(now) + timedelta(days=offset) for offset in range(DAYS_TOLD)]


def liquid_hours(now: datetime) -> str:
    """Regular hours of today and the days after it, early closes included."""
    return ";".join(_hours(day, _clock(opening(day)), _clock(closing(day))) for day in _days(now))


def trading_hours(contract: Contract, now: datetime) -> str:
    """Shares trade from 4:00 until four hours after the close, everything else in regular hours only."""
    if contract.sec_type is not SecType.STOCK:
        return liquid_hours(now)
    late = timedelta(hours=4)
    return ";".join(_hours(day, "0400", _clock(closing(day) + late)) for day in _days(now))


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


def utc_time(moment: datetime) -> str:
    """The form that needs no zone: `20260302-15:00:05`."""
    return f"{moment.astimezone(UTC):%Y%m%d-%H:%M:%S}"

"""Trading hours and times as the protocol writes them."""

from datetime import datetime, timedelta

from options import NEW_YORK
from options.hours import closing, is_trading_day, trading_day


def session_text(now: datetime, days: int = 3) -> str:
    """Trading hours as contract details carry them, from today on."""
    parts = []
    for offset in range(days):
        day = trading_day(now) + timedelta(days=offset)
        label = f"{day:%Y%m%d}"
        until = f"{closing(day).astimezone(NEW_YORK):%H%M}"
        parts.append(f"{label}:0930-{label}:{until}" if is_trading_day(day) else f"{label}:CLOSED")
    return ";".join(parts)


def ib_time(moment: datetime, version: int = 178) -> str:
    """The form of execution and history times: `20260302 10:00:05 US/Eastern`, below server version 174
    `20260302  10:00:05` with two blanks and no zone."""
    local = moment.astimezone(NEW_YORK)
    return f"{local:%Y%m%d %H:%M:%S} US/Eastern" if version >= 174 else f"{local:%Y%m%d  %H:%M:%S}"

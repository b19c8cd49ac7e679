"""Which options are listed: their expiries by the calendar, their strikes by where the share has been."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from broker.gateway.markets.model.shares import FRIDAY, Share, nth_weekday
from options.hours import is_trading_day, previous_trading_day

WEEKLY_DAYS = 49
DAILY_DAYS = 14
MONTHS = 5


def expiries(share: Share, today: date) -> list[date]:
    """The days from `today` on, on which a series ends: each week's last trading day for seven weeks, the
    third Fridays of five months, and for some shares every day of two weeks."""
    ahead = [today + timedelta(days=n) for n in range(WEEKLY_DAYS + 1)]
    found = {_last_of_week(day) for day in ahead if day.weekday() == FRIDAY}
    for n in range(MONTHS + 1):
        year, month = divmod(today.year * 12 + today.month - 1 + n, 12)
        found.add(_last_of_week(nth_weekday(year, month + 1, 3, FRIDAY)))
    if share.daily:
        found |= {day for day in ahead[: DAILY_DAYS + 1] if is_trading_day(day)}
    return sorted(day for day in found if day >= today)


def _last_of_week(friday: date) -> date:
    return friday if is_trading_day(friday) else previous_trading_day(friday)


def is_monthly(expiry: date) -> bool:
    """Whether an expiry falls on the third Friday of its month, or on the Thursday before a closed one."""
    friday = expiry + timedelta(days=FRIDAY - expiry.weekday())
    return 15 <= friday.day <= 21


@dataclass(frozen=True, slots=True)
class Reach:
    """The lowest and the highest close of a share since a series was listed; strikes lie around both."""

    low: float
    high: float

    def widened(self, level: float) -> "Reach":
        return Reach(min(self.low, level), max(self.high, level))


def strikes(share: Share, expiry: date, reach: Reach) -> list[float]:
    """A monthly series reaches from 30 % below to 25 % above, with every `fine_step` within 6 %; a weekly one
    a little less far, and one that ends on another day of the week only about 10 % away."""
    if is_monthly(expiry):
        below, above, near = 0.30, 0.25, 0.06
    elif is_trading_day(expiry + timedelta(days=1)):
        below, above, near = 0.10, 0.08, 0.04
    else:
        below, above, near = 0.20, 0.15, 0.03
    found = set(_grid(share.step, reach.low * (1 - below), reach.high * (1 + above)))
    found |= set(_grid(share.fine_step, reach.low * (1 - near), reach.high * (1 + near)))
    return sorted(found)


def _grid(step: float, low: float, high: float) -> Iterator[float]:
    return (n * step for n in range(max(1, round(low / step)), round(high / step) + 1))

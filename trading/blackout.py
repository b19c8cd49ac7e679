"""Times of the week in which no order is sent, because the broker may lose it without a word.

Around its nightly restart a gateway forgets orders of the last seconds and gives their ids again; during a
reset of the servers and until somebody has logged in anew nobody knows what became of an order.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from options import NEW_YORK

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY_S: Final = 86_400
_TEXT: Final = re.compile(r"(?:(?P<day>\w{3}) )?(?P<start>\d\d:\d\d)-(?:(?P<to>\w{3}) )?(?P<end>\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class Blackout:
    """`text` as it was written, New York time. It begins `start_s` into the day or week that repeats every
    `period_s`, and lasts `length_s`."""

    text: str
    start_s: int
    length_s: int
    period_s: int

    def covers(self, now: datetime) -> bool:
        local = now.astimezone(NEW_YORK)
        of_week_s = local.weekday() * _DAY_S + local.hour * 3600 + local.minute * 60 + local.second
        return (of_week_s - self.start_s) % self.period_s < self.length_s


def read_blackout(text: str) -> Blackout:
    """`23:40-01:45` is every night, `Fri 22:55-Sat 03:00` once a week. Raises ValueError for other words."""
    found = _TEXT.fullmatch(text.strip())
    day, to = (found["day"], found["to"]) if found else (None, None)
    if not found or (day is None) != (to is None) or not {day, to} <= {None, *_DAYS}:
        raise ValueError(f'{text!r} is no time of day or week: write "23:40-01:45" or "Fri 22:55-Sat 03:00"')
    period_s = _DAY_S if day is None else 7 * _DAY_S
    start_s, end_s = _seconds(day, found["start"]), _seconds(to, found["end"])
    if start_s == end_s:
        raise ValueError(f"{text!r} begins when it ends: write two different times")
    return Blackout(text.strip(), start_s, (end_s - start_s) % period_s, period_s)


def blackout_at(blackouts: Iterable[Blackout], now: datetime) -> str:
    """The blackout that covers this moment, in words; empty when orders may be sent."""
    return next((f"{each.text} New York" for each in blackouts if each.covers(now)), "")


def _seconds(day: str | None, time: str) -> int:
    hour, minute = map(int, time.split(":"))
    if hour > 23 or minute > 59:
        raise ValueError(f"{time} is no time of day: write 00:00 to 23:59")
    return (_DAYS.index(day) if day else 0) * _DAY_S + hour * 3600 + minute * 60

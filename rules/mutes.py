"""Mutes: a rule that is right as a rule, and is to let something alone for a while."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from options import NEW_YORK
from rules.rulebook import Mute, Rulebook, Value
from rules.state import BOOK

ON_BOOK = "book"
NAMED_BY = ("position", "strategy", "underlying", "structure")
"""What a mute may name; the first is the column of positions, the others are facts."""


def mute_of(mutes: Iterable[Mute], position: str, facts: Mapping[str, Value], now: datetime) -> Mute | None:
    """The first of the mutes that is in force for this position (BOOK for the book) at `now`."""
    names = [ON_BOOK if position == BOOK else position, *(facts.get(name) for name in NAMED_BY[1:])]
    return next((mute for mute in mutes if mute.on in names and now < mute.until), None)


def ended(book: Rulebook, now: datetime) -> list[Mute]:
    """The mutes that mute nothing any more."""
    return [mute for mute in book.mutes if mute.until <= now]


def told(mute: Mute) -> str:
    """Such as "muted on IWM until the end of 2026-03-20: earnings"."""
    return f"muted on {mute.on} until {_until(mute.until)}: {mute.reason}"


def _until(time: datetime) -> str:
    """The time as New York has it; a day's end is named by that day."""
    local = time.astimezone(NEW_YORK)
    if (local.hour, local.minute, local.second) == (0, 0, 0):
        return f"the end of {local.date() - timedelta(days=1)}"
    return f"{local:%Y-%m-%d %H:%M} New York"

"""A moment of the lake as people write it: a version, a time, or the id of a decision."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo


def read_moment(text: str) -> datetime | int | None:
    """A version ("120") or a time in UTC; None when the text is neither.

    A time is written as ISO has it ("2026-02-04 10:31"). It is UTC, unless it says otherwise with an offset
    ("2026-02-04T10:31-05:00") or, at its end, a zone ("2026-02-04 10:31 America/New_York").
    """
    if text.isdecimal() and text.isascii():
        return int(text)
    words, _, zone = text.rpartition(" ")
    return _time(text, "UTC") or _time(words, zone)


def in_utc(time: datetime) -> datetime:
    """The same moment in UTC; one without zone is UTC already. Raises OverflowError at the calendar's end."""
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def _time(text: str, zone: str) -> datetime | None:
    """`text` in `zone` (an offset of its own goes first); None when either is none."""
    try:
        time = datetime.fromisoformat(text)
        return in_utc(time if time.tzinfo else time.replace(tzinfo=ZoneInfo(zone)))
    except (ValueError, OverflowError, KeyError, OSError):
        # ZoneInfo raises KeyError for a zone it does not know, OSError for a folder of zones.
        return None

"""Time is handed in: nothing below the daemon reads the wall clock."""

from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")


class Clock(Protocol):
    """Where a part of the house gets the time from."""

    def now(self) -> datetime:
        """The present moment, timezone-aware UTC."""
        ...

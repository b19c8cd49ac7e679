"""When the daemon beats: by the wall clock, or in lock-step with the simulated gateway."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from options import Clock


class Pulse(Clock, Protocol):
    """A clock that also says when the next cycle is due."""

    @property
    def ended(self) -> bool:
        """Whether no further market data will come (a replay has run out)."""
        ...

    async def next_beat(self, wake: datetime | None) -> datetime:
        """Wait for the next cycle and return its time; `wake` is the latest moment the caller needs."""
        ...


@dataclass(slots=True)
class SystemPulse:
    """The wall clock, one beat every `beat_s` seconds or at `wake`, whichever is sooner."""

    beat_s: float
    ended: bool = False

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def next_beat(self, wake: datetime | None) -> datetime:
        pause = self.beat_s
        if wake is not None:
            pause = min(pause, max(0.0, (wake - self.now()).total_seconds()))
        await asyncio.sleep(pause)
        return self.now()

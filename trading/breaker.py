"""Whether the book may trade: the owner's brake, restored from its journal after a restart.

`armed` trades. `halted` opens nothing and keeps protecting (closing); `frozen` sends nothing at all.
Only a human moves between them, always with a reason.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class BreakerState(StrEnum):
    ARMED = "armed"
    HALTED = "halted"
    FROZEN = "frozen"


@dataclass(frozen=True, slots=True)
class Breaker:
    """The brake as it stands: since when, by whom and why."""

    state: BreakerState = BreakerState.ARMED
    reason: str = ""
    actor: str = ""
    since: datetime | None = None

    @property
    def allows_opening(self) -> bool:
        return self.state is BreakerState.ARMED

    @property
    def allows_closing(self) -> bool:
        return self.state is not BreakerState.FROZEN

    def row(self) -> dict[str, Any]:
        """The state as a row of the lake's `breaker` table."""
        event = "human_reset" if self.state is BreakerState.ARMED else "human_halt"
        return {"event": event, "state": self.state.value, "actor": self.actor, "reason": self.reason}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Breaker":
        return cls(BreakerState(row["state"]), row["reason"], row["actor"], row["time"])

"""Whether the disk keeps up: what keeps the book from opening anything new, in words.

Entries stop before the lake does; protection goes on, and nothing that was acknowledged is dropped. The
stop begins and ends by itself and leaves the breaker alone.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from daemon.settings import LakeSettings

ACTOR = "lake"
STOPPED, RELEASED = "lake_stop", "lake_release"
EASED = 0.8
"""A stop ends when its cause is below this part of the limit, so that it does not begin anew at once."""
MB = 1_000_000
COMMITS_WITHIN_S = 60.0
FEWEST_COMMITS = 5


class Cause(StrEnum):
    DISK = "disk"
    JOURNAL = "journal"
    FLUSH = "flush"
    COMMIT = "commit"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Vitals:
    """How the lake does now. `commit_s` is what `CommitTimes.slow_s` says; `flush_age_s` the time since
    everything was last flushed; `refusal` why commits fail or leave pictures out, empty when they don't;
    `free_bytes` None when unknown."""

    free_bytes: int | None
    journal_bytes: int
    flush_age_s: float
    commit_s: float | None = None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Pressure:
    """Why entries are stopped, by cause; no reasons, no stop. A reason keeps the words it began with."""

    reasons: Mapping[Cause, str] = field(default_factory=dict)

    @property
    def stops_entries(self) -> bool:
        return bool(self.reasons)

    def __str__(self) -> str:
        return "; ".join(self.reasons.values())

    def row(self, mode: str) -> dict[str, Any]:
        """Its beginning or end as a row of the `breaker` table; the breaker
        stands where it stood."""
        event = STOPPED if self.stops_entries else RELEASED
        return {"event": event, "state": mode, "actor": ACTOR, "reason": str(self) or "it is well"}


def pressure(vitals: Vitals, limits: LakeSettings, before: Pressure) -> Pressure:
    """What weighs on the lake now, given what did before. What is not known begins no stop and ends none."""
    stood = before.reasons
    return Pressure(
        {
            cause: stood.get(cause, words)
            for cause, (part, words) in _loads(vitals, limits).items()
            if (cause in stood if part is None else part > (EASED if cause in stood else 1.0))
        }
    )


def _loads(vitals: Vitals, limits: LakeSettings) -> dict[Cause, tuple[float | None, str]]:
    """For each cause the part of its limit that is used up (None: unknown), and what to say when it is more
    than all."""
    free, room = vitals.free_bytes, limits.min_free_mb * MB
    return {
        Cause.DISK: (
            None if free is None else room / max(free, 1),
            f"the disk is nearly full: less than {limits.min_free_mb} MB free, make room",
        ),
        Cause.JOURNAL: (
            vitals.journal_bytes / (limits.max_journal_mb * MB),
            f"the journal is over {limits.max_journal_mb} MB: it is not flushed fast enough",
        ),
        Cause.FLUSH: (
            vitals.flush_age_s / limits.flush_late_s,
            f"the journal was not flushed for {limits.flush_late_s:g} s",
        ),
        Cause.COMMIT: (
            None if vitals.commit_s is None else vitals.commit_s / limits.slow_commit_s,
            f"the disk is slow: commits take over {limits.slow_commit_s:g} s",
        ),
        Cause.REFUSED: (2.0 if vitals.refusal else 0.0, vitals.refusal),
    }


class CommitTimes:
    """How long the recent commits took."""

    def __init__(self) -> None:
        self._took: deque[tuple[float, float]] = deque(maxlen=200)

    def add(self, moment_s: float, took_s: float) -> None:
        """`moment_s` on a clock that only goes forward."""
        self._took.append((moment_s, took_s))

    def age_s(self, moment_s: float) -> float | None:
        """Seconds since the last commit; None before the first."""
        return round(moment_s - self._took[-1][0], 3) if self._took else None

    def slow_s(self, moment_s: float) -> float | None:
        """Nine of ten commits of the last minute were not slower, where those are few all but one of the
        last five; None when there were no five yet."""
        within = sum(moment_s - moment <= COMMITS_WITHIN_S for moment, _ in self._took)
        recent = sorted(took for _, took in list(self._took)[-max(within, FEWEST_COMMITS) :])
        if len(recent) < FEWEST_COMMITS:
            return None
        return recent[min(int(0.9 * len(recent)), len(recent) - 2)]

"""How the marks are doing: how they were got, what is flagged, how wrong the model is; told and recorded."""

import asyncio
from dataclasses import asdict
from datetime import datetime
from typing import Any

import polars as pl

from daemon.account_state import AccountState
from daemon.mark_metrics import MarkMetrics
from daemon.records import Records
from sync import tables
from sync.mark_errors import ErrorFigures

NAN = float("nan")


class MarkWatch:
    """Records the marks and how wrong they were, with everything else that is recorded."""

    def __init__(self, state: AccountState, records: Records, metrics: MarkMetrics) -> None:
        self._state = state
        self._records = records
        self._metrics = metrics
        self._visits = 0
        self._status: dict[str, Any] = {}

    def status(self) -> dict[str, Any]:
        """As last recorded: contracts by state, flagged ones, median errors; for the control API."""
        return self._status

    async def record(self, now: datetime) -> None:
        """In a thread: thousands of contracts take more than the loop may be kept."""
        frame, states, flags, errors = await asyncio.to_thread(self._look, now)
        metrics = self._metrics
        self._records.add_frame("snapshots", tables.snapshots(frame))
        self._records.add_frame("mark_errors", self._state.marks.errors.take())
        self._status = {"contracts": states, "flagged": flags, "errors": asdict(errors)}
        for name, count in states.items():
            metrics.contracts.labels(name).set(count)
        for name, count in flags.items():
            metrics.flagged.labels(name).set(count)
        metrics.visits.inc(errors.visits - self._visits)
        self._visits = errors.visits
        for gauge, value in (
            (metrics.error_ratio, errors.median_ratio),
            (metrics.error_ticks, errors.median_ticks),
            (metrics.delta_error, errors.median_delta),
            (metrics.within, errors.within),
        ):
            gauge.set(NAN if value is None else value)

    def _look(self, now: datetime) -> tuple[pl.DataFrame, dict[str, int], dict[str, int], ErrorFigures]:
        state, marks = self._state, self._state.marks
        frame = marks.frame(now, [*state.lines.open_lines, *sorted(state.worker.take_seen())])
        return frame, *marks.counts(now), marks.errors.figures()

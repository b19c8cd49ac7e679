"""Looks after the lake beside the cycles: flushes it, and stops entries while its disk does not keep up."""

import asyncio
import contextlib
import shutil
import time as stopwatch
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import structlog

from daemon.caretaker import Caretaker
from daemon.clock import Pulse
from daemon.console import Console
from daemon.engine import Engine
from daemon.lake_metrics import LakeMetrics
from daemon.pressure import Pressure, Vitals, pressure
from daemon.settings import Settings
from lake import Lake, LakeHealth
from options import LakeError
from sync.tables import Alert, Severity

log = structlog.get_logger()

FLUSH_AT_MOST_EVERY_S = 5.0
LOOK_EVERY_S = 1.0
FLUSHES_GROWING = 5
ROWS_GROWING = 10_000
MANY_FILES = 2_000
"""Below so many small files of a table their part of all says nothing: the day's own are always small."""


def queue_grows(left: Sequence[int]) -> bool:
    """Whether flush after flush left more rows in the journal: more is committed than can be flushed."""
    recent = list(left)[-FLUSHES_GROWING:]
    rises = all(before < after for before, after in pairwise(recent))
    return len(recent) == FLUSHES_GROWING and rises and recent[-1] > ROWS_GROWING


class LakeWatch:
    """Two tasks over one lake, `flush` and `look_on`; what they find is in `status` and in the metrics."""

    def __init__(
        self,
        home: Path,
        lake: Lake,
        settings: Settings,
        engine: Engine,
        pulse: Pulse,
        metrics: LakeMetrics,
        console: Console,
        caretaker: Caretaker,
    ) -> None:
        self.caretaker = caretaker
        self.flush_soon = asyncio.Event()
        self._home = home
        self._lake = lake
        self._settings = settings
        self._engine = engine
        self._pulse = pulse
        self._metrics = metrics
        self._console = console
        self._flushed_s = stopwatch.monotonic()
        self._left: deque[int] = deque(maxlen=FLUSHES_GROWING)
        self._flush_error = ""
        self._vitals = Vitals(None, 0, 0.0)
        self._since: datetime | None = None
        self._health: LakeHealth | None = None

    async def flush(self) -> None:
        """Bring the journal into Delta now and then; sooner when orders are at work."""
        every_s = self._settings.sync.flush_every_s
        await self._see_health()
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.flush_soon.wait(), every_s)
            self.flush_soon.clear()
            await self._flush_once()
            await asyncio.sleep(FLUSH_AT_MOST_EVERY_S)

    async def _flush_once(self) -> None:
        alerts, started = self._engine.alerts, stopwatch.monotonic()
        try:
            await asyncio.to_thread(self._lake.flush)
        except LakeError as error:
            self._flush_error = str(error)
            self._metrics.flush_failures.inc()
            log.warning("flush.failed", error=str(error))
            alerts.raise_(Alert(Severity.CRITICAL, "lake", "flush", str(error)), self._pulse.now())
            # The room for it may be there soon, and a full journal is worse than one more try.
            self.flush_soon.set()
            return
        self._flush_error = ""
        self._flushed_s = stopwatch.monotonic()
        self._metrics.flush_seconds.observe(self._flushed_s - started)
        self._metrics.flushes.inc()
        alerts.clear("lake", "flush")
        self._left.append(self._lake.unflushed_rows)
        if queue_grows(self._left):
            text = f"more is recorded than can be flushed: {self._left[-1]:,} rows wait in the journal"
            alerts.raise_(Alert(Severity.WARNING, "lake", "queue", text), self._pulse.now())
        else:
            alerts.clear("lake", "queue")
        await self._see_health()

    async def _see_health(self) -> None:
        """Count versions and files, for metrics, status and alerts."""
        try:
            health = await asyncio.to_thread(self._lake.health)
        except LakeError as error:
            log.warning("health.unknown", error=str(error))
            return
        self._health = health
        metrics, alerts, now = self._metrics, self._engine.alerts, self._pulse.now()
        many = []
        for name, table in health.tables.items():
            ratio = table.small_files / table.files if table.files else 0.0
            metrics.versions.labels(name).set(table.version)
            metrics.files.labels(name).set(table.files)
            metrics.small_file_ratio.labels(name).set(ratio)
            metrics.bytes.labels(name).set(table.bytes)
            metrics.rows.labels(name).set(table.rows)
            metrics.trouble.labels(name).set(table.trouble is not None)
            if ratio > self._settings.lake.max_small_file_ratio and table.small_files > MANY_FILES:
                many.append(name)
            if table.undone:
                text = f"{table.undone} changes by another program were undone, nothing is lost: what was it?"
                alerts.raise_(Alert(Severity.WARNING, "lake_undone", name, text), now)
            if table.trouble:
                alerts.raise_(Alert(Severity.CRITICAL, "lake_table", name, table.trouble), now)
        alerts.clear_except("lake_table", {name for name, table in health.tables.items() if table.trouble})
        if many:
            text = f"small files fill {', '.join(many)}: optiond lake upkeep puts them together"
            alerts.raise_(Alert(Severity.WARNING, "lake", "small_files", text), now)
        else:
            alerts.clear("lake", "small_files")

    async def look_on(self) -> None:
        """See how the disk does, every second."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """See how the disk does, and stop entries or let them go on."""
        free = await asyncio.to_thread(_free_bytes, self._home)
        now_s = stopwatch.monotonic()
        late_s = now_s - self._flushed_s - self._settings.sync.flush_every_s
        self._vitals = Vitals(
            free_bytes=free,
            journal_bytes=self._lake.journal_bytes,
            flush_age_s=max(0.0, late_s),
            commit_s=self._engine.commit_times.slow_s(now_s),
            refusal=self._engine.lake_refusal or self._engine.pictures_refusal,
        )
        state = self._engine.state
        self._press(pressure(self._vitals, self._settings.lake, state.pressure))
        self._show(now_s)

    def _press(self, found: Pressure) -> None:
        """Take up what weighs on the lake: a row and a line when entries stop or go on, alerts by cause."""
        state, now = self._engine.state, self._pulse.now()
        before, state.pressure = state.pressure, found
        alerts = self._engine.alerts
        for cause, words in found.reasons.items():
            alerts.raise_(Alert(Severity.CRITICAL, "lake_pressure", cause.value, words), now)
        alerts.clear_except("lake_pressure", {cause.value for cause in found.reasons})
        if found.stops_entries == before.stops_entries:
            return
        self._since = now if found.stops_entries else None
        row = found.row(state.breaker.mode.value)
        self._engine.records.add("breaker", row)
        log.warning("entries.stopped" if found.stops_entries else "entries.released", reason=row["reason"])
        self._console.say(
            f"LAKE: nothing new is opened, protection goes on: {found}"
            if found.stops_entries
            else "the lake is well again: entries are allowed",
            now,
        )

    def _show(self, now_s: float) -> None:
        metrics, vitals = self._metrics, self._vitals
        metrics.free_bytes.set(float("nan") if vitals.free_bytes is None else vitals.free_bytes)
        metrics.unflushed_commits.set(self._lake.unflushed_commits)
        metrics.journal_bytes.set(vitals.journal_bytes)
        metrics.flush_age_seconds.set(now_s - self._flushed_s)
        age_s = self._engine.commit_times.age_s(now_s)
        metrics.commit_age_seconds.set(float("nan") if age_s is None else age_s)
        metrics.entries_stopped.set(self._engine.state.pressure.stops_entries)

    def status(self) -> dict[str, Any]:
        """The lake's part of `GET /status`."""
        flushed, vitals = self._lake.last_flush, self._vitals
        tables = self._health.tables.values() if self._health else ()
        weighs, now_s = self._engine.state.pressure, stopwatch.monotonic()
        return {
            "seq": self._lake.seq,
            "unflushed_rows": self._lake.unflushed_rows,
            "last_flush": flushed.isoformat() if flushed else None,
            "flush_age_s": round(now_s - self._flushed_s, 1),
            "commit_age_s": self._engine.commit_times.age_s(now_s),
            "flush_error": self._flush_error or None,
            "journal_bytes": vitals.journal_bytes,
            "free_bytes": vitals.free_bytes,
            "entries_stopped": weighs.stops_entries,
            "entries_stopped_since": self._since.isoformat() if self._since else None,
            "pressure": {cause.value: words for cause, words in weighs.reasons.items()},
            "files": sum(table.files for table in tables) if tables else None,
            "small_files": sum(table.small_files for table in tables) if tables else None,
            "upkeep": self.caretaker.status(),
        }


def _free_bytes(home: Path) -> int | None:
    """None when the disk does not tell."""
    try:
        return shutil.disk_usage(home).free
    except OSError:
        return None

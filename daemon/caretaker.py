"""Has the lake's upkeep done when it is due, or when somebody asks, and tells how it goes."""

import asyncio
import contextlib
import threading
import time as stopwatch
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from daemon import upkeep
from daemon.clock import Pulse
from daemon.console import Console
from daemon.engine import Engine
from daemon.lake_metrics import LakeMetrics
from daemon.settings import LakeSettings
from lake import Lake, LakeHistory, Step, UpkeepReport
from options import LakeError, OptiondError, SettingsError
from sync.tables import Alert, Severity

log = structlog.get_logger()

LOOK_EVERY_S = 0.25
LEAVE_WITHIN_S = 1.0
RETRY_AFTER = timedelta(hours=1)


class Caretaker:
    """One task over one lake. Without `has_nights` the clock may jump from a close to the next opening, as
    that of the simulated market does; upkeep is then done once it has."""

    def __init__(
        self,
        home: Path,
        lake: Lake,
        settings: LakeSettings,
        engine: Engine,
        pulse: Pulse,
        metrics: LakeMetrics,
        console: Console,
        has_nights: bool,
    ) -> None:
        self._home = home
        self._lake = lake
        self._settings = settings
        self._engine = engine
        self._pulse = pulse
        self._metrics = metrics
        self._console = console
        self._has_nights = has_nights
        self._after = timedelta(minutes=settings.upkeep_after_close_min)
        self._last: datetime | None = None
        self._tried: datetime | None = None
        self._since: datetime | None = None
        self._skipped = False
        self._asked = False
        self._any_hour = False
        self._step: Step | None = None
        self._outcome: dict[str, Any] | None = None
        self._stop = threading.Event()
        self._running = False
        self._thread: threading.Thread | None = None

    async def run(self) -> None:
        """Look again and again whether it is due; ends a run under way when it is cancelled."""
        self._last = await asyncio.to_thread(_last_upkeep, self._lake)
        self._since = self._last or self._pulse.now()
        if self._last is not None:
            self._metrics.upkeep_time.set(self._last.timestamp())
        before = self._pulse.now()
        try:
            while True:
                now = self._pulse.now()
                if not self._has_nights and upkeep.was_skipped(before, now, self._after):
                    self._skipped = True
                before = now
                if not self._why_not(now):
                    await self._perform(now)
                self._watch_over(now)
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            self._stop.set()

    async def leave(self) -> None:
        """Wait a little for a run that was told to stop; what it does not finish the next one does."""
        self._stop.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, LEAVE_WITHIN_S)

    def ask(self, whatever_the_hour: bool) -> None:
        """Have it done now. Raises SettingsError, saying why, when it may not be."""
        now = self._pulse.now()
        if self._running:
            return
        if not (whatever_the_hour or upkeep.is_quiet(now)):
            raise SettingsError("the market is open or about to open: wait for the close, or add --now")
        if self._is_at_work():
            raise SettingsError("an order is at work: try again when it is settled")
        self._asked, self._any_hour, self._outcome = True, whatever_the_hour, None

    def status(self) -> dict[str, Any]:
        """How it goes: `running`, `step`, `last` (the daemon's time of the last whole one), and what came of
        the last run."""
        return {
            "running": self._running or self._asked,
            "step": asdict(self._step) if self._step else None,
            "last": self._last.isoformat() if self._last else None,
            "outcome": self._outcome,
        }

    # --- whether -----------------------------------------------------------------------------------

    def _is_at_work(self) -> bool:
        return bool(self._engine.state.desk.open_intents) or not self._engine.state.roller.is_idle

    def _why_not(self, now: datetime) -> str:
        """Why no run begins, or goes on; empty when nothing is against it."""
        if self._is_at_work():
            return "an order is at work"
        if self._asked:
            return ""
        if not self._settings.upkeep:
            return "it is turned off"
        if self._tried is not None and now - self._tried < RETRY_AFTER:
            return "it failed a while ago"
        if self._skipped or upkeep.is_due(now, self._last, self._after):
            return ""
        return "it is not due"

    def _why_stop(self) -> str:
        if self._is_at_work():
            return "an order is at work"
        if not (self._any_hour or self._skipped) and not upkeep.is_quiet(self._pulse.now()):
            return "the market opens soon"
        return ""

    # --- doing it ------------------------------------------------------------------------------------

    async def _perform(self, now: datetime) -> None:
        self._stop.clear()
        self._running, self._outcome = True, None
        self._metrics.upkeep_running.set(1)
        started, reason = stopwatch.monotonic(), ""
        log.info("upkeep.begun", asked=self._asked)
        work = self._in_thread(lambda: self._keep_up(now))
        try:
            while not work.done():
                reason = reason or self._why_stop()
                if reason:
                    self._stop.set()
                await asyncio.wait({work}, timeout=LOOK_EVERY_S)
            self._tell(work.result(), reason, stopwatch.monotonic() - started)
        except OptiondError as error:
            self._failed(str(error), now)
        finally:
            self._running, self._step = False, None
            # What was asked for and stopped is not begun again behind the asker's back.
            self._asked = self._any_hour = False
            self._metrics.upkeep_running.set(0)

    def _in_thread(self, work: Callable[[], UpkeepReport]) -> "asyncio.Future[UpkeepReport]":
        """The work in a thread that the end of the process does not wait for: it may be cut off anywhere."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[UpkeepReport] = loop.create_future()

        def run() -> None:
            try:
                report = work()
            except BaseException as error:  # noqa: BLE001
                # All of them, also the panics of a library: nobody else would hear of the end of it.
                broken = LakeError(f"the upkeep broke off: {error!r}")
                failed = error if isinstance(error, OptiondError) else broken
                tell = partial(_settle, done, None, failed)
            else:
                tell = partial(_settle, done, report, None)
            # Nobody is left to be told when the daemon has ended meanwhile.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(tell)

        self._thread = threading.Thread(target=run, name="upkeep", daemon=True)
        self._thread.start()
        return done

    def _keep_up(self, now: datetime) -> UpkeepReport:
        retention = timedelta(days=self._settings.retention_days)
        keep = pinned(self._home, self._settings)
        return self._lake.upkeep(now, self._note, self._stop, retention, keep)

    def _note(self, step: Step) -> None:
        self._step = step

    def _tell(self, report: UpkeepReport, reason: str, took_s: float) -> None:
        self._outcome = outcome_of(report, reason, took_s)
        figures = {name: self._outcome[name] for name in ("files_before", "files_after", "took_s")}
        if not report.is_finished:
            log.info("upkeep.stopped", reason=reason, **figures)
            self._metrics.upkeeps.labels("stopped").inc()
            return
        if report.trouble:
            self._failed(report.trouble, report.time)
            return
        self._last = self._since = report.time
        self._skipped = False
        self._metrics.upkeep_seconds.set(took_s)
        self._metrics.upkeep_time.set(report.time.timestamp())
        self._metrics.upkeeps.labels("done").inc()
        self._engine.alerts.clear("lake", "upkeep")
        log.info("upkeep.done", time=report.time, **figures)
        files = f"{figures['files_before']} → {figures['files_after']} files"
        self._console.say(f"upkeep of the lake done: {files} in {took_s:.1f} s", report.time)

    def _failed(self, why: str, now: datetime) -> None:
        self._tried = now
        self._outcome = {**(self._outcome or {"finished": False, "tables": []}), "error": why}
        self._metrics.upkeeps.labels("failed").inc()
        log.warning("upkeep.failed", error=why)
        self._engine.alerts.raise_(Alert(Severity.WARNING, "lake", "upkeep", why), now)

    def _watch_over(self, now: datetime) -> None:
        """An alert when it was not done for days."""
        since = self._since or now
        overdue = self._settings.upkeep and upkeep.is_overdue(now, since, self._after)
        self._metrics.upkeep_overdue.set(overdue)
        if overdue:
            text = f"upkeep was not done for {upkeep.CLOSES_MISSED} closes: optiond lake upkeep does it"
            self._engine.alerts.raise_(Alert(Severity.WARNING, "lake", "upkeep_overdue", text), now)
        else:
            self._engine.alerts.clear("lake", "upkeep_overdue")


def _last_upkeep(lake: Lake) -> datetime | None:
    try:
        return lake.health().last_upkeep
    except LakeError as error:
        log.warning("health.unknown", error=str(error))
        return None


def pinned(home: Path, settings: LakeSettings) -> list[int]:
    """The versions of the lake that the pinned moments mean. Raises LakeError for one that means none."""
    if not settings.pins:
        return []
    history = LakeHistory.open(home)
    return [history.seq_of(pin) for pin in settings.pins]


def outcome_of(report: UpkeepReport, reason: str, took_s: float) -> dict[str, Any]:
    """A report fit for JSON; `reason`: why it was stopped."""
    return {
        "finished": report.is_finished,
        "reason": reason or None,
        "error": report.trouble or None,
        "files_before": sum(table.files_before for table in report.tables),
        "files_after": sum(table.files_after for table in report.tables),
        "took_s": round(took_s, 3),
        "tables": [asdict(table) for table in report.tables],
    }


def _settle(
    done: "asyncio.Future[UpkeepReport]", report: UpkeepReport | None, error: Exception | None
) -> None:
    if done.done():
        return
    if error is not None:
        done.set_exception(error)
    elif report is not None:
        done.set_result(report)

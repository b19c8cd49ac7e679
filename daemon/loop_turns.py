"""How long the event loop is away from its sockets: every turn timed, and what held a long one up.

A turn is all that runs between two looks at the sockets. Nobody is served meanwhile, so none should take
longer than `LIMIT_S`.
"""

import asyncio
import gc
import selectors
import signal
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import date, datetime
from itertools import accumulate
from types import FrameType
from typing import Any, TypeVar

from prometheus_client import Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from options.hours import closes_early

T = TypeVar("T")

LIMIT_S = 0.005
LOOK_AFTER_S, LOOK_EVERY_S = 0.003, 0.001
"""When an alarm looks at what a turn is at: seldom in short ones, for it costs some microseconds."""
PROBE_EVERY_S = 0.1
BREATH_S = 0.002
BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
COLLECTING = "garbage collection"
WAITING = "waiting for the processor"
UNKNOWN = "unknown"
_ROOMS = frozenset({"broker", "daemon", "lake", "options", "rules", "sync", "trading"})


class LoopTurns(Collector):
    """The turns that were timed, for Prometheus and for the status.

    `longest_s` of the wall's time and `longest_by`; `longest_own_s` of the loop's own processor time, which
    other programs of a busy machine don't add to, and `longest_own_by`, empty while it is within the limit.
    `blocked` counts the turns over the limit by what held them up: waiting, where their own work was within
    it (for another thread that holds the interpreter, or for a processor), else garbage collection or a
    function of ours.
    """

    def __init__(self) -> None:
        self._began_s = self._own_began_s = 0.0
        self._collecting_since_s = self._collected_s = 0.0
        self._seen: Counter[str] = Counter()
        self._samples = False
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self.total_s = 0.0
        self.longest_s = self.longest_own_s = 0.0
        self.longest_by = self.longest_own_by = ""
        self.blocked: Counter[str] = Counter()

    @property
    def count(self) -> int:
        return sum(self._counts)

    # --- while the loop turns --------------------------------------------------------------------

    def begin(self) -> None:
        """The sockets were looked at; callbacks follow."""
        self._began_s, self._own_began_s = time.perf_counter(), time.thread_time()
        self._collected_s = 0.0
        if self._samples:
            self._seen.clear()
            signal.setitimer(signal.ITIMER_REAL, LOOK_AFTER_S, LOOK_EVERY_S)

    def end(self) -> None:
        """All callbacks are done."""
        if not self._began_s:
            return
        if self._samples:
            signal.setitimer(signal.ITIMER_REAL, 0)
        took_s = time.perf_counter() - self._began_s
        own_s = time.thread_time() - self._own_began_s
        self._counts[bisect_left(BOUNDS_S, took_s)] += 1
        self.total_s += took_s
        by = self._culprit(own_s) if took_s > LIMIT_S else ""
        if own_s > self.longest_own_s:
            self.longest_own_s, self.longest_own_by = own_s, by if own_s > LIMIT_S else ""
        if not by:
            return
        self.blocked[by] += 1
        if took_s > self.longest_s:
            self.longest_s, self.longest_by = took_s, by

    def _culprit(self, own_s: float) -> str:
        if own_s <= LIMIT_S:
            return WAITING
        return COLLECTING if self._collected_s > own_s / 2 else self._most_seen()

    def _most_seen(self) -> str:
        return self._seen.most_common(1)[0][0] if self._seen else UNKNOWN

    # --- what a long turn is at ------------------------------------------------------------------

    def watch(self) -> None:
        """Find out what holds turns up. Only the main thread can, and only one loop at a time: an alarm
        that goes off again and again in a long turn sees which function it is in most."""
        gc.callbacks.append(self._collects)
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL:
            signal.signal(signal.SIGALRM, self._look)
            signal.siginterrupt(signal.SIGALRM, False)
            self._samples = True

    def leave(self) -> None:
        self._began_s = 0.0
        gc.callbacks.remove(self._collects)
        if self._samples:
            self._samples = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def _look(self, _: int, frame: FrameType | None) -> None:
        self._seen[_place(frame)] += 1

    def _collects(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._collecting_since_s = time.perf_counter()
        else:
            self._collected_s += time.perf_counter() - self._collecting_since_s

    # --- what is told ----------------------------------------------------------------------------

    def collect(self) -> Iterator[Metric]:
        bounds = [*(str(bound) for bound in BOUNDS_S), "+Inf"]
        yield HistogramMetricFamily(
            "optiond_loop_turn_seconds",
            "Time between two looks at the sockets",
            list(zip(bounds, accumulate(self._counts), strict=True)),
            self.total_s,
        )
        yield GaugeMetricFamily(
            "optiond_loop_longest_turn_seconds", "The longest of them since the start", self.longest_s
        )
        blocked = CounterMetricFamily(
            "optiond_loop_blocked", "Turns of the loop over 5 ms, by what held them up", labels=["by"]
        )
        for by, times in self.blocked.items():
            blocked.add_metric([by], times)
        yield blocked

    def status(self) -> dict[str, object]:
        return {
            "turns": self.count,
            "blocked": self.blocked.total(),
            "longest_ms": self.longest_s * 1e3,
            "longest_by": self.longest_by or None,
            "longest_own_ms": self.longest_own_s * 1e3,
            "longest_own_by": self.longest_own_by or None,
        }


def _place(frame: FrameType | None) -> str:
    """The innermost function of ours that runs, as `room.module.function`; else the innermost at all."""
    innermost = frame
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] in _ROOMS and module != __name__:
            return f"{module}.{frame.f_code.co_name}"
        frame = frame.f_back
    return f"{innermost.f_globals.get('__name__')}.{innermost.f_code.co_name}" if innermost else UNKNOWN


class _TimedSelector(selectors.DefaultSelector):
    turns: LoopTurns | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.turns is not None:
            self.turns.end()
        found = super().select(timeout)
        if self.turns is not None:
            self.turns.begin()
        return found


class TimedLoop(asyncio.SelectorEventLoop):
    """An event loop whose turns can be timed."""

    def __init__(self) -> None:
        self._timed = _TimedSelector()
        super().__init__(self._timed)

    @contextmanager
    def timing(self, turns: LoopTurns) -> Iterator[None]:
        """Time the turns from here to the end."""
        self._timed.turns = turns
        turns.watch()
        try:
            yield
        finally:
            turns.leave()
            self._timed.turns = None


class Breather:
    """Lets the rest of the daemon in between the parts of long work on the loop, every `BREATH_S`."""

    def __init__(self) -> None:
        self._since_s = time.perf_counter()

    async def take(self) -> None:
        """To be called after each part."""
        if time.perf_counter() - self._since_s >= BREATH_S:
            await asyncio.sleep(0)
            self._since_s = time.perf_counter()


async def probe(lag: Gauge, lateness: Histogram) -> None:
    """Ten times a second, tell how late the running loop is."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + PROBE_EVERY_S
        await asyncio.sleep(PROBE_EVERY_S)
        lag_s = max(0.0, loop.time() - due)
        lag.set(lag_s)
        lateness.observe(lag_s)


def make_ready(now: datetime) -> None:
    """Do at once, while nobody waits for the loop yet, what would hold it up for a tenth of a second later:
    look the holidays up from the year that is asked of the past to the last expiries, and set aside for good
    what the collector would go through."""
    for year in range(now.year - 2, now.year + 4):
        closes_early(date(year, 1, 1))
    gc.collect()
    gc.freeze()


def run(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, in a loop whose turns can be timed."""
    with asyncio.Runner(loop_factory=TimedLoop) as runner:
        return runner.run(main)


def timing(turns: LoopTurns) -> AbstractContextManager[None]:
    """Time the turns of the running loop, where it can be."""
    loop = asyncio.get_running_loop()
    return loop.timing(turns) if isinstance(loop, TimedLoop) else nullcontext()

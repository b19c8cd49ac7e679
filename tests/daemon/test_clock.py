"""When the daemon beats by the wall clock, in a loop whose time is leapt over instead of waited for."""

import asyncio
import itertools
import selectors
from collections.abc import Coroutine
from typing import Any

import pytest

from daemon.clock import LEAST_GAP_S, SystemPulse


class LeapingLoop(asyncio.SelectorEventLoop):
    """Where it would wait, its time is that much later at once."""

    def __init__(self) -> None:
        self.leapt_s = 0.0
        super().__init__(_LeapingSelector(self))

    def time(self) -> float:
        return self.leapt_s


class _LeapingSelector(selectors.DefaultSelector):
    def __init__(self, loop: LeapingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.leapt_s += timeout or 0.0
        return super().select(0)


def run(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        runner.run(work)


def now_s() -> float:
    return asyncio.get_running_loop().time()


def test_beats_keep_their_distance_whatever_a_beat_takes() -> None:
    async def beat() -> None:
        pulse, began = SystemPulse(0.25), []
        for work_s in (0.0, 0.1, 0.2, 0.24, 0.05):
            await pulse.next_beat(None)
            began.append(now_s())
            await asyncio.sleep(work_s)
        gaps = [later - sooner for sooner, later in itertools.pairwise(began)]
        assert gaps == pytest.approx([0.25] * 4, abs=1e-6)

    run(beat())


def test_a_beat_that_takes_too_long_is_followed_by_the_next_after_a_breath() -> None:
    async def beat() -> None:
        pulse = SystemPulse(0.25)
        await pulse.next_beat(None)
        began = now_s()
        await asyncio.sleep(0.4)
        await pulse.next_beat(None)
        assert now_s() - began == pytest.approx(0.405, abs=1e-6)

    run(beat())


def test_a_beat_comes_sooner_when_it_is_wanted_sooner() -> None:
    async def beat() -> None:
        pulse = SystemPulse(5.0)
        await pulse.next_beat(None)
        began = now_s()
        await pulse.next_beat(pulse.now())
        assert now_s() - began < 0.5

    run(beat())


def test_news_that_cannot_wait_brings_the_next_beat_at_once_but_not_too_close() -> None:
    async def beat() -> None:
        pulse = SystemPulse(5.0)
        await pulse.next_beat(None)
        began = now_s()
        pulse.hurry()
        await pulse.next_beat(None)
        assert now_s() - began == pytest.approx(LEAST_GAP_S, abs=1e-6)
        asyncio.get_running_loop().call_later(0.2, pulse.hurry)
        began = now_s()
        await pulse.next_beat(None)
        assert now_s() - began == pytest.approx(0.2, abs=1e-6)
        began = now_s()
        await pulse.next_beat(None)
        assert now_s() - began == pytest.approx(5.0, abs=1e-6)

    run(beat())

"""When the daemon beats by the wall clock."""

import asyncio
import time

import pytest

from daemon.clock import LEAST_GAP_S, SystemPulse


async def test_beats_keep_their_distance_whatever_a_beat_takes() -> None:
    pulse, beats = SystemPulse(0.1), 8
    await pulse.next_beat(None)
    began = time.monotonic()
    for _ in range(beats):
        await asyncio.sleep(0.06)
        await pulse.next_beat(None)
    # One after the other they would take 1.28 s.
    assert 0.1 * beats - 0.01 <= time.monotonic() - began < 0.1 * beats + 0.3


async def test_a_beat_comes_sooner_when_it_is_wanted_sooner() -> None:
    pulse = SystemPulse(5.0)
    await pulse.next_beat(None)
    began = time.monotonic()
    await pulse.next_beat(pulse.now())
    assert time.monotonic() - began < 1.0


async def test_news_that_cannot_wait_brings_the_next_beat_at_once_but_not_too_close() -> None:
    pulse = SystemPulse(5.0)
    await pulse.next_beat(None)
    began = time.monotonic()
    pulse.hurry()
    await pulse.next_beat(None)
    assert LEAST_GAP_S - 0.005 <= time.monotonic() - began < 1.0
    asyncio.get_running_loop().call_later(0.2, pulse.hurry)
    began = time.monotonic()
    await pulse.next_beat(None)
    assert 0.19 <= time.monotonic() - began < 1.0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pulse.next_beat(None), 0.3)

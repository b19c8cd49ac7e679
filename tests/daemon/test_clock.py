"""When the daemon beats by the wall clock."""

import asyncio
import time

from daemon.clock import SystemPulse


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

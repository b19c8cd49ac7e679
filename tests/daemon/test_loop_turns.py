"""Every turn of the event loop is timed, and what held a long one up is named."""

import asyncio
import json
import subprocess
import sys
import time

from prometheus_client import CollectorRegistry, generate_latest

from daemon import loop_turns
from daemon.loop_turns import LIMIT_S, WAITING, LoopTurns, timing

PROGRAM = """
import asyncio, gc, json, time
from daemon import loop_turns
from daemon.loop_turns import LoopTurns, timing
from options.american import american

def grind(seconds):
    ends = time.thread_time() + seconds
    while time.thread_time() < ends:
        pass

def price():
    ends = time.thread_time() + 0.05
    while time.thread_time() < ends:
        american(100.0, [100.0] * 5_000, 0.5, 0.2, [True] * 5_000, 0.04)

async def main():
    turns = LoopTurns()
    with timing(turns):
        # Several times each: a processor that others use too makes waiting of the one or the other.
        for _ in range(5):
            await asyncio.sleep(0.01)
            grind(0.02)
            await asyncio.sleep(0.01)
            price()
        await asyncio.sleep(0.01)
        time.sleep(0.03)
        await asyncio.sleep(0.01)
        rubbish = [[n] for n in range(400_000)]
        await asyncio.sleep(0.01)
        gc.collect()
        await asyncio.sleep(0.01)
    grind(0.1)
    await asyncio.sleep(0.01)
    return {"blocked": turns.blocked, "longest": turns.longest_s, "own_by": turns.longest_own_by}

print(json.dumps(loop_turns.run(main())))
"""


def test_a_long_turn_is_counted_for_what_held_it_up() -> None:
    # In a program of its own: the alarm belongs to the main thread, and here to the tests' time-outs.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    told = json.loads(done.stdout)
    blocked = told["blocked"]
    assert blocked["__main__.grind"] >= 1
    assert any(by.startswith("options.") for by in blocked)
    assert sum(blocked.values()) >= 12
    assert blocked[WAITING] >= 1
    assert blocked["garbage collection"] >= 1
    assert told["longest"] >= 0.03
    assert told["own_by"] in blocked
    assert told["own_by"] != WAITING


def test_turns_that_are_short_block_nothing() -> None:
    async def main() -> LoopTurns:
        turns = LoopTurns()
        with timing(turns):
            for _ in range(50):
                await asyncio.sleep(0)
        return turns

    turns = loop_turns.run(main())
    assert turns.count >= 49
    assert turns.longest_own_s < LIMIT_S


def test_what_happens_between_two_times_of_timing_counts_for_nothing() -> None:
    async def main() -> LoopTurns:
        turns = LoopTurns()
        for _ in range(3):
            with timing(turns):
                await asyncio.sleep(0)
            ends = time.thread_time() + 0.05
            while time.thread_time() < ends:
                pass
        return turns

    assert loop_turns.run(main()).longest_own_s < 0.05


def test_prometheus_is_told_of_turns_and_of_what_held_them_up() -> None:
    turns, registry = LoopTurns(), CollectorRegistry()
    registry.register(turns)
    # Many short ones: on a machine with other work some of them take long too.
    for pause_s in (*[0.0] * 50, 0.02):
        turns.begin()
        time.sleep(pause_s)
        turns.end()
    told = dict(line.rsplit(" ", 1) for line in generate_latest(registry).decode().splitlines())
    assert float(told['optiond_loop_turn_seconds_bucket{le="0.005"}']) >= 40
    assert float(told['optiond_loop_turn_seconds_bucket{le="+Inf"}']) == 51
    assert float(told[f'optiond_loop_blocked_total{{by="{WAITING}"}}']) >= 1
    assert float(told["optiond_loop_longest_turn_seconds"]) >= 0.02

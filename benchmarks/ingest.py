"""What the daemon takes in beside a bare client of ib_async, and how long it is from a tick to the decision.

The real gateway, the real daemon with 70 lines, and a hose between them that pours the gateway's own ticks.
Both clients get the same kinds of frames from one sender, in turns. What counts most is the processor time a
message costs: on a machine that does other things, messages per second tell about those too.
"""

import asyncio
import itertools
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import stand
from benchmarks.figure import Limited, show_limited
from benchmarks.hose import Hose
from benchmarks.stopwatch import p99

CONDORS = 16
BEAT_MS = 250.0
ROUNDS = 3
WINDOW_S = 6.0
LATENCY_S = 40.0
TOGGLED = 5
STEP_USD = 0.60
_WARM_S = 12.0
_MARKET_SPEED = 10.0
_PATIENCE_S = 5.0
_STARTED_WITHIN_S = 180.0


class Taken(NamedTuple):
    """Messages per second, and microseconds of processor time that each cost the client."""

    per_s: float
    us: float


@dataclass
class Daemon:
    """A running daemon and what it has said. `heard` wakes whoever waits for a line."""

    pid: int
    positions: Mapping[str, list[int]] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    said: list[tuple[float, str]] = field(default_factory=list)
    heard: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def listen(self, program: "subprocess.Popen[str]") -> None:
        assert program.stdout is not None
        while line := await asyncio.to_thread(program.stdout.readline):
            told = json.loads(line)
            match told["kind"]:
                case "positions":
                    self.positions = told["legs"]
                case "status":
                    self.status = told
                case _:
                    async with self.heard:
                        self.said.append((told["at"], told["text"]))
                        self.heard.notify_all()

    async def until_said(self, since: float, *words: str) -> float:
        """When a line with all these words was said; raises TimeoutError."""

        def found() -> float | None:
            lines = itertools.takewhile(lambda line: line[0] >= since, reversed(self.said))
            return next((at for at, text in lines if all(word in text for word in words)), None)

        async with asyncio.timeout(_PATIENCE_S), self.heard:
            await self.heard.wait_for(lambda: found() is not None)
        return found() or 0.0


def toggling_rules() -> str:
    """Two rules that tell on which side of a limit a position is, before the shipped ones."""
    limit = f"${50 * STEP_USD:g}"
    return stand.shadow_rules(
        {"id": "beyond", "when": f"abs(profit_usd) >= {limit}", "do": {"close": "mid"}},
        {"id": "within", "when": f"abs(profit_usd) < {limit}", "do": {"close": "mid"}},
    )


class Stand(NamedTuple):
    """Daemon and bare client at one gateway, each behind its hose. `costs` USD per share by con_id."""

    daemon: Daemon
    ours: Hose
    bare: Hose
    bare_pid: int
    costs: Mapping[int, float]


@asynccontextmanager
async def standing(folder: Path) -> AsyncIterator[Stand]:
    """Everything started, subscribed and warm."""
    costs = stand.write_account(folder / "gateway.sqlite", CONDORS)
    async with AsyncExitStack() as stack:
        ready = stack.enter_context(stand.gateway(folder / "gateway.sqlite", _MARKET_SPEED))
        ours, bare = Hose(ready["port"]), Hose(ready["port"])
        for hose in (ours, bare):
            await hose.open()
            stack.push_async_callback(hose.close)
        stand.write_home(folder / "home", ours.port, toggling_rules())
        program = stack.enter_context(stand.daemon(folder / "home"))
        daemon = Daemon(program.pid)
        listening = asyncio.create_task(daemon.listen(program))
        stack.callback(listening.cancel)
        await _until(lambda: len(ours.lines) >= len(costs) and bool(daemon.positions))
        lines = list(map(str, ours.lines))
        command = [sys.executable, "-m", "benchmarks.bare_client", str(bare.port), *lines]
        client = stack.enter_context(stand.running(command))
        await _until(lambda: len(bare.lines) == len(lines))
        await asyncio.sleep(_WARM_S)
        yield Stand(daemon, ours, bare, client.pid, costs)


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(_STARTED_WITHIN_S):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def taken(hose: Hose, pid: int) -> Taken:
    """What the client behind the hose takes when it gets as much as it can."""
    await hose.pour(1.0)
    used_s, sent = stand.processor_s(pid), hose.sent
    per_s = await hose.pour(WINDOW_S)
    return Taken(per_s, (stand.processor_s(pid) - used_s) / (hose.sent - sent) * 1e6)


async def latencies_ms(standing: Stand, per_s: float, chance: random.Random) -> list[float]:
    """Milliseconds from sending a quote to the decision that follows from it, beside so many messages/s.

    Of some positions every leg is told by hand; the dearest of each goes up and down by a step that takes
    the position beyond a limit and back.
    """
    daemon, hose = standing.daemon, standing.ours
    chosen = dict(list(daemon.positions.items())[:TOGGLED])
    hose.hold(*(con_id for legs in chosen.values() for con_id in legs))
    found: list[float] = []

    def tell(con_id: int, step: float) -> float:
        price = standing.costs[con_id] + step
        return hose.tell(con_id, round(price - 0.01, 2), round(price + 0.01, 2))

    async def toggle(position: str, legs: Sequence[int]) -> None:
        for con_id in legs:
            tell(con_id, 0.0)
        dearest, beyond = max(legs, key=lambda leg: standing.costs[leg]), False
        await asyncio.sleep(2.0)
        while True:
            await asyncio.sleep(chance.uniform(0.0, 0.5))
            beyond = not beyond
            at = tell(dearest, STEP_USD if beyond else 0.0)
            said = await daemon.until_said(at, "shadow", position, "beyond" if beyond else "within")
            found.append((said - at) * 1e3)

    toggling = [asyncio.create_task(toggle(*each)) for each in chosen.items()]
    try:
        await hose.pour(LATENCY_S, per_s)
    finally:
        for task in toggling:
            task.cancel()
        outcomes = await asyncio.gather(*toggling, return_exceptions=True)
    if lost := [each for each in outcomes if isinstance(each, TimeoutError)]:
        print(f"not decided on within {_PATIENCE_S:g} s: {len(lost)}")
    return found


async def _measure(folder: Path) -> list[Limited]:
    async with standing(folder) as there:
        rounds = [
            (await taken(there.bare, there.bare_pid), await taken(there.ours, there.daemon.pid))
            for _ in range(ROUNDS)
        ]
        for bare, ours in rounds:
            print(
                f"  bare {bare.per_s:9,.0f}/s {bare.us:.2f} us; daemon {ours.per_s:9,.0f}/s {ours.us:.2f} us"
            )
        found = [
            Limited(
                "messages/s, daemon / bare client",
                _median(o.per_s / b.per_s for b, o in rounds),
                0.6,
                "",
                True,
            ),
            Limited(
                "messages/s of processor time, the same",
                _median(b.us / o.us for b, o in rounds),
                0.6,
                "",
                True,
            ),
        ]
        chance = random.Random(3)
        for per_s, limit in ((5_000.0, 5.0), (20_000.0, 25.0)):
            before = Counter(there.daemon.status["blocked"])
            ms = await latencies_ms(there, per_s, chance) or [math.inf] * 2
            after = Counter(there.daemon.status["blocked"])
            what = f"tick to decision at {per_s:,.0f} messages/s"
            print(f"  {what}: {len(ms)} decisions, p50 {statistics.median(ms):.1f} ms, p99 {p99(ms):.1f} ms")
            print(f"  turns of the loop over 5 ms meanwhile: {dict(after - before)}")
            found.append(Limited(f"{what}, p99 above the beat of 250 ms", p99(ms) - BEAT_MS, limit, "ms"))
        loop = there.daemon.status["status"]["loop"]
        found.append(
            Limited("longest turn of the loop, own processor time", loop["longest_own_ms"], 5.0, "ms")
        )
        print(f"  longest turn by the wall: {loop['longest_ms']:.1f} ms, {loop['longest_by']}")
        return found


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def main() -> None:
    """Print every figure with its limit."""
    with tempfile.TemporaryDirectory() as folder:
        show_limited(*asyncio.run(_measure(Path(folder))))


if __name__ == "__main__":
    main()

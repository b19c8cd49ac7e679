"""When the daemon beats: by the wall clock, or in lock-step with the simulated gateway."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

import structlog

from broker.simulated_clock import CountsFrames, FollowedClock
from options import BrokerError, Clock

log = structlog.get_logger()

LOOK_AGAIN_S = 0.5
LEAST_PAUSE_S = 0.005
LEAST_GAP_S = 0.05
"""However much happens, beats are not closer together than this."""
ARRIVE_WITHIN_S = 5.0


class Pulse(Clock, Protocol):
    """A clock that also says when the next cycle is due."""

    @property
    def ended(self) -> bool:
        """Whether no further market data will come (a replay has run out)."""
        ...

    async def next_beat(self, wake: datetime | None) -> datetime:
        """Wait for the next cycle and return its time; `wake` is the latest moment the caller needs."""
        ...

    def hurry(self) -> None:
        """Something happened that cannot wait for the next beat."""
        ...


class SystemPulse:
    """The wall clock, one beat every `beat_s` seconds, what the beat itself takes included, or at `wake`,
    whichever is sooner; at once when it is hurried, but never closer than `LEAST_GAP_S` to the one before."""

    ended = False

    def __init__(self, beat_s: float) -> None:
        self._beat_s = beat_s
        self._began_s = -beat_s
        self._hurry = asyncio.Event()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def hurry(self) -> None:
        self._hurry.set()

    async def next_beat(self, wake: datetime | None) -> datetime:
        loop = asyncio.get_running_loop()
        pause_s = self._began_s + self._beat_s - loop.time()
        if wake is not None:
            pause_s = min(pause_s, (wake - self.now()).total_seconds())
        until_s = loop.time() + pause_s
        gap_s = self._began_s + LEAST_GAP_S - loop.time()
        await asyncio.sleep(max(LEAST_PAUSE_S, min(pause_s, gap_s)))
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                await self._hurry.wait()
        self._hurry.clear()
        self._began_s = loop.time()
        return self.now()


class SimulatedPulse:
    """The simulated gateway's clock: it stands still until a cycle is done, at any speed, and until `client`
    has taken in what was sent by then.

    When the gateway goes away, `revive` is asked for its control port again and again; time stands still.
    """

    def __init__(self, host: str, client_id: int, revive: Callable[[], Awaitable[int]]) -> None:
        self._host = host
        self._client_id = client_id
        self._revive = revive
        self.client: CountsFrames | None = None
        self._clock: FollowedClock | None = None
        self._last: datetime | None = None
        self.ended = False

    def now(self) -> datetime:
        if self._last is None:
            raise BrokerError("the simulated clock was not started")
        return self._last

    async def start(self) -> None:
        """Follow the gateway; raises BrokerError when none answers."""
        clock = FollowedClock(self._host, await self._revive())
        await clock.start(self._client_id)
        self._clock, self._last = clock, clock.now()

    def hurry(self) -> None:
        """Does nothing: in lock-step there is a beat whenever something is quoted."""

    async def next_beat(self, wake: datetime | None) -> datetime:
        """While the gateway is away this is the same moment again and again: the caller must see the loss."""
        try:
            if self._clock is None:
                await self.start()
                return self.now()
            beat = await self._clock.next_beat(wake, self.client.frames_sent if self.client else 0)
            if self.client is not None:
                async with asyncio.timeout(ARRIVE_WITHIN_S):
                    await self.client.frames_arrived(beat.frames_expected)
        except (BrokerError, TimeoutError) as error:
            if self._clock is not None:
                log.warning("clock.lost", error=str(error))
                self._clock.close()
                self._clock = None
            await asyncio.sleep(LOOK_AGAIN_S)
            return self.now()
        self._last, self.ended = beat.time, beat.ended
        return beat.time

    def close(self) -> None:
        if self._clock is not None:
            self._clock.close()

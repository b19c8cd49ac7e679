"""The simulated clock, which followers may share in lock-step.

Without followers time runs at `speed` times the wall's pace. With followers it moves from one agreed
moment to the next: to the next news of the market, the next fill, or the moment by which a follower wants
to be woken, whichever comes first, and stands still until every follower has handled the last step. The
wall's pace only delays those steps, so the run is the same at every speed. Speed 0: time moves by command,
and so it does while it is paused.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

log = logging.getLogger("gateway")

TICK_S = 0.05
PATIENCE_S = 5.0
STARTING_PATIENCE_S = 60.0
LONGEST_STEP = timedelta(seconds=30)
SHORTEST_STEP = timedelta(milliseconds=1)
MOST_DEBT_S = 1.0


class World(Protocol):
    """What the clock drives."""

    def next_event(self, now: datetime) -> datetime | None:
        """When something next happens by itself, None when nothing is in sight."""
        ...

    def resume(self, now: datetime) -> datetime: ...

    def ended(self, now: datetime) -> bool: ...

    def pass_time(self, before: datetime, now: datetime) -> None: ...

    def frames(self, client_id: int) -> tuple[int, int] | None:
        """(sent, received) of a connected API client, None when it is not connected."""
        ...


@dataclass(slots=True)
class Follower:
    """`wake`: by when it wants the next step. `frames`: what its API client says it has sent.

    `busy` until it has handled the last step; `late` once it let the clock wait for too long; `starting`
    until it has handled its first step, for which it may take longer.
    """

    client_id: int
    tell: Callable[[dict[str, Any]], None]
    wake: datetime | None = None
    frames: int = 0
    busy: bool = False
    late: bool = False
    starting: bool = True


class Clock:
    """See the module. Time begins when the first follower or API client arrives."""

    def __init__(self, world: World, now: datetime, speed: float) -> None:
        self.now = now
        self.speed = speed
        self.paused = False
        self.followers: list[Follower] = []
        self._world = world
        self._news = asyncio.Event()
        self._anchor = (0.0, now)
        self._stepping = asyncio.Lock()
        self._begun = asyncio.Event()

    def follow(self, follower: Follower) -> None:
        """From now on the clock waits for this follower; it is told the present time at once."""
        self.followers.append(follower)
        self._tell(follower)
        self._begun.set()

    def unfollow(self, follower: Follower) -> None:
        if follower in self.followers:
            self.followers.remove(follower)
        self._news.set()

    def done(self, follower: Follower, frames: int, wake: datetime | None) -> None:
        """The follower has handled the last step."""
        follower.frames, follower.wake = frames, wake
        follower.busy = follower.starting = False
        if follower.late:
            follower.late = False
            log.info("the follower of client %d is back", follower.client_id)
            self._tell(follower)
        self._news.set()

    def frame_arrived(self) -> None:
        self._news.set()

    def client_started(self, client_id: int) -> None:
        """An API client has connected: what its predecessor sent counts no more."""
        self._begun.set()
        for follower in self.followers:
            if follower.client_id == client_id:
                follower.frames = 0

    def begin(self) -> None:
        """Time begins though nobody has come yet."""
        self._begun.set()

    def pause(self, on: bool) -> None:
        """Lets time stand still, or go on."""
        self.paused = on
        self._begin_pace()

    def set_speed(self, speed: float) -> None:
        """Simulated seconds per second from now on."""
        self.speed = speed
        self._begin_pace()

    def _begin_pace(self) -> None:
        self._anchor = (_wall(), self.now)
        self._news.set()

    async def run(self) -> None:
        """Lets time pass for ever, as far as it does not move by command."""
        await self._begun.wait()
        self._begin_pace()
        while True:
            if self.paused or not self.speed:
                await self._wait(PATIENCE_S)
                continue
            async with self._stepping:
                await self._settle()
                stands = self.paused or not self.speed  # meanwhile, perhaps
                rest_s = 0.0 if stands else await self._move()
            if rest_s:
                await self._wait(rest_s)

    async def _move(self) -> float:
        """Goes as far as the wall's pace allows; the seconds after which it pays to try again."""
        allowed = self._allowed()
        if not self.followers:
            anchor = self._anchor
            await self._go(allowed, lambda: self._anchor is not anchor)
            return TICK_S
        target = self._next()
        if target <= allowed:
            self._forgive(target, allowed)
            await self._go(target)
            return 0.0
        return min(TICK_S, (target - allowed).total_seconds() / self.speed)

    async def step(self, seconds: float) -> None:
        """Moves on by `seconds` of simulated time, through everything that happens on the way."""
        async with self._stepping:
            await self._settle()
            goal = self.now + timedelta(seconds=seconds)
            while self.now < goal:
                await self._go(min(self._next(), goal))
                await self._settle()
            self._begin_pace()

    async def _go(self, target: datetime, interrupted: Callable[[], bool] = lambda: False) -> None:
        """To `target` in as many steps as the world has events on the way; then the followers are told."""
        while self.now < target and not interrupted():
            event = self._world.next_event(self.now) if not self.followers else None
            before = self.now
            self.now = min(target, max(event, before + SHORTEST_STEP)) if event else target
            self._world.pass_time(before, self.now)
            self._skip()
            if not self.followers:
                await asyncio.sleep(0)
        for follower in self.followers:
            if not follower.late:
                self._tell(follower)

    def _skip(self) -> None:
        """Over nights and weekends, in no time at all."""
        goes_on = self._world.resume(self.now)
        if goes_on > self.now:
            before, self.now = self.now, goes_on
            self._anchor = (_wall(), goes_on)
            self._world.pass_time(before, goes_on)

    def _next(self) -> datetime:
        moments = [self.now + LONGEST_STEP]
        event = self._world.next_event(self.now)
        if event:
            moments.append(event)
        moments += [f.wake for f in self.followers if f.wake and not f.late]
        return max(min(moments), self.now + SHORTEST_STEP)

    def _allowed(self) -> datetime:
        """How far the wall's pace lets time go."""
        wall, simulated = self._anchor
        return simulated + timedelta(seconds=(_wall() - wall) * self.speed)

    def _forgive(self, target: datetime, allowed: datetime) -> None:
        """What could not be kept up with is forgotten: a step that is long overdue starts the pace anew."""
        if allowed - target > timedelta(seconds=MOST_DEBT_S * self.speed):
            self._anchor = (_wall(), target)

    def _tell(self, follower: Follower) -> None:
        follower.busy = True
        counts = self._world.frames(follower.client_id)
        follower.tell(
            {
                "time": self.now.isoformat(),
                "sent": counts[0] if counts else 0,
                "ended": self._world.ended(self.now),
            }
        )

    def _owing(self) -> list[Follower]:
        """Followers that are not done, or whose frames have not all arrived."""
        owing = []
        for follower in self.followers:
            counts = self._world.frames(follower.client_id)
            missing = counts is not None and counts[1] < follower.frames
            if not follower.late and (follower.busy or missing):
                owing.append(follower)
        return owing

    async def _settle(self) -> None:
        """Until every follower has handled the last step and all that it sent has been read."""
        begun = _wall()
        while owing := self._owing():
            starting = any(follower.starting for follower in owing)
            left_s = begun + (STARTING_PATIENCE_S if starting else PATIENCE_S) - _wall()
            if left_s <= 0:
                for follower in owing:
                    log.warning("follower of client %d is late: time goes on without it", follower.client_id)
                    follower.late, follower.frames = follower.busy, 0
                return
            await self._wait(left_s)

    async def _wait(self, seconds: float) -> None:
        """Until there is news from a follower or `seconds` have passed."""
        self._news.clear()
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._news.wait()
        except TimeoutError:
            pass


def _wall() -> float:
    return asyncio.get_running_loop().time()

"""Watches the way to the broker: shows how it is, and makes an old connection anew while nobody trades."""

import time as stopwatch
from collections import deque
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from broker.events import LinkHealth, LinkState
from daemon.account_state import AccountState
from daemon.link_metrics import LinkMetrics
from options.hours import is_open, next_opening

log = structlog.get_logger()

RATE_OVER_S: Final = 10.0
"""Over how many seconds of wall time the message rate is taken."""

BEFORE_OPENING: Final = timedelta(minutes=30)
"""A connection is not made anew so shortly before the exchange opens."""


class LinkWatch:
    """Called once per cycle. `renew_after_h` 0 renews nothing."""

    def __init__(self, state: AccountState, metrics: LinkMetrics, renew_after_h: float) -> None:
        self._state = state
        self._metrics = metrics
        self._renew_after = timedelta(hours=renew_after_h) if renew_after_h else None
        self._received: deque[tuple[float, int]] = deque()

    def look(self, now: datetime) -> None:
        """Show how the link is, and renew it where that is due."""
        state, health = self._state, self._state.broker.health
        blackout = state.desk.blackout(now)
        self._metrics.show(health, _seconds_since(health.since, now), bool(blackout))
        self._count(health)
        at_work = bool(state.desk.open_intents) or not state.roller.is_idle or not state.has_picture
        if not blackout and not at_work and renewal_due(health, now, self._renew_after):
            log.info("link.renewed", connected=health.connected)
            self._metrics.renewals.inc()
            state.broker.renew("planned reconnect: it costs memory to keep a connection for long")

    def status(self, now: datetime) -> dict[str, Any]:
        """What `GET /status` says of the link besides its state; None is unknown."""
        health = self._state.broker.health
        return {
            "connected": health.connected.isoformat() if health.connected else None,
            "attempts": health.attempts,
            "breaker": health.breaker.value,
            "breaker_pause_s": health.pause_s,
            "blackout": self._state.desk.blackout(now) or None,
            "messages_per_s": self.messages_per_s,
            "messages_waiting": health.waiting,
            "heartbeat_age_s": health.heard_s,
        }

    @property
    def messages_per_s(self) -> float | None:
        """Of the broker, per second of wall time; None until it has been counted for a second."""
        if len(self._received) < 2:
            return None
        (first_s, first), (last_s, last) = self._received[0], self._received[-1]
        return (last - first) / (last_s - first_s)

    def _count(self, health: LinkHealth) -> None:
        """Keep one count per second of the last seconds."""
        now_s, counts = stopwatch.monotonic(), self._received
        if counts and now_s - counts[-1][0] < 1.0:
            return
        counts.append((now_s, health.received))
        while now_s - counts[0][0] > RATE_OVER_S:
            counts.popleft()


def renewal_due(health: LinkHealth, now: datetime, renew_after: timedelta | None) -> bool:
    """Whether the connection is old, and the exchange closed and not about to open."""
    if renew_after is None or health.state is not LinkState.UP or health.connected is None:
        return False
    if is_open(now) or next_opening(now) - now < BEFORE_OPENING:
        return False
    return now - health.connected >= renew_after


def _seconds_since(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else (now - moment).total_seconds()

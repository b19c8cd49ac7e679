"""Messages on their way out: orders first, and never faster than the broker allows."""

from collections import deque
from enum import IntEnum


class Rank(IntEnum):
    """Which message goes first when the line to the broker is busy."""

    ORDER = 0
    REQUEST = 1
    MARKET_DATA = 2


_RANKS = {
    "1": Rank.MARKET_DATA,  # reqMktData
    "2": Rank.MARKET_DATA,  # cancelMktData
    "3": Rank.ORDER,  # placeOrder, also modify and what-if
    "4": Rank.ORDER,  # cancelOrder
}


def rank(message: str) -> Rank:
    """The rank of an encoded API message, whose first field is its kind."""
    return _RANKS.get(message.partition("\0")[0], Rank.REQUEST)


class Outbox:
    """A priority queue behind a token bucket.

    `rate_per_s` None sends everything at once (the simulated clock stands still meanwhile). IB cuts a client
    off above 50 messages in a second: with 40/s and a burst of 10 no second ever holds more than 50. The
    caller hands in the time (any monotonic seconds) and sends what `release` returns.
    """

    def __init__(self, rate_per_s: float | None, burst: int = 10) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = float(burst)
        self._filled_at_s: float | None = None
        self._queues: dict[Rank, deque[str]] = {each: deque() for each in Rank}

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def put(self, message: str) -> None:
        self._queues[rank(message)].append(message)

    def release(self, now_s: float) -> list[str]:
        """The messages that may go now, in the order to send them."""
        if self._rate_per_s is None:
            return self._take(len(self))
        self._refill(now_s, self._rate_per_s)
        allowed = min(len(self), int(self._tokens + 1e-9))
        self._tokens -= allowed
        return self._take(allowed)

    def due_s(self) -> float | None:
        """When the next message may go; None when nothing waits."""
        if not len(self) or self._rate_per_s is None or self._filled_at_s is None:
            return None
        return self._filled_at_s + max(0.0, 1 - self._tokens) / self._rate_per_s

    def _refill(self, now_s: float, rate_per_s: float) -> None:
        if self._filled_at_s is not None:
            earned = (now_s - self._filled_at_s) * rate_per_s
            self._tokens = min(self._burst, self._tokens + earned)
        self._filled_at_s = now_s

    def _take(self, count: int) -> list[str]:
        taken: list[str] = []
        for each in Rank:
            queue = self._queues[each]
            while queue and len(taken) < count:
                taken.append(queue.popleft())
        return taken

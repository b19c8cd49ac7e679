"""How long the recent cycles took."""

from collections import deque

RECENT = 500


class BeatTimes:
    def __init__(self) -> None:
        self._took_ms: deque[float] = deque(maxlen=RECENT)

    def add(self, took_s: float) -> None:
        """Take down how long a cycle took."""
        self._took_ms.append(took_s * 1000)

    def figures_ms(self) -> tuple[float | None, float | None]:
        """(last, 99th percentile) of the recent cycles; None before the first."""
        if not self._took_ms:
            return None, None
        ordered = sorted(self._took_ms)
        return self._took_ms[-1], ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]

"""What an underlying cost an hour or a day ago."""

from bisect import bisect_right
from datetime import datetime, timedelta

from options import ConId

SAMPLE_EVERY = timedelta(seconds=10)
KEEP = timedelta(hours=26)
TOLERANCE = timedelta(minutes=10)


class PriceHistory:
    """Prices of a few contracts over the last day, one every ten seconds at most."""

    def __init__(self) -> None:
        self._times: dict[ConId, list[datetime]] = {}
        self._prices: dict[ConId, list[float]] = {}

    def record(self, con_id: ConId, price: float, now: datetime) -> None:
        times = self._times.setdefault(con_id, [])
        prices = self._prices.setdefault(con_id, [])
        if times and now - times[-1] < SAMPLE_EVERY:
            return
        times.append(now)
        prices.append(price)
        old = bisect_right(times, now - KEEP)
        # In blocks, so that a long list is not moved on every sample.
        if old > 512:
            del times[:old], prices[:old]

    def price_before(self, con_id: ConId, span: timedelta, now: datetime) -> float | None:
        """The youngest price at least `span` old, but not older than that by more than `TOLERANCE`.

        None when no such price is known: the price before a pause is not the price an hour ago.
        """
        times = self._times.get(con_id, [])
        at = bisect_right(times, now - span) - 1
        if at < 0 or now - span - times[at] > TOLERANCE:
            return None
        return self._prices[con_id][at]

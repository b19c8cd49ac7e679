"""The one protocol behind which all markets stand."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Protocol

from broker.gateway.listings import Listings
from broker.gateway.quotes import Quote
from options import ConId

BATCH = timedelta(milliseconds=250)


class Market(Protocol):
    """Quotes by simulated time. The same `now` always gives the same quotes."""

    name: str
    listings: Listings

    def start(self) -> datetime:
        """Where a new account's simulated time begins."""
        ...

    def quotes(self, con_ids: Collection[ConId], now: datetime) -> dict[ConId, Quote]:
        """The current quote of each contract; `MISSING` where none is current."""
        ...

    def marks(self, con_ids: Collection[ConId], now: datetime) -> dict[ConId, float]:
        """The last known price of each contract, however old; contracts never priced are left out."""
        ...

    def next_change(self, watched: Collection[ConId], now: datetime) -> datetime | None:
        """When a watched contract's quote next changes; changes within `BATCH` of it count as one."""
        ...

    def changed(self, watched: Collection[ConId], since: datetime, until: datetime) -> list[ConId]:
        """Which of the watched contracts have news in (since, until], in a stable order."""
        ...

    def resume(self, now: datetime) -> datetime:
        """`now` while time passes, else (nights, weekends) the moment at which it goes on."""
        ...

    def ended(self, now: datetime) -> bool:
        """Whether no quote can come any more."""
        ...

    def save(self) -> dict[str, Any]:
        """What `load` needs to continue, as JSON."""
        ...

    def load(self, saved: dict[str, Any]) -> None: ...

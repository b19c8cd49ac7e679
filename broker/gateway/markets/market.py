"""The one protocol behind which all markets stand."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Protocol

from broker.gateway.markets.listings import Listings
from broker.gateway.markets.quotes import Quote
from options import ConId

BATCH = timedelta(milliseconds=250)


@dataclass(frozen=True, slots=True)
class Bar:
    """What happened from `start` on, for as long as bars of its request are: prices in USD per share,
    `volume` in contracts (shares), `average` the volume-weighted price, `count` of trades."""

    start: datetime
    open: float
    high: float
    low: float
    close: float
    volume: int
    average: float
    count: int


@dataclass(frozen=True, slots=True)
class Dividend:
    """USD per share, for whoever holds the share when `ex_date` begins."""

    ex_date: date
    amount_usd: float


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

    def bars(self, con_id: ConId, since: datetime, until: datetime, seconds: int) -> list[Bar]:
        """Bars of `seconds` of the middle price, oldest first, that begin in [since, until) during regular
        trading hours, of what has happened by `until`; none where the market knows no price. May lie
        before the account's time began."""
        ...

    def dividends(self, symbol: str) -> Sequence[Dividend]:
        """All that are announced, past and to come, by date."""
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

"""The only face of a broker that the rest of the house sees; a second adapter is another implementation.

Every coroutine but `run` has its own time-out and raises BrokerError with what was asked and what to do.
Nothing is retried blindly, and orders are known by `order_ref`, never by the broker's order id.

The conformance suite (`tests/broker/conformance`) holds every adapter to what is promised here;
docs/brokers.md says how to add one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from broker.events import (
    BrokerEvent,
    DailyKind,
    Executed,
    HoldingChanged,
    LinkHealth,
    LinkState,
    OrderChanged,
)
from options import ConId, Contract


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


@dataclass(frozen=True, slots=True)
class ComboLeg:
    """`ratio` signed: +1 buys one contract for every combo bought, -1 sells one."""

    contract: Contract
    ratio: int


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """One order, always bought: a combo of `legs` (a single leg is sent as that contract, a ratio of -1
    as a sale). `limit_price` USD per share of one combo bought: positive pays, negative receives; None
    asks for a market order. `opens` says whether it opens risk."""

    order_ref: str
    legs: tuple[ComboLeg, ...]
    quantity: int
    limit_price: float | None
    opens: bool


@dataclass(frozen=True, slots=True)
class Margin:
    """Answer to a what-if; USD, None = the broker did not say."""

    initial_change_usd: float
    maintenance_change_usd: float | None
    commission_usd: float | None


@dataclass(frozen=True, slots=True)
class Chain:
    """The expiries and strikes that one exchange lists; not every pair exists."""

    symbol: str
    trading_class: str
    multiplier: int
    expiries: tuple[date, ...]
    strikes: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class BrokerPicture:
    """What the broker holds to be true now, of the traded account: no holding that is closed, each order and
    execution once. Orders and `executions` are today's, whoever placed them; an order from elsewhere has an
    `order_ref` of its own or none."""

    holdings: tuple[HoldingChanged, ...]
    open_orders: tuple[OrderChanged, ...]
    completed_orders: tuple[OrderChanged, ...]
    executions: tuple[Executed, ...]


class Broker(Protocol):
    """One account at one broker. Methods that are no coroutines return at once: they wait for nothing."""

    # The link

    @property
    def link(self) -> LinkState: ...

    @property
    def link_since(self) -> datetime | None:
        """When the link came into its state; None before `run`."""
        ...

    @property
    def attempts(self) -> int:
        """Connects that were tried since the last that succeeded."""
        ...

    @property
    def health(self) -> LinkHealth:
        """The link in detail, with its breaker and its traffic; asked from within the event loop."""
        ...

    def renew(self, reason: str) -> None:
        """End the connection and make a new one at once; does nothing unless the link is up."""
        ...

    @property
    def account(self) -> str:
        """The account that is traded; empty before the first connect."""
        ...

    @property
    def is_paper(self) -> bool:
        """Whether the account is paper; False before the first connect, so that doubt means real money."""
        ...

    async def run(self) -> None:
        """Connect, stay connected, reconnect; returns only when cancelled, with the connection closed then.

        Every change of state is told as `LinkChanged`; a connection that has gone silent counts as down
        within a stated time. `UP` with `resubscribe` says that no line is open now: after every connect, and
        after a loss upstream that took the lines. Raises BrokerError only where trying again cannot help.
        """
        ...

    def drain(self) -> list[BrokerEvent]:
        """All events since the last call, in order of arrival, then each changed quote once; never blocks.

        Each fact is told once, however often the broker repeats it: an execution by its id, an order's or a
        holding's state when it differs from what was told last. What happened while there was no connection
        is told after the next one, or with the next picture.
        """
        ...

    # Questions. BrokerError when the link is not up, is lost meanwhile, or when no answer comes in time.

    async def picture(self) -> BrokerPicture:
        """Asked of the broker afresh, all of it; never remembered, never in part."""
        ...

    async def underlying(self, symbol: str) -> Contract:
        """The stock, ETF or index of that symbol; BrokerError when the broker knows none."""
        ...

    async def qualify(self, contracts: Sequence[Contract]) -> list[Contract | None]:
        """The contracts as the broker knows them, in the order asked, by con_id where set; None for one that
        it does not know and for one that fits several."""
        ...

    async def chain(self, underlying: Contract) -> list[Chain]:
        """One per trading class; expiries and strikes ascending."""
        ...

    async def margin(self, order: OrderRequest) -> Margin:
        """What the order would change, by the broker's own reckoning. Nothing is placed; BrokerError when the
        broker refuses or gives no number."""
        ...

    # Lines

    @property
    def lines_used(self) -> int:
        """Market-data lines open now by our own count; never less than the broker's."""
        ...

    def subscribe(self, contract: Contract) -> None:
        """Open a line; does nothing when it is open, nor while there is no connection. Quotes arrive as
        QuoteChanged, of this subscription only: nothing is kept from an earlier one. A line that the broker
        refuses is told as BrokerNotice with its con_id and no longer counts. BrokerError without con_id."""
        ...

    def unsubscribe(self, con_id: ConId) -> None:
        """Close the line; does nothing when none is open. No quote of it is told after that."""
        ...

    def ring_beyond(self, bands: Mapping[ConId, tuple[float, float]], ring: Callable[[], None]) -> None:
        """Call `ring` when a price (USD per share) of an open line leaves its band (low, high), or a delta
        moves by 0.05 between two drains; a new call replaces the one before. `ring` only sets a flag."""
        ...

    # History

    def ask_daily(self, contract: Contract, kind: DailyKind, days: int) -> None:
        """Ask for the values of the last days, 365 at most; does nothing without a connection. The answer
        arrives as DailyValues, also when it is a refusal, and never when the connection ends before."""
        ...

    # Orders. BrokerError when the link is not up: nothing is kept back to be sent later.

    def place(self, order: OrderRequest) -> None:
        """Send a new order; its fate arrives as OrderChanged and Executed events, a refusal too.

        An `order_ref` is sent once: BrokerError when it was ever placed or is known to the broker, and when
        the order cannot be expressed.
        """
        ...

    def reprice(self, order_ref: str, limit_price: float) -> bool:
        """Modify the working order's limit; False when it is not working any more or not ours (nothing is
        sent). Orders of earlier connections can be repriced."""
        ...

    def cancel(self, order_ref: str) -> bool:
        """Ask for the cancellation; False when the order is not working any more or not ours (nothing is
        sent). The order is `CANCELLING` until the broker says that it ended, and may still fill."""
        ...

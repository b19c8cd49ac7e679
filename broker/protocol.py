"""The only face of a broker that the rest of the house sees; a second adapter is another implementation.

Every coroutine has its own time-out and raises BrokerError with what was asked and what to do. Nothing is
retried blindly, and orders are known by `order_ref`, never by the broker's order id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Protocol

from broker.events import BrokerEvent, Executed, HoldingChanged, LinkState, OrderChanged
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
    """What the broker holds to be true now. `executions` are today's, of all clients."""

    holdings: tuple[HoldingChanged, ...]
    open_orders: tuple[OrderChanged, ...]
    completed_orders: tuple[OrderChanged, ...]
    executions: tuple[Executed, ...]


class Broker(Protocol):
    @property
    def link(self) -> LinkState: ...

    @property
    def account(self) -> str:
        """The account that is traded; empty before the first connect."""
        ...

    @property
    def lines_used(self) -> int:
        """Market-data lines open now by our own count."""
        ...

    def drain(self) -> list[BrokerEvent]:
        """All events since the last call, in order of arrival; never blocks."""
        ...

    async def run(self) -> None:
        """Connect, stay connected, reconnect; returns only when cancelled."""
        ...

    async def picture(self) -> BrokerPicture: ...

    async def underlying(self, symbol: str) -> Contract: ...

    async def qualify(self, contracts: Sequence[Contract]) -> list[Contract | None]:
        """The contracts as the broker knows them (by con_id where set), None where it knows none."""
        ...

    async def chain(self, underlying: Contract) -> list[Chain]: ...

    def subscribe(self, contract: Contract) -> None:
        """Open a line; does nothing when it is open. Quotes arrive as QuoteChanged."""
        ...

    def unsubscribe(self, con_id: ConId) -> None: ...

    async def margin(self, order: OrderRequest) -> Margin: ...

    def place(self, order: OrderRequest) -> None:
        """Send a new order; its fate arrives as OrderChanged and Executed events."""
        ...

    def reprice(self, order_ref: str, limit_price: float) -> bool:
        """Modify the working order's limit; False when it is not working any more (nothing is sent)."""
        ...

    def cancel(self, order_ref: str) -> bool:
        """Ask for the cancellation; False when the order is not working any more (nothing is sent)."""
        ...

"""What the suite asks of a stand: an adapter, and the broker behind it as something a test can command.

For Interactive Brokers that is the simulated gateway and its control port (`simulated.py`). Another broker
brings a program that speaks its wire, since a double above the wire would prove nothing about the adapter.
"""

from dataclasses import dataclass
from typing import Protocol

from broker.protocol import Broker
from options import ConId, Contract


@dataclass(frozen=True, slots=True)
class TrueOrder:
    """An order as the broker's own books have it. `limit_usd` per share of what is bought, negative where it
    is received; None = at the market."""

    order_ref: str
    lives: bool
    quantity: float
    filled: float
    limit_usd: float | None


@dataclass(frozen=True, slots=True)
class TrueExecution:
    """`con_id` None: the summary line of a combo. `quantity` signed contracts, `price` USD per share."""

    exec_id: str
    order_ref: str
    con_id: ConId | None
    quantity: float
    price: float
    commission_usd: float


class Market(Protocol):
    """The broker's side. Prices USD per share, None = nobody quotes that side. A fault lasts until `heal`."""

    # Prices

    async def list_put(self, bid: float | None, ask: float | None) -> Contract:
        """A fresh put on one underlying that no other promise has used, with Greeks; each one's strike is
        one USD above that of the last. Both sides are there for 10 contracts."""
        ...

    async def quote(
        self, put: Contract, bid: float | None, ask: float | None, greeks: bool = True
    ) -> None: ...

    # The broker's own books

    async def orders(self) -> list[TrueOrder]: ...

    async def executions(self) -> list[TrueExecution]: ...

    async def holdings(self) -> dict[ConId, int]:
        """Signed contracts; what is closed is not there."""
        ...

    async def lines(self) -> int:
        """Market-data lines that are open, of all clients."""
        ...

    async def connections(self) -> int: ...

    # Bad days

    async def drop(self) -> None:
        """End every connection, once; the next attempt succeeds."""
        ...

    async def silence(self) -> None:
        """Say nothing any more to those who are connected, whose sockets stay open; new connections work."""
        ...

    async def lose_servers(self) -> None:
        """The connection stands, but the way behind it is lost."""
        ...

    async def regain_servers(self, lines_kept: bool) -> None: ...

    async def refuse_next_order(self, reason: str) -> None: ...

    async def cry_wolf(self, order_ref: str) -> None:
        """Say something about a living order that sounds like its end."""
        ...

    async def hold_cancels(self) -> None:
        """Cancellations are taken and not carried out."""
        ...

    async def tell_twice(self) -> None:
        """Every status and every execution is told twice."""
        ...

    async def correct_next_execution(self, by_usd: float) -> None:
        """The next execution turns out to have had another price, as soon as `correct_now` says so."""
        ...

    async def correct_now(self) -> None: ...

    async def delay_data(self) -> None:
        """All data are delayed, as for who has not paid for live ones."""
        ...

    async def refuse_lines(self) -> None:
        """No further line is given."""
        ...

    async def trade_elsewhere(self, put: Contract, quantity: int, limit_usd: float | None) -> None:
        """An order by another program or by hand: buys `quantity` contracts, sells where negative."""
        ...

    async def heal(self) -> None: ...


class Stand(Protocol):
    """`adapter` gives one that is not running yet and can connect beside earlier ones; `again` gives what a
    restarted program would: another adapter with the identity of the last. `impatient` ones give up on an
    answer, and find a silent connection out, within two seconds."""

    @property
    def market(self) -> Market: ...

    def adapter(self, impatient: bool = False) -> Broker: ...

    def again(self) -> Broker: ...

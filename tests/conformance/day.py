"""A day at the gateway: one client, and what of its talk with the gateway was compared."""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tests.conformance.clients import ApiClient, connected
from tests.conformance.stage import EXPIRY, Control, quoted_gateway


@dataclass
class Day:
    """`compared` has the names (or places) of the values that were found equal, by message number.

    `others` are the clients that joined for a while.
    """

    client: ApiClient
    control: Control
    port: int
    others: list[ApiClient] = field(default_factory=list)
    compared: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    requests: Any = field(default_factory=lambda: count(9001))
    orders: Any = field(default_factory=lambda: count(1))

    @property
    def con_ids(self) -> dict[str, int]:
        return self.control.con_ids

    async def tell(self, cmd: str, **arguments: Any) -> dict[str, Any]:
        return await self.control.tell(cmd, **arguments)

    @asynccontextmanager
    async def joined(self, client_id: int) -> AsyncIterator[ApiClient]:
        """A second client of the same name."""
        async with connected(self.client.name, self.port, client_id) as other:
            self.others.append(other)
            yield other

    def request(self) -> int:
        """A request id that was never used."""
        return next(self.requests)

    def order_id(self) -> int:
        return next(self.orders)

    # -- contracts and orders in the client's own classes ----------------------------------------------

    def make(self, what: str, *arguments: Any, **fields: Any) -> Any:
        """An instance of one of the client's classes with these attributes."""
        made = getattr(self.client.parts, what)(*arguments)
        for name, value in fields.items():
            assert hasattr(made, name), f"{self.client.name}'s {what} has no {name}"
            setattr(made, name, value)
        return made

    def contract(self, name: str = "XYZ") -> Any:
        """XYZ itself, or an option by its right and strike, as a user describes it: without an id."""
        terms = {"symbol": "XYZ", "exchange": "SMART", "currency": "USD"}
        if name == "XYZ":
            return self.make("Contract", secType="STK", **terms)
        return self.make(
            "Contract",
            secType="OPT",
            lastTradeDateOrContractMonth=EXPIRY.replace("-", ""),
            right=name[0],
            strike=float(name[1:]),
            multiplier="100",
            **terms,
        )

    def combo(self, **legs: str) -> Any:
        """A BAG: `combo(P90="BUY", P95="SELL")`."""
        return self.make(
            "Contract",
            symbol="XYZ",
            secType="BAG",
            exchange="SMART",
            currency="USD",
            comboLegs=[
                self.make("ComboLeg", conId=self.con_ids[name], ratio=1, action=action, exchange="SMART")
                for name, action in legs.items()
            ],
        )

    def order(self, action: str, quantity: int, order_type: str, **fields: Any) -> Any:
        return self.make(
            "Order", action=action, totalQuantity=quantity, orderType=order_type, **{"tif": "DAY", **fields}
        )

    # -- comparing ---------------------------------------------------------------------------------------

    def same(self, kind: int, found: Any, **wanted: Any) -> None:
        """The attributes of what a client made of message `kind`."""
        for name, value in wanted.items():
            self.equal(kind, getattr(found, name), value, name)

    def equal(self, kind: int, found: Any, wanted: Any, name: str = "") -> None:
        """A value, or a tuple of values, of message `kind`."""
        assert found == wanted, f"{self.client.name}, message {kind} {name}: {found!r} is not {wanted!r}"
        places = range(len(wanted)) if isinstance(wanted, tuple) and not name else (0,)
        self.compared[kind] |= {name or str(place) for place in places}


@asynccontextmanager
async def open_day(name: str) -> AsyncIterator[Day]:
    """A new gateway with quotes, and the client of that name connected to it."""
    async with quoted_gateway() as (port, control), connected(name, port, 1) as client:
        yield Day(client, control, port)

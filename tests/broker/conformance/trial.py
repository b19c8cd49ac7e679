"""One adapter on trial: it runs against a market, and everything it says is kept and held against what may
never be said."""

import asyncio
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import datetime
from itertools import count, pairwise
from typing import TypeVar

from broker.events import (
    BrokerEvent,
    Executed,
    HoldingChanged,
    LinkChanged,
    LinkState,
    OrderChanged,
    OrderState,
    QuoteChanged,
)
from broker.protocol import Broker, ComboLeg, OrderRequest
from tests.broker.conformance.market import Market

E = TypeVar("E")
FINAL = frozenset({OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED})
PATIENCE_S = 15.0
_REFS = count(1)


@dataclass
class Trial:
    """`open` gives the adapter (impatient or not), `again` that of a restarted program. `patience_s` is how
    long an event is waited for; only trials of adapters that will not say it have little."""

    market: Market
    open: Callable[[bool], Broker]
    again: Callable[[], Broker]
    patience_s: float = PATIENCE_S
    said: list[BrokerEvent] = field(default_factory=list)
    _forgotten: int = 0
    _running: asyncio.Task[None] | None = None
    _broker: Broker | None = None

    @property
    def broker(self) -> Broker:
        assert self._broker is not None, "the promise asks for the adapter before it called connect()"
        return self._broker

    def prepare(self, impatient: bool = False) -> Broker:
        """An adapter that is not running."""
        self._broker = self.open(impatient)
        return self._broker

    async def connect(self, impatient: bool = False) -> Broker:
        self.prepare(impatient)
        return await self._run()

    async def _run(self) -> Broker:
        """The first connection is given time, whatever the patience is."""
        self._running = asyncio.create_task(self.broker.run())
        patience_s, self.patience_s = self.patience_s, PATIENCE_S
        await self.up_again()
        self.patience_s = patience_s
        return self.broker

    async def restart(self) -> Broker:
        """End the program and start it again, with nothing of the old one's memory."""
        await self.stop()
        self.check()
        self.said, self._forgotten = [], 0
        self._broker = self.again()
        return await self._run()

    async def stop(self) -> None:
        if self._running is None:
            return
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(self._running, 5)
        self._running = None
        self._listen()

    # What it says

    async def until(self, kind: type[E], what: str, matches: Callable[[E], bool] = lambda _: True) -> E:
        """The first event of that kind since the last `forget` that matches; `what` completes "not told:"."""
        deadline = asyncio.get_running_loop().time() + self.patience_s
        while True:
            for event in self.all(kind):
                if matches(event):
                    return event
            assert asyncio.get_running_loop().time() < deadline, f"not told: {what}"
            await asyncio.sleep(0.005)

    async def order(self, ref: str, state: OrderState) -> OrderChanged:
        return await self.until(
            OrderChanged,
            f"order {ref} is {state.value}",
            lambda event: event.order_ref == ref and event.state is state,
        )

    async def down(self) -> LinkChanged:
        return await self.until(
            LinkChanged, "the connection is lost", lambda event: event.state is LinkState.DOWN
        )

    async def up_again(self) -> LinkChanged:
        """Since the last `forget`."""
        return await self.until(LinkChanged, "the link is up", lambda event: event.state is LinkState.UP)

    def all(self, kind: type[E]) -> list[E]:
        """Of that kind since the last `forget`."""
        self._listen()
        return [event for event in self.said[self._forgotten :] if isinstance(event, kind)]

    def forget(self) -> None:
        self._listen()
        self._forgotten = len(self.said)

    async def heard_out(self) -> None:
        """Return when all that was said before now has been read: the broker answers in order."""
        await self.broker.picture()
        self._listen()

    def _listen(self) -> None:
        self.said += self.broker.drain()

    # What it is asked for

    def new_ref(self) -> str:
        """Of an order; no other trial of this market has used it."""
        return f"order-{next(_REFS)}"

    async def spread(self, limit_usd: float | None = -0.90, quantity: int = 1) -> OrderRequest:
        """A put credit spread that can be sold for 0.95 at once; a limit of -1.50 rests."""
        wing = await self.market.list_put(1.00, 1.05)
        short = await self.market.list_put(2.00, 2.10)
        legs = (ComboLeg(short, -1), ComboLeg(wing, 1))
        return OrderRequest(self.new_ref(), legs, quantity, limit_usd, opens=True)

    async def working_spread(self) -> OrderRequest:
        order = await self.spread(-1.50)
        self.broker.place(order)
        await self.order(order.order_ref, OrderState.WORKING)
        return order

    async def placed(self, ref: str) -> int:
        """How many orders of that reference the broker's own books have, finished ones too."""
        return sum(order.order_ref == ref for order in await self.market.orders())

    # What may never be said

    def check(self) -> None:
        """Raises AssertionError when anything that was said in this trial may never be said."""
        self._listen()
        for event in self.said:
            _check_values(event)
        _check_once("execution", (event.exec_id for event in self._every(Executed)))
        _check_orders(self._every(OrderChanged))
        _check_holdings(self._every(HoldingChanged))
        links = self._every(LinkChanged)
        for before, after in pairwise(links):
            assert before != after, f"the link was told twice to be {after.state.value}"
            assert before.state is not LinkState.DOWN or after.state is LinkState.CONNECTING, (
                f"the link went from down to {after.state.value} without an attempt"
            )
        if links:
            assert self.broker.link is links[-1].state, (
                f"link says {self.broker.link.value}, the last event {links[-1].state.value}"
            )

    def _every(self, kind: type[E]) -> list[E]:
        return [event for event in self.said if isinstance(event, kind)]


def _check_values(event: BrokerEvent) -> None:
    for each in fields(event):
        value = getattr(event, each.name)
        where = f"{type(event).__name__}.{each.name} is {value}"
        if isinstance(value, float):
            assert math.isfinite(value) and abs(value) < 1e300, f"{where}: no number; unknown is None"
        if isinstance(value, datetime):
            assert value.tzinfo is not None, f"{where}: a time without a zone"
    if isinstance(event, QuoteChanged):
        for name in ("bid", "ask", "bid_size", "ask_size", "last", "close", "iv", "underlying_price"):
            value = getattr(event, name)
            assert value is None or value > 0, f"the quote's {name} is {value}; unknown is None"
        assert event.delta is None or abs(event.delta) <= 1.001, f"a delta of {event.delta}"


def _check_once(what: str, ids: Iterable[str]) -> None:
    seen: set[str] = set()
    for each in ids:
        assert each not in seen, f"{what} {each} was told twice"
        seen.add(each)


def _check_orders(changes: list[OrderChanged]) -> None:
    last: dict[str, OrderChanged] = {}
    for change in changes:
        before = last.get(change.order_ref)
        if before is not None and change.order_ref:
            assert change != before, f"order {change.order_ref} was told twice to be {change.state.value}"
            assert before.state not in FINAL or change.state is before.state, (
                f"order {change.order_ref} was {before.state.value}, which is final, and then "
                f"{change.state.value}"
            )
            assert change.filled >= before.filled, f"order {change.order_ref} unfilled itself"
        last[change.order_ref] = change


def _check_holdings(changes: list[HoldingChanged]) -> None:
    last: dict[int, HoldingChanged] = {}
    for change in changes:
        con_id = change.contract.con_id
        assert last.get(con_id) != change, f"the holding of {change.contract.label} was told twice"
        last[con_id] = change

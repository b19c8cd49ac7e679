"""The market-data lines that are open, each with the latest the wire said about its contract.

Own records instead of ib_async's Ticker objects: those are reused with stale fields, stay in memory for
ever, and make a second subscription of one contract impossible to cancel.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker import sanitise
from broker.events import QuoteChanged
from options import ConId, Contract, SecType

# Tick types, each with its delayed twin.
_BID, _ASK, _LAST, _CLOSE = (1, 66), (2, 67), (4, 68), (9, 75)
_BID_SIZE, _ASK_SIZE = (0, 69), (3, 70)
_MODEL_GREEKS = (13, 83)
_LIVE: Final = 1

ANY_PRICE: Final = (0.0, math.inf)
DELTA_MOVE: Final = 0.05
"""A delta that moves by so much between two drains cannot wait for the next beat."""


@dataclass(slots=True)
class Line:
    """Raw fields since the subscription; None = nothing arrived yet."""

    contract: Contract
    request_id: int
    bid: float | None = None
    ask: float | None = None
    bid_size: float | None = None
    ask_size: float | None = None
    last: float | None = None
    close: float | None = None
    iv: float | None = None
    delta: float | None = None
    gamma: float | None = None
    theta: float | None = None
    vega: float | None = None
    underlying_price: float | None = None
    quote_time: datetime | None = None
    greeks_time: datetime | None = None
    market_data_type: int | None = None
    quote_arrived: bool = False
    greeks_arrived: bool = False
    band: tuple[float, float] = ANY_PRICE
    told_delta: float | None = None

    def is_beyond(self, price: float) -> bool:
        """Whether a price left the band; -1 and 0 are none."""
        low, high = self.band
        return price > 0 and not low <= price <= high

    def turned(self, delta: float | None) -> bool:
        """Whether a delta moved by `DELTA_MOVE` since the last drain."""
        told = self.told_delta
        if told is None or delta is None or abs(delta) > 1:
            return False
        return abs(delta - told) >= DELTA_MOVE

    def take_side(self, side: str, price: float | None, size: float, time: datetime) -> None:
        """`side` is `bid` or `ask`; size 0 means that nobody is there, whatever price stands beside it."""
        there = size > 0
        setattr(self, side, price if there else None)
        setattr(self, f"{side}_size", size if there else None)
        self.take_quote_time(time)

    def take_quote_time(self, time: datetime) -> None:
        self.quote_time, self.quote_arrived = time, True

    def settle(self, time: datetime | None) -> None:
        """End what arrived since the last drain; `time`, where given, is said to be when it did."""
        if time is not None and self.quote_arrived:
            self.quote_time = time
        if time is not None and self.greeks_arrived:
            self.greeks_time = time
        self.quote_arrived = self.greeks_arrived = False
        self.told_delta = sanitise.delta(self.delta)

    def quote(self) -> QuoteChanged:
        return QuoteChanged(
            con_id=self.contract.con_id,
            bid=sanitise.positive(self.bid),
            ask=sanitise.positive(self.ask),
            bid_size=sanitise.positive(self.bid_size),
            ask_size=sanitise.positive(self.ask_size),
            last=sanitise.positive(self.last),
            close=sanitise.positive(self.close),
            iv=sanitise.positive(self.iv),
            delta=sanitise.delta(self.delta),
            gamma=sanitise.not_negative(self.gamma),
            theta=sanitise.theta(self.theta),
            vega=sanitise.not_negative(self.vega),
            underlying_price=sanitise.positive(self.underlying_price),
            quote_time=self.quote_time,
            greeks_time=self.greeks_time,
            is_live=self.market_data_type == _LIVE,
        )


class LineRegistry:
    """At most one line per contract. Tick methods only copy: they run inside the socket's reader."""

    def __init__(self) -> None:
        self._by_request: dict[int, Line] = {}
        self._by_con_id: dict[ConId, Line] = {}
        self._changed: dict[ConId, Line] = {}
        self._ring: Callable[[], None] = _nothing

    def __len__(self) -> int:
        return len(self._by_con_id)

    def __contains__(self, con_id: ConId) -> bool:
        return con_id in self._by_con_id

    def open(self, request_id: int, contract: Contract) -> None:
        line = Line(contract, request_id)
        self._by_request[request_id] = line
        self._by_con_id[contract.con_id] = line

    def close(self, con_id: ConId) -> int | None:
        """The request id to cancel; None when no line was open. Late ticks of it are ignored."""
        line = self._by_con_id.pop(con_id, None)
        if line is None:
            return None
        self._changed.pop(con_id, None)
        del self._by_request[line.request_id]
        return line.request_id

    def ring_beyond(self, bands: Mapping[ConId, tuple[float, float]], ring: Callable[[], None]) -> None:
        """Call `ring` when a price of an open line leaves its band, until the next call, or a delta moves by
        `DELTA_MOVE` between two drains. The caller is the socket's reader, so it must only set a flag."""
        self._ring = ring
        for con_id, line in self._by_con_id.items():
            line.band = bands.get(con_id, ANY_PRICE)

    def con_id(self, request_id: int) -> ConId | None:
        line = self._by_request.get(request_id)
        return line.contract.con_id if line else None

    def forget(self) -> None:
        """The broker dropped them all."""
        self._by_request.clear()
        self._by_con_id.clear()
        self._changed.clear()

    def drain(self, arrival: datetime | None = None) -> list[QuoteChanged]:
        """One quote per contract that changed since the last call, in order of first change.

        `arrival` replaces the times at which the ticks were read: with a clock that stands still while
        messages travel, the moment of reading would depend on the machine.
        """
        quotes = []
        for line in self._changed.values():
            line.settle(arrival)
            quotes.append(line.quote())
        self._changed.clear()
        return quotes

    def tick_price(self, request_id: int, tick_type: int, price: float, size: float, time: datetime) -> None:
        line = self._by_request.get(request_id)
        if line is None:
            return
        if tick_type in _BID:
            line.take_side("bid", price, size, time)
        elif tick_type in _ASK:
            line.take_side("ask", price, size, time)
        elif tick_type in _LAST:
            line.last = price
            if line.contract.sec_type is SecType.INDEX:
                line.take_quote_time(time)
        elif tick_type in _CLOSE:
            line.close = price
        else:
            return
        self._changed[line.contract.con_id] = line
        if tick_type not in _CLOSE and line.is_beyond(price):
            self._ring()

    def tick_size(self, request_id: int, tick_type: int, size: float, time: datetime) -> None:
        line = self._by_request.get(request_id)
        if line is None:
            return
        if tick_type in _BID_SIZE:
            line.take_side("bid", line.bid, size, time)
        elif tick_type in _ASK_SIZE:
            line.take_side("ask", line.ask, size, time)
        else:
            return
        self._changed[line.contract.con_id] = line

    def tick_greeks(
        self,
        request_id: int,
        tick_type: int,
        iv: float,
        delta: float,
        gamma: float,
        vega: float,
        theta: float,
        underlying_price: float,
        time: datetime,
    ) -> None:
        """The broker's model only: Greeks at bid, ask or last are of a price nobody may trade at."""
        line = self._by_request.get(request_id)
        if line is None or tick_type not in _MODEL_GREEKS:
            return
        if line.turned(delta):
            self._ring()
        line.iv, line.delta, line.gamma, line.vega, line.theta = iv, delta, gamma, vega, theta
        line.underlying_price, line.greeks_time, line.greeks_arrived = underlying_price, time, True
        self._changed[line.contract.con_id] = line

    def data_type(self, request_id: int, market_data_type: int) -> None:
        line = self._by_request.get(request_id)
        if line is None or line.market_data_type == market_data_type:
            return
        line.market_data_type = market_data_type
        if line.quote_time is not None:
            self._changed[line.contract.con_id] = line


def _nothing() -> None:
    """Nobody wants to be woken."""

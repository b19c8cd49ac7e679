# mypy: disable-error-code="no-untyped-call"
"""Interactive Brokers behind the `Broker` protocol, through ib_async 2.1.0.

After every connect and after a data loss upstream `LinkChanged(UP, resubscribe=True)` is said and no line
is open: the upper floor opens the lines it wants again. It alone knows which those are by then.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Final, TypeVar

import ib_async as ib
import structlog

from broker import sanitise
from broker.connection import Refusal, Session
from broker.events import BrokerEvent, DailyKind, Executed, LinkHealth, LinkState
from broker.inbox import Inbox
from broker.link import Link
from broker.order_book import FINAL, OrderEntry
from broker.protocol import BrokerPicture, Chain, Margin, OrderRequest
from broker.translation import INDEX_EXCHANGES, new_order, our_contract, their_contract, their_order
from options import BrokerError, Clock, ConId, Contract, SecType

T = TypeVar("T")

log = structlog.get_logger()

_NO_SUCH_CONTRACT: Final = 200
_MOST_DAYS: Final = 250  # of trading: a year
_SHOWS: Final = {DailyKind.CLOSE: "TRADES", DailyKind.IMPLIED_VOL: "OPTION_IMPLIED_VOLATILITY"}


class InteractiveBrokers:
    """One account at one gateway.

    `account` may stay empty where the login manages one account only. `throttle_per_s` None sends at once
    and says that quotes arrived when they were drained: for a simulated clock, which stands still while
    messages travel. Time-outs and probing are in wall seconds, of the event loop's own clock.
    """

    def __init__(
        self,
        host: str,
        port: int,
        client_id: int,
        clock: Clock,
        *,
        account: str = "",
        connect_timeout_s: float = 10.0,
        request_timeout_s: float = 10.0,
        throttle_per_s: float | None = 40,
        probe_every_s: float = 10.0,
        probe_timeout_s: float = 5.0,
        jitter: random.Random | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.client_id = client_id
        self._clock = clock
        self._request_timeout_s = request_timeout_s
        self._throttle_per_s = throttle_per_s
        self._inbox = Inbox(clock)
        self._link = Link(
            host,
            port,
            client_id,
            self._inbox,
            self._settle_doubts,
            account=account,
            connect_timeout_s=connect_timeout_s,
            throttle_per_s=throttle_per_s,
            probe_every_s=probe_every_s,
            probe_timeout_s=probe_timeout_s,
            jitter=jitter or random.Random(),
        )
        self._picture_lock = asyncio.Lock()

    # State

    @property
    def link(self) -> LinkState:
        return self._link.state

    @property
    def link_since(self) -> datetime | None:
        """When the link came into its state; None before `run`."""
        return self._link.since

    @property
    def attempts(self) -> int:
        """Connects that were tried since the last that succeeded."""
        return self._link.attempts

    @property
    def health(self) -> LinkHealth:
        """How the link is; asked from within the event loop."""
        return self._link.health

    def renew(self, reason: str) -> None:
        """End the connection and make a new one at once, since a long one costs memory; does nothing
        unless the link is up."""
        self._link.renew(reason)

    @property
    def account(self) -> str:
        return self._inbox.account

    @property
    def is_paper(self) -> bool:
        """Paper accounts start with a D; False before the first connect, so that doubt means real money."""
        return self.account.startswith("D")

    @property
    def lines_used(self) -> int:
        return len(self._inbox.lines)

    @property
    def frames_received(self) -> int:
        """Frames of this connection so far, with the handshake's reply; 0 when not connected."""
        return self._link.session.frames_received if self._link.session else 0

    @property
    def frames_sent(self) -> int:
        """Frames sent on this connection, the handshake excluded; 0 when not connected."""
        return self._link.session.frames_sent if self._link.session else 0

    async def frames_arrived(self, count: int) -> None:
        """Return when `count` frames were handled and no order is in doubt over them, or the connection
        is gone and they never will be. With this and the clock's beat a run is the same every time."""
        while (session := self._link.session) is not None and session.ended is None:
            session.progress.clear()
            if session.frames_received >= count and not self._inbox.orders.has_doubts:
                return
            await session.progress.wait()

    def drain(self) -> list[BrokerEvent]:
        """All events since the last call in order of arrival, then each changed quote once."""
        stands_still = self._throttle_per_s is None
        quotes = self._inbox.lines.drain(self._clock.now() if stands_still else None)
        events: list[BrokerEvent] = [*self._inbox.events, *quotes]
        self._inbox.events.clear()
        return events

    async def run(self) -> None:
        """Stay connected until cancelled. Raises BrokerError only where trying again cannot help: the
        login manages several accounts and none, or an unknown one, was named."""
        await self._link.run()

    # Questions

    async def picture(self) -> BrokerPicture:
        """Asked afresh, all of it; holdings and orders of the traded account only."""
        session = self._link.ready("asking for the picture")
        async with self._picture_lock:
            positions = await self._ask(session, session.reqPositionsAsync(), "positions")
            open_orders, completed = await self._ask_orders(session)
            fills: Awaitable[Sequence[object]] = session.reqExecutionsAsync()
            executions = await self._ask(session, fills, "executions")
            self._inbox.orders.settle(open_orders)
        holdings = (
            self._inbox.as_holding(each.account, each.contract, each.position, each.avgCost)
            for each in positions
        )
        return BrokerPicture(
            holdings=tuple(each for each in holdings if each is not None and each.quantity),
            open_orders=tuple(each.change() for each in open_orders if not each.is_final),
            completed_orders=tuple(each.change() for each in completed),
            executions=tuple(each for each in executions if isinstance(each, Executed)),
        )

    async def underlying(self, symbol: str) -> Contract:
        """The stock or ETF of that symbol, or the index where it is one of the known indices."""
        exchange = INDEX_EXCHANGES.get(symbol)
        asked = Contract(
            con_id=ConId(0),
            symbol=symbol,
            sec_type=SecType.INDEX if exchange else SecType.STOCK,
            exchange=exchange or "SMART",
        )
        (found,) = await self.qualify([asked])
        if found is None:
            raise BrokerError(f"the broker knows no US {asked.sec_type} {symbol}; check the symbol")
        return found

    async def qualify(self, contracts: Sequence[Contract]) -> list[Contract | None]:
        """In the order asked. None for an unknown contract and for one that fits several."""
        session = self._link.ready("looking contracts up")
        timeout_s = self._request_timeout_s + len(contracts) / (self._throttle_per_s or 1000)
        return list(
            await asyncio.gather(*(self._qualify_one(session, each, timeout_s) for each in contracts))
        )

    async def chain(self, underlying: Contract) -> list[Chain]:
        """One entry per trading class, as SMART lists it (else as the first exchange that does)."""
        session = self._link.ready(f"asking for the chain of {underlying.symbol}")
        listed = await self._ask(
            session,
            session.reqSecDefOptParamsAsync(
                underlying.symbol, "", underlying.sec_type.value, underlying.con_id
            ),
            f"chain of {underlying.symbol}",
        )
        chains: dict[tuple[str, str], Chain] = {}
        for each in sorted(listed, key=lambda one: one.exchange != "SMART"):
            chains.setdefault(
                (each.tradingClass, each.multiplier),
                Chain(
                    symbol=underlying.symbol,
                    trading_class=each.tradingClass,
                    multiplier=int(float(each.multiplier or 100)),
                    expiries=tuple(sorted(_date(text) for text in each.expirations)),
                    strikes=tuple(sorted(float(strike) for strike in each.strikes)),
                ),
            )
        return list(chains.values())

    async def margin(self, order: OrderRequest) -> Margin:
        """What the order would change, by the broker's own reckoning; nothing is placed."""
        session = self._link.ready(f"asking for the margin of {order.order_ref}")
        contract, what_if = their_order(order, self.account)
        state = await self._ask(
            session, session.whatIfOrderAsync(contract, what_if), f"margin of {order.order_ref}"
        )
        if not isinstance(state, ib.OrderState):  # ib_async answers a refusal with an empty list
            raise BrokerError(f"margin of {order.order_ref}: the broker gave no answer; ask again later")
        initial = sanitise.text_number(str(state.initMarginChange))
        if initial is None:
            raise BrokerError(f"margin of {order.order_ref}: the broker gave no number; {state.warningText}")
        commission = sanitise.number(state.commission)
        return Margin(
            initial_change_usd=initial,
            maintenance_change_usd=sanitise.text_number(str(state.maintMarginChange)),
            commission_usd=sanitise.number(state.maxCommission) if commission is None else commission,
        )

    # Lines

    def subscribe(self, contract: Contract) -> None:
        """Open a line; does nothing when it is open, nor while there is no connection (the coming
        `LinkChanged(UP)` asks for all lines again). Raises BrokerError for a contract without con_id."""
        if not contract.con_id:
            raise BrokerError(f"{contract.label} has no con_id; qualify it before subscribing")
        session = self._link.session
        if contract.con_id in self._inbox.lines or session is None or not session.client.isReady():
            return
        request_id = session.client.getReqId()
        self._inbox.lines.open(request_id, contract)
        session.client.reqMktData(request_id, their_contract(contract), "", False, False, [])

    def unsubscribe(self, con_id: ConId) -> None:
        """Close the line; does nothing when none is open."""
        request_id = self._inbox.lines.close(con_id)
        if request_id is not None and self._link.session is not None and self._link.session.client.isReady():
            self._link.session.client.cancelMktData(request_id)

    def ring_beyond(self, bands: Mapping[ConId, tuple[float, float]], ring: Callable[[], None]) -> None:
        """As `LineRegistry.ring_beyond`."""
        self._inbox.lines.ring_beyond(bands, ring)

    # History

    def ask_daily(self, contract: Contract, kind: DailyKind, days: int) -> None:
        """Ask for bars of one day, those of trading hours only; they arrive as DailyValues."""
        session = self._link.session
        if session is None or not session.client.isReady():
            return
        request_id = session.client.getReqId()
        self._inbox.asked_daily(request_id, contract.con_id, kind)
        duration = f"{days} D" if days < _MOST_DAYS else "1 Y"
        theirs, show = their_contract(contract), _SHOWS[kind]
        session.client.reqHistoricalData(request_id, theirs, "", duration, "1 day", show, True, 1, False, [])

    # Orders

    def place(self, order: OrderRequest) -> None:
        """Send a new order. Raises BrokerError when the link is not up, when the order cannot be
        expressed, and when its `order_ref` was ever seen, placed by us or known to the broker."""
        session = self._link.ready(f"placing {order.order_ref}")
        if self._inbox.orders.knows(order.order_ref) or not order.order_ref:
            raise BrokerError(
                f"order {order.order_ref!r} was placed already; an order is sent once, look at its fate"
            )
        contract, new = their_order(order, self.account)
        new.orderId, new.clientId = session.client.getReqId(), self.client_id
        self._inbox.orders.sent(contract, new, self.client_id, new.orderId)
        session.client.placeOrder(new.orderId, contract, new)
        log.info(
            "order.placed",
            order_ref=order.order_ref,
            order_id=new.orderId,
            action=new.action,
            quantity=order.quantity,
            limit_price=order.limit_price,
            legs=[(leg.contract.con_id, leg.ratio) for leg in order.legs],
        )

    def reprice(self, order_ref: str, limit_price: float) -> bool:
        """Modify the working limit order. False when it is final, being cancelled, a market order, or not
        ours in this connection; nothing is sent then. Raises BrokerError when the link is not up."""
        session = self._link.ready(f"repricing {order_ref}")
        entry = self._working(order_ref)
        if entry is None or entry.cancel_asked or entry.order.orderType != "LMT" or entry.order_id is None:
            return False
        limit = entry.sign * limit_price
        size = float(entry.order.totalQuantity)
        order = new_order(entry.order.action, size, limit, entry.order.account, order_ref)
        order.orderId, order.clientId, order.permId = entry.order_id, self.client_id, entry.perm_id or 0
        entry.modified = True
        session.client.placeOrder(entry.order_id, entry.contract, order)
        log.info("order.repriced", order_ref=order_ref, order_id=entry.order_id, limit_price=limit_price)
        return True

    def cancel(self, order_ref: str) -> bool:
        """Ask for the cancellation; it may still fill. False when it is final or not ours in this
        connection; nothing is sent then. Raises BrokerError when the link is not up."""
        session = self._link.ready(f"cancelling {order_ref}")
        entry = self._working(order_ref)
        if entry is None or entry.order_id is None:
            return False
        session.client.cancelOrder(entry.order_id)
        self._inbox.orders.cancel_sent(entry)
        log.info("order.cancel_asked", order_ref=order_ref, order_id=entry.order_id)
        return True

    # Inside

    async def _settle_doubts(self, session: Session) -> None:
        try:
            async with self._picture_lock:
                open_orders, _ = await self._ask_orders(session)
                self._inbox.orders.settle(open_orders)
        except BrokerError as error:
            log.warning("order.doubt_remains", reason=str(error))
        session.progress.set()

    def _working(self, order_ref: str) -> OrderEntry | None:
        entry = self._inbox.orders.by_ref(order_ref)
        if entry is None or entry.state in FINAL or entry.client_id != self.client_id:
            return None
        return entry

    async def _ask(self, session: Session, request: Awaitable[T], what: str) -> T:
        return await session.ask(request, what, self._request_timeout_s)

    async def _ask_orders(self, session: Session) -> tuple[list[OrderEntry], list[OrderEntry]]:
        """Open ones of all clients, then completed ones. The results are ours: the session collects its
        entries where ib_async would collect Trades."""
        open_orders: Awaitable[Sequence[object]] = session.reqAllOpenOrdersAsync()
        seen = await self._ask(session, open_orders, "open orders")
        completed_orders: Awaitable[Sequence[object]] = session.reqCompletedOrdersAsync(apiOnly=False)
        done = await self._ask(session, completed_orders, "completed orders")
        return _entries(seen), _entries(done)

    async def _qualify_one(self, session: Session, asked: Contract, timeout_s: float) -> Contract | None:
        theirs = their_contract(asked)
        if asked.con_id:
            theirs = ib.Contract(conId=asked.con_id, exchange=asked.exchange)
        what = f"contract {asked.label}"
        try:
            found = await session.ask(session.reqContractDetailsAsync(theirs), what, timeout_s)
        except Refusal as refusal:
            if refusal.code == _NO_SUCH_CONTRACT:
                return None
            raise
        known = [
            ours
            for each in found
            if each.contract is not None and (ours := our_contract(each.contract, each.minTick))
        ]
        if len(known) != 1:
            log.warning("contract.ambiguous", asked=asked.label, found=len(known))
            return None
        self._inbox.contracts[known[0].con_id] = known[0]
        return known[0]


def _entries(results: Sequence[object]) -> list[OrderEntry]:
    """Each order once: the broker may repeat one."""
    return list(dict.fromkeys(each for each in results if isinstance(each, OrderEntry)))


def _date(text: str) -> date:
    return datetime.strptime(text, "%Y%m%d").date()

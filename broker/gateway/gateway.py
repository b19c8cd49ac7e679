"""The gateway itself: market, exchange and clock behind a socket, and who is told what."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from broker.gateway.clock import Clock
from broker.gateway.desks.account_desk import AccountDesk
from broker.gateway.desks.account_feed import Kind
from broker.gateway.desks.calculator import Calculator
from broker.gateway.desks.contract_desk import ContractDesk
from broker.gateway.desks.data_desk import DataDesk
from broker.gateway.desks.history_desk import HistoryDesk
from broker.gateway.desks.order_desk import OrderDesk
from broker.gateway.desks.tick_desk import TickDesk
from broker.gateway.desks.unsupported import UNSUPPORTED, refuse
from broker.gateway.errors import GatewayError, MessageError, OrderRefused
from broker.gateway.exchange.account import Account, Execution
from broker.gateway.exchange.exchange import Exchange
from broker.gateway.exchange.order import Order
from broker.gateway.faults import Faults
from broker.gateway.markets.listings import Query
from broker.gateway.markets.market import Market
from broker.gateway.protocol.order_request import OrderRequest
from broker.gateway.protocol.wire import Fields
from broker.gateway.recording.tape import Mark, Tape, moment
from broker.gateway.session import Session
from broker.gateway.state import StateFile
from options import ConId

log = logging.getLogger("gateway")

IN_USE = "Unable to connect as the client id is already in use. Retry with a unique client id."
FARMS = (
    (2104, "Market data farm connection is OK:usfarm"),
    (2106, "HMDS data farm connection is OK:ushmds"),
    (2158, "Sec-def data farm connection is OK:secdefil"),
)

Handler = Callable[[Session, Fields], None]


class Gateway:
    """Serves API clients. It is the clock's world and the exchange's witness.

    `sessions` are the clients by their ids, `connections` also those that have not said theirs yet.
    `tape` hears everything from the moment it is put in.
    For faults: `refuses` turns new connections away, `listener` may take a client's message from the desks.
    """

    def __init__(
        self,
        market: Market,
        account: Account,
        now: datetime,
        speed: float,
        lines: int,
        state: Path | None,
        seed: int,
    ) -> None:
        self.exchange = Exchange(market, account, self, seed)
        self.clock = Clock(self, now, speed)
        self.contracts = ContractDesk(self.exchange)
        self.data = DataDesk(self.exchange, lines)
        self.history = HistoryDesk(self.exchange, self.data.entitlements)
        self.ticks = TickDesk(self.exchange, self.data.entitlements, self.history)
        self.calculator = Calculator(market.listings)
        self.accounts = AccountDesk(self.exchange, now)
        self.orders = OrderDesk(self.exchange)
        self.sessions: dict[int, Session] = {}
        self.connections: list[Session] = []
        self.refuses = False
        self.listener: Callable[[Session, int, Sequence[str]], bool] | None = None
        self.faults = Faults(self)
        self.stop = asyncio.Event()
        self.failure: GatewayError | None = None
        self.tape: Tape | None = None
        self._visits = 0
        self._state_path = state
        self._state: StateFile | None = None
        self._unsaved: dict[int, Order] | None = None
        self._handlers = self._table()

    @property
    def market(self) -> Market:
        return self.exchange.market

    def save(self, *orders: Order) -> None:
        """Writes these orders and all else that has changed to the state file, if there is one; a disk that
        fails ends the gateway before it says more."""
        if self._state_path:
            try:
                self._state = self._state or StateFile(self._state_path)
                self._state.write(self.exchange, self.clock.now, orders)
            except GatewayError as error:
                self.fail(error)
                raise

    def change(self, *orders: Order) -> None:
        """Something has changed, these orders among it: whatever is said waits until `_keep`."""
        if self._state_path:
            self._unsaved = self._unsaved or {}
            self._unsaved.update((order.perm_id, order) for order in orders)
            for session in self.connections:
                session.hold()

    def _keep(self) -> None:
        """At the end of whatever changed something: all of it goes to the disk at once, and only then what
        was said goes out. So a kill never parts a fill from what follows from it."""
        if self._unsaved is not None:
            orders, self._unsaved = self._unsaved.values(), None
            self.save(*orders)
            for session in self.connections:
                session.release()

    def close(self) -> None:
        """Writes all that works and lets go of the state file."""
        if not self.failure:
            self.save(*self.exchange.working())
        if self._state:
            self._state.close()

    def fail(self, error: GatewayError) -> None:
        """Ends the gateway with this error."""
        self.failure = error
        self.stop.set()

    # -- connections ----------------------------------------------------------------------------------

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One API connection from its first byte to its last."""
        self._visits += 1
        session = Session(reader, writer, tape=self.tape, number=self._visits)
        session.note(Mark.OPENED)
        self.connections.append(session)
        self.faults.opened(session)
        try:
            if not self.refuses and await session.shake_hands(lambda: self.data.server_time(self.clock.now)):
                await session.serve(self._handle)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except GatewayError as error:
            log.warning("client %d is cut off: %s", session.client_id, error)
        finally:
            self.connections.remove(session)
            if self.sessions.get(session.client_id) is session:
                del self.sessions[session.client_id]
                log.info("client %d has gone", session.client_id)
            session.close()
            session.note_end()
            self.clock.frame_arrived()

    def _handle(self, session: Session, kind: int, fields: Fields) -> None:
        if self.listener is None or not self.listener(session, kind, fields.values):
            self.answer(session, kind, fields)
        self.clock.frame_arrived()

    def answer(self, session: Session, kind: int, fields: Fields) -> None:
        """Has the message dealt with by whoever is in charge of its kind."""
        handler = self._handlers.get(kind)
        try:
            if session.client_id < 0 and kind != 71:
                session.error(-1, 505, "Fatal Error: startApi must come first.")
            elif handler is None:
                session.error(-1, 505, f"Fatal Error: Unknown message id {kind}.")
            else:
                handler(session, fields)
        except MessageError as error:
            log.warning("client %d sent a message %d that makes no sense: %s", session.client_id, kind, error)
            session.error(-1, 320, f"Error reading request: {error}")
        self._keep()

    def _start_api(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        client_id = fields.integer()
        if session.client_id >= 0 or client_id < 0:
            wrong = f"{client_id} is below 0" if client_id < 0 else "it has come before"
            session.error(
                -1, 505, f"Fatal Error: startApi must come once, with a client id from 0 on: {wrong}."
            )
        elif client_id in self.sessions:
            session.error(-1, 326, IN_USE)
            session.close()
        else:
            self._admit(session, client_id)

    def _admit(self, session: Session, client_id: int) -> None:
        """The client is known from now on; it is told its account and its next order id."""
        session.client_id = client_id
        self.sessions[client_id] = session
        self.clock.client_started(client_id)
        log.info("client %d has connected", client_id)
        session.send(15, 1, self.exchange.account.account_id)
        session.send(9, 1, self.exchange.next_order_id(client_id))
        for code, text in FARMS:
            session.error(-1, code, text)

    def _exercise(self, session: Session, fields: Fields) -> None:
        self.orders.exercise(session, fields, self.clock.now)
        self.change()

    def _table(self) -> dict[int, Handler]:
        """What answers which message; a message that wants no answer is listed with `_nothing`."""
        contracts, data, history, ticks = self.contracts, self.data, self.history, self.ticks
        accounts, orders = self.accounts, self.orders
        return {
            **{kind: partial(refuse, kind=kind) for kind in UNSUPPORTED},
            1: lambda s, f: data.subscribe(s, f, self.clock.now),
            2: data.unsubscribe,
            3: lambda s, f: orders.place(s, f, self.clock.now),
            4: lambda s, f: orders.cancel(s, f, self.clock.now),
            5: lambda s, _: orders.open_orders(s, everyone=False),
            6: lambda s, f: accounts.updates(s, f, self.clock.now),
            7: lambda s, f: orders.executions(s, f, self.clock.now),
            8: lambda s, _: s.send(9, 1, self.exchange.next_order_id(s.client_id)),
            9: lambda s, f: contracts.details(s, f, self.clock.now),
            13: _nothing,
            14: _nothing,
            15: orders.bind,
            16: lambda s, _: orders.open_orders(s, everyone=True),
            17: lambda s, _: s.send(15, 1, self.exchange.account.account_id),
            20: lambda s, f: history.bars(s, f, self.clock.now),
            21: self._exercise,
            25: history.cancel_bars,
            49: lambda s, _: s.send(49, 1, int(self.clock.now.timestamp())),
            54: lambda s, f: self.calculator.implied_volatility(s, f, self.clock.now),
            55: lambda s, f: self.calculator.option_price(s, f, self.clock.now),
            56: _nothing,
            57: _nothing,
            58: lambda _s, _f: orders.cancel_all(self.clock.now),
            59: data.data_type,
            61: lambda s, _: accounts.positions(s, self.clock.now),
            62: lambda s, f: accounts.summary(s, f, self.clock.now),
            63: lambda s, f: accounts.cancel(s, f, Kind.SUMMARY),
            64: lambda s, f: accounts.cancel(s, f, Kind.POSITIONS),
            71: self._start_api,
            74: lambda s, f: accounts.positions_multi(s, f, self.clock.now),
            75: lambda s, f: accounts.cancel(s, f, Kind.POSITIONS_MULTI),
            76: lambda s, f: accounts.updates_multi(s, f, self.clock.now),
            77: lambda s, f: accounts.cancel(s, f, Kind.UPDATES_MULTI),
            78: lambda s, f: contracts.option_chain(s, f, self.clock.now),
            79: lambda s, f: s.send(77, f.integer(), 0),
            80: lambda s, _: s.send(78, 0),
            81: contracts.matching_symbols,
            83: contracts.components,
            87: lambda s, f: history.head(s, f, self.clock.now),
            90: _nothing,
            91: contracts.market_rule,
            92: lambda s, f: accounts.profit(s, f, self.clock.now),
            93: lambda s, f: accounts.cancel(s, f, Kind.PROFIT),
            94: lambda s, f: accounts.profit_single(s, f, self.clock.now),
            95: lambda s, f: accounts.cancel(s, f, Kind.PROFIT_SINGLE),
            96: lambda s, f: history.ticks(s, f, self.clock.now),
            97: lambda s, f: ticks.subscribe(s, f, self.clock.now),
            98: ticks.unsubscribe,
            99: orders.completed_orders,
            104: lambda s, f: s.send(107, f.integer(), ""),
        }

    # -- the clock's world ----------------------------------------------------------------------------

    def watched(self) -> set[ConId]:
        """Contracts that somebody subscribed to or has a working order in."""
        subscribed = {con_id for session in self.sessions.values() for con_id in session.watched()}
        return subscribed.union(self.exchange.working_con_ids())

    def next_event(self, now: datetime) -> datetime | None:
        moments = (
            self.market.next_change(self.watched(), now),
            self.exchange.next_event(),
            self.data.next_event(self.sessions.values()),
            self.history.next_event(self._listeners()),
            self.exchange.settlement.next_moment,
            self.faults.next_event(),
            self.accounts.next_news(self.sessions.values(), now),
        )
        return min((moment for moment in moments if moment is not None), default=None)

    def resume(self, now: datetime) -> datetime:
        return self.market.resume(now)

    def ended(self, now: datetime) -> bool:
        return self.market.ended(now)

    def pass_time(self, before: datetime, now: datetime) -> None:
        if self.tape:
            self.tape.note(Mark.TIME, 0, moment(now))
        self.faults.pass_time(now)
        changed = self.market.changed(self.watched(), before, now)
        if changed:
            self._tell(changed)
        self.data.pass_time(self.in_order(), now)
        self.history.pass_time(self._listeners(), now)
        self.exchange.pass_time(now, changed)
        self.accounts.pass_time(self.in_order(), now)
        self._keep()

    def frames(self, client_id: int) -> tuple[int, int] | None:
        session = self.sessions.get(client_id)
        return (session.sent, session.received) if session else None

    def in_order(self) -> list[Session]:
        return [self.sessions[client_id] for client_id in sorted(self.sessions)]

    # -- the exchange's witness -----------------------------------------------------------------------

    def _owner(self, order: Order) -> Session | None:
        """Who is told of an order's life: its client; of one placed by hand client 0, if it asked to be."""
        session = self.sessions.get(order.client_id)
        return session if session and (session.binds_orders or not order.by_hand) else None

    def order_changed(self, order: Order) -> None:
        self.change(order)
        session = self._owner(order)
        if session:
            self.orders.send_order(session, order)

    def order_warned(self, order: Order, code: int, text: str) -> None:
        session = self._owner(order)
        if session:
            session.error(order.order_id, code, text)

    def order_refused(self, order: Order, refusal: OrderRefused) -> None:
        self.change(order)
        session = self._owner(order)
        if session:
            self.orders.announce_refusal(session, order, refusal)

    def order_filled(self, order: Order, executions: list[Execution]) -> None:
        self.change(order)
        label = order.request.order_ref or str(order.order_id)
        log.info("order %s: %d filled at %.2f", label, order.filled, order.fill_price or 0.0)
        session = self._owner(order)
        if session:
            self.orders.announce_fill(session, order, executions)
        self.accounts.holdings_changed(self.in_order(), self.clock.now)

    def order_cancelled(self, order: Order, reason: str) -> None:
        self.change(order)
        session = self._owner(order)
        if session:
            self.orders.announce_cancel(session, order, reason)

    def holdings_changed(self, con_ids: list[ConId]) -> None:
        self.change()
        log.info("%d holdings have changed without an order", len(con_ids))
        self.accounts.holdings_changed(self.in_order(), self.clock.now)

    # -- by command -----------------------------------------------------------------------------------

    def place_by_hand(self, con_id: ConId, action: str, quantity: int, limit_price: float | None) -> Order:
        """An order that no API client sends, as if given at the broker's own screen; raises GatewayError."""
        request = OrderRequest(
            contract=Query(con_id, "", "", "", 0.0, "", "", "", "", "", "", ""),
            action=action,
            quantity=quantity,
            order_type="MKT" if limit_price is None else "LMT",
            limit_price=limit_price,
            tif="GTC",
        )
        try:
            order = self.orders.place_by_hand(request, self.sessions.get(0), self.clock.now)
        except OrderRefused as refusal:
            raise GatewayError(f"the exchange refuses the order: {refusal.text} ({refusal.code})") from None
        self._keep()
        return order

    def publish(self, con_ids: Collection[ConId] | None = None) -> None:
        """Sends the present quotes of these contracts (None: of all that are watched) to whoever listens,
        and fills what can be filled at them."""
        wanted = sorted(self.watched()) if con_ids is None else con_ids
        self._tell(wanted)
        self.exchange.pass_time(self.clock.now, wanted)
        self._keep()

    def _listeners(self) -> list[Session]:
        """Who hears of prices: nobody while the line to the markets is broken."""
        return [] if self.data.paused else self.in_order()

    def _tell(self, con_ids: Collection[ConId]) -> None:
        """Everyone who watches these contracts."""
        listeners = self._listeners()
        self.data.publish(listeners, con_ids, self.clock.now)
        self.ticks.publish(listeners, con_ids, self.clock.now)
        self.history.publish(listeners, con_ids)

    def disconnect(self, session: Session) -> None:
        """Closes a client's connection; its id is free at once."""
        session.close()
        if self.sessions.get(session.client_id) is session:
            del self.sessions[session.client_id]


def _nothing(_session: Session, _fields: Fields) -> None:
    """For messages that a real gateway does not answer either."""

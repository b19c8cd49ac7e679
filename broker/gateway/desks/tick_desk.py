"""Answers requests for tick-by-tick data: every trade, every change of the best prices or of their middle."""

from collections.abc import Collection, Iterable
from datetime import datetime

from broker.gateway.desks.entitlements import Entitlements
from broker.gateway.desks.history_desk import HistoryDesk
from broker.gateway.desks.tick_stream import TickKind, TickStream
from broker.gateway.errors import RequestRefused
from broker.gateway.exchange.exchange import Exchange
from broker.gateway.markets.listings import Query
from broker.gateway.markets.quotes import MISSING, Quote
from broker.gateway.markets.venues import best_letters
from broker.gateway.protocol.tick_messages import TICK_BY_TICK, Tick, Ticks
from broker.gateway.protocol.wire import Fields, Value
from broker.gateway.session import Session
from options import ConId, Contract, SecType

MOST_STREAMS = 5
HISTORY = {
    TickKind.LAST: "TRADES",
    TickKind.ALL_LAST: "TRADES",
    TickKind.BID_ASK: "BID_ASK",
    TickKind.MIDPOINT: "MIDPOINT",
}
NAMES = {
    "Last": TickKind.LAST,
    "AllLast": TickKind.ALL_LAST,
    "BidAsk": TickKind.BID_ASK,
    "MidPoint": TickKind.MIDPOINT,
}
FAILED = "Failed to request tick-by-tick data."


class TickDesk:
    """One client may have `MOST_STREAMS` at once, as an account with 100 lines may."""

    def __init__(self, exchange: Exchange, entitlements: Entitlements, history: HistoryDesk) -> None:
        self.exchange = exchange
        self.entitlements = entitlements
        self.history = history

    def subscribe(self, session: Session, fields: Fields, now: datetime) -> None:
        """reqTickByTickData (97): some ticks of the past when they are asked for, then what happens."""
        req_id = fields.integer()
        query = Query.read(fields)
        name, count, ignore_size = fields.text(), fields.integer(), fields.flag()
        fields.finish()
        with session.answering(req_id):
            contract = self._contract(query, name, now)
            _check_free(session, req_id)
            kind = NAMES[name]
            if count:
                span = (None, now)
                message = self.history.tick_message(req_id, contract, HISTORY[kind], span, count, now)
                session.send(*message)
            session.streams[req_id] = stream = TickStream(contract, kind, ignore_size)
            quote = self.exchange.quotes([contract.con_id], now)[contract.con_id]
            if kind in (TickKind.LAST, TickKind.ALL_LAST):
                stream.told = quote
            self._tell(session, req_id, stream, quote, now)

    def _contract(self, query: Query, name: str, now: datetime) -> Contract:
        if query.sec_type == SecType.COMBO:
            raise RequestRefused(10189, f"{FAILED}Tick-by-tick requests are not supported for BAG")
        contract = self.exchange.market.listings.the_one(query, now)
        trades = NAMES.get(name) in (TickKind.LAST, TickKind.ALL_LAST)
        if name not in NAMES or (contract.sec_type is SecType.INDEX and not trades):
            text = f"{FAILED}{name} tick-by-tick requests are not supported for {contract.symbol}"
            raise RequestRefused(10189, text)
        self.entitlements.require(contract, 10189, FAILED)
        return contract

    def unsubscribe(self, session: Session, fields: Fields) -> None:
        """cancelTickByTickData (98)."""
        req_id = fields.integer()
        if session.streams.pop(req_id, None) is None:
            session.error(req_id, 300, f"Can't find EId with tickerId:{req_id}")

    def publish(self, sessions: Iterable[Session], con_ids: Collection[ConId], now: datetime) -> None:
        """Tells what happened to these contracts."""
        for session in sessions:
            for req_id, stream in session.streams.items():
                con_id = stream.contract.con_id
                if con_id in con_ids:
                    quote = self.exchange.quotes([con_id], now)[con_id]
                    self._tell(session, req_id, stream, quote, now)

    def _tell(self, session: Session, req_id: int, stream: TickStream, quote: Quote, now: datetime) -> None:
        tick = tick_of(stream, quote, now)
        stream.told = quote
        if tick:
            session.send_ticks([(req_id, Ticks([tick]))])


def tick_of(stream: TickStream, quote: Quote, now: datetime) -> Tick | None:
    """The tickByTick (99) that a quote becomes, None when it is no news for this kind of stream."""
    old, moment = stream.told or MISSING, int(now.timestamp())
    values: tuple[Value, ...] | None = None
    match stream.kind:
        case TickKind.LAST | TickKind.ALL_LAST:
            traded = (quote.volume or 0) - (old.volume or 0) if old.volume is not None else 0
            if quote.last is not None and (quote.last != old.last or traded > 0):
                values = (quote.last, max(traded, 1), 0, best_letters(stream.contract, 0), "")
        case TickKind.BID_ASK:
            moved = (quote.bid, quote.ask) != (old.bid, old.ask)
            resized = (quote.bid_size, quote.ask_size) != (old.bid_size, old.ask_size)
            if moved or (resized and not stream.ignore_size):
                bid, ask = (-1.0 if price is None else price for price in (quote.bid, quote.ask))
                values = (bid, ask, quote.bid_size, quote.ask_size, 0)
        case TickKind.MIDPOINT:
            sides, before = quote.two_sided, old.two_sided
            if sides and (before is None or sum(sides) != sum(before)):
                values = (round(sum(sides) / 2, 6),)
    return None if values is None else Tick(TICK_BY_TICK, stream.kind, (moment, *values))


def _check_free(session: Session, req_id: int) -> None:
    if req_id in session.streams:
        raise RequestRefused(102, "Duplicate ticker ID.")
    if len(session.streams) >= MOST_STREAMS:
        raise RequestRefused(10190, "Max number of tick-by-tick requests has been reached.")

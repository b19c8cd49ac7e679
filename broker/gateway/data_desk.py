"""Answers requests about market data."""

from collections.abc import Iterable
from datetime import datetime

from broker.gateway.exchange import Exchange
from broker.gateway.listings import Query
from broker.gateway.quotes import Quote
from broker.gateway.session import Line, Session
from broker.gateway.wire import Fields
from options import NEW_YORK, ConId, SecType

NOT_FOUND = "No security definition has been found for the request"
SENTINELS = (-1.0, -2.0, -1.0, -1.0, -2.0, -2.0, -2.0, -1.0)


class DataDesk:
    """`most_lines` is how many market data lines one client may have at once; `paused` stops all ticks."""

    def __init__(self, exchange: Exchange, most_lines: int) -> None:
        self.exchange = exchange
        self.most_lines = most_lines
        self.paused = False

    def subscribe(self, session: Session, fields: Fields, now: datetime) -> None:
        fields.skip(1)
        req_id = fields.integer()
        query = Query.read(fields)
        if query.sec_type == "BAG":
            fields.skip(4 * fields.integer())
        if fields.flag():
            fields.skip(3)
        fields.skip(1)
        snapshot = fields.flag()
        found = self.exchange.market.listings.match(query)
        if len(found) != 1 or query.sec_type == "BAG":
            session.error(req_id, 200, NOT_FOUND)
            return
        if not snapshot and len(session.lines) >= self.most_lines:
            session.error(req_id, 101, "Max number of tickers has been reached")
            return
        line = Line(found[0])
        session.send(81, req_id, found[0].min_tick, "9c0001", 3)
        session.send(58, 1, req_id, 1)
        if not self.paused:
            self._send(session, req_id, line, self._quote(line, now), now)
        if snapshot:
            session.send(57, 1, req_id)
        else:
            session.lines[req_id] = line

    def unsubscribe(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        req_id = fields.integer()
        if session.lines.pop(req_id, None) is None:
            session.error(req_id, 300, f"Can't find EId with tickerId:{req_id}")

    def _quote(self, line: Line, now: datetime) -> Quote:
        con_id = line.contract.con_id
        return self.exchange.quotes([con_id], now)[con_id]

    def publish(self, sessions: Iterable[Session], con_ids: Iterable[ConId], now: datetime) -> None:
        """Sends what changed in the quotes of these contracts to everyone who subscribed to them."""
        if self.paused:
            return
        quotes = self.exchange.quotes(con_ids, now)
        for session in sessions:
            for req_id, line in session.lines.items():
                quote = quotes.get(line.contract.con_id)
                if quote is not None:
                    self._send(session, req_id, line, quote, now)

    def _send(self, session: Session, req_id: int, line: Line, quote: Quote, now: datetime) -> None:
        """Prices again each time they were seen, so that an unmoved quote is known to be current; of the
        rest what differs. A side that vanished is sent as -1 with size 0."""
        old = line.sent or Quote()
        first = line.sent is None
        for price_type, size_type, price, size, before in (
            (1, 0, quote.bid, quote.bid_size, (old.bid, old.bid_size)),
            (2, 3, quote.ask, quote.ask_size, (old.ask, old.ask_size)),
        ):
            vanished = price is None and (before[0] is not None or (first and _has_any(quote)))
            if vanished:
                session.send(1, 6, req_id, price_type, -1.0, 0, 1)
            elif price is not None:
                session.send(1, 6, req_id, price_type, price, size, 1)
            if vanished or (price is not None and (price, size) != before):
                session.send(2, 6, req_id, size_type, size if price is not None else 0)
        if quote.last is not None and quote.last != old.last:
            session.send(1, 6, req_id, 4, quote.last, 1, 0)
            session.send(46, 6, req_id, 45, int(now.timestamp()))
        if quote.close is not None and quote.close != old.close:
            session.send(1, 6, req_id, 9, quote.close, 0, 0)
        if quote.volume is not None and quote.volume != old.volume:
            session.send(2, 6, req_id, 8, quote.volume)
        if quote.computation != old.computation:
            values = quote.computation or (None,) * 8
            sent = [lack if v is None else v for v, lack in zip(values, SENTINELS, strict=True)]
            session.send(21, req_id, 13, 0, *sent)
        if first and line.contract.sec_type is not SecType.OPTION:
            session.send(45, 6, req_id, 49, 0)
        line.sent = quote

    def server_time(self, now: datetime) -> str:
        return f"{now.astimezone(NEW_YORK):%Y%m%d %H:%M:%S} US/Eastern"


def _has_any(quote: Quote) -> bool:
    """Whether the market knows the contract at this moment though a side may be missing."""
    return quote != Quote()

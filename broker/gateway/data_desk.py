"""Answers requests about contracts and market data."""

from collections.abc import Iterable
from datetime import datetime

from broker.gateway import hours
from broker.gateway.exchange import Exchange
from broker.gateway.listings import Query
from broker.gateway.quotes import Quote
from broker.gateway.session import Line, Session
from broker.gateway.wire import Fields, Value
from options import NEW_YORK, ConId, Contract, SecType

EXCHANGES = ("SMART", "CBOE")
MARKET_RULES = {26: 0.01, 32: 0.05, 67: 0.10}
NOT_FOUND = "No security definition has been found for the request"
BAG_REFUSED = (
    "Error validating request.-'bI' : cause - 'BAG' isn't supported for contract data request."
    " - Please use leg definitions instead."
)
LONG_NAMES = {
    "SPY": "SS SPDR S&P 500 ETF TRUST-US",
    "QQQ": "INVESCO QQQ TRUST SERIES 1",
    "IWM": "ISHARES RUSSELL 2000 ETF",
    "VIX": "CBOE Volatility Index",
}
SENTINELS = (-1.0, -2.0, -1.0, -1.0, -2.0, -2.0, -2.0, -1.0)


class DataDesk:
    """`most_lines` is how many market data lines one client may have at once; `paused` stops all ticks."""

    def __init__(self, exchange: Exchange, most_lines: int) -> None:
        self.exchange = exchange
        self.most_lines = most_lines
        self.paused = False

    # -- contracts ------------------------------------------------------------------------------------

    def contract_details(self, session: Session, fields: Fields, now: datetime) -> None:
        fields.skip(1)
        req_id = fields.integer()
        query = Query.read(fields)
        if query.sec_type == "BAG":
            session.error(req_id, 321, BAG_REFUSED)
            return
        found = self.exchange.market.listings.match(query)
        if not found:
            session.error(req_id, 200, NOT_FOUND)
            return
        for contract in found:
            session.send(*self._details(req_id, contract, now))
        session.send(52, 1, req_id)

    def _details(self, req_id: int, contract: Contract, now: datetime) -> list[Value]:
        option = contract.sec_type is SecType.OPTION
        owner = self.exchange.market.listings.find(contract.symbol)
        rule = next((n for n, tick in MARKET_RULES.items() if tick == contract.min_tick), 26)
        trading = hours.session_text(now)
        expiry = f"{contract.expiry:%Y%m%d}" if contract.expiry else ""
        owned = owner.con_id if option and owner else 0
        return [
            *(
                10,
                req_id,
                contract.symbol,
                contract.sec_type,
                f"{expiry} 16:00:00 US/Eastern" if option else "",
            ),
            *(contract.strike if option else 0.0, contract.right or "", contract.exchange, contract.currency),
            *(contract.local_symbol, contract.trading_class, contract.trading_class, contract.con_id),
            *(contract.min_tick, contract.multiplier if option else "", "ACTIVETIM,LMT,MKT,WHATIF"),
            *(",".join(EXCHANGES), 1, owned, LONG_NAMES.get(contract.symbol, contract.symbol)),
            *("" if option else "ARCA", expiry[:6], "", "", "", "US/Eastern", trading, trading, "", 0, 0),
            *(1, contract.symbol if option else "", "STK" if option else "", f"{rule},{rule}", expiry),
            *("" if option else "ETF", 1, 1, 1),
        ]

    def option_chain(self, session: Session, fields: Fields) -> None:
        req_id = fields.integer()
        symbol = fields.text()
        fields.skip(2)
        con_id = fields.integer()
        owner = self.exchange.market.listings.get(con_id)
        chain = self.exchange.market.listings.chain(symbol) if owner and owner.symbol == symbol else []
        if owner is None:
            session.error(req_id, 200, NOT_FOUND)
            return
        expiries = sorted({c.expiry for c in chain if c.expiry})
        strikes = sorted({c.strike for c in chain if c.strike})
        for exchange in EXCHANGES if chain else ():
            reply: list[Value] = [75, req_id, exchange, con_id, symbol, chain[0].multiplier]
            session.send(*reply, len(expiries), *expiries, len(strikes), *strikes)
        session.send(76, req_id)

    def market_rule(self, session: Session, fields: Fields) -> None:
        rule = fields.integer()
        if rule in MARKET_RULES:
            session.send(93, rule, 1, 0, MARKET_RULES[rule])
        else:
            session.error(-1, 322, f"Error processing request.-'bN' : cause - market rule {rule} is unknown")

    def matching_symbols(self, session: Session, fields: Fields) -> None:
        req_id = fields.integer()
        found = self.exchange.market.listings.search(fields.text())
        reply: list[Value] = [79, req_id, len(found)]
        for c in found:
            reply += [c.con_id, c.symbol, c.sec_type, "ARCA", c.currency, 1, "OPT"]
            reply += [LONG_NAMES.get(c.symbol, c.symbol), ""]
        session.send(*reply)

    # -- market data ----------------------------------------------------------------------------------

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

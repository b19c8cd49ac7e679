"""Answers requests about contracts: details, chains, symbols, market rules."""

from datetime import datetime

from broker.gateway import hours
from broker.gateway.exchange import Exchange
from broker.gateway.listings import Query
from broker.gateway.session import Session
from broker.gateway.wire import Fields, Value
from options import Contract, SecType
from options.hours import closing

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


class ContractDesk:
    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def details(self, session: Session, fields: Fields, now: datetime) -> None:
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
                hours.ib_time(closing(contract.expiry)) if contract.expiry else "",
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

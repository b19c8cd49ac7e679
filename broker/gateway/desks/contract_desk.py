"""Answers requests about contracts: details, chains, symbols, market rules, venues."""

from collections import defaultdict
from datetime import datetime

from broker.gateway.exchange.exchange import Exchange
from broker.gateway.markets.listings import NO_SECURITY_TYPE, NOT_FOUND, SECURITY_TYPES, Query
from broker.gateway.markets.market_rules import RULES
from broker.gateway.markets.venues import exchanges_of, smart_components
from broker.gateway.protocol.contract_messages import (
    chain_parameters,
    contract_details,
    market_rule,
    symbol_samples,
)
from broker.gateway.protocol.wire import Fields
from broker.gateway.session import Session
from options import Contract, SecType

BAG_REFUSED = (
    "Error validating request.-'bI' : cause - 'BAG' isn't supported for contract data request."
    " - Please use leg definitions instead."
)
NO_CONTRACT_ID = "Error validating request.-'cL' : cause - Invalid contract id"
ISSUER_ID_FROM = 176
MOST_SAMPLES = 16


class ContractDesk:
    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def details(self, session: Session, fields: Fields, now: datetime) -> None:
        """reqContractDetails (9). `includeExpired` brings expired futures back, never options: as there are
        no futures here, it changes nothing."""
        fields.skip(1)
        req_id = fields.integer()
        query = Query.read(fields)
        fields.skip(2)
        other_id = fields.text()
        issuer = fields.text() if session.version >= ISSUER_ID_FROM else ""
        fields.finish()
        found = self.exchange.market.listings.match(query, now)
        if query.sec_type == "BAG":
            session.error(req_id, 321, BAG_REFUSED)
        elif not query.con_id and query.sec_type not in SECURITY_TYPES:
            session.error(req_id, 321, NO_SECURITY_TYPE)
        elif other_id or issuer:
            wanted = f"{NOT_FOUND}: the simulated gateway knows no security by {other_id or issuer}"
            session.error(req_id, 200, f"{wanted}, ask by conId or by symbol, secType, exchange and currency")
        elif not found:
            session.error(req_id, 200, NOT_FOUND)
        else:
            for contract in found:
                owner = self._owner(contract)
                session.send(*contract_details(req_id, contract, owner, now, session.version))
            session.send(52, 1, req_id)

    def _owner(self, contract: Contract) -> Contract | None:
        option = contract.sec_type is SecType.OPTION
        return self.exchange.market.listings.find(contract.symbol) if option else None

    def option_chain(self, session: Session, fields: Fields, now: datetime) -> None:
        """reqSecDefOptParams (78): one answer per exchange and trading class of what has not expired."""
        req_id, symbol, only_at, sec_type = fields.integer(), fields.text(), fields.text(), fields.text()
        con_id = fields.integer()
        fields.finish()
        owner = self.exchange.market.listings.get(con_id)
        if not con_id:
            session.error(req_id, 321, NO_CONTRACT_ID)
        elif owner is None:
            session.error(req_id, 200, NOT_FOUND)
        else:
            if owner.symbol == symbol and owner.sec_type == sec_type:
                self._send_chain(session, req_id, owner, only_at, now)
            session.send(76, req_id)

    def _send_chain(
        self, session: Session, req_id: int, owner: Contract, only_at: str, now: datetime
    ) -> None:
        classes: dict[str, list[Contract]] = defaultdict(list)
        for contract in self.exchange.market.listings.chain(owner.symbol, now):
            classes[contract.trading_class].append(contract)
        for options in classes.values():
            venues = [venue for venue in exchanges_of(options[0]) if only_at in ("", venue)]
            for message in chain_parameters(req_id, venues, owner, options):
                session.send(*message)

    def matching_symbols(self, session: Session, fields: Fields) -> None:
        """reqMatchingSymbols (81)."""
        req_id, pattern = fields.integer(), fields.text()
        fields.finish()
        found = self.exchange.market.listings.search(pattern)[:MOST_SAMPLES]
        session.send(*symbol_samples(req_id, found, session.version))

    def components(self, session: Session, fields: Fields) -> None:
        """reqSmartComponents (83)."""
        req_id, name = fields.integer(), fields.text()
        fields.finish()
        session.send(*smart_components(req_id, name))

    def market_rule(self, session: Session, fields: Fields) -> None:
        """reqMarketRule (91), which has no request id to answer an error to."""
        rule_id = fields.integer()
        fields.finish()
        if rule_id in RULES:
            session.send(*market_rule(RULES[rule_id]))
        else:
            session.error(
                -1, 322, f"Error processing request.-'cN' : cause - Market rule {rule_id} is unknown"
            )

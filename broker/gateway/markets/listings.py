"""The contracts that a market lists, and how a request finds them."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime

from broker.gateway.errors import GatewayError, MessageError, RequestRefused
from broker.gateway.markets.venues import exchanges_of
from broker.gateway.protocol.wire import Fields
from options import ConId, Contract, Right, SecType
from options.hours import closing

COMBO_CON_ID = 28812380
REAL_CON_IDS = {
    "SPY": 756733,
    "QQQ": 320227571,
    "IWM": 9579970,
    "VIX": 13455763,
    "AAPL": 265598,
    "NVDA": 4815747,
    "KO": 8894,
}
INDEXES = {"VIX", "SPX", "XSP", "NDX", "RUT"}
SECURITY_TYPES = frozenset(
    ("STK", "OPT", "IND", "FUT", "FOP", "CASH", "CFD", "CONTFUT", "BOND", "FUND", "CMDTY", "WAR", "CRYPTO")
)
NOT_FOUND = "No security definition has been found for the request"
NO_SECURITY_TYPE = "Error validating request.-'bI' : cause - Please enter a valid security type"
NO_EXCHANGE = "Error validating request.-'bI' : cause - Please enter exchange"
RIGHTS = {"C": Right.CALL, "CALL": Right.CALL, "P": Right.PUT, "PUT": Right.PUT}


def synthetic_con_id(label: str) -> ConId:
    """The same id for the same contract in every run, from a hash of what it is called."""
    digest = hashlib.blake2b(label.encode(), digest_size=6).digest()
    return ConId(1_000_000_000 + int.from_bytes(digest) % 1_000_000_000)


def underlying(symbol: str) -> Contract:
    """A share or an index."""
    index = symbol in INDEXES
    return Contract(
        con_id=ConId(REAL_CON_IDS.get(symbol) or synthetic_con_id(symbol)),
        symbol=symbol,
        sec_type=SecType.INDEX if index else SecType.STOCK,
        exchange="CBOE" if index else "SMART",
        local_symbol=symbol,
        trading_class=symbol,
    )


def option(
    symbol: str,
    expiry: date,
    strike: float,
    right: Right,
    con_id: int | None = None,
    multiplier: int = 100,
    min_tick: float = 0.01,
) -> Contract:
    """An option; without `con_id` it gets a synthetic one."""
    local = f"{symbol:<6}{expiry:%y%m%d}{right}{round(strike * 1000):08d}"
    return Contract(
        con_id=ConId(con_id) if con_id else synthetic_con_id(local),
        symbol=symbol,
        sec_type=SecType.OPTION,
        expiry=expiry,
        strike=float(strike),
        right=right,
        multiplier=multiplier,
        local_symbol=local,
        trading_class=symbol,
        min_tick=min_tick,
    )


def has_expired(contract: Contract, now: datetime) -> bool:
    return contract.expiry is not None and closing(contract.expiry) <= now


@dataclass(frozen=True, slots=True)
class Query:
    """The contract fields of a request; empty text, 0 and None mean "any"."""

    con_id: int
    symbol: str
    sec_type: str
    expiry: str
    strike: float
    right: str
    multiplier: str
    exchange: str
    primary_exchange: str
    currency: str
    local_symbol: str
    trading_class: str

    @classmethod
    def read(cls, fields: Fields, *, with_primary: bool = True) -> "Query":
        """The twelve contract fields, or eleven without the primary exchange; raises MessageError."""
        query = cls(
            con_id=fields.integer(),
            symbol=fields.text(),
            sec_type=fields.text(),
            expiry=fields.text(),
            strike=fields.real() or 0.0,
            right=fields.text(),
            multiplier=fields.text(),
            exchange=fields.text(),
            primary_exchange=fields.text() if with_primary else "",
            currency=fields.text(),
            local_symbol=fields.text(),
            trading_class=fields.text(),
        )
        if query.right not in ("", "0", "?", *RIGHTS):
            raise MessageError(f"right {query.right!r} is neither call nor put")
        return query

    def fits(self, contract: Contract) -> bool:
        """Whether a listed contract has everything that the request names."""
        right = RIGHTS.get(self.right)
        return (
            self.symbol in ("", contract.symbol)
            and self.strike in (0.0, contract.strike)
            and (right is None or right is contract.right)
            and self.sec_type in ("", contract.sec_type)
            and (not self.expiry or _day(contract).startswith(self.expiry))
            and self.multiplier in ("", str(contract.multiplier))
            and self.currency in ("", contract.currency)
            and self.local_symbol in ("", contract.local_symbol)
            and self.trading_class in ("", contract.trading_class)
            and (not self.exchange or self.exchange in exchanges_of(contract))
        )


def _day(contract: Contract) -> str:
    """Its expiry as requests write it; empty without one."""
    return f"{contract.expiry:%Y%m%d}" if contract.expiry else ""


class Listings:
    """All contracts of a market, found by id or by what is known of them. Nobody finds a `hidden` one.

    `underlyings` are the shares and indexes among them.
    """

    def __init__(self) -> None:
        self.hidden: set[ConId] = set()
        self.underlyings: list[Contract] = []
        self._by_id: dict[ConId, Contract] = {}
        self._by_symbol: dict[str, list[Contract]] = defaultdict(list)
        self._by_terms: dict[tuple[str, date | None, float | None, Right | None], Contract] = {}

    def __iter__(self) -> Iterator[Contract]:
        return iter(self._by_id.values())

    def add(self, contract: Contract) -> Contract:
        """Lists a contract once; raises GatewayError when another one has its id."""
        known = self.find(contract.symbol, contract.expiry, contract.strike, contract.right)
        if known:
            return known
        if contract.con_id in self._by_id:
            other = self._by_id[contract.con_id].label
            raise GatewayError(f"{contract.label} and {other} have the same id {contract.con_id}: change one")
        self._by_id[contract.con_id] = contract
        self._by_symbol[contract.symbol].append(contract)
        if contract.sec_type is not SecType.OPTION:
            self.underlyings.append(contract)
        self._by_terms[contract.symbol, contract.expiry, contract.strike, contract.right] = contract
        return contract

    def remove(self, contracts: Iterable[Contract]) -> None:
        """Forgets contracts that have long expired."""
        gone = {contract.con_id for contract in contracts}
        for con_id in gone:
            contract = self._by_id.pop(con_id)
            del self._by_terms[contract.symbol, contract.expiry, contract.strike, contract.right]
        for symbol, listed in self._by_symbol.items():
            self._by_symbol[symbol] = [contract for contract in listed if contract.con_id not in gone]

    def get(self, con_id: int) -> Contract | None:
        return self._by_id.get(ConId(con_id))

    def find(
        self,
        symbol: str,
        expiry: date | None = None,
        strike: float | None = None,
        right: Right | None = None,
    ) -> Contract | None:
        """The contract with exactly these terms; an underlying has only its symbol."""
        return self._by_terms.get((symbol, expiry, strike, right))

    def match(self, query: Query, now: datetime | None = None) -> list[Contract]:
        """Everything that fits, in listing order; a contract id decides alone. With `now`, what has expired
        by then is not found."""
        if query.con_id:
            known = self.get(query.con_id)
            found = [known] if known else []
        elif query.symbol:
            found = [c for c in self._by_symbol.get(query.symbol, []) if query.fits(c)]
        elif query.local_symbol:
            found = [c for c in self._by_id.values() if query.fits(c)]
        else:
            found = []
        return [c for c in found if c.con_id not in self.hidden and (now is None or not has_expired(c, now))]

    def the_one(self, query: Query, now: datetime) -> Contract:
        """The only contract that fits a request for its data; raises RequestRefused."""
        if not query.con_id and query.sec_type not in SECURITY_TYPES:
            raise RequestRefused(321, NO_SECURITY_TYPE)
        if not query.exchange:
            raise RequestRefused(321, NO_EXCHANGE)
        found = self.match(query, now)
        if len(found) > 1:
            label = query.symbol or query.local_symbol
            raise RequestRefused(200, f"The contract description specified for {label} is ambiguous.")
        if not found:
            raise RequestRefused(200, NOT_FOUND)
        return found[0]

    def named(self, con_id: int, now: datetime) -> Contract:
        """The contract with this id that has not expired; raises RequestRefused."""
        found = self.get(con_id)
        if found is None or has_expired(found, now):
            raise RequestRefused(200, NOT_FOUND)
        return found

    def chain(self, symbol: str, now: datetime | None = None) -> list[Contract]:
        """The options on `symbol`, with `now` only those that have not expired by then."""
        options = [c for c in self._by_symbol.get(symbol, []) if c.sec_type is SecType.OPTION]
        return [c for c in options if now is None or not has_expired(c, now)]

    def search(self, pattern: str) -> list[Contract]:
        """Underlyings whose symbol begins with `pattern`, in listing order."""
        return [c for c in self.underlyings if c.symbol.startswith(pattern.upper())]

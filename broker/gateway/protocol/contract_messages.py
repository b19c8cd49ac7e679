"""What the gateway says about contracts, in the field order of the client's version."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime

from broker.gateway.markets import hours
from broker.gateway.markets.market_rules import MarketRule, rule_of
from broker.gateway.markets.venues import exchanges_of
from broker.gateway.protocol.wire import Value
from options import Contract, SecType

FIRST_WITH_SIZES = 164
ONE_SIZE_ONLY = 163
FIRST_WITH_DESCRIPTIONS = 176

ORDER_TYPES = (
    "ACTIVETIM,AD,ADJUST,ALERT,ALLOC,AON,BAG,COND,CONDORDER,DAY,DEACT,DEACTDIS,DEACTEOD,GAT,GTC,GTD,GTT,IOC,"
    "LMT,LMTBRK,MIDPX,MKT,OCA,OPG,STP,STPLMT,WHATIF"
)
FUNDS = {
    "SPY": ("SS SPDR S&P 500 ETF TRUST-US", "ARCA", "US78462F1030"),
    "QQQ": ("INVESCO QQQ TRUST SERIES 1", "NASDAQ", "US46090E1038"),
    "IWM": ("ISHARES RUSSELL 2000 ETF", "ARCA", "US4642876555"),
}
INDEX_NAMES = {"VIX": "CBOE Volatility Index"}


def long_name(symbol: str) -> str:
    return FUNDS[symbol][0] if symbol in FUNDS else INDEX_NAMES.get(symbol, symbol)


def primary_exchange(contract: Contract) -> str:
    """Where a share is listed; empty for an option, which is listed everywhere."""
    match contract.sec_type:
        case SecType.OPTION:
            return ""
        case SecType.INDEX:
            return contract.exchange
    return FUNDS[contract.symbol][1] if contract.symbol in FUNDS else "NYSE"


def contract_details(
    req_id: int, contract: Contract, owner: Contract | None, now: datetime, version: int
) -> list[Value]:
    """contractDetails (10); `owner` is the underlying of an option, None for everything else."""
    old = version < FIRST_WITH_SIZES
    option = contract.sec_type is SecType.OPTION
    venues = exchanges_of(contract)
    rules = ",".join([str(rule_of(contract).rule_id)] * len(venues))
    return [
        *(10, 8) * old,
        *(10,) * (not old),
        *(req_id, contract.symbol, contract.sec_type, hours.last_trade_text(contract.expiry)),
        *(contract.strike if option else 0, contract.right or "", contract.exchange, contract.currency),
        *(contract.local_symbol, contract.trading_class, contract.trading_class, contract.con_id),
        contract.min_tick,
        *(100,) * old,
        *(contract.multiplier if option else "", ORDER_TYPES, ",".join(venues), 1),
        *(owner.con_id if owner else 0, long_name(contract.symbol), primary_exchange(contract)),
        *(f"{contract.expiry:%Y%m}" if contract.expiry else "", "", "", "", hours.ZONE),
        *(hours.trading_hours(contract, now), hours.liquid_hours(now), "", ""),
        *_security_ids(contract),
        *(2 if option else 1, owner.symbol if owner else "", owner.sec_type if owner else "", rules),
        *(contract.expiry, "ETF" if contract.symbol in FUNDS and not option else ""),
        *_sizes(contract, version),
    ]


def _security_ids(contract: Contract) -> list[Value]:
    if contract.sec_type is not SecType.STOCK or contract.symbol not in FUNDS:
        return [0]
    return [1, "ISIN", FUNDS[contract.symbol][2]]


def _sizes(contract: Contract, version: int) -> list[Value]:
    """Smallest size, its increment and the suggested one, as far as the version knows them."""
    sizes: list[Value] = [1, 1, 100 if contract.sec_type is SecType.STOCK else 1]
    if version >= FIRST_WITH_SIZES:
        return sizes
    return sizes[2:] if version == ONE_SIZE_ONLY else []


def chain_parameters(
    req_id: int, exchanges: Iterable[str], owner: Contract, options: Sequence[Contract]
) -> Iterator[list[Value]]:
    """securityDefinitionOptionParameter (75) for each exchange: every expiry and every strike that any of
    the options, which are of one trading class, has."""
    expiries: list[date] = sorted({c.expiry for c in options if c.expiry})
    strikes: list[float] = sorted({c.strike for c in options if c.strike})
    kind: tuple[Value, ...] = (owner.con_id, options[0].trading_class, options[0].multiplier)
    lists: tuple[Value, ...] = (len(expiries), *expiries, len(strikes), *strikes)
    for exchange in exchanges:
        yield [75, req_id, exchange, *kind, *lists]


def symbol_samples(req_id: int, found: Sequence[Contract], version: int) -> list[Value]:
    """symbolSamples (79)."""
    reply: list[Value] = [79, req_id, len(found)]
    for contract in found:
        derivatives = ("CFD", "OPT", "IOPT", "WAR", "BAG") if contract.sec_type is SecType.STOCK else ("OPT",)
        reply += [contract.con_id, contract.symbol, contract.sec_type, primary_exchange(contract)]
        reply += [contract.currency, len(derivatives), *derivatives]
        if version >= FIRST_WITH_DESCRIPTIONS:
            reply += [long_name(contract.symbol), ""]
    return reply


def market_rule(rule: MarketRule) -> list[Value]:
    """marketRule (93)."""
    return [93, rule.rule_id, len(rule.steps), *(value for step in rule.steps for value in step)]

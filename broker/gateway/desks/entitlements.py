"""Which market data the account has subscribed to, and what it gets instead where it has not."""

from dataclasses import dataclass, field
from enum import IntEnum

from broker.gateway.errors import GatewayError, RequestRefused
from broker.gateway.protocol.contract_messages import primary_exchange
from options import Contract

EVERYTHING = "all"
MORE = "See link in 'Market Data Connections' dialog for more details."
HINT = (
    "Check API status by selecting the Account menu then under Management choose Market Data Subscription"
    " Manager and/or availability of delayed data."
)
DELAYED_EXISTS = "Delayed market data is available."
NO_DELAYED = "Requested market data is not subscribed. Delayed market data is not enabled."
REFUSALS = {
    354: f"Requested market data is not subscribed. {HINT}{DELAYED_EXISTS}",
    10089: f"Requested market data requires additional subscription for API. {MORE}{DELAYED_EXISTS}",
    10168: NO_DELAYED,
    10186: NO_DELAYED,
}
WITHOUT_DELAYED = frozenset({10168, 10186})
SHOWING_DELAYED = (10167, "Requested market data is not subscribed. Displaying delayed market data.")


class DataType(IntEnum):
    """What reqMarketDataType (59) asks for and marketDataType (58) tells."""

    LIVE = 1
    FROZEN = 2
    DELAYED = 3
    DELAYED_FROZEN = 4


@dataclass(slots=True)
class Entitlements:
    """`missing`: symbol without live data → the code with which requests for it are refused."""

    missing: dict[str, int] = field(default_factory=dict)

    def set(self, symbol: str, live: bool, code: int) -> None:
        """Gives or takes live data of one symbol, or of `all`; raises GatewayError for an unknown code."""
        if code not in REFUSALS:
            raise GatewayError(f"no refusal {code}: there are {', '.join(map(str, REFUSALS))}")
        if not live:
            self.missing[symbol] = code
        elif symbol == EVERYTHING:
            self.missing.clear()
        else:
            self.missing.pop(symbol, None)

    def lacks(self, contract: Contract) -> int | None:
        """The code with which live data of the contract are refused, None where the account has them."""
        return self.missing.get(contract.symbol) or self.missing.get(EVERYTHING)

    def require(self, contract: Contract, code: int, words: str) -> None:
        """Of data that have no delayed twin: raises RequestRefused, which begins with `words`, without live
        ones."""
        if self.lacks(contract) is not None:
            venue = primary_exchange(contract) or contract.exchange
            text = f"{words}No market data permissions for {venue} {contract.sec_type}"
            raise RequestRefused(code, text)

    def granted(self, contract: Contract, wanted: DataType, is_open: bool) -> DataType:
        """What a request gets: live data where they are subscribed, even if delayed ones would do; frozen
        ones only while the market is closed. Raises RequestRefused."""
        code = self.lacks(contract)
        if code is None:
            frozen = wanted in (DataType.FROZEN, DataType.DELAYED_FROZEN) and not is_open
            return DataType.FROZEN if frozen else DataType.LIVE
        if wanted in (DataType.LIVE, DataType.FROZEN) or code in WITHOUT_DELAYED:
            raise RequestRefused(code, f"{REFUSALS[code]}{contract.label}/TOP/ALL")
        frozen = wanted is DataType.DELAYED_FROZEN and not is_open
        return DataType.DELAYED_FROZEN if frozen else DataType.DELAYED

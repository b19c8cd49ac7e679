"""What can be held: a stock, an index or an option, and a signed holding of it."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import NewType

from options.clock import NEW_YORK
from options.money import UsdPerContract

ConId = NewType("ConId", int)


class SecType(StrEnum):
    STOCK = "STK"
    OPTION = "OPT"
    INDEX = "IND"
    COMBO = "BAG"


class Right(StrEnum):
    CALL = "C"
    PUT = "P"


@dataclass(frozen=True, slots=True)
class Contract:
    """One qualified contract. `expiry`, `strike` and `right` are None unless it is an option."""

    con_id: ConId
    symbol: str
    sec_type: SecType
    expiry: date | None = None
    strike: float | None = None
    right: Right | None = None
    multiplier: int = 1
    exchange: str = "SMART"
    currency: str = "USD"
    local_symbol: str = ""
    trading_class: str = ""
    min_tick: float = 0.01

    @property
    def label(self) -> str:
        """What a trader calls it: `IWM 2026-03-20 245 P` or `IWM`."""
        if self.sec_type is not SecType.OPTION:
            return self.symbol
        return f"{self.symbol} {self.expiry} {self.strike:g} {self.right}"


@dataclass(frozen=True, slots=True)
class Leg:
    """A signed holding: `quantity` in contracts (shares for a stock), negative when short.

    `average_cost` is USD per contract (per share for a stock), commission included.
    """

    contract: Contract
    quantity: int
    average_cost: UsdPerContract


def days_to_expiry(expiry: date, now: datetime) -> int:
    """Whole calendar days from today in New York to `expiry`; 0 on the day itself."""
    return (expiry - now.astimezone(NEW_YORK).date()).days

"""What can be held: a stock, an index or an option, and a signed holding of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NewType

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


def contract_fields(contract: Contract) -> dict[str, Any]:
    """The contract as it stands in the lake's JSON."""
    return {
        "con_id": contract.con_id,
        "symbol": contract.symbol,
        "sec_type": contract.sec_type.value,
        "expiry": contract.expiry.isoformat() if contract.expiry else None,
        "strike": contract.strike,
        "right": contract.right.value if contract.right else None,
        "multiplier": contract.multiplier,
        "trading_class": contract.trading_class,
        "min_tick": contract.min_tick,
    }


def contract_from_fields(fields: Mapping[str, Any]) -> Contract:
    """The contract that `contract_fields` wrote."""
    return Contract(
        con_id=ConId(fields["con_id"]),
        symbol=fields["symbol"],
        sec_type=SecType(fields["sec_type"]),
        expiry=date.fromisoformat(fields["expiry"]) if fields["expiry"] else None,
        strike=fields["strike"],
        right=Right(fields["right"]) if fields["right"] else None,
        multiplier=fields["multiplier"],
        trading_class=fields.get("trading_class", ""),
        min_tick=fields.get("min_tick", 0.01),
    )

"""The paper account: cash, holdings at average cost, realized profit.

Average cost is Interactive Brokers' own: USD per contract, commission included (a short's cost is what it
brought in, less commission). At all times
`cash + sum(quantity x average_cost) == deposit + realized + dividends`, to the last fraction of a cent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from itertools import takewhile
from typing import Protocol, TypeVar

from options import ConId, Contract, Leg, UsdPerContract, hours


@dataclass(frozen=True, slots=True)
class Holding:
    """`quantity` in contracts (shares), negative when short; `average_cost` USD per contract (share)."""

    contract: Contract
    quantity: int
    average_cost: UsdPerContract
    realized_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill. `quantity` is signed; `price` USD per share.

    `contract` is None for the combo's own execution, whose `price` is the net of its legs and which books
    nothing. `realized_usd` is None for an opening trade. `cumulative` and `average_price`: what the order
    has traded of this contract so far, this fill included. `adds_liquidity`: it was met while it lay in the
    market.
    """

    exec_id: str
    client_id: int
    order_id: int
    perm_id: int
    order_ref: str
    symbol: str
    contract: Contract | None
    quantity: int
    price: float
    time: datetime
    commission_usd: float
    realized_usd: float | None
    cumulative: int
    average_price: float
    adds_liquidity: bool


@dataclass(slots=True)
class Account:
    account_id: str
    deposit_usd: float
    cash_usd: float
    realized_usd: float = 0.0
    holdings: dict[ConId, Holding] = field(default_factory=dict)
    dividends_usd: float = 0.0

    @classmethod
    def open(cls, account_id: str, deposit_usd: float, holdings: list[Holding]) -> "Account":
        """An account whose holdings were bought from its deposit."""
        cost = sum(holding.quantity * holding.average_cost for holding in holdings)
        account = cls(account_id, deposit_usd, deposit_usd - cost)
        account.holdings = {holding.contract.con_id: holding for holding in holdings}
        return account

    def legs(self) -> list[Leg]:
        return [Leg(h.contract, h.quantity, h.average_cost) for h in self.holdings.values() if h.quantity]

    def book(self, contract: Contract, quantity: int, price: float, commission_usd: float) -> float | None:
        """Books a signed trade at `price` (USD per share); the realized USD, None for an opening trade."""
        held = self.holdings.get(contract.con_id, Holding(contract, 0, UsdPerContract(0.0)))
        value = price * contract.multiplier
        fee = commission_usd / abs(quantity)
        self.cash_usd -= quantity * value + commission_usd
        opposed = held.quantity * quantity < 0
        closed = min(abs(quantity), abs(held.quantity)) if opposed else 0
        sign = 1 if quantity > 0 else -1
        realized = closed * (-sign * (value - held.average_cost) - fee)
        opened = abs(quantity) - closed
        kept = abs(held.quantity) - closed
        average = held.average_cost
        if opened:
            cost = held.average_cost * kept + (value + sign * fee) * opened
            average = UsdPerContract(cost / (kept + opened))
        left = held.quantity + quantity
        self.realized_usd += realized
        self.holdings[contract.con_id] = Holding(
            contract, left, average if left else UsdPerContract(0.0), held.realized_usd + realized
        )
        return realized if closed else None

    def reprice(self, contract: Contract, quantity: int, by_usd: float, *, opened: bool) -> float:
        """A past trade of `quantity` was dearer by `by_usd` per contract; the USD that it realized more.

        `opened`: it opened a position: what of it may still be held costs more, only the rest realizes less.
        """
        held = self.holdings[contract.con_id]
        sign = 1 if quantity > 0 else -1
        kept = min(abs(quantity), abs(held.quantity)) if opened and held.quantity * sign > 0 else 0
        realized = -sign * by_usd * (abs(quantity) - kept)
        average = held.average_cost
        if kept:
            average = UsdPerContract(average + by_usd * kept / abs(held.quantity))
        self.cash_usd -= quantity * by_usd
        self.realized_usd += realized
        self.holdings[contract.con_id] = replace(
            held, average_cost=average, realized_usd=held.realized_usd + realized
        )
        return realized

    def deliver(self, option: Contract, quantity: int, share: Contract, shares: int, strike: float) -> float:
        """Options leave for shares at the strike; the USD realized by shares that this closes.

        `quantity` is the signed change of the option's holding, `shares` that of the share's. The option
        realizes nothing: what it cost (or brought) becomes part of the price of the shares.
        """
        held = self.holdings[option.con_id]
        premium = -quantity * held.average_cost
        realized = self.book(share, shares, strike + premium / shares, 0.0) or 0.0
        self.cash_usd += premium
        left = held.quantity + quantity
        average = held.average_cost if left else UsdPerContract(0.0)
        self.holdings[option.con_id] = Holding(option, left, average, held.realized_usd)
        return realized

    def receive_dividend(self, amount_usd: float) -> None:
        """Negative: paid by a seller of borrowed shares."""
        self.cash_usd += amount_usd
        self.dividends_usd += amount_usd


class Dated(Protocol):
    @property
    def time(self) -> datetime: ...


Record = TypeVar("Record", bound=Dated)


def of_day(day: date, records: Sequence[Record]) -> list[Record]:
    """Those of a trading day after which there are none; `records` and they are the oldest first."""
    newest = list(takewhile(lambda record: hours.trading_day(record.time) == day, reversed(records)))
    return newest[::-1]

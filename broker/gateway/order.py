"""A working or finished order in the exchange's book."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from broker.gateway.order_request import OrderRequest
from options import Contract


class Status(StrEnum):
    SUBMITTED = "Submitted"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    INACTIVE = "Inactive"


@dataclass(slots=True)
class Order:
    """`legs` are the contracts that trade and how many of each one unit of the order buys (negative: sells).

    `ready_since`: since when the limit lies where the counterparty may meet it, None while it does not.
    `fill_price` is USD per share, net for a combo, None before the fill. `done` is None while it lives.
    """

    client_id: int
    order_id: int
    perm_id: int
    request: OrderRequest
    legs: tuple[tuple[Contract, int], ...]
    placed: datetime
    status: Status = Status.SUBMITTED
    filled: int = 0
    fill_price: float | None = None
    commission_usd: float | None = None
    ready_since: datetime | None = None
    done: datetime | None = None
    outcome: str = ""

    @property
    def lives(self) -> bool:
        return self.status is Status.SUBMITTED

    @property
    def remaining(self) -> int:
        return self.request.quantity - self.filled

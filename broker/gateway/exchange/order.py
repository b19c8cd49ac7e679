"""A working or finished order in the exchange's book."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from broker.gateway.protocol.order_request import OrderRequest
from options import ConId, Contract

UNITS_PER_USD = 10_000

Legs = tuple[tuple[Contract, int], ...]


class Status(StrEnum):
    """HELD: not transmitted yet, nobody but its client knows it. PRE_SUBMITTED: accepted, waits for its
    parent, its trigger, its conditions or its time. INACTIVE: refused when its turn came."""

    HELD = "PendingSubmit"
    PRE_SUBMITTED = "PreSubmitted"
    SUBMITTED = "Submitted"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    INACTIVE = "Inactive"


ENDS = frozenset({Status.FILLED, Status.CANCELLED, Status.INACTIVE})


@dataclass(frozen=True, slots=True)
class Legging:
    """One slice of a combo that trades leg by leg: `lots` combos of it, each leg at its `limits` or better.

    Prices in units of 0.0001 USD per share; `prices` has those of the legs that have traded, in order.
    The next leg trades from `due` on.
    """

    lots: int
    limits: tuple[int, ...]
    prices: tuple[int, ...]
    due: datetime


@dataclass(slots=True)
class Order:
    """`legs` are the contracts that trade and how many of each one unit of the order buys (negative: sells).

    `starts`: from when it may be at the market. `ends`: when it is cancelled by itself, None: never.
    `spent`: what its fills cost together, in units of 0.0001 USD per share. `reduced`: lots that its OCA
    group has taken off `request.quantity`. `triggered`: a stop whose price was reached. `unlocked`: its
    conditions have come true. `activated`: its parent has begun to fill.
    `ready_since`: since when its limit lies where a counterparty may meet it, None while it does not.
    `turns` counts fills and modifications. `wakes`: when something next happens to it by itself.
    `done` is None while it lives.
    """

    client_id: int
    order_id: int
    perm_id: int
    request: OrderRequest
    legs: Legs
    placed: datetime
    starts: datetime
    ends: datetime | None = None
    status: Status = Status.HELD
    filled: int = 0
    spent: int = 0
    last_price: float | None = None
    commission_usd: float | None = None
    reduced: int = 0
    triggered: bool = False
    unlocked: bool = False
    activated: bool = False
    ready_since: datetime | None = None
    turns: int = 0
    wakes: datetime | None = None
    legging: Legging | None = None
    done: datetime | None = None
    outcome: str = ""

    @property
    def by_hand(self) -> bool:
        """Whether it came from no API client: such orders belong to client 0 and count from -1 downwards."""
        return self.order_id < 0

    @property
    def lives(self) -> bool:
        return self.status not in ENDS

    @property
    def works(self) -> bool:
        """Whether it lives and others than its client know it."""
        return self.lives and self.status is not Status.HELD

    @property
    def remaining(self) -> int:
        return self.request.quantity - self.filled

    @property
    def has_traded(self) -> bool:
        """Whether there are executions of it, if only of one leg."""
        return self.commission_usd is not None

    @property
    def under_way(self) -> int:
        """Units of a combo that trades leg by leg of which some legs have traded and others not yet."""
        return self.legging.lots if self.legging else 0

    @property
    def fill_price(self) -> float | None:
        """USD per share on average, net for a combo; None before the first fill."""
        if not self.filled:
            return None
        return self.request.sign * self.spent / (self.filled * UNITS_PER_USD)

    @property
    def con_ids(self) -> list[ConId]:
        return [contract.con_id for contract, _ in self.legs]

    @property
    def is_stop(self) -> bool:
        return self.request.order_type in ("STP", "STP LMT")

    @property
    def cancels_on_conditions(self) -> bool:
        """Whether its conditions take it from the market instead of sending it there."""
        return self.request.terms.get("conditionsCancelOrder") == "1"

    @property
    def is_legged(self) -> bool:
        """Whether its legs may trade one after another, without a promise that all will."""
        return self.request.is_combo and ("NonGuaranteed", "1") in self.request.routing

    @property
    def why_held(self) -> str:
        """What a real gateway says in orderStatus of an order that waits for its parent or its trigger."""
        reasons = []
        if self.status is Status.PRE_SUBMITTED:
            if self.request.parent_id and not self.activated:
                reasons.append("child")
            if self.is_stop and not self.triggered:
                reasons.append("trigger")
        return ",".join(reasons)

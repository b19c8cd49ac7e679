"""What a broker tells us, in our own types, sanitised: an unknown number is None, never a sentinel."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from broker.connection_breaker import BreakerState
from options import ConId, Contract


class LinkState(StrEnum):
    """The way to the broker's servers: `LOST` is still a live socket (code 1100)."""

    DOWN = "down"
    CONNECTING = "connecting"
    UP = "up"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """`resubscribe`: no line is open any more. `planned`: we ended it ourselves and are coming back."""

    state: LinkState
    reason: str
    resubscribe: bool = False
    planned: bool = False


@dataclass(frozen=True, slots=True)
class LinkHealth:
    """How the way to the broker is. `since` it is in `state`, `connected` since when this connection lives;
    None before the first, and `connected` while there is none. `attempts` were made since the last success.
    While the connection `breaker` is open nothing is tried for `pause_s`. `received` and `sent` count
    messages since the start of the program, `waiting` are in our own queue; `heard_s` is how many seconds
    ago the last arrived, None while there is no connection."""

    state: LinkState
    since: datetime | None
    connected: datetime | None
    attempts: int
    breaker: BreakerState
    pause_s: float
    lines_used: int
    received: int
    sent: int
    waiting: int
    heard_s: float | None


@dataclass(frozen=True, slots=True)
class QuoteChanged:
    """The contract's whole quote after a tick. Prices USD per share; `iv` annualised; `delta`, `gamma`
    per share; `theta` USD per share and day; `vega` USD per share and vol point. None = unknown.

    `quote_time` is when bid or ask last arrived since subscribing (for an index, which has neither, `last`),
    `greeks_time` when the model did.
    `is_live` is False for delayed or frozen data, which is never traded on.
    """

    con_id: ConId
    bid: float | None
    ask: float | None
    bid_size: float | None
    ask_size: float | None
    last: float | None
    close: float | None
    iv: float | None
    delta: float | None
    gamma: float | None
    theta: float | None
    vega: float | None
    underlying_price: float | None
    quote_time: datetime | None
    greeks_time: datetime | None
    is_live: bool


@dataclass(frozen=True, slots=True)
class HoldingChanged:
    """`quantity` signed contracts (0 = closed); `average_cost` USD per contract, commission included."""

    account: str
    contract: Contract
    quantity: int
    average_cost: float


class OrderState(StrEnum):
    """Our reading of an order's state. Only `FILLED`, `CANCELLED` and `REJECTED` are final; a cancel
    that is only asked for (`CANCELLING`) may still fill."""

    SENT = "sent"
    WORKING = "working"
    CANCELLING = "cancelling"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class OrderChanged:
    """`order_ref` is the intent's id. Prices USD per share of the combo, negative for a credit."""

    order_ref: str
    order_id: int | None
    perm_id: int | None
    state: OrderState
    filled: float
    remaining: float
    average_price: float | None
    limit_price: float | None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Executed:
    """One execution. `quantity` signed contracts; `is_combo` marks the summary line of a BAG, which
    moves no holding (its legs do). `exec_id` up to the last dot identifies it; a higher final part
    supersedes a lower one."""

    exec_id: str
    order_ref: str
    perm_id: int
    con_id: ConId
    is_combo: bool
    quantity: float
    price: float
    time: datetime


@dataclass(frozen=True, slots=True)
class Commissioned:
    exec_id: str
    commission_usd: float | None
    realized_pnl_usd: float | None


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """One account figure as the broker names it, such as `NetLiquidation`; None = not a number."""

    account: str
    key: str
    value: float | None
    currency: str


ALARM: Final = -1
"""Code of a BrokerNotice that is ours: a message was lost, so what the broker said is incomplete."""


@dataclass(frozen=True, slots=True)
class BrokerNotice:
    """An error or warning code with its text; `con_id` or `order_ref` when it is about one. `line_refused`:
    it says that the contract's market-data line is not served; whether it still is, nobody knows, so it
    should be closed."""

    code: int
    text: str
    con_id: ConId | None = None
    order_ref: str | None = None
    line_refused: bool = False


class DailyKind(StrEnum):
    """What a daily value is: the last price (USD per share, points of an index), or the implied volatility
    of the underlying's options (annualised)."""

    CLOSE = "close"
    IMPLIED_VOL = "implied_vol"


@dataclass(frozen=True, slots=True)
class DailyValues:
    """The answer to `Broker.ask_daily`: the values of the days that the broker has, oldest first, the day
    that is not over with its latest. `refusal`: why there are none; empty when it did not refuse."""

    con_id: ConId
    kind: DailyKind
    values: tuple[tuple[date, float], ...]
    refusal: str = ""


BrokerEvent = (
    LinkChanged
    | QuoteChanged
    | HoldingChanged
    | OrderChanged
    | Executed
    | Commissioned
    | AccountChanged
    | BrokerNotice
    | DailyValues
)

"""Faults of requests: answers that are wrong, late, unfinished or missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated

from broker.gateway.faults.fault import Effect, Fault
from broker.gateway.faults.notices import TEXTS, VALIDATION
from broker.gateway.protocol.wire import Fields
from broker.gateway.session import Session
from options import ConId

if TYPE_CHECKING:
    from broker.gateway.gateway import Gateway

Client = Annotated[int | None, "the client id that suffers; all when left out", 0]

READ_ONLY = f"{VALIDATION}The API interface is currently in Read-Only mode."


class Request(IntEnum):
    """What a client may ask, with the number that its message begins with."""

    MARKET_DATA = 1
    CANCEL_MARKET_DATA = 2
    PLACE_ORDER = 3
    CANCEL_ORDER = 4
    OPEN_ORDERS = 5
    ACCOUNT_UPDATES = 6
    EXECUTIONS = 7
    NEXT_ORDER_ID = 8
    CONTRACT_DETAILS = 9
    AUTO_OPEN_ORDERS = 15
    ALL_OPEN_ORDERS = 16
    HISTORICAL_DATA = 20
    CURRENT_TIME = 49
    GLOBAL_CANCEL = 58
    POSITIONS = 61
    ACCOUNT_SUMMARY = 62
    START_API = 71
    ACCOUNT_MULTI = 76
    OPTION_CHAIN = 78
    MATCHING_SYMBOLS = 81
    MARKET_RULE = 91
    PROFIT = 92
    COMPLETED_ORDERS = 99


WITH_ID_FIRST = frozenset(
    (
        Request.PLACE_ORDER,
        Request.HISTORICAL_DATA,
        Request.OPTION_CHAIN,
        Request.MATCHING_SYMBOLS,
        Request.PROFIT,
    )
)
WITH_ID_AFTER_VERSION = frozenset(
    (
        Request.MARKET_DATA,
        Request.CANCEL_MARKET_DATA,
        Request.CANCEL_ORDER,
        Request.EXECUTIONS,
        Request.CONTRACT_DETAILS,
        Request.ACCOUNT_SUMMARY,
        Request.ACCOUNT_MULTI,
        Request.START_API,
    )
)
ABOUT_ORDERS = frozenset(
    (
        Request.PLACE_ORDER,
        Request.CANCEL_ORDER,
        Request.OPEN_ORDERS,
        Request.AUTO_OPEN_ORDERS,
        Request.ALL_OPEN_ORDERS,
        Request.GLOBAL_CANCEL,
        Request.COMPLETED_ORDERS,
    )
)


class End(IntEnum):
    """The messages that end an answer."""

    CONTRACT_DETAILS = 52
    OPEN_ORDERS = 53
    ACCOUNT_UPDATES = 54
    EXECUTIONS = 55
    SNAPSHOT = 57
    POSITIONS = 62
    ACCOUNT_SUMMARY = 64
    ACCOUNT_MULTI = 74
    OPTION_CHAIN = 76
    COMPLETED_ORDERS = 102


def suffering(gateway: "Gateway", client: int | None) -> list[Session]:
    """The connected clients that a fault concerns."""
    return [session for session in gateway.in_order() if client in (None, session.client_id)]


def body(values: Sequence[str]) -> Fields:
    """What follows a message's number."""
    fields = Fields(values)
    fields.skip(1)
    return fields


def request_id(kind: int, values: Sequence[str]) -> int:
    """The id that an answer to a client's message carries, -1 when it has none; raises MessageError."""
    fields = body(values)
    if kind in WITH_ID_AFTER_VERSION:
        fields.skip(1)
    elif kind not in WITH_ID_FIRST:
        return -1
    return fields.integer()


@dataclass(frozen=True, slots=True)
class MissingEnd(Fault):
    name = "missing_end"
    wire = "An answer without its last message: positionEnd, openOrderEnd, accountDownloadEnd and so on."
    suffers = (
        "At start `connectAsync` waits for its whole time-out, then only logs that the request timed out;"
        " with `raiseSyncErrors=True` it raises ConnectionError. Later the request waits for ever. After a"
        " missing openOrderEnd no `openOrderEvent` comes until the next one."
    )
    source = "TWS_PROTOCOL.md 2, 13, 14.4"
    targets = ("of", "client")
    of: Annotated[End, "whose end is missing"]
    client: Client = None

    def begin(self, gateway: "Gateway") -> Effect:
        return Effect(outgoing=lambda _, message: [] if message[0] == self.of else None, client=self.client)


@dataclass(frozen=True, slots=True)
class Unanswered(Fault):
    name = "unanswered"
    wire = "Nothing: the request is read and lost. With cancel_order: the cancel is never acknowledged."
    suffers = (
        "The request waits for ever (only historical data, symbols and rules have time-outs of their own)."
        " A trade whose cancel is lost stays PendingCancel and may fill."
    )
    source = "TWS_PROTOCOL.md 13, 14.3"
    targets = ("request", "client")
    request: Annotated[Request, "which request"]
    client: Client = None

    def begin(self, gateway: "Gateway") -> Effect:
        return Effect(incoming=lambda _, kind, __: kind == self.request, client=self.client)


@dataclass(frozen=True, slots=True)
class RequestError(Fault):
    name = "request_error"
    wire = "Error `code` with the request's id instead of the answer."
    suffers = (
        "321 is only a warning to it: the request waits for ever. Any other code ends the request with an"
        " empty list, as if there were nothing (or raises, with `RaiseRequestErrors`)."
    )
    source = "TWS_PROTOCOL.md 10, 13, 14.10"
    targets = ("request", "client")
    request: Annotated[Request, "which request"]
    code: Annotated[int, "the error's code", 1] = 321
    text: Annotated[str, "the broker's words; the usual ones when left out"] = ""
    client: Client = None

    def begin(self, gateway: "Gateway") -> Effect:
        text = self.text or TEXTS.get(self.code, f"Error {self.code} by command")

        def take(session: Session, kind: int, values: Sequence[str]) -> bool:
            if kind == self.request:
                session.error(request_id(kind, values), self.code, text)
            return kind == self.request

        return Effect(incoming=take, client=self.client)


@dataclass(frozen=True, slots=True)
class LateAnswers(Fault):
    name = "late_answers"
    wire = (
        "Requests are dealt with only after a while, in their order (a gateway that reads slowly), orders"
        " of clients that have gone since too."
    )
    suffers = "Requests take so much longer; orders reach the market late, at other prices."
    source = "TWS_PROTOCOL.md 13, slow consumer"
    targets = ("client",)
    delay_s: Annotated[float, "simulated seconds", 0.0] = 10.0
    client: Client = None

    def begin(self, gateway: "Gateway") -> Effect:
        def take(session: Session, kind: int, values: Sequence[str]) -> bool:
            def answer() -> None:
                if kind != Request.START_API or session in gateway.connections:
                    gateway.answer(session, kind, body(values))

            gateway.faults.later(self.delay_s, answer)
            return True

        return Effect(incoming=take, client=self.client)


@dataclass(frozen=True, slots=True)
class ReadOnly(Fault):
    name = "read_only"
    wire = "Error 321 for everything about orders: placing, cancelling, open and completed orders."
    suffers = (
        "Connecting takes its whole time-out (or fails with `raiseSyncErrors`) unless it asked"
        " `readonly=True`. A placed order becomes ValidationError, which does not count as done, and is"
        " nowhere."
    )
    source = "TWS_PROTOCOL.md 13, 14.23; BROKER.md, Faults"
    client: Client = None

    def begin(self, gateway: "Gateway") -> Effect:
        def take(session: Session, kind: int, values: Sequence[str]) -> bool:
            if kind in ABOUT_ORDERS:
                session.error(request_id(kind, values), 321, READ_ONLY)
            return kind in ABOUT_ORDERS

        return Effect(incoming=take, client=self.client)


@dataclass(frozen=True, slots=True)
class ChainHole(Fault):
    name = "chain_hole"
    wire = "Error 200 for a contract although its expiry and strike are in the option chain."
    suffers = (
        "`qualifyContractsAsync` gives None, its details are an empty list, an order for it is Cancelled."
    )
    source = "TWS_PROTOCOL.md 10, 13, 14.26"
    targets = ("con_id",)
    con_id: Annotated[int, "the contract's id", 1]

    def begin(self, gateway: "Gateway") -> Effect:
        hidden = gateway.market.listings.hidden
        hidden.add(ConId(self.con_id))
        return Effect(end=lambda: hidden.discard(ConId(self.con_id)))


FAULTS: tuple[type[Fault], ...] = (
    MissingEnd,
    Unanswered,
    RequestError,
    LateAnswers,
    ReadOnly,
    ChainHole,
)

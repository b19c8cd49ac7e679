"""Faults of orders: refusals, false news, answers that are late, double or in another order."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

from broker.gateway.errors import OrderRefused
from broker.gateway.faults.fault import Edit, Effect, Fault, Held, Message
from broker.gateway.faults.notices import TEXTS
from broker.gateway.faults.requests import Request, body, request_id
from broker.gateway.protocol.order_messages import order_status
from broker.gateway.protocol.order_request import OrderRequest
from broker.gateway.protocol.wire import UNSET_DOUBLE, Value
from broker.gateway.session import Session

if TYPE_CHECKING:
    from broker.gateway.gateway import Gateway

OrderRef = Annotated[str | None, "the reference of the living order; all when left out"]

OPEN_ORDER, ORDER_STATUS, EXECUTION, COMMISSION = 5, 3, 11, 59
AT_THE_LATEST_S = 0.0


@dataclass(frozen=True, slots=True)
class Reject(Fault):
    name = "reject"
    wire = "Error 201 and orderStatus Inactive for the next order, which reaches no book."
    suffers = "The trade becomes Cancelled and then Inactive; nothing was placed."
    source = "TWS_PROTOCOL.md 9, 10; BROKER.md, Faults"
    times = 1
    reason: Annotated[str, "the broker's words"] = "by command"

    def begin(self, gateway: "Gateway") -> Effect:
        def refuse(request: OrderRequest) -> OrderRefused | None:
            if request.what_if:
                return None
            return OrderRefused(201, f"Order rejected - reason:{self.reason}")

        return Effect(order=refuse)


@dataclass(frozen=True, slots=True)
class HoldFills(Fault):
    name = "hold_fills"
    wire = "No order fills, whatever the quotes say."
    suffers = "Marketable orders stay Submitted."
    source = "BROKER.md, Faults"

    def begin(self, gateway: "Gateway") -> Effect:
        gateway.exchange.hold_fills = True

        def end() -> None:
            gateway.exchange.hold_fills = False

        return Effect(end=end, requotes=True)


@dataclass(frozen=True, slots=True)
class FillWhileAway(Fault):
    name = "fill_while_away"
    wire = "Every socket is closed, connections are refused for a while, held orders (hold_fills) are let go."
    suffers = (
        "No event tells of the fill after it has come back: it is in `fills()` only, and the completed"
        " order carries no order id."
    )
    source = "TWS_PROTOCOL.md 13, 14.5; BROKER.md, Connection"
    lasts = False
    seconds: Annotated[float, "simulated seconds without connections", 0.0] = 10.0

    def begin(self, gateway: "Gateway") -> None:
        gateway.faults.inflict("refuse_connections", {"seconds": self.seconds})
        gateway.faults.inflict("drop", {})
        gateway.faults.inflict("hold_fills", {"on": False})


def _tell(gateway: "Gateway", order_ref: str | None, code: int) -> None:
    """Sends an error with the id of each living order of that reference, or of all."""
    for order in gateway.exchange.working():
        if order_ref in (None, order.request.order_ref) and order.client_id in gateway.sessions:
            gateway.sessions[order.client_id].error(order.order_id, code, TEXTS[code])


@dataclass(frozen=True, slots=True)
class FalseCancel(Fault):
    name = "false_cancel"
    wire = "An error that names a living order. The order lives on."
    suffers = (
        "The trade becomes Cancelled and fires `cancelledEvent`; it may fill later. (A public system sent"
        " 15 orders for one this way.)"
    )
    source = "TWS_PROTOCOL.md 10, 13, 14.6; BROKER.md, Connection"
    lasts = False
    order_ref: OrderRef = None
    code: Annotated[Literal[10349, 10148, 10147, 103, 104], "the error"] = 10349

    def begin(self, gateway: "Gateway") -> None:
        _tell(gateway, self.order_ref, self.code)


@dataclass(frozen=True, slots=True)
class OrderWarning(Fault):
    name = "order_warning"
    wire = "A warning that names a living order. The order lives on."
    suffers = "The trade's status becomes ValidationError, which no broker ever sends; it is not done."
    source = "TWS_PROTOCOL.md 10, 14.7; BROKER.md, Connection"
    lasts = False
    order_ref: OrderRef = None
    code: Annotated[Literal[399, 404, 2109], "the warning"] = 399

    def begin(self, gateway: "Gateway") -> None:
        _tell(gateway, self.order_ref, self.code)


@dataclass(frozen=True, slots=True)
class RepeatedStatus(Fault):
    name = "repeated_status"
    wire = "Every orderStatus comes several times."
    suffers = "Nothing: an unchanged status fires no event."
    source = "TWS_PROTOCOL.md 9, 13"
    copies: Annotated[int, "how often each is sent", 2] = 2

    def begin(self, gateway: "Gateway") -> Effect:
        def outgoing(_: Session, message: Message) -> Edit | None:
            return [message] * self.copies if message[0] == ORDER_STATUS else None

        return Effect(outgoing=outgoing)


class First(StrEnum):
    STATUS = "status"
    EXECUTION = "execution"
    COMMISSION = "commission"


@dataclass(frozen=True, slots=True)
class ShuffledFill(Fault):
    name = "shuffled_fill"
    wire = (
        "The messages of a fill in another order: orderStatus Filled before its execDetails, execDetails"
        " before the first openOrder, or commissionReport before execDetails."
    )
    suffers = (
        "status: `filledEvent` fires while `trade.fills` is empty. execution: nothing. commission: the"
        " report is dropped, the fill's commission stays empty until executions are asked for again."
    )
    source = "TWS_PROTOCOL.md 9, 13, 14.17"
    first: Annotated[First, "what comes before its time"] = First.STATUS

    def begin(self, gateway: "Gateway") -> Effect:
        executed: set[tuple[int, Value]] = set()

        def held(message: Message, kind: int, at: int, value: Value) -> Edit:
            """Until a message of that kind with that value, or the next moment."""
            return [Held(message, AT_THE_LATEST_S, lambda gone: gone[0] == kind and gone[at] == value)]

        def outgoing(session: Session, message: Message) -> Edit | None:
            fresh = message[0] == EXECUTION and message[1] == -1
            if self.first is First.COMMISSION:
                return held(message, COMMISSION, 2, message[14]) if fresh and message[5] != "BAG" else None
            if self.first is First.STATUS:
                return held(message, ORDER_STATUS, 1, message[2]) if fresh else None
            if fresh:
                executed.add((session.number, message[2]))
            early = message[0] in (OPEN_ORDER, ORDER_STATUS) and (session.number, message[1]) not in executed
            return held(message, EXECUTION, 2, message[1]) if early else None

        return Effect(outgoing=outgoing)


@dataclass(frozen=True, slots=True)
class SlowCancel(Fault):
    name = "slow_cancel"
    wire = (
        "orderStatus PendingCancel at once; the exchange hears of the cancel only later. Till then it may"
        " fill."
    )
    suffers = "The trade stays PendingCancel, and may become Filled."
    source = "TWS_PROTOCOL.md 9, 13; BROKER.md, Connection"
    delay_s: Annotated[float, "simulated seconds", 0.0] = 60.0

    def begin(self, gateway: "Gateway") -> Effect:
        def take(session: Session, kind: int, values: Sequence[str]) -> bool:
            if kind != Request.CANCEL_ORDER:
                return False
            order = gateway.exchange.orders.get((session.client_id, request_id(kind, values)))
            if order is None or not order.lives:
                return False
            session.send(*order_status(order, "PendingCancel"))
            gateway.faults.later(self.delay_s, lambda: gateway.answer(session, kind, body(values)))
            return True

        return Effect(incoming=take)


class Answer(StrEnum):
    UNSET_FIRST = "unset_first"
    EMPTY = "empty"
    NO_COMMISSION = "no_commission"
    REJECTED = "rejected"
    WARNING = "warning"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class WhatIf(Fault):
    name = "what_if"
    wire = (
        "The answer to a what-if order: first one with unset margins and then the real one; with empty"
        " margins; with unset commissions and no currency; error 201; warning 399; or nothing."
    )
    suffers = (
        "unset_first: waits for the real one. empty: an error of `ib_async.Decoder`, and waits for ever."
        " no_commission: 1.8e308 USD. rejected: an empty list instead of an OrderState. warning, silence:"
        " waits for ever."
    )
    source = "TWS_PROTOCOL.md 5, 13, 14.9; BROKER.md, Connection"
    answer: Annotated[Answer, "what comes"]

    def begin(self, gateway: "Gateway") -> Effect:
        def outgoing(session: Session, message: Message) -> Edit | None:
            at = _margins_at(message)
            if at is None:
                return None
            order_id = int(str(message[1]))
            unset = (UNSET_DOUBLE,) * 9
            match self.answer:
                case Answer.UNSET_FIRST:
                    return [[*message[:at], *unset, *message[at + 9 :]], message]
                case Answer.EMPTY:
                    return [[*message[:at], *("",) * 9, *message[at + 9 :]]]
                case Answer.NO_COMMISSION:
                    return [[*message[: at + 9], *unset[:3], "", *message[at + 13 :]]]
                case Answer.REJECTED:
                    return [session.error_message(order_id, 201, TEXTS[201])]
                case Answer.WARNING:
                    return [session.error_message(order_id, 399, TEXTS[399])]
            return []

        return Effect(outgoing=outgoing)


def _margins_at(message: Message) -> int | None:
    """Where the nine margins begin in the openOrder of a what-if; None in every other message."""
    if message[0] != OPEN_ORDER:
        return None
    places = range(2, len(message))
    return next(
        (at + 1 for at in places if message[at] == "PreSubmitted" and str(message[at - 1]) in ("1", "True")),
        None,
    )


FAULTS: tuple[type[Fault], ...] = (
    *(Reject, HoldFills, FillWhileAway, FalseCancel, OrderWarning),
    *(RepeatedStatus, ShuffledFill, SlowCancel, WhatIf),
)

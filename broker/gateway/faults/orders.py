"""Faults of orders: refusals, false news, lost and late answers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from broker.gateway.exchange import OrderRefused
from broker.gateway.faults.fault import Effect, Fault
from broker.gateway.order_request import OrderRequest

if TYPE_CHECKING:
    from broker.gateway.gateway import Gateway


@dataclass(frozen=True, slots=True)
class Reject(Fault):
    name = "reject"
    wire = "Error 201 for the next order instead of openOrder and orderStatus."
    suffers = "The trade is Cancelled; nothing was placed."
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

        def fill() -> None:
            gateway.exchange.hold_fills = False
            gateway.exchange.pass_time(gateway.clock.now)

        return Effect(end=fill)


ORDER_ERRORS = {
    103: "Duplicate order id",
    104: "Cannot modify a filled order.",
    10147: "OrderId {order_id} that needs to be cancelled is not found.",
    10148: "OrderId {order_id} that needs to be cancelled can not be cancelled, state: Filled.",
    10349: "Order TIF was set to DAY based on order preset.",
}


@dataclass(frozen=True, slots=True)
class FalseCancel(Fault):
    name = "false_cancel"
    wire = "An error with the id of a living order: 10349, 10148, 10147, 103 or 104. The order lives on."
    suffers = (
        "The trade becomes Cancelled and fires `cancelledEvent`; it may fill later."
        " (A public system sent 15 orders for one this way.)"
    )
    source = "TWS_PROTOCOL.md 10, 13, 14.6; BROKER.md, Connection"
    lasts = False
    order_ref: Annotated[str, "the order's reference"]
    code: Annotated[Literal[10349, 10148, 10147, 103, 104], "the error"] = 10349

    def begin(self, gateway: "Gateway") -> None:
        for order in gateway.exchange.working():
            if order.request.order_ref == self.order_ref and order.client_id in gateway.sessions:
                text = ORDER_ERRORS[self.code].format(order_id=order.order_id)
                gateway.sessions[order.client_id].error(order.order_id, self.code, text)


FAULTS: tuple[type[Fault], ...] = (Reject, HoldFills, FalseCancel)

"""Adapters that break one promise about orders, or say what may never be said."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from broker.events import (
    BrokerEvent,
    BrokerNotice,
    Commissioned,
    Executed,
    HoldingChanged,
    LinkChanged,
    LinkState,
    OrderChanged,
    OrderState,
)
from broker.protocol import BrokerPicture, Margin, OrderRequest
from options import BrokerError
from tests.broker.conformance import order_promises as orders
from tests.broker.conformance.broken import Wrapped


class PaysInPositivePrices(Wrapped):
    breaks, says = orders.a_combo_is_placed_once_and_filled_in_our_signs, "0.95 received is told as 0.95"

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        if isinstance(event, OrderChanged) and event.average_price is not None:
            return [replace(event, average_price=abs(event.average_price))]
        return [event]


class TakesACombosLineForALeg(Wrapped):
    breaks, says = orders.a_combo_is_placed_once_and_filled_in_our_signs, "the combo's line is not told"

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        return [replace(event, is_combo=False)] if isinstance(event, Executed) else [event]


class LosesCommissions(Wrapped):
    breaks, says = orders.a_combo_is_placed_once_and_filled_in_our_signs, "not told: every leg's commission"

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        return [] if isinstance(event, Commissioned) else [event]


class SellsPositiveQuantities(Wrapped):
    breaks, says = orders.a_single_contract_is_sold_for_a_negative_price, "quantity=1"

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        return [replace(event, quantity=abs(event.quantity))] if isinstance(event, Executed) else [event]


class IgnoresClosedHoldings(Wrapped):
    breaks, says = orders.an_order_without_limit_is_filled_at_the_market, "not told: holdings"

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        return [] if isinstance(event, HoldingChanged) and not event.quantity else [event]


class SwallowsASecondPlacing(Wrapped):
    breaks, says = orders.a_reference_is_sent_once, "no BrokerError: the same order again"

    def place(self, order: OrderRequest) -> None:
        with suppress(BrokerError):
            self.inner.place(order)


class ForgetsItsOrdersWithTheConnection(Wrapped):
    breaks, says = orders.a_reference_is_sent_once, "the same order after a new connection"
    down = False

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        self.down = self.down or (isinstance(event, LinkChanged) and event.state is LinkState.DOWN)
        return [event]

    def place(self, order: OrderRequest) -> None:
        new = replace(order, order_ref=f"{order.order_ref}-") if self.down else order
        self.inner.place(new)


class SendsAtLeastOne(Wrapped):
    breaks, says = orders.an_order_that_cannot_be_expressed_is_not_sent, "no BrokerError: 2 legs, quantity 0"

    def place(self, order: OrderRequest) -> None:
        self.inner.place(replace(order, quantity=max(1, order.quantity)))


class BelievesEveryReprice(Wrapped):
    breaks = orders.a_working_order_is_repriced_and_a_finished_one_is_not
    says = "an order that nobody placed was repriced"

    def reprice(self, order_ref: str, limit_price: float) -> bool:
        self.inner.reprice(order_ref, limit_price)
        return True


class TakesAPartForTheWhole(Wrapped):
    breaks, says = orders.a_part_is_told_and_the_rest_lives, "a part of it filled, and it is filled"

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        if isinstance(event, OrderChanged) and event.filled:
            return [replace(event, state=OrderState.FILLED)]
        return [event]


class ForgetsAPartAtTheEnd(Wrapped):
    breaks, says = orders.a_part_is_told_and_the_rest_lives, "cancelled with 0.0 filled"

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        if isinstance(event, OrderChanged) and event.state is OrderState.CANCELLED:
            return [replace(event, filled=0.0)]
        return [event]


class BelievesEveryCancel(Wrapped):
    breaks, says = orders.a_cancel_is_final_when_the_broker_says_so, "a cancelled order was cancelled"

    def cancel(self, order_ref: str) -> bool:
        self.inner.cancel(order_ref)
        return True


class TakesACancelForItsEnd(Wrapped):
    breaks, says = (
        orders.an_order_being_cancelled_may_still_fill,
        "was cancelled, which is final, and then filled",
    )

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        if isinstance(event, OrderChanged) and event.state is OrderState.CANCELLING:
            return [replace(event, state=OrderState.CANCELLED)]
        return [event]


class RejectsWithoutAReason(Wrapped):
    breaks, says = orders.a_refused_order_is_rejected_with_the_reason, "the broker's reason is lost"

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        return [replace(event, text="")] if isinstance(event, OrderChanged) else [event]


class TakesANoticeForTheEnd(Wrapped):
    breaks, says = orders.only_the_brokers_word_ends_an_order, "a living order is taken for finished"

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.ended: set[str] = set()

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        if isinstance(event, BrokerNotice) and event.order_ref:
            self.ended.add(event.order_ref)
        return [event]

    def reprice(self, order_ref: str, limit_price: float) -> bool:
        return order_ref not in self.ended and bool(self.inner.reprice(order_ref, limit_price))


class RepeatsExecutions(Wrapped):
    breaks, says = orders.what_is_told_twice_is_said_once, "6 executions are told of 3"

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        return [event, event] if isinstance(event, Executed) else [event]


class RepeatsOrders(Wrapped):
    breaks, says = orders.what_is_told_twice_is_said_once, "was told twice to be"

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        return [event, event] if isinstance(event, OrderChanged) else [event]


class TakesACorrectionForARepetition(Wrapped):
    breaks, says = orders.a_corrected_execution_keeps_the_head_of_its_id, "not told: the correction"

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.seen: set[str] = set()

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        if not isinstance(event, Executed):
            return [event]
        head = event.exec_id.rpartition(".")[0]
        known = head in self.seen
        self.seen.add(head)
        return [] if known else [event]


class DisownsItsOrdersAfterADrop(Wrapped):
    breaks = orders.an_order_of_the_last_connection_is_still_ours
    says = "an order of the last connection cannot be repriced"

    def reprice(self, order_ref: str, limit_price: float) -> bool:
        return False


class MissesWhatHappensWhileAway(Wrapped):
    breaks, says = orders.fills_while_away_are_told_afterwards, "0 executions are told of three"
    away = False

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        self.away = self.away or (isinstance(event, LinkChanged) and event.state is LinkState.DOWN)
        return [] if self.away and isinstance(event, Executed) else [event]


class RemembersItsPicture(Wrapped):
    breaks, says = orders.a_picture_is_what_the_broker_has_now, "holdings"
    first: BrokerPicture | None = None

    async def picture(self) -> BrokerPicture:
        first: BrokerPicture = self.first or await self.inner.picture()
        self.first = first
        return first


class PicturesOnlyItsOwnOrders(Wrapped):
    breaks, says = orders.a_picture_is_what_the_broker_has_now, "open orders are not all there"

    async def picture(self) -> BrokerPicture:
        picture: BrokerPicture = await self.inner.picture()
        return replace(picture, open_orders=tuple(each for each in picture.open_orders if each.order_ref))


class PlacesWhatIsAskedAbout(Wrapped):
    breaks, says = orders.margin_is_asked_without_placing, "the question placed the order"

    async def margin(self, order: OrderRequest) -> Margin:
        margin: Margin = await self.inner.margin(order)
        self.inner.place(order)
        return margin


class TakesNoAnswerForNoMargin(Wrapped):
    breaks, says = orders.margin_is_asked_without_placing, "no BrokerError: the margin"

    async def margin(self, order: OrderRequest) -> Margin:
        try:
            margin: Margin = await self.inner.margin(order)
        except BrokerError:
            return Margin(0.0, 0.0, 0.0)
        return margin


# What may never be said, whatever was promised


class LosesTimeZones(Wrapped):
    breaks, says = orders.a_single_contract_is_sold_for_a_negative_price, "a time without a zone"

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        return [replace(event, time=_naive(event.time))] if isinstance(event, Executed) else [event]


class PassesOnTheUnsetNumber(Wrapped):
    breaks, says = orders.a_single_contract_is_sold_for_a_negative_price, "no number; unknown is None"

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        if isinstance(event, Commissioned) and event.realized_pnl_usd is None:
            return [replace(event, realized_pnl_usd=1.7976931348623157e308)]
        return [event]


class TellsHoldingsAgainAndAgain(Wrapped):
    breaks, says = orders.an_order_without_limit_is_filled_at_the_market, "told twice"

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        return [event, event] if isinstance(event, HoldingChanged) else [event]


def _naive(time: datetime) -> datetime:
    return time.replace(tzinfo=None)

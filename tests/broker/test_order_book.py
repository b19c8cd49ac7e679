"""An order is what the broker says it is, and an error code is not a statement about its end."""

import sys

import ib_async as ib
import pytest

from broker.events import OrderChanged, OrderState
from broker.order_book import OrderBook
from broker.translation import new_order

CLIENT = 7


class Desk:
    """An order book with what it reported."""

    def __init__(self) -> None:
        self.reported: list[OrderChanged] = []
        self.book = OrderBook(self.reported.append)
        self.contract = ib.Contract(conId=5, symbol="IWM", secType="OPT")

    def send(self, order_ref: str = "a", order_id: int = 1, action: str = "BUY", limit: float = -1.0) -> None:
        order = new_order(action, 2, limit, "DU1", order_ref)
        self.book.sent(self.contract, order, CLIENT, order_id)

    def status(self, status: str, filled: float = 0, perm_id: int = 100, order_id: int = 1) -> None:
        self.book.status(CLIENT, order_id, perm_id, status, filled, 2 - filled, 1.05 if filled else 0.0)

    def error(self, code: int, text: str = "text") -> None:
        entry = self.book.by_id(CLIENT, 1)
        assert entry is not None
        self.book.error(entry, code, text)

    @property
    def last(self) -> OrderChanged:
        return self.reported[-1]


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.send()
    return desk


@pytest.mark.parametrize("code", [103, 104, 10147, 10148, 10349, 161, 201, 321, 110])
def test_no_code_alone_ends_a_working_order(desk: Desk, code: int) -> None:
    desk.status("Submitted")
    desk.error(code)
    assert desk.last.state is OrderState.WORKING
    assert desk.book.has_doubts


def test_a_working_order_that_is_still_listed_keeps_working_and_may_fill(desk: Desk) -> None:
    desk.status("Submitted")
    desk.error(10349)
    entry = desk.book.by_ref("a")
    assert entry is not None
    desk.book.settle([entry])
    assert not desk.book.has_doubts
    desk.status("Filled", filled=2)
    assert [change.state for change in desk.reported] == [
        OrderState.SENT,
        OrderState.WORKING,
        OrderState.FILLED,
    ]


def test_a_new_order_that_met_an_error_and_is_nowhere_is_rejected_with_the_text(desk: Desk) -> None:
    desk.error(103, "Duplicate order id")
    desk.book.settle([])
    assert desk.last.state is OrderState.REJECTED
    assert desk.last.text == "103: Duplicate order id"


def test_an_accepted_order_that_is_nowhere_is_left_to_reconciliation(desk: Desk) -> None:
    desk.status("Submitted")
    desk.error(10148)
    desk.book.settle([])
    assert desk.last.state is OrderState.WORKING


def test_a_new_order_that_is_refused_is_rejected_at_once_with_the_text(desk: Desk) -> None:
    desk.error(201, "Order rejected - reason: margin")
    assert desk.last.state is OrderState.REJECTED
    assert desk.last.text == "201: Order rejected - reason: margin"


@pytest.mark.parametrize("status", ["Inactive", "Cancelled"])
def test_a_refusal_followed_by_inactive_or_cancelled_is_a_rejection(desk: Desk, status: str) -> None:
    desk.status("PreSubmitted")
    desk.error(201, "Order rejected - reason: margin")
    desk.status(status)
    assert desk.last.state is OrderState.REJECTED
    assert desk.last.text == "201: Order rejected - reason: margin"


def test_inactive_without_a_reason_is_not_final_but_doubtful(desk: Desk) -> None:
    desk.status("Inactive")
    assert desk.last.state is OrderState.SENT
    assert desk.book.has_doubts


def test_an_order_held_until_the_opening_is_working(desk: Desk) -> None:
    desk.error(399, "will not be placed until 09:30")
    assert desk.last.state is OrderState.WORKING
    assert desk.last.text.startswith("399:")
    assert not desk.book.has_doubts


def test_a_cancel_that_is_asked_for_may_still_fill(desk: Desk) -> None:
    desk.status("Submitted")
    entry = desk.book.by_ref("a")
    assert entry is not None
    desk.book.cancel_sent(entry)
    assert desk.last.state is OrderState.CANCELLING
    desk.status("PendingCancel")
    desk.status("Submitted", filled=1)
    assert (desk.last.state, desk.last.filled) == (OrderState.CANCELLING, 1)
    desk.status("Filled", filled=2)
    assert (desk.last.state, desk.last.average_price) == (OrderState.FILLED, 1.05)


def test_a_refused_cancel_leaves_the_order_working(desk: Desk) -> None:
    desk.status("Submitted")
    entry = desk.book.by_ref("a")
    assert entry is not None
    desk.book.cancel_sent(entry)
    desk.error(161, "Cancel attempted when order is not in a cancellable state")
    desk.status("Submitted")
    assert desk.last.state is OrderState.WORKING


def test_repeated_statements_are_reported_once(desk: Desk) -> None:
    desk.status("Submitted")
    desk.status("Submitted")
    assert len(desk.reported) == 2


def test_a_filled_order_stays_filled(desk: Desk) -> None:
    desk.status("Filled", filled=2)
    desk.status("Cancelled")
    assert desk.last.state is OrderState.FILLED


def test_a_sold_leg_shows_what_is_received_as_negative_prices() -> None:
    desk = Desk()
    desk.send(action="SELL", limit=1.10)
    desk.status("Filled", filled=2)
    assert (desk.last.limit_price, desk.last.average_price) == (-1.10, -1.05)


def test_an_order_that_filled_while_away_is_reported_from_the_completed_list(desk: Desk) -> None:
    desk.status("Submitted")
    desk.book.forget_connection()
    done = new_order("BUY", 2, -1.0, "DU1", "a")
    done.permId, done.filledQuantity = 100, 2.0
    desk.book.completed(done, desk.contract, "Filled", "Filled Size: 2")
    assert (desk.last.state, desk.last.filled, desk.last.remaining) == (OrderState.FILLED, 2, 0)
    assert desk.last.order_id is None


def test_an_old_completed_order_is_known_but_not_reported(desk: Desk) -> None:
    done = new_order("BUY", 2, -1.0, "DU1", "yesterday's")
    done.permId, done.filledQuantity = 55, 2.0
    desk.book.completed(done, desk.contract, "Filled", "Filled Size: 2")
    assert len(desk.reported) == 1
    assert desk.book.by_ref("yesterday's") is not None


def test_an_order_id_that_rolled_back_never_names_an_old_order(desk: Desk) -> None:
    desk.status("Submitted")
    desk.book.forget_connection()
    desk.send("b", order_id=1)
    desk.status("Filled", filled=2, perm_id=101)
    assert desk.last.order_ref == "b"
    old = desk.book.by_ref("a")
    assert old is not None and old.state is OrderState.WORKING


def test_a_cancel_lost_with_the_connection_leaves_the_order_working(desk: Desk) -> None:
    desk.status("Submitted")
    entry = desk.book.by_ref("a")
    assert entry is not None
    desk.book.cancel_sent(entry)
    desk.book.forget_connection()
    desk.status("Submitted")
    assert (desk.last.state, desk.last.order_id) == (OrderState.WORKING, 1)


def test_an_order_of_somebody_else_without_reference_is_reported() -> None:
    desk = Desk()
    order = new_order("SELL", 1, 2.5, "DU1", "")
    order.permId, order.clientId = 9, 0
    desk.book.opened(0, desk.contract, order, "Submitted")
    assert (desk.last.order_ref, desk.last.perm_id, desk.last.state) == ("", 9, OrderState.WORKING)


def test_a_finished_order_is_let_go_with_the_connection_and_still_known_to_have_been_sent(desk: Desk) -> None:
    desk.send("b", order_id=2)
    desk.status("Filled", filled=2)
    finished, working = desk.book.by_ref("a"), desk.book.by_ref("b")
    desk.book.forget_connection()
    assert sys.getrefcount(finished) == 2, "our own, and that of the question"
    assert desk.book.by_ref("b") is working
    assert desk.book.knows("a") and desk.book.knows("b") and not desk.book.knows("c")
    said = len(desk.reported)
    desk.status("Filled", filled=2)
    assert len(desk.reported) == said, "what was final before is no news"


def test_an_order_that_lives_although_it_was_called_finished_is_taken_up_again(desk: Desk) -> None:
    desk.status("Cancelled")
    desk.book.forget_connection()
    order = new_order("BUY", 2, -1.0, "DU1", "a")
    order.permId, order.clientId = 100, CLIENT
    desk.book.opened(1, desk.contract, order, "Submitted")
    assert (desk.last.order_ref, desk.last.state, desk.last.order_id) == ("a", OrderState.WORKING, 1)

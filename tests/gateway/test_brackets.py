"""Orders that depend on others: brackets, held orders, one-cancels-all groups."""

import pytest

from broker.gateway.errors import OrderRefused
from broker.gateway.exchange.groups import reduced
from tests.gateway.books import Books

PARENT, TARGET, STOP = 1, 2, 3


@pytest.fixture
def books():
    made = Books()
    made.quote_all()
    return made


def bracket(books, quantity=10, limit=1.10, **parent):
    """Buy at `limit`, sell at 2.00 or when the ask falls to 0.50."""
    put = books.options[0]
    books.send(PARENT, put, quantity=quantity, limit=limit, transmit=False, **parent)
    books.send(TARGET, put, "SELL", quantity, 2.00, parent_id=PARENT, transmit=False)
    stop = {"order_type": "STP", "aux_price": 0.50}
    books.send(STOP, put, "SELL", quantity, parent_id=PARENT, **stop)


# -- held back and sent -----------------------------------------------------------------------------------


def test_a_held_order_reaches_neither_market_nor_anybodys_list(books):
    books.send(1, books.options[0], limit=2.00, transmit=False)
    books.step(60)
    assert books.status(1) == "PendingSubmit"
    assert books.news == []
    assert books.exchange.working() == []


def test_a_held_order_is_sent_by_placing_it_again_with_transmit(books):
    books.send(1, books.options[0], limit=2.00, transmit=False)
    books.send(1, books.options[0], limit=2.00)
    assert books.status(1) == "Filled"


def test_the_last_child_sends_the_whole_bracket(books):
    bracket(books, limit=1.00)
    assert books.news == [(PARENT, "Submitted"), (TARGET, "PreSubmitted"), (STOP, "PreSubmitted")]
    assert [books.order(i).why_held for i in (PARENT, TARGET, STOP)] == ["", "child", "child,trigger"]


def test_a_held_order_can_be_cancelled(books):
    books.send(1, books.options[0], limit=2.00, transmit=False)
    books.cancel(1)
    assert books.told(1) == ["Cancelled"]


def test_a_parent_beyond_the_accounts_means_takes_its_bracket_with_it(books):
    naked = {"action": "SELL", "quantity": 5000, "limit": 1.00}
    books.send(PARENT, books.options[0], **naked, transmit=False)
    books.send(TARGET, books.options[0], quantity=5000, limit=0.50, parent_id=PARENT)
    assert books.status(PARENT, TARGET) == ["Inactive", "Cancelled"]
    assert books.news == [(PARENT, 201), (TARGET, "Cancelled")]


def test_a_child_needs_a_parent_that_is_known_and_has_not_ended_unfilled(books):
    with pytest.raises(OrderRefused) as refused:
        books.send(2, books.options[0], limit=1.00, parent_id=77)
    assert refused.value.code == 135
    books.send(1, books.options[0], limit=0.50)
    books.cancel(1)
    with pytest.raises(OrderRefused) as refused:
        books.send(2, books.options[0], limit=1.00, parent_id=1)
    assert refused.value.code == 135


# -- parent and children ----------------------------------------------------------------------------------


def test_children_wait_for_their_parents_fill(books):
    bracket(books, limit=1.00)
    books.quote(books.options[0], 2.50, 2.60)
    assert books.status(TARGET) == "PreSubmitted", "it could be met, but there is nothing to sell yet"
    books.quote(books.options[0], 0.90, 1.00)
    assert books.status(PARENT, TARGET, STOP) == ["Filled", "Submitted", "PreSubmitted"]
    books.quote(books.options[0], 2.50, 2.60)
    assert books.status(TARGET, STOP) == ["Filled", "Cancelled"]
    assert all(holding.quantity == 0 for holding in books.exchange.account.holdings.values())


def test_a_stop_child_ends_its_sibling(books):
    bracket(books)
    books.quote(books.options[0], 0.40, 0.50)
    assert books.status(TARGET, STOP) == ["Cancelled", "Filled"]


def test_children_may_trade_what_their_parent_has_filled(books):
    bracket(books, quantity=25)
    assert (books.status(PARENT), books.order(PARENT).filled) == ("Submitted", 10)
    books.quote(books.options[0], 2.50, 2.60, bid_size=100, ask_size=100)
    assert books.order(TARGET).filled == 10
    assert books.order(STOP).request.quantity == 15
    books.quote(books.options[0], 1.00, 1.10, bid_size=100, ask_size=100)
    books.quote(books.options[0], 0.40, 0.50, bid_size=100, ask_size=100)
    assert books.status(PARENT, TARGET, STOP) == ["Filled", "Cancelled", "Filled"]
    assert books.order(STOP).filled == 15
    books.check()
    assert all(holding.quantity == 0 for holding in books.exchange.account.holdings.values())


def test_cancelling_the_parent_cancels_the_children(books):
    bracket(books, limit=1.00)
    books.cancel(PARENT)
    assert books.status(PARENT, TARGET, STOP) == ["Cancelled"] * 3


def test_cancelling_a_parent_in_part_filled_leaves_the_children_that_part(books):
    bracket(books, quantity=25)
    books.cancel(PARENT)
    assert books.status(PARENT, TARGET, STOP) == ["Cancelled", "Submitted", "PreSubmitted"]
    assert [books.order(i).request.quantity for i in (TARGET, STOP)] == [10, 10]
    books.quote(books.options[0], 2.50, 2.60)
    assert books.status(TARGET, STOP) == ["Filled", "Cancelled"]


def test_cancelling_one_child_cancels_its_sibling(books):
    bracket(books)
    books.cancel(TARGET)
    assert books.status(TARGET, STOP) == ["Cancelled", "Cancelled"]


def test_children_of_children_wait_for_theirs(books):
    bracket(books, limit=1.00)
    books.send(4, books.options[1], limit=1.10, parent_id=TARGET)
    books.quote(books.options[0], 0.90, 1.00)
    assert books.status(4) == "PreSubmitted"
    books.quote(books.options[0], 2.50, 2.60)
    assert books.status(TARGET, 4) == ["Filled", "Filled"]


def test_a_child_that_comes_after_its_parents_fill_is_active_at_once(books):
    books.send(PARENT, books.options[0], limit=1.10)
    books.send(TARGET, books.options[0], "SELL", limit=1.00, parent_id=PARENT)
    assert books.status(TARGET) == "Filled"


def test_a_bracket_on_a_combo_works_alike(books):
    spread = [(books.options[0], -1), (books.options[1], 1)]
    books.quote(books.options[1], 2.00, 2.10)
    books.send(PARENT, spread, quantity=2, limit=1.10, transmit=False)
    books.send(TARGET, spread, "SELL", 2, 2.00, parent_id=PARENT, transmit=False)
    books.send(STOP, spread, "SELL", 2, parent_id=PARENT, order_type="STP", aux_price=0.50)
    assert books.status(PARENT, TARGET, STOP) == ["Filled", "Submitted", "PreSubmitted"]
    books.quote(books.options[1], 1.30, 1.40)
    assert books.status(TARGET, STOP) == ["Cancelled", "Filled"], "its ask fell to 1.40 - 1.00"


def test_brackets_are_modified_order_by_order(books):
    bracket(books, limit=1.00)
    books.send(TARGET, books.options[0], "SELL", 10, 1.50, parent_id=PARENT)
    with pytest.raises(OrderRefused, match="transmit=1") as refused:
        books.send(TARGET, books.options[0], "SELL", 10, 1.60, parent_id=PARENT, transmit=False)
    assert refused.value.code == 105
    assert books.order(TARGET).request.limit_price == 1.50


# -- one cancels all --------------------------------------------------------------------------------------


def group(books, kind, *quantities, name="g"):
    """Orders 1, 2 ... to buy at 0.80, of which none can fill yet, each for a contract of its own."""
    for number, quantity in enumerate(quantities, 1):
        books.send(
            number,
            books.options[number - 1],
            quantity=quantity,
            limit=0.80,
            oca_group=name,
            oca_type=kind,
        )


def test_type_1_cancels_the_others_at_the_first_partial_fill(books):
    group(books, 1, 10, 10, 10)
    books.quote(books.options[1], 0.70, 0.80, ask_size=3, bid_size=3)
    assert books.status(1, 2, 3) == ["Cancelled", "Submitted", "Cancelled"]
    assert books.order(2).remaining == 7


def test_type_2_reduces_the_others_in_proportion(books):
    group(books, 2, 10, 20, 1)
    books.quote(books.options[0], 0.70, 0.80, ask_size=4, bid_size=4)
    assert [books.order(number).request.quantity for number in (1, 2)] == [10, 12]
    assert books.status(3) == "Cancelled", "nothing is left of one lot"
    books.quote(books.options[1], 0.70, 0.80, ask_size=6, bid_size=6)
    assert [(books.order(n).filled, books.order(n).remaining) for n in (1, 2)] == [(4, 3), (6, 6)]
    books.quote(books.options[0], 0.70, 0.80)
    assert books.status(1, 2) == ["Filled", "Cancelled"]


def both_at_once(books, kind):
    """Two orders of a group that the same moment's quotes can fill."""
    books.exchange.hold_fills = True
    group(books, kind, 5, 5)
    for contract in books.options[:2]:
        books.quote(contract, 0.70, 0.80)
    books.exchange.hold_fills = False
    books.step(0)
    return [books.order(number).filled for number in (1, 2)]


@pytest.mark.parametrize("kind", [1, 2])
def test_types_with_block_never_fill_twice(books, kind):
    assert both_at_once(books, kind) == [5, 0]


def test_type_3_without_block_may_fill_twice_in_one_moment(books):
    assert both_at_once(books, 3) == [5, 5]


def test_type_3_reduces_like_type_2_afterwards(books):
    group(books, 3, 10, 20)
    books.quote(books.options[0], 0.70, 0.80, ask_size=4, bid_size=4)
    assert books.order(2).request.quantity == 12


def test_nobody_may_join_a_group_that_has_been_filled(books):
    group(books, 1, 5, 5)
    books.quote(books.options[0], 0.70, 0.80)
    with pytest.raises(OrderRefused, match="name a new one"):
        books.send(9, books.options[2], limit=0.80, oca_group="g", oca_type=1)


@pytest.mark.parametrize(
    ("remaining", "filled", "before", "left"), [(10, 3, 10, 7), (7, 4, 7, 3), (1, 1, 10, 0)]
)
def test_reductions_round_down_so_that_nothing_is_left_over(remaining, filled, before, left):
    assert reduced(remaining, filled, before) == left


@pytest.mark.parametrize("named", ["", "g"])
def test_a_change_leaves_an_order_in_its_group(books, named):
    group(books, 1, 5, 5)
    books.send(1, books.options[0], quantity=5, limit=0.85, oca_group=named)
    assert (books.order(1).request.oca_group, books.order(1).request.oca_type) == ("g", 1)
    books.quote(books.options[0], 0.70, 0.80)
    assert books.status(1, 2) == ["Filled", "Cancelled"]


def test_a_change_leaves_a_child_in_the_group_it_named(books):
    child = {"parent_id": PARENT, "oca_group": "exits", "oca_type": 1}
    put = books.options[0]
    books.send(PARENT, put, limit=0.80, transmit=False)
    books.send(TARGET, put, "SELL", limit=2.00, transmit=False, **child)
    books.send(STOP, put, "SELL", order_type="STP", aux_price=0.50, **child)
    books.send(TARGET, put, "SELL", limit=1.90, parent_id=PARENT)
    assert (books.order(TARGET).request.oca_group, books.order(TARGET).request.oca_type) == ("exits", 1)

"""What each type of order does, and how waiting orders are let go."""

import pytest

from broker.gateway.errors import OrderRefused
from tests.gateway.books import Books


@pytest.fixture
def books():
    made = Books()
    made.quote_all()
    made.quote(made.share, 100.00, 100.10, last=100.05, close=99.00, volume=1000)
    return made


def test_a_market_order_waits_for_a_quote(books):
    books.quote(books.options[0])
    books.send(1, books.options[0])
    books.step(600)
    assert books.status(1) == "Submitted"
    books.quote(books.options[0], 3.00, 3.20)
    assert books.order(1).fill_price == 3.20


def test_a_stop_becomes_a_market_order_when_its_price_is_reached(books):
    books.send(1, books.share, "SELL", 5, order_type="STP", aux_price=99.50)
    assert (books.status(1), books.order(1).why_held) == ("PreSubmitted", "trigger")
    books.quote(books.share, 99.60, 99.70, last=99.65)
    assert books.status(1) == "PreSubmitted"
    books.quote(books.share, 99.20, 99.30, last=99.50)
    assert books.told(1) == ["PreSubmitted", "Submitted", "5 filled"]
    assert books.order(1).fill_price == 99.20


def test_a_triggered_stop_stays_triggered(books):
    books.send(1, books.share, "SELL", 15, order_type="STP", aux_price=99.50)
    books.quote(books.share, 99.20, 99.30, last=99.40)
    books.quote(books.share, 101.00, 101.10, last=101.00)
    assert books.status(1) == "Filled"


def test_a_stop_limit_keeps_its_limit_once_triggered(books):
    stop = {"order_type": "STP LMT", "aux_price": 99.50}
    books.send(1, books.share, "SELL", 5, 99.40, **stop)
    books.quote(books.share, 99.00, 99.10, last=99.00)
    books.step(60)
    assert books.told(1) == ["PreSubmitted", "Submitted"]
    books.quote(books.share, 99.45, 99.55, last=99.50)
    assert books.order(1).fill_price == 99.45


def test_a_stop_in_an_option_looks_at_the_bid_to_buy_and_at_the_ask_to_sell(books):
    books.send(1, books.options[0], "BUY", order_type="STP", aux_price=1.50)
    books.send(2, books.options[1], "SELL", order_type="STP", aux_price=0.50)
    books.quote(books.options[0], 1.40, 1.60, last=1.60)
    books.quote(books.options[1], 0.40, 0.60, last=0.40)
    assert books.status(1, 2) == ["PreSubmitted", "PreSubmitted"]
    books.quote(books.options[0], 1.50, 1.70)
    books.quote(books.options[1], 0.40, 0.50)
    assert books.status(1, 2) == ["Filled", "Filled"]


@pytest.mark.parametrize(
    ("method", "quote", "triggers"),
    [
        (2, {"bid": 99.6, "ask": 99.7, "last": 99.5}, True),
        (2, {"bid": 99.3, "ask": 99.4, "last": 99.6}, False),
        (4, {"bid": 99.3, "ask": 99.4, "last": 99.6}, True),
        (4, {"bid": 99.4, "ask": 99.6, "last": 99.0}, False),
        (7, {"bid": 99.4, "ask": 99.6, "last": 99.5}, True),
        (7, {"bid": 99.3, "ask": 99.5, "last": 99.9}, True),
        (8, {"bid": 99.4, "ask": 99.6, "last": 99.9}, True),
        (8, {"bid": 99.5, "ask": 99.6, "last": 99.0}, False),
        (0, {"bid": 99.4, "ask": 99.5}, True),
        (0, {"bid": 99.4, "ask": 99.5, "last": 99.9}, False),
    ],
)
def test_the_trigger_method_says_what_a_stop_looks_at(books, method, quote, triggers):
    books.send(1, books.share, "SELL", order_type="STP", aux_price=99.50, trigger_method=method)
    books.quote(books.share, **quote)
    assert (books.status(1) == "Filled") == triggers


def test_midprice_follows_the_middle_and_fills_there(books):
    books.send(1, books.share, "BUY", 5, order_type="MIDPRICE")
    books.step(1)
    books.quote(books.share, 101.00, 101.10)
    books.step(2)
    assert books.order(1).fill_price == 101.05


def test_a_middle_between_two_increments_is_met_on_the_far_one(books):
    books.quote(books.share, 0.5000, 0.5003)
    books.send(1, books.share, "BUY", 5, order_type="MIDPRICE")
    books.step(2)
    assert books.order(1).fill_price == 0.5002


def test_midprice_never_goes_beyond_its_cap(books):
    books.send(1, books.share, "BUY", 5, 100.00, order_type="MIDPRICE")
    books.send(2, books.share, "SELL", 5, 100.10, order_type="MIDPRICE")
    books.step(600)
    assert books.status(1, 2) == ["Submitted", "Submitted"]
    books.quote(books.share, 99.90, 100.00)
    books.step(2)
    assert (books.order(1).fill_price, books.status(2)) == (99.95, "Submitted")


def test_all_or_none_waits_for_the_whole_size(books):
    books.send(1, books.options[0], quantity=12, limit=1.10, all_or_none=True)
    books.step(60)
    assert books.order(1).filled == 0
    books.quote(books.options[0], 1.00, 1.10, bid_size=12, ask_size=12)
    assert books.told(1) == ["Submitted", "12 filled"]


def test_a_minimum_quantity_holds_for_every_part_but_the_last(books):
    books.send(1, books.options[0], quantity=13, limit=1.10, min_quantity=5)
    assert books.order(1).filled == 10
    books.quote(books.options[0], 1.00, 1.10, bid_size=2, ask_size=2)
    assert books.order(1).filled == 10
    books.quote(books.options[0], 1.00, 1.10, bid_size=3, ask_size=3)
    assert books.order(1).filled == 13


# -- conditions -------------------------------------------------------------------------------------------


def price(con_id, more, value, joined="a"):
    return ("1", joined, more, str(value), str(con_id), "SMART", "0")


def test_an_order_waits_until_a_price_condition_is_true(books):
    condition = price(books.share.con_id, "1", 102)
    books.send(1, books.options[0], conditions=(condition,))
    assert books.status(1) == "PreSubmitted"
    books.quote(books.share, 101.90, 102.10, last=102.00)
    assert books.status(1) == "Filled"


def test_a_time_condition_is_true_at_its_moment(books):
    books.send(1, books.options[0], conditions=(("3", "a", "1", "20260302 10:05:00 US/Eastern"),))
    books.step(299)
    assert books.status(1) == "PreSubmitted"
    books.step(1)
    assert books.status(1) == "Filled"
    assert books.exchange.executions[0].time == books.now


def test_conditions_are_joined_from_the_first_to_the_last(books):
    low, high = price(books.share.con_id, "0", 98, "o"), price(books.share.con_id, "1", 102)
    later = ("3", "a", "1", "20260302 10:05:00 US/Eastern")
    books.send(1, books.options[0], conditions=(low, high, later))
    books.quote(books.share, 97.00, 97.10, last=97.05)
    assert books.status(1) == "PreSubmitted", "low or high, and later"
    books.step(300)
    assert books.status(1) == "Filled"


def test_volume_and_percent_change_are_watched_too(books):
    volume = ("6", "a", "1", "2000", str(books.share.con_id), "SMART")
    change = ("7", "a", "0", "-1.0", str(books.share.con_id), "SMART")
    books.send(1, books.options[0], conditions=(volume,))
    books.send(2, books.options[0], conditions=(change,))
    books.quote(books.share, 97.95, 98.05, last=98.00, close=99.00, volume=2000)
    assert books.status(1, 2) == ["Filled", "Filled"]


def test_a_condition_may_cancel_an_order_that_works_meanwhile(books):
    condition = price(books.share.con_id, "1", 102)
    terms = {"conditionsCancelOrder": "1"}
    books.send(1, books.options[0], limit=0.50, conditions=(condition,), terms=terms)
    books.send(2, books.options[1], conditions=(condition,), terms=terms)
    assert books.status(1, 2) == ["Submitted", "Filled"]
    books.quote(books.share, 101.90, 102.10, last=102.00)
    assert books.status(1) == "Cancelled"


@pytest.mark.parametrize(
    ("condition", "code", "says"),
    [
        (("4", "a", "1", "30"), 398, "margin"),
        (("5", "a", "STK", "SMART", "SPY"), 398, "execution"),
        (("3", "a", "1", "noon"), 337, "noon"),
        (("1", "a", "1", "", "42", "SMART", "0"), 398, "42"),
    ],
)
def test_conditions_that_cannot_be_watched_are_refused(books, condition, code, says):
    with pytest.raises(OrderRefused, match=says) as refused:
        books.send(1, books.options[0], conditions=(condition,))
    assert refused.value.code == code


# -- changing orders --------------------------------------------------------------------------------------


def test_a_change_starts_the_queue_anew(books):
    books.send(1, books.options[0], limit=1.05)
    books.step(1.5)
    books.send(1, books.options[0], quantity=2, limit=1.05)
    books.step(1.9)
    assert books.status(1) == "Submitted"
    books.step(0.1)
    assert books.order(1).filled == 2


@pytest.mark.parametrize(
    ("what", "change", "code"),
    [
        (0, {"quantity": 10, "limit": 1.00}, 105),
        (0, {"quantity": 9, "limit": 1.00}, 105),
        (0, {"quantity": 15, "limit": 1.00, "action": "SELL"}, 105),
        (1, {"quantity": 15, "limit": 1.00}, 105),
        (0, {"quantity": 15, "limit": 1.00, "oca_group": "new"}, 105),
        (0, {"quantity": 15, "limit": 1.00, "parent_id": 5}, 105),
        (0, {"quantity": 15}, 329),
        (0, {"quantity": 15, "limit": 1.00, "tif": "GTC"}, 462),
        (0, {"quantity": 15, "limit": 1.005}, 110),
        (0, {"quantity": 50_000, "action": "BUY", "limit": 1.00}, 201),
    ],
)
def test_a_refused_change_leaves_the_order_as_it_is(books, what, change, code):
    books.send(1, books.options[0], quantity=15, limit=1.10)
    before = books.order(1).request
    with pytest.raises(OrderRefused) as refused:
        books.send(1, books.options[what], **change)
    assert refused.value.code == code
    assert (books.order(1).request, books.order(1).filled, books.status(1)) == (before, 10, "Submitted")


def test_ended_orders_take_no_change(books):
    books.send(1, books.options[0])
    books.send(2, books.options[0], limit=0.50)
    books.cancel(2)
    for order_id, code in ((1, 104), (2, 103)):
        with pytest.raises(OrderRefused) as refused:
            books.send(order_id, books.options[0], limit=2.00)
        assert refused.value.code == code


def test_a_cancel_that_comes_after_a_part_keeps_that_part(books):
    books.send(1, books.options[0], quantity=15, limit=1.10)
    books.cancel(1)
    assert books.told(1) == ["Submitted", "10 filled", "Cancelled"]
    assert (books.order(1).filled, books.order(1).remaining) == (10, 5)
    books.check()


def test_the_global_cancel_ends_held_and_working_orders_of_everyone(books):
    books.send(1, books.options[0], limit=0.50)
    books.send(2, books.options[0], limit=0.50, transmit=False)
    books.exchange.cancel_all(books.now)
    assert books.status(1, 2) == ["Cancelled", "Cancelled"]
    assert not books.exchange.working_con_ids()

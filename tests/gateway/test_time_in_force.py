"""When orders may trade: sessions, time in force, good-after and good-till."""

from datetime import UTC, datetime

import pytest

from broker.gateway.errors import OrderRefused
from broker.gateway.exchange.time_in_force import next_session, parse_moment
from options import NEW_YORK
from tests.gateway.books import Books


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).astimezone(UTC)


@pytest.fixture
def open_books():
    def opened(text="2026-03-02T10:00"):
        books = Books(at(text))
        books.quote_all()
        books.quote(books.share, 100.00, 100.10, last=100.05)
        return books

    return opened


def test_an_immediate_order_fills_what_it_can_and_never_rests(open_books):
    books = open_books()
    books.send(1, books.options[0], quantity=15, limit=1.10, tif="IOC")
    books.send(2, books.options[1], limit=1.05, tif="IOC")
    assert books.told(1) == ["Submitted", "10 filled", "Cancelled"]
    assert books.told(2) == ["Submitted", "Cancelled"], "the middle is met only by who waits"


def test_fill_or_kill_fills_all_or_nothing(open_books):
    books = open_books()
    books.send(1, books.options[0], quantity=15, limit=1.10, tif="FOK")
    books.send(2, books.options[0], quantity=10, limit=1.10, tif="FOK")
    assert (books.order(1).filled, books.status(1)) == (0, "Cancelled")
    assert books.status(2) == "Filled"


def test_an_immediate_order_does_not_wait_for_the_opening(open_books):
    books = open_books("2026-03-02T08:00")
    books.send(1, books.options[0], limit=1.10, tif="IOC")
    assert books.status(1) == "Cancelled"


@pytest.mark.parametrize(
    ("placed", "ends"),
    [
        ("2026-03-02T10:00", "2026-03-02T16:00"),
        ("2026-03-02T17:00", "2026-03-03T16:00"),
        ("2026-03-02T08:00", "2026-03-02T16:00"),
        ("2026-03-06T16:00", "2026-03-09T16:00"),
        ("2025-11-28T10:00", "2025-11-28T13:00"),
        ("2025-11-26T17:00", "2025-11-28T13:00"),
    ],
)
def test_a_day_order_ends_with_the_close_of_its_session(open_books, placed, ends):
    books = open_books(placed)
    books.send(1, books.options[0], limit=0.50)
    books.step((at(ends) - at(placed)).total_seconds() - 1)
    assert books.order(1).lives
    books.step(1)
    assert books.status(1) == "Cancelled"
    assert books.order(1).done == at(ends)


def test_a_good_till_cancelled_order_lives_through_the_night(open_books):
    books = open_books()
    books.send(1, books.options[0], limit=0.90, tif="GTC")
    books.step(86_400)
    assert books.status(1) == "Submitted"
    books.quote(books.options[0], 0.80, 0.90)
    assert books.status(1) == "Filled"


@pytest.mark.parametrize(
    "till",
    [
        "20260303 11:00:00 US/Eastern",
        "20260303 11:00:00 America/New_York",
        "20260303 11:00:00 EST",
        "20260303 11:00:00",
        "20260303-16:00:00",
        "20260303 16:00:00 UTC",
    ],
)
def test_a_good_till_date_order_ends_at_its_moment(open_books, till):
    books = open_books()
    books.send(1, books.options[0], limit=0.50, tif="GTD", good_till=till)
    assert books.order(1).ends == at("2026-03-03T11:00")
    books.step(25 * 3600)
    assert books.status(1) == "Cancelled"


def test_a_mere_date_lasts_until_that_days_close(open_books):
    books = open_books()
    books.send(1, books.options[0], limit=0.50, tif="GTD", good_till="20260304")
    books.send(2, books.options[0], limit=0.50, tif="GTD", good_till="20260308")
    assert [books.order(i).ends for i in (1, 2)] == [at("2026-03-04T16:00"), at("2026-03-06T16:00")]


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"tif": "GTD"}, 343),
        ({"tif": "GTD", "good_till": "20260231 10:00:00"}, 343),
        ({"tif": "GTD", "good_till": "20260303 10:00:00 Mars/Olympus"}, 343),
        ({"tif": "GTD", "good_till": "20260303 25:00:00"}, 343),
        ({"tif": "GTD", "good_till": "20260302 09:59:59"}, 334),
        ({"tif": "GTD", "good_till": "20260303 10:00:00 US"}, 343),
        ({"tif": "GTD", "good_till": "99991231 23:59:59"}, 343),
        ({"good_after": "99991231-23:59:59"}, 337),
        ({"good_after": "00010101-00:00:00"}, 337),
        ({"good_after": "soon"}, 337),
        ({"tif": "OPG"}, 111),
        ({"tif": "IOC", "order_type": "STP", "aux_price": 1.0}, 111),
        ({"tif": "IOC", "good_after": "20260302 12:00:00"}, 111),
    ],
)
def test_times_that_make_no_sense_are_refused(open_books, terms, code):
    books = open_books()
    with pytest.raises(OrderRefused) as refused:
        books.send(1, books.options[0], limit=0.50, **terms)
    assert refused.value.code == code
    assert books.exchange.orders == {}


def test_an_order_with_a_good_after_time_waits_for_it(open_books):
    books = open_books()
    books.send(1, books.options[0], good_after="20260302 10:30:00 US/Eastern")
    assert books.told(1) == ["PreSubmitted"], "no warning: its owner wants it so"
    books.step(1799)
    assert books.status(1) == "PreSubmitted"
    books.step(1)
    assert books.told(1) == ["PreSubmitted", "Submitted", "1 filled"]


def test_orders_outside_regular_hours_wait_for_the_opening_with_a_warning(open_books):
    books = open_books("2026-03-06T17:00")
    books.send(1, books.options[0])
    books.send(2, books.options[1], limit=1.10)
    assert books.told(1) == ["PreSubmitted", 399]
    books.quote_all()
    books.step(3600)
    assert books.status(1, 2) == ["PreSubmitted", "PreSubmitted"]
    books.step((at("2026-03-09T09:30") - books.now).total_seconds())
    assert books.status(1, 2) == ["Filled", "Filled"]
    assert {e.time for e in books.exchange.executions} == {at("2026-03-09T09:30")}


def test_the_warning_says_when_the_order_will_be_placed(open_books):
    books = open_books("2026-03-06T17:00")
    said = []
    books.order_warned = lambda order, code, text: said.append((code, text))
    books.send(1, books.options[0], "SELL", 2, 1.00)
    assert said == [
        (
            399,
            "Order Message:\nSELL 2 XYZ 2026-04-17 90 P\n"
            "Warning: your order will not be placed at the exchange until 2026-03-09 09:30:00 US/Eastern",
        )
    ]


def test_shares_trade_outside_regular_hours_when_asked_to(open_books):
    books = open_books("2026-03-02T08:00")
    books.send(1, books.share, limit=100.10, outside_rth=True)
    books.send(2, books.share, limit=100.10)
    books.send(3, books.share, outside_rth=True)
    assert books.status(1, 2, 3) == ["Filled", "PreSubmitted", "PreSubmitted"]
    assert 2109 in books.told(3), "a market order has no such attribute"
    books.step(5400)
    assert books.status(2, 3) == ["Filled", "Filled"]


def test_options_ignore_the_wish_and_say_so(open_books):
    books = open_books()
    books.send(1, books.options[0], limit=1.00, outside_rth=True)
    assert books.told(1) == ["Submitted", 2109]


def test_an_extended_day_order_ends_with_the_extended_session(open_books):
    books = open_books("2026-03-02T17:00")
    books.send(1, books.share, limit=90.00, outside_rth=True)
    assert books.order(1).ends == at("2026-03-02T20:00")
    books.step(3 * 3600)
    assert books.status(1) == "Cancelled"


def test_a_resting_order_stops_at_the_close_and_goes_on_at_the_opening(open_books):
    books = open_books("2026-03-02T15:59:59")
    books.send(1, books.options[0], limit=1.05, tif="GTC")
    books.step(3600)
    books.quote(books.options[0], 1.00, 1.10)
    books.step(3600)
    assert books.order(1).filled == 0
    books.step((at("2026-03-03T09:30") - books.now).total_seconds() + 1)
    assert books.order(1).filled == 0, "the queue begins anew"
    books.step(1)
    assert books.status(1) == "Filled"


def test_the_extended_session_is_shorter_when_the_day_closes_early():
    assert next_session(at("2025-11-28T14:00"), extended=True)[1] == at("2025-11-28T17:00")
    assert next_session(at("2025-11-28T18:00"), extended=True)[0] == at("2025-12-01T04:00")


def test_moments_without_a_day_are_no_moments():
    assert parse_moment("") is parse_moment("10:00:00") is parse_moment("2026-03-02") is None

"""Which orders the exchange refuses, with which code, and that the text says what to do."""

import pytest

from broker.gateway.errors import OrderRefused
from tests.gateway.books import Books


@pytest.mark.parametrize(
    ("terms", "code", "says"),
    [
        ({"account": "U999"}, 201, "U999 is not DU1"),
        ({"order_type": "TRAIL"}, 387, "use LMT, MKT, STP, STP LMT"),
        ({"order_type": "MIDPRICE"}, 387, "use LMT at the middle"),
        ({"order_type": "STP", "aux_price": -1.0}, 403, "stop price"),
        ({"order_type": "STP", "aux_price": 1.005}, 110, "minimum price variation"),
        ({"order_type": "STP", "aux_price": 1.0, "trigger_method": 1}, 201, "use 0, 2"),
        ({"quantity": 0}, 434, "zero"),
        ({"quantity": -1}, 201, "above 0"),
        ({"quantity": 100_001}, 383, "100000"),
        ({"limit": 0.0}, 201, "above 0"),
        ({"limit": 3.02}, 110, "minimum price variation"),
        ({"limit": float("nan")}, 201, "needs a limit price"),
        ({"limit": float("inf")}, 201, "10000000 USD"),
        ({"limit": 1e306}, 201, "10000000 USD"),
        ({"order_type": "STP", "aux_price": 1e306}, 201, "10000000 USD"),
        ({"order_type": "STP", "aux_price": float("nan")}, 403, "stop price"),
        ({"tif": "DTC"}, 111, "use DAY, FOK"),
        ({"oca_group": "g", "oca_type": 4}, 201, "none of 1, 2 and 3"),
        ({"terms": {"algoStrategy": "Adaptive"}}, 439, "leave it out"),
        ({"terms": {"hedgeType": "D"}}, 321, "hedgeType"),
    ],
)
def test_a_senseless_or_unsupported_order_is_refused(terms, code, says):
    books = Books()
    books.quote_all()
    wanted = {"quantity": 1, "limit": None if "order_type" in terms else 1.00, **terms}
    with pytest.raises(OrderRefused, match=says) as refused:
        books.send(1, books.options[0], **wanted)
    assert refused.value.code == code
    assert (books.exchange.orders, books.news) == ({}, [])


@pytest.mark.parametrize("cap", [float("nan"), float("inf"), 1e308, -1e308])
def test_the_cap_of_a_midprice_order_is_a_price(cap):
    books = Books()
    with pytest.raises(OrderRefused, match="10000000 USD") as refused:
        books.send(1, books.share, order_type="MIDPRICE", limit=cap)
    assert refused.value.code == 201


@pytest.mark.parametrize("limit", [1e308, -1e308])
def test_the_limit_of_a_combo_is_a_price(limit):
    books = Books()
    with pytest.raises(OrderRefused, match="10000000 USD"):
        books.send(1, [(books.options[0], 1), (books.options[1], -1)], limit=limit)


@pytest.mark.parametrize("amounts", [(1,), (1, 0), (1, -1, 1, -1, 1)])
def test_a_combo_has_two_to_four_legs_that_trade(amounts):
    books = Books()
    legs = list(zip([*books.options, books.share], amounts, strict=False))
    with pytest.raises(OrderRefused, match="combo"):
        books.send(1, legs, limit=1.00)


@pytest.mark.parametrize("price", [float("nan"), float("inf"), 1e306])
def test_a_price_cap_is_a_price(price):
    books = Books()
    with pytest.raises(OrderRefused, match="USD per share"):
        books.send(1, books.share, limit=price, order_type="MIDPRICE")


@pytest.mark.parametrize("price", [float("nan"), float("-inf"), -1e306])
def test_a_combos_limit_is_a_price(price):
    books = Books()
    with pytest.raises(OrderRefused, match=r"limit price|USD per share"):
        books.send(1, [(books.options[0], 1), (books.options[1], -1)], limit=price)


def test_a_combos_size_counts_the_contracts_of_its_largest_leg():
    books = Books()
    with pytest.raises(OrderRefused, match="100020 is above 100000") as refused:
        books.send(1, [(books.options[0], 30), (books.options[1], -1)], quantity=3334, limit=1.00)
    assert refused.value.code == 383
    books.send(2, [(books.options[0], 1), (books.share, 100)], quantity=90_000, limit=-9.00)


def test_a_minimum_quantity_is_for_single_contracts():
    books = Books()
    with pytest.raises(OrderRefused) as refused:
        books.send(1, [(books.options[0], 1), (books.options[1], -1)], limit=1.00, min_quantity=2)
    assert refused.value.code == 350


def test_an_expired_contract_cannot_be_ordered():
    books = Books()
    books.step(60 * 86_400)
    with pytest.raises(OrderRefused) as refused:
        books.send(1, books.options[0], limit=1.00)
    assert refused.value.code == 392


def test_terms_that_say_nothing_are_no_obstacle():
    books = Books()
    books.quote_all()
    books.send(
        1, books.options[0], limit=1.10, terms={"hedgeType": "", "cashQty": "0", "discretionaryAmt": "0.0"}
    )
    assert books.status(1) == "Filled"

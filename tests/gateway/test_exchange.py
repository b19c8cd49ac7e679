"""The account behind the exchange: what it books, what it needs, what expiry leaves."""

from datetime import timedelta

import pytest

from broker.gateway.errors import OrderRefused
from broker.gateway.markets.script import DEFAULT_START
from options.hours import closing
from tests.gateway.books import DEPOSIT, Books


def test_a_position_that_turns_around_realizes_only_what_it_closed():
    books = Books()
    account, contract = books.exchange.account, books.options[0]
    assert account.book(contract, 2, 1.00, 1.30) is None
    assert account.book(contract, -5, 1.50, 3.25) == pytest.approx(2 * (150 - 0.65 - 100 - 0.65))
    held = account.holdings[contract.con_id]
    assert (held.quantity, held.average_cost) == (-3, pytest.approx(150 - 0.65))
    cost = sum(h.quantity * h.average_cost for h in account.holdings.values())
    assert account.cash_usd + cost == pytest.approx(DEPOSIT + account.realized_usd)


def test_a_defined_risk_structure_needs_what_it_can_lose_and_a_naked_short_more():
    books = Books()
    (put_wing, put, _, call_wing), traded = books.options, books.exchange
    for contract in (put_wing, put, call_wing):
        traded.market.set({"con_id": contract.con_id, "bid": 1.0, "ask": 1.0})
    traded.account.book(put_wing, 2, 1.0, 0.0)
    traded.account.book(put, -2, 2.0, 0.0)
    assert traded.values(DEFAULT_START).initial_margin == pytest.approx(1000)
    traded.account.book(call_wing, -1, 1.0, 0.0)
    # One put stays in its spread (500); the other one and the call are a strangle: the call's naked
    # requirement, with its strike standing in for the price, and the put's mark.
    assert traded.values(DEFAULT_START).initial_margin == pytest.approx(500 + 100 * (1.0 + 0.2 * 110 + 1.0))


def test_an_account_beyond_its_means_may_only_do_what_frees_some():
    books = Books(deposit=2_000.0)
    put = books.options[1]
    books.quote_all()
    books.quote(books.share, 100.00, 100.10)
    books.exchange.account.book(put, -3, 1.00, 0.0)
    books.send(1, put, "BUY", limit=1.10)
    assert books.status(1) == "Filled"
    assert books.exchange.values(books.now).available_funds < 0
    with pytest.raises(OrderRefused, match="EQUITY WITH LOAN VALUE"):
        books.send(2, put, "SELL", limit=1.00)


def test_expired_options_wait_for_a_price_and_then_become_shares_or_nothing():
    books = Books()
    (_, put, call, _), traded = books.options, books.exchange
    traded.account.book(put, -1, 2.0, 0.0)
    traded.account.book(call, 1, 2.0, 0.0)
    after = closing(put.expiry)
    traded.pass_time(after - timedelta(seconds=1))
    traded.pass_time(after)
    assert books.news == []
    traded.market.set({"symbol": "XYZ", "bid": 92.0, "ask": 92.0})
    traded.pass_time(after + timedelta(seconds=1))
    assert books.news == [(0, "Expired")]
    assert [h.quantity for h in traded.account.holdings.values()] == [0, 0, 100]
    assert traded.account.cash_usd == pytest.approx(DEPOSIT - 9500)

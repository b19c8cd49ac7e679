"""What an account can carry: what-if orders, and orders beyond its means."""

from datetime import datetime

import pytest

from broker.gateway.errors import OrderRefused
from tests.gateway.books import Books, wish

NIGHT = datetime.fromisoformat("2026-03-02T20:30:00-05:00")


def small(deposit=10_000.0, **more):
    """An account beside which XYZ stands at 100 and every option is quoted 1.00 at 1.10."""
    books = Books(deposit=deposit, **more)
    books.quote(books.share, 99.95, 100.05)
    books.quote_all(bid_size=1000, ask_size=1000)
    return books


@pytest.mark.parametrize("amounts", [(0, -1, 0, 0), (1, -1, -1, 1), (0, 0, 1, 0), (0, 1, 1, 0)])
@pytest.mark.parametrize("action", ["BUY", "SELL"])
def test_what_if_tells_what_the_fill_then_does(amounts, action):
    books = small()
    parts = [(c, n) for c, n in zip(books.options, amounts, strict=True) if n]
    what = parts if len(parts) > 1 else parts[0][0]
    before, after, commission = books.exchange.what_if(wish(what, action, 2, None), books.now)
    assert before == books.exchange.values(books.now)
    books.send(1, what, action, 2)
    real = books.exchange.values(books.now)
    assert books.order(1).commission_usd == pytest.approx(commission)
    for name in ("cash", "equity_with_loan", "initial_margin", "maintenance_margin", "net_liquidation"):
        assert getattr(after, name) == pytest.approx(getattr(real, name)), name


def test_what_frees_a_little_margin_may_not_cost_what_the_account_does_not_have():
    books = small()
    books.send(1, books.options[1], "SELL", 1)
    with pytest.raises(OrderRefused, match="MUST EXCEED"):
        books.send(2, books.options[0], "BUY", 500)
    books.send(3, books.options[0], "BUY", 1)
    assert books.status(3) == "Filled"


def test_an_order_that_only_closes_is_taken_whatever_it_costs():
    books = small(deposit=1_000.0)
    spread = [(books.options[2], -1), (books.options[3], 1)]
    books.quote(books.options[3], 0.30, 0.40)
    books.send(1, spread, "BUY", 2)
    books.quote(books.options[2], 6.00, 9.00)
    books.quote(books.options[3], 1.00, 2.00)
    assert books.exchange.values(books.now).available_funds < 600
    with pytest.raises(OrderRefused, match="MUST EXCEED"):
        books.send(2, spread, "SELL", 3)
    books.send(3, spread, "SELL", 2)
    assert books.exchange.values(books.now).available_funds < 0


def test_without_quotes_an_order_counts_at_the_last_price():
    books = small(now=NIGHT)
    for contract in books.options:
        books.quote(contract)
    with pytest.raises(OrderRefused, match="MUST EXCEED"):
        books.send(1, books.options[2], "BUY", 1000, tif="GTC")
    books.send(2, books.options[2], "BUY", 50, tif="GTC")
    assert books.status(2) == "PreSubmitted"

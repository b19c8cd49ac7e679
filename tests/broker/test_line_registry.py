"""One line per contract, fresh fields only, times of arrival."""

from datetime import UTC, date, datetime, timedelta

from broker.line_registry import LineRegistry
from options import ConId, Contract, Right, SecType

NOON = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
LATER = NOON + timedelta(seconds=5)
PUT = Contract(ConId(7), "IWM", SecType.OPTION, date(2026, 3, 20), 245.0, Right.PUT, 100)
VIX = Contract(ConId(8), "VIX", SecType.INDEX, exchange="CBOE")
GREEKS = (0.2, -0.3, 0.01, 0.12, -0.05, 245.5)


def test_a_side_without_size_is_no_quote_at_all() -> None:
    lines = LineRegistry()
    lines.open(1, PUT)
    lines.tick_price(1, 1, 1.05, 10, NOON)
    lines.tick_price(1, 2, 1.10, 12, NOON)
    lines.tick_price(1, 1, -1.0, 0, NOON)
    lines.tick_size(1, 3, 0, NOON)
    (quote,) = lines.drain()
    assert (quote.bid, quote.bid_size, quote.ask, quote.ask_size) == (None, None, None, None)
    assert quote.quote_time == NOON


def test_a_quote_is_drained_once_with_the_last_of_each_field() -> None:
    lines = LineRegistry()
    lines.open(1, PUT)
    lines.data_type(1, 1)
    lines.tick_price(1, 1, 1.05, 10, NOON)
    lines.tick_price(1, 1, 1.06, 11, LATER)
    lines.tick_greeks(1, 13, *GREEKS, NOON)
    lines.tick_greeks(1, 10, 0.9, 0.9, 0.9, 0.9, 0.9, 9.0, LATER)
    (quote,) = lines.drain()
    assert (quote.bid, quote.bid_size, quote.quote_time) == (1.06, 11, LATER)
    assert (quote.iv, quote.delta, quote.greeks_time) == (0.2, -0.3, NOON)
    assert quote.is_live
    assert lines.drain() == []


def test_quotes_are_live_only_while_the_broker_says_so() -> None:
    lines = LineRegistry()
    lines.open(1, PUT)
    lines.tick_price(1, 1, 1.05, 10, NOON)
    assert not lines.drain()[0].is_live
    lines.data_type(1, 1)
    assert lines.drain()[0].is_live
    lines.data_type(1, 3)
    assert not lines.drain()[0].is_live


def test_a_line_opened_again_shows_nothing_of_the_old_one_and_ignores_its_late_ticks() -> None:
    lines = LineRegistry()
    lines.open(1, PUT)
    lines.tick_price(1, 1, 1.05, 10, NOON)
    assert lines.close(PUT.con_id) == 1
    assert lines.close(PUT.con_id) is None
    lines.open(2, PUT)
    lines.tick_price(1, 2, 9.0, 1, LATER)
    assert lines.drain() == []
    lines.tick_price(2, 2, 1.10, 1, LATER)
    (quote,) = lines.drain()
    assert (quote.bid, quote.ask) == (None, 1.10)


def test_an_index_has_the_time_of_its_last_price() -> None:
    lines = LineRegistry()
    lines.open(1, VIX)
    lines.tick_price(1, 9, 15.5, 0, NOON)
    lines.tick_price(1, 4, 16.0, 0, LATER)
    (quote,) = lines.drain()
    assert (quote.last, quote.close, quote.bid, quote.quote_time) == (16.0, 15.5, None, LATER)


def test_a_standing_clock_stamps_what_arrived_and_nothing_else() -> None:
    lines = LineRegistry()
    lines.open(1, PUT)
    lines.tick_greeks(1, 13, *GREEKS, NOON)
    lines.drain(arrival=NOON)
    lines.tick_price(1, 1, 1.05, 10, NOON)
    (quote,) = lines.drain(arrival=LATER)
    assert (quote.quote_time, quote.greeks_time) == (LATER, NOON)


def test_a_price_beyond_its_band_rings_and_one_within_does_not() -> None:
    lines, rung = LineRegistry(), []
    lines.open(1, PUT)
    lines.tick_price(1, 1, 9.0, 1, NOON)
    lines.ring_beyond({PUT.con_id: (1.0, 1.2), VIX.con_id: (17.0, 18.0)}, lambda: rung.append(True))
    for price in (1.0, 1.1, 1.2, -1.0, 0.0):
        lines.tick_price(1, 1, price, 1, NOON)
    lines.tick_price(1, 9, 5.0, 0, NOON)
    assert not rung
    lines.tick_price(1, 2, 1.21, 1, NOON)
    lines.tick_price(1, 4, 0.99, 1, NOON)
    assert len(rung) == 2
    lines.ring_beyond({}, lambda: rung.append(True))
    lines.tick_price(1, 1, 99.0, 1, NOON)
    assert len(rung) == 2


def test_a_delta_that_moves_by_a_twentieth_between_two_drains_rings() -> None:
    lines, rung = LineRegistry(), []
    lines.open(1, PUT)
    lines.ring_beyond({}, lambda: rung.append(True))
    lines.tick_greeks(1, 13, *GREEKS, NOON)
    lines.drain()
    for delta in (-0.34, -0.26, -2.0, float("nan")):
        lines.tick_greeks(1, 13, 0.2, delta, 0.01, 0.12, -0.05, 245.5, NOON)
    assert not rung
    lines.tick_greeks(1, 13, 0.2, -0.36, 0.01, 0.12, -0.05, 245.5, NOON)
    assert rung == [True]

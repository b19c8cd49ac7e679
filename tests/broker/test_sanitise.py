"""Nothing that is not a number leaves the broker's room as a number."""

import math
from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from broker import sanitise
from broker.line_registry import LineRegistry
from options import ConId, Contract, Right, SecType

NOON = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
PUT = Contract(ConId(7), "IWM", SecType.OPTION, date(2026, 3, 20), 245.0, Right.PUT, 100)
UNSET = 1.7976931348623157e308

wire_number = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([UNSET, -UNSET, -1.0, -2.0, 0.0, math.nan, math.inf, -math.inf]),
)
price_tick = st.tuples(st.just("price"), st.sampled_from([1, 2, 4, 9, 66, 67, 68, 75, 6, 37]), wire_number)
size_tick = st.tuples(st.just("size"), st.sampled_from([0, 3, 5, 8, 69, 70]), wire_number)
greeks_tick = st.tuples(st.just("greeks"), st.sampled_from([10, 11, 12, 13, 83]), wire_number)


@given(st.lists(st.tuples(st.one_of(price_tick, size_tick, greeks_tick), wire_number), max_size=30))
def test_no_sentinel_infinity_or_nan_leaves_in_a_quote(
    ticks: list[tuple[tuple[str, int, float], float]],
) -> None:
    lines = LineRegistry()
    lines.open(1, PUT)
    for (kind, tick_type, value), other in ticks:
        if kind == "price":
            lines.tick_price(1, tick_type, value, other, NOON)
        elif kind == "size":
            lines.tick_size(1, tick_type, value, NOON)
        else:
            lines.tick_greeks(1, tick_type, value, other, value, other, value, other, NOON)
        for quote in lines.drain():
            positive = [quote.bid, quote.ask, quote.bid_size, quote.ask_size, quote.last, quote.close]
            positive += [quote.iv, quote.underlying_price]
            signed = [quote.delta, quote.theta, quote.gamma, quote.vega]
            for number in (*positive, *signed):
                assert number is None or (math.isfinite(number) and abs(number) < 1e300)
                assert number != -2
            assert all(number is None or number > 0 for number in positive)
            assert quote.delta is None or abs(quote.delta) <= 1.001
            assert quote.gamma is None or quote.gamma >= 0
            assert quote.vega is None or quote.vega >= 0


@given(st.one_of(wire_number.map(str), st.text()))
def test_an_account_figure_is_a_finite_number_or_none(text: str) -> None:
    value = sanitise.text_number(text)
    assert value is None or (math.isfinite(value) and abs(value) < 1e300)


def test_a_credit_is_a_number() -> None:
    assert sanitise.number(-1.05) == -1.05


def test_words_and_unset_margins_are_unknown() -> None:
    assert sanitise.text_number("true") is None
    assert sanitise.text_number("") is None
    assert sanitise.text_number("1.7976931348623157E308") is None

"""Which quotes may be believed, and what is shown when they may not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from broker.events import QuoteChanged
from options import ConId
from sync.quote_board import QuoteBoard, QuoteState

NOW = datetime(2026, 2, 3, 15, 0, tzinfo=UTC)
ONE = ConId(1)


def quote(
    bid: float | None = 1.0, ask: float | None = 1.1, at: datetime | None = NOW, **more: object
) -> QuoteChanged:
    empty = QuoteChanged(ONE, bid, ask, 1, 1, None, None, None, None, None, None, None, None, at, None, True)
    return replace(empty, **more)


def board(*quotes: QuoteChanged) -> QuoteBoard:
    built = QuoteBoard(stale_after_s=120)
    for each in quotes:
        built.apply(each, each.quote_time or NOW)
    return built


def test_two_sided_fresh_quote_is_live() -> None:
    built = board(quote())
    assert built.state(ONE, NOW) is QuoteState.LIVE
    assert built.mid(ONE, NOW) == pytest.approx(1.05)
    assert built.sides(ONE, NOW) == (1.0, 1.1)


@pytest.mark.parametrize(
    "bad",
    [
        quote(bid=None),
        quote(ask=None),
        quote(bid=None, ask=None),
        quote(bid=1.2, ask=1.1),
        quote(bid=1.1, ask=1.1),
        quote(bid=0.0, ask=0.1),
        quote(bid=-1.0, ask=0.0),
        quote(is_live=False),
    ],
    ids=["no bid", "no ask", "no quote", "crossed", "locked", "zero bid", "negative", "delayed"],
)
def test_quote_that_cannot_be_traded_on_is_missing(bad: QuoteChanged) -> None:
    built = board(bad)
    assert built.state(ONE, NOW) is QuoteState.MISSING
    assert built.mid(ONE, NOW) is None
    assert built.sides(ONE, NOW) is None


def test_quote_grows_stale_and_any_price_or_greek_keeps_it_fresh() -> None:
    later = NOW + timedelta(seconds=121)
    assert board(quote()).state(ONE, NOW + timedelta(seconds=120)) is QuoteState.LIVE
    assert board(quote()).state(ONE, later) is QuoteState.STALE
    assert board(quote(greeks_time=NOW + timedelta(seconds=60))).state(ONE, later) is QuoteState.LIVE


def test_bad_quote_leaves_the_last_good_one_for_display_only() -> None:
    built = board(quote(), quote(bid=None, at=NOW + timedelta(seconds=1)))
    row = built.frame(NOW + timedelta(seconds=2)).row(0, named=True)
    assert built.mid(ONE, NOW) is None
    assert (row["quote_state"], row["mark"], row["current_mark"], row["quote_time"]) == (
        "stale",
        1.05,
        None,
        NOW,
    )


def test_nothing_is_live_after_the_link_was_lost_until_it_is_quoted_again() -> None:
    built = board(quote(delta=0.2, greeks_time=NOW))
    built.forget()
    assert built.state(ONE, NOW) is QuoteState.STALE
    assert built.price(ONE, NOW) is None
    assert built.frame(NOW).row(0, named=True)["delta"] is None
    known = built.last_known(ONE)
    assert known is not None
    assert known.mid == pytest.approx(1.05)
    built.apply(quote(), NOW)
    assert built.state(ONE, NOW) is QuoteState.LIVE


def test_greeks_grow_stale_on_their_own() -> None:
    built = board(quote(delta=0.2, greeks_time=NOW - timedelta(seconds=121)))
    row = built.frame(NOW).row(0, named=True)
    assert (row["quote_state"], row["delta"]) == ("live", None)


def test_contract_never_heard_of_is_missing() -> None:
    built = QuoteBoard()
    assert built.state(ONE, NOW) is QuoteState.MISSING
    assert built.frame(NOW, [ONE]).row(0, named=True)["quote_state"] == "missing"
    assert built.data_age_s(NOW) is None


def test_index_without_sides_is_priced_by_its_last_trade_while_fresh() -> None:
    built = QuoteBoard()
    built.watch("VIX", ONE)
    built.apply(quote(None, None, None, last=17.5), NOW)
    assert built.underlying_price("VIX", NOW) == 17.5
    assert built.underlying_price("VIX", NOW + timedelta(seconds=121)) is None
    assert built.underlying_price("SPY", NOW) is None


def test_change_over_an_hour_is_unknown_until_a_price_is_an_hour_old() -> None:
    built, hour = QuoteBoard(), timedelta(hours=1)
    built.watch("IWM", ONE)
    for minute, price in enumerate([100.0] * 60 + [97.0] * 60):
        at = NOW + timedelta(minutes=minute)
        built.apply(quote(price - 0.01, price + 0.01, at), at)
        if minute < 60:
            assert built.underlying_change("IWM", hour, at) is None
    at = NOW + timedelta(minutes=119)
    assert built.underlying_change("IWM", hour, at - timedelta(minutes=59)) == pytest.approx(-0.03)
    assert built.underlying_change("IWM", hour, at) == pytest.approx(-0.03)


def test_price_before_a_pause_is_not_the_price_an_hour_ago() -> None:
    built = QuoteBoard()
    built.watch("IWM", ONE)
    for at in (NOW, NOW + timedelta(hours=3)):
        built.apply(quote(at=at), at)
    assert built.underlying_change("IWM", timedelta(hours=1), NOW + timedelta(hours=3)) is None


def test_change_over_a_day_is_against_the_previous_close() -> None:
    built = QuoteBoard()
    built.watch("IWM", ONE)
    built.apply(quote(98.9, 99.1, close=100.0), NOW)
    assert built.underlying_change("IWM", timedelta(days=1), NOW) == pytest.approx(-0.01)

"""Bad quotes are flagged per contract, and what is flagged is not known."""

from datetime import timedelta

import numpy as np
import pytest

from broker.events import QuoteChanged
from options import ConId
from sync.quote_board import QuoteBoard
from sync.quote_flags import FROZEN_S, Flag, flag_words
from tests.sync.test_marks import CALL, NOW, PUT, SHARES, Market, worth

SECOND = timedelta(seconds=1)


def flags(market: Market, contract_id: ConId, now: object) -> str:
    figures, _ = market.marks.figures([contract_id], now)  # type: ignore[arg-type]
    return flag_words(int(figures["flags"][0]))


def quoted(greeks: bool = True) -> Market:
    """The put's line is open, the share's too."""
    market = Market()
    market.share(260.0, NOW)
    price = worth(PUT, 260.0, NOW)["price"]
    market.say(1, price - 0.05, price + 0.05, NOW, delta=-0.2 if greeks else None)
    assert market.mark(PUT, NOW)[0] == "live"
    return market


@pytest.mark.parametrize(("bid", "ask", "word"), [(3.2, 3.1, "crossed"), (3.0, 3.0, "locked")])
def test_a_crossed_or_locked_quote_makes_the_contract_unknown(bid: float, ask: float, word: str) -> None:
    market, later = quoted(), NOW + SECOND
    market.say(1, bid, ask, later, delta=-0.2)
    state, got = market.mark(PUT, later)
    assert (flags(market, PUT.con_id, later), state) == (word, "stale")
    assert np.isnan([got["current_mark"], got["delta"], got["spread"], got["iv"]]).all()


def test_a_good_quote_has_no_flag() -> None:
    assert flags(quoted(), PUT.con_id, NOW) == ""


def test_a_live_quote_without_greeks_is_a_price_without_greeks() -> None:
    market = quoted(greeks=False)
    state, got = market.mark(PUT, NOW)
    assert (flags(market, PUT.con_id, NOW), state) == ("no_greeks", "live")
    assert np.isnan(got["delta"])
    assert not np.isnan(got["current_mark"])


def test_a_line_that_stands_still_while_its_underlying_moves_is_frozen() -> None:
    market = quoted()
    for seconds, spot, word in (
        (FROZEN_S, 250.0, ""),
        (FROZEN_S + 1, 260.1, ""),
        (FROZEN_S + 2, 250.0, "frozen"),
    ):
        later = NOW + timedelta(seconds=seconds)
        market.share(spot, later)
        assert flags(market, PUT.con_id, later) == word
    state, got = market.mark(PUT, later)
    assert state == "stale"
    assert np.isnan(got["current_mark"])
    price = worth(PUT, 250.0, later)["price"]
    market.say(1, price - 0.05, price + 0.05, later + SECOND, delta=-0.3)
    assert market.mark(PUT, later + SECOND)[0] == "live"


def test_an_option_offered_below_its_exercise_breaks_parity() -> None:
    market = Market()
    market.share(300.0, NOW)
    market.say(2, 20.0, 20.2, NOW, delta=0.99)
    assert flags(market, CALL.con_id, NOW) == "parity"
    assert market.mark(CALL, NOW)[0] == "stale"


def visited() -> Market:
    market = Market()
    market.share(260.0, NOW)
    market.visit(PUT, 260.0, NOW)
    return market


def test_a_quote_far_from_its_own_volatility_is_a_jump_until_it_has_stood() -> None:
    market = visited()
    for seconds, word in ((60, "jump"), (64, "jump"), (65, "")):
        later = NOW + timedelta(seconds=seconds)
        market.say(1, 8.9, 9.1, later, delta=-0.4)
        assert flags(market, PUT.con_id, later) == word
    assert market.mark(PUT, later)[1]["current_mark"] == 9.0


def test_a_jump_seen_on_a_short_visit_leaves_the_contract_unknown_until_the_next_one() -> None:
    market, first = visited(), NOW + timedelta(seconds=60)
    market.say(1, 8.9, 9.1, first, delta=-0.4)
    market.marks.remark(first)
    market.board.release([PUT.con_id])
    assert market.mark(PUT, first + SECOND)[0] == "stale"
    second = first + timedelta(seconds=100)
    market.share(260.0, second)
    market.say(1, 8.9, 9.1, second, delta=-0.4)
    assert market.mark(PUT, second)[0] == "live"
    market.board.release([PUT.con_id])
    state, got = market.mark(PUT, second)
    assert (state, got["current_mark"]) == ("modelled", pytest.approx(9.0, abs=1e-3))


def test_a_line_that_is_believed_is_followed_through_a_crash() -> None:
    market = quoted()
    for step in range(1, 30):
        later = NOW + step * SECOND
        market.share(260.0, later)
        market.say(1, 3.0 * 1.3**step - 0.05, 3.0 * 1.3**step + 0.05, later, delta=-0.2)
        if 3.0 * 1.3**step < 200:
            assert flags(market, PUT.con_id, later) == "", step


def test_without_a_volatility_the_last_close_says_what_a_jump_is() -> None:
    for close, word in ((3.0, ""), (0.5, "jump")):
        market = Market()
        market.say(9, 259.99, 260.01, NOW, close=261.0)
        market.say(1, 2.95, 3.05, NOW, delta=-0.2, close=close)
        assert flags(market, PUT.con_id, NOW) == word


def test_a_closed_line_is_no_longer_live_but_still_shown() -> None:
    board = QuoteBoard()
    quote = QuoteChanged(
        PUT.con_id, 1.0, 1.1, 1, 1, None, None, None, None, None, None, None, None, NOW, NOW, True
    )
    board.apply(quote, NOW)
    assert board.mid(PUT.con_id, NOW) == pytest.approx(1.05)
    board.release([PUT.con_id, SHARES.con_id])
    assert board.mid(PUT.con_id, NOW) is None
    known = board.last_known(PUT.con_id)
    assert known is not None
    assert known.mid == pytest.approx(1.05)


def test_flags_are_told_in_words() -> None:
    assert flag_words(0) == ""
    assert flag_words(Flag.CROSSED | Flag.NO_GREEKS) == "crossed, no_greeks"


def test_a_price_that_stands_still_is_frozen_also_while_its_greeks_go_on() -> None:
    """The broker computes Greeks from the underlying: they say nothing about the quote beside them."""
    market = Market()
    market.share(260.0, NOW)
    price = worth(PUT, 260.0, NOW)["price"]
    market.say(PUT.con_id, price - 0.025, price + 0.025, NOW)
    market.marks.remark(NOW)
    for seconds in range(5, 45, 5):
        now = NOW + timedelta(seconds=seconds)
        market.share(260.0 - 0.25 * seconds, now)
        market.say(PUT.con_id, price - 0.025, price + 0.025, now, quote_time=NOW, delta=-0.2)
        market.marks.remark(now)
    assert market.mark(PUT, now)[0] == "stale"
    assert flags(market, PUT.con_id, now).startswith("frozen")

"""What the visits of some contracts tell of the volatilities of the underlying's others."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from options import Contract
from sync.volatility_shift import DOUBT, INERTIA, MOST_TOLD, learnt
from tests.sync.test_marks import CALL, NOW, PUT, VOL, Market, worth

LATER = NOW + timedelta(minutes=5)


def level_after(told: list[float], doubt: float = 0.0, of: int = 0) -> list[float]:
    visits = len(told)
    found = learnt(np.zeros(2), np.full(visits, of), np.array(told), np.full(visits, doubt))
    return found.tolist()


def test_as_many_visits_as_the_inertia_move_a_level_half_the_way_they_tell_and_no_other_level() -> None:
    assert level_after([0.05] * int(INERTIA)) == pytest.approx([0.025, 0.0])
    assert level_after([0.05] * int(INERTIA), of=1) == pytest.approx([0.0, 0.025])


def test_visits_that_agree_one_after_the_other_bring_the_level_to_what_they_tell() -> None:
    level = np.zeros(1)
    for _ in range(40):
        level = learnt(level, np.zeros(1, np.intp), 0.05 - level, np.zeros(1))
    assert level[0] == pytest.approx(0.05, rel=0.02)


def test_a_wide_quote_tells_less_and_one_that_leaves_everything_open_nothing() -> None:
    sharp, wide = level_after([0.05])[0], level_after([0.05], DOUBT)[0]
    assert wide == pytest.approx(0.05 * 0.5 / (INERTIA + 0.5))
    assert 0 < wide < sharp
    assert level_after([0.05], float("inf")) == level_after([0.05], float("nan")) == [0.0, 0.0]


def test_what_is_not_known_tells_nothing_and_what_is_absurd_no_more_than_the_most() -> None:
    assert level_after([float("nan")]) == level_after([]) == [0.0, 0.0]
    assert level_after([-7.0]) == level_after([-MOST_TOLD])


def quote(market: Market, contract: Contract, vol: float, now: datetime) -> None:
    """A line for a moment, a cent wide."""
    price = worth(contract, 260.0, now, vol)["price"]
    market.say(contract.con_id, price - 0.005, price + 0.005, now)
    market.marks.remark(now)
    market.board.release([contract.con_id])
    market.marks.remark(now)


def market_of_both() -> Market:
    market = Market()
    market.share(260.0, NOW)
    market.visit(PUT, 260.0, NOW)
    market.visit(CALL, 260.0, NOW)
    return market


def test_a_contract_that_was_not_visited_follows_a_part_of_the_way_of_one_that_was() -> None:
    market = market_of_both()
    market.share(260.0, LATER)
    assert market.mark(CALL, LATER)[1]["iv"] == pytest.approx(VOL[CALL.con_id], rel=1e-3)
    quote(market, PUT, 1.06 * VOL[PUT.con_id], LATER)
    state, got = market.mark(CALL, LATER)
    assert state == "modelled"
    followed = np.log(got["iv"] / VOL[CALL.con_id]) / np.log(1.06)
    assert 0.8 / (1 + INERTIA) < followed < 1.1 / (1 + INERTIA)
    assert got["current_mark"] == pytest.approx(worth(CALL, 260.0, LATER, got["iv"])["price"], rel=1e-6)
    assert market.mark(PUT, LATER)[1]["iv"] == pytest.approx(1.06 * VOL[PUT.con_id], rel=1e-3)


def test_a_quote_that_stands_is_not_frozen_because_the_others_moved_and_has_missed_nothing_of_it() -> None:
    market = market_of_both()
    price = worth(PUT, 260.0, NOW)["price"]
    market.say(PUT.con_id, price - 0.01, price + 0.01, NOW)
    market.mark(PUT, NOW)
    for round_ in range(1, 31):
        now = NOW + timedelta(seconds=2 * round_)
        market.share(260.0, now)
        quote(market, CALL, 1.02**round_ * VOL[CALL.con_id], now)
        assert market.mark(PUT, now)[0] == "live"
    market.board.release([PUT.con_id])
    assert market.mark(PUT, now)[1]["iv"] == pytest.approx(VOL[PUT.con_id], rel=2e-3)

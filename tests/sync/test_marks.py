"""Marks between visits: the model at the underlying's live price, and unknown where a source is missing."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from broker.events import QuoteChanged
from options import ConId, Contract, Right, SecType
from options.american import american
from options.hours import closing
from sync.marks import Marks, ModelTerms
from sync.quote_board import STATES, QuoteBoard

NOW = datetime(2026, 2, 3, 16, 0, tzinfo=UTC)
MARCH = date(2026, 3, 20)
SHARES = Contract(ConId(9), "IWM", SecType.STOCK)
PUT = Contract(ConId(1), "IWM", SecType.OPTION, MARCH, 245.0, Right.PUT, 100)
CALL = Contract(ConId(2), "IWM", SecType.OPTION, MARCH, 270.0, Right.CALL, 100)
DEEP = Contract(ConId(3), "IWM", SecType.OPTION, MARCH, 320.0, Right.PUT, 100)
VOL = {PUT.con_id: 0.25, CALL.con_id: 0.19, DEEP.con_id: 0.3}


def worth(contract: Contract, spot: float, now: datetime, vol: float | None = None) -> dict[str, float]:
    assert contract.expiry is not None
    years = (closing(contract.expiry) - now).total_seconds() / 86_400 / 365
    vol = VOL[contract.con_id] if vol is None else vol
    got = american(spot, contract.strike or 0.0, years, vol, contract.right is Right.CALL, 0.04)
    return {name: float(getattr(got, name)) for name in ("price", "delta", "gamma", "theta", "vega")}


class Market:
    """A board with a share and options that are quoted at their worth, half a dime wide."""

    def __init__(self, model: ModelTerms | None = None) -> None:
        self.board = QuoteBoard()
        self.board.watch("IWM", SHARES.con_id)
        self.marks = Marks(self.board, model or ModelTerms())
        self.marks.know([SHARES, PUT, CALL, DEEP])

    def share(self, spot: float, now: datetime) -> None:
        self.say(9, spot - 0.01, spot + 0.01, now)

    def say(self, con_id: int, bid: float | None, ask: float | None, now: datetime, **more: object) -> None:
        nothing = (None,) * 8
        quote = QuoteChanged(ConId(con_id), bid, ask, 1.0, 1.0, *nothing, now, now, True)
        self.board.apply(replace(quote, **more), now)

    def visit(self, contract: Contract, spot: float, now: datetime) -> None:
        """A line for a moment."""
        price = worth(contract, spot, now)["price"]
        self.say(contract.con_id, price - 0.025, price + 0.025, now)
        self.marks.remark(now)
        self.board.release([contract.con_id])
        self.marks.remark(now)

    def mark(self, contract: Contract, now: datetime) -> tuple[str, dict[str, float]]:
        figures, states = self.marks.figures([contract.con_id], now)
        return STATES[states[0]], {name: float(values[0]) for name, values in figures.items()}


@pytest.mark.parametrize("contract", [PUT, CALL])
def test_after_a_visit_the_mark_follows_the_underlying_with_the_volatility_of_the_visit(
    contract: Contract,
) -> None:
    market, later = Market(), NOW + timedelta(minutes=10)
    market.share(260.0, NOW)
    market.visit(contract, 260.0, NOW)
    for spot in (260.0, 263.0, 251.5):
        later += timedelta(seconds=1)
        market.share(spot, later)
        state, got = market.mark(contract, later)
        expected = worth(contract, spot, later)
        assert state == "modelled"
        assert got["current_mark"] == got["mark"] == pytest.approx(expected["price"], abs=1e-3)
        assert [got[name] for name in ("delta", "gamma", "theta", "vega")] == pytest.approx(
            [expected[name] for name in ("delta", "gamma", "theta", "vega")], rel=1e-3, abs=1e-5
        )
        assert got["iv"] == pytest.approx(VOL[contract.con_id], abs=1e-4)
        assert got["underlying_price"] == pytest.approx(spot)
        assert got["spread"] == pytest.approx(0.05)
        assert got["age_s"] == (later - NOW).total_seconds()


def test_while_the_line_is_open_the_mark_is_the_quote() -> None:
    market = Market()
    market.share(260.0, NOW)
    market.say(1, 2.9, 3.1, NOW, delta=-0.2)
    state, got = market.mark(PUT, NOW)
    assert (state, got["current_mark"], got["delta"]) == ("live", 3.0, -0.2)


def test_without_the_underlying_nothing_is_modelled() -> None:
    market, later = Market(), NOW + timedelta(seconds=121)
    market.share(260.0, NOW)
    market.visit(PUT, 260.0, NOW)
    assert market.mark(PUT, NOW)[0] == "modelled"
    state, got = market.mark(PUT, later)
    assert state == "stale"
    assert np.isnan([got["current_mark"], got["delta"], got["spread"]]).all()


def test_without_a_visit_there_is_no_mark() -> None:
    market = Market()
    market.share(260.0, NOW)
    assert market.mark(PUT, NOW)[0] == "missing"


def test_a_volatility_that_is_too_old_makes_no_marks() -> None:
    market = Market(ModelTerms(vol_within_s=600.0))
    market.share(260.0, NOW)
    market.visit(PUT, 260.0, NOW)
    for seconds, state in ((600, "modelled"), (601, "stale")):
        later = NOW + timedelta(seconds=seconds)
        market.share(260.0, later)
        assert market.mark(PUT, later)[0] == state


def test_an_option_that_has_ended_has_no_mark() -> None:
    market, end = Market(ModelTerms(vol_within_s=1e9)), closing(MARCH)
    market.share(260.0, NOW)
    market.visit(PUT, 260.0, NOW)
    market.share(260.0, end)
    assert market.mark(PUT, end)[0] == "stale"


def test_an_option_quoted_below_its_exercise_takes_the_brokers_volatility() -> None:
    market = Market()
    market.share(260.0, NOW)
    market.say(3, 59.8, 60.1, NOW, iv=0.22)
    market.marks.remark(NOW)
    market.board.release([DEEP.con_id])
    state, got = market.mark(DEEP, NOW)
    assert (state, got["iv"]) == ("modelled", 0.22)
    assert got["current_mark"] == pytest.approx(60.0, abs=0.01)


def test_what_is_known_of_a_contract_outlives_a_change_of_the_book() -> None:
    market = Market()
    market.share(260.0, NOW)
    market.visit(PUT, 260.0, NOW)
    before = market.mark(PUT, NOW)
    market.marks.know([CALL, PUT])
    assert str(market.mark(PUT, NOW)) == str(before)
    market.marks.know([CALL])
    assert market.mark(PUT, NOW)[0] == "stale"


def test_asked_twice_it_says_the_same() -> None:
    market = Market()
    market.share(260.0, NOW)
    market.visit(PUT, 260.0, NOW)
    assert str(market.mark(PUT, NOW)) == str(market.mark(PUT, NOW))


def test_the_band_of_an_underlying_ends_where_it_or_a_delta_has_moved_enough() -> None:
    market = Market()
    market.share(260.0, NOW)
    assert market.marks.bands(NOW) == {SHARES.con_id: pytest.approx((259.74, 260.26))}
    wide = Market(ModelTerms(beat_move=0.5))
    wide.share(260.0, NOW)
    wide.visit(CALL, 260.0, NOW)
    low, high = wide.marks.bands(NOW)[SHARES.con_id]
    assert high - 260.0 == pytest.approx(0.05 / worth(CALL, 260.0, NOW)["gamma"], rel=1e-3)
    assert low + high == pytest.approx(520.0)
    assert market.marks.bands(NOW + timedelta(seconds=121)) == {}


def test_with_stickiness_volatilities_fall_as_the_underlying_gains() -> None:
    market = Market(ModelTerms(stickiness=2.0))
    market.share(260.0, NOW)
    market.visit(PUT, 260.0, NOW)
    market.share(262.6, NOW)
    vol = VOL[PUT.con_id] / 1.01**2
    assert market.mark(PUT, NOW)[1]["current_mark"] == pytest.approx(
        worth(PUT, 262.6, NOW, vol)["price"], abs=2e-3
    )

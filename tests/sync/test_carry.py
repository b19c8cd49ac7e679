"""Dividends before an expiry: announced ones by their days, else what calls and puts of one strike imply."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pytest

from options import ConId, Contract, Right, SecType
from options.american import escrowed_american
from options.hours import closing
from sync.carry import ExDays, Pairs, implied_paid
from sync.marks import Marks, ModelTerms
from sync.quote_board import epoch_us
from tests.sync.test_marks import MARCH, NOW, Market

TODAY = date(2026, 2, 3)


@dataclass(frozen=True)
class Paid:
    day: date
    amount_usd: float | None


def announced(symbol: str, after: date, until: date) -> tuple[Paid, ...] | None:
    known = {"IWM": (Paid(date(2026, 3, 17), 0.62), Paid(date(2026, 6, 16), 0.7)), "KO": (Paid(MARCH, None),)}
    days = known.get(symbol)
    return None if days is None else tuple(each for each in days if after < each.day <= until)


def test_what_is_announced_before_the_expiry_is_paid() -> None:
    keys = [
        ("IWM", MARCH),
        ("IWM", date(2026, 6, 19)),
        ("IWM", date(2026, 2, 20)),
        ("KO", MARCH),
        ("X", MARCH),
    ]
    ex_days = ExDays.of(keys, announced, TODAY)
    assert ex_days.paid(epoch_us(NOW), 0.0).tolist() == pytest.approx([0.62, 1.32, 0.0, 0.0, 0.0])
    assert ex_days.paid(epoch_us(NOW), 0.04)[0] == pytest.approx(0.62 * np.exp(-0.04 * 41.2 / 365), abs=1e-4)
    after = epoch_us(closing(date(2026, 3, 16)))
    assert ex_days.paid(after, 0.0).tolist() == pytest.approx([0.0, 0.7, 0.0, 0.0, 0.0])


def test_the_last_chances_of_a_call_are_the_eves_of_its_ex_days() -> None:
    ex_days = ExDays.of([("IWM", date(2026, 6, 19)), ("X", MARCH)], announced, TODAY)
    first, second = ex_days.chances(np.array([0, 1]), np.array([0.2, 0.3]), epoch_us(NOW), 0.0)
    assert first.years[0] == pytest.approx(41.17 / 365, abs=1e-3)
    assert (first.paid[0], second.paid[0]) == (0.0, pytest.approx(0.62))
    assert np.isnan(first.years[1])


@pytest.mark.parametrize("paid", [0.0, 0.62, 3.0])
@pytest.mark.parametrize("vol", [0.12, 0.6])
def test_calls_and_puts_tell_the_dividends_they_were_priced_with(paid: float, vol: float) -> None:
    strike, years = np.array([255.0, 260.0, 268.0]), np.full(3, 45 / 365)
    call_spot, put_spot = np.array([260.0, 260.4, 259.7]), np.array([260.1, 260.4, 260.3])
    call = escrowed_american(call_spot, strike, years, vol, True, 0.04, paid).price
    put = escrowed_american(put_spot, strike, years, vol, False, 0.04, paid).price
    pairs = Pairs(strike, years, call, call_spot, put, put_spot, np.full(3, 0.3))
    assert implied_paid(pairs, 0.04, np.zeros(3)) == pytest.approx(np.full(3, paid), abs=0.01)


def straddle_market(model: ModelTerms, dividends: object) -> tuple[Marks, dict[str, float]]:
    """A straddle quoted by a world that pays 1.85 USD before the expiry: its marks, how far off they are."""
    market = Market(model)
    legs = [
        Contract(ConId(50 + n), "IWM", SecType.OPTION, MARCH, 260.0, right, 100)
        for n, right in enumerate(Right)
    ]
    market.marks.dividends = dividends  # type: ignore[assignment]
    market.marks.know(legs)
    market.share(260.0, NOW)
    years = (closing(MARCH) - NOW).total_seconds() / 86_400 / 365
    deltas = {}
    for leg in legs:
        got = escrowed_american(260.0, 260.0, years, 0.2, leg.right is Right.CALL, 0.04, 1.85)
        market.say(leg.con_id, float(got.price[0]) - 0.03, float(got.price[0]) + 0.03, NOW)
        deltas[leg.right.value if leg.right else ""] = float(got.delta[0])
    market.marks.remark(NOW)
    for _ in range(2):
        # The pair is complete with its second leg: the first one's volatility follows when it is taken anew.
        later = NOW + timedelta(seconds=6)
        market.share(260.0, later)
        for leg in legs:
            quote = market.board.last_known(leg.con_id)
            assert quote is not None
            market.say(leg.con_id, quote.bid, quote.ask, later)
        market.marks.remark(later)
    market.board.release([leg.con_id for leg in legs])
    figures, _ = market.marks.figures([leg.con_id for leg in legs], later)
    errors = [abs(figures["delta"][n] - deltas[leg.right.value]) for n, leg in enumerate(legs) if leg.right]
    return market.marks, {"worst": max(errors), "vol_gap": abs(figures["iv"][0] - figures["iv"][1])}


def test_a_straddle_finds_its_own_dividends_where_none_are_announced() -> None:
    _, got = straddle_market(ModelTerms(), None)
    assert got["worst"] < 0.003
    assert got["vol_gap"] < 0.001


def quoted(market: Market, leg: Contract, spot: float, paid: float, now: object, width: float = 0.06) -> None:
    """A leg quoted by a world that pays so much before the expiry."""
    years = (closing(MARCH) - now).total_seconds() / 86_400 / 365  # type: ignore[operator]
    is_call = leg.right is Right.CALL
    mid = float(escrowed_american(spot, leg.strike or 0.0, years, 0.2, is_call, 0.04, paid).price[0])
    market.say(leg.con_id, mid - width / 2, mid + width / 2, now)  # type: ignore[arg-type]


def test_what_was_implied_the_day_before_is_not_believed_on_an_ex_day() -> None:
    """The straddle implied a dividend that has gone by since; a wing alone says nothing about it."""
    market, legs = (
        Market(),
        [
            Contract(ConId(50 + n), "IWM", SecType.OPTION, MARCH, 260.0, right, 100)
            for n, right in enumerate(Right)
        ],
    )
    wing = Contract(ConId(60), "IWM", SecType.OPTION, MARCH, 240.0, Right.PUT, 100)
    market.marks.know([*legs, wing])
    for now in (NOW, NOW + timedelta(seconds=6), NOW + timedelta(seconds=12)):
        market.share(260.0, now)
        for leg in legs:
            quoted(market, leg, 260.0, 1.85, now)
        market.marks.remark(now)
    tomorrow = NOW + timedelta(days=1)
    market.board.release([leg.con_id for leg in legs])
    market.share(258.0, tomorrow)
    quoted(market, wing, 258.0, 0.0, tomorrow)
    market.marks.remark(tomorrow)
    market.board.release([wing.con_id])
    figures, _ = market.marks.figures([wing.con_id], tomorrow)
    assert figures["iv"][0] == pytest.approx(0.2, abs=1e-3)


def test_an_adjusted_option_and_a_plain_one_are_no_pair() -> None:
    """After a split or a spin-off the same strike stands for something else."""
    market = Market()
    call = Contract(ConId(50), "IWM", SecType.OPTION, MARCH, 260.0, Right.CALL, 100, trading_class="IWM")
    other = Contract(ConId(51), "IWM", SecType.OPTION, MARCH, 260.0, Right.PUT, 100, trading_class="IWM1")
    market.marks.know([call, other])
    for now in (NOW, NOW + timedelta(seconds=6), NOW + timedelta(seconds=12)):
        market.share(260.0, now)
        quoted(market, call, 260.0, 0.0, now)
        quoted(market, other, 256.0, 0.0, now)
        market.marks.remark(now)
    market.board.release([call.con_id])
    figures, _ = market.marks.figures([call.con_id], now)
    assert figures["iv"][0] == pytest.approx(0.2, abs=1e-3)

"""A structure as an order: the right legs, the right side, and no price from a missing quote."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from options import ConId, Contract, Leg, Right, SecType, UsdPerContract
from sync.naked_short import naked_shorts
from trading.combo import closing_legs, combo_quote


def option(con_id: int, strike: float, right: Right, expiry: date = date(2026, 3, 20)) -> Contract:
    return Contract(ConId(con_id), "IWM", SecType.OPTION, expiry, strike, right, 100)


def leg(con_id: int, strike: float, right: Right, quantity: int, expiry: date = date(2026, 3, 20)) -> Leg:
    return Leg(option(con_id, strike, right, expiry), quantity, UsdPerContract(100.0))


CONDOR = (
    leg(1, 235, Right.PUT, 2),
    leg(2, 245, Right.PUT, -2),
    leg(3, 282, Right.CALL, -2),
    leg(4, 290, Right.CALL, 2),
)
QUOTES = {1: (1.51, 1.55), 2: (2.81, 2.85), 3: (1.52, 1.55), 4: (0.64, 0.66)}


def test_closing_a_condor_buys_its_shorts_and_sells_its_wings_once_per_lot() -> None:
    assert [(item.contract.con_id, item.ratio) for item in closing_legs(CONDOR, 2)] == [
        (1, -1),
        (2, 1),
        (3, 1),
        (4, -1),
    ]


def test_legs_that_do_not_divide_into_lots_are_refused() -> None:
    with pytest.raises(ValueError, match="3 equal lots"):
        closing_legs(CONDOR, 3)


def test_the_natural_price_pays_the_ask_of_the_shorts_and_takes_the_bid_of_the_wings() -> None:
    quote = combo_quote(closing_legs(CONDOR, 2), lambda con_id: QUOTES[con_id])
    assert quote is not None
    assert quote.ask == pytest.approx(2.85 + 1.55 - 1.51 - 0.64)
    assert quote.bid == pytest.approx(2.81 + 1.52 - 1.55 - 0.66)


@given(st.sets(st.sampled_from([1, 2, 3, 4]), min_size=1))
def test_a_combo_with_any_leg_unquoted_has_no_price(missing: set[int]) -> None:
    assert combo_quote(closing_legs(CONDOR, 2), lambda c: None if c in missing else QUOTES[c]) is None


def test_a_condor_is_covered_and_loses_its_cover_with_its_wing() -> None:
    assert naked_shorts(CONDOR) == {}
    assert naked_shorts(CONDOR[1:]) == {"IWM 2026-03-20 245 P": 2}


def test_a_long_option_that_expires_earlier_covers_nothing() -> None:
    early = leg(9, 290, Right.CALL, 2, date(2026, 2, 20))
    assert naked_shorts([CONDOR[2], early]) == {"IWM 2026-03-20 282 C": 2}


def test_shares_cover_calls_but_not_puts() -> None:
    shares = Leg(Contract(ConId(8), "IWM", SecType.STOCK), 200, UsdPerContract(250.0))
    assert naked_shorts([CONDOR[2], shares]) == {}
    assert naked_shorts([CONDOR[1], shares]) == {"IWM 2026-03-20 245 P": 2}

"""What a set of legs is called, and which legs belong together."""

from collections import Counter
from dataclasses import replace
from datetime import date
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from options import (
    ConId,
    Contract,
    Leg,
    Right,
    SecType,
    Structure,
    UsdPerContract,
    classify,
    group_legs,
    lots_of,
)

MARCH, APRIL = date(2026, 3, 20), date(2026, 4, 17)


def option(
    quantity: int, right: str, strike: float, expiry: date = MARCH, symbol: str = "IWM", multiplier: int = 100
) -> Leg:
    con_id = crc32(repr((symbol, expiry, right, strike, multiplier)).encode())
    contract = Contract(ConId(con_id), symbol, SecType.OPTION, expiry, strike, Right(right), multiplier)
    return Leg(contract, quantity, UsdPerContract(100.0))


def stock(quantity: int, con_id: int = 1, symbol: str = "IWM") -> Leg:
    return Leg(Contract(ConId(con_id), symbol, SecType.STOCK), quantity, UsdPerContract(250.0))


CLASSIFICATION = [
    (
        Structure.IRON_CONDOR,
        [option(1, "P", 235), option(-1, "P", 245), option(-1, "C", 282), option(1, "C", 290)],
    ),
    (
        Structure.IRON_BUTTERFLY,
        [option(2, "P", 240), option(-2, "P", 260), option(-2, "C", 260), option(2, "C", 280)],
    ),
    (Structure.PUT_CREDIT_SPREAD, [option(3, "P", 235), option(-3, "P", 245)]),
    (Structure.PUT_DEBIT_SPREAD, [option(-1, "P", 235), option(1, "P", 245)]),
    (Structure.CALL_CREDIT_SPREAD, [option(-1, "C", 282), option(1, "C", 290)]),
    (Structure.CALL_DEBIT_SPREAD, [option(1, "C", 282), option(-1, "C", 290)]),
    (Structure.SHORT_STRANGLE, [option(-1, "P", 245), option(-1, "C", 282)]),
    (Structure.LONG_STRANGLE, [option(1, "P", 245), option(1, "C", 282)]),
    (Structure.SHORT_STRADDLE, [option(-1, "P", 260), option(-1, "C", 260)]),
    (Structure.LONG_STRADDLE, [option(1, "P", 260), option(1, "C", 260)]),
    (Structure.COVERED_CALL, [stock(200), option(-2, "C", 282)]),
    (Structure.SHORT_PUT, [option(-1, "P", 245)]),
    (Structure.LONG_PUT, [option(1, "P", 245)]),
    (Structure.SHORT_CALL, [option(-1, "C", 282)]),
    (Structure.LONG_CALL, [option(1, "C", 282)]),
    (Structure.STOCK, [stock(150)]),
    (Structure.CUSTOM, [stock(100), option(-2, "C", 282)]),
    (Structure.CUSTOM, [option(1, "P", 235), option(-2, "P", 245)]),
    (Structure.CUSTOM, [option(-1, "C", 282), option(1, "C", 282, APRIL)]),
    (
        Structure.CUSTOM,
        [option(1, "P", 245), option(-1, "P", 285), option(-1, "C", 275), option(1, "C", 290)],
    ),
    (Structure.CUSTOM, [option(-1, "P", 245), option(1, "C", 282)]),
    (Structure.CUSTOM, [option(1, "P", 230), option(-1, "P", 235), option(1, "C", 282)]),
]


@pytest.mark.parametrize(("structure", "legs"), CLASSIFICATION)
def test_legs_are_called_by_their_structure_in_any_order(structure: Structure, legs: list[Leg]) -> None:
    assert classify(legs) is structure
    assert classify(legs[::-1]) is structure


def test_lots_always_divide_every_leg() -> None:
    assert lots_of([stock(350)]) == 1
    assert lots_of([stock(300)]) == 3
    assert lots_of([stock(200), option(-2, "C", 282)]) == 2
    assert lots_of([option(4, "P", 235), option(-6, "P", 245)]) == 2


def test_condor_is_found_among_the_legs_of_two() -> None:
    condor = [option(2, "P", 235), option(-2, "P", 245), option(-2, "C", 282), option(2, "C", 290)]
    other = [replace(leg, contract=replace(leg.contract, symbol="SPY")) for leg in condor]
    assert [(g.structure, g.lots, g.underlying) for g in group_legs(condor + other)] == [
        (Structure.IRON_CONDOR, 2, "IWM"),
        (Structure.IRON_CONDOR, 2, "SPY"),
    ]


def test_condor_is_found_although_a_debit_spread_comes_first() -> None:
    debit = [option(1, "C", 270), option(-1, "C", 275)]
    credit = [option(-1, "C", 300), option(1, "C", 310)]
    puts = [option(1, "P", 235), option(-1, "P", 245)]
    found = Counter(g.structure for g in group_legs(debit + credit + puts))
    assert found[Structure.IRON_CONDOR] == 1


def test_shares_of_several_listings_are_all_kept_and_all_cover() -> None:
    groupings = group_legs([stock(100, 1), stock(150, 2), option(-2, "C", 282)])
    assert [g.structure for g in groupings] == [
        Structure.COVERED_CALL,
        Structure.COVERED_CALL,
        Structure.STOCK,
    ]
    assert (
        sum(leg.quantity for g in groupings for leg in g.legs if leg.contract.sec_type is SecType.STOCK)
        == 250
    )


def test_option_of_another_multiplier_is_no_wing() -> None:
    found = group_legs([option(-1, "P", 245), option(1, "P", 235, multiplier=10)])
    assert {g.structure for g in found} == {Structure.SHORT_PUT, Structure.LONG_PUT}


holdings = st.dictionaries(
    st.tuples(
        st.sampled_from("PC"), st.sampled_from([230.0, 240.0, 250.0, 260.0]), st.sampled_from([MARCH, APRIL])
    ),
    st.integers(-5, 5).filter(bool),
    max_size=10,
).map(lambda held: [option(quantity, *terms) for terms, quantity in held.items()])
shares = st.lists(st.integers(-350, 350).filter(bool), max_size=2).map(
    lambda held: [stock(quantity, con_id) for con_id, quantity in enumerate(held, 1)]
)


@given(holdings, shares)
def test_grouping_conserves_every_holding(options: list[Leg], stocks: list[Leg]) -> None:
    legs = options + stocks
    total: Counter[ConId] = Counter()
    for grouping in group_legs(legs):
        assert all(leg.quantity % grouping.lots == 0 for leg in grouping.legs)
        for leg in grouping.legs:
            total[leg.contract.con_id] += leg.quantity
    assert {con_id: quantity for con_id, quantity in total.items() if quantity} == {
        leg.contract.con_id: leg.quantity for leg in legs
    }


@given(holdings, shares)
def test_no_short_stands_alone_beside_a_free_wing(options: list[Leg], stocks: list[Leg]) -> None:
    alone = [g.legs[0] for g in group_legs(options + stocks) if len(g.legs) == 1]
    shorts = [leg for leg in alone if leg.quantity < 0 and leg.contract.sec_type is SecType.OPTION]
    for short in shorts:
        for leg in alone:
            if leg.contract.sec_type is SecType.STOCK:
                assert short.contract.right is Right.PUT or leg.quantity < 100
            else:
                same = (leg.contract.right, leg.contract.expiry) == (
                    short.contract.right,
                    short.contract.expiry,
                )
                assert not (same and leg.quantity > 0)


@given(holdings, st.randoms(use_true_random=False))
def test_grouping_does_not_depend_on_the_order_of_the_holdings(options: list[Leg], random: object) -> None:
    shuffled = list(options)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert group_legs(shuffled) == group_legs(options)

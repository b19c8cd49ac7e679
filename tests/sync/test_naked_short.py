"""Which shorts nothing covers, and which of them were covered before."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from options import ConId, Contract, Leg, Right, SecType, UsdPerContract
from sync.naked_short import lost_cover, naked_shorts, uncovered

MARCH, APRIL = date(2026, 3, 20), date(2026, 4, 17)
SHARES = Contract(ConId(9), "IWM", SecType.STOCK)
CONTRACTS = [
    Contract(ConId(number), "IWM", SecType.OPTION, expiry, strike, right, 100)
    for number, (expiry, strike, right) in enumerate(
        (expiry, strike, right)
        for expiry in (MARCH, APRIL)
        for strike in (235.0, 245.0)
        for right in (Right.PUT, Right.CALL)
    )
]
BY_ID = {contract.con_id: contract for contract in [*CONTRACTS, SHARES]}


def leg(contract: Contract, quantity: int) -> Leg:
    return Leg(contract, quantity, UsdPerContract(100.0))


def put(con_id: int, expiry: date = MARCH) -> Contract:
    return Contract(ConId(con_id), "IWM", SecType.OPTION, expiry, 245.0, Right.PUT, 100)


CALL = Contract(ConId(7), "IWM", SecType.OPTION, MARCH, 245.0, Right.CALL, 100)


def test_a_short_is_covered_only_by_what_lasts_as_long() -> None:
    assert naked_shorts([leg(put(1, APRIL), -1), leg(put(2), 1)]) == {"IWM 2026-04-17 245 P": 1}
    assert naked_shorts([leg(put(1), -1), leg(put(2, APRIL), 1)]) == {}
    assert naked_shorts([leg(CALL, -2), leg(SHARES, 150)]) == {"IWM 2026-03-20 245 C": 1}
    assert naked_shorts([leg(put(1), -1), leg(SHARES, 500)]) == {"IWM 2026-03-20 245 P": 1}
    calendars = [leg(put(1), -1), leg(put(2, APRIL), -1)]
    assert naked_shorts([*calendars, leg(put(3), 1), leg(put(4, APRIL), 1)]) == {}


def test_only_shorts_that_were_held_and_covered_have_lost_their_cover() -> None:
    spread = [leg(put(1), -3), leg(put(2), 3)]
    assert lost_cover(spread, [leg(put(1), -3), leg(put(2), 1)]) == {1: 2}
    assert lost_cover(spread, [leg(put(1), -5), leg(put(2), 3)]) == {}, "two more were sold"
    assert lost_cover(spread, [leg(put(1), -4), leg(put(2), 2)]) == {1: 1}, "one was sold, one lost its wing"
    assert lost_cover([leg(put(1), -1)], [leg(put(1), -1)]) == {}, "it was naked before"
    assert lost_cover([], [leg(put(1), -1)]) == {}
    covered_call = [leg(CALL, -1), leg(SHARES, 100)]
    assert lost_cover(covered_call, [leg(CALL, -1)]) == {7: 1}


books = st.lists(st.tuples(st.sampled_from(sorted(BY_ID)), st.integers(-3, 3)), max_size=8)


def legs(book: list[tuple[ConId, int]]) -> list[Leg]:
    return [leg(BY_ID[con_id], n * (100 if con_id == SHARES.con_id else 1)) for con_id, n in book if n]


@given(books, st.randoms(use_true_random=False))
def test_the_order_of_legs_does_not_matter(book: list[tuple[ConId, int]], chance: object) -> None:
    held = legs(book)
    mixed = list(held)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    assert uncovered(mixed) == uncovered(held)


@given(books)
def test_buying_back_what_is_uncovered_leaves_nothing_uncovered(book: list[tuple[ConId, int]]) -> None:
    held = legs(book)
    bought = [leg(BY_ID[con_id], count) for con_id, count in uncovered(held).items()]
    netted: dict[ConId, int] = {}
    for each in [*held, *bought]:
        netted[each.contract.con_id] = netted.get(each.contract.con_id, 0) + each.quantity
    assert uncovered([leg(BY_ID[con_id], quantity) for con_id, quantity in netted.items()]) == {}


@given(books, books)
def test_no_more_has_lost_its_cover_than_is_uncovered(
    before: list[tuple[ConId, int]], after: list[tuple[ConId, int]]
) -> None:
    naked = uncovered(legs(after))
    assert all(0 < count <= naked[con_id] for con_id, count in lost_cover(legs(before), legs(after)).items())

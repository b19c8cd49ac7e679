"""Every difference is named once, and once applied is gone."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from broker.events import Executed, HoldingChanged, OrderChanged, OrderState
from broker.protocol import BrokerPicture
from options import ConId, Contract, Leg, Right, SecType, UsdPerContract
from sync.executions import ExecutionLedger
from sync.position_book import PositionBook
from sync.reconciliation import DifferenceKind as Kind
from sync.reconciliation import naked_shorts, reconcile

NOW = datetime(2026, 2, 3, 15, 0, tzinfo=UTC)
MARCH, APRIL = date(2026, 3, 20), date(2026, 4, 17)
EMPTY = BrokerPicture((), (), (), ())


def option(con_id: int, right: str = "P", strike: float = 245.0, expiry: date = MARCH) -> Contract:
    return Contract(ConId(con_id), "IWM", SecType.OPTION, expiry, strike, Right(right), 100)


SHARES = Contract(ConId(9), "IWM", SecType.STOCK)


def leg(contract: Contract, quantity: int, cost: float = 100.0) -> Leg:
    return Leg(contract, quantity, UsdPerContract(cost))


def held(contract: Contract, quantity: int, cost: float = 100.0) -> HoldingChanged:
    return HoldingChanged("DU1", contract, quantity, cost)


def kinds(ours: list[Leg], theirs: list[HoldingChanged], now: datetime = NOW) -> list[Kind]:
    picture = replace(EMPTY, holdings=tuple(theirs))
    return [d.kind for d in reconcile(ours, (), ExecutionLedger(), picture, now)]


def test_equal_books_have_no_difference() -> None:
    assert kinds([leg(option(1), 2)], [held(option(1), 2)]) == []


def test_each_difference_of_holdings_has_its_name() -> None:
    assert kinds([], [held(option(1), 2)]) == [Kind.MISSING_HERE]
    assert kinds([leg(option(1), 2)], []) == [Kind.MISSING_THERE]
    assert kinds([leg(option(1), 2)], [held(option(1), 1)]) == [Kind.QUANTITY]
    assert kinds([leg(option(1), 2)], [held(option(1), 2, 101.0)]) == [Kind.AVERAGE_COST]
    assert kinds([leg(option(1), 2)], [], datetime(2026, 3, 21, tzinfo=UTC)) == [Kind.EXPIRY]


def test_put_that_became_shares_is_an_assignment() -> None:
    assert kinds([leg(option(1), -2)], [held(SHARES, 200, 245.0)]) == [Kind.ASSIGNMENT, Kind.MISSING_HERE]


def test_naked_short_is_critical() -> None:
    picture = replace(EMPTY, holdings=(held(option(1), -2), held(option(2, strike=235), 1)))
    (found,) = reconcile(
        [leg(option(1), -2), leg(option(2, strike=235), 1)], (), ExecutionLedger(), picture, NOW
    )
    assert (found.kind, found.is_critical, found.theirs) == (Kind.NAKED_SHORT, True, "1 short, not covered")


def test_short_is_covered_only_by_what_lasts_as_long() -> None:
    assert naked_shorts([leg(option(1, expiry=APRIL), -1), leg(option(2), 1)]) == {"IWM 2026-04-17 245 P": 1}
    assert naked_shorts([leg(option(1), -1), leg(option(2, expiry=APRIL), 1)]) == {}
    assert naked_shorts([leg(option(1, "C"), -2), leg(SHARES, 150)]) == {"IWM 2026-03-20 245 C": 1}
    assert naked_shorts([leg(option(1), -1), leg(SHARES, 500)]) == {"IWM 2026-03-20 245 P": 1}
    calendars = [leg(option(1), -1), leg(option(2, expiry=APRIL), -1)]
    assert naked_shorts([*calendars, leg(option(3), 1), leg(option(4, expiry=APRIL), 1)]) == {}


def test_orders_and_executions_of_others_are_named() -> None:
    ledger = ExecutionLedger()
    executed = Executed("0001.01.01", "", 7, ConId(1), False, 1.0, 2.0, NOW)
    order = OrderChanged("human", 1, 7, OrderState.WORKING, 0, 1, None, 2.0)
    picture = replace(EMPTY, open_orders=(order,), executions=(executed,))
    found = reconcile([], ["opt-1"], ledger, picture, NOW)
    assert [d.kind for d in found] == [Kind.UNKNOWN_ORDER, Kind.MISSING_ORDER, Kind.UNEXPECTED_FILL]
    ledger.execute(executed)
    assert reconcile([], ["human"], ledger, picture, NOW) == []


CONTRACTS = [option(1), option(2, strike=235), option(3, "C", 282), option(4, "C", 290), SHARES]
books = st.dictionaries(st.sampled_from(range(5)), st.integers(-3, 3).filter(bool), max_size=5)


@given(books, books)
def test_after_applying_the_differences_a_second_run_finds_only_what_nobody_resolved(
    first: dict[int, int], second: dict[int, int]
) -> None:
    book = PositionBook()
    for minute, picture in enumerate((first, second)):
        theirs = [held(CONTRACTS[i], q * (100 if i == 4 else 1), 90.0 + minute) for i, q in picture.items()]
        book.note_picture(theirs)
        book.settle(NOW + timedelta(minutes=minute))
    again = reconcile(
        [leg for position in book.positions for leg in position.legs],
        (),
        ExecutionLedger(),
        replace(EMPTY, holdings=tuple(theirs)),
        NOW,
    )
    # One contract in two positions keeps two costs; the broker knows their mean only.
    assert {d.kind for d in again} <= {Kind.NAKED_SHORT, Kind.AVERAGE_COST}

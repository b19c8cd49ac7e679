"""Every difference is named once, and once applied is gone."""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from broker.events import Executed, HoldingChanged, OrderChanged, OrderState
from broker.protocol import BrokerPicture
from options import ConId, Contract, Leg, Right, SecType, UsdPerContract
from sync.executions import ExecutionLedger
from sync.reconciliation import COVERING, LEFT, POLICIES, Books, Difference, reconcile
from sync.reconciliation import DifferenceKind as Kind

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


def found(ours: list[Leg], theirs: list[HoldingChanged], now: datetime = NOW) -> list[Difference]:
    picture = replace(EMPTY, holdings=tuple(theirs))
    return reconcile(Books(ours, ExecutionLedger()), picture, now)


def kinds(ours: list[Leg], theirs: list[HoldingChanged], now: datetime = NOW) -> list[Kind]:
    return [difference.kind for difference in found(ours, theirs, now)]


def order(ref: str, perm_id: int = 7, state: OrderState = OrderState.WORKING) -> OrderChanged:
    return OrderChanged(ref, 1, perm_id, state, 0, 1, None, 2.0)


def execution(exec_id: str, ref: str = "", time: datetime = NOW) -> Executed:
    return Executed(exec_id, ref, 7, ConId(1), False, 1.0, 2.0, time)


def of_orders(
    picture: BrokerPicture, orders: Collection[str] = (), given_up: Collection[str] = ()
) -> list[tuple[Kind, str]]:
    books = Books([], ExecutionLedger(), orders, given_up)
    return [(difference.kind, difference.subject) for difference in reconcile(books, picture, NOW)]


def of_executions(
    ours: list[Executed], theirs: list[Executed], refs: Collection[str] = ()
) -> list[tuple[Kind, str]]:
    ledger = ExecutionLedger()
    for each in ours:
        ledger.execute(each)
    picture = replace(EMPTY, executions=tuple(theirs))
    differences = reconcile(Books([], ledger, refs=refs), picture, NOW)
    return [(difference.kind, difference.subject) for difference in differences]


def test_every_kind_has_a_policy() -> None:
    assert set(POLICIES) == set(Kind)


# --- holdings ------------------------------------------------------------------------------------


def test_equal_books_have_no_difference() -> None:
    assert kinds([leg(option(1), 2)], [held(option(1), 2)]) == []


def test_each_difference_of_holdings_has_its_name() -> None:
    assert kinds([], [held(option(1), 2)]) == [Kind.MISSING_HERE]
    assert kinds([leg(option(1), 2)], []) == [Kind.MISSING_THERE]
    assert kinds([leg(option(1), 2)], [held(option(1), 1)]) == [Kind.QUANTITY]
    assert kinds([leg(option(1), 2)], [held(option(1), 2, 101.0)]) == [Kind.AVERAGE_COST]
    assert kinds([leg(option(1), 2)], [], datetime(2026, 3, 21, tzinfo=UTC)) == [Kind.EXPIRY]


def test_a_contract_that_is_gone_before_the_last_close_was_sold_by_somebody() -> None:
    assert kinds([leg(option(1), 2)], [], datetime(2026, 3, 20, 19, 59, tzinfo=UTC)) == [Kind.MISSING_THERE]
    assert kinds([leg(option(1), 2)], [], datetime(2026, 3, 20, 20, 0, tzinfo=UTC)) == [Kind.EXPIRY]


def test_of_a_shared_contract_the_mean_cost_counts() -> None:
    shared = [leg(option(1), 1, 100.0), leg(option(1), 3, 200.0)]
    assert kinds(shared, [held(option(1), 4, 175.0)]) == []
    assert kinds(shared, [held(option(1), 4, 176.0)]) == [Kind.AVERAGE_COST]


def test_put_that_became_shares_is_an_assignment() -> None:
    assert kinds([leg(option(1), -2)], [held(SHARES, 200, 245.0)]) == [Kind.ASSIGNMENT, Kind.MISSING_HERE]


def test_the_fewest_options_that_make_the_shares_are_the_assigned_ones() -> None:
    ours = [leg(option(1), -2), leg(option(2, strike=240.0), -1), leg(option(3, "C", 290.0), 1)]
    both = kinds(ours, [held(option(3, "C", 290.0), 1), held(SHARES, 300, 243.0)])
    assert both == [Kind.ASSIGNMENT, Kind.ASSIGNMENT, Kind.MISSING_HERE]
    one = kinds(ours, [held(option(3, "C", 290.0), 1), held(SHARES, 100, 240.0)])
    assert one == [Kind.MISSING_THERE, Kind.ASSIGNMENT, Kind.MISSING_HERE]


def test_what_our_own_open_order_traded_is_no_difference() -> None:
    picture = replace(EMPTY, holdings=(held(option(1), 1), held(option(2), -1)))
    books = Books([leg(option(1), 2), leg(option(2), -2)], ExecutionLedger(), moving={ConId(1): -1})
    (other,) = reconcile(books, picture, NOW)
    assert (other.kind, other.subject) == (Kind.QUANTITY, option(2).label)
    (beyond,) = reconcile(books, replace(EMPTY, holdings=(held(option(2), -2),)), NOW)[:1]
    assert beyond.kind is Kind.MISSING_THERE, "two are gone, we have sold one"


# --- naked shorts --------------------------------------------------------------------------------


def test_a_short_that_lost_its_cover_is_covered_and_one_that_was_sold_naked_is_not() -> None:
    covered = [leg(option(1), -2), leg(option(2, strike=235), 2)]
    lost = found(covered, [held(option(1), -2), held(option(2, strike=235), 1)])[-1]
    assert (lost.kind, lost.is_critical, lost.theirs) == (Kind.NAKED_SHORT, True, "1 short, not covered")
    assert lost.resolution == COVERING
    sold = found(covered, [held(option(1), -3), held(option(2, strike=235), 2)])[-1]
    assert (sold.theirs, sold.resolution) == ("1 short, not covered", LEFT)
    assert found([], [held(option(1), -1)])[-1].resolution == LEFT, "adopted with the account"


def test_cover_is_lost_against_what_was_held_at_the_last_comparison() -> None:
    """Our positions may be grouped anew by now; that must not hide what happened to them."""
    regrouped, covered = [leg(option(1), -1)], [leg(option(1), -1), leg(option(2, strike=235), 1)]
    picture = replace(EMPTY, holdings=(held(option(1), -1),))
    (lost,) = reconcile(Books(regrouped, ExecutionLedger(), covered_by=covered), picture, NOW)
    assert lost.resolution == COVERING


# --- orders --------------------------------------------------------------------------------------


def test_orders_of_others_and_orders_that_are_gone_are_named() -> None:
    picture = replace(EMPTY, open_orders=(order("human"), order("opt-1")))
    assert of_orders(picture, orders=["opt-1"]) == [(Kind.UNKNOWN_ORDER, "human")]
    assert of_orders(EMPTY, orders=["opt-1"]) == [(Kind.MISSING_ORDER, "opt-1")]


def test_orders_by_hand_have_no_reference_and_are_told_apart_all_the_same() -> None:
    picture = replace(EMPTY, open_orders=(order("", 7), order("", 8)))
    assert of_orders(picture) == [(Kind.UNKNOWN_ORDER, "order 7"), (Kind.UNKNOWN_ORDER, "order 8")]


def test_an_order_that_was_given_up_and_works_all_the_same_is_cancelled() -> None:
    picture = replace(EMPTY, open_orders=(order("opt-1"),))
    assert of_orders(picture, given_up=["opt-1"]) == [(Kind.ORPHANED_ORDER, "opt-1")]


def test_an_order_that_ended_while_nobody_listened_says_how() -> None:
    picture = replace(EMPTY, completed_orders=(order("opt-1", state=OrderState.FILLED),))
    (ended,) = reconcile(Books([], ExecutionLedger(), ["opt-1"]), picture, NOW)
    assert (ended.kind, ended.theirs) == (Kind.MISSING_ORDER, "filled, 0 filled")
    assert ended.resolution == "its end taken over"


# --- executions ----------------------------------------------------------------------------------


def test_an_execution_is_ours_missed_or_somebody_elses() -> None:
    assert of_executions([], [execution("1.01")]) == [(Kind.UNEXPECTED_FILL, "1.01")]
    assert of_executions([], [execution("1.01", "opt-1")], ["opt-1"]) == [(Kind.MISSED_FILL, "1.01")]
    assert of_executions([execution("1.01", "opt-1")], [execution("1.01", "opt-1")], ["opt-1"]) == []


def test_an_execution_of_somebody_else_is_named_once_also_when_it_was_heard_of_at_once() -> None:
    theirs = execution("1.01", "human")
    assert of_executions([theirs], [theirs]) == [(Kind.UNEXPECTED_FILL, "1.01")]
    ledger = ExecutionLedger()
    ledger.execute(theirs)
    told = Books([], ledger, told=["1.01"])
    assert reconcile(told, replace(EMPTY, executions=(theirs,)), NOW) == []


def test_a_correction_that_was_missed_is_named_and_an_older_one_is_not() -> None:
    assert of_executions([execution("1.01")], [execution("1.02")]) == [(Kind.CORRECTED_FILL, "1.02")]
    ours = [execution("1.02", "opt-1")]
    assert of_executions(ours, [execution("1.01", "opt-1")], ["opt-1"]) == []


@pytest.mark.parametrize(("days_ago", "expected"), [(0, [(Kind.MISSING_FILL, "1.01")]), (1, [])])
def test_an_execution_of_today_that_the_broker_does_not_list_is_named(
    days_ago: int, expected: list[tuple[Kind, str]]
) -> None:
    """The broker lists those of today only."""
    assert of_executions([execution("1.01", time=NOW - timedelta(days=days_ago))], []) == expected

"""Our books against the broker's: every difference named, with what is done about it.

A pure comparison. The broker wins for holdings and cash; unknown holdings are adopted; executions that are
new are taken in; a naked short raises a critical alert and a covering decision. Applying the differences and
comparing again finds nothing but what only others can resolve: orders that are not ours, executions that the
broker has taken back, naked shorts that are still there.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from enum import StrEnum
from itertools import combinations

from broker.events import Executed, HoldingChanged, OrderChanged
from broker.protocol import BrokerPicture
from options import NEW_YORK, ConId, Contract, Leg, Right, SecType, UsdPerContract
from sync.executions import ExecutionLedger, split_exec_id
from sync.naked_short import lost_cover, uncovered
from sync.position import CENT, mean_cost

EXPIRES_AT = time(16)
"""New York time from which a contract that is gone on its last day has expired."""


class DifferenceKind(StrEnum):
    MISSING_HERE = "missing_here"
    MISSING_THERE = "missing_there"
    QUANTITY = "quantity"
    AVERAGE_COST = "average_cost"
    UNKNOWN_ORDER = "unknown_order"
    ORPHANED_ORDER = "orphaned_order"
    MISSING_ORDER = "missing_order"
    UNEXPECTED_FILL = "unexpected_fill"
    MISSED_FILL = "missed_fill"
    CORRECTED_FILL = "corrected_fill"
    MISSING_FILL = "missing_fill"
    ACCOUNT = "account"
    ASSIGNMENT = "assignment"
    EXPIRY = "expiry"
    NAKED_SHORT = "naked_short"


COVERING = "critical alert, and a covering decision"
LEFT = "critical alert; left to who sold it, the daemon does not buy it back"

POLICIES: Mapping[DifferenceKind, str] = {
    DifferenceKind.MISSING_HERE: "adopted",
    DifferenceKind.MISSING_THERE: "position closed or regrouped: the broker wins",
    DifferenceKind.QUANTITY: "position resized or regrouped: the broker wins",
    DifferenceKind.AVERAGE_COST: "the broker's cost taken over",
    DifferenceKind.UNKNOWN_ORDER: "left alone, alert",
    DifferenceKind.ORPHANED_ORDER: "cancelled: no decision stands behind it any more",
    DifferenceKind.MISSING_ORDER: "abandoned unless executions prove it filled",
    DifferenceKind.UNEXPECTED_FILL: "taken in, alert",
    DifferenceKind.MISSED_FILL: "taken in",
    DifferenceKind.CORRECTED_FILL: "the correction taken over",
    DifferenceKind.MISSING_FILL: "kept, alert: holdings and cash count, not executions",
    DifferenceKind.ACCOUNT: "the broker's figure counts, alert",
    DifferenceKind.ASSIGNMENT: "shares adopted, alert",
    DifferenceKind.EXPIRY: "position closed as expired",
    DifferenceKind.NAKED_SHORT: COVERING,
}
"""What is done about a difference, by its kind."""

OF_HOLDINGS = frozenset(
    {
        DifferenceKind.MISSING_HERE,
        DifferenceKind.MISSING_THERE,
        DifferenceKind.QUANTITY,
        DifferenceKind.AVERAGE_COST,
        DifferenceKind.ASSIGNMENT,
        DifferenceKind.EXPIRY,
    }
)
NAMED_FILLS = frozenset({DifferenceKind.UNEXPECTED_FILL, DifferenceKind.CORRECTED_FILL})
"""The kinds under which an execution of others is named once."""
ALERTED = frozenset(
    {
        DifferenceKind.UNKNOWN_ORDER,
        DifferenceKind.ORPHANED_ORDER,
        DifferenceKind.UNEXPECTED_FILL,
        DifferenceKind.MISSING_FILL,
        DifferenceKind.ACCOUNT,
        DifferenceKind.ASSIGNMENT,
        DifferenceKind.NAKED_SHORT,
    }
)
"""The kinds that a human should hear of."""


@dataclass(frozen=True, slots=True)
class Difference:
    """`ours` and `theirs` in words; empty where a side knows nothing of the subject."""

    kind: DifferenceKind
    subject: str
    ours: str
    theirs: str
    resolution: str

    @property
    def is_critical(self) -> bool:
        return self.kind is DifferenceKind.NAKED_SHORT

    def row(self, run: str, is_over: bool = False) -> dict[str, str]:
        """The difference as a row of the lake's `reconciliations` table: found, or over."""
        return {
            "run": run,
            "kind": self.kind.value,
            "subject": self.subject,
            "ours": self.ours,
            "theirs": self.theirs,
            "resolution": self.resolution,
            "state": "over" if is_over else "found",
        }


@dataclass(frozen=True, slots=True)
class Books:
    """What we believe.

    `legs` are those of all positions (several of one contract add up), `covered_by` what was held when it
    was compared last, against which a short has lost its cover; `lost_cover` is how many of which contract
    (label) were found so before and are not covered yet. `orders` are the order_refs that we believe
    are at the broker, `given_up` those that we believe never got there, `refs` all that are ours.
    `told` are the executions of others that were named before.
    `moving` are signed contracts that open orders of ours have traded and that positions may not show yet.
    """

    legs: Sequence[Leg]
    ledger: ExecutionLedger
    orders: Collection[str] = ()
    given_up: Collection[str] = ()
    refs: Collection[str] = ()
    told: Collection[str] = ()
    moving: Mapping[ConId, int] = field(default_factory=dict)
    covered_by: Sequence[Leg] | None = None
    lost_cover: Mapping[str, int] = field(default_factory=dict)


def reconcile(books: Books, picture: BrokerPicture, now: datetime) -> list[Difference]:
    """Every difference between our books and the broker's picture; the account's cash has its own check
    (`sync.cash_check`)."""
    before = books.legs if books.covered_by is None else books.covered_by
    return [
        *_compare_holdings(books, picture.holdings, now),
        *_compare_orders(books, picture),
        *_compare_executions(books, picture.executions, now),
        *_naked(before, legs_of(picture.holdings), books.lost_cover),
    ]


def legs_of(holdings: Iterable[HoldingChanged]) -> list[Leg]:
    """What the broker holds, as legs."""
    return [
        Leg(event.contract, event.quantity, UsdPerContract(event.average_cost))
        for event in holdings
        if event.quantity
    ]


def _found(
    kind: DifferenceKind, subject: str, ours: str, theirs: str, resolution: str | None = None
) -> Difference:
    return Difference(kind, subject, ours, theirs, resolution or POLICIES[kind])


# --- holdings ------------------------------------------------------------------------------------


def _compare_holdings(books: Books, theirs: Iterable[HoldingChanged], now: datetime) -> list[Difference]:
    mine: dict[ConId, list[Leg]] = {}
    for leg in books.legs:
        mine.setdefault(leg.contract.con_id, []).append(leg)
    reported = {event.contract.con_id: event for event in theirs if event.quantity}
    contracts = {con_id: legs[0].contract for con_id, legs in mine.items()}
    contracts |= {con_id: event.contract for con_id, event in reported.items()}
    changes: dict[ConId, int] = {}
    for con_id in sorted(mine.keys() | reported.keys()):
        quantity = sum(leg.quantity for leg in mine.get(con_id, []))
        change = (reported[con_id].quantity if con_id in reported else 0) - quantity
        changes[con_id] = 0 if _is_under_way(change, books.moving.get(con_id, 0)) else change
    assigned = _assigned(contracts, changes, mine)
    found = []
    for con_id, change in changes.items():
        event, legs = reported.get(con_id), mine.get(con_id, [])
        is_same = change == 0 and (con_id in books.moving or _is_same_cost(legs, event))
        if not is_same:
            kind = _kind(contracts[con_id], change, legs, event, con_id in assigned, now)
            there = f"{event.quantity:+d} at {event.average_cost:.2f}" if event else ""
            found.append(_found(kind, contracts[con_id].label, _held(legs), there))
    return found


def _is_under_way(change: int, moving: int) -> bool:
    """Whether a change is (part of) what our own open orders have traded."""
    return change * moving > 0 and abs(change) <= abs(moving)


def _is_same_cost(legs: Sequence[Leg], event: HoldingChanged | None) -> bool:
    """The broker knows the mean only of a contract that several positions share."""
    mean = mean_cost(legs)
    return event is None or mean is None or abs(mean - event.average_cost) < CENT


def _kind(
    contract: Contract,
    change: int,
    legs: Sequence[Leg],
    event: HoldingChanged | None,
    is_assigned: bool,
    now: datetime,
) -> DifferenceKind:
    if change == 0:
        return DifferenceKind.AVERAGE_COST
    if not legs:
        return DifferenceKind.MISSING_HERE
    if is_assigned:
        return DifferenceKind.ASSIGNMENT
    if event is None and _has_expired(contract, now):
        return DifferenceKind.EXPIRY
    return DifferenceKind.MISSING_THERE if event is None else DifferenceKind.QUANTITY


def _has_expired(contract: Contract, now: datetime) -> bool:
    local = now.astimezone(NEW_YORK)
    expiry = contract.expiry
    if contract.sec_type is not SecType.OPTION or expiry is None:
        return False
    return expiry < local.date() or (expiry == local.date() and local.time() >= EXPIRES_AT)


def _assigned(
    contracts: Mapping[ConId, Contract], changes: Mapping[ConId, int], mine: Mapping[ConId, Sequence[Leg]]
) -> set[ConId]:
    """The options that became shares: the fewest of an underlying that are gone and whose shares add up
    to those that came or went."""
    found: set[ConId] = set()
    for stock, moved in changes.items():
        if not moved or contracts[stock].sec_type is not SecType.STOCK:
            continue
        shares: dict[ConId, int] = {}
        for con_id, change in changes.items():
            contract = contracts[con_id]
            held = sum(leg.quantity for leg in mine.get(con_id, ()))
            of_it = contract.sec_type is SecType.OPTION and contract.symbol == contracts[stock].symbol
            if of_it and change * held < 0:
                sign = 1 if contract.right is Right.CALL else -1
                shares[con_id] = -change * contract.multiplier * sign
        found |= _fewest_that_make(moved, shares)
    return found


def _fewest_that_make(total: int, parts: Mapping[ConId, int]) -> set[ConId]:
    for count in range(1, min(len(parts), 4) + 1):
        for chosen in combinations(parts, count):
            if sum(parts[con_id] for con_id in chosen) == total:
                return set(chosen)
    return set()


def _held(legs: Sequence[Leg]) -> str:
    if not legs:
        return ""
    costs = "/".join(sorted({f"{leg.average_cost:.2f}" for leg in legs}))
    return f"{sum(leg.quantity for leg in legs):+d} at {costs}"


# --- orders and executions -----------------------------------------------------------------------


def _compare_orders(books: Books, picture: BrokerPicture) -> list[Difference]:
    found = []
    for order in picture.open_orders:
        ref = order.order_ref
        if ref and ref in books.orders:
            continue
        orphaned = bool(ref) and ref in books.given_up
        kind = DifferenceKind.ORPHANED_ORDER if orphaned else DifferenceKind.UNKNOWN_ORDER
        ours = "given up as never received" if orphaned else ""
        there = f"{order.state.value}, {order.filled:g} filled, {order.remaining:g} remaining"
        found.append(_found(kind, order_name(order), ours, there))
    there_now = {order.order_ref for order in picture.open_orders}
    ended = {order.order_ref: order for order in picture.completed_orders if order.order_ref}
    for ref in sorted(set(books.orders) - there_now):
        end = ended.get(ref)
        there = f"{end.state.value}, {end.filled:g} filled" if end else ""
        taken = "its end taken over" if end else None
        found.append(_found(DifferenceKind.MISSING_ORDER, ref, "at the broker", there, taken))
    return found


def order_name(order: OrderChanged) -> str:
    """Orders by hand have no reference: those are known by the broker's permanent number."""
    return order.order_ref or f"order {order.perm_id}"


def _compare_executions(books: Books, theirs: Sequence[Executed], now: datetime) -> list[Difference]:
    known = {split_exec_id(f.execution.exec_id)[0]: f.execution for f in books.ledger.fills}
    found = []
    for executed in theirs:
        old, is_known = known.get(split_exec_id(executed.exec_id)[0]), books.ledger.knows(executed)
        is_ours = executed.order_ref in books.refs
        if is_known and (is_ours or executed.exec_id in books.told):
            continue
        kind = DifferenceKind.MISSED_FILL if is_ours else DifferenceKind.UNEXPECTED_FILL
        if old is not None and not is_known:
            kind = DifferenceKind.CORRECTED_FILL
        found.append(_found(kind, executed.exec_id, _traded(old) if old else "", _traded(executed)))
    listed = {split_exec_id(executed.exec_id)[0] for executed in theirs}
    local = now.astimezone(NEW_YORK)
    # After the close a broker may list the next trading day's: then nothing is concluded.
    today = local.date() if local.time() < EXPIRES_AT else None
    found += [
        _found(DifferenceKind.MISSING_FILL, mine.exec_id, _traded(mine), "")
        for identity, mine in known.items()
        if identity not in listed and mine.time.astimezone(NEW_YORK).date() == today
    ]
    return found


def _traded(executed: Executed) -> str:
    order = executed.order_ref or "of someone else"
    return f"{executed.quantity:+g} at {executed.price:g}, order {order}"


# --- naked shorts --------------------------------------------------------------------------------


def _naked(before: Iterable[Leg], held: Sequence[Leg], known: Mapping[str, int]) -> list[Difference]:
    labels = {leg.contract.con_id: leg.contract.label for leg in held}
    lost = lost_cover(before, held)
    found = []
    for con_id, count in uncovered(held).items():
        label = labels[con_id]
        covered = min(count, known.get(label, 0) + lost.get(con_id, 0))
        ours, resolution = (f"{covered} covered", COVERING) if covered else ("", LEFT)
        said = f"{count} short, not covered"
        found.append(_found(DifferenceKind.NAKED_SHORT, label, ours, said, resolution))
    return found


def were_covered(naked: Difference) -> int:
    """Of a naked short: how many had a cover before."""
    count = naked.ours.partition(" ")[0]
    return int(count) if count.isdigit() else 0

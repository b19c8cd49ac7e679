"""Our books against the broker's: every difference named, with what is done about it.

A pure comparison. The broker wins for holdings; unknown holdings are adopted; what is new in its
executions is ingested; a naked short raises a critical alert. Applying the differences and comparing
again finds nothing but the naked shorts that are still there.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from broker.events import HoldingChanged
from broker.protocol import BrokerPicture
from options import NEW_YORK, ConId, Contract, Leg, Right, SecType, UsdPerContract
from sync.executions import ExecutionLedger

CENT = 0.005


class DifferenceKind(StrEnum):
    MISSING_HERE = "missing_here"
    MISSING_THERE = "missing_there"
    QUANTITY = "quantity"
    AVERAGE_COST = "average_cost"
    UNKNOWN_ORDER = "unknown_order"
    MISSING_ORDER = "missing_order"
    UNEXPECTED_FILL = "unexpected_fill"
    ASSIGNMENT = "assignment"
    EXPIRY = "expiry"
    NAKED_SHORT = "naked_short"


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

    def row(self, run: str) -> dict[str, str]:
        """The difference as a row of the lake's `reconciliations` table."""
        return {
            "run": run,
            "kind": self.kind.value,
            "subject": self.subject,
            "ours": self.ours,
            "theirs": self.theirs,
            "resolution": self.resolution,
        }


def reconcile(
    ours: Iterable[Leg],
    open_orders: Collection[str],
    ledger: ExecutionLedger,
    picture: BrokerPicture,
    now: datetime,
) -> list[Difference]:
    """Compare our legs (several of one contract add up), the order_refs that we believe are at the
    broker, and the executions ingested with the broker's picture."""
    found = _compare_holdings(ours, picture.holdings, now)
    found += _compare_orders(open_orders, picture)
    found += [
        Difference(
            DifferenceKind.UNEXPECTED_FILL,
            executed.exec_id,
            "",
            f"{executed.quantity:+g} at {executed.price:g}, order {executed.order_ref or 'of someone else'}",
            "ingested",
        )
        for executed in picture.executions
        if not ledger.knows(executed)
    ]
    held = [
        Leg(event.contract, event.quantity, UsdPerContract(event.average_cost)) for event in picture.holdings
    ]
    found += [
        Difference(DifferenceKind.NAKED_SHORT, label, "", f"{count} short, not covered", "critical alert")
        for label, count in naked_shorts(held).items()
    ]
    return found


def naked_shorts(legs: Iterable[Leg]) -> dict[str, int]:
    """Short option contracts that nothing covers, by label.

    A short is covered by a long option of the same underlying, right and multiplier that expires no
    earlier, a short call also by shares. Shorts that expire last choose first: they have fewest covers.
    """
    held = [leg for leg in legs if leg.quantity]
    options = [leg for leg in held if leg.contract.sec_type is SecType.OPTION]
    longs = sorted((leg for leg in options if leg.quantity > 0), key=_expiry)
    spare = {id(leg): leg.quantity for leg in longs}
    shares: dict[str, int] = {}
    for leg in held:
        if leg.contract.sec_type is SecType.STOCK:
            shares[leg.contract.symbol] = shares.get(leg.contract.symbol, 0) + leg.quantity
    naked: dict[str, int] = {}
    for short in sorted((leg for leg in options if leg.quantity < 0), key=_expiry, reverse=True):
        contract, left = short.contract, -short.quantity
        for cover in longs:
            if left and _covers(cover.contract, contract):
                used = min(left, spare[id(cover)])
                spare[id(cover)] -= used
                left -= used
        if contract.right is Right.CALL:
            used = min(left, max(shares.get(contract.symbol, 0), 0) // contract.multiplier)
            shares[contract.symbol] = shares.get(contract.symbol, 0) - used * contract.multiplier
            left -= used
        if left:
            naked[contract.label] = naked.get(contract.label, 0) + left
    return naked


def _expiry(leg: Leg) -> str:
    return str(leg.contract.expiry)


def _covers(long: Contract, short: Contract) -> bool:
    return (
        long.symbol == short.symbol
        and long.right is short.right
        and long.multiplier == short.multiplier
        and str(long.expiry) >= str(short.expiry)
    )


def _compare_holdings(
    ours: Iterable[Leg], theirs: Iterable[HoldingChanged], now: datetime
) -> list[Difference]:
    mine: dict[ConId, list[Leg]] = {}
    for leg in ours:
        mine.setdefault(leg.contract.con_id, []).append(leg)
    reported = {event.contract.con_id: event for event in theirs if event.quantity}
    changes: dict[ConId, int] = {}
    for con_id in sorted(mine.keys() | reported.keys()):
        quantity = sum(leg.quantity for leg in mine.get(con_id, []))
        changes[con_id] = (reported[con_id].quantity if con_id in reported else 0) - quantity
    contracts = {con_id: legs[0].contract for con_id, legs in mine.items()}
    contracts |= {con_id: event.contract for con_id, event in reported.items()}
    shares = {
        contracts[con_id].symbol: change
        for con_id, change in changes.items()
        if contracts[con_id].sec_type is SecType.STOCK and change
    }
    found = []
    for con_id, change in changes.items():
        event = reported.get(con_id)
        kind = _kind(contracts[con_id], change, mine.get(con_id), event, shares, now)
        if kind is not None:
            found.append(
                Difference(
                    kind,
                    contracts[con_id].label,
                    _held(mine.get(con_id, [])),
                    f"{event.quantity:+d} at {event.average_cost:.2f}" if event else "",
                    _RESOLUTIONS[kind],
                )
            )
    return found


_RESOLUTIONS: Mapping[DifferenceKind, str] = {
    DifferenceKind.MISSING_HERE: "adopted",
    DifferenceKind.MISSING_THERE: "position closed or regrouped: the broker wins",
    DifferenceKind.QUANTITY: "position resized or regrouped: the broker wins",
    DifferenceKind.AVERAGE_COST: "the broker's cost taken over",
    DifferenceKind.ASSIGNMENT: "shares adopted, alert",
    DifferenceKind.EXPIRY: "position closed as expired",
}


def _kind(
    contract: Contract,
    change: int,
    legs: list[Leg] | None,
    event: HoldingChanged | None,
    shares: Mapping[str, int],
    now: datetime,
) -> DifferenceKind | None:
    if change == 0:
        costs = {leg.average_cost for leg in legs or []}
        # A contract that several positions share has one blended cost there and several here.
        same = event is None or len(costs) != 1 or abs(costs.pop() - event.average_cost) < CENT
        return None if same else DifferenceKind.AVERAGE_COST
    if contract.sec_type is SecType.OPTION and legs:
        sign = 1 if contract.right is Right.CALL else -1
        if shares.get(contract.symbol) == -change * contract.multiplier * sign:
            return DifferenceKind.ASSIGNMENT
        expired = contract.expiry is not None and contract.expiry <= now.astimezone(NEW_YORK).date()
        if expired and event is None:
            return DifferenceKind.EXPIRY
    if not legs:
        return DifferenceKind.MISSING_HERE
    return DifferenceKind.MISSING_THERE if event is None else DifferenceKind.QUANTITY


def _held(legs: list[Leg]) -> str:
    if not legs:
        return ""
    costs = "/".join(sorted({f"{leg.average_cost:.2f}" for leg in legs}))
    return f"{sum(leg.quantity for leg in legs):+d} at {costs}"


def _compare_orders(open_orders: Collection[str], picture: BrokerPicture) -> list[Difference]:
    theirs = {order.order_ref: order for order in picture.open_orders}
    ended = {order.order_ref: order for order in picture.completed_orders}
    found = [
        Difference(
            DifferenceKind.UNKNOWN_ORDER,
            ref or f"order {order.perm_id}",
            "",
            f"{order.state.value}, {order.filled:g} filled, {order.remaining:g} remaining",
            "left alone, alert",
        )
        for ref, order in theirs.items()
        if ref not in open_orders
    ]
    found += [
        Difference(
            DifferenceKind.MISSING_ORDER,
            ref,
            "at the broker",
            f"{ended[ref].state.value}, {ended[ref].filled:g} filled" if ref in ended else "",
            "its end taken over" if ref in ended else "abandoned unless executions prove it filled",
        )
        for ref in sorted(set(open_orders) - set(theirs))
    ]
    return found

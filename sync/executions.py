"""Executions, each counted once however often, late or corrected it is reported."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from broker.events import Commissioned, Executed
from options import ConId


@dataclass(frozen=True, slots=True)
class Fill:
    """An execution with its commission; USD, None until reported (or reported as unknown)."""

    execution: Executed
    commission_usd: float | None = None
    realized_pnl_usd: float | None = None

    def row(self) -> dict[str, Any]:
        """The fill as a row of the lake's `fills` table."""
        executed = self.execution
        return {
            "exec_id": executed.exec_id,
            "order_ref": executed.order_ref,
            "perm_id": executed.perm_id,
            "con_id": executed.con_id,
            "is_combo": executed.is_combo,
            "quantity": executed.quantity,
            "price": executed.price,
            "commission_usd": self.commission_usd,
            "realized_pnl_usd": self.realized_pnl_usd,
            "exec_time": executed.time,
        }


class ExecutionLedger:
    """All executions known, by identity: the exec_id up to its last dot.

    A report with a higher final part corrects the earlier one; the same or a lower one says nothing new.
    """

    def __init__(self) -> None:
        self._fills: dict[str, Fill] = {}
        self._early: dict[str, Commissioned] = {}
        self._of_order: dict[str, dict[str, None]] = {}

    def restore(self, rows: pl.DataFrame) -> None:
        """Take up the lake's `fills` rows, in order of `seq`."""
        for row in rows.sort("seq", maintain_order=True).iter_rows(named=True):
            executed = Executed(
                exec_id=row["exec_id"],
                order_ref=row["order_ref"],
                perm_id=row["perm_id"],
                con_id=ConId(row["con_id"]),
                is_combo=row["is_combo"],
                quantity=row["quantity"],
                price=row["price"],
                time=row["exec_time"],
            )
            identity, part = split_exec_id(executed.exec_id)
            known = self._fills.get(identity)
            if known is None or split_exec_id(known.execution.exec_id)[1] <= part:
                self._keep(identity, Fill(executed, row["commission_usd"], row["realized_pnl_usd"]))

    def execute(self, event: Executed) -> Fill | None:
        """Take an execution in; the fill when it says something new, else None."""
        identity, part = split_exec_id(event.exec_id)
        known = self._fills.get(identity)
        if known is not None and split_exec_id(known.execution.exec_id)[1] >= part:
            return None
        fill = _with_commission(Fill(event), self._early.pop(event.exec_id, None))
        self._keep(identity, fill)
        return fill

    def _keep(self, identity: str, fill: Fill) -> None:
        self._fills[identity] = fill
        self._of_order.setdefault(fill.execution.order_ref, {})[identity] = None

    def commission(self, event: Commissioned) -> Fill | None:
        """Attach a commission; the fill when that says something new.

        One that comes before its execution is kept for it; one of a superseded execution is dropped, and
        so is one of a combo's summary line: its legs carry the commissions.
        """
        identity, part = split_exec_id(event.exec_id)
        known = self._fills.get(identity)
        if known is None or split_exec_id(known.execution.exec_id)[1] < part:
            if event.commission_usd is not None or event.realized_pnl_usd is not None:
                self._early[event.exec_id] = event
            return None
        if known.execution.exec_id != event.exec_id or known.execution.is_combo:
            return None
        fill = _with_commission(known, event)
        if fill == known:
            return None
        self._fills[identity] = fill
        return fill

    @property
    def fills(self) -> tuple[Fill, ...]:
        return tuple(self._fills.values())

    def knows(self, event: Executed) -> bool:
        """Whether `execute` would say nothing new."""
        identity, part = split_exec_id(event.exec_id)
        known = self._fills.get(identity)
        return known is not None and split_exec_id(known.execution.exec_id)[1] >= part

    def executed(self) -> dict[str, dict[ConId, int]]:
        """Signed contracts of legs by order_ref and con_id; summary lines of combos left out."""
        totals: dict[str, dict[ConId, int]] = {}
        for fill in self._fills.values():
            event = fill.execution
            if not event.is_combo and event.order_ref:
                of_order = totals.setdefault(event.order_ref, {})
                of_order[event.con_id] = of_order.get(event.con_id, 0) + round(event.quantity)
        return totals

    def legs_of(self, order_ref: str) -> list[Fill]:
        """The fills of an order, without the summary lines of combos."""
        fills = (self._fills[identity] for identity in self._of_order.get(order_ref, ()))
        return [fill for fill in fills if not fill.execution.is_combo]

    def cash_usd(self, order_refs: Iterable[str], multipliers: Mapping[ConId, int]) -> float | None:
        """USD that the orders brought (negative: cost), less commissions.

        None when nothing was executed, and while a commission or a contract's multiplier is not known.
        """
        legs = [fill for ref in sorted(set(order_refs)) for fill in self.legs_of(ref)]
        if not legs:
            return None
        total = 0.0
        for fill in legs:
            multiplier = multipliers.get(fill.execution.con_id)
            if multiplier is None or fill.commission_usd is None:
                return None
            total -= fill.execution.quantity * fill.execution.price * multiplier + fill.commission_usd
        return total


def _with_commission(fill: Fill, report: Commissioned | None) -> Fill:
    """An unknown figure never replaces a known one."""
    if report is None:
        return fill
    return Fill(
        fill.execution,
        fill.commission_usd if report.commission_usd is None else report.commission_usd,
        fill.realized_pnl_usd if report.realized_pnl_usd is None else report.realized_pnl_usd,
    )


def split_exec_id(exec_id: str) -> tuple[str, int]:
    """(identity, correction number) of `0000e0d5.64a8c3a2.01.01`; 0 where there is no final number."""
    identity, dot, part = exec_id.rpartition(".")
    return (identity, int(part)) if dot and part.isdigit() else (exec_id, 0)

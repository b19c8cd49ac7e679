"""Whether the account's cash moved by what was executed, to the cent."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from options import ConId
from sync.executions import Fill, split_exec_id
from sync.reconciliation import POLICIES, Difference, DifferenceKind

SETTLES_WITHIN = timedelta(seconds=240)
"""Interactive Brokers reports cash every three minutes: so long it may lag behind an execution."""
TOLERANCE_USD = 0.015
"""The broker reports whole cents."""


@dataclass(frozen=True, slots=True)
class CashMark:
    """A moment at which cash was known, with the executions known then, by identity."""

    cash_usd: float
    fills: Mapping[str, Fill]


def cash_mark(cash_usd: float, fills: Iterable[Fill]) -> CashMark:
    """The mark of a moment; summary lines of combos are left out, their legs move the cash."""
    legs = (fill for fill in fills if not fill.execution.is_combo)
    return CashMark(cash_usd, {split_exec_id(fill.execution.exec_id)[0]: fill for fill in legs})


class CashCheck:
    """Compares from one mark to the next. What stays unexplained is told once, and the broker's figure is
    the next mark."""

    def __init__(self, mark: CashMark | None = None) -> None:
        self._mark = mark
        self._gap_usd: float | None = None
        self._since: datetime | None = None

    def look(
        self,
        cash_usd: float | None,
        fills: Iterable[Fill],
        multipliers: Mapping[ConId, int],
        now: datetime,
    ) -> Difference | None:
        """The difference that has lasted for `SETTLES_WITHIN`; None also while cash, a commission or a
        contract is unknown."""
        if cash_usd is None:
            return None
        seen = cash_mark(cash_usd, fills)
        if self._mark is None:
            self._mark = seen
            return None
        explained = _explained(self._mark, seen, multipliers)
        if explained is None:
            return None
        gap = cash_usd - self._mark.cash_usd - explained
        if abs(gap) < TOLERANCE_USD:
            self._mark, self._gap_usd, self._since = seen, None, None
            return None
        if self._since is None or self._gap_usd is None or abs(gap - self._gap_usd) >= TOLERANCE_USD:
            self._gap_usd, self._since = gap, now
        if now - self._since < SETTLES_WITHIN:
            return None
        self._mark, self._gap_usd, self._since = seen, None, None
        kind = DifferenceKind.ACCOUNT
        theirs = f"{cash_usd:,.2f} USD: {gap:+,.2f} that no execution explains"
        return Difference(kind, "cash", f"{cash_usd - gap:,.2f} USD", theirs, POLICIES[kind])


def _explained(before: CashMark, now: CashMark, multipliers: Mapping[ConId, int]) -> float | None:
    """USD that the executions new or corrected since have moved; None when one of them is not known."""
    total = 0.0
    for identity, fill in now.fills.items():
        old = before.fills.get(identity)
        if old == fill:
            continue
        moved = _cash_usd(fill, multipliers)
        was = 0.0 if old is None else _cash_usd(old, multipliers)
        if moved is None or was is None:
            return None
        total += moved - was
    return total


def _cash_usd(fill: Fill, multipliers: Mapping[ConId, int]) -> float | None:
    multiplier = multipliers.get(fill.execution.con_id)
    if multiplier is None or fill.commission_usd is None:
        return None
    return -fill.execution.quantity * fill.execution.price * multiplier - fill.commission_usd

"""Which contracts get a market-data line: the scarce thing that every quote costs.

Pure: what is open is our own record, the caller subscribes and unsubscribes as `plan` says.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from options import ConId

BUDGET = 90
HOLD_S = 30.0
SHRINK_BY = 5


class LinePriority(IntEnum):
    """Lower comes first."""

    UNDERLYING = 0
    WORKING_ORDER = 1
    RISKY_SHORT = 2
    REST = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    con_id: ConId
    priority: LinePriority


@dataclass(frozen=True, slots=True)
class _Line:
    """`priority` is the best one it was wanted with since `at`."""

    priority: LinePriority
    at: datetime


class LineBudget:
    """Never more than `budget` lines open, the most urgent contracts first.

    Hysteresis: an open line goes before others of its priority, keeps that priority for `hold_s` after it
    was last wanted with it, and an unwanted one stays that long if nobody else needs it.
    """

    def __init__(self, budget: int = BUDGET, hold_s: float = HOLD_S) -> None:
        self._budget = budget
        self._hold = timedelta(seconds=hold_s)
        self._lines: dict[ConId, _Line] = {}

    @property
    def budget(self) -> int:
        return self._budget

    @property
    def open_lines(self) -> tuple[ConId, ...]:
        return tuple(self._lines)

    def plan(self, wanted: Iterable[Wanted], now: datetime) -> tuple[list[ConId], list[ConId]]:
        """(to open, to close) so that afterwards the most urgent contracts have the lines.

        Close first, then open: then the number of open lines never passes the budget. A contract that is
        wanted for several reasons counts with the most urgent one.
        """
        lines: dict[ConId, _Line] = {}
        for want in wanted:
            if want.con_id not in lines or want.priority < lines[want.con_id].priority:
                lines[want.con_id] = _Line(want.priority, now)
        unwanted = set(self._lines) - set(lines)
        for con_id, line in self._lines.items():
            is_held = now - line.at < self._hold
            if is_held and (con_id in unwanted or line.priority < lines[con_id].priority):
                lines[con_id] = line
        ranked = sorted(lines, key=lambda c: (c in unwanted, lines[c].priority, c not in self._lines, c))[
            : self._budget
        ]
        to_open = [con_id for con_id in ranked if con_id not in self._lines]
        to_close = [con_id for con_id in self._lines if con_id not in ranked]
        self._lines = {con_id: lines[con_id] for con_id in ranked}
        return to_open, to_close

    def refused(self, con_id: ConId | None = None) -> None:
        """The broker said 101 (no more lines): others use some, so the budget shrinks below what is open.

        `con_id` is the contract whose line was refused, where the broker named it.
        """
        if con_id is not None:
            self._lines.pop(con_id, None)
        self._budget = max(1, min(self._budget, len(self._lines)) - SHRINK_BY)

    def forget(self) -> None:
        """The link is gone and every line with it."""
        self._lines.clear()

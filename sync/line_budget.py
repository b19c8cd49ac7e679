"""Which contracts get a market-data line: the scarce thing that every quote costs.

Pure: what is open is our own record, the caller subscribes and unsubscribes as `plan` says.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from options import ConId

BUDGET = 90
RESERVE = 8
VISIT_LINES = 10
HOLD_S = 30.0
SHRINK_BY = 5
ASK_AGAIN_AFTER = timedelta(minutes=1)
"""How long a contract whose line the broker does not serve goes without."""
RECOVER_AFTER = timedelta(minutes=5)
"""How long the broker must have refused nothing before the budget grows again by one line."""


class LinePriority(IntEnum):
    """Lower comes first. `WORKING_ORDER`: also what a decision or an opening waits for. `VISIT`: a contract
    whose turn it is. `ACTIVE`: of a live strategy. `RISKY_SHORT`: near the money or near expiry."""

    UNDERLYING = 0
    WORKING_ORDER = 1
    VISIT = 2
    ACTIVE = 3
    RISKY_SHORT = 4
    REST = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    con_id: ConId
    priority: LinePriority


@dataclass(frozen=True, slots=True)
class _Line:
    """`priority` is the best one it was wanted with since `at`."""

    priority: LinePriority
    at: datetime

    @property
    def is_visit(self) -> bool:
        return self.priority is LinePriority.VISIT


class LineBudget:
    """Never more than `budget` lines open, the most urgent contracts first.

    `reserve` lines stay free for orders, so that an entry or exit takes nobody's line; `visits` lines are
    kept for contracts that take turns, as long as there are more contracts than lines. A small budget has
    less of both. Hysteresis: an open line goes before others of its priority, keeps that priority for
    `hold_s` after it was last wanted with it, and an unwanted one stays that long if nobody else needs it.
    A visit is over at once.
    """

    def __init__(
        self, budget: int = BUDGET, hold_s: float = HOLD_S, reserve: int = 0, visits: int = 0
    ) -> None:
        self._budget = self._granted = budget
        self._hold = timedelta(seconds=hold_s)
        self._reserve = reserve
        self._visits = visits
        self._lines: dict[ConId, _Line] = {}
        self._changed: datetime | None = None
        self._not_before: dict[ConId, datetime] = {}

    @property
    def budget(self) -> int:
        """Lines that may be open now: what the owner granted, less while the broker refuses so many."""
        return self._budget

    @property
    def reserve(self) -> int:
        """Lines that only orders may use."""
        return min(self._reserve, self._budget // 6)

    @property
    def visit_lines(self) -> int:
        """Lines on which contracts may take turns."""
        return min(self._visits, self._budget // 3)

    @property
    def open_lines(self) -> tuple[ConId, ...]:
        return tuple(self._lines)

    @property
    def streams(self) -> frozenset[ConId]:
        """The contracts whose lines are open for more than a visit."""
        return frozenset(con_id for con_id, line in self._lines.items() if not line.is_visit)

    def plan(self, wanted: Iterable[Wanted], now: datetime) -> tuple[list[ConId], list[ConId]]:
        """(to open, to close) so that afterwards the most urgent contracts have the lines.

        Close first, then open: then the number of open lines never passes the budget. A contract that is
        wanted for several reasons counts with the most urgent one.
        """
        self._recover(now)
        self._not_before = {con_id: due for con_id, due in self._not_before.items() if now < due}
        lines: dict[ConId, _Line] = {}
        for want in wanted:
            if want.con_id in self._not_before:
                continue
            if want.con_id not in lines or want.priority < lines[want.con_id].priority:
                lines[want.con_id] = _Line(want.priority, now)
        unwanted = set(self._lines) - set(lines)
        for con_id, line in self._lines.items():
            is_held = now - line.at < self._hold and not line.is_visit
            if is_held and (con_id in unwanted or line.priority < lines[con_id].priority):
                lines[con_id] = line
        unwanted &= lines.keys()

        def rank(con_id: ConId) -> tuple[bool, int, bool, ConId]:
            line, is_open = lines[con_id], self._lines.get(con_id)
            goes_on = is_open is not None and is_open.is_visit == line.is_visit
            return con_id in unwanted, line.priority, not goes_on, con_id

        ranked = sorted(lines, key=rank)
        kept = self._allot(
            {c: LinePriority.REST if c in unwanted else lines[c].priority for c in ranked}, len(unwanted)
        )
        to_open = [con_id for con_id in kept if con_id not in self._lines]
        to_close = [con_id for con_id in self._lines if con_id not in kept]
        self._lines = {con_id: lines[con_id] for con_id in kept}
        return to_open, to_close

    def _allot(self, ranked: Mapping[ConId, LinePriority], unwanted: int) -> dict[ConId, None]:
        """The contracts that get lines, of all in the order of their urgency."""
        count = Counter(ranked.values())
        orders, visits = count[LinePriority.WORKING_ORDER], count[LinePriority.VISIT]
        for_orders = max(self.reserve, min(orders, self._budget - count[LinePriority.UNDERLYING]))
        shared = self._budget - for_orders
        is_crowded = len(ranked) - orders - visits - unwanted > shared
        visits_left = self.visit_lines
        streams_left = max(shared - visits_left if is_crowded else shared, count[LinePriority.UNDERLYING])
        kept: dict[ConId, None] = {}
        for con_id, priority in ranked.items():
            if len(kept) == self._budget:
                break
            if priority is LinePriority.WORKING_ORDER:
                kept[con_id] = None
            elif priority is LinePriority.VISIT and shared and visits_left:
                kept[con_id] = None
                shared, visits_left = shared - 1, visits_left - 1
            elif priority is not LinePriority.VISIT and shared and streams_left:
                kept[con_id] = None
                shared, streams_left = shared - 1, streams_left - 1
        return kept

    def refused(self, con_id: ConId | None, now: datetime) -> None:
        """The broker said 101 (no more lines): others use some, so the budget shrinks below what is open.

        `con_id` is the contract whose line was refused, where the broker named it. Of several refusals at
        once each counts the lines that were really granted. The budget grows again, a line at a time.
        """
        if con_id is not None:
            self._lines.pop(con_id, None)
        self._budget = max(1, min(self._budget, len(self._lines) - SHRINK_BY))
        self._changed = now

    def not_served(self, con_id: ConId, now: datetime) -> None:
        """The broker does not serve this contract's line: it is closed, and asked for again after a while."""
        if self._lines.pop(con_id, None) is not None:
            self._not_before[con_id] = now + ASK_AGAIN_AFTER

    def is_denied(self, con_id: ConId) -> bool:
        """Whether the broker did not serve this contract's line lately, so that none is asked for."""
        return con_id in self._not_before

    def _recover(self, now: datetime) -> None:
        if self._changed is not None and now - self._changed >= RECOVER_AFTER:
            self._budget = min(self._granted, self._budget + 1)
            self._changed = now if self._budget < self._granted else None

    def forget(self) -> None:
        """The link is gone and every line with it."""
        self._lines.clear()
        self._not_before.clear()

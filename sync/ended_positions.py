"""Positions that ended, whose realized money may still become known or be corrected.

A commission may come long after its fill, and an execution may be corrected when everything is closed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from options import ConId
from sync.position import REGROUPED, Position, PositionEvent, PositionEventKind

REMEMBERED = timedelta(days=8)
"""Brokers report executions and corrections of a week at most."""
HALF_A_CENT = 0.005
Executed = Callable[[str], Mapping[ConId, int]]
"""Signed contracts that the closing orders of a position executed."""


@dataclass(frozen=True, slots=True)
class Restated:
    """`event` tells what `ended` at that `time` really brought."""

    time: datetime
    ended: PositionEvent
    event: PositionEvent


class EndedPositions:
    """The endings of the last days, by position."""

    def __init__(self) -> None:
        self._endings: dict[str, tuple[datetime, PositionEvent]] = {}

    def add(self, event: PositionEvent, now: datetime) -> None:
        """Remember an ending by orders of ours; of others nobody reports what they brought."""
        oldest = now - REMEMBERED
        self._endings = {name: ended for name, ended in self._endings.items() if ended[0] >= oldest}
        if not event.unexpected and event.reason != REGROUPED:
            self._endings[event.position.id] = now, event

    def restate(self, executed: Executed, cash: Callable[[str], float | None]) -> list[Restated]:
        """The endings that brought something else than was known. `cash`: USD that the closing executions of
        a position brought, None while not known; what is not known restates nothing."""
        found = []
        for name, (time, ended) in self._endings.items():
            released, brought = ended.position.with_lots(0).released_credit_usd, cash(name)
            if released is None or brought is None or not _is_whole(ended.position, executed(name)):
                continue
            realized, before = released + brought, ended.realized_pnl_usd
            if before is not None and abs(realized - before) < HALF_A_CENT:
                continue
            why = "its commissions became known" if before is None else "an execution was corrected"
            event = replace(ended, kind=PositionEventKind.RESTATED, reason=why, realized_pnl_usd=realized)
            found.append(Restated(time, ended, event))
        for restated in found:
            self._endings[restated.event.position.id] = restated.time, restated.event
        return found


def _is_whole(position: Position, executed: Mapping[ConId, int]) -> bool:
    """Whether every leg was executed as often as the others, and at least as often as it was held last."""
    lots = {-executed.get(con_id, 0) / unit for con_id, unit in position.units.items()}
    return len(lots) == 1 and lots.pop() >= position.lots

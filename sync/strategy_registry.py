"""Which contracts are active: those of live strategies, and those of entries that are on their way.

Active contracts have a line of their own as long as there are lines; the others take turns. A strategy is
live while it has an open position. Pure: the caller records what `take_changes` gives.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import polars as pl

from options import ConId
from sync.position import Position


class Reason(StrEnum):
    """Why a contract is active; `ENDED`: it is not any more."""

    OPEN = "open"
    ENTERING = "entering"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Active:
    """A contract of a position, or of one that is being opened. `strategy` None: adopted, or not known."""

    position: str
    con_id: ConId
    reason: Reason
    strategy: str | None

    def row(self) -> dict[str, Any]:
        """It as a row of the lake's `strategy_registry` table."""
        return {
            "position": self.position,
            "con_id": self.con_id,
            "reason": self.reason.value,
            "strategy": self.strategy,
        }


Key = tuple[str, ConId]


class StrategyRegistry:
    """All active contracts, by position."""

    def __init__(self) -> None:
        self._active: dict[Key, Active] = {}
        self._changes: list[Active] = []

    @property
    def con_ids(self) -> frozenset[ConId]:
        return frozenset(con_id for _, con_id in self._active)

    @property
    def strategies(self) -> tuple[str, ...]:
        """The live ones, by name."""
        return tuple(sorted({active.strategy for active in self._active.values() if active.strategy}))

    def restore(self, rows: pl.DataFrame) -> None:
        """Take up the newest row of every contract of every position, as the lake has them."""
        for row in rows.iter_rows(named=True):
            if row["reason"] != Reason.ENDED:
                key = row["position"], ConId(row["con_id"])
                self._active[key] = Active(*key, Reason(row["reason"]), row["strategy"])

    def renew(self, positions: Iterable[Position], entering: Mapping[str, Sequence[ConId]]) -> None:
        """Bring it in step with the open positions and the entries on their way (contracts by position)."""
        active = {
            (position, con_id): Active(position, con_id, Reason.ENTERING, None)
            for position, con_ids in entering.items()
            for con_id in con_ids
        }
        for position in positions:
            for leg in position.legs if position.strategy is not None else ():
                key = position.id, leg.contract.con_id
                active[key] = Active(*key, Reason.OPEN, position.strategy)
        if active == self._active:
            return
        for key, old in self._active.items():
            if key not in active:
                self._changes.append(Active(*key, Reason.ENDED, old.strategy))
        self._changes += [now for key, now in active.items() if self._active.get(key) != now]
        self._active = active

    def take_changes(self) -> list[dict[str, Any]]:
        """What became active or ended since the last call."""
        changes, self._changes = self._changes, []
        return [change.row() for change in changes]

"""The contracts that take turns on a few lines, because there are more of them than lines.

Every contract without a line of its own is an item. It waits, is visited, and waits again; one that never
answers is parked. Pure: the caller says what came of a visit, and records what `take_changes` gives.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from heapq import nlargest
from typing import Any

import polars as pl

from options import ConId
from options.hours import next_opening

URGENT_WEIGHT = 4
"""An urgent contract is visited so much more often than one of the rest."""
MOST_ATTEMPTS = 5
TELL_AFTER = timedelta(minutes=15)
"""A visit that changes nothing else is recorded so often at most: it only keeps the order over a restart."""
FIRST_BACKOFF = timedelta(seconds=15)
"""The wait after the first visit without an answer; it doubles with each further one."""


class ItemState(StrEnum):
    """`PARKED`: it did not answer so often that it waits for the next trading day, or for a human."""

    WAITING = "waiting"
    PARKED = "parked"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Item:
    """`visited`: when it last answered, None: never. `attempts`: visits in a row without an answer. `due`:
    not before, None: whenever its turn comes. `reason`: what was wrong with the last visit."""

    con_id: ConId
    queued: datetime
    is_urgent: bool
    state: ItemState = ItemState.WAITING
    visited: datetime | None = None
    attempts: int = 0
    due: datetime | None = None
    reason: str = ""

    def row(self) -> dict[str, Any]:
        """The item as a row of the lake's `queue` table."""
        return {
            "item": f"visit-{self.con_id}",
            "con_id": self.con_id,
            "state": self.state.value,
            "reason": self.reason or None,
            "attempts": self.attempts,
            "due": self.due,
            "queued": self.queued,
            "visited": self.visited,
            "is_urgent": self.is_urgent,
        }


class PositionQueue:
    """All items by contract, each once."""

    def __init__(self) -> None:
        self._items: dict[ConId, Item] = {}
        self._changed: dict[ConId, Item] = {}
        self._told: dict[ConId, Item] = {}

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, con_id: ConId) -> bool:
        return con_id in self._items

    @property
    def parked(self) -> tuple[Item, ...]:
        """By contract."""
        parked = (item for item in self._items.values() if item.state is ItemState.PARKED)
        return tuple(sorted(parked, key=lambda item: item.con_id))

    def restore(self, rows: pl.DataFrame) -> None:
        """Take up the newest row of every item, as the lake has them."""
        for row in rows.iter_rows(named=True):
            # An older optiond wrote nothing here, so rows without these are nobody's.
            if row["state"] == ItemState.GONE or row["queued"] is None:
                continue
            con_id = ConId(row["con_id"])
            self._items[con_id] = self._told[con_id] = Item(
                con_id=con_id,
                queued=row["queued"],
                is_urgent=bool(row["is_urgent"]),
                state=ItemState(row["state"]),
                visited=row["visited"],
                attempts=row["attempts"] or 0,
                due=row["due"],
                reason=row["reason"] or "",
            )

    def take_changes(self) -> list[dict[str, Any]]:
        """The newest row of every item that changed since the last call."""
        changed, self._changed = self._changed, {}
        self._told |= changed
        for item in changed.values():
            if item.state is ItemState.GONE:
                del self._told[item.con_id]
        return [item.row() for item in changed.values()]

    # --- who is in it ----------------------------------------------------------------------------

    def renew(self, waiting: Mapping[ConId, bool], now: datetime) -> None:
        """Hold exactly these contracts (True: urgent). What stays keeps its place, and what was parked
        until now gets a new chance."""
        for con_id in [con_id for con_id in self._items if con_id not in waiting]:
            self._changed[con_id] = replace(self._items.pop(con_id), state=ItemState.GONE, due=None)
        for con_id, is_urgent in waiting.items():
            item = self._items.get(con_id)
            if item is None:
                self._put(Item(con_id, now, is_urgent))
            elif item.state is ItemState.PARKED and item.due is not None and item.due <= now:
                self._put(replace(item, is_urgent=is_urgent, state=ItemState.WAITING, attempts=0, due=None))
            elif item.is_urgent != is_urgent:
                self._put(replace(item, is_urgent=is_urgent))

    def retry(self, con_ids: Iterable[ConId] | None = None) -> int:
        """Let parked ones wait for a visit again, all when it is None; how many there were."""
        wanted = None if con_ids is None else set(con_ids)
        parked = [item for item in self.parked if wanted is None or item.con_id in wanted]
        for item in parked:
            self._put(replace(item, state=ItemState.WAITING, attempts=0, due=None))
        return len(parked)

    # --- whose turn it is, and what came of it ---------------------------------------------------

    def turns(self, most: int, can_answer: Callable[[ConId], bool], now: datetime) -> list[ConId]:
        """At most so many contracts whose turn it is, the first one first.

        Those to be tried again come first, never visited ones next, then by how long ago the last visit
        was, where time counts `URGENT_WEIGHT` times for urgent ones: so nobody waits for ever, whatever is
        urgent. Only those of which no answer is expected come after all others.
        """
        ready = (
            item
            for item in self._items.values()
            if item.state is ItemState.WAITING and (item.due is None or item.due <= now)
        )

        def weight(item: Item) -> tuple[bool, bool, bool, bool, float, int]:
            age_s = (now - (item.visited or item.queued)).total_seconds()
            weighted = age_s * URGENT_WEIGHT if item.is_urgent else age_s
            is_new = item.visited is None
            is_again, comes_first = item.due is not None, is_new and item.is_urgent
            return can_answer(item.con_id), is_again, is_new, comes_first, weighted, -item.con_id

        return [item.con_id for item in nlargest(most, ready, key=weight)]

    def visited(self, con_id: ConId, note: str, now: datetime, again: datetime | None = None) -> None:
        """It answered; `note` says what was missing, if anything. It goes to the end of the queue, or (where
        the answer is doubted) to its front at `again`."""
        item = self._items.get(con_id)
        if item is not None:
            self._put(replace(item, visited=now, attempts=0, due=again, reason=note))

    def failed(self, con_id: ConId, reason: str, now: datetime) -> None:
        """It did not answer: it is tried again after a while, and parked after `MOST_ATTEMPTS`."""
        item = self._items.get(con_id)
        if item is None:
            return
        attempts = item.attempts + 1
        is_poisoned = attempts >= MOST_ATTEMPTS
        self._put(
            replace(
                item,
                state=ItemState.PARKED if is_poisoned else ItemState.WAITING,
                attempts=attempts,
                due=next_opening(now) if is_poisoned else now + FIRST_BACKOFF * 2 ** (attempts - 1),
                reason=reason,
            )
        )

    def postponed(self, con_id: ConId, reason: str, now: datetime) -> None:
        """It did not answer, for a reason that is not its own: it waits a while, and nothing is counted."""
        item = self._items.get(con_id)
        if item is not None:
            self._put(replace(item, due=now + FIRST_BACKOFF, reason=reason))

    def _put(self, item: Item) -> None:
        self._items[item.con_id] = item
        told = self._changed.get(item.con_id) or self._told.get(item.con_id)
        if told is None or _is_news(item, told):
            self._changed[item.con_id] = item

    # --- how it goes -----------------------------------------------------------------------------

    @property
    def urgent(self) -> int:
        """How many of those that are not parked are urgent."""
        return sum(item.is_urgent and item.state is ItemState.WAITING for item in self._items.values())

    def oldest_s(self, now: datetime) -> float | None:
        """The longest that a waiting contract was not visited, in seconds; None when none waits."""
        since = [
            item.visited or item.queued for item in self._items.values() if item.state is ItemState.WAITING
        ]
        return (now - min(since)).total_seconds() if since else None


def _is_news(item: Item, told: Item) -> bool:
    """Whether the item differs from what was told of it last in more than a visit not long after."""
    if item.visited is None or replace(item, visited=told.visited) != told:
        return item != told
    return told.visited is None or item.visited - told.visited >= TELL_AFTER

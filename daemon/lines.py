"""Market-data lines opened and closed once per cycle: who has one of their own, and whose turn it is."""

import asyncio
from collections.abc import Collection
from datetime import datetime
from typing import Any

from daemon.account_state import AccountState
from daemon.metrics import Metrics
from daemon.records import Records
from daemon.wanted_lines import Ranking, entering, ranking, wanted_at_once
from options import ConId
from sync.line_budget import LinePriority
from sync.position_queue import Item
from sync.queue_worker import turn_s

SWIFT_S = 1.0
"""How long a visit takes when the broker answers at once: some beats."""
MOST_SHOWN = 20
"""Parked contracts that the status names."""


class Lines:
    """Subscribes as the budget says, and has the queue's contracts visited on what is left."""

    def __init__(self, state: AccountState, records: Records, metrics: Metrics) -> None:
        self._state = state
        self._records = records
        self._metrics = metrics
        self._ranking = Ranking()
        self._revision = -1
        self._quoted: frozenset[str] = frozenset()
        self._figures: dict[str, Any] = {}
        self._queue_free = asyncio.Lock()

    async def turn(self, now: datetime) -> None:
        """One cycle's part of it. Needs the broker's full picture."""
        state, worker = self._state, self._state.worker
        is_round = worker.is_round_due(now)
        if is_round or self._revision != state.positions.revision:
            self._revision = state.positions.revision
            self._ranking = await asyncio.to_thread(self._rank, now)
        worker.finish(self._can_answer, now, state.marks.is_doubted)
        worker.start(state.lines.visit_lines, now)
        self._subscribe(now)
        if is_round:
            async with self._queue_free:
                await asyncio.to_thread(self._round, now)
            self._measure()

    async def retry(self, con_ids: Collection[ConId] | None) -> int:
        """Let parked contracts wait for a visit again, all when it is None; how many there were. Not while a
        thread goes through the queue."""
        async with self._queue_free:
            return self._state.queue.retry(con_ids)

    def _rank(self, now: datetime) -> Ranking:
        state = self._state
        state.registry.renew(state.positions.positions, entering(state))
        found = ranking(state, now)
        symbols = {position.underlying for position in state.positions.positions}
        self._quoted = frozenset(s for s in symbols if state.board.underlying_price(s, now) is not None)
        return found

    def _subscribe(self, now: datetime) -> None:
        state = self._state
        lines = state.lines
        first = wanted_at_once(state, len(self._ranking.underlyings), now)
        wanted = [*first, *self._ranking.wanted(lines.budget + 1, lines.streams)]
        to_open, to_close = lines.plan(wanted, now)
        state.board.release(to_close)
        for con_id in to_close:
            state.broker.unsubscribe(con_id)
        for con_id in to_open:
            state.broker.subscribe(state.contracts[con_id])
        state.worker.keep(set(lines.open_lines))

    def _round(self, now: datetime) -> None:
        """Everybody who is held and has no line of their own waits for a turn."""
        state = self._state
        streams = state.lines.streams
        waiting = {
            con_id: priority < LinePriority.REST
            for con_id, priority in self._ranking.held.items()
            if con_id not in streams
        }
        state.worker.round(waiting, state.lines.visit_lines, self._can_answer, now)
        self._figures = self._look(now)
        for row in state.queue.take_changes():
            self._records.add("queue", row)
        for row in state.registry.take_changes():
            self._records.add("strategy_registry", row)

    def _can_answer(self, con_id: ConId) -> bool:
        """Whether the contract's underlying was quoted when last looked at, and its line is served."""
        contract = self._state.contracts.get(con_id)
        is_quoted = contract is not None and contract.symbol in self._quoted
        return is_quoted and not self._state.lines.is_denied(con_id)

    def status(self) -> dict[str, Any]:
        """How the queue stood at its last round: `oldest_s` is the longest that one waited since its last
        visit (None: nobody waits), `turn_s` within how long each is visited while the broker answers at
        once."""
        state = self._state
        return {
            **self._figures,
            "visiting": len(state.worker.visiting),
            "confirming": len(state.confirmations),
            "active": len(state.registry.con_ids),
            "strategies": list(state.registry.strategies),
        }

    def _look(self, now: datetime) -> dict[str, Any]:
        queue, lines = self._state.queue, self._state.lines.visit_lines
        parked, urgent = queue.parked, queue.urgent
        rest = len(queue) - len(parked) - urgent
        return {
            "contracts": len(queue),
            "urgent": urgent,
            "lines": lines,
            "oldest_s": queue.oldest_s(now),
            "turn_s": turn_s(urgent, rest, lines, SWIFT_S) if len(queue) else None,
            "parked": len(parked),
            "parked_first": [self._parked(item) for item in parked[:MOST_SHOWN]],
        }

    def _parked(self, item: Item) -> dict[str, Any]:
        contract = self._state.contracts.get(item.con_id)
        return {
            "con_id": item.con_id,
            "contract": contract.label if contract else "",
            "reason": item.reason,
            "due": item.due.isoformat() if item.due else None,
        }

    def _measure(self) -> None:
        oldest_s, metrics = self._figures["oldest_s"], self._metrics
        metrics.queue_contracts.set(self._figures["contracts"])
        metrics.queue_parked.set(self._figures["parked"])
        metrics.queue_oldest_seconds.set(float("nan") if oldest_s is None else oldest_s)

    def next_due(self, now: datetime) -> datetime | None:
        """When the next turn is due: at once while somebody is visited."""
        return self._state.worker.next_due(now)

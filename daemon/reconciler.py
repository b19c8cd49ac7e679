"""Our books brought in step with the broker's: at the start, after every reconnect, now and then, on demand,
and at once when a position changed without an order of ours."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from broker.events import LinkState, OrderChanged, OrderState
from broker.protocol import BrokerPicture
from daemon.account_state import AccountState
from daemon.console import Console
from daemon.intake import Intake
from daemon.records import Alerts, Records
from options import BrokerError, ConId, Leg, SecType
from sync import tables
from sync.naked_short import lost_cover, naked_shorts, uncovered
from sync.reconciliation import (
    ALERTED,
    COVERING,
    NAMED_FILLS,
    Books,
    Difference,
    DifferenceKind,
    legs_of,
    reconcile,
    were_covered,
)
from sync.tables import Alert, Severity
from trading.intent import Intent, IntentState

log = structlog.get_logger()

FULL_EVERY = timedelta(hours=1)
PROVE_EVERY = timedelta(seconds=2)
"""So far apart two pictures must lie, and all between them, that lack an order before it counts as never
received, or show a short uncovered before it is covered: what is told of one event takes its time."""
RESOLVED_WITHIN = timedelta(seconds=60)
"""Holdings that still differ after this long are not resolved by taking the broker's word."""
_LASTING = frozenset({DifferenceKind.MISSING_HERE, DifferenceKind.MISSING_THERE, DifferenceKind.QUANTITY})
_STANDING = (
    DifferenceKind.UNKNOWN_ORDER,
    DifferenceKind.ORPHANED_ORDER,
    DifferenceKind.MISSING_FILL,
    DifferenceKind.NAKED_SHORT,
)
"""The kinds that stand until somebody does something; of the others a comparison tells once."""
OUR_ORDERS = "opt-"

Key = tuple[str, str]
"""Kind and subject of a difference."""


class Reconciler:
    """Takes the broker's full picture, names every difference, and resolves each by policy."""

    def __init__(
        self,
        state: AccountState,
        records: Records,
        alerts: Alerts,
        intake: Intake,
        console: Console,
        every_s: float,
    ) -> None:
        self._state = state
        self._records = records
        self._alerts = alerts
        self._intake = intake
        self._console = console
        self._every = timedelta(seconds=every_s)
        self._missing: dict[str, datetime] = {}
        self._given_up: set[str] = set()
        self._told: set[str] = set()
        self._is_first = True
        self._revision = -1
        self._last: datetime | None = None
        self._full: datetime | None = None
        self._held: list[Leg] | None = None
        self._standing: dict[Key, tuple[Difference, datetime]] = {}
        self._different_since: dict[Key, datetime] = {}
        self._seen_naked: dict[ConId, int] = {}
        self._naked_since: dict[ConId, datetime] = {}

    # --- when ------------------------------------------------------------------------------------

    async def keep_in_step(self, now: datetime) -> bool:
        """Compare when that is due, and bring positions and intents in step; whether anything happened.

        What changed without an order of ours is compared at once, so that it is known with its reason by
        the same commit.
        """
        state, compared = self._state, False
        if state.link is LinkState.UP and (not state.has_picture or self._is_due(now)):
            compared = await self._try(now)
        moved = self._intake.settle(now)
        if state.has_picture and not compared and any(event.unexpected for event in moved):
            compared = await self._try(now)
            moved += self._intake.settle(now)
        return compared or bool(moved)

    def _is_due(self, now: datetime) -> bool:
        is_urgent = self.is_proving or self._state.desk.waits_for_proof(now)
        every = PROVE_EVERY if is_urgent else self._every
        if self._seen_naked and self._revision != self._state.positions.revision:
            return True  # what was to be covered may be
        return self._last is None or now - self._last >= every

    @property
    def is_proving(self) -> bool:
        """Whether the next picture decides something: what became of an order that is missing, or whether a
        short is uncovered indeed."""
        return bool(self._missing) or self._seen_naked != self._state.to_cover

    @property
    def next_due(self) -> datetime | None:
        """When the next picture is needed to decide something; None while nothing waits for it."""
        return self._last + PROVE_EVERY if self._last is not None and self.is_proving else None

    async def _try(self, now: datetime) -> bool:
        try:
            await self.reconcile(now)
        except BrokerError as error:
            log.warning("reconciliation.failed", error=str(error))
            self._alerts.raise_(Alert(Severity.WARNING, "reconciliation", "broker", str(error)), now)
            return False
        self._alerts.clear("reconciliation", "broker")
        return True

    # --- comparing -------------------------------------------------------------------------------

    async def reconcile(self, now: datetime) -> list[Difference]:
        """Compare, record, resolve; a second run changes nothing. Raises BrokerError without an answer."""
        state = self._state
        picture = await state.broker.picture()
        await self._know_contracts(picture, now)
        ours = [leg for position in state.positions.positions for leg in position.legs]
        held, before = legs_of(picture.holdings), ours if self._held is None else self._held
        books = self._books(ours, picture)

        def compare() -> tuple[list[Difference], _Shorts]:
            return reconcile(books, picture, now), _Shorts.of(before, held)

        # Thousands of contracts take longer than the loop may be kept.
        differences, shorts = await asyncio.to_thread(compare)
        multipliers = {con_id: contract.multiplier for con_id, contract in state.contracts.items()}
        for executed in picture.executions:
            self._intake.executed(executed, now)
        cash_usd = state.account.figures(now)["cash_usd"]
        if cash := state.cash_check.look(cash_usd, state.executions.fills, multipliers, now):
            differences.append(cash)
        self._note_naked(shorts, now)
        self.note_unresolved(before, differences, now)
        self._take_orders(picture, now)
        state.positions.note_picture(picture.holdings)
        state.has_picture = True
        self._held, self._revision = held, state.positions.revision
        self._last = now
        self._record(picture, differences, now)
        return differences

    def _books(self, ours: Sequence[Leg], picture: BrokerPicture) -> Books:
        state = self._state
        at_broker = {i.intent for i in state.desk.open_intents if i.state is not IntentState.FILLED}
        open_refs = {intent.intent for intent in state.desk.open_intents}
        refs = open_refs.union(self._given_up, *state.closing_orders.values())
        # Those of openings that have ended, and of other daemons of ours: no strangers.
        refs |= {each.order_ref for each in picture.executions if each.order_ref.startswith(OUR_ORDERS)}
        moving: dict[ConId, int] = {}
        for ref, traded in state.executions.executed().items():
            for con_id, quantity in traded.items() if ref in open_refs else ():
                moving[con_id] = moving.get(con_id, 0) + quantity
        before, lost = self._held, self._lost_cover()
        return Books(
            legs=ours,
            ledger=state.executions,
            orders=at_broker,
            given_up=self._given_up,
            refs=refs,
            told=self._told,
            moving=moving,
            covered_by=before,
            lost_cover=lost,
        )

    def _lost_cover(self) -> dict[str, int]:
        """How many shorts of which label were found to have lost their cover, also before a restart."""
        return {
            subject: were_covered(difference)
            for (kind, subject), (difference, _) in self._standing.items()
            if kind == DifferenceKind.NAKED_SHORT and difference.resolution == COVERING
        }

    def note_unresolved(
        self, before: Sequence[Leg], differences: Sequence[Difference], now: datetime
    ) -> None:
        """What no policy explains: shorts that became uncovered behind our back, and holdings that differ
        still, long after the broker's word was taken over. Adopting an account brings its own shorts."""
        found = [d for d in differences if d.kind is DifferenceKind.NAKED_SHORT]
        had = naked_shorts(before) if found else {}
        labels = {self._state.contracts[con_id].label for con_id in self._seen_naked}
        lasting = {(d.kind.value, d.subject) for d in differences if d.kind in _LASTING}
        self._different_since = {key: self._different_since.get(key, now) for key in sorted(lasting)}
        new = [
            f"{d.theirs}: {d.subject}"
            for d in found
            if d.subject in labels or (before and d.subject not in had)
        ]
        for (kind, subject), since in self._different_since.items():
            if now - since >= RESOLVED_WITHIN:
                new.append(f"{kind} since {since:%H:%M:%S} UTC: {subject}")
        self._state.unresolved = tuple(new)

    def _note_naked(self, shorts: "_Shorts", now: datetime) -> None:
        """Shorts that have lost their cover are covered once pictures have shown them so for a while; those
        that somebody sold naked are left to him."""
        state, naked, lost, was = self._state, shorts.naked, shorts.lost, self._seen_naked
        if self._held is None:
            # Found by the daemon before this one, which did not live to cover it.
            known = self._lost_cover()
            was = {con_id: known.get(state.contracts[con_id].label, 0) for con_id in naked}
        seen = {
            con_id: min(count, was.get(con_id, 0) + lost.get(con_id, 0)) for con_id, count in naked.items()
        }
        self._seen_naked = {con_id: count for con_id, count in seen.items() if count}
        self._naked_since = {
            con_id: self._naked_since.get(con_id, now) if count <= was.get(con_id, 0) else now
            for con_id, count in self._seen_naked.items()
        }
        proved = {
            con_id: count
            if now - self._naked_since[con_id] >= PROVE_EVERY
            else min(count, state.to_cover.get(con_id, 0))
            for con_id, count in self._seen_naked.items()
        }
        state.to_cover = {con_id: count for con_id, count in proved.items() if count}
        left = {con_id: count - self._seen_naked.get(con_id, 0) for con_id, count in naked.items()}
        state.left_uncovered = {con_id: count for con_id, count in left.items() if count}

    async def _know_contracts(self, picture: BrokerPicture, now: datetime) -> None:
        """The terms of everything held, of its underlyings, and of VIX."""
        state = self._state
        unknown = [e.contract for e in picture.holdings if e.contract.con_id not in state.qualified]
        qualified = await state.broker.qualify(unknown) if unknown else []
        found = [new or old for new, old in zip(qualified, unknown, strict=True)]
        known = {state.contracts[con_id].symbol for con_id in state.qualified if _is_priced(state, con_id)}
        wanted = {c.symbol for c in (*state.contracts.values(), *found)} | {"VIX"}
        for symbol in sorted(wanted - known):
            try:
                found.append(await state.broker.underlying(symbol))
            except BrokerError as error:
                # The holdings must be protected all the same; what needs this price stays unknown.
                text = f"no price for {symbol}: {error}"
                self._alerts.raise_(Alert(Severity.WARNING, "underlying", symbol, text), now)
        for contract in found:
            state.contracts[contract.con_id] = contract
            state.qualified.add(contract.con_id)
            if contract.sec_type in (SecType.STOCK, SecType.INDEX):
                state.board.watch(contract.symbol, contract.con_id)
        if found:
            self._records.add_frame("contracts", tables.contracts(found))

    # --- orders ----------------------------------------------------------------------------------

    def _take_orders(self, picture: BrokerPicture, now: datetime) -> None:
        """Adopt what the broker knows of our orders; abandon what it proves never to have received, and
        cancel what turns up after that."""
        state = self._state
        known = {order.order_ref: order for order in (*picture.completed_orders, *picture.open_orders)}
        executed = state.executions.executed()
        open_refs = {intent.intent for intent in state.desk.open_intents}
        self._missing = {ref: since for ref, since in self._missing.items() if ref in open_refs}
        for intent in state.desk.open_intents:
            order = known.get(intent.intent)
            if order is not None:
                self._missing.pop(intent.intent, None)
                self._intake.apply(order, now)
            elif intent.state is not IntentState.FILLED:
                self._not_there(intent, executed.get(intent.intent, {}), now)
        for order in picture.open_orders:
            if order.order_ref in self._given_up and not state.broker.cancel(order.order_ref):
                log.warning("order.not_cancelled", order_ref=order.order_ref)

    def _not_there(self, intent: Intent, executed: dict[ConId, int], now: datetime) -> None:
        """An order that left just before the link broke may still arrive, and one that is partly filled
        may be listed late: one look proves nothing, unless all of it was executed."""
        proved = _filled(intent, executed)
        if proved.state is OrderState.FILLED:
            self._missing.pop(intent.intent, None)
            self._intake.apply(proved, now)
            return
        if now - self._missing.setdefault(intent.intent, now) < PROVE_EVERY:
            return
        del self._missing[intent.intent]
        if executed:
            self._intake.apply(proved, now)
            return
        reason = "the broker never received it; the rules decide anew on fresh facts"
        self._given_up.add(intent.intent)
        ended = self._state.desk.abandon(intent, reason, now)
        self._intake.order_came_to_nothing(ended, now)

    # --- what is told ----------------------------------------------------------------------------

    def take_up(
        self, standing: Sequence[tuple[Difference, datetime]], given_up: Sequence[str], told: Sequence[str]
    ) -> None:
        """Go on after a restart: the differences that stood, the orders that were given up, and the
        executions of others that were told."""
        self._told.update(told)
        self._standing = {(d.kind.value, d.subject): (d, since) for d, since in standing}
        self._given_up.update(given_up)

    def _record(self, picture: BrokerPicture, differences: Sequence[Difference], now: datetime) -> None:
        """A difference is a row when it is found (or found changed) and when it is over."""
        run, state, before = f"rec-{now.isoformat()}", self._state, self._standing
        found = {(d.kind.value, d.subject): d for d in differences}
        new = [d for key, d in found.items() if key not in before or before[key][0] != d]
        over = [before[key][0] for key in before.keys() - found.keys()]
        over.sort(key=lambda d: (d.kind.value, d.subject))
        self._standing = {key: (d, before[key][1] if key in before else now) for key, d in found.items()}
        if self._full is None or new or now - self._full >= FULL_EVERY:
            self._full = now
            full = tables.positions(picture.holdings, state.positions.position_of)
            self._records.add_frame("positions", full)
        self._records.add_frame("reconciliations", tables.reconciliations(run, new, over))
        for difference in new:
            log.info("reconciliation.difference", **difference.row(run))
        self._told |= {d.subject for d in differences if d.kind in NAMED_FILLS}
        told = [d for d in differences if d.kind in ALERTED]
        for alert in tables.alerts_of((), told):
            if self._alerts.raise_(alert, now):
                self._console.say(f"{alert.severity.value.upper()} {alert.kind}: {alert.text}", now)
        for kind in _STANDING:
            self._alerts.clear_except(kind.value, {d.subject for d in told if d.kind is kind})
        said = ", ".join(sorted({d.kind.value for d in new})) or "no difference"
        if new or self._is_first:
            self._console.say(f"reconciled with the broker: {len(picture.holdings)} holdings, {said}", now)
        self._is_first = False

    def status(self) -> dict[str, Any]:
        """The part of `GET /status` about the broker's books; times ISO, None where it never happened."""
        return {
            "last": self._last.isoformat() if self._last else None,
            "standing": [
                {**difference.row(""), "since": since.isoformat(), "critical": difference.is_critical}
                for difference, since in self._standing.values()
            ],
            "unresolved": list(self._state.unresolved),
        }


@dataclass(frozen=True, slots=True)
class _Shorts:
    """Contracts sold that nothing covers, and those of them that were held and covered before."""

    naked: Mapping[ConId, int]
    lost: Mapping[ConId, int]

    @classmethod
    def of(cls, before: Sequence[Leg], held: Sequence[Leg]) -> "_Shorts":
        return cls(uncovered(held), lost_cover(before, held))


def _is_priced(state: AccountState, con_id: ConId) -> bool:
    return state.contracts[con_id].sec_type in (SecType.STOCK, SecType.INDEX)


def _filled(intent: Intent, executed: dict[ConId, int]) -> OrderChanged:
    """What executions alone prove of an order that the broker lists no more."""
    combos = min(executed.get(leg.contract.con_id, 0) // leg.ratio for leg in intent.legs)
    return OrderChanged(
        order_ref=intent.intent,
        order_id=None,
        perm_id=None,
        state=OrderState.FILLED if combos >= intent.quantity else OrderState.CANCELLED,
        filled=float(combos),
        remaining=float(intent.quantity - combos),
        average_price=None,
        limit_price=None,
        text="known by its executions alone",
    )

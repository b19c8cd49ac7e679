"""The desk: every open intent, from the verdict that asked for it to its settlement.

It turns verdicts into intents, sends them once, walks their price, and follows what the broker says. It
writes nothing itself: what changed is collected by `take_changes` and committed by the caller, and an
intent is sent only by `send`, which the caller calls after that commit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from broker.events import OrderChanged, OrderState
from broker.protocol import Broker, ComboLeg
from options import BrokerError, ConId, GateRefusal, Leg
from rules.breaker import Mode
from trading.blackout import Blackout, blackout_at
from trading.breaker import PRIORITY
from trading.combo import ComboQuote, closing_legs
from trading.gates import closing_checks, refuse_unless_passed, side_checks
from trading.intent import AT_BROKER, Intent, IntentKind, IntentState, identity
from trading.price_walk import Urgency, Walk, WalkMove, next_due, next_move, start_walk, terms_for
from trading.verdict import Verdict

log = structlog.get_logger()

Quotes = Callable[[Sequence[ComboLeg]], ComboQuote | None]
"""The live market of a combo, None when it cannot be priced."""

RETRY_AFTER = timedelta(seconds=60)
"""How long a position rests after an order came to nothing, unless a higher rule wants it."""

SETTLE_WITHIN = timedelta(seconds=60)
"""How long a filled order waits for its executions and holdings before the broker's holdings simply count."""

PROVED_WITHIN = timedelta(seconds=5)
"""After this long without them the broker's full picture has to tell."""

OVERREACH_LASTS = timedelta(seconds=2)
"""Holdings and order reports of one fill arrive apart: an order beyond its holdings is no news at once."""

NOT_BY_US = "the broker ended it without a word: expired, or cancelled elsewhere"

STATES = {
    OrderState.SENT: IntentState.SENT,
    OrderState.WORKING: IntentState.WORKING,
    OrderState.CANCELLING: IntentState.CANCELLING,
    OrderState.FILLED: IntentState.FILLED,
    OrderState.CANCELLED: IntentState.CANCELLED,
    OrderState.REJECTED: IntentState.REJECTED,
}


class TooSmallToReduce(GateRefusal):
    """There is no part of the position that could be closed: asking again would not help."""


class Desk:
    """All open intents of one account. Nothing is sent during `blackouts`, but for cancellations."""

    def __init__(self, broker: Broker, blackouts: Sequence[Blackout] = ()) -> None:
        self._broker = broker
        self._blackouts = blackouts
        self._intents: dict[str, Intent] = {}
        self._walks: dict[str, Walk] = {}
        self._rests: dict[str, tuple[int, datetime]] = {}
        self._changes: list[Intent] = []
        self._unasked: dict[str, str] = {}
        self._filled_since: dict[str, datetime] = {}
        self._beyond_since: dict[str, datetime] = {}

    def blackout(self, now: datetime) -> str:
        """The blackout that covers this moment, in words; empty when orders may be sent."""
        return blackout_at(self._blackouts, now)

    @property
    def open_intents(self) -> tuple[Intent, ...]:
        return tuple(self._intents.values())

    def of_position(self, position: str) -> Intent | None:
        """The position's open intent: there is never more than one."""
        return next((i for i in self._intents.values() if i.position == position), None)

    def take_changes(self) -> list[Intent]:
        """Every intent state since the last call, in order, for the lake."""
        changes, self._changes = self._changes, []
        return changes

    def next_due(self) -> datetime | None:
        """When `step` has something to do at the latest."""
        dues = [
            next_due(self._walks[key], terms_for(intent.urgency))
            for key, intent in self._intents.items()
            if key in self._walks and intent.state in AT_BROKER - {IntentState.CANCELLING}
        ]
        return min(dues, default=None)

    # --- from a verdict to an intent -------------------------------------------------------------

    def wants(self, verdict: Verdict, now: datetime) -> bool:
        """Whether the verdict calls for a new intent now.

        It joins an open intent of the same or a higher rule; a higher rule pre-empts: the working order
        is cancelled first, and once that is confirmed the rule gets its own intent on fresh facts.
        """
        intent = self.of_position(verdict.position)
        if intent is not None:
            if verdict.priority < intent.priority:
                self._pre_empt(intent, verdict)
            return False
        rest = self._rests.get(verdict.position)
        return rest is None or verdict.priority < rest[0] or now >= rest[1]

    def _pre_empt(self, intent: Intent, verdict: Verdict) -> None:
        if intent.state in (IntentState.SENT, IntentState.WORKING):
            self._ask_cancel(intent, f"pre-empted by {verdict.rule}")

    def plan(
        self,
        verdict: Verdict,
        decision: str,
        legs: Sequence[Leg],
        lots: int,
        held: Mapping[ConId, int],
        quotes: Quotes,
        now: datetime,
        marks: tuple[tuple[str, str], ...] = (),
    ) -> Intent:
        """The intent that carries a close, reduce or roll out; not yet open (see `open`).

        Raises GateRefusal when it may not become an order: a leg without a live two-sided quote (but for
        an immediate market close), a single lot that cannot be halved, a size or side that does not fit.
        """
        quantity = _lots_to_trade(verdict, lots)
        combo = closing_legs(legs, lots)
        at_market = verdict.params.get("price") == "market"
        quote = quotes(combo)
        if quote is None and not (at_market and verdict.urgency is Urgency.IMMEDIATE):
            raise GateRefusal("quotes: not every leg has a live two-sided quote (needed to price an order)")
        walk = None if at_market or quote is None else start_walk(quote, terms_for(verdict.urgency), now)
        whole = quantity == lots
        roll_dte = int(verdict.params.get("dte", 45)) if verdict.action == "roll" else None
        intent = Intent(
            intent=identity("opt-", decision, "close"),
            decision=decision,
            position=verdict.position,
            rule=verdict.rule,
            priority=verdict.priority,
            kind=IntentKind.CLOSE if whole else IntentKind.REDUCE,
            state=IntentState.INTENDED,
            legs=combo,
            quantity=quantity,
            limit_price=walk.limit if walk else None,
            urgency=verdict.urgency,
            created=now,
            held=tuple(held.get(leg.contract.con_id, 0) for leg in combo),
            roll_dte=roll_dte,
            marks=marks,
        )
        refuse_unless_passed(closing_checks(intent, held, now, self.blackout(now)))
        if walk is not None:
            self._walks[intent.intent] = walk
        return intent

    def plan_opening(
        self,
        closed: Intent,
        position: str,
        combo: Sequence[ComboLeg],
        held: Mapping[ConId, int],
        quote: ComboQuote,
        now: datetime,
    ) -> Intent:
        """The second half of a roll, not yet open: the same structure at another expiry, which will be
        held as `position`."""
        walk = start_walk(quote, terms_for(Urgency.NORMAL), now)
        intent = replace(
            closed,
            intent=identity("opt-", closed.decision, "open"),
            position=position,
            kind=IntentKind.OPEN,
            state=IntentState.INTENDED,
            legs=tuple(combo),
            quantity=int(closed.filled),
            limit_price=walk.limit,
            urgency=Urgency.NORMAL,
            created=now,
            held=tuple(held.get(leg.contract.con_id, 0) for leg in combo),
            reason="",
            filled=0.0,
            roll_dte=None,
            rolled_from=closed.position,
            marks=(),
        )
        self._walks[intent.intent] = walk
        return intent

    def give_up_opening(self, closed: Intent, reason: str) -> None:
        """Take down that a roll ends closed, so that no restart opens it after all."""
        self._changes.append(
            replace(
                closed,
                intent=identity("opt-", closed.decision, "open"),
                kind=IntentKind.OPEN,
                state=IntentState.REFUSED,
                legs=(),
                limit_price=None,
                held=(),
                reason=reason,
                filled=0.0,
                roll_dte=None,
                rolled_from=closed.position,
                marks=(),
            )
        )

    def open(self, intent: Intent) -> None:
        """Take the intent in; it is recorded with the next `take_changes` and not sent yet."""
        self._move(intent)

    # --- from an intent to the broker ------------------------------------------------------------

    def send(self, intent: Intent, now: datetime) -> Intent | None:
        """Send an intended order, once; the caller has made it durable before. Returns the intent when it
        ended because the broker's link could not take it."""
        if self._intents.get(intent.intent) != intent or intent.state is not IntentState.INTENDED:
            return None
        try:
            self._broker.place(intent.request())
        except BrokerError as error:
            return self._end(intent, IntentState.ABANDONED, f"not sent: {error}", now)
        self._move(intent.moved(IntentState.SENT))
        return None

    def refuse(self, intent: Intent, reason: str, now: datetime) -> Intent:
        """A gate refused an intent that was already recorded."""
        return self._end(intent, IntentState.REFUSED, reason, now)

    def step(self, quotes: Quotes, now: datetime) -> None:
        """Walk the price of every working order; give up where patience has run out. Needs the link. In a
        blackout limits stay where they are: a change might be lost, and the order would be elsewhere."""
        for ref, reason in list(self._unasked.items()):
            if (asked := self._intents.get(ref)) is not None:
                self._ask_cancel(asked, reason)
        if self.blackout(now):
            return
        for intent in self.open_intents:
            walk = self._walks.get(intent.intent)
            if walk is None or intent.state not in (IntentState.SENT, IntentState.WORKING):
                continue
            move, moved = next_move(walk, quotes(intent.legs), terms_for(intent.urgency), now)
            if move is WalkMove.STEP:
                if self._reprice(intent.intent, moved.limit):
                    self._walks[intent.intent] = moved
                    self._move(
                        replace(intent, limit_price=moved.limit, reason=f"stepped to {moved.limit:.2f}")
                    )
            elif move is WalkMove.GIVE_UP:
                self._ask_cancel(intent, f"not filled within {terms_for(intent.urgency).patience_s:.0f} s")

    def _reprice(self, order_ref: str, limit_price: float) -> bool:
        """Whether the new limit went out; a link that ended within this cycle leaves the old one."""
        try:
            return self._broker.reprice(order_ref, limit_price)
        except BrokerError:
            return False

    def cancel_all(self, reason: str, kind: IntentKind | None = None, priority: int | None = None) -> None:
        """Ask for the cancellation of every working order (of that kind, of rules of that priority)."""
        for intent in self.open_intents:
            meant = kind in (None, intent.kind) and priority in (None, intent.priority)
            if meant and intent.state in (IntentState.SENT, IntentState.WORKING):
                self._ask_cancel(intent, reason)

    def withdraw_beyond(self, held: Mapping[ConId, int], now: datetime) -> None:
        """Cancel the closing orders whose holdings are gone: filled now, they would open the opposite."""
        beyond = {
            intent.intent: intent
            for intent in self.open_intents
            if intent.kind is not IntentKind.OPEN
            and intent.state in (IntentState.SENT, IntentState.WORKING)
            and not all(check.passed for check in side_checks(intent, held))
        }
        self._beyond_since = {key: self._beyond_since.get(key, now) for key in beyond}
        for key, intent in beyond.items():
            if now - self._beyond_since[key] >= OVERREACH_LASTS:
                self._ask_cancel(intent, "somebody else closed what it was to close")

    def _ask_cancel(self, intent: Intent, reason: str) -> None:
        """Ask for the cancellation now, or with the next `step` where the link is down."""
        self._unasked.pop(intent.intent, None)
        try:
            asked = self._broker.cancel(intent.intent)
        except BrokerError:
            self._unasked[intent.intent] = reason
            return
        if asked and intent.state is not IntentState.CANCELLING:
            self._move(intent.moved(IntentState.CANCELLING, reason))

    # --- from the broker to settlement -----------------------------------------------------------

    def absorb(self, event: OrderChanged, now: datetime) -> Intent | None:
        """Follow the broker's word on an order; returns the intent when it ended without settling."""
        intent = self._intents.get(event.order_ref)
        if intent is None:
            return None
        state = STATES[event.state]
        filled = max(intent.filled, event.filled)
        if state in (IntentState.CANCELLED, IntentState.REJECTED):
            ours = intent.reason if intent.state is IntentState.CANCELLING else ""
            reason = "; ".join(text for text in (ours, event.text) if text) or NOT_BY_US
            if filled:
                # Lots that did fill must settle like any fill; only the rest came to nothing.
                reason = f"{filled:g} of {intent.quantity} filled, rest {state.value}: {reason}"
                self._move(replace(intent, state=IntentState.FILLED, filled=filled, reason=reason))
                return None
            return self._end(replace(intent, filled=filled), state, reason, now)
        if intent.state is IntentState.CANCELLING and state in (IntentState.SENT, IntentState.WORKING):
            # The broker knows of no cancellation: it was lost or refused, so `step` asks again.
            self._unasked[intent.intent] = intent.reason
            state = IntentState.CANCELLING
        if intent.state is IntentState.FILLED or (state is intent.state and filled == intent.filled):
            return None
        reason = intent.reason if state is IntentState.CANCELLING else event.text
        self._move(replace(intent, state=state, filled=filled, reason=reason))
        return None

    def settle(
        self, executed: Mapping[str, Mapping[ConId, int]], held: Mapping[ConId, int], now: datetime
    ) -> list[tuple[Intent, bool]]:
        """End every filled intent whose executions and holdings have both arrived.

        Returns them, each with whether both agree; False where they did not within `SETTLE_WITHIN` (an
        execution was lost, or somebody else trades the same contracts): no position waits for ever.
        `executed` is signed contracts per order_ref and con_id, `held` what the broker reports.
        """
        settled = []
        for intent in self.open_intents:
            if intent.state is not IntentState.FILLED:
                continue
            done = executed.get(intent.intent, {})
            combos = int(intent.filled)
            legs_done = all(done.get(leg.contract.con_id, 0) == leg.ratio * combos for leg in intent.legs)
            holdings_done = all(
                held.get(leg.contract.con_id, 0) == before + leg.ratio * combos
                for leg, before in zip(intent.legs, intent.held, strict=True)
            )
            agrees = legs_done and holdings_done
            since = self._filled_since.setdefault(intent.intent, now)
            if agrees or now - since >= SETTLE_WITHIN:
                whole = combos == intent.quantity
                price = "the market" if intent.limit_price is None else intent.limit_price
                reason = f"filled {combos} at {price}" if whole else intent.reason
                if not agrees:
                    reason += "; executions and holdings do not agree with it: the broker's holdings count"
                settled.append((self._end(intent, IntentState.SETTLED, reason, now), agrees))
        return settled

    def waits_for_proof(self, now: datetime) -> bool:
        """Whether a filled order has waited so long that its executions or holdings may have got lost."""
        return any(now - since >= PROVED_WITHIN for since in self._filled_since.values())

    # --- after a restart -------------------------------------------------------------------------

    def restore(self, intents: Sequence[Intent], now: datetime) -> None:
        """Take up the intents that the lake says are open. A working limit is walked on from where it
        stands, with new patience; its worst price is unknown, so it goes no further than the limit."""
        for intent in intents:
            self._intents[intent.intent] = intent
            if intent.limit_price is not None:
                self._walks[intent.intent] = Walk(now, now, intent.limit_price, intent.limit_price)

    def abandon(self, intent: Intent, reason: str, now: datetime) -> Intent:
        """The broker never saw it (proved by its books): the rules decide anew on fresh facts."""
        return self._end(intent, IntentState.ABANDONED, reason, now, rests=False)

    def _move(self, intent: Intent) -> None:
        self._intents[intent.intent] = intent
        self._changes.append(intent)
        log.info(
            f"intent.{intent.state.value}",
            intent=intent.intent,
            decision=intent.decision,
            position=intent.position,
            rule=intent.rule,
            limit=intent.limit_price,
            filled=intent.filled,
            reason=intent.reason,
        )

    def _end(
        self, intent: Intent, state: IntentState, reason: str, now: datetime, rests: bool = True
    ) -> Intent:
        ended = intent.moved(state, reason)
        self._move(ended)
        del self._intents[intent.intent]
        self._walks.pop(intent.intent, None)
        self._unasked.pop(intent.intent, None)
        self._filled_since.pop(intent.intent, None)
        pre_empted = intent.state is IntentState.CANCELLING and intent.reason.startswith("pre-empted")
        # A human has ended a flattening: the rules protect at once.
        let_go = intent.priority == PRIORITY and reason.startswith((Mode.HALTED, Mode.FROZEN))
        if rests and state is not IntentState.SETTLED and not pre_empted and not let_go:
            self._rests[intent.position] = (intent.priority, now + RETRY_AFTER)
        return ended


def _lots_to_trade(verdict: Verdict, lots: int) -> int:
    if verdict.action != "reduce":
        return lots
    amount = verdict.params.get("count", "half")
    wanted = lots // 2 if amount == "half" else min(int(amount), lots)
    if wanted == 0:
        raise TooSmallToReduce("size: a single lot cannot be halved (a structure is never split)")
    return wanted

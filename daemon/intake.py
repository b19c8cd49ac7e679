"""What the broker said, taken into our books and recorded; nothing is decided here."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from broker.events import (
    ALARM,
    AccountChanged,
    BrokerEvent,
    BrokerNotice,
    Commissioned,
    DailyValues,
    Executed,
    HoldingChanged,
    LinkChanged,
    LinkState,
    OrderChanged,
    QuoteChanged,
)
from daemon.account_state import AccountState
from daemon.console import Console
from daemon.metrics import Metrics
from daemon.records import Alerts, Records
from daemon.tripwires import Closing
from options import ConId
from sync import tables
from sync.ended_positions import EndedPositions
from sync.executions import Fill
from sync.position import REGROUPED, PositionEvent, PositionEventKind
from sync.tables import Alert, Severity
from trading.intent import AT_BROKER, Intent, IntentKind, IntentState

log = structlog.get_logger()

QUIET_CODES = frozenset({202, 300, 2100, 2104, 2106, 2107, 2108, 2119, 2158})
NO_MORE_LINES = 101
REPORTS_WITHIN = timedelta(seconds=5)
"""How long a position waits for all that belongs to a fill; after that its realized money stays unknown."""


class Intake:
    """Applies broker events to the account's state."""

    def __init__(
        self, state: AccountState, records: Records, alerts: Alerts, console: Console, metrics: Metrics
    ) -> None:
        self._metrics = metrics
        self._state = state
        self._records = records
        self._alerts = alerts
        self._console = console
        self._incomplete: dict[str, datetime] = {}
        self._ended = EndedPositions()
        self._has_reports = False

    def apply(self, event: BrokerEvent, now: datetime) -> None:
        state = self._state
        match event:
            case QuoteChanged():
                state.board.apply(event, now)
                state.worker.heard(event)
            case HoldingChanged():
                self._holding(event)
            case OrderChanged():
                self._order(event, now)
            case Executed():
                self.executed(event, now)
            case Commissioned():
                self._fill(state.executions.commission(event))
            case AccountChanged():
                state.account.apply(event, now)
            case LinkChanged():
                self._link(event, now)
            case BrokerNotice():
                self._notice(event, now)
            case DailyValues():
                self._daily(event, now)

    def _holding(self, event: HoldingChanged) -> None:
        state = self._state
        state.contracts.setdefault(event.contract.con_id, event.contract)
        state.positions.note(event)
        self._records.add("positions", tables.holding_row(event, state.positions.position_of))

    def _daily(self, event: DailyValues, now: datetime) -> None:
        symbol = self._state.contracts[event.con_id].symbol
        if event.refusal:
            log.warning("history.refused", symbol=symbol, kind=event.kind.value, reason=event.refusal)
        for row in self._state.almanac.answer(symbol, event, now):
            self._records.add("underlying_days", row)

    def _order(self, event: OrderChanged, now: datetime) -> None:
        self._records.add_frame("orders", tables.orders([event]))
        ended = self._state.desk.absorb(event, now)
        if ended is not None:
            self.order_came_to_nothing(ended, now)

    def order_came_to_nothing(self, intent: Intent, now: datetime) -> None:
        """An intent ended without a fill: its rule may fire again, and somebody should know."""
        state = self._state
        state.rule_state = state.rule_state.undo(intent.marks)
        if intent.kind is IntentKind.OPEN:
            state.positions.expect_no_more(intent.position)
        rejected = intent.state is IntentState.REJECTED
        if rejected:
            state.rejections.append(now)
        alert = Alert(
            Severity.CRITICAL if rejected else Severity.WARNING,
            "order_" + intent.state.value,
            intent.position,
            f"{intent.kind.value} order {intent.intent} of {intent.rule}: {intent.reason}",
        )
        self._alerts.raise_(alert, now)
        self._console.say(f"order {intent.intent} {intent.state.value}: {intent.reason}", now)

    def executed(self, event: Executed, now: datetime) -> None:
        """Take an execution in, once however often it is reported."""
        fill = self._state.executions.execute(event)
        self._fill(fill)
        if fill is None or event.is_combo:
            return
        self._metrics.executions.inc()
        contract = self._state.contracts.get(event.con_id)
        what = contract.label if contract else f"contract {event.con_id}"
        self._console.say(f"fill  {event.quantity:+g} {what} at {event.price:.2f}", now)

    def _fill(self, fill: Fill | None) -> None:
        if fill is None:
            return
        intent = next(
            (i for i in self._state.desk.open_intents if i.intent == fill.execution.order_ref), None
        )
        log.info(
            "fill.taken_in",
            exec_id=fill.execution.exec_id,
            order_ref=fill.execution.order_ref,
            decision=intent.decision if intent else None,
            quantity=fill.execution.quantity,
            price=fill.execution.price,
            commission_usd=fill.commission_usd,
        )
        self._records.add("fills", fill.row())
        self._has_reports = True

    def _link(self, event: LinkChanged, now: datetime) -> None:
        state = self._state
        log.info("link." + event.state.value, reason=event.reason)
        was_up = state.link in (LinkState.UP, LinkState.LOST)
        if state.link is not event.state:
            state.link, state.link_since = event.state, now
            self._metrics.link_changes.inc()
            self._console.say(f"connection {event.state.value}: {event.reason}", now)
        if event.state is not LinkState.UP:
            state.has_picture = False
            state.board.forget()
            state.account.forget()
            state.positions.forget_picture()
            state.almanac.forget_questions()
            if was_up and not event.planned:
                self._alerts.raise_(Alert(Severity.CRITICAL, "connection", "broker", event.reason), now)
        else:
            self._alerts.clear("connection", "broker")
        if event.state is LinkState.DOWN or event.resubscribe:
            state.lines.forget()
            state.worker.forget()

    def _notice(self, event: BrokerNotice, now: datetime) -> None:
        if event.code in QUIET_CODES:
            return
        log.warning("broker.notice", code=event.code, text=event.text, con_id=event.con_id)
        if event.code == ALARM:
            self._alerts.raise_(Alert(Severity.CRITICAL, "lost_message", "broker", event.text), now)
            return
        subject = event.order_ref or str(event.con_id or "broker")
        self._alerts.raise_(Alert(Severity.WARNING, f"broker_{event.code}", subject, event.text), now)
        if event.code == NO_MORE_LINES:
            self._state.lines.refused(event.con_id, now)
        elif event.con_id is not None:
            self._state.worker.told(event.con_id, event.text)
            if event.line_refused and event.con_id in self._state.lines.streams:
                self._close_line(event.con_id, now)

    def _close_line(self, con_id: ConId, now: datetime) -> None:
        """Of a line that is not served nothing is taken in; it is asked for again after a while."""
        state = self._state
        state.lines.not_served(con_id, now)
        state.board.release([con_id])
        state.broker.unsubscribe(con_id)

    # --- what follows from holdings and fills ----------------------------------------------------

    def settle(self, now: datetime) -> list[PositionEvent]:
        """Bring positions and intents in step with holdings and executions."""
        state = self._state
        self._restate(now)
        open_intents = state.desk.open_intents
        ours = {
            i.position: PositionEventKind.ROLLED if i.roll_dte else PositionEventKind.CLOSED
            for i in open_intents
            if i.kind is not IntentKind.OPEN
        }
        busy = {leg.contract.con_id for i in open_intents if i.state in AT_BROKER for leg in i.legs}
        if self._awaits_reports(open_intents, now):
            return []
        unproved = {i.position for i in open_intents if i.intent in self._incomplete}
        events = state.positions.settle(
            now, ours, busy, lambda position: None if position in unproved else state.cash_usd(position)
        )
        for event in events:
            self.position_event(event, now)
        if state.has_picture and any(i.state is IntentState.FILLED for i in open_intents):
            for intent, agrees in state.desk.settle(state.executions.executed(), state.positions.held, now):
                self._settled(intent, agrees, now)
        return events

    def _awaits_reports(self, open_intents: Sequence[Intent], now: datetime) -> bool:
        """Whether holdings of a closing order and its executions and commissions have not all arrived:
        a position that ended between them would end with money that is not known yet."""
        incomplete = {
            intent.intent
            for intent in open_intents
            if intent.kind is not IntentKind.OPEN and not self._is_reported(intent)
        }
        self._incomplete = {ref: self._incomplete.get(ref, now) for ref in incomplete}
        return any(now - since < REPORTS_WITHIN for since in self._incomplete.values())

    def _is_reported(self, intent: Intent) -> bool:
        state = self._state
        fills = state.executions.legs_of(intent.intent)
        done: dict[ConId, int] = {}
        for fill in fills:
            con_id = fill.execution.con_id
            done[con_id] = done.get(con_id, 0) + round(fill.execution.quantity)
        held = state.positions.held
        moved = all(
            held.get(leg.contract.con_id, 0) - before == done.get(leg.contract.con_id, 0)
            for leg, before in zip(intent.legs, intent.held, strict=True)
        )
        return moved and all(fill.commission_usd is not None for fill in fills)

    def _restate(self, now: datetime) -> None:
        """What ended and was reported on since: a commission that came late, or a correction."""
        if not self._has_reports:
            return
        self._has_reports, state = False, self._state
        for restated in self._ended.restate(self._executed, state.cash_usd):
            event, before = restated.event, Closing(restated.time, restated.ended.realized_pnl_usd)
            self._records.add("strategies", event.row())
            log.info("position.restated", position=event.position.id, reason=event.reason)
            if before in state.closings:
                at = state.closings.index(before)
                state.closings[at] = replace(before, realized_usd=event.realized_pnl_usd)
            text = f"realized {event.realized_pnl_usd:+,.2f} USD: {event.reason}"
            self._console.say(f"restated {event.position.id}: {text}", now)

    def _executed(self, position: str) -> Counter[ConId]:
        """Signed contracts that the closing orders of a position executed."""
        done: Counter[ConId] = Counter()
        for order_ref in self._state.closing_orders.get(position, ()):
            for fill in self._state.executions.legs_of(order_ref):
                done[fill.execution.con_id] += round(fill.execution.quantity)
        return done

    def _settled(self, intent: Intent, agrees: bool, now: datetime) -> None:
        state = self._state
        self._console.say(f"order {intent.intent} settled: {intent.reason}", now)
        if not agrees:
            text = f"order {intent.intent} of {intent.rule}: {intent.reason}"
            self._alerts.raise_(Alert(Severity.CRITICAL, "unproved_fill", intent.position, text), now)
        if intent.kind is IntentKind.OPEN:
            state.positions.expect_no_more(intent.position)
        elif intent.roll_dte is not None and agrees:
            state.roller.begin(intent, now)
        elif intent.roll_dte is not None:
            state.desk.give_up_opening(intent, "its close could not be proved")

    def position_event(self, event: PositionEvent, now: datetime) -> None:
        """Record what happened to a position, and say it."""
        state, position = self._state, event.position
        self._records.add("strategies", event.row())
        log.info("position." + event.kind.value, position=position.id, reason=event.reason)
        if event.kind in (PositionEventKind.CLOSED, PositionEventKind.ROLLED):
            state.rule_state = state.rule_state.drop(position.id)
            if event.reason != REGROUPED:
                state.closings.append(Closing(now, event.realized_pnl_usd))
            self._ended.add(event, now)
        if event.kind is PositionEventKind.NOTED:
            return
        credit = position.payoff.net_credit_usd
        realized = "" if event.realized_pnl_usd is None else f", realized {event.realized_pnl_usd:+,.2f} USD"
        loss = position.payoff.max_loss_usd
        risk = "unlimited" if loss is None or math.isinf(loss) else f"{loss:,.2f} USD"
        self._console.say(
            f"{event.kind.value} {position.id}: {position.lots} x {position.structure.value}, "
            f"net credit {credit:,.2f} USD, maximum loss {risk}{realized}",
            now,
        )
        for alert in tables.alerts_of([event]):
            self._alerts.raise_(alert, now)

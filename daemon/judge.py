"""From facts to decisions: the rules' verdicts become intents, vetoes or shadows, each with its reason."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import structlog

import rules
from daemon.account_state import AccountState
from daemon.console import Console
from daemon.kept_beats import KeptBeats
from daemon.loop_turns import Breather
from daemon.metrics import Metrics
from daemon.records import Alerts, Records
from daemon.traces import Traces
from options import ConId, GateRefusal
from options.hours import is_open
from rules import Rulebook, RuleState
from rules.breaker import Mode
from rules.carry import remembering
from rules.state import BOOK, Marks
from sync.facts import PositionColumns, book_facts, display_facts, facts_frame, position_columns
from sync.naked_short import uncovered
from sync.position import Position
from sync.quote_board import QuoteState
from sync.reconciliation import legs_of
from sync.tables import Alert, Severity
from trading.breaker import BREAKER, closing_decision, closing_verdict, is_flattening
from trading.cover import COVER, covering_decision, covering_verdicts, is_covering
from trading.decision import Decision, Moment, decision_id, recorded
from trading.desk import TooSmallToReduce
from trading.intent import Intent, IntentKind
from trading.price_walk import Urgency
from trading.verdict import CONTRIBUTORS, Verdict, blocks_entries, verdicts_of

log = structlog.get_logger()

VIX = "VIX"
CANNOT_CLOSE = "breaker_cannot_close"
UNCONFIRMED = (
    "confirmation: the prices are modelled; lines are asked for the legs, and it is decided on live quotes"
)
CONFIRMED_WITHIN = timedelta(seconds=60)
"""How long a rule's decision may wait for live quotes before somebody should look at them."""
CANNOT_COVER = "cannot_cover"
LEFT_ALONE = "somebody sold it uncovered: it is left to him"
_CANNOT = {
    BREAKER: (CANNOT_CLOSE, "the breaker cannot close it"),
    COVER: (CANNOT_COVER, "it has lost what covered it and cannot be bought back"),
}
_WHO = {BREAKER: "the breaker", COVER: "covering"}


@dataclass(frozen=True, slots=True)
class Picture:
    """What was known on one beat: `facts` as the rules saw them, `display` for the eye, `market` of the
    book."""

    time: datetime
    facts: pl.DataFrame
    display: pl.DataFrame
    market: Mapping[str, float | str | None]


class Judge:
    """Applies the rules in force to what is known, once per beat."""

    def __init__(
        self,
        state: AccountState,
        records: Records,
        alerts: Alerts,
        console: Console,
        metrics: Metrics,
        kept: KeptBeats,
        traces: Traces,
    ) -> None:
        self._state = state
        self._records = records
        self._alerts = alerts
        self._console = console
        self._metrics = metrics
        self.kept = kept
        self._traces = traces
        self._columns: PositionColumns | None = None
        self._columns_revision = -1
        self._said: dict[tuple[str, str], tuple[str, str]] = {}
        self._unknown_since: dict[tuple[str, str], datetime] = {}
        self._left: dict[ConId, int] = {}
        self._to_cover: dict[ConId, int] = {}
        self._waiting: set[str] = set()
        self._waiting_since: dict[str, datetime] = {}
        self.entries_blocked = ""
        self.decided_on: set[str] = set()
        """The positions on which the last beat recorded something."""

    def look(self, now: datetime) -> Picture:
        """The facts of this moment; heavy enough for a thread, touches no shared state but reads it."""
        state = self._state
        if self._columns is None or self._columns_revision != state.positions.revision:
            self._columns = position_columns(state.positions.positions)
            self._columns_revision = state.positions.revision
            state.marks.know(leg.contract for held in state.positions.positions for leg in held.legs)
        state.marks.dividends = state.almanac.calendar.dividends
        vix = state.board.underlying_price(VIX, now)
        figures = state.account.figures(now)
        page = state.almanac.page(self._columns.underlyings, now)
        facts = facts_frame(self._columns, state.marks, figures, vix, now, page)
        display = display_facts(self._columns, state.marks, now, page, state.account.age_s(now))
        return Picture(now, facts, display, book_facts(facts, figures, vix, page))

    async def judge(self, book: Rulebook, now: datetime) -> tuple[Picture, list[Intent]]:
        """Look, let the rules decide, and plan what follows; the intents are open but not sent."""
        state = self._state
        before = state.rule_state

        def decide() -> tuple[Picture, Moment, RuleState, list[dict[str, Any]], list[Verdict]]:
            picture = self.look(now)
            moment = Moment(now, book, before, picture.facts, picture.market)
            after, decided, stepped = moment.step_looked_at()
            self.kept.add(moment)
            self._traces.look(moment, stepped)
            says = pl.col("rule").is_not_null() | (pl.col("unknown").list.len() > 0)
            rows = decided.filter(says).to_dicts()
            verdicts = verdicts_of(rows, picture.facts.select(CONTRIBUTORS.names()))
            return picture, moment, remembering(after, before), rows, verdicts

        picture, moment, state.rule_state, rows, verdicts = await asyncio.to_thread(decide)
        for event in state.positions.capture_entry(picture.facts, _number(picture.market.get("vix"))):
            self._records.add("strategies", event.row())
        self._watch_unknown(book, {row["position"]: row for row in rows}, now)
        self.entries_blocked = blocks_entries(rows)
        self.decided_on = set()
        self._waiting = set()
        intents = await self._flatten(moment)
        intents += await self._cover(moment)
        breather = Breather()
        for verdict in verdicts:
            intent = self._act(verdict, moment)
            if intent is not None:
                intents.append(intent)
            await breather.take()
        self._watch_waiting(now)
        return picture, intents

    async def _flatten(self, moment: Moment) -> list[Intent]:
        """While the breaker flattens: a closing for every position that has none at work."""
        state = self._state
        if not self._flattens():
            self._alerts.clear_except(CANNOT_CLOSE, set())
            return []
        intents = []
        for position in state.positions.positions:
            at_work = state.desk.of_position(position.id)
            if at_work is not None and at_work.kind is IntentKind.CLOSE and at_work.roll_dte is None:
                continue
            intent = self._act(closing_verdict(position.id), moment)
            if intent is not None:
                intents.append(intent)
                # A millisecond each: a large book must not keep the rest of the daemon, nor a halt, waiting.
                await asyncio.sleep(0)
            if not self._flattens():
                break
        return intents

    async def _cover(self, moment: Moment) -> list[Intent]:
        """Buy back the shorts that have lost what covered them; take down once that others are left alone."""
        state = self._state
        if state.left_uncovered != self._left:
            self._left = dict(state.left_uncovered)
            for verdict in covering_verdicts(self._left, self._of_underlyings(self._left)):
                self._record(verdict, "veto", LEFT_ALONE, moment)
        if not state.to_cover or self._flattens():
            self._alerts.clear_except(CANNOT_COVER, set())
            return []
        symbols = {state.contracts[con_id].symbol for con_id in state.to_cover}
        naked = uncovered(legs_of(e for e in state.positions.holdings if e.contract.symbol in symbols))
        self._to_cover = {
            con_id: min(count, naked[con_id]) for con_id, count in state.to_cover.items() if con_id in naked
        }
        intents = []
        for verdict in covering_verdicts(self._to_cover, self._of_underlyings(self._to_cover)):
            at_work = state.desk.of_position(verdict.position)
            closes = at_work is not None and at_work.kind is IntentKind.CLOSE and at_work.roll_dte is None
            if at_work is not None and closes and at_work.urgency is Urgency.IMMEDIATE:
                continue
            intent = self._act(verdict, moment)
            if intent is not None:
                intents.append(intent)
                await asyncio.sleep(0)
        return intents

    def _of_underlyings(self, con_ids: Iterable[ConId]) -> list[Position]:
        """The positions of these contracts' underlyings."""
        symbols = {self._state.contracts[con_id].symbol for con_id in con_ids}
        return [each for each in self._state.positions.positions if each.underlying in symbols]

    def _flattens(self) -> bool:
        return self._state.breaker.mode is Mode.FLATTENING

    def _act(self, verdict: Verdict, moment: Moment) -> Intent | None:
        state, now = self._state, moment.time
        position = state.positions.get(verdict.position)
        if position is None:
            return None
        if verdict.is_shadow:
            self._record(verdict, "shadow", _why_shadow(verdict, moment), moment)
            return None
        judged = BOOK if verdict.is_book else verdict.position
        marks = () if _by(verdict) else state.rule_state.marks_since(moment.state, judged)
        if not self._wants(verdict, position, moment):
            state.rule_state = state.rule_state.undo(marks)
            return None
        try:
            if not state.breaker.allows_closing:
                raise GateRefusal(f"frozen: {state.breaker.reason}")  # noqa: TRY301
            if not self._is_confirmed(verdict, position, moment):
                raise GateRefusal(UNCONFIRMED)  # noqa: TRY301
            intent = self._plan(verdict, position, marks, now)
        except GateRefusal as refusal:
            self._record(verdict, "veto", str(refusal), moment)
            # A latch stays where asking again cannot help, so that the rules below get their turn.
            if not isinstance(refusal, TooSmallToReduce):
                state.rule_state = state.rule_state.undo(marks)
            return None
        self._record(verdict, "decision", "", moment)
        state.desk.open(intent)
        state.closing_orders.setdefault(position.id, set()).add(intent.intent)
        return intent

    def _wants(self, verdict: Verdict, position: Position, moment: Moment) -> bool:
        """Whether it calls for an order now. What is at work for a lower rule is cancelled first, but not for
        what modelled prices say: then there might be no order at all."""
        at_work = self._state.desk.of_position(position.id)
        pre_empts = at_work is not None and verdict.priority < at_work.priority
        if pre_empts and not self._is_confirmed(verdict, position, moment):
            return False
        return self._state.desk.wants(verdict, moment.time)

    def _is_confirmed(self, verdict: Verdict, position: Position, moment: Moment) -> bool:
        """Ask for lines for legs that are not quoted live; False while the prices that the rule looked at are
        only modelled: once they are live, it is decided again."""
        state, seen = self._state, moment.seen(position.id)["quote_state"]
        if seen == QuoteState.LIVE:
            return True
        if not _by(verdict):
            self._waiting.add(position.id)
        con_ids = [leg.contract.con_id for leg in position.legs]
        is_new = state.confirmations.ask(position.id, con_ids, moment.time)
        rule = next((rule for rule in moment.book.rules if rule.id == verdict.rule), None)
        if seen != QuoteState.MODELLED or rule is None or not rules.reads_market(rule):
            return True
        if is_new:
            self._said.pop(_about(verdict), None)
        return False

    def _plan(self, verdict: Verdict, position: Position, marks: Marks, now: datetime) -> Intent:
        state = self._state
        return state.desk.plan(
            verdict,
            decision_id(verdict, now),
            position.legs,
            position.lots,
            state.positions.held,
            lambda legs: state.combo_quote(list(legs), now),
            now,
            marks,
        )

    def _record(self, verdict: Verdict, kind: str, reason: str, moment: Moment) -> None:
        """Record a decision; a veto or shadow only when it says something new about the position."""
        by, about = _by(verdict), _about(verdict)
        # A gate tells the time of day, which is no news.
        told = re.sub(r"\d", "", reason) if by else reason
        if kind == "decision":
            self._said.pop(about, None)
        elif self._said.get(about) == (verdict.rule, told):
            return
        else:
            self._said[about] = (verdict.rule, told)
        if by and kind == "veto" and reason != LEFT_ALONE:
            name, text = _CANNOT[by]
            alert = Alert(Severity.CRITICAL, name, verdict.position, f"{text}: {reason}")
            self._alerts.raise_(alert, moment.time)
        decision = self._decision(verdict, kind, reason, moment)
        self.decided_on.add(verdict.position)
        self._records.add("decisions", decision.row())
        self._metrics.decisions.labels(verdict.rule, kind).inc()
        log.info(f"decision.{kind}", decision=decision.decision, position=verdict.position, rule=verdict.rule,
                 action=verdict.action, reason=reason)  # fmt: skip
        profit = moment.seen(verdict.position).get("profit")
        shown = "" if profit is None else f" (profit {profit:.1%})"
        because = f": {reason}" if reason else ""
        who = _WHO.get(by, f"rule {verdict.priority} {verdict.rule}")
        self._console.say(
            f"{kind}  {verdict.action} {verdict.position} by {who}{shown}{because}", moment.time
        )

    def _decision(self, verdict: Verdict, kind: str, reason: str, moment: Moment) -> Decision:
        state = self._state
        if is_flattening(verdict):
            ident = decision_id(verdict, moment.time)
            return closing_decision(ident, verdict, kind, reason, state.breaker, moment)
        if is_covering(verdict):
            naked = self._left if reason == LEFT_ALONE else self._to_cover
            return covering_decision(verdict, kind, reason, naked, state.positions.positions, moment)
        return recorded(verdict, kind, reason, moment)

    def _watch_unknown(self, book: Rulebook, rows: Mapping[str, Mapping[str, Any]], now: datetime) -> None:
        """Alert once when a rule stays unknown for a position; clear it when it is known again."""
        unknown = {(position, rule) for position, row in rows.items() for rule in row["unknown"]}
        for key in unknown - self._unknown_since.keys():
            self._unknown_since[key] = now
        for key in self._unknown_since.keys() - unknown:
            del self._unknown_since[key]
        lasting: dict[str, list[str]] = {}
        patience_s = {rule.id: rules.patience_s(rule) for rule in book.rules}
        for (position, rule), since in sorted(self._unknown_since.items()):
            if (now - since).total_seconds() >= patience_s[rule]:
                lasting.setdefault(position, []).append(rule)
        for position, names in lasting.items():
            text = f"cannot be judged by {', '.join(names)}: facts are unknown"
            self._alerts.raise_(Alert(Severity.WARNING, "unknown_facts", position or "book", text), now)
        self._alerts.clear_except("unknown_facts", {position or "book" for position in lasting})

    def _watch_waiting(self, now: datetime) -> None:
        """Alert once when a rule's decision has waited long for live quotes while the exchange is open."""
        waiting = sorted(self._waiting) if is_open(now) else ()
        self._waiting_since = {name: self._waiting_since.get(name, now) for name in waiting}
        late = {k: since for k, since in self._waiting_since.items() if now - since >= CONFIRMED_WITHIN}
        for name, since in late.items():
            text = f"a decision waits for live quotes of all legs since {since:%H:%M:%S} UTC"
            self._alerts.raise_(Alert(Severity.CRITICAL, "unconfirmed", name, text), now)
        self._alerts.clear_except("unconfirmed", set(late))


def _by(verdict: Verdict) -> str:
    """Who decided where no rule did: the breaker, or covering; empty otherwise."""
    return BREAKER if is_flattening(verdict) else COVER if is_covering(verdict) else ""


def _about(verdict: Verdict) -> tuple[str, str]:
    """Of which position something is said, and who says it."""
    by = _by(verdict) or (BOOK if verdict.is_book else verdict.position)
    return verdict.position, by


def _why_shadow(verdict: Verdict, moment: Moment) -> str:
    """What keeps a rule from acting: a mute, or its mode."""
    mutes = moment.book.mutes_of(verdict.rule)
    mute = None
    if mutes:  # to look a position up takes longer than all else here
        judged = BOOK if verdict.is_book else verdict.position
        seen = {} if verdict.is_book else moment.seen(verdict.position)
        mute = rules.mute_of(mutes, judged, seen, moment.time)
    return f"{verdict.rule} is {rules.told(mute)}" if mute else f"{verdict.rule} is in shadow mode"


def _number(value: float | str | None) -> float | None:
    return value if isinstance(value, float | int) else None

"""The heart: one cycle after the other, from the broker's events to durable decisions and orders.

In every cycle, in this order: take in what the broker said, bring positions in step with holdings, build the
facts, let the rules decide, commit everything in one transaction, and only then send and walk orders.
"""

import asyncio
import time as stopwatch
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import structlog

from broker.events import LinkState
from daemon.account_state import AccountState
from daemon.almanac_care import AlmanacCare
from daemon.beat_times import BeatTimes
from daemon.breaker_watch import BreakerWatch
from daemon.console import Console
from daemon.intake import Intake
from daemon.judge import Judge, Picture
from daemon.kept_beats import KeptBeats
from daemon.lines import Lines
from daemon.link_watch import LinkWatch
from daemon.mark_watch import MarkWatch
from daemon.metrics import Metrics
from daemon.opening_facts import opening_facts
from daemon.pressure import CommitTimes
from daemon.reconciler import Reconciler
from daemon.records import Alerts, Records
from daemon.reload import Reload
from daemon.rules_file import RulesFile
from daemon.rules_journal import RulesJournal
from daemon.rules_standing import Standing
from daemon.settings import BreakerSettings, ReloadSettings, SyncSettings
from daemon.traces import Traces
from lake import Lake
from lake.failpoint import reach
from options import NEW_YORK, BrokerError, GateRefusal, LakeError
from rules.breaker import Event, Mode
from sync import tables
from sync.tables import Alert, Severity
from trading.breaker import PRIORITY, Entry
from trading.gates import opening_checks, refuse_unless_passed
from trading.intent import Intent, IntentKind
from trading.rolling import ReadyRoll

log = structlog.get_logger()

PICTURES = (
    "snapshots",
    "mark_errors",
    "facts",
    "traces",
)  # not the account: its rows tell what a day began with
RARER_UNDER_PRESSURE = 10
"""Pictures are recorded so much more seldom while the disk does not keep up: room is kept for decisions."""


class Engine:
    """Runs the cycles of one account. Only one task calls `cycle`; the brake may be pulled by another."""

    def __init__(
        self,
        lake: Lake,
        state: AccountState,
        rules: Standing,
        rules_file: RulesFile,
        records: Records,
        settings: SyncSettings,
        console: Console,
        metrics: Metrics,
        recorded: Callable[[], pl.LazyFrame],
        reload: ReloadSettings = ReloadSettings(),  # noqa: B008
        limits: BreakerSettings = BreakerSettings(),  # noqa: B008
        calendar: Path | None = None,
        renew_after_h: float = 0.0,
    ) -> None:
        self.state = state
        self.rules = rules
        self.alerts = Alerts(records, metrics)
        self._lake = lake
        self.records = records
        self._settings = settings
        self._console = console
        self._metrics = metrics
        self.intake = Intake(state, records, self.alerts, console, metrics)
        kept = KeptBeats(reload.replay_beats, reload.replay_mb)
        self.traces = Traces(settings.traces_per_rule)
        self.judge = Judge(state, records, self.alerts, console, metrics, kept, self.traces)
        self.marks = MarkWatch(state, records, metrics.marks)
        journal = RulesJournal(rules, rules_file, records, self.alerts, console)
        self.reload = Reload(journal, state, self.judge, reload, recorded)
        self.breaker = BreakerWatch(state, records, self.alerts, console, metrics, limits)
        self.reconciler = Reconciler(
            state, records, self.alerts, self.intake, console, settings.reconcile_every_s
        )
        self.almanac = AlmanacCare(state, self.alerts, calendar)
        self.lines = Lines(state, records, metrics)
        self.link = LinkWatch(state, metrics.link, renew_after_h)
        self.picture: Picture | None = None
        self.account = ""
        """The account that the settings allow to be traded; orders go to no other."""
        self.ring: Callable[[], None] = _nobody_hurries
        """What to call when something happened that cannot wait for the next cycle."""
        self.beats = 0
        self.settled_quiet = False
        """Nothing is at work: no open intent, no roll, nothing unsettled, no short to cover."""
        self.beat_times = BeatTimes()
        self._recorded: datetime | None = None
        self._was_live = False
        self._dirty = False
        self._turn = asyncio.Lock()
        self._day: date | None = None
        self.lake_refusal = ""
        """Why the lake took no commit; empty when it did."""
        self.pictures_refusal = ""
        """Why it took no pictures of the moment, when it was last given some; empty when it did."""
        self.commit_times = CommitTimes()

    # --- one cycle -------------------------------------------------------------------------------

    async def cycle(self, now: datetime) -> datetime | None:
        """Do everything that is due at `now`; returns when the next cycle is needed at the latest."""
        async with self._turn:
            return await self._cycle(now)

    async def _cycle(self, now: datetime) -> datetime | None:
        started = stopwatch.perf_counter()
        state = self.state
        events = state.broker.drain()
        for event in events:
            self.intake.apply(event, now)
        self.reload.take_in(now)
        self.almanac.settle(now)
        moved = await self.reconciler.keep_in_step(now)
        self._dirty |= bool(events) or moved
        intents: list[Intent] = []
        # While the lake refuses, nothing is decided: no reason could be taken down.
        can_write = not self.lake_refusal or await self._commit(now)
        await self.breaker.look(self.picture, now)
        if state.has_picture and can_write:
            await self.lines.turn(now)
            await self.reload.settle(now)
            self.picture, intents = await self.judge.judge(self.rules.book, now)
            state.broker.ring_beyond(state.marks.bands(now), self.ring)
            intents += await self._continue_rolls(now)
            if self._dirty and self._record_due(self.picture, now):
                await self.marks.record(now)
                self._record(self.picture, now)
            elif self.judge.decided_on:
                self._record_facts(self.picture, self.judge.decided_on)
        if await self._commit(now):
            for intent in intents:
                await self._send(intent, now)
            if state.has_picture:
                self.breaker.hold()
                state.desk.withdraw_beyond(state.positions.held, now)
                state.desk.step(lambda legs: state.combo_quote(list(legs), now), now)
            await self._commit(now)
        else:
            for intent in intents:
                reason = "the lake could not take the reason down, so nothing was sent"
                self.intake.order_came_to_nothing(state.desk.abandon(intent, reason, now), now)
        self._measure(started, now)
        return self._next_due(now)

    async def _commit(self, now: datetime) -> bool:
        """Make the cycle durable; False when the lake refuses, and then nothing is sent."""
        moved = self._take_intents(now)
        if self.reload.has_swapped():
            self._record_rule_state(now)
        frames = self.records.take()
        if not frames:
            return True
        steps = [intent.state.value for intent in moved]
        if "rules_changes" in frames:
            steps += [f"rules.{event}" for event in frames["rules_changes"]["event"]]
        for step in steps:
            reach(f"{step}.before")
        refusal = await self._write(now, frames)
        needed = {name: frame for name, frame in frames.items() if name not in PICTURES}
        if len(needed) < len(frames):
            self.pictures_refusal = refusal
            if refusal and needed:
                # A picture can be taken again; room for the rest may be left.
                log.warning("pictures.left_out", error=refusal)
                frames = needed
                refusal = await self._write(now, needed)
        self._tell_refusal(refusal, now)
        if refusal:
            self.records.put_back(frames)
            return False
        for step in steps:
            reach(f"{step}.after")
        return True

    async def _write(self, now: datetime, frames: Mapping[str, pl.DataFrame]) -> str:
        """Make rows durable; why the lake did not take them, empty when it did."""
        started = stopwatch.monotonic()
        try:
            await asyncio.to_thread(self._lake.commit, now, frames)
        except LakeError as error:
            return str(error)
        ended = stopwatch.monotonic()
        self._metrics.lake.commit_seconds.observe(ended - started)
        self.commit_times.add(ended, ended - started)
        return ""

    def _tell_refusal(self, refusal: str, now: datetime) -> None:
        if refusal and refusal != self.lake_refusal:
            log.warning("lake.refused", error=refusal)
            self._console.say(f"LAKE: {refusal}; nothing is sent until this is solved", now)
        if self.lake_refusal and not refusal:
            self._console.say("the lake can be written again", now)
        self.lake_refusal = refusal

    def _take_intents(self, now: datetime) -> list[Intent]:
        changes = self.state.desk.take_changes()
        for intent in changes:
            self.records.add("intents", intent.row())
        if changes:
            self._record_rule_state(now)
        return changes

    def _record_rule_state(self, now: datetime) -> None:
        revision = self.rules.book.revision
        for row in self.state.rule_memory.rows(self.state.rule_state, revision, now):
            self.records.add("rule_state", row)

    # --- orders ----------------------------------------------------------------------------------

    async def _send(self, intent: Intent, now: datetime) -> None:
        state = self.state
        if state.broker.account != self.account:
            reason = f"account: the login is {state.broker.account} now, decided was for {self.account}"
            self.intake.order_came_to_nothing(state.desk.refuse(intent, reason, now), now)
            return
        breaker = state.breaker
        is_over = intent.priority == PRIORITY and breaker.mode is not Mode.FLATTENING
        if is_over or not breaker.allows_closing:
            reason = f"{breaker.mode.value} before it was sent: {breaker.reason}"
            self.intake.order_came_to_nothing(state.desk.refuse(intent, reason, now), now)
            return
        if intent.kind is IntentKind.OPEN:
            try:
                facts = await opening_facts(intent, state, self.judge.entries_blocked, now)
                refuse_unless_passed(opening_checks(intent, facts, now))
            except (GateRefusal, BrokerError) as refusal:
                state.desk.refuse(intent, str(refusal), now)
                state.positions.expect_no_more(intent.position)
                self._roll_ended_closed(intent.rolled_from or intent.position, str(refusal), now)
                return
        reach("order.sending")
        unsent = state.desk.send(intent, now)
        reach("order.sent")
        if unsent is not None:
            self.intake.order_came_to_nothing(unsent, now)
            return
        price = "at the market" if intent.limit_price is None else f"at {intent.limit_price:.2f}"
        self._console.say(
            f"order {intent.intent} sent: {intent.kind.value} {intent.quantity} x {intent.position} {price}",
            now,
        )

    async def _continue_rolls(self, now: datetime) -> list[Intent]:
        state = self.state
        if state.roller.is_idle:
            return []
        ready, given_up = await state.roller.advance(lambda legs: state.combo_quote(list(legs), now), now)
        for closed, reason in given_up:
            state.desk.give_up_opening(closed, reason)
            self._roll_ended_closed(closed.position, reason, now)
        return [self._open_roll(roll, now) for roll in ready]

    def _open_roll(self, roll: ReadyRoll, now: datetime) -> Intent:
        state = self.state
        for leg in roll.combo:
            state.contracts[leg.contract.con_id] = leg.contract
            state.qualified.add(leg.contract.con_id)
        position = state.positions.expect(roll.combo, now, rolled_from=roll.closed.position)
        intent = state.desk.plan_opening(
            roll.closed, position, roll.combo, state.positions.held, roll.quote, now
        )
        state.desk.open(intent)
        return intent

    def _roll_ended_closed(self, position: str, reason: str, now: datetime) -> None:
        text = f"the roll ended closed, not opened again: {reason}"
        self.alerts.raise_(Alert(Severity.WARNING, "roll", position, text), now)
        self._console.say(f"{position}: {text}", now)

    async def brake(self, event: Event, reason: str, actor: str, now: datetime) -> Entry:
        """Halt, freeze or reset: a stop holds at once, and all of it is durable before this returns.

        Raises LakeError when it could not be recorded; a stop holds all the same.
        """
        if event is not Event.HUMAN_RESET:
            self.breaker.stop_at_once(event, reason)
        async with self._turn:
            entry = await self.breaker.post(event, actor, reason, now)
            if not await self._commit(now):
                raise LakeError(f"trading is {entry.mode}, but not recorded: {self.lake_refusal}")
        return entry

    async def change_rules(self, change: Callable[[datetime], Awaitable[str]], now: datetime) -> str:
        """Do what a human wants of the rules between two cycles; durable before it returns.

        Raises RuleError when it cannot be done, LakeError when it is not recorded.
        """
        async with self._turn:
            try:
                return await change(now)
            finally:
                if not await self._commit(now):
                    in_force = f"revision {self.rules.book.revision} is in force"
                    raise LakeError(f"{in_force}, but what was done is not recorded: {self.lake_refusal}")

    # --- what happens now and then ---------------------------------------------------------------

    async def compare(self, now: datetime) -> dict[str, Any]:
        """Compare with the broker's books on demand; durable before it returns. What stands then is as in
        `GET /status`, `found` are the kinds and subjects of this comparison.

        Raises BrokerError when the broker gives no answer, LakeError when it is not recorded.
        """
        async with self._turn:
            if self.state.link is not LinkState.UP:
                raise BrokerError(f"the connection is {self.state.link.value}: compare when it is up again")
            found = await self.reconciler.reconcile(now)
            self.intake.settle(now)
            self._dirty = True
            if not await self._commit(now):
                raise LakeError(f"compared, but not recorded: {self.lake_refusal}")
        return {"found": [difference.row("") for difference in found], **self.reconciler.status()}

    def _record_due(self, picture: Picture, now: datetime) -> bool:
        """Every `record_every_s`, and once as soon as everything is quoted: nobody should look at a blank
        page for longer than the quotes take to arrive."""
        if not self._was_live and bool((picture.facts["quote_state"] == "live").all()):
            self._was_live = True
            return True
        last = self._recorded
        return last is None or now - last >= self._record_every

    @property
    def _record_every(self) -> timedelta:
        every = timedelta(seconds=self._settings.record_every_s)
        return every * RARER_UNDER_PRESSURE if self.state.pressure.stops_entries else every

    def _record(self, picture: Picture, now: datetime) -> None:
        """What was known, for the lake: quotes, facts, account, rule state."""
        state = self.state
        self._recorded = now
        self._dirty = False
        figures = state.account.figures(now)
        nlv = figures["nlv_usd"]
        self._metrics.nlv_usd.set(float("nan") if nlv is None else nlv)
        today = now.astimezone(NEW_YORK).date()
        if self._day != today and figures["nlv_usd"] is not None:
            if self._day is not None or state.day_start_nlv_usd is None:
                state.day_start_nlv_usd = figures["nlv_usd"]
            self._day = today
        self._record_facts(picture)
        self.records.add_frame("traces", self.traces.take())
        self.records.add_frame("account", tables.account(state.account.account, figures, picture.market))
        self._record_rule_state(now)

    def _record_facts(self, picture: Picture, positions: Collection[str] | None = None) -> None:
        """The facts of these positions, of all when it is None, as the rules saw them."""
        frame = tables.facts(picture.facts, picture.display, picture.market)
        wanted = frame if positions is None else frame.filter(pl.col("position").is_in(list(positions)))
        self.records.add_frame("facts", wanted)

    async def record_now(self, now: datetime) -> None:
        """Record the picture whatever the interval says, and commit it."""
        async with self._turn:
            # What was refused was decided on other facts than those of now, so it gets a seq of its own.
            can_write = not self.lake_refusal or await self._commit(now)
            if can_write and self.state.has_picture and self.picture is not None:
                await self.marks.record(now)
                self._record(self.judge.look(now), now)
            await self._commit(now)

    # --- how it goes -----------------------------------------------------------------------------

    def _next_due(self, now: datetime) -> datetime | None:
        dues = [
            self.state.desk.next_due(),
            self.breaker.trial_ends,
            self.lines.next_due(now),
            self.reconciler.next_due,
        ]
        if not self.settled_quiet:
            dues.append(now + timedelta(seconds=1))
        if self._dirty and self._recorded is not None:
            dues.append(self._recorded + self._record_every)
        soonest = min((due for due in dues if due is not None), default=None)
        return None if soonest is None else max(soonest, now + timedelta(seconds=self._settings.beat_s))

    def _measure(self, started: float, now: datetime) -> None:
        state, metrics = self.state, self._metrics
        took = stopwatch.perf_counter() - started
        self.beats += 1
        self.beat_times.add(took)
        at_work = state.desk.open_intents or state.to_cover
        self.settled_quiet = not at_work and state.roller.is_idle
        metrics.beat_seconds.observe(took)
        self.link.look(now)
        metrics.lines_used.set(state.broker.lines_used)
        metrics.line_budget.set(state.lines.budget)
        metrics.positions.set(len(state.positions.positions))
        metrics.open_intents.set(len(state.desk.open_intents))
        metrics.lake.unflushed_rows.set(self._lake.unflushed_rows)
        age = state.board.data_age_s(now)
        metrics.data_age_seconds.set(float("nan") if age is None else age)


def _nobody_hurries() -> None:
    """A cycle comes when it comes."""

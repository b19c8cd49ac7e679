"""Looks for what trips the breaker, posts events to it, and takes down what became of them.

An event is posted when its condition begins, so nothing is asked or written while nothing happens. All of it
is called by the cycle, or under its lock.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from broker.events import LinkState
from daemon.account_state import AccountState
from daemon.console import Console
from daemon.judge import Picture
from daemon.metrics import Metrics
from daemon.records import Alerts, Records
from daemon.settings import BreakerSettings
from daemon.statechart import Statechart
from daemon.tripwires import (
    Condition,
    Readings,
    Standing,
    begun,
    conditions,
    facts_of,
    looked,
    loss_of_day,
)
from options.hours import is_open
from rules.breaker import EVENTS, MODES, Event, Failed, Mode, judged, next_mode, stricter
from rules.breaker.table import EVENT_MEANING, MODE_MEANING
from sync.quote_board import QuoteState
from sync.tables import Alert, Severity
from trading.breaker import BREAKER, HUMAN, PRIORITY, Entry, Journal
from trading.intent import IntentKind

log = structlog.get_logger()

LOOK_EVERY = timedelta(seconds=1)
DAY = timedelta(days=1)
VIX = "VIX"


class BreakerWatch:
    """One account's breaker at work."""

    def __init__(
        self,
        state: AccountState,
        records: Records,
        alerts: Alerts,
        console: Console,
        metrics: Metrics,
        limits: BreakerSettings,
    ) -> None:
        self._state = state
        self._records = records
        self._alerts = alerts
        self._console = console
        self._metrics = metrics
        self._limits = limits
        self.statechart = Statechart(limits.statechart)
        self._looked: datetime | None = None
        self._seen: Mapping[Event, Condition] = {}
        self._standing = Standing()
        self._since: dict[str, datetime] = {}

    # --- after a restart -------------------------------------------------------------------------

    async def take_up(self, journal: Journal, now: datetime) -> None:
        """Go on where the journal ends, once the statechart has walked its last part too."""
        self._state.breaker = journal.breaker
        known = {event.value: event for event in Event}
        events = frozenset(known[name] for name in journal.breaker.standing if name in known)
        self._standing = Standing(events)
        doubt = journal.trouble
        opinion = None
        if journal.events:
            opinion = await asyncio.to_thread(self.statechart.opinion, journal.start, journal.events)
        if isinstance(opinion, Failed):
            doubt = doubt or f"the statechart gave no answer: {opinion.why}"
        elif opinion not in (None, journal.breaker.recorded):
            doubt = doubt or f"the statechart ends {opinion}, the journal {journal.breaker.recorded}"
            strict = stricter(opinion, journal.breaker.recorded)
            self._state.breaker = replace(journal.breaker, recorded=strict)
        if doubt:
            self._doubt(doubt, now)
        if self.statechart.is_wanted and not self.statechart.is_installed:
            text = "durable_rules is not installed: the breaker's table decides alone"
            self._alerts.raise_(Alert(Severity.INFO, BREAKER, "durable_rules", text), now)
        self._show()

    # --- every second ----------------------------------------------------------------------------

    async def look(self, picture: Picture | None, now: datetime) -> None:
        """See which conditions stand, post what has begun, and what time or holdings bring about."""
        if self._looked is not None and timedelta(0) <= now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        self._seen = conditions(self._readings(picture, now), self._limits)
        before, self._standing = self._standing, looked(self._standing, self._seen, self._limits.calm_s, now)
        if before != self._standing or self._standing.unknown_since:
            self._tell(now)
        for event in begun(before, self._standing):
            reason = self._seen[event].text
            await self.post(event, BREAKER, reason, now)
            if event in self._limits.flatten_on:
                await self.post(Event.FLATTEN, BREAKER, f"{event.value} is set to close everything", now)
        await self._time_passes(now)

    async def _time_passes(self, now: datetime) -> None:
        state, mode = self._state, self._state.breaker.recorded
        if mode is Mode.FLATTENING:
            if state.has_picture and not state.positions.held and not state.desk.open_intents:
                await self.post(Event.FLAT, BREAKER, "nothing is held", now)
        elif mode is Mode.HALF_OPEN and not self._waits_for():
            ends = self.trial_ends
            if ends is not None and now >= ends:
                minutes = self._limits.half_open_min
                await self.post(Event.TIMER_ELAPSED, BREAKER, f"{minutes:g} minutes on trial", now)

    @property
    def trial_ends(self) -> datetime | None:
        """When the half-open breaker may be armed again; None in every other mode."""
        breaker = self._state.breaker
        if breaker.recorded is not Mode.HALF_OPEN or breaker.moved is None:
            return None
        return breaker.moved + timedelta(minutes=self._limits.half_open_min)

    def _waits_for(self) -> list[str]:
        """The conditions that keep a half-open breaker from being armed: they stand, or are not known."""
        return [e.value for e, seen in self._seen.items() if e in self._standing.events or seen.holds is None]

    def _readings(self, picture: Picture | None, now: datetime) -> Readings:
        state, opened = self._state, is_open(now)
        limits, nlv = self._limits, state.account.figures(now)["nlv_usd"]
        share: float | None = 0.0
        if opened:
            share = _stale_share(picture, state.board.stale_after) if state.has_picture and picture else None
        loss = loss_of_day(nlv, state.day_start_nlv_usd)
        return Readings(
            time=now,
            nlv_usd=nlv,
            day_start_nlv_usd=state.day_start_nlv_usd,
            loss_s=self._lasts("loss", None if loss is None else loss >= limits.daily_loss, now),
            flatten_s=self._lasts(
                "flatten", None if loss is None else loss >= limits.daily_loss_flatten, now
            ),
            vix_change=state.board.underlying_change(VIX, DAY, now),
            down_s=self._lasts("down", opened and state.link is not LinkState.UP, now),
            stale_share=share,
            stale_s=self._lasts("stale", None if share is None else share >= limits.stale_share, now),
            closings=tuple(state.closings),
            rejections=tuple(state.rejections),
            unresolved=state.unresolved,
        )

    def _lasts(self, what: str, holds: bool | None, now: datetime) -> float:
        """For how many seconds it has held; what is unknown neither begins nor ends it."""
        if holds:
            self._since.setdefault(what, now)
        elif holds is not None:
            self._since.pop(what, None)
        since = self._since.get(what)
        return 0.0 if since is None else (now - since).total_seconds()

    def _tell(self, now: datetime) -> None:
        """Alert on what has not been known for long, once each."""
        unknown = self._standing.unknown(now, self._limits.unknown_s)
        for event in unknown:
            text = f"{event.value} cannot be watched: {self._seen[event].text}"
            self._alerts.raise_(Alert(Severity.WARNING, "breaker_unknown", event.value, text), now)
        self._alerts.clear_except("breaker_unknown", {event.value for event in unknown})

    # --- what it forbids -------------------------------------------------------------------------

    def stop_at_once(self, event: Event, reason: str) -> None:
        """A human's halt or freeze holds before its entry is made."""
        state = self._state
        wanted = next_mode(state.breaker.mode, event)
        state.breaker = replace(state.breaker, hold=wanted)
        state.desk.cancel_all(f"{wanted.value}: {reason}")

    def hold(self) -> None:
        """What the breaker forbids is taken back, also when it was on its way or a restart found it."""
        breaker = self._state.breaker
        if not breaker.allows_opening:
            kind = IntentKind.OPEN if breaker.allows_closing else None
            self._state.desk.cancel_all(f"{breaker.mode.value}: {breaker.reason}", kind)
        if breaker.mode is not Mode.FLATTENING:
            # Its own closings: a human has ended them.
            self._state.desk.cancel_all(f"{breaker.mode.value}: {breaker.reason}", priority=PRIORITY)

    # --- an event --------------------------------------------------------------------------------

    async def post(self, event: Event, actor: str, reason: str, now: datetime) -> Entry:
        """Let an event befall the breaker; its entry waits in the records to be committed."""
        before = self._state.breaker.recorded
        opinion = await asyncio.to_thread(self.statechart.opinion, before, (event,))
        judgement = judged(before, event, opinion)
        entry = Entry(
            number=self._state.breaker.number + 1,
            time=now,
            event=event,
            before=before,
            mode=judgement.mode,
            actor=actor,
            reason=reason,
            facts=facts_of(self._seen.values(), self._standing),
            doubt=judgement.doubt,
        )
        self._state.breaker = self._state.breaker.entered(entry)
        self._records.add("breaker", entry.row())
        self._records.add("decisions", entry.decision_row())
        self._announce(entry, now)
        return entry

    def _announce(self, entry: Entry, now: datetime) -> None:
        told = entry.row()
        del told["facts"], told["event"]
        log.warning(f"breaker.{entry.event.value}", **told)
        self._console.say(entry.said, now)
        self._metrics.decisions.labels(BREAKER, "decision").inc()
        self._metrics.breaker_events.labels(entry.event.value).inc()
        if entry.mode is not entry.before:
            self._alerts.raise_(Alert(_severity(entry), BREAKER, "mode", entry.said), now)
        if entry.mode is Mode.ARMED:
            self._alerts.clear(BREAKER, "mode")
        if entry.doubt:
            self._doubt(entry.doubt, now)
        else:
            self._alerts.clear(BREAKER, "doubt")
        self._show()

    def _doubt(self, text: str, now: datetime) -> None:
        said = f"{text}; the stricter holds: {self._state.breaker.mode.value}"
        if self._alerts.raise_(Alert(Severity.CRITICAL, BREAKER, "doubt", said), now):
            self._console.say(f"CRITICAL breaker: {said}", now)

    def _show(self) -> None:
        self._metrics.breaker_armed.set(self._state.breaker.mode is Mode.ARMED)
        for mode in MODES:
            self._metrics.breaker_mode.labels(mode.value).set(mode is self._state.breaker.mode)

    # --- what it tells ---------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """The breaker's part of `GET /status`."""
        breaker = self._state.breaker
        mode, ends = breaker.mode, self.trial_ends
        return {
            "state": mode.value,
            "means": MODE_MEANING[mode],
            "reason": breaker.reason,
            "actor": breaker.actor,
            "since": breaker.since.isoformat() if breaker.since else None,
            "entry": breaker.number,
            "trial_ends": ends.isoformat() if ends else None,
            "waits_for": self._waits_for() if mode is Mode.HALF_OPEN else [],
            "statechart": self.statechart.is_asked,
            "conditions": {
                event.value: {**seen.plain(), "stands": event in self._standing.events}
                for event, seen in self._seen.items()
            },
        }


def next_moves(mode: Mode) -> dict[str, tuple[str, str]]:
    """What would move the breaker from this mode: event, the mode it leads to, what the event means."""
    return {
        event.value: (next_mode(mode, event).value, EVENT_MEANING[event])
        for event in EVENTS
        if next_mode(mode, event) is not mode
    }


def _severity(entry: Entry) -> Severity:
    if entry.event in HUMAN or entry.mode in (Mode.ARMED, Mode.HALF_OPEN):
        return Severity.INFO
    return Severity.CRITICAL


def _stale_share(picture: Picture, stale_after: timedelta) -> float:
    """The part of the positions that have a leg of which nothing was heard for so long, or ever, and that is
    not marked by the model. A leg that nobody bids for is heard of."""
    ages, states = picture.facts["quote_age"], picture.facts["quote_state"]
    is_old = ~(ages.to_numpy() <= stale_after.total_seconds())  # an unknown age is NaN, and old
    if not is_old.any():
        return 0.0  # the texts of ten thousand positions take longer than the rest of the look
    is_modelled = states.eq_missing(QuoteState.MODELLED.value).to_numpy()
    return float((is_old & ~is_modelled).mean())

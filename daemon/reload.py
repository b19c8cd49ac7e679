"""From saving the rules file to rules in force: checked in the background, swapped between two cycles.

The background only looks, reads and tries. What comes of it is taken in at the boundary of a cycle, so that
every beat is decided by exactly one revision, and recorded in the same commit as the first decisions by it.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import structlog

from daemon.account_state import AccountState
from daemon.judge import Judge
from daemon.rules_file import Look
from daemon.rules_journal import RulesJournal, in_words
from daemon.rules_standing import Candidate, Step
from daemon.rules_trial import oddities, replayed, told
from daemon.settings import ReloadSettings
from options import RuleError
from rules import Rulebook
from rules.carry import carried
from trading.decision import Moment
from trading.new_fires import NewFire, new_fires

log = structlog.get_logger()

LOOK_EVERY_S = 0.2


class Reload:
    """Brings rules into force: saved, checked, within `max_new_fires` or approved by a human."""

    def __init__(
        self,
        journal: RulesJournal,
        state: AccountState,
        judge: Judge,
        settings: ReloadSettings,
        recorded: Callable[[], pl.LazyFrame],
    ) -> None:
        """`recorded`: rows of the table `facts` of the last days."""
        self.standing = journal.standing
        self._file = journal.file
        self._journal = journal
        self._state = state
        self._judge = judge
        self._settings = settings
        self._recorded = recorded
        self._changing: tuple[Look, float] | None = None
        self._handled: Look | None = None
        self._file_revision: str | None = None
        self._found: Candidate | str | None = None
        self._is_begun = False
        self._has_swapped = False

    @property
    def path(self) -> Path:
        """Where the rules file lies."""
        return self._file.path

    def status(self) -> dict[str, Any]:
        """What is in force, what waits, and how the file differs; for the control API."""
        return self._journal.status(self._settings.max_new_fires)

    # --- in the background -----------------------------------------------------------------------

    async def run(self) -> None:
        """Look at the file for ever."""
        while True:
            await self.look(self._settings.settle_s)
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self, settle_s: float = 0.0) -> None:
        """Look at the file; when it was saved, and has not changed for `settle_s` since, check it."""
        loop = asyncio.get_running_loop()
        look = await asyncio.to_thread(self._file.look)
        if look == self._handled:
            self._changing = None
            return
        if self._changing is None or self._changing[0] != look:
            self._changing = (look, loop.time())
        if loop.time() - self._changing[1] < settle_s:
            return
        found = await asyncio.to_thread(self._check)
        there = await asyncio.to_thread(self._file.look)
        if there.paths != look.paths:
            # Which files there are is known only once they are read: read them as they are looked at.
            look = there
            found = await asyncio.to_thread(self._check)
            there = await asyncio.to_thread(self._file.look)
        if there != look:
            return  # written to meanwhile: what was read may be half of it
        self._changing, self._handled = None, there
        self._file_revision = None if isinstance(found, str) else found.book.revision
        self._found = found if isinstance(found, str) else replace(found, saved=there.saved)

    def _check(self) -> Candidate | str:
        """The rules of the file, tried; or why they are not taken up. Blocking."""
        try:
            book = self._file.read()
            in_force, kept = self.standing.book, self._judge.kept
            if book.revision == in_force.revision:
                return Candidate(book, None)
            lints = oddities(self._file, book)
            kept.recall(self._recorded())
            return Candidate(book, None, replayed(in_force, book, kept), lints)
        except RuleError as error:
            return str(error)
        except (Exception, pl.exceptions.PanicException) as error:
            # Whatever is in a file, the rules in force go on protecting.
            log.exception("rules.check_failed", path=str(self._file.path))
            return f"{self._file.path}: could not be checked ({type(error).__name__}: {error})"

    # --- at the boundary of a cycle --------------------------------------------------------------

    def take_in(self, now: datetime) -> None:
        """Note what the background has found."""
        if not self._is_begun:
            self._begin(now)
        found, self._found = self._found, None
        if isinstance(found, str):
            self._refuse(found, now)
        elif found is not None:
            self._consider(found, now)

    def _begin(self, now: datetime) -> None:
        """Say which rules are in force at the start, and record them if nobody has."""
        self._is_begun = True
        standing, journal = self.standing, self._journal
        if not standing.is_recorded:
            journal.text(standing.book)
            journal.note(Step.TAKEN_UP, standing.book.revision, self._saved, reason="in force at the start")
            standing.is_recorded, standing.since = True, now
        journal.say(_described(standing.book), now)
        if standing.waiting is not None:
            journal.waits(standing.waiting, now)
        journal.ignores(now)

    def _refuse(self, error: str, now: datetime) -> None:
        standing = self.standing
        standing.error, standing.candidate = error, None
        self._journal.clear("rules_waiting", "rules_ignored")
        self._journal.note(Step.REFUSED, None, self._saved, reason=error)
        self._journal.refused(error, now)

    def _consider(self, found: Candidate, now: datetime) -> None:
        """Rules that are sound: those in force, those known already, or a candidate."""
        standing, journal, revision = self.standing, self._journal, found.book.revision
        was_wrong, standing.error = standing.error is not None, None
        journal.clear("rules")
        waiting = standing.waiting
        if waiting is not None and (waiting.book.revision, waiting.saved) == (revision, found.saved):
            return
        is_in_force = revision == standing.book.revision
        if not is_in_force and standing.ignored == (revision, found.saved):
            if was_wrong:
                journal.ignores(now)
            return
        is_news = not is_in_force or bool(standing.candidate or standing.ignored)
        standing.candidate = standing.ignored = None
        journal.clear("rules_waiting", "rules_ignored")
        if is_news:
            journal.text(found.book)
            journal.note(Step.SEEN, revision, found.saved, replayed=found.replayed)
        if not is_in_force:
            standing.candidate = found
            journal.warns(found, now)

    async def settle(self, now: datetime) -> None:
        """Bring a candidate into force, or ask a human, by what it would do now: this needs the broker's
        picture."""
        candidate = self.standing.candidate
        if candidate is None or candidate.fires is not None:
            return
        try:
            fires = await self._fires(candidate.book, now)
        except (Exception, pl.exceptions.PanicException) as error:
            # Else they would end this daemon, and every one that finds them at its start.
            log.exception("rules.gate_failed", revision=candidate.book.revision)
            self._refuse(f"{self._file.path}: cannot be applied to what is known now ({error})", now)
            return
        if len(fires) > self._settings.max_new_fires:
            self._wait(candidate, fires, None, None, now)
        else:
            self._take_up(candidate.book, Step.TAKEN_UP, None, told(candidate.replayed), fires, now)

    async def _fires(self, book: Rulebook, now: datetime) -> tuple[NewFire, ...]:
        in_force, state = self.standing.book, self._state.rule_state

        def ask() -> tuple[NewFire, ...]:
            picture, kept = self._judge.look(now), self._judge.kept
            kept.recall(self._recorded())
            # Both: a rule may fire on what is unknown now, or on what it will be once it is known again.
            seen = kept.with_known(picture.facts, picture.market), (picture.facts, picture.market)
            found: dict[str, NewFire] = {}
            for facts, market in seen:
                for fire in new_fires(Moment(now, in_force, state, facts, market), book):
                    found.setdefault(fire.position, fire)
            return tuple(found.values())

        return await asyncio.to_thread(ask)

    def has_swapped(self) -> bool:
        """Whether other rules have come into force since this was asked last."""
        swapped, self._has_swapped = self._has_swapped, False
        return swapped

    # --- a human's word, between two cycles ------------------------------------------------------

    async def approve(self, revision: str, actor: str, now: datetime) -> str:
        """Bring the rules that wait into force; gives their revision.

        Raises RuleError when they do not come into it: another revision waits, the file was saved again, or
        they would act on other positions than were shown, and are shown now.
        """
        waiting = self._journal.waiting_named(revision)
        if self._found is not None or await asyncio.to_thread(self._file.look) != self._handled:
            raise RuleError(f"{self._file.path} was saved again: it is being checked, look at it anew")
        fires = await self._fires_now(waiting.book, now)
        shown = {fire.deed for fire in waiting.fires or ()}
        others = [fire for fire in fires if fire.deed not in shown]
        if others and len(fires) > self._settings.max_new_fires:
            text = f"meanwhile it would also {in_words(others)}"
            self._wait(waiting, fires, actor, text, now)
            raise RuleError(f"{text}; look again, then approve {waiting.book.revision} again")
        self._journal.note(Step.APPROVED, waiting.book.revision, waiting.saved, actor=actor, fires=fires)
        self._take_up(waiting.book, Step.TAKEN_UP, actor, f"approved by {actor}", fires, now)
        return waiting.book.revision

    async def reject(self, revision: str, actor: str, reason: str, now: datetime) -> str:
        """Leave the file as it is aside until it is saved again; gives its revision. Raises RuleError when
        that revision does not wait."""
        standing, waiting = self.standing, self._journal.waiting_named(revision)
        standing.candidate, standing.ignored = None, (waiting.book.revision, waiting.saved)
        self._journal.clear("rules_waiting")
        self._journal.note(Step.REJECTED, waiting.book.revision, waiting.saved, actor=actor, reason=reason)
        self._journal.say(f"revision {waiting.book.revision} is rejected by {actor}: {reason}", now)
        self._journal.ignores(now)
        return waiting.book.revision

    async def roll_back(self, book: Rulebook, actor: str, at_once: bool, now: datetime) -> str:
        """Bring an earlier revision into force; the file is ignored until it is saved again.

        Raises RuleError when it is in force already, and, unless `at_once`, when it would act on more than
        `max_new_fires` positions.
        """
        standing = self.standing
        if book.revision == standing.book.revision:
            raise RuleError(f"revision {book.revision} is in force already")
        fires = None
        if not at_once:
            fires = await self._fires_now(book, now)
            if len(fires) > self._settings.max_new_fires:
                raise RuleError(
                    f"revision {book.revision} would {in_words(fires)}; give --now to do it all the same"
                )
        file, saved = await asyncio.to_thread(self._in_the_file)
        standing.ignored = None if file is None or file == book.revision else (file, saved)
        self._take_up(book, Step.ROLLED_BACK, actor, f"rolled back by {actor}", fires, now)
        return book.revision

    def _in_the_file(self) -> tuple[str | None, datetime | None]:
        """What the file holds now, and since when, also where the background has not found it yet."""
        there = self._file.look()
        if there == self._handled:
            return self._file_revision, there.saved
        try:
            revision = self._file.read().revision
        except RuleError:
            return None, None  # it is refused anyway
        return revision, self._file.look().saved

    async def _fires_now(self, book: Rulebook, now: datetime) -> tuple[NewFire, ...]:
        if not self._state.has_picture:
            raise RuleError("the broker's picture is not there, so what they would do is unknown; try later")
        return await self._fires(book, now)

    # --- what becomes of them --------------------------------------------------------------------

    @property
    def _saved(self) -> datetime | None:
        return self._handled.saved if self._handled else None

    def _take_up(
        self,
        book: Rulebook,
        step: Step,
        actor: str | None,
        reason: str,
        fires: Sequence[NewFire] | None,
        now: datetime,
    ) -> None:
        """The swap. The rules' memory goes over as far as it still applies."""
        standing, before, journal = self.standing, self.standing.book, self._journal
        self._state.rule_state = carried(self._state.rule_state, before, book)
        standing.book, standing.before, standing.candidate = book, before.revision, None
        standing.since, standing.step, standing.actor = now, step, actor
        self._has_swapped = True
        journal.clear("rules_waiting", "rules_ignored")
        journal.note(
            step,
            book.revision,
            standing.ignored[1] if standing.ignored else self._saved,
            before=before.revision,
            actor=actor,
            reason=reason,
            fires=fires,
        )
        journal.say(f"{_described(book)}, {reason}", now)
        journal.ignores(now)

    def _wait(
        self,
        candidate: Candidate,
        fires: tuple[NewFire, ...],
        actor: str | None,
        reason: str | None,
        now: datetime,
    ) -> None:
        """Ask a human; the rules in force stay until then."""
        waiting = replace(candidate, fires=fires, since=now)
        self.standing.candidate = waiting
        self._journal.note(
            Step.WAITING,
            waiting.book.revision,
            waiting.saved,
            actor=actor,
            reason=reason,
            fires=fires,
            replayed=waiting.replayed,
        )
        self._journal.waits(waiting, now)


def _described(book: Rulebook) -> str:
    return f"{len(book.rules)} rules, revision {book.revision}"

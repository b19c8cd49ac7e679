"""Every step of the rules on their way into force: a row for the lake, an alert, a line for people."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from daemon.console import Console
from daemon.records import Alerts, Records
from daemon.rules_file import RulesFile
from daemon.rules_standing import Candidate, Standing, Step, json_of
from options import RuleError
from rules import Rulebook
from sync.tables import Alert, Severity
from trading.new_fires import NewFire

log = structlog.get_logger()

SHORTEST_NAME = 6
"""A revision may be named by so many of its first characters."""
LISTED = 5
"""So many positions are named in one line for people; the page and `optiond rules pending` show all."""


@dataclass(slots=True)
class RulesJournal:
    """Takes down and tells what becomes of the rules."""

    standing: Standing
    file: RulesFile
    records: Records
    alerts: Alerts
    console: Console

    def row(
        self,
        step: Step,
        revision: str | None,
        saved: datetime | None,
        *,
        before: str | None = None,
        actor: str | None = None,
        reason: str | None = None,
        fires: Sequence[NewFire] | None = None,
        replayed: str | None = None,
    ) -> None:
        """One row of `rules_changes`; what is ignored by now is part of it."""
        ignored = self.standing.ignored
        row = {
            "event": step.value,
            "revision": revision,
            "before": before,
            "actor": actor,
            "reason": reason,
            "path": str(self.file.path),
            "saved": saved,
            "ignored": ignored[0] if ignored else None,
            "fires": None if fires is None else json_of(fires),
            "replayed": replayed,
        }
        self.records.add("rules_changes", row)

    def note(self, step: Step, revision: str | None, saved: datetime | None, **about: Any) -> None:
        """`row`, and a line in the log."""
        self.row(step, revision, saved, **about)
        words = {name: about[name] for name in ("before", "actor", "reason") if about.get(name)}
        log.info(f"rules.{step.value}", revision=revision, **words)

    def waiting_named(self, revision: str) -> Candidate:
        """The rules that wait, if these words name them; raises RuleError."""
        waiting = self.standing.waiting
        if waiting is None:
            raise RuleError(f"revision {revision} does not wait: none does")
        if len(revision) < SHORTEST_NAME or not waiting.book.revision.startswith(revision):
            raise RuleError(f"revision {revision} does not wait: revision {waiting.book.revision} does")
        return waiting

    def text(self, book: Rulebook) -> None:
        """The rules, whole: every decision by them can be replayed."""
        row = {"revision": book.revision, "text": book.text, "path": str(self.file.path)}
        self.records.add("rules_revisions", row)

    def say(self, text: str, now: datetime) -> None:
        self.console.say(f"rules {self.file.path.name}: {text}", now)

    def refused(self, error: str, now: datetime) -> None:
        """The file is not taken up."""
        self._alert(Severity.CRITICAL, "rules", error, now)
        stays = f"revision {self.standing.book.revision} stays"
        self.console.say(f"rules NOT taken up, {stays}: {error}", now)

    def warns(self, found: Candidate, now: datetime) -> None:
        """Rules that are sound, and odd."""
        for said in found.lints:
            log.warning("rules.lint", revision=found.book.revision, said=said)
        if found.lints:
            more = f" and {len(found.lints) - 1} more" if len(found.lints) > 1 else ""
            text = f"revision {found.book.revision} has warnings, optiond rules check shows them: "
            self.say(f"{text}{found.lints[0]}{more}", now)

    def waits(self, waiting: Candidate, now: datetime) -> None:
        """A human is asked."""
        revision = waiting.book.revision
        text = (
            f"revision {revision} waits for you: it would {in_words(waiting.fires or ())}; "
            f"optiond rules pending shows all, then optiond rules approve {revision} or reject it"
        )
        self._alert(Severity.CRITICAL, "rules_waiting", text, now)
        self.say(text, now)

    def ignores(self, now: datetime) -> None:
        """The file holds other rules than those in force, and nobody is asked about them."""
        if self.standing.ignored is None:
            return
        text = (
            f"revision {self.standing.book.revision} is in force, {self.file.path.name} holds "
            f"{self.standing.ignored[0]}: the file is ignored until it is saved again"
        )
        self._alert(Severity.WARNING, "rules_ignored", text, now)
        self.say(text, now)

    def clear(self, *kinds: str) -> None:
        """Let go of the alerts of these kinds."""
        for kind in kinds:
            self.alerts.clear(kind, str(self.file.path))

    def _alert(self, severity: Severity, kind: str, text: str, now: datetime) -> None:
        self.alerts.raise_(Alert(severity, kind, str(self.file.path), text), now)

    def status(self, max_new_fires: int) -> dict[str, Any]:
        """What is in force, what waits, and how the file differs; for the control API."""
        standing, waiting = self.standing, self.standing.waiting
        return {
            "revision": standing.book.revision,
            "path": str(self.file.path),
            "error": standing.error,
            "since": _iso(standing.since),
            "step": standing.step.value,
            "actor": standing.actor,
            "before": standing.before,
            "ignored": standing.ignored[0] if standing.ignored else None,
            "max_new_fires": max_new_fires,
            "waiting": None if waiting is None else _waiting(waiting),
        }


def in_words(fires: Sequence[NewFire]) -> str:
    """What rules would do at once: `close 14 positions: …`."""
    counts: dict[str, int] = {}
    for fire in fires:
        counts[fire.action] = counts.get(fire.action, 0) + 1
    deeds = ", ".join(f"{action} {n} position{'s' if n > 1 else ''}" for action, n in sorted(counts.items()))
    named = ", ".join(f"{fire.position} by {fire.rule}" for fire in fires[:LISTED])
    more = f" and {len(fires) - LISTED} more" if len(fires) > LISTED else ""
    return f"{deeds}: {named}{more}"


def _waiting(candidate: Candidate) -> dict[str, Any]:
    fires = candidate.fires or ()
    return {
        "revision": candidate.book.revision,
        "since": _iso(candidate.since),
        "saved": _iso(candidate.saved),
        "summary": in_words(fires),
        "lints": list(candidate.lints),
        "fires": [fire.as_dict() for fire in fires],
        "replayed": None if candidate.replayed is None else json.loads(candidate.replayed),
    }


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()

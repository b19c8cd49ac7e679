"""Where the book's breaker stands, and its journal: every event that befell it, replayed after a restart.

The modes, and what leads from one to another, are in `rules.breaker`. What a mode forbids is not sent from
the moment the mode is entered; what it allows is sent only once its entry is durable.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from rules.breaker import REVISION, Event, Mode, next_mode, stricter
from trading.decision import DECIDED, DECIDED_ON, Decision, Moment, facts_text, hash_of
from trading.intent import identity
from trading.price_walk import Urgency
from trading.verdict import Verdict

BREAKER = "breaker"
"""The name of its decisions' rule, and its actor where no human acted."""
PRIORITY = 0
"""Before every rule."""
HUMAN = frozenset({Event.HUMAN_HALT, Event.HUMAN_FREEZE, Event.HUMAN_RESET})


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of the journal. `number` counts from 1, 0 in entries of an older optiond; `doubt` says why
    the mode is not simply the table's. `facts` are what it was decided on, as JSON can hold it."""

    number: int
    time: datetime
    event: Event
    before: Mode
    mode: Mode
    actor: str
    reason: str
    facts: Mapping[str, Any]
    doubt: str = ""

    def row(self) -> dict[str, Any]:
        """The entry as a row of the lake's `breaker` table."""
        return {
            "event": self.event.value,
            "state": self.mode.value,
            "actor": self.actor,
            "reason": self.reason,
            "number": self.number,
            "before": self.before.value,
            "facts": json.dumps(self.facts, allow_nan=False),
            "doubt": self.doubt,
            "decided": self.time,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Entry":
        """Raises ValueError when the row names an event or a mode that there is not."""
        is_older = row.get("number") is None
        mode = Mode(row["state"])
        return cls(
            number=0 if is_older else row["number"],
            time=row["time"] if is_older else row["decided"],
            event=Event(row["event"]),
            before=mode if is_older else Mode(row["before"]),
            mode=mode,
            actor=row["actor"] or "",
            reason=row["reason"] or "",
            facts={} if is_older else json.loads(row["facts"]),
            doubt="" if is_older else row["doubt"] or "",
        )

    def decision_row(self) -> dict[str, Any]:
        """The entry as a decision about the whole book, for the lake's `decisions` table."""
        facts: dict[str, str | None] = {
            "event": self.event.value,
            "before": self.before.value,
            "doubt": self.doubt,
        }
        for name, seen in _conditions(self.facts):
            facts[name] = None if seen["holds"] is None else f"{seen['text']} (limit {seen['limit']:g})"
        row = {
            "decision": identity("dec-", BREAKER, str(self.number), self.time.isoformat()),
            "position": None,
            "rule": BREAKER,
            "priority": PRIORITY,
            "action": self.mode.value,
            "params": "{}",
            "urgency": Urgency.IMMEDIATE.value,
            "kind": "decision",
            "reason": self.doubt,
            "explanation": self.said,
            "facts": json.dumps(facts, allow_nan=False, sort_keys=True),
            "state": None,
            "fired": [self.event.value],
            "unknown": [name for name, seen in _conditions(self.facts) if seen.get("holds") is None],
            "rules_revision": REVISION,
            "decided": self.time,
            "contributors": None,
        }
        return {**row, "inputs_hash": hash_of(row, DECIDED_ON), "hash": hash_of(row, DECIDED)}

    @property
    def said(self) -> str:
        """In one line."""
        moved = (
            f"stays {self.mode.value}"
            if self.mode is self.before
            else f"{self.before.value} → {self.mode.value}"
        )
        doubt = f" ({self.doubt}: the stricter holds)" if self.doubt else ""
        return f"breaker {moved} on {self.event.value} by {self.actor}: {self.reason}{doubt}"


def _conditions(facts: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    conditions: Mapping[str, Mapping[str, Any]] = facts.get("conditions", {})
    return conditions.items()


@dataclass(frozen=True, slots=True)
class Breaker:
    """The breaker as it stands: since when, by whom and why.

    `recorded` is the mode of the last entry, `number` and `moved` that entry's. `standing` are the conditions
    that stood then. `hold` is a human's stricter word whose entry is still being made: until an entry is as
    strict.
    """

    recorded: Mode = Mode.ARMED
    reason: str = ""
    actor: str = ""
    since: datetime | None = None
    number: int = 0
    moved: datetime | None = None
    standing: frozenset[str] = frozenset()
    hold: Mode | None = None

    @property
    def mode(self) -> Mode:
        return self.recorded if self.hold is None else stricter(self.recorded, self.hold)

    @property
    def allows_opening(self) -> bool:
        """On trial (half open) one entry at a time."""
        return self.mode in (Mode.ARMED, Mode.HALF_OPEN)

    @property
    def allows_closing(self) -> bool:
        return self.mode is not Mode.FROZEN

    def entered(self, entry: Entry) -> "Breaker":
        """The breaker after an entry."""
        after = replace(
            self,
            recorded=entry.mode,
            number=max(entry.number, self.number),
            moved=entry.time,
            standing=frozenset(entry.facts.get("standing", ())),
            hold=None if self.hold is None or stricter(entry.mode, self.hold) is entry.mode else self.hold,
        )
        if entry.mode is self.recorded and entry.event not in HUMAN:
            return after
        return replace(after, reason=entry.reason, actor=entry.actor, since=entry.time)


@dataclass(frozen=True, slots=True)
class Journal:
    """What a journal leads to. `trouble` says in words where the events and the recorded modes differ, or
    what cannot be read; then the stricter holds. `events` lead from `start` to the breaker's mode without a
    doubt between them, for whoever wants to walk them once more."""

    breaker: Breaker
    trouble: str = ""
    start: Mode = Mode.ARMED
    events: tuple[Event, ...] = ()


def replayed(rows: Iterable[Mapping[str, Any]]) -> Journal:
    """Replay the rows of the `breaker` table, oldest first, through the modes' table."""
    breaker, told, trouble = Breaker(), Mode.ARMED, ""
    start, events = Mode.ARMED, list[Event]()
    for row in rows:
        try:
            entry = Entry.from_row(row)
        except (ValueError, KeyError, TypeError) as error:
            trouble = f"an entry of the breaker's journal cannot be read ({error})"
            breaker = replace(breaker, recorded=Mode.HALTED, reason=trouble, actor=BREAKER)
            start = told = Mode.HALTED
            events = []
            continue
        led = entry.mode if entry.number == 0 else next_mode(told, entry.event)
        told = stricter(led, entry.mode) if entry.doubt else led
        breaker = breaker.entered(entry)
        events.append(entry.event)
        if entry.number == 0 or entry.doubt or told is Mode.ARMED:
            start, events = told, []
        if told is entry.mode:
            trouble = ""
    if told is not breaker.recorded:
        trouble = f"the breaker's journal leads to {told.value}, recorded is {breaker.recorded.value}"
        breaker = replace(breaker, recorded=stricter(told, breaker.recorded))
    return Journal(breaker, trouble, start, tuple(events))


# --- closing everything --------------------------------------------------------------------------


def closing_verdict(position: str) -> Verdict:
    """What flattening wants of a position: a limit from the mid that takes the market after a minute."""
    return Verdict(
        position=position,
        rule=BREAKER,
        priority=PRIORITY,
        action="close",
        params={"price": "mid"},
        urgency=Urgency.IMMEDIATE,
        fired=(BREAKER,),
        unknown=(),
    )


def is_flattening(verdict: Verdict) -> bool:
    """Whether it is the breaker's and not a rule's."""
    return verdict.priority == PRIORITY and verdict.rule == BREAKER


def closing_decision(
    decision: str, verdict: Verdict, kind: str, reason: str, breaker: Breaker, moment: Moment
) -> Decision:
    """The decision to close a position because the breaker flattens, with the facts of the moment."""
    since = f" since {breaker.since.isoformat()}" if breaker.since else ""
    return Decision(
        decision=decision,
        verdict=verdict,
        kind=kind,
        reason=reason,
        explanation=f"the breaker is {breaker.mode.value}{since}: {breaker.reason}",
        time=moment.time,
        facts=facts_text({**moment.market, **moment.seen(verdict.position)}),
        state=json.dumps({"mode": breaker.mode.value, "entry": breaker.number}),
        contributors=None,
        rules_revision=REVISION,
    )


def is_of_breaker(row: Mapping[str, Any]) -> bool:
    """Whether a row of `decisions` was decided by the breaker (of whatever version) and not by rules."""
    return str(row["rules_revision"]).startswith(f"{BREAKER}-")


def action_again(row: Mapping[str, Any]) -> str:
    """What the table makes of a decision of the breaker: the mode, or for a position what is done to it.

    Raises ValueError or KeyError when the row is not as it was recorded.
    """
    if row["position"] is not None:
        mode = Mode(json.loads(row["state"])["mode"])
        return "close" if mode is Mode.FLATTENING else "nothing"
    facts = json.loads(row["facts"])
    told = next_mode(Mode(facts["before"]), Event(facts["event"]))
    # A doubt is what the statechart said then, which cannot be asked again; it can only have been stricter.
    return (stricter(told, Mode(row["action"])) if facts["doubt"] else told).value

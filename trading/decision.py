"""A decision as it is recorded: the reason that is durable before an order, whole enough to replay it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

import rules
from rules import Rulebook, RuleState
from rules.fold import Stepped, step_looked_at
from rules.scalar import known
from rules.state import BOOK
from trading.intent import identity
from trading.verdict import CONTRIBUTORS, Verdict

Row = Mapping[str, Any]

DECIDED_ON = ("position", "decided", "facts", "state", "contributors", "rules_revision")
"""The columns that hold everything the rules took in: `inputs_hash` is of these."""

DECIDED = (
    "decision",
    "position",
    "rule",
    "priority",
    "action",
    "params",
    "urgency",
    "kind",
    "reason",
    "explanation",
    "fired",
    "unknown",
)
"""The columns that hold what was decided: `hash` is of these."""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """All that one step of the rules takes in. `state` is the one before the step, `market` the facts of
    book scope, `facts` the others with a row per position."""

    time: datetime
    book: Rulebook
    state: RuleState
    facts: pl.DataFrame
    market: Mapping[str, float | str | None]

    def step(self) -> tuple[RuleState, pl.DataFrame]:
        """`rules.step` of it."""
        return rules.step(self.book, self.state, self.facts, self.market, self.time)

    def step_looked_at(self) -> tuple[RuleState, pl.DataFrame, Stepped]:
        """`step` of it, with what was computed on the way."""
        return step_looked_at(self.book, self.state, self.facts, self.market, self.time)

    def seen(self, position: str) -> dict[str, Any]:
        """The facts of one position; raises KeyError when it is not among them."""
        row = self.facts["position"].index_of(position)
        if row is None:
            raise KeyError(position)
        return self.facts.row(row, named=True)

    def explain(self, position: str) -> rules.Explanation:
        """Why the rules decided on a position, or on the book, as they did."""
        seen = {"position": BOOK} if position == BOOK else self.seen(position)
        return rules.explain(self.book, self.state, seen, self.market, self.time)


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict that was acted on, vetoed (with the reason) or only shadowed.

    `kind` is "decision", "veto" or "shadow". `explanation` is the rule's conditions in words. What it
    takes to decide it again is kept as JSON: `facts` the row the rule saw, `state` the rule state of the
    position and of the book before the step, `contributors` for a rule of the book the positions among
    which it chose.
    """

    decision: str
    verdict: Verdict
    kind: str
    reason: str
    explanation: str
    time: datetime
    facts: str
    state: str
    contributors: str | None
    rules_revision: str

    def row(self) -> dict[str, Any]:
        """The decision as a row of the lake's `decisions` table."""
        verdict = self.verdict
        row = {
            "decision": self.decision,
            "position": verdict.position,
            "rule": verdict.rule,
            "priority": verdict.priority,
            "action": verdict.action,
            "params": json.dumps(verdict.params, sort_keys=True),
            "urgency": verdict.urgency.value,
            "kind": self.kind,
            "reason": self.reason,
            "explanation": self.explanation,
            "facts": self.facts,
            "state": self.state,
            "fired": list(verdict.fired),
            "unknown": list(verdict.unknown),
            "rules_revision": self.rules_revision,
            "decided": self.time,
            "contributors": self.contributors,
        }
        return {**row, "inputs_hash": hash_of(row, DECIDED_ON), "hash": hash_of(row, DECIDED)}


def recorded(verdict: Verdict, kind: str, reason: str, moment: Moment) -> Decision:
    """The verdict, with all of the moment that bears on it."""
    position = verdict.position
    mine = moment.state.frame.filter(pl.col("position").is_in([BOOK, position]))
    facts = {**moment.market, **moment.seen(position)}
    contributors = None
    if verdict.is_book:
        rows = moment.facts.select(CONTRIBUTORS.names()).iter_rows()
        contributors = json.dumps([[_exact(value) for value in row] for row in rows], allow_nan=False)
    return Decision(
        decision=decision_id(verdict, moment.time),
        verdict=verdict,
        kind=kind,
        reason=reason,
        explanation=moment.explain(BOOK if verdict.is_book else position).text(verdict.rule),
        time=moment.time,
        facts=facts_text(facts),
        state=RuleState(mine).to_json(),
        contributors=contributors,
        rules_revision=moment.book.revision,
    )


def facts_text(facts: Mapping[str, Any]) -> str:
    """Facts as a decision keeps them: JSON, exactly as the rules saw them."""
    return json.dumps({name: _exact(value) for name, value in facts.items()}, allow_nan=False)


def decision_id(verdict: Verdict, now: datetime) -> str:
    """The same position, rule and moment always give the same id."""
    return identity("dec-", verdict.position, verdict.rule, now.isoformat())


def hash_of(row: Row, columns: Iterable[str]) -> str:
    """SHA-256, in hex, of some columns of a row of the `decisions` table.

    It is taken of the UTF-8 text of a JSON object of these columns: keys sorted, no spaces, all that is
    not ASCII escaped, times as UTC with six decimals of a second. The columns hold texts, lists of texts,
    whole numbers and times, no floats: those stand inside of JSON texts, which are hashed as they are. So
    it is the same in every process and with every version of Python.
    """
    content = {name: _plain(row[name]) for name in columns}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value


def _exact(value: float | str | None) -> float | str | None:
    """The fact as JSON keeps it exactly; what is not finite is unknown to the rules."""
    return value if isinstance(value, str | int) else known(value)

"""A recorded decision, decided again from its own row: the same facts and rules must give the same bits."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import polars as pl

from options import RuleError
from rules import FACTS, Rulebook, RuleState
from rules.breaker import REVISION
from rules.scalar import known
from rules.state import BOOK
from trading import cover
from trading.breaker import action_again, is_of_breaker
from trading.cover import covered_again, is_of_cover
from trading.decision import DECIDED, DECIDED_ON, Moment, Row, decision_id, hash_of
from trading.verdict import CONTRIBUTORS, Verdict, verdicts_of

_ABOUT_POSITIONS = pl.Schema(
    {"position": pl.String()}
    | {
        name: pl.String() if fact.dtype is pl.String else pl.Float64()
        for name, fact in FACTS.items()
        if fact.scope != "book"
    }
)
_CHANGED = f"what it was decided on was changed after it was recorded (one of {', '.join(DECIDED_ON)})"
_UNREADABLE = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RuleError,
    pl.exceptions.PolarsError,
)
"""What a text that is not as it was recorded can lead to."""


class Outcome(StrEnum):
    """What became of a replay."""

    SAME = "same"
    DIFFERENT = "different"
    CANNOT = "cannot"


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that was recorded with one value, and has another one when it is decided again."""

    field: str
    recorded: Any
    replayed: Any


@dataclass(frozen=True, slots=True)
class Replay:
    """A decision's row and what the rules make of it now.

    `why` tells why it is not the same, in words. `verdict` is what the rules say now, None where none wins
    or it cannot be replayed; `hash` is the row's with that verdict, `book` the rules.
    """

    row: Row
    outcome: Outcome
    why: str = ""
    verdict: Verdict | None = None
    hash: str | None = None
    differences: tuple[Difference, ...] = ()
    book: Rulebook | None = None

    @property
    def explanation(self) -> str:
        """The conditions of the rule that wins now, in words; empty where none does."""
        if self.book is None or self.verdict is None:
            return ""
        judged = BOOK if self.verdict.is_book else self.verdict.position
        return moment_of(self.row, self.book).explain(judged).text(self.verdict.rule)


def is_of_rules(row: Row) -> bool:
    """Whether rules decided it: not the breaker, nor a covering decision."""
    return not is_of_breaker(row) and not is_of_cover(row)


def without_rules_again(row: Row) -> Replay:
    """Decide again what no rules decided: a decision of the breaker by its table, a covering decision."""
    if is_of_cover(row):
        return _again(row, cover.REVISION, "another way of covering", covered_again)
    return _again(row, REVISION, "another table of the breaker", lambda row: {"action": action_again(row)})


def _again(row: Row, revision: str, other: str, decide: Callable[[Row], Mapping[str, str]]) -> Replay:
    if row["rules_revision"] != revision:
        return Replay(row, Outcome.CANNOT, f"it was decided by {other} ({row['rules_revision']})")
    changed = "" if hash_of(row, DECIDED_ON) == row["inputs_hash"] else _CHANGED
    try:
        decided = decide(row)
    except _UNREADABLE as error:
        outcome = Outcome.DIFFERENT if changed else Outcome.CANNOT
        return Replay(row, outcome, changed or f"its facts or its state cannot be read ({error})")
    again = {**row, **decided}
    differences = tuple(Difference(n, row[n], again[n]) for n in decided if row[n] != again[n])
    hash_now = hash_of(again, DECIDED)
    why = changed or (f"another {differences[0].field}" if differences else "")
    if not why and hash_now != row["hash"]:
        why = "its reason, its kind, its explanation or its hash was changed after it was recorded"
    return Replay(row, Outcome.DIFFERENT if why else Outcome.SAME, why, None, hash_now, differences)


def decided_again(row: Row, book: Rulebook, recorded_facts: Sequence[Row] | None = None) -> Replay:
    """Decide again, by the rules that the row was decided by.

    What the rules do not say is taken as recorded: whether a gate refused, its reason, the words of the
    explanation. `recorded_facts`: the rows of the `facts` table with the position and seq of this one,
    among which its own facts must be; None leaves that out.
    """
    if all(row[name] is None for name in ("decided", "inputs_hash", "hash")):
        return Replay(row, Outcome.CANNOT, "it was recorded by an older optiond, which kept no hash")
    changed = "" if hash_of(row, DECIDED_ON) == row["inputs_hash"] else _CHANGED
    try:
        verdict = _judged(row, moment_of(row, book))
    except _UNREADABLE as error:
        outcome = Outcome.DIFFERENT if changed else Outcome.CANNOT
        return Replay(row, outcome, changed or f"its facts or its state cannot be read ({error})")
    again = {**row, **_said(row, verdict)}
    if verdict is not None:
        again["decision"] = decision_id(verdict, row["decided"] or row["time"])
    differences = [Difference(name, row[name], again[name]) for name in DECIDED if row[name] != again[name]]
    against_facts = _against(row, recorded_facts)
    hash_now = hash_of(again, DECIDED)
    why = changed
    if not why and differences:
        why = f"other {', '.join(difference.field for difference in differences)}"
    elif not why and hash_now != row["hash"]:
        why = "its reason, its kind, its explanation or its hash was changed after it was recorded"
    elif not why and against_facts:
        why = "the table `facts` has other values at this version"
    outcome = Outcome.DIFFERENT if why else Outcome.SAME
    if not why and recorded_facts is not None and not recorded_facts:
        why = "the table `facts` has no row of it (a full disk leaves them out)"
    return Replay(row, outcome, why, verdict, hash_now, (*differences, *against_facts), book)


def decided_under(row: Row, book: Rulebook) -> Replay:
    """What other rules would have made of the facts that a decision was made on.

    What they remember under names that the rules of then did not have is unknown to them.
    """
    try:
        verdict = _judged(row, moment_of(row, book))
    except _UNREADABLE as error:
        return Replay(row, Outcome.CANNOT, f"its facts or its state cannot be read ({error})")
    again = {**row, **_said(row, verdict)}
    wanted = ("rule", "priority", "action", "params", "urgency", "fired", "unknown")
    differences = tuple(
        Difference(name, row[name], again[name]) for name in wanted if row[name] != again[name]
    )
    then = "shadow" if row["kind"] == "shadow" else "live"
    if verdict is not None and verdict.is_shadow != (then == "shadow"):
        differences += (Difference("mode", then, "shadow" if verdict.is_shadow else "live"),)
    outcome = Outcome.DIFFERENT if differences else Outcome.SAME
    why = f"other {', '.join(difference.field for difference in differences)}" if differences else ""
    return Replay(row, outcome, why, verdict, None, differences, book)


def moment_of(row: Row, book: Rulebook) -> Moment:
    """The moment that a row was decided at, for this position and the book.

    Raises one of `_UNREADABLE` when the row is not as it was recorded.
    """
    facts = json.loads(row["facts"])
    mine = [row["position"], *(known(facts.get(name)) for name in _ABOUT_POSITIONS.names()[1:])]
    market = {name: facts.get(name) for name, fact in FACTS.items() if fact.scope == "book"}
    frame = pl.DataFrame([mine], schema=_ABOUT_POSITIONS, orient="row")
    return Moment(row["decided"] or row["time"], book, RuleState.from_json(row["state"]), frame, market)


def _judged(row: Row, moment: Moment) -> Verdict | None:
    """The verdict on the row's position."""
    _, decided = moment.step()
    kept = json.loads(row["contributors"]) if row["contributors"] else []
    contributors = pl.DataFrame(kept, schema=CONTRIBUTORS, orient="row")
    verdicts = verdicts_of(decided.iter_rows(named=True), contributors)
    mine = [verdict for verdict in verdicts if verdict.position == row["position"]]
    # Beside a shadow of the position's own there may be a rule of the book that is turned on it.
    return next((v for v in mine if v.is_book == bool(row["contributors"])), mine[0] if mine else None)


def _said(row: Row, verdict: Verdict | None) -> dict[str, Any]:
    """The columns of a decision's row that follow from the verdict."""
    if verdict is None:
        nothing = dict.fromkeys(("rule", "priority", "action", "params", "urgency", "kind"))
        return {**nothing, "fired": [], "unknown": []}
    gated = row["kind"] if row["kind"] in ("decision", "veto") else "decision"
    return {
        "rule": verdict.rule,
        "priority": verdict.priority,
        "action": verdict.action,
        "params": json.dumps(verdict.params, sort_keys=True),
        "urgency": verdict.urgency.value,
        "kind": "shadow" if verdict.is_shadow else gated,
        "fired": list(verdict.fired),
        "unknown": list(verdict.unknown),
    }


def _against(row: Row, recorded_facts: Sequence[Row] | None) -> tuple[Difference, ...]:
    """Where the row's facts are not those of the `facts` table."""
    if not recorded_facts:
        return ()
    facts = json.loads(row["facts"])
    nearest, *_ = sorted((_unlike(facts, seen) for seen in recorded_facts), key=len)
    return tuple(nearest)


def _unlike(facts: Mapping[str, Any], seen: Row) -> list[Difference]:
    names = [name for name in facts if name in seen]
    return [
        Difference(f"facts.{name}", facts[name], seen[name])
        for name in names
        # As texts, so that 0.0 and -0.0 are not the same.
        if repr(facts[name]) != repr(seen[name])
    ]

"""The two evaluators and the replay against each other, at the sizes that the specification names.

Random conditions over random facts; random rulebooks over random histories with closes, reopens and
restarts; and what was decided, decided again from its own row. `python -m benchmarks.equality [SEED]`
takes some minutes and ends with an error when anything differs.
"""

import hashlib
import json
import random
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

import rules
from benchmarks import random_rules
from rules.carry import carried
from rules.fold import step_with_book
from rules.judgement import Judgement, judge
from rules.plan import action_params
from rules.state import BOOK, RuleState, last_column, latch_column, state_schema, tracked_column
from trading.decision import Moment, recorded
from trading.replay import Outcome, decided_again
from trading.verdict import CONTRIBUTORS, verdicts_of

NOON = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)
EXPRESSIONS = 100_000
STEPS = 10_000
_RULES_A_BOOK = 60
_ROWS = 8


@dataclass(slots=True)
class Tally:
    """What was compared. `different`: the differences in words, the first hundred."""

    expressions: int = 0
    steps: int = 0
    decisions: int = 0
    values: int = 0
    replayed: int = 0
    differences: int = 0
    different: list[str] = field(default_factory=list)

    def compare(self, what: str, one: object, other: object) -> None:
        """Count one comparison. 0.0 is -0.0: as division by zero is unknown, nothing can tell them apart."""
        self.values += 1
        if one != other:
            self.differences += 1
            if len(self.different) < 100:
                self.different.append(f"{what}: {one!r} and {other!r}")

    def __str__(self) -> str:
        return (
            f"{self.expressions:,} expressions, {self.steps:,} steps, {self.decisions:,} decisions, "
            f"{self.values:,} values compared, {self.replayed:,} replays: {self.differences} differences"
        )


def row_of(position: str, judged: Judgement) -> dict[str, Any]:
    """What the scalar evaluator decides, as a row of `DECISIONS`."""
    tier, winner = judged.tier, judged.winner
    names = {"position": position, "fired": judged.fired, "unknown": judged.unknown}
    if tier is None or winner is None:
        return names | dict.fromkeys(("rule", "priority", "action", "params", "urgency", "kind"))
    value = tier.action.value
    argument = value if value is None or isinstance(value, str | int) else winner.parameters[value.name]
    return names | {
        "rule": winner.rule.id,
        "priority": winner.rule.priority,
        "action": tier.action.name,
        "params": action_params(tier.action, argument),
        "urgency": judged.urgency,
        "kind": "decision" if winner.acts else "shadow",
    }


# Expressions


def compare_expressions(tally: Tally, seed: int | str, expressions: int) -> None:
    """Random conditions, sixty in one rulebook, on some positions and the book at once."""
    chance = random.Random(seed)
    done = 0
    while done < expressions:
        book = random_rules.probes(chance, _RULES_A_BOOK, revision=f"{done}")
        positions = [f"P{number}" for number in range(chance.choice((0, 1, *[_ROWS] * 8)))]
        facts, market = random_rules.frame(chance, positions), random_rules.market(chance)
        state, decisions = step_with_book(book, rules.initial_state(), facts, market, NOON)
        rows = {BOOK: {}} | {row.pop("position"): row for row in facts.to_dicts()}
        remembered = {row["position"]: row for row in state.frame.to_dicts()}
        for decision in decisions.iter_rows(named=True):
            position = decision["position"]
            judged = judge(book, {}, {"position": position, **rows[position]}, market, NOON)
            what = f"seed {seed}, rulebook {book.revision}, {position or 'book'}"
            _compare_rules(tally, what, decision, judged, len(book.rules))
            for item in book.tracked:
                name = tracked_column(item.name)
                tally.compare(f"{what}, {name}", remembered[position][name], judged.memory.get(name))
        done += len(book.rules) + len(book.tracked)
    tally.expressions += done


def _compare_rules(tally: Tally, what: str, decision: dict[str, Any], judged: Judgement, rules: int) -> None:
    expected = row_of(decision["position"], judged)
    for name, value in decision.items():
        tally.compare(f"{what}, {name}", value, expected[name])
    # What every rule came to is in `fired` and `unknown`.
    tally.values += rules
    tally.decisions += 1


# Histories


@dataclass(slots=True)
class History:
    """One rulebook, edited now and then, over a random sequence of positions and facts."""

    seed: int
    chance: random.Random = field(init=False)
    books: list[rules.Rulebook] = field(init=False)
    reread: dict[str, rules.Rulebook] = field(init=False)
    """The same books, read from their text once more."""

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        count = self.chance.randint(1, 14)
        self.books = [rules.parse(random_rules.remembering(self.chance, count)) for _ in range(2)]
        self.reread = {book.revision: rules.parse(book.text) for book in self.books}

    def beats(self, count: int) -> Iterator["Beat"]:
        """Facts of ever other positions, some of which are closed and come back."""
        now, book = NOON, self.books[0]
        for number in range(count):
            now += timedelta(seconds=self.chance.choice((0, 1, 5, 5, 10, 30, 3600)))
            if self.chance.random() < 0.02:
                book = self.books[number % 2]
            names = [name for name in "ABCDE" if self.chance.random() < 0.7]
            self.chance.shuffle(names)
            facts = random_rules.frame(self.chance, names, missing=0.0)
            event = self.chance.choice(("", "", "", "", "close", "release", "undo", "restart"))
            rule = f"r{self.chance.randint(0, 5)}"
            touched = self.chance.choice("ABCDE")
            yield Beat(now, book, facts, random_rules.market(self.chance), event, touched, rule)


@dataclass(frozen=True, slots=True)
class Beat:
    """One step, and what happens to the state after it."""

    now: datetime
    book: rules.Rulebook
    facts: pl.DataFrame
    market: Mapping[str, float | str | None]
    event: str
    position: str
    rule: str


def compare_history(tally: Tally, seed: int, steps: int, replays: int) -> None:
    """The fold, its scalar twin with a memory of its own, the fold once more after restarts, and replays."""
    state, again = rules.initial_state(), rules.initial_state()
    memory: dict[str, dict[str, Any]] = {}
    history = History(seed)
    book = history.books[0]
    for number, beat in enumerate(history.beats(steps)):
        if beat.book is not book:
            state, again = carried(state, book, beat.book), carried(again, book, beat.book)
            memory = {position: state.position(position) for position in memory}
            book = beat.book
        before, what = state, f"history {seed}, step {number}"
        state, decisions = step_with_book(beat.book, state, beat.facts, beat.market, beat.now)
        _compare_with_twin(tally, what, beat, decisions, state, memory)
        others = beat.facts.sample(fraction=1, shuffle=True, seed=number)
        again = RuleState.from_json(again.to_json())
        again, decided = step_with_book(beat.book, again, others, beat.market, beat.now)
        tally.compare(f"{what}, hash", _hash(state, decisions), _hash(again, decided))
        if tally.replayed < replays:
            moment = Moment(beat.now, beat.book, before, *_as_recorded(beat))
            _replay(tally, what, moment, history.reread[beat.book.revision])
        state, again = _after(before, state, beat), _after(before, again, beat)
        _forget(before, state, beat, memory)
        tally.steps += 1


def _compare_with_twin(
    tally: Tally,
    what: str,
    beat: Beat,
    decisions: pl.DataFrame,
    state: RuleState,
    memory: dict[str, dict[str, Any]],
) -> None:
    rows = {row["position"]: row for row in beat.facts.to_dicts()} | {BOOK: {"position": BOOK}}
    for decision in decisions.iter_rows(named=True):
        position = decision["position"]
        judged = judge(beat.book, memory.get(position, {}), rows[position], beat.market, beat.now)
        memory[position] = dict(judged.memory)
        _compare_rules(tally, f"{what}, {position or 'book'}", decision, judged, len(beat.book.rules))
    asleep = {rule.id for rule in beat.book.rules if rule.mode == "off"}
    compared = [name for name in state_schema(beat.book) if name.split(":")[1] not in asleep]
    for row in state.frame.to_dicts():
        mine = memory[row["position"]]
        for name in compared:
            # Nothing yet and not (latched, active) are the same.
            tally.compare(f"{what}, {row['position']}, {name}", row[name] or None, mine.get(name) or None)


def _after(before: RuleState, state: RuleState, beat: Beat) -> RuleState:
    match beat.event:
        case "close":
            return state.drop(beat.position)
        case "release":
            return state.release(beat.position, beat.rule)
        case "undo":
            return state.undo(state.marks_since(before, beat.position))
        case "restart":
            return RuleState.from_json(state.to_json())
    return state


def _forget(before: RuleState, state: RuleState, beat: Beat, memory: dict[str, dict[str, Any]]) -> None:
    """The same in the twin's memory, done by hand."""
    mine = memory.get(beat.position, {})
    if beat.event == "close":
        memory.pop(beat.position, None)
    elif beat.event == "release":
        gone = (last_column(beat.rule), *(latch_column(beat.rule, tier) for tier in range(3)))
        memory[beat.position] = {name: value for name, value in mine.items() if name not in gone}
    elif beat.event == "undo":
        was = before.position(beat.position)
        memory[beat.position] = {
            name: value
            for name, value in mine.items()
            if name.split(":")[0] not in ("latch", "last") or not value or was.get(name) == value
        }


def _hash(state: RuleState, decisions: pl.DataFrame) -> str:
    rows = json.dumps(decisions.sort("position").to_dicts(), default=str)
    return hashlib.sha256((rows + state.to_json()).encode()).hexdigest()


# Replays


def _as_recorded(beat: Beat) -> tuple[pl.DataFrame, dict[str, float | str | None]]:
    """The facts as the daemon hands them in: those of the book apart."""
    ours = [name for name in beat.facts.columns if name == "position" or rules.FACTS[name].scope != "book"]
    # Every position has lots, and a loss is a number or unknown.
    loss = pl.col("max_loss_usd")
    known = (pl.col("lots").fill_null(1), pl.when(loss.is_finite()).then(loss))
    return beat.facts.select(ours).with_columns(known), dict(beat.market)


def _replay(tally: Tally, what: str, moment: Moment, reread: rules.Rulebook) -> None:
    """Record what was decided at a moment as the daemon does, and decide it again from the rows alone."""
    _, decided = moment.step()
    contributors = moment.facts.select(CONTRIBUTORS.names())
    for verdict in verdicts_of(decided.iter_rows(named=True), contributors):
        kind = "shadow" if verdict.is_shadow else "decision"
        row = recorded(verdict, kind, "", moment).row()
        replayed = decided_again({**row, "time": row["decided"]}, reread)
        tally.replayed += 1
        where = f"{what}, replay of {verdict.position} {replayed.why}"
        tally.compare(where, replayed.outcome, Outcome.SAME)
        tally.compare(where, replayed.hash, row["hash"])


def compare_all(seed: int, expressions: int, steps: int, replays: int, told: bool = False) -> Tally:
    """Everything, in these sizes; `told`: print how far it is."""
    tally = Tally()
    while tally.expressions < expressions:
        compare_expressions(tally, f"{seed}, {tally.expressions}", min(10_000, expressions))
        if told:
            print(tally, flush=True)
    history = 0
    while tally.steps < steps:
        compare_history(tally, seed * 1_000_000 + history, min(50, steps), replays)
        history += 1
        if told and tally.steps % 1_000 == 0:
            print(tally, flush=True)
    return tally


def main() -> None:
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    tally = compare_all(seed, EXPRESSIONS, STEPS, replays=5_000, told=True)
    print(f"seed {seed}: {tally}")
    for difference in tally.different:
        print(f"  {difference}")
    if tally.differences:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

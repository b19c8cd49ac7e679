"""What was decided can be decided again, bit by bit, from its own row; and what was changed is told."""

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rules
from lake.tables import TABLES
from options import NEW_YORK
from rules import FACTS, Rulebook
from tests.rules.test_conditions import conditions
from tests.rules.test_fold import EVERYTHING
from tests.rules.test_fold import FACTS as SEEN
from trading.decision import DECIDED_ON, Moment, hash_of, recorded
from trading.replay import Difference, Outcome, decided_again, decided_under, moment_of
from trading.verdict import CONTRIBUTORS, verdicts_of

NOON = datetime(2026, 1, 5, 17, 0, 0, 250_001, tzinfo=UTC)
DECISIONS = TABLES["decisions"]


def stored(row: Mapping[str, Any], seq: int = 1) -> dict[str, Any]:
    """The row as the lake gives it back."""
    frame = DECISIONS.fit(pl.DataFrame([row], schema=DECISIONS.row, orient="row"))
    return {"seq": seq, "time": NOON + timedelta(days=seq), **frame.row(0, named=True)}


def decisions_of(moment: Moment) -> tuple[rules.RuleState, list[dict[str, Any]]]:
    """The state after the moment, and a row for every verdict, as the daemon records them."""
    after, decided = moment.step()
    verdicts = verdicts_of(decided.iter_rows(named=True), moment.facts.select(CONTRIBUTORS.names()))
    kinds = {True: ("shadow", "in shadow mode"), False: ("veto", "quotes: not every leg is live")}
    return after, [stored(recorded(v, *kinds[v.is_shadow], moment).row()) for v in verdicts]


@pytest.mark.parametrize("loss", [math.nan, math.inf, None])
def test_a_loss_that_is_no_number_is_the_largest_and_is_decided_again(loss: float | None) -> None:
    book = rules.parse(
        "version: 1\nrules:\n"
        "  - {id: limit, priority: 2, when: vix > 10, scope: book, do: {block_entries: reduce_largest}}\n"
    )
    held = {name: {"lots": 4, "max_loss_usd": usd} for name, usd in (("A", 900.0), ("B", loss), ("C", 800.0))}
    _, (row,) = decisions_of(Moment(NOON, book, rules.initial_state(), frame_of(held), {"vix": 18.0}))
    assert row["position"] == "B"
    assert decided_again(row, book).outcome is Outcome.SAME


def frame_of(rows: Mapping[str, Mapping[str, Any]]) -> pl.DataFrame:
    """The facts of the positions, whole, as `facts_frame` would give them."""
    schema = {"position": pl.String} | {n: f.dtype for n, f in FACTS.items() if f.scope != "book"}
    data = [[name, *(row.get(fact) for fact in list(schema)[1:])] for name, row in rows.items()]
    return pl.DataFrame(data, schema=schema, orient="row", strict=False)


def take_profit(default: Rulebook, **facts: Any) -> dict[str, Any]:
    """A stored decision: half of position A, at 55 % profit after a peak of 60 %."""
    seen = {"profit": 0.55, "lots": 4, "max_loss_usd": 800.0, "structure": "iron_condor", "dte": 40} | facts
    state, _ = rules.step(default, rules.initial_state(), frame_of({"A": {"peak_profit": 0.6}}), {}, NOON)
    moment = Moment(NOON + timedelta(seconds=1), default, state, frame_of({"A": seen}), {"vix": 18.0})
    _, (row,) = decisions_of(moment)
    return row


def test_a_rule_of_the_book_and_a_shadow_on_one_position_are_both_decided_again() -> None:
    both = rules.parse(
        "version: 1\nrules:\n"
        "  - {id: watch, priority: 1, when: profit >= 50%, mode: shadow, do: close}\n"
        "  - {id: limit, priority: 2, when: vix > 10, scope: book, do: {block_entries: reduce_largest}}\n"
    )
    facts = frame_of({"A": {"profit": 0.55, "lots": 4, "max_loss_usd": 800.0}})
    _, rows = decisions_of(Moment(NOON, both, rules.initial_state(), facts, {"vix": 18.0}))
    assert [(row["rule"], row["kind"]) for row in rows] == [("watch", "shadow"), ("limit", "veto")]
    assert [decided_again(row, both).outcome for row in rows] == [Outcome.SAME, Outcome.SAME]


@pytest.fixture(scope="module")
def default() -> Rulebook:
    return rules.load(rules.default_rules_path())


NUMBERS = ("delta", "gamma", "profit")
POSITION = st.builds(
    lambda seen, lots, loss: {**{k: v for k, v in seen.items() if k != "regime"}, "lots": lots,
                              "positions_same_underlying": lots - 2, "max_loss_usd": loss},
    SEEN, st.integers(1, 5), st.none() | st.sampled_from([500.0, 800.0]),
)  # fmt: skip
MARKET = st.fixed_dictionaries(
    {
        "vix": st.none() | st.sampled_from([20.0, 40.0, math.nan, -0.0]) | st.floats(10, 50),
        "regime": st.sampled_from([None, "crash", "normal"]),
        "book_positions": st.none() | st.integers(0, 6),
    }
)
STEPS = st.lists(
    st.tuples(
        st.integers(0, 20_000_000), st.dictionaries(st.sampled_from("ABCD"), POSITION, min_size=1), MARKET
    ),
    min_size=1,
    max_size=8,
)


KEYS = st.fixed_dictionaries(
    {},
    optional={
        "for": st.sampled_from(["3s", "10s"]),
        "cooldown": st.sampled_from(["5s", "40s"]),
        "mode": st.just("shadow"),
        "unknown": st.just("fire"),
    },
)


@st.composite
def rulebooks(draw: st.DrawFn) -> str:
    """A random rules file: conditions as in the tests of the language, with everything that remembers."""
    lines = ["track: {low_delta: min(delta)}", "rules:"]
    for place in range(1, draw(st.integers(1, 4)) + 1):
        tiers = draw(st.booleans())
        condition = draw(conditions(2))
        do = draw(st.sampled_from(["close", "{reduce: half}", "{roll: {dte: $to}}"]))
        lines += [f"  - id: rule{place}", f"    priority: {place}", "    params: {p: 1.5, to: 30d}"]
        lines += ["    overrides: {iron_condor: {to: 45d, p: 0.5}}"]
        if tiers:
            lines += ["    tiers:", f'      - {{when: "{condition}", do: {do}, once: true}}']
            lines += [f'      - {{when: "{draw(conditions(1))}", do: close, urgency: high}}']
        else:
            lines += [
                f'    when: "{condition}"',
                f"    do: {do}",
                f'    urgency: {{high: "{draw(conditions(1))}"}}',
            ]
            lines += draw(st.sampled_from([[], ['    clear_when: "delta < 0"']]))
        lines += [f"    {key}: {value}" for key, value in draw(KEYS).items()]
    limit = draw(st.integers(0, 4))
    lines += ["  - id: limits", "    priority: 9", "    scope: book", f"    when: book_positions > {limit}"]
    lines += ["    do: {block_entries: reduce_largest}", *draw(st.sampled_from([[], ["    cooldown: 9s"]]))]
    return "\n".join(lines) + "\n"


def assert_every_decision_replays(book: Rulebook, steps: list[Any]) -> int:
    """Runs the moments one after the other; each decision, read back, gives its own bits again."""
    state, now, count = rules.initial_state(), NOON, 0
    for microseconds, rows, market in steps:
        now += timedelta(microseconds=microseconds)
        moment = Moment(now, book, state, frame_of(rows), market)
        state, decided = decisions_of(moment)
        for row in decided:
            again = decided_again(row, book)
            assert (again.outcome, again.why, again.hash) == (Outcome.SAME, "", row["hash"])
            assert again.explanation == row["explanation"]
            count += 1
    return count


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(text=rulebooks(), steps=STEPS)
def test_decisions_of_random_rules_on_random_histories_replay_the_same(text: str, steps: list[Any]) -> None:
    assert_every_decision_replays(rules.parse(text), steps)


@settings(max_examples=25)
@given(steps=STEPS)
def test_everything_that_rules_remember_replays_the_same(steps: list[Any]) -> None:
    text = EVERYTHING.replace("do: block_entries, for: 10s", "do: {block_entries: reduce_largest}, for: 2s")
    assert_every_decision_replays(rules.parse(text), steps)


@pytest.mark.parametrize("column", DECISIONS.row.names())
def test_one_changed_field_is_told(default: Rulebook, column: str) -> None:
    row = take_profit(default)
    assert decided_again(row, default).outcome is Outcome.SAME
    value = row[column]
    other = (
        [*value, "time_exit"] if isinstance(value, list)
        else value + timedelta(microseconds=1) if isinstance(value, datetime)
        else value + 1 if isinstance(value, int)
        else value.replace("0.55", "0.56") if column == "facts"
        else value.replace("0.6", "0.61") if column == "state"
        else f"{value or ''}x"
    )  # fmt: skip
    assert other != value
    told = decided_again({**row, column: other}, default)
    assert told.outcome is Outcome.DIFFERENT
    assert told.why
    if column in ("rule", "priority", "action", "urgency", "fired", "unknown"):
        assert Difference(column, other, value) in told.differences


@pytest.mark.parametrize("column", ["decided", "inputs_hash", "hash", "facts", "state"])
def test_one_field_that_was_taken_away_is_told(default: Rulebook, column: str) -> None:
    assert decided_again({**take_profit(default), column: None}, default).outcome is Outcome.DIFFERENT


def test_a_row_of_an_older_optiond_is_not_guessed_at(default: Rulebook) -> None:
    older = take_profit(default) | dict.fromkeys(("decided", "contributors", "inputs_hash", "hash"))
    told = decided_again(older, default)
    assert told.outcome is Outcome.CANNOT
    assert "older optiond" in told.why


def test_facts_that_were_written_anew_with_their_hash_still_differ_in_what_follows(default: Rulebook) -> None:
    row = take_profit(default)
    row["facts"] = row["facts"].replace('"profit": 0.55', '"profit": -3.0')
    row["inputs_hash"] = hash_of(row, DECIDED_ON)
    told = decided_again(row, default)
    assert told.outcome is Outcome.DIFFERENT
    assert Difference("rule", "take_profit", "trailing_stop") in told.differences


def test_the_facts_table_must_have_the_row_that_was_decided_on(default: Rulebook) -> None:
    row = take_profit(default)
    facts = json.loads(row["facts"])
    assert decided_again(row, default, [facts | {"profit": 0.1}, facts]).outcome is Outcome.SAME
    other = decided_again(row, default, [facts | {"profit": 0.54}])
    assert (other.outcome, other.differences) == (
        Outcome.DIFFERENT,
        (Difference("facts.profit", 0.55, 0.54),),
    )
    nowhere = decided_again(row, default, [])
    assert nowhere.outcome is Outcome.SAME
    assert "no row" in nowhere.why


@pytest.mark.parametrize("value", [-0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 1 / 3, 2.0**53 + 2])
def test_numbers_come_back_with_every_bit(default: Rulebook, value: float) -> None:
    row = take_profit(default, theta=value)
    (back,) = moment_of(row, default).facts["theta"]
    assert back.hex() == value.hex()


def test_a_rule_of_the_book_chooses_the_same_position_again(default: Rulebook) -> None:
    rows = {
        "A": {"lots": 3, "max_loss_usd": 900.0},
        "B": {"lots": 5, "max_loss_usd": 1200.0},
        "C": {"lots": 2, "max_loss_usd": 1200.0},
    }
    moment = Moment(NOON, default, rules.initial_state(), frame_of(rows), {"book_positions": 21})
    _, (row,) = decisions_of(moment)
    assert (row["rule"], row["position"], row["params"]) == ("portfolio_limits", "B", '{"count": 2}')
    assert "book_positions > $in_total" in row["explanation"]
    assert decided_again(row, default).outcome is Outcome.SAME
    row["contributors"] = json.dumps([["A", 3, 900.0], ["B", 5, 1200.0], ["C", 2, None]])
    row["inputs_hash"] = hash_of(row, DECIDED_ON)
    assert decided_again(row, default).outcome is Outcome.DIFFERENT


def test_other_rules_on_the_same_facts_show_what_they_would_have_done(default: Rulebook) -> None:
    row = take_profit(default)
    later = rules.parse(default.text.replace("half: 50%}", "half: 58%}").replace("- {profit: 50%}", ""))
    assert decided_under(row, default).outcome is Outcome.SAME
    nothing = decided_under(row, later)
    assert (nothing.outcome, nothing.verdict) == (Outcome.DIFFERENT, None)
    assert Difference("action", "reduce", None) in nothing.differences


def test_a_rule_that_other_rules_have_in_shadow_mode_would_not_have_acted(default: Rulebook) -> None:
    row = take_profit(default)
    shadow = rules.parse(default.text.replace("- id: take_profit\n", "- id: take_profit\n    mode: shadow\n"))
    quiet = decided_under(row, shadow)
    assert quiet.verdict is not None and quiet.verdict.is_shadow
    assert quiet.differences == (Difference("mode", "live", "shadow"),)


def test_the_hash_is_what_the_documentation_says() -> None:
    """Written out by hand: it stays for ever, since rows in lakes hold such hashes."""
    row = {"time": NOON, "names": ["a", "é"], "none": None, "count": 7, "more": "left out"}
    text = r'{"count":7,"names":["a","\u00e9"],"none":null,"time":"2026-01-05T17:00:00.250001+00:00"}'
    new_york = {**row, "time": NOON.astimezone(NEW_YORK)}
    for same in (row, new_york):
        assert hash_of(same, ("time", "names", "none", "count")) == hashlib.sha256(text.encode()).hexdigest()

"""The breaker's journal, replayed to any point, leads to the same mode; what does not fit is the stricter."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rules.breaker import EVENTS, MODES, Event, Mode, next_mode
from trading.breaker import HUMAN, Breaker, Entry, action_again, is_of_breaker, replayed
from trading.decision import DECIDED, DECIDED_ON, hash_of
from trading.replay import Outcome, without_rules_again

T = datetime(2026, 3, 2, 15, tzinfo=UTC)


def entry(before: Breaker, event: Event, actor: str = "breaker", doubt: str = "", **changes: Any) -> Entry:
    mode = changes.pop("mode", next_mode(before.recorded, event))
    number = before.number + 1
    facts = {"conditions": {}, "standing": ["daily_loss"], **changes}
    at = T + timedelta(minutes=number)
    return Entry(number, at, event, before.recorded, mode, actor, f"because {number}", facts, doubt)


def journal(events: list[Event]) -> tuple[list[dict[str, Any]], list[Breaker]]:
    rows, breakers, breaker = [], [], Breaker()
    for event in events:
        made = entry(breaker, event)
        breaker = breaker.entered(made)
        rows.append({**made.row(), "time": made.time, "seq": made.number})
        breakers.append(breaker)
    return rows, breakers


def test_a_journal_replayed_at_any_point_gives_the_breaker_of_then() -> None:
    chance = random.Random(5)
    rows, breakers = journal(chance.choices(EVENTS, k=400))
    for length in range(0, 400, 7):
        found = replayed(rows[:length])
        assert (found.breaker, found.trouble) == (breakers[length - 1] if length else Breaker(), "")
        mode = found.start
        for event in found.events:
            mode = next_mode(mode, event)
        assert mode is found.breaker.recorded, "its last part leads there too"


def test_nothing_ever_happened_is_armed() -> None:
    assert replayed([]).breaker == Breaker()
    assert Breaker().mode is Mode.ARMED


@pytest.mark.parametrize("tampered", list(MODES))
def test_where_events_and_recorded_mode_differ_the_stricter_holds_and_it_is_told(tampered: Mode) -> None:
    rows, breakers = journal([Event.VIX_SHOCK, Event.HUMAN_HALT, Event.HUMAN_RESET])
    rows[-1]["state"] = tampered.value
    found = replayed(rows)
    assert found.breaker.recorded is max(tampered, Mode.HALF_OPEN, key=MODES.index)
    assert bool(found.trouble) is (tampered is not breakers[-1].recorded)


def test_an_entry_that_cannot_be_read_halts() -> None:
    rows, _ = journal([Event.VIX_SHOCK])
    for broken in ({"state": "asleep"}, {"event": "surprise"}, {"facts": "{"}, {"before": None}):
        found = replayed([{**rows[0], **broken}])
        assert found.breaker.recorded is Mode.HALTED
        assert "cannot be read" in found.trouble
    later, _ = journal([Event.VIX_SHOCK, Event.HUMAN_HALT])
    assert replayed([{**later[0], "event": "surprise"}, later[1]]).trouble == "", "a halt is a halt"


def test_rows_of_an_older_optiond_say_the_mode_alone() -> None:
    old = {"number": None, "before": None, "facts": None, "doubt": None, "decided": None, "seq": 1}
    rows = [
        {**old, "event": "human_halt", "state": "frozen", "actor": "me", "reason": "fire", "time": T},
        {**old, "event": "human_reset", "state": "armed", "actor": "me", "reason": "out", "time": T},
        {**old, "event": "human_halt", "state": "halted", "actor": None, "reason": None, "time": T},
    ]
    modes = [replayed(rows[: n + 1]).breaker.mode.value for n in range(3)]
    assert modes == ["frozen", "armed", "halted"]
    assert replayed(rows[:1]).breaker.reason == "fire"
    after = replayed(rows).breaker
    reset = entry(after, Event.HUMAN_RESET)
    assert replayed([*rows, {**reset.row(), "time": T}]).breaker.mode is Mode.HALF_OPEN


def test_a_doubt_is_replayed_as_it_was_held() -> None:
    rows, breakers = journal([Event.HUMAN_HALT])
    held = entry(breakers[-1], Event.HUMAN_RESET, doubt="the statechart gave no answer", mode=Mode.HALTED)
    found = replayed([*rows, held.row()])
    assert (found.breaker.recorded, found.trouble) == (Mode.HALTED, "")
    assert (found.start, found.events) == (Mode.HALTED, ())


def test_who_and_since_when_are_of_the_event_that_brought_the_mode() -> None:
    breaker = Breaker().entered(entry(Breaker(), Event.VIX_SHOCK))
    again = breaker.entered(entry(breaker, Event.DAILY_LOSS))
    assert (again.reason, again.since, again.number) == (breaker.reason, breaker.since, 2)
    human = again.entered(entry(again, Event.HUMAN_HALT, actor="me"))
    assert (human.actor, human.reason) == ("me", "because 3")
    assert {Event.HUMAN_HALT, Event.HUMAN_FREEZE, Event.HUMAN_RESET} == HUMAN


def test_a_humans_word_holds_before_its_entry_is_made() -> None:
    held = Breaker(hold=Mode.HALTED)
    assert (held.mode, held.allows_opening, held.allows_closing) == (Mode.HALTED, False, True)
    tripped = held.entered(entry(held, Event.VIX_SHOCK))
    assert tripped.mode is Mode.HALTED, "an event in between does not take it back"
    assert tripped.entered(entry(tripped, Event.HUMAN_HALT)).hold is None


@pytest.mark.parametrize(
    ("mode", "opens", "closes"),
    [
        (Mode.ARMED, True, True),
        (Mode.HALF_OPEN, True, True),
        (Mode.TRIPPED, False, True),
        (Mode.FLATTENING, False, True),
        (Mode.HALTED, False, True),
        (Mode.FROZEN, False, False),
    ],
)
def test_what_each_mode_allows(mode: Mode, opens: bool, closes: bool) -> None:
    breaker = Breaker(recorded=mode)
    assert (breaker.allows_opening, breaker.allows_closing) == (opens, closes)


# --- its decisions -------------------------------------------------------------------------------


def test_every_entry_is_a_decision_that_can_be_replayed() -> None:
    row = entry(Breaker(), Event.VIX_SHOCK).decision_row()
    assert (row["rule"], row["position"], row["action"]) == ("breaker", None, "tripped")
    assert is_of_breaker(row)
    assert not is_of_breaker({"rules_revision": "5cbd78a6607c"})
    assert (row["inputs_hash"], row["hash"]) == (hash_of(row, DECIDED_ON), hash_of(row, DECIDED))
    assert without_rules_again(row).outcome is Outcome.SAME
    other = without_rules_again({**row, "action": "armed"})
    assert (other.outcome, other.differences[0].replayed) == (Outcome.DIFFERENT, "tripped")
    facts = json.loads(row["facts"]) | {"before": "half_open"}
    assert without_rules_again({**row, "facts": json.dumps(facts)}).outcome is Outcome.DIFFERENT
    assert without_rules_again({**row, "rules_revision": "breaker-older"}).outcome is Outcome.CANNOT


def test_a_closing_of_a_position_follows_from_flattening_only() -> None:
    row = {"position": "IWM-1", "state": '{"mode": "flattening"}'}
    assert action_again(row) == "close"
    assert action_again({**row, "state": '{"mode": "tripped"}'}) == "nothing"


def test_an_entry_survives_its_row() -> None:
    made = entry(Breaker(), Event.REJECT_BURST)
    assert Entry.from_row({**made.row(), "time": None}) == made
    assert made.said == "breaker armed → tripped on reject_burst by breaker: because 1"

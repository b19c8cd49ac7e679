"""The breaker's table is total and says what the specification says; durable_rules walks it the same way."""

import json
import random
import subprocess
import sys
import threading
from itertools import product
from pathlib import Path

import pytest

import rules.breaker
from rules.breaker import EVENTS, MODES, TABLE, TRIPS, Event, Failed, Mode, after, judged, next_mode, stricter
from rules.breaker.statechart import NotTotal, walk
from rules.breaker.table import EVENT_MEANING, MODE_MEANING, described, plain

BESIDES = [event for event in EVENTS if event not in TRIPS]
"""Each event, one by one: where it leads from armed, half open, tripped, flattening, halted, frozen."""
EXPECTED = {
    **dict.fromkeys(TRIPS, "tripped tripped tripped flattening halted frozen"),
    Event.FLATTEN: "flattening flattening flattening flattening halted frozen",
    Event.FLAT: "armed half_open tripped halted halted frozen",
    Event.TIMER_ELAPSED: "armed armed tripped flattening halted frozen",
    Event.HUMAN_HALT: "halted halted halted halted halted halted",
    Event.HUMAN_FREEZE: "frozen frozen frozen frozen frozen frozen",
    Event.HUMAN_RESET: "armed half_open half_open flattening half_open half_open",
}


@pytest.mark.parametrize(("mode", "event"), list(product(MODES, EVENTS)))
def test_from_every_mode_every_event_leads_where_it_should(mode: Mode, event: Event) -> None:
    assert next_mode(mode, event).value == EXPECTED[event].split()[MODES.index(mode)]


def test_the_table_is_total_and_everything_in_it_has_a_meaning() -> None:
    assert TABLE.keys() == set(product(MODES, EVENTS))
    assert MODE_MEANING.keys() == set(MODES)
    assert EVENT_MEANING.keys() == set(EVENTS)
    assert [row[0] for row in described()] == [event.value for event in EVENTS]


def test_only_a_human_and_time_loosen_and_only_one_step() -> None:
    loosening = {
        (mode, event, to) for (mode, event), to in TABLE.items() if MODES.index(to) < MODES.index(mode)
    }
    assert {event for _, event, _ in loosening} == {Event.HUMAN_RESET, Event.TIMER_ELAPSED, Event.HUMAN_HALT}
    assert {(m, e) for m, e, to in loosening if to is Mode.ARMED} == {(Mode.HALF_OPEN, Event.TIMER_ELAPSED)}
    assert {m for m, e, _ in loosening if e is Event.HUMAN_HALT} == {Mode.FROZEN}


def test_the_way_of_the_book() -> None:
    way = [Event.DAILY_LOSS, Event.FLATTEN, Event.FLAT, Event.HUMAN_RESET, Event.TIMER_ELAPSED]
    modes = [after(way[: n + 1]).value for n in range(len(way))]
    assert modes == ["tripped", "flattening", "halted", "half_open", "armed"]


def test_strictness_is_ordered() -> None:
    assert [mode.value for mode in MODES] == [
        "armed", "half_open", "tripped", "flattening", "halted", "frozen",
    ]  # fmt: skip
    assert stricter(Mode.HALTED, Mode.FLATTENING, Mode.ARMED) is Mode.HALTED


# --- the fence -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "event"), list(product(MODES, EVENTS)))
def test_without_an_answer_nothing_is_loosened_and_every_stop_holds(mode: Mode, event: Event) -> None:
    judgement = judged(mode, event, Failed("it died"))
    assert judgement.mode is stricter(mode, next_mode(mode, event))
    assert "it died" in judgement.doubt


@pytest.mark.parametrize("opinion", MODES)
def test_of_two_opinions_the_stricter_holds(opinion: Mode) -> None:
    judgement = judged(Mode.HALTED, Event.HUMAN_RESET, opinion)
    assert judgement.mode is stricter(opinion, Mode.HALF_OPEN)
    assert bool(judgement.doubt) is (opinion is not Mode.HALF_OPEN)


def test_alone_the_table_decides() -> None:
    assert judged(Mode.HALTED, Event.HUMAN_RESET, None).mode is Mode.HALF_OPEN


# --- durable_rules -------------------------------------------------------------------------------


def test_six_thousand_random_events_lead_the_same_way_in_durable_rules() -> None:
    chance = random.Random(20261121)
    events = chance.choices(EVENTS, k=6000)
    mode, expected = Mode.ARMED, []
    for event in events:
        mode = next_mode(mode, event)
        expected.append(mode.value)
    assert set(expected) == {mode.value for mode in MODES}, "every mode was visited"
    threads = threading.active_count()
    assert walk(plain(), "armed", [event.value for event in events]) == expected
    assert threading.active_count() == threads, "it has left no timer threads"


def test_a_reset_that_found_nothing_to_reset_does_not_undo_the_next_trip() -> None:
    assert walk(plain(), "armed", ["human_reset", "human_reset", "vix_shock"]) == [
        "armed",
        "armed",
        "tripped",
    ]


@pytest.mark.parametrize("mode", MODES)
def test_a_walk_begins_in_any_mode(mode: Mode) -> None:
    walked = walk(plain(), mode.value, [event.value for event in EVENTS])
    assert walked == [after(EVENTS[: n + 1], mode).value for n in range(len(EVENTS))]


def test_a_table_with_a_hole_is_refused() -> None:
    table = plain()
    del table["tripped"]["flat"]
    with pytest.raises(NotTotal, match="from tripped there is no transition for flat"):
        walk(table, "armed", ["vix_shock"])
    with pytest.raises(NotTotal, match="from armed there is no transition for flat"):
        walk({**plain(), "armed": {**plain()["armed"], "flat": "nowhere"}}, "armed", [])


def test_an_event_that_no_transition_consumes_is_an_error_not_a_trap() -> None:
    with pytest.raises(Exception, match="unheard_of"):
        walk(plain(), "armed", ["unheard_of", "vix_shock"])


def test_the_rules_import_and_run_without_durable_rules() -> None:
    program = """
import sys
sys.modules["durable"] = None
sys.modules["durable_rules_engine"] = None
import rules, rules.breaker
assert rules.breaker.after([rules.breaker.Event.VIX_SHOCK]) is rules.breaker.Mode.TRIPPED
assert rules.load(rules.default_rules_path()).rules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_asked_as_a_program_it_answers_modes_or_says_why_not() -> None:
    program = Path(rules.breaker.__file__).with_name("statechart.py")

    def ask(question: dict[str, object]) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", str(program)]
        return subprocess.run(
            command, input=json.dumps(question), capture_output=True, text=True, check=False
        )

    wrong = ask({"table": {"armed": {}}, "start": "elsewhere", "events": ["x"]})
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.strip()

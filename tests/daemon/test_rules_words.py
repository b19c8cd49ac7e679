"""`optiond rules pending`, `approve`, `reject`, `rollback` and `revisions` while no daemon runs."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from rules import RuleState
from tests.daemon.answer import Answer
from tests.daemon.test_reload import ALL, Room, on, text_of

Ask = Callable[..., Answer]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path / "home")
    yield made
    made.lake.close()


def left(room: Room) -> str:
    """The home without its daemon, an eager edit waiting; gives its revision."""
    eager = room.saved(text_of(ALL))
    room.lake.close()
    return eager


def test_what_waits_is_listed_with_every_position(room: Room, ask: Ask) -> None:
    first, eager = room.in_force, left(room)
    answer = ask("rules", "pending", "--home", room.home)
    assert answer.code == 0
    assert f"in force: revision {first} of {room.rules}" in answer.out
    assert f"revision {eager} waits since 2026-03-02 12:01:00 New York" in answer.out
    (line, *_) = [line for line in answer.out.splitlines() if line.startswith("S3-")]
    assert line.split()[1:] == ["take", "close", "mid", "at", "once", "10.0%", "54.88"]
    assert f"optiond rules approve {eager}" in answer.out
    assert len(ask("rules", "pending", "--home", room.home, "--json").json()["fires"]) == 6


def test_an_approval_needs_the_daemon(room: Room, ask: Ask) -> None:
    left(room)
    answer = ask("rules", "approve", "--home", room.home)
    assert answer.code == 3
    assert "no daemon runs" in answer.out


def test_a_rejection_is_taken_down_for_the_next_start(room: Room, ask: Ask) -> None:
    first, eager = room.in_force, left(room)
    wrong = ask("rules", "reject", first, "--home", room.home)
    assert (wrong.code, wrong.err) == (
        1,
        f"optiond: revision {first} does not wait: revision {eager} does\n",
    )
    answer = ask("rules", "reject", eager[:6], "--reason", "no", "--home", room.home)
    assert answer.out == f"revision {eager} is rejected; the file is ignored until it is saved again\n"
    assert "nothing waits for you" in ask("rules", "pending", "--home", room.home).out
    room.open()
    assert (room.in_force, room.status["ignored"]) == (first, eager)
    assert room.rows()["reason"][-1] == "no"


def test_a_rollback_without_a_daemon_asks_for_now(room: Room, ask: Ask) -> None:
    first = room.in_force
    second = room.saved(text_of(on("S0")))
    room.lake.close()
    assert ask("rules", "rollback", "--home", room.home).code == 3
    answer = ask("rules", "rollback", "--now", "--home", room.home)
    assert answer.out == (
        f"revision {first} is in force; the file holds {second} and is ignored until it is saved again\n"
    )
    again = ask("rules", "rollback", first, "--now", "--home", room.home)
    assert again.err == f"optiond: revision {first} is in force already\n"
    assert "the lake has no rules" in ask("rules", "rollback", "abcdef", "--now", "--home", room.home).err
    room.open()
    asyncio.run(room._turn())
    assert (room.in_force, room.status["ignored"]) == (first, second)


def test_a_rollback_without_a_daemon_does_nothing_twice(room: Room, ask: Ask) -> None:
    """What was done counts for the tier wherever it stood, as with a daemon."""
    half = "      - {when: profit >= 98%, do: {reduce: half}, once: true}\n"
    head = "version: 1\nrules:\n  - id: take\n    priority: 1\n    tiers:\n"
    room.saved(f"{head}      - {{when: profit >= 99%, do: close}}\n{half}")
    room.saved(f"{head}{half}")
    position = room.state.positions.positions[0].id
    room.state.rule_state = RuleState(pl.DataFrame({"position": [position], "latch:take:0": [True]}))
    asyncio.run(room.engine.record_now(room.now))
    room.lake.close()
    assert ask("rules", "rollback", "--now", "--home", room.home).code == 0
    room.open()
    assert room.state.rule_state.position(position)["latch:take:1"] is True


def test_the_history_tells_every_revision_and_every_step(room: Room, ask: Ask) -> None:
    first, eager = room.in_force, room.saved(text_of(ALL))
    room.approve(eager)
    room.lake.close()
    ask("rules", "pending", "--home", room.home)  # takes what the engine has said
    history = ask("rules", "revisions", "--home", room.home).out.splitlines()
    assert len(history) == 3
    assert f"{eager}  in force  jo " in history[1]
    assert f"{first}  in force  the saved file" in history[2]
    steps = ask("rules", "revisions", "--all", "--home", room.home, "--json").json()
    assert [step["event"] for step in steps] == ["taken_up", "approved", "waiting", "seen", "taken_up"]
    assert len(steps[2]["fires"]) == 6
    assert steps[3]["replayed"]["positions"] == 6


@pytest.mark.parametrize("word", ["pending", "reject", "revisions"])
def test_a_home_without_rules_in_force_is_one_line(word: str, tmp_path: Path, ask: Ask) -> None:
    answer = ask("rules", word, "--home", tmp_path)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.count("\n") == 1


def test_a_revision_is_named_by_six_characters_at_least(tmp_path: Path, ask: Ask) -> None:
    answer = ask("rules", "approve", "abc", "--home", tmp_path)
    assert answer.code == 2
    assert "abc is no revision: give at least six of its characters" in answer.err

"""`optiond rules explain`: of what was decided, of what is recorded, by other rules, and what cannot be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.answer import Answer

GIVES_BACK = """
rules:
  - {id: gives_back, priority: 1, when: peak_profit - profit >= 20%, do: close}
"""


def test_a_decision_is_explained_as_it_was_decided(finished: Any, ask: Callable[..., Answer]) -> None:
    (decision,) = finished.summary["decisions"]
    about = ("rules", "explain", decision["position"], "--at", decision["id"], "--home", finished.home)
    told = ask(*about).out
    assert f"as {decision['id']} was decided" in told
    assert "✓ 7 take_profit: wins\n  ✓ close mid when\n    ✓ profit >= $full " in told
    data = ask(*about, "--rule", "take_profit", "--json").json()
    assert (data["source"], data["rule"], data["what_if"]) == ("decision", "take_profit", False)
    assert [one["outcome"] for one in data["rules"]] == ["wins"]


def test_a_moment_is_explained_by_the_rules_and_the_memory_of_then(
    finished: Any, ask: Callable[..., Answer]
) -> None:
    (decision,) = finished.summary["decisions"]
    about = ("rules", "explain", decision["position"], "--home", finished.home)
    early = ask(*about, "--at", "2026-03-02 15:01").out
    assert "as last recorded (version" in early
    assert "✗ 7 take_profit: quiet: profit +" in early
    last = ask(*about, "--json").json()
    assert last["source"] == "lake"
    assert last["tracked"]["peak_profit"] >= 0.8, "what was remembered then"


def test_other_rules_say_what_they_would_on_the_same_facts(
    finished: Any, ask: Callable[..., Answer], tmp_path: Path
) -> None:
    file = tmp_path / "other.yaml"
    file.write_text(GIVES_BACK)
    (decision,) = finished.summary["decisions"]
    about = ("rules", "explain", decision["position"], "--at", decision["id"], "--home", finished.home)
    told = ask(*about, "--rules", file).out
    assert f"WHAT IF these were judged by {file}" in told
    assert "✗ 1 gives_back: quiet: peak_profit - profit +20 %" in told


def test_the_book_is_explained_too(finished: Any, ask: Callable[..., Answer]) -> None:
    (decision,) = finished.summary["decisions"]
    for at in (("--at", decision["id"]), ()):
        told = ask("rules", "explain", "book", *at, "--home", finished.home).out
        assert told.startswith("the book as of ")
        assert "✗ book_positions > $in_total" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("XYZ-9",), "no facts of XYZ-9 are recorded by then; `optiond positions` lists what is held"),
        (
            ("{position}", "--rule", "take_profits"),
            "have no rule 'take_profits' about positions: did you mean",
        ),
        (("book", "--rule", "stop_loss"), "have no rule 'stop_loss' about the book"),
        (("XYZ-9", "--at", "{decision}"), "{decision} was decided on {position}, not on XYZ-9"),
        (("{position}", "--at", "yesterday"), "'yesterday' is neither a version"),
        (("{position}", "--at", "2020-01-01"), "no facts of {position} are recorded by then"),
    ],
)
def test_what_cannot_be_explained_is_one_line(
    words: tuple[str, ...], said: str, finished: Any, ask: Callable[..., Answer]
) -> None:
    (decision,) = finished.summary["decisions"]
    names = {"position": decision["position"], "decision": decision["id"]}
    answer = ask("rules", "explain", *(word.format(**names) for word in words), "--home", finished.home)
    assert answer.code == 1
    assert said.format(**names) in answer.err
    assert answer.err.count("\n") == 1


# Beside a running daemon, and what it leaves behind

WATCHED = """
rules:
  - {id: profit, priority: 1, when: profit >= 80%, do: close, mode: shadow}
  - {id: loss, priority: 2, when: profit <= -50%, do: close, mode: shadow}
"""


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_running_daemon_explains_the_moment_and_leaves_traces_across_a_restart(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    course = ((60.0, 0.24), (120.0, 0.15), (180.0, 0.9))
    gateway = replay(helpers.story(minutes=60, profit_after_s=5, left=0.7, course=course), speed=20)
    home.settle(gateway)
    (home.path / "rules.yaml").write_text(WATCHED)
    daemon = home.start()
    helpers.wait_until(lambda: (home.status() or {}).get("positions") == 1, 30, "adopted")
    (position,) = helpers.wait_until(lambda: [row["id"] for row in home.json("positions")], 30, "recorded")
    now = helpers.wait_until(
        lambda: (answer := home.json("rules", "explain", position))["source"] == "daemon" and answer,
        30,
        "seen",
    )
    assert [one["rule"] for one in now["rules"]] == ["profit", "loss"]
    assert home.json("rules", "explain", "book")["source"] == "daemon"

    def told(*words: str) -> list[tuple[str, str | None, str]]:
        rows = home.json("rules", "traces", "--position", position, *words)
        return [(row["rule"], row["was"], row["outcome"]) for row in reversed(rows)]

    helpers.wait_until(lambda: ("profit", "wins", "quiet") in told(), 60, "near, fired and over")
    helpers.stop(daemon)
    course_of_it = [("profit", None, "near"), ("profit", "near", "wins"), ("profit", "wins", "quiet")]
    assert [row for row in told() if "unknown" not in row] == course_of_it
    assert told("--near") == [("profit", None, "near")]
    assert told("loss", "--near") == []
    (near,) = home.json("rules", "traces", "--near")
    assert near["distance"] == pytest.approx((0.8 - 0.76) / 0.8, abs=0.01)
    assert near["trace"]["missing"][0]["fact"] == "profit"
    assert f"profit  {position}  quiet  near: profit +" in home.ask("rules", "traces", "profit").stdout

    again = home.start()
    helpers.wait_until(
        lambda: home.json("rules", "explain", position)["source"] == "daemon", 30, "it goes on"
    )
    helpers.stop(again)
    assert [row for row in told() if "unknown" not in row] == course_of_it, "nothing is told twice"

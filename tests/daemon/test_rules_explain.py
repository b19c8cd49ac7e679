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

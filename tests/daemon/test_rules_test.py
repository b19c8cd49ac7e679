"""`optiond rules test`: what is run, what is printed, and the exit code."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon.answer import Answer

Ask = Callable[..., Answer]

RULES = """
rules:
  - id: gives_back
    priority: 1
    when: peak_profit >= 30% and profit <= peak_profit * 50%
    do: close
    examples: {fires: {peak_profit: 30%, profit: 10%}}
"""
TESTS = """
tests:
  - name: gives back
    series: {profit: 10% 30% 10%}
    expect: {at 2m: gives_back, otherwise: none}
  - name: keeps most of it
    series: {profit: 10% 30% 20%}
    expect: {always: none}
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine_test.yaml").write_text(TESTS)
    path = tmp_path / "mine.yaml"
    path.write_text(RULES)
    return path


def test_examples_and_the_tests_beside_a_file_are_run(mine: Path, ask: Ask) -> None:
    answer = ask("rules", "test", mine)
    beside = mine.with_name("mine_test.yaml")
    assert answer == Answer(0, f"{mine}: 1 example\n{beside}: ..\n1 example and 2 tests passed\n", "")
    assert ask("rules", "test", beside) == answer
    assert ask("rules", "test", beside, mine) == answer, "each once"


def test_a_failure_ends_with_one_and_says_why(mine: Path, ask: Ask) -> None:
    mine.write_text(RULES.replace("50%", "70%"))
    answer = ask("rules", "test", mine)
    assert (answer.code, answer.err) == (1, "")
    assert f"{mine.with_name('mine_test.yaml')}: .F\n" in answer.out
    assert "mine_test.yaml:8:22: keeps most of it: at 2m expected nothing, but gives_back" in answer.out
    assert re.search(r"✓ profit <= peak_profit \* 70% +20 % +21 %", answer.out)
    assert answer.out.endswith("\n1 of 2 tests failed\n")

    told = ask("rules", "test", mine, "--json")
    assert told.code == 1
    (file,) = json.loads(told.out)["files"]
    assert (file["examples"], file["tests"], file["failed"]) == (1, 2, 1)
    (failure,) = file["failures"]
    assert (failure["test"], failure["at_s"], failure["line"], failure["column"]) == (
        "keeps most of it",
        120.0,
        8,
        22,
    )
    assert (failure["expected"], failure["won"]) == ("nothing", "gives_back (close mid)")


def test_an_example_that_does_not_hold_fails_like_a_test(mine: Path, ask: Ask) -> None:
    mine.write_text(RULES.replace("50%", "20%"))
    answer = ask("rules", "test", mine)
    assert (answer.code, answer.out) == (1, "1 file cannot be used\n")
    assert "gives_back is quiet on this example of fires" in answer.err


def test_wrong_tests_are_told_with_their_place_and_the_others_still_run(mine: Path, ask: Ask) -> None:
    mine.with_name("mine.more_test.yaml").write_text("tests: [{name: t, never: give_back}]")
    answer = ask("rules", "test", mine)
    assert answer.code == 1
    assert (
        "mine.more_test.yaml:1:26: no rule give_back in the rules file: did you mean gives_back?"
        in answer.err
    )
    assert "mine_test.yaml: ..\n1 file cannot be used\n" in answer.out
    (problem,) = json.loads(ask("rules", "test", mine, "--json").out)["files"][0]["problems"]
    assert (problem["line"], problem["column"]) == (1, 26)


def test_without_a_file_the_rules_of_the_home_are_tested(mine: Path, ask: Ask, tmp_path: Path) -> None:
    assert "31 tests passed" in ask("rules", "test", "--home", tmp_path).out, "the shipped ones at first"
    mine.rename(tmp_path / "rules.yaml")
    assert ask("rules", "test", "--home", tmp_path).out.endswith("1 example and 0 tests passed\n")
    mine.with_name("mine_test.yaml").rename(tmp_path / "rules_test.yaml")
    assert ask("rules", "test", "--home", tmp_path).out.endswith("1 example and 2 tests passed\n")


def test_a_file_that_is_not_there_is_told(tmp_path: Path, ask: Ask) -> None:
    for name in ("rules.yaml", "rules_test.yaml"):
        answer = ask("rules", "test", tmp_path / name)
        assert answer.code == 1
        assert "rules.yaml:1:1: cannot be read" in answer.err

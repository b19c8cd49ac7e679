"""Every rule set of the cookbook is sound, does what its tests say, and is on the page."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import rules
from rules.expression import Literal
from rules.facts import Unit
from rules.scalar import any_of, parameters_for, truth
from rules.series import SUFFIX, judge_series, run_series, series_beside
from rules.series_reader import read_series

FOLDER = Path(__file__).parents[2] / "docs" / "cookbook"
PAGE = FOLDER.with_suffix(".md").read_text(encoding="utf-8")
SETS = sorted(path for path in FOLDER.glob("*.yaml") if not path.name.endswith(SUFFIX))


def named(path: Path) -> str:
    return path.stem


def test_there_are_ten_and_all_are_on_the_page() -> None:
    assert len(SETS) == 10
    linked = re.findall(r"\[\S+\]\(cookbook/(\S+)\.yaml\), \[tests\]\(cookbook/(\S+)_test\.yaml\)", PAGE)
    assert sorted(linked) == [(path.stem, path.stem) for path in SETS]


@pytest.mark.parametrize("path", SETS, ids=named)
def test_a_set_does_what_its_tests_say(path: Path) -> None:
    (tests,) = series_beside(path)
    run = judge_series(rules.load(path), tests)
    assert [str(failure) for failure in run.failures] == []


@pytest.mark.parametrize("path", SETS, ids=named)
def test_nothing_is_odd_in_a_set(path: Path) -> None:
    assert [one.message for one in rules.lint(rules.load(path))] == []


@pytest.mark.parametrize("path", SETS, ids=named)
def test_every_rule_of_a_set_wins_in_one_of_its_tests_and_has_examples(path: Path) -> None:
    book = rules.load(path)
    own = [rule for rule in book.rules if rule.path == str(path)]
    (beside,) = series_beside(path)
    tests = read_series(book, beside.read_text(encoding="utf-8"), str(beside))
    wins = {one.rule.id for test in tests for what in test.expectations for one in what.wanted}
    assert {rule.id for rule in own} <= wins
    for rule in own:
        assert {example.fires for example in rule.examples} == {True, False}, rule.id


@pytest.mark.parametrize("path", SETS, ids=named)
def test_every_set_has_tests_of_what_must_not_happen(path: Path) -> None:
    book = rules.load(path)
    (beside,) = series_beside(path)
    tests = read_series(book, beside.read_text(encoding="utf-8"), str(beside))
    quiet = [test for test in tests if test.never or any(not what.wanted for what in test.expectations)]
    assert len(quiet) >= 3


@pytest.mark.parametrize("path", SETS, ids=named)
def test_every_rule_says_why_in_a_comment_above_it(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    rules_at = [number for number, line in enumerate(lines) if re.match(r"  - id: ", line)]
    assert [lines[at] for at in rules_at if not lines[at - 1].startswith("  # ")] in (
        [],
        ["  - id: take_half"],
    )


WITH_TESTS = [rules.default_rules_path(), *SETS]


@pytest.mark.long
@pytest.mark.parametrize("path", WITH_TESTS, ids=named)
def test_a_number_that_changes_by_a_third_is_noticed(path: Path) -> None:
    """By an example or by a test; counts and days change by one."""
    book = rules.load(path)
    unnoticed = [
        f"{rule.id}.{name}"
        for rule in book.rules
        if rule.path == str(path)
        for name, changed in _changed(rule)
        if not _is_noticed(book, rule, changed, path)
    ]
    assert unnoticed == []


def _changed(rule: rules.Rule) -> Iterator[tuple[str, rules.Rule]]:
    for name, literal in rule.parameters.items():
        for other in _others(literal):
            yield name, replace(rule, parameters={**rule.parameters, name: other})
    for target, values in rule.overrides.items():
        for name, literal in values.items():
            for other in _others(literal):
                overrides = {**rule.overrides, target: {**values, name: other}}
                yield f"{target}.{name}", replace(rule, overrides=overrides)


def _others(literal: Literal) -> Iterator[Literal]:
    if isinstance(literal.value, str):
        return
    is_counted = literal.unit in (None, Unit.DAYS) and literal.value.is_integer()
    for step in (-1, 1):
        change = step if is_counted else step * (abs(literal.value) or 1) * 0.3
        yield replace(literal, value=literal.value + change)


def _is_noticed(book: rules.Rulebook, rule: rules.Rule, changed: rules.Rule, path: Path) -> bool:
    for example in rule.examples:
        parameters = parameters_for(changed, example.facts)
        holds = any_of([truth(tier.when, example.facts, parameters) for tier in changed.tiers])
        if bool(holds) != example.fires:
            return True
    edited = replace(book, rules=tuple(changed if one is rule else one for one in book.rules))
    return any(run_series(edited, tests) for tests in series_beside(path))

"""Tests of rules: what a `*_test.yaml` may say, what fails, and what is said about it."""

import random
from pathlib import Path

import pytest

import rules
from rules.series import judge_series, rules_of, run_series, series_beside
from rules.series_reader import read_series
from tests.rules.fuzz_series import judged, mutated, seeds

STARTS = seeds()
RULES = """
rules:
  - id: gives_back
    priority: 1
    when: peak_profit >= 40% and profit <= peak_profit * 50%
    do: {close: mid}
  - id: roll
    priority: 2
    when: dte <= $start
    params: {start: 25d, target: 45d}
    urgency: {high: dte <= 21d}
    do: {roll: {dte: $target}}
  - id: half
    priority: 3
    tiers: [{when: profit >= 50%, do: {reduce: half}, once: true}]
  - id: too_many
    priority: 4
    scope: book
    when: book_positions > 3
    do: block_entries
  - {id: idle, priority: 5, mode: off, when: dte < 1d, do: close}
  - {id: watched, priority: 6, mode: shadow, when: delta > 0.5, do: close}
"""
BOOK = rules.parse(RULES)


def failing(*lines: str, name: str = "t") -> list[str]:
    """The failures of one test with these keys: moment, what was expected, what won."""
    body = "".join(f"    {line}\n" for line in lines)
    text = f"tests:\n  - name: {name}\n{body}"
    return [f"{one.at_s:g}: {one.expected} / {one.won}" for one in run_series(BOOK, text)]


def problems(text: str) -> list[str]:
    with pytest.raises(rules.RulesInvalid) as caught:
        run_series(BOOK, text)
    return [f"{one.line}:{one.column}: {one.message}" for one in caught.value.problems]


def wrong(*lines: str) -> list[str]:
    return problems("tests:\n  - name: t\n" + "".join(f"    {line}\n" for line in lines))


# --- what holds and what fails -------------------------------------------------------------------


def test_the_series_of_the_specification() -> None:
    told = ("position: {structure: iron_condor}", "series: {profit: 10% 30% 62% 28%}")
    assert failing(*told, "expect: {at 3m: gives_back, at 2m: half, otherwise: none}") == []
    assert failing(*told, "expect: {at 2m: gives_back, at 3m: none}") == [
        "120: gives_back / half (reduce half)",
        "180: nothing / gives_back (close mid)",
    ]


def test_an_expectation_is_told_once_at_its_first_moment() -> None:
    told = failing("every: 1d", "position: {dte: 26d 25d 24d 20d}", "expect: {always: none}", "never: roll")
    assert told == ["86400: nothing / roll (roll 45)", "86400: never roll / roll (roll 45)"]


def test_action_and_urgency_may_be_expected() -> None:
    facts = ("every: 1d", "position: {dte: 25d 21d}")
    for expected in (
        "{at 0m: {rule: roll, action: roll, urgency: normal}}",
        "{at 0m: {rule: roll, action: {roll: {dte: 45d}}}}",
        "{at 1d: {rule: roll, urgency: high}}",
    ):
        assert failing(*facts, f"expect: {expected}") == []
    assert failing(*facts, "expect: {at 0m: {rule: roll, action: {roll: {dte: 30d}}, urgency: high}}") == [
        "0: roll (roll 30, high) / roll (roll 45)"
    ]
    assert failing(*facts, "expect: {at 1d: {rule: roll, action: close}}") == [
        "86400: roll (close) / roll (roll 45, high)"
    ]


def test_unknown_as_before_and_repeated_values() -> None:
    quiet = "expect: {at 0m: none, at 1m: none, at 2m: none, at 3m: gives_back}"
    assert failing("series: {profit: 45% ~*2 20%}", quiet) == [], "the peak outlasts what is unknown"
    assert failing("series: {profit: 45% _*2 20%}", quiet) == []
    assert failing("series: {profit: 45%*3 20%}", quiet) == []
    assert failing("series: {profit: 45% ~ null 20%}", quiet) == []
    assert failing("series: {profit: ~ _ _ 20%}", quiet) == ["180: gives_back / nothing"]


def test_a_shorter_series_holds_its_last_value() -> None:
    assert failing("series: {dte: 30d 20d, lots: 1 2 3 4}", "expect: {at 0m: none, otherwise: roll}") == []


def test_positions_do_not_touch_each_other_and_the_book_is_judged_beside_them() -> None:
    several = ("positions: {A: {profit: 10% 55%}, B: {profit: 10% 20%}}", "book: {book_positions: 3 4}")
    assert failing(*several, "expect: {at 0m: none, at 1m: {A: half, B: none}}") == []
    assert failing(*several, "expect: {at 1m: too_many}") == []
    assert failing(*several, "expect: {at 1m: none}") == [
        "60: nothing / too_many (block_entries) and half (reduce half) on A"
    ]
    assert failing(*several, "expect: {at 1m: {A: none, B: half}}") == [
        "60: nothing on A / half (reduce half) on A",
        "60: half on B / nothing",
    ]


def test_facts_of_the_book_may_stand_beside_those_of_a_single_position() -> None:
    one = "position: {book_positions: 4, profit: 55%}"
    assert failing(one, "expect: {at 0m: [half, too_many]}") == []
    assert failing("book: {book_positions: 4}", "expect: {at 0m: too_many}") == []
    assert failing("book: {book_positions: 3}", "expect: {at 0m: too_many}") == ["0: too_many / nothing"]


def test_a_rule_in_shadow_mode_wins_where_no_other_does() -> None:
    facts = "positions: {A: {delta: 0.6}, B: {delta: 0.6, dte: 25d}}"
    assert failing(facts, "expect: {at 0m: {A: watched, B: roll}}") == []


def test_a_rule_that_is_off_never_wins_and_says_so() -> None:
    facts = "position: {dte: 0d}"
    assert failing(facts, "never: idle") == []
    (failure,) = run_series(
        BOOK, f"tests: [{{name: t, {facts[:-1]}, profit: 1%}}, expect: {{at 0m: idle}}}}]"
    )
    assert "idle is off and never wins" in str(failure)


def test_a_failure_shows_the_place_and_why() -> None:
    text = (
        "tests:\n"
        "  - name: gives back\n"
        "    series: {profit: 10% 30% 62% 35%}\n"
        "    expect:\n"
        "      at 3m: gives_back\n"
    )
    (failure,) = run_series(BOOK, text)
    assert str(failure).splitlines()[:4] == [
        "rules_test.yaml:5:14: gives back: at 3m expected gives_back, but nothing won",
        "    5 |       at 3m: gives_back",
        "                     ^",
        "    ✗ 1 gives_back: quiet: profit -4 %",
    ]
    assert "profit <= peak_profit * 50%          35 %          31 %  -4 % (13 %)" in str(failure)


def test_a_failure_of_the_book_is_explained_too() -> None:
    (failure,) = run_series(BOOK, "tests: [{name: t, book: {book_positions: 3}, expect: {at 0m: too_many}}]")
    assert "book_positions > 3             3             3  +1 (33 %)" in failure.explanation


def test_tests_say_how_many_there_are_and_which_failed() -> None:
    run = judge_series(BOOK, "tests: [{name: a, never: half}, {name: b, expect: {at 0m: half}}]")
    assert (run.tests, run.failed) == (("a", "b"), {"b"})


# --- which files belong together -------------------------------------------------------------------


def test_the_tests_of_a_rules_file_are_found_by_their_names(tmp_path: Path) -> None:
    for name in ("mine.yaml", "mine.old.yaml", "other.yaml"):
        (tmp_path / name).write_text(RULES)
    for name in ("mine_test.yaml", "mine.crash_test.yaml", "mine.old_test.yaml", "minex_test.yaml"):
        (tmp_path / name).write_text("tests: []")
    found = series_beside(tmp_path / "mine.yaml")
    assert [path.name for path in found] == ["mine.crash_test.yaml", "mine_test.yaml"]
    assert [path.name for path in series_beside(tmp_path / "mine.old.yaml")] == ["mine.old_test.yaml"]
    assert series_beside(tmp_path / "other.yaml") == []
    assert rules_of(tmp_path / "mine.crash_test.yaml") == tmp_path / "mine.yaml"


def test_a_file_of_tests_may_name_its_rules(tmp_path: Path) -> None:
    path = tmp_path / "crash_test.yaml"
    path.write_text("rules: ../mine.yaml\ntests: []\n")
    assert rules_of(path) == tmp_path / "../mine.yaml"
    path.write_text("rules: [\n")
    assert rules_of(path) == tmp_path / "crash.yaml", "whoever runs it will be told what is wrong"


# --- mistakes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            ("series: {proft: 10%}", "never: roll"),
            "3:14: unknown fact proft: did you mean profit or profit_usd?",
        ),
        (
            ("series: {profit: 10}", "never: roll"),
            "3:22: profit is a ratio, 10 is a number without unit: write 10%",
        ),
        (
            ("series: {profit: 10% 3d}", "never: roll"),
            "3:26: profit is a ratio, 3d is in days: write 3%",
        ),
        (("series: {profit: 10% 3q}", "never: roll"), "3:26: unknown unit 'q' in 3q"),
        (
            ("series: {profit: 10%, 30%}", "never: roll"),
            "3:27: 30% is no fact: the values of a series have blanks",
        ),
        (
            ("series: {profit: [10%, 30%]}", "never: roll"),
            "3:22: profit is one value, or several with blanks",
        ),
        (("series: {profit: }", "never: roll"), "profit has no value: write one, or ~ for unknown"),
        (
            ("series: {profit: _ 10%}", "never: roll"),
            "3:22: nothing stands before this _: begin profit with a value",
        ),
        (("series: {profit: 10%*x}", "never: roll"), "3:22: 10%*x: a value is repeated so: 10%*5"),
        (("series: {profit: 10%*0}", "never: roll"), "3:22: 10%*0: a value is repeated so: 10%*5"),
        (
            ("series: {profit: 10%*999999999999}", "never: roll"),
            "more than 30,000 values in one file: split it",
        ),
        (
            ("series: {profit: nan}", "never: roll"),
            "3:22: profit is a ratio, nan is no number: write one, or ~ for unknown",
        ),
        (
            ("series: {structure: condor}", "never: roll"),
            "structure is never 'condor': did you mean iron_condor",
        ),
        (("series: {dte: 30d}", "position: {dte: 20d}", "never: roll"), "3:14: dte is given twice: keep one"),
        (("book: {vix: 20}", "position: {vix: 21}", "never: roll"), "3:12: vix is given twice: keep one"),
        (("book: {dte: 20d}", "never: roll"), "3:12: dte is not of the book: write it under `position:`"),
        (("positions: {A: {vix: 20}}", "never: roll"), "3:21: vix is of the book: write it under `book:`"),
        (("positions: [A]", "never: roll"), "3:16: positions is a mapping: write {A: {profit: 10% 30%}}"),
        (
            ("positions: {A: {}}", "series: {dte: 3d}", "never: roll"),
            "`series` beside `positions`: move its facts",
        ),
        (("positions: {rule: {dte: 3d}}", "never: roll"), "'rule' is no name for a position: choose another"),
        (("position: iron_condor", "never: roll"), "3:15: position is facts: write {structure: iron_condor"),
        (("every: 1x", "never: roll"), "3:12: every is the time between two beats, from 1s to 30d"),
        (("every: 0s", "never: roll"), "3:12: every is the time between two beats, from 1s to 30d"),
        (("serie: {dte: 3d}", "never: roll"), "3:5: unknown key serie in a test: did you mean series?"),
        (("series: {dte: 3d}",), "2:5: a test that expects nothing: add `expect:` or `never:`"),
        (("expect: roll",), "3:13: expect is a mapping: write {at 3m: trailing_stop}"),
        (("expect: {3m: roll}",), "3:14: when is 3m? write `at 3m`, `always` or `otherwise`"),
        (("expect: {at noon: roll}",), "3:14: when is at noon? write `at 3m`"),
        (
            ("expect: {at 1m: roll}",),
            "3:14: at 1m is after the last beat, which is at 0m: make a series longer",
        ),
        (
            ("series: {dte: 3d 2d}", "expect: {at 30s: roll}"),
            "4:14: at 30s is between two beats: there is one every 1m",
        ),
        (("expect: {at 0m: rol}",), "3:21: no rule rol in the rules file: did you mean roll?"),
        (("never: rol",), "3:12: no rule rol in the rules file: did you mean roll?"),
        (("never: [[roll]]",), "3:13: name a rule here, or write `none`"),
        (
            ("expect: {at 0m: [roll, half]}",),
            "only one rule wins on a position, and one on the book: keep one",
        ),
        (("expect: {at 0m: []}",), "an empty list: write `none` when nothing should win"),
        (
            ("expect: {at 0m: {action: close}}",),
            "which rule should win? write {rule: trailing_stop, action: close}",
        ),
        (
            ("expect: {at 0m: {rule: half, act: close}}",),
            "unknown key act in an expectation: did you mean action?",
        ),
        (("expect: {at 0m: {rule: half, action: clos}}",), "unknown action clos: did you mean close?"),
        (
            ("expect: {at 0m: {rule: half, action: {reduce: most}}}",),
            "reduce by how much? write {reduce: half}",
        ),
        (("expect: {at 0m: {rule: half, urgency: soon}}",), "urgency must be one of immediate, high, normal"),
        (
            ("expect: {at 0m: roll, otherwise: none}",),
            "3:27: `at` names every beat already: remove `otherwise`",
        ),
        (
            ("book: {vix: 20}", "expect: {at 0m: roll}"),
            "4:21: roll is about positions, and this test has none: add `position:`",
        ),
        (
            ("positions: {A: {dte: 3d}}", "expect: {at 0m: {B: roll}}"),
            "4:22: no position B in this test: known are: A",
        ),
        (
            ("positions: {A: {dte: 3d}}", "expect: {at 0m: roll}"),
            "4:21: roll wins on which position? write {A: roll}",
        ),
        (
            ("positions: {A: {dte: 3d}}", "expect: {at 0m: {A: too_many}}"),
            "4:25: too_many is of the book: write it without a position",
        ),
    ],
)
def test_a_mistake_in_a_test_is_told_with_its_place(lines: tuple[str, ...], said: str) -> None:
    (told,) = wrong(*lines)
    assert said in told


def test_a_tracked_value_is_given_by_what_it_is_folded_from() -> None:
    book = rules.parse("track: {trough: min(profit)}\n" + RULES.lstrip())
    with pytest.raises(
        rules.RulesInvalid, match=r"trough is min\(profit\), folded by the rules: give profit"
    ):
        run_series(book, "tests: [{name: t, series: {trough: -10%}, never: roll}]")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a", "a file of tests is a mapping: start it with `tests:`"),
        ("test: []", "unknown key test in a file of tests: did you mean tests?"),
        ("tests: {}", "`tests:` needs a list with at least one test"),
        ("rules: [a]\ntests: [{name: t, never: roll}]", "rules is the name of a rules file"),
        ("tests: [5]", "a test is a mapping: start it with `- name: what should happen`"),
        ("tests: [{never: roll}]", "a test needs a name: add `name: what should happen`"),
        ("tests: [{name: t, never: roll}, {name: t, never: roll}]", "a second test named 't': rename one"),
        ("tests:\n\t- name: t", "a tab: use spaces"),
        ("tests: [&a {name: t}]", "anchors (&) and aliases (*) are not used in rules"),
    ],
)
def test_a_file_that_is_no_file_of_tests_is_refused(text: str, said: str) -> None:
    assert any(said in told for told in problems(text))


def test_all_mistakes_of_a_file_are_told_at_once() -> None:
    text = (
        "tests:\n  - name: a\n    series: {proft: 1%, dte: 3}\n    expect: {at 9m: rol}\n"
        "  - {name: b, never: [x, y]}\n"
    )
    assert [told.split(": ")[0] for told in problems(text)] == [
        "3:14",
        "3:30",
        "4:14",
        "4:21",
        "5:23",
        "5:26",
    ]


def test_a_file_cannot_ask_for_endless_beats() -> None:
    tests = "".join(f"  - {{name: t{n}, series: {{dte: 3d*600}}, never: roll}}\n" for n in range(6))
    assert "more than 3,000 beats in one file: split it" in problems(f"tests:\n{tests}")[0]


def test_a_file_that_cannot_be_read_is_refused_like_rules(tmp_path: Path) -> None:
    with pytest.raises(rules.RulesInvalid, match="cannot be read"):
        run_series(BOOK, tmp_path / "rules_test.yaml")
    (tmp_path / "rules_test.yaml").write_bytes(b"tests: \xff\n")
    with pytest.raises(rules.RulesInvalid, match="is not UTF-8 text"):
        run_series(BOOK, tmp_path / "rules_test.yaml")


# --- the shipped tests ---------------------------------------------------------------------------------


def test_the_shipped_rules_do_what_their_tests_say(default_rules: rules.Rulebook) -> None:
    path = rules.default_rules_path()
    (tests,) = series_beside(path)
    assert rules_of(tests) == path
    run = judge_series(default_rules, tests)
    assert [str(failure) for failure in run.failures] == []
    assert len(run.tests) == 31


def test_every_shipped_rule_has_a_moment_at_which_it_should_win(default_rules: rules.Rulebook) -> None:
    path = series_beside(rules.default_rules_path())[0]
    tests = read_series(default_rules, path.read_text(encoding="utf-8"), str(path))
    wanted = {one.rule.id for test in tests for what in test.expectations for one in what.wanted}
    assert wanted == {rule.id for rule in default_rules.rules}


# --- damaged files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(100))
def test_a_damaged_file_of_tests_is_run_or_refused_with_places(
    number: int, default_rules: rules.Rulebook
) -> None:
    chance = random.Random(number)
    judged(default_rules, mutated(chance, chance.choice(STARTS)))

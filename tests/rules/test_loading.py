"""Rules files: every mistake is named with its place and what to do, all at once."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rules

SOUND = """version: 1
rules:
  - id: first
    priority: 1
    when: profit >= 80%
    do: {close: mid}
"""

# What is wrong stands where it was written, however YAML writes it; `mistakes/` has all the others.
PLACES = [
    (">\n      profit >= 80%\n      and dtee <= 1d", (7, 11)),
    ("|\n      profit >= 80%\n      and dtee <= 1d", (7, 11)),
    ("\"structure == 'stock' and dtee <= 1d\"", (5, 37)),
    ("'structure == ''stock'' and dtee <= 1d'", (5, 39)),
    ("{any: [profit >= 80%, dtee <= 1d]}", (5, 33)),
    ("profit >= 80% and\n      dtee <= 1d", (6, 7)),
]


def test_the_sound_file_is_sound() -> None:
    book = rules.parse(SOUND)
    assert [rule.id for rule in book.rules] == ["first"]
    assert book.text == SOUND
    assert book.revision == rules.parse(SOUND).revision != rules.parse(SOUND + "# edited\n").revision


@pytest.mark.parametrize(("condition", "place"), PLACES)
def test_a_mistake_is_placed_however_the_condition_is_written(condition: str, place: tuple[int, int]) -> None:
    with pytest.raises(rules.RulesInvalid) as caught:
        rules.parse(SOUND.replace("profit >= 80%", condition))
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == place
    assert problem.message == "unknown fact dtee: did you mean dte?"


def test_the_message_shows_the_line_with_a_caret_under_the_mistake() -> None:
    with pytest.raises(rules.RulesInvalid) as caught:
        rules.parse(SOUND.replace("profit", "profitt"), "mine.yaml")
    assert str(caught.value) == (
        "mine.yaml:5:11: unknown fact profitt: did you mean profit or profit_usd?\n"
        "    5 |     when: profitt >= 80%\n"
        "                  ^"
    )


def test_all_mistakes_of_a_file_are_reported_at_once_in_its_order() -> None:
    text = """version: 1
macros: {late: dte <= 1}
rules:
  - id: first
    priority: 1
    when: {any: [profitt >= 80%, dte <= 30s, {all: [late, vix > 35%]}]}
    do: {close: limit}
    for: 30
  - id: second
    priority: 1
    when: profit >= $p
    params: {p: 80}
    do: {roll: {dte: 45}}
    cooldwn: 3m
"""
    with pytest.raises(rules.RulesInvalid) as caught:
        rules.parse(text)
    assert [problem.line for problem in caught.value.problems] == [2, 6, 6, 6, 7, 8, 11, 13, 14]


def test_a_macro_stands_for_its_condition_and_may_use_those_above_it() -> None:
    book = rules.parse(
        "macros: {late: dte <= 7d, lost: late and profit < 0}\n" + SOUND.replace("profit >= 80%", "lost")
    )
    plain = rules.parse(SOUND.replace("profit >= 80%", "dte <= 7d and profit < 0"))
    assert book.rules[0].tiers[0].when == plain.rules[0].tiers[0].when


def test_macros_that_grow_without_end_are_refused() -> None:
    bomb = ", ".join(["m0: dte < 1d"] + [f"m{n}: m{n - 1} or m{n - 1}" for n in range(1, 40)])
    with pytest.raises(rules.RulesInvalid, match="more than 2000 parts once macros are written out"):
        rules.parse(f"macros: {{{bomb}}}\n" + SOUND)


def test_more_rules_than_there_are_bits_are_refused() -> None:
    entries = "".join(f"  - {{id: r{n}, priority: {n}, when: dte < 1d, do: close}}\n" for n in range(1, 62))
    with pytest.raises(rules.RulesInvalid, match="more than 60 rules"):
        rules.parse("rules:\n" + entries)


def test_yaml_words_keep_the_meaning_of_the_rules_language() -> None:
    assert rules.parse(SOUND + "    mode: off\n").rules[0].mode == "off"
    assert rules.parse(SOUND + "    cooldown: 1d\n").rules[0].cooldown_s == 86_400.0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"#" * 1_000_001, "larger than 1 MB"),
        (b"version: 1\nrules: \xff\n", "is not UTF-8 text"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "rules.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(rules.RulesInvalid, match=said) as caught:
        rules.load(path)
    assert caught.value.problems[0].path == str(path)


@pytest.mark.parametrize(
    "number", ["1.2.3 weeks", "1..2 days", "1.2.3w", "5.k", "1e400 weeks", "1e400k", "$1.2.3 %"]
)
def test_what_is_no_number_at_all_is_refused_in_words(number: str) -> None:
    for text in (SOUND.replace("80%", number), SOUND + f"    for: {number}\n"):
        with pytest.raises(rules.RulesInvalid):
            rules.parse(text)


ANYTHING = st.text(alphabet=st.sampled_from(" \n-:{}[](),'\"$%<>=!&*#|>.01dvolprofitandnm\tä"), max_size=60)


@settings(max_examples=200, deadline=None)
@given(ANYTHING)
def test_whatever_stands_in_a_condition_it_is_read_or_refused_with_a_place(text: str) -> None:
    for file in (SOUND.replace("profit >= 80%", text), text, SOUND + text):
        try:
            rules.parse(file)
        except rules.RulesInvalid as error:
            for problem in error.problems:
                assert 1 <= problem.line <= file.count("\n") + 1
                assert problem.column >= 1


def test_a_file_saved_on_windows_is_read_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + SOUND.replace("\n", "\r\n").encode())
    assert rules.load(path).rules == rules.parse(SOUND).rules


def test_a_file_with_endless_lists_is_given_up_early() -> None:
    with pytest.raises(rules.RulesInvalid, match="more than 10000 keys and values"):
        rules.parse("rules:\n" + "- a\n" * 11_000)


def test_what_was_accepted_once_is_read_again_whatever_is_checked_since() -> None:
    text = SOUND.replace("80%", "$p") + "    params: {p: 80%}\n    overrides: {iron_condr: {p: 50%}}\n"
    with pytest.raises(rules.RulesInvalid, match="override for an unknown iron_condr"):
        rules.parse(text)
    assert rules.parse_stored(text).revision == rules.revision_of(text)


@pytest.mark.parametrize(
    ("base", "override", "place"),
    [("2", "2" * 39, "7:29"), ("2", "1.5", "7:29"), ("2" * 39, "2", "4:18"), ("0", "2", "4:18")],
)
def test_a_count_of_lots_is_whole_and_small_in_overrides_too(base: str, override: str, place: str) -> None:
    text = (
        "rules:\n  - id: probe\n    priority: 1\n    do: {reduce: $lots}\n    when: profit >= 50%\n"
        f"    params: {{lots: {base}}}\n    overrides: {{SPY: {{lots: {override}}}}}\n"
    )
    with pytest.raises(rules.RulesInvalid) as refused:
        rules.parse(text)
    (problem,) = refused.value.problems
    assert f"{problem.line}:{problem.column}" == place

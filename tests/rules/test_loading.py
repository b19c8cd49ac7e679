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

MISTAKES: list[tuple[str, list[tuple[int, int, str]]]] = [
    (
        SOUND.replace("profit >= 80%", "profitt >= 80%"),
        [(5, 11, "unknown fact profitt: did you mean profit or profit_usd?")],
    ),
    (
        SOUND.replace("profit >= 80%", "profit >= 80"),
        [(5, 21, "profit is a ratio, 80 is a number without unit: write 80%")],
    ),
    (SOUND.replace("profit >= 80%", "dte <= 30s"), [(5, 18, "dte is in days, 30s is in seconds: write 30d")]),
    (
        SOUND.replace("profit >= 80%", "structure > 'stock'"),
        [(5, 11, "text has no order: use == or != instead of >")],
    ),
    (
        SOUND.replace("profit >= 80%", "structure == 'iron_condr'"),
        [(5, 24, "structure is never 'iron_condr': did you mean iron_condor?")],
    ),
    (SOUND.replace("profit >= 80%", "profit = 80%"), [(5, 18, "did not expect = here: write `==`")]),
    (
        SOUND.replace("profit >= 80%", "profit >= 80% && dte <= 1d"),
        [(5, 25, "did not expect && here: write `and`")],
    ),
    (
        SOUND.replace("profit >= 80%", "(profit >= 80%"),
        [(5, 25, "a ( is not closed: add ) (in a YAML list, put conditions with commas in quotes)")],
    ),
    (
        SOUND.replace("profit >= 80%", "profit"),
        [(5, 11, "profit is a ratio, not a condition: compare it with something")],
    ),
    (
        SOUND.replace("profit >= 80%", "profit >="),
        [(5, 20, "the condition ends too early: something is missing here")],
    ),
    (
        SOUND.replace("profit >= 80%", "10% <= profit <= 20%"),
        [(5, 25, "did not expect <= here: compare two values at a time, or use `between … and …`")],
    ),
    (
        SOUND.replace("profit >= 80%", "profit >= 80pct"),
        [
            (
                5,
                21,
                "unknown unit 'pct' in 80pct: write 50%, 3x, 21d, 2h, 2m, 30s, 5vol, $500 or a plain number",
            )
        ],
    ),
    (
        SOUND.replace("profit >= 80%", "profit + dte > 3d"),
        [(5, 11, "cannot add profit (a ratio) and dte (in days): use the same unit")],
    ),
    (
        SOUND.replace("profit >= 80%", "profit >= $full"),
        [(5, 21, "unknown parameter $full: add it under `params:`")],
    ),
    (
        SOUND.replace("profit >= 80%", "max_loss_usd > 500"),
        [(5, 26, "max_loss_usd is in USD, 500 is a number without unit: write $500")],
    ),
    (
        SOUND.replace("profit >= 80%", "{any: [structure in ('stock', 'custom'), dte <= 1d]}"),
        [(5, 49, "not YAML: a bracket is not closed before this; put conditions that have commas in quotes")],
    ),
    (
        SOUND.replace("profit >= 80%", "[dte <= 1d]"),
        [(5, 11, "a list of conditions: say {any: […]} or {all: […]}")],
    ),
    (
        SOUND.replace("profit >= 80%", "{any: []}"),
        [(5, 17, "any needs a list: write {any: [dte <= 1d, profit >= 80%]}")],
    ),
    (SOUND.replace("    priority: 1\n", "\tpriority: 1\n"), [(4, 1, "a tab: use spaces")]),
    (
        SOUND.replace("    do:", "   do:"),
        [(6, 4, "not YAML: this line is indented differently from the lines it belongs to")],
    ),
    (SOUND + "    do: {close: market}\n", [(7, 5, "do is given twice (first in line 6): keep one")]),
    (SOUND + "    cooldwn: 30m\n", [(7, 5, "unknown key cooldwn in a rule: did you mean cooldown?")]),
    (
        SOUND + "  - id: first\n    priority: 1\n    when: profit >= 80%\n    do: {close: mid}\n",
        [(7, 5, "a second rule with id first (first in line 3): rename one")],
    ),
    (SOUND.replace("id: first", "mode: live"), [(3, 5, "a rule needs a name: add `id: take_profit`")]),
    (
        SOUND.replace("    priority: 1\n", "    priority: high\n"),
        [(4, 15, "priority must be a whole number from 1 (1 wins over 2)")],
    ),
    (
        SOUND.replace("    when: profit >= 80%\n", ""),
        [(3, 5, "a rule needs `when:` (or `tiers:` with several)")],
    ),
    (SOUND.replace("close: mid", "clse: mid"), [(6, 9, "unknown action clse: did you mean close?")]),
    (
        SOUND.replace("close: mid", "close: limit"),
        [(6, 17, "close at which price? write {close: mid} or {close: market}")],
    ),
    (
        SOUND.replace("close: mid", "reduce: 0.5"),
        [(6, 18, "reduce by how much? write {reduce: half} or a number of lots, {reduce: 2}")],
    ),
    (SOUND.replace("close: mid", "roll: 45d"), [(6, 16, "roll to which expiry? write {roll: {dte: 45d}}")]),
    (
        SOUND.replace("{close: mid}", "block_entries"),
        [(6, 9, "block_entries belongs to a rule with `scope: book`: use another action or scope")],
    ),
    (SOUND + "    mode: on\n", [(7, 11, "mode must be one of off, shadow, live")]),
    (SOUND + "    for: 30\n", [(7, 10, "for is a duration: write 30s, 5m, 2h or 1d")]),
    (SOUND + "    urgency: soon\n", [(7, 14, "urgency is immediate, high or normal, or {high: condition}")]),
    (SOUND + "    unknown: ignore\n", [(7, 14, "unknown must be one of hold, fire")]),
    (SOUND + "    params: {p: .nan}\n", [(7, 17, "p is .nan: write a number")]),
    (
        SOUND.replace("80%", "$p") + "    params: {p: 80%}\n    overrides: {IWM: {p: 21d}}\n",
        [(8, 26, "p is a ratio, 21d is in days: write 21%")],
    ),
    (
        SOUND.replace("80%", "$p") + "    params: {p: 80%}\n    overrides: {IWM: {q: 80%}}\n",
        [(8, 26, "override of an unknown parameter q: known are: p")],
    ),
    (
        "version: 1\nx: &a [1]\nrules: *a\n",
        [(2, 4, "anchors (&) and aliases (*) are not used in rules: write it out, or use `macros:`")],
    ),
    (
        SOUND.replace("id: first", "id: !!python/name:os.system first"),
        [(3, 9, "the tag tag:yaml.org,2002:python/name:os.system is not used in rules: remove it")],
    ),
    (
        SOUND.replace("version: 1", "version: 2"),
        [(1, 10, "this optiond reads version 1: write `version: 1`")],
    ),
    ("", [(1, 1, "a rules file is a mapping: start it with `version: 1` and `rules:`")]),
    ("- a\n", [(1, 1, "a rules file is a mapping: start it with `version: 1` and `rules:`")]),
    ("version: 1\n", [(1, 1, "`rules:` needs a list with at least one rule")]),
    (
        SOUND + "    examples: {fires: {profit: 79%}}\n",
        [(7, 23, "first is quiet on this example of fires: change one of them")],
    ),
    (
        SOUND + "    examples: {fires: {profit: 90}}\n",
        [(7, 32, "profit is a ratio, 90 is a number without unit: write 90%")],
    ),
    (
        SOUND + "    scope: book\n",
        [
            (5, 11, "profit is not of the book: a book rule uses vix, regime and book_…"),
            (6, 9, "close belongs to a rule about positions: use another action or scope"),
        ],
    ),
    (
        SOUND.replace(
            "    when: profit >= 80%\n    do: {close: mid}\n",
            "    tiers: [{when: profit >= 80%, do: close}]\n    clear_when: profit < 70%\n",
        ),
        [(6, 17, "clear_when goes with `when`, not with `tiers`: make it two rules")],
    ),
    (
        SOUND + "    tiers: [{when: profit >= 80%, do: close}]\n",
        [
            (5, 5, "`when` beside `tiers`: move it into the tiers"),
            (6, 5, "`do` beside `tiers`: move it into the tiers"),
        ],
    ),
    (
        SOUND.replace("version: 1", "macros: {m: profit >= $x}\nversion: 1"),
        [(1, 23, "$x: parameters belong to rules; write the value here")],
    ),
    (
        SOUND.replace("version: 1", "macros: {dte: profit >= 10%}\nversion: 1"),
        [(1, 10, "dte cannot be the name of a macro: choose another")],
    ),
    (
        SOUND.replace("version: 1", "track: {peak_profit: profit}\nversion: 1"),
        [(1, 22, "track the highest or lowest: write peak_profit: max(profit) or min(…)")],
    ),
    (
        SOUND.replace("version: 1", "track: {peak_profit: max(dte)}\nversion: 1"),
        [(1, 22, "peak_profit is a ratio, this is in days: write max(profit)")],
    ),
    (SOUND + "---\n" + SOUND, [(7, 1, "a second document: keep all rules in one, without `---`")]),
    (
        SOUND.replace("id: first", "id: a: b"),
        [(3, 10, "not YAML: a second `:` on this line; put the text in quotes, or start a new line")],
    ),
    (
        SOUND.replace("id: first", "id: @b"),
        [(3, 9, "not YAML: found character '@' that cannot start any token; put the text in quotes")],
    ),
    (
        "a: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
        [(1, 23, "nested more than 20 deep: use `macros:`")],
    ),
    (SOUND + "\x01", [(7, 1, "not text: character 1 is not allowed")]),
    (
        SOUND.replace("profit >= 80%", ">\n      profit >= 80%\n      and dtee <= 1d"),
        [(7, 11, "unknown fact dtee: did you mean dte or quote_age?")],
    ),
    (
        SOUND.replace("profit >= 80%", "\"structure == 'stock' and dtee <= 1d\""),
        [(5, 37, "unknown fact dtee: did you mean dte or quote_age?")],
    ),
    (SOUND.replace("profit >= 80%", "abs(delta, gamma) > 1"), [(5, 11, "abs takes one value: write abs(…)")]),
    (SOUND.replace("profit >= 80%", "min(delta) > 1"), [(5, 11, "min takes two values: write min(…)")]),
    (
        SOUND.replace("profit >= 80%", "max > 1"),
        [(5, 11, "unknown fact max: did you mean gamma or max_loss_usd?")],
    ),
    (
        SOUND.replace("profit >= 80%", "delta > 1e999"),
        [(5, 19, "1e999 is too large for a number: write a smaller one")],
    ),
    (SOUND + "    for: -30s\n", [(7, 10, "for cannot be negative: write 30s, 5m, 2h or 1d")]),
    (
        SOUND.replace("profit >= 80%", "max_loss_usd * max_loss_usd > $5"),
        [(5, 11, "cannot multiply max_loss_usd (in USD) and max_loss_usd (in USD): use the same unit")],
    ),
    (
        SOUND.replace("profit >= 80%", "(dte < 3d) + 1 > 2"),
        [(5, 12, "dte < 3d is a condition: a number is needed here")],
    ),
]


def test_the_sound_file_is_sound() -> None:
    book = rules.parse(SOUND)
    assert [rule.id for rule in book.rules] == ["first"]
    assert book.text == SOUND
    assert book.revision == rules.parse(SOUND).revision != rules.parse(SOUND + "# edited\n").revision


@pytest.mark.parametrize(("text", "problems"), MISTAKES)
def test_a_mistake_is_named_with_line_column_and_advice(
    text: str, problems: list[tuple[int, int, str]]
) -> None:
    with pytest.raises(rules.RulesInvalid) as caught:
        rules.parse(text)
    assert [problem[1:] for problem in caught.value.problems] == problems


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

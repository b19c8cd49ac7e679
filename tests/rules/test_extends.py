"""One rules file extends another: said explicitly, whole as one text, and wrong where it is wrong."""

import re
from pathlib import Path

import pytest

import rules
from rules.chain import MAX_FILES, joined_text, split_text

BASE = """version: 1
track: {low: min(profit)}
macros: {late: dte <= 7d}
rules:
  - {id: out, priority: 1, when: late, do: close}
  - {id: take, priority: 2, when: profit >= $full, params: {full: 80%}, do: close}
  - {id: stop, priority: 3, when: profit <= -200%, do: {close: market}}
mutes:
  - {rule: stop, on: IWM, until: 2026-03-20, reason: earnings}
"""
MINE = """version: 1
extends: base.yaml
replace:
  - {id: take, priority: 4, when: profit >= 60% and not late, do: close}
append:
  - {id: mine, priority: 2, when: low < -10%, do: {reduce: half}}
remove: [out]
mutes:
  - {rule: take, on: iron_condor, until: 2026-03-20, reason: roll is planned}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "mine.yaml").write_text(MINE)
    return tmp_path


def said(path: Path) -> list[str]:
    """The problems of a file as `name:line:column: message`."""
    with pytest.raises(rules.RulesInvalid) as caught:
        rules.load(path)
    return [
        f"{Path(each.path).name}:{each.line}:{each.column}: {each.message}" for each in caught.value.problems
    ]


def test_rules_are_replaced_appended_and_removed(folder: Path) -> None:
    book = rules.load(folder / "mine.yaml")
    assert [(rule.id, rule.priority) for rule in book.rules] == [("mine", 2), ("stop", 3), ("take", 4)]
    assert [(mute.rule, mute.on) for mute in book.mutes] == [("stop", "IWM"), ("take", "iron_condor")]
    assert [item.name for item in book.tracked] == ["peak_profit", "low"]
    assert [Path(rule.path).name for rule in book.rules] == ["mine.yaml", "base.yaml", "mine.yaml"]


def test_the_text_of_a_rulebook_gives_the_same_rulebook_without_the_files(folder: Path) -> None:
    book = rules.load(folder / "mine.yaml")
    again = rules.parse(book.text, "rules of then")
    assert (again.rules, again.mutes, again.tracked) == (book.rules, book.mutes, book.tracked)
    assert rules.parse(again.text).text == again.text == book.text
    assert rules.revision_of(book.text) == book.revision == again.revision
    assert split_text(book.text) == [MINE, BASE]
    assert joined_text(book.text, split_text(book.text)) == book.text


def test_the_revision_covers_what_is_extended(folder: Path) -> None:
    before = rules.load(folder / "mine.yaml").revision
    (folder / "base.yaml").write_text(BASE.replace("-200%", "-150%"))
    assert rules.load(folder / "mine.yaml").revision != before


def test_a_text_that_was_saved_as_a_file_is_read_and_extended_like_one(folder: Path) -> None:
    (folder / "whole.yaml").write_text(rules.load(folder / "mine.yaml").text)
    assert rules.load(folder / "whole.yaml").rules == rules.load(folder / "mine.yaml").rules
    (folder / "top.yaml").write_text("extends: whole.yaml\nremove: [mine]\n")
    top = rules.load(folder / "top.yaml")
    assert [rule.id for rule in top.rules] == ["stop", "take"]
    assert rules.parse(top.text).rules == top.rules


def test_a_rulebook_names_the_files_that_it_is_from(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "top.yaml").write_text("extends: ../mine.yaml\nremove: [mine]\n")
    files = rules.load(folder / "sub" / "top.yaml").files
    assert [file.name for file in files] == ["top.yaml", "mine.yaml", "base.yaml"]
    assert all(file.exists() for file in files)
    assert rules.parse(BASE).files == ()


def test_a_refusal_names_the_files_that_could_mend_it(folder: Path) -> None:
    (folder / "base.yaml").unlink()
    with pytest.raises(rules.RulesInvalid) as caught:
        rules.load(folder / "mine.yaml")
    assert caught.value.files == (folder / "mine.yaml", folder / "base.yaml")


def test_a_missing_file_is_told_where_it_is_named(folder: Path) -> None:
    (folder / "mine.yaml").write_text(MINE.replace("base.yaml", "bse.yaml"))
    assert said(folder / "mine.yaml") == [
        "mine.yaml:2:10: bse.yaml cannot be extended (No such file or directory): "
        "name a file, seen from this one's folder"
    ]


def test_mistakes_of_the_extended_file_stand_in_that_file_with_its_line(folder: Path) -> None:
    (folder / "base.yaml").write_text(BASE.replace("profit >= $full", "proft >= $full"))
    with pytest.raises(rules.RulesInvalid) as caught:
        rules.load(folder / "mine.yaml")
    assert str(caught.value) == (
        f"{folder}/base.yaml:6:35: unknown fact proft: did you mean profit or profit_usd?\n"
        "    6 |   - {id: take, priority: 2, when: proft >= $full, params: {full: 80%}, do: close}\n"
        "                                          ^"
    )


def test_the_keys_of_both_files_are_checked_at_once_those_of_the_first_file_first(folder: Path) -> None:
    (folder / "mine.yaml").write_text(MINE + "colour: red\n")
    (folder / "base.yaml").write_text(BASE + "colour: red\n")
    places = [problem.split(" ")[0] for problem in said(folder / "mine.yaml")]
    assert places == ["mine.yaml:10:1:", "base.yaml:10:1:"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "replace:",
            "rules:",
            "mine.yaml:3:1: `rules` beside `extends`: write `replace:` for rules that are there, "
            "`append:` for new ones",
        ),
        (
            "{id: take,",
            "{id: tak,",
            "mine.yaml:4:5: no rule tak to replace: did you mean take? (a new rule goes under `append:`)",
        ),
        (
            "{id: mine,",
            "{id: stop,",
            "mine.yaml:6:5: stop is a rule of base.yaml already: write it under `replace:`, or rename it",
        ),
        (
            "priority: 2",
            "priority: 3",
            "mine.yaml:6:5: priority 3 is taken by stop of base.yaml: give mine another",
        ),
        (
            "priority: 2",
            "priority: 4",
            "mine.yaml:6:5: priority 4 is taken by take: give mine another",
        ),
        (
            "[out]",
            "[outt]",
            "mine.yaml:7:10: no rule outt to remove: did you mean out?",
        ),
        ("[out]", "out", "mine.yaml:7:9: remove is a list of rules: write [gamma_risk]"),
        ("[out]", "[out, take]", "mine.yaml:4:5: take is removed and replaced: keep one of them"),
        (
            "rule: take",
            "rule: out",
            "mine.yaml:9:12: unknown rule out: known are: mine, stop, take",
        ),
        (
            "remove:",
            "macros: {late: dte <= 5d}\nremove:",
            "mine.yaml:7:10: late is a macro of the extended file already: choose another name",
        ),
        (
            "remove:",
            "track: {low: max(profit)}\nremove:",
            "mine.yaml:7:9: low is tracked by the extended file already: choose another name",
        ),
        ("base.yaml", "mine.yaml", "mine.yaml:2:10: mine.yaml cannot be extended (it extends this file "
                                   "itself): name a file, seen from this one's folder"),
        ("base.yaml", ".", "mine.yaml:2:10: . cannot be extended (it is not a file): name a file, seen from "
                           "this one's folder"),
        ("base.yaml", "[a, b]", "mine.yaml:2:10: extends is the name of one file: write "
                                "`extends: default.yaml`"),
    ],
)  # fmt: skip
def test_a_mistake_in_extending_is_told_with_what_to_write(
    folder: Path, old: str, new: str, problem: str
) -> None:
    (folder / "mine.yaml").write_text(MINE.replace(old, new, 1))
    assert said(folder / "mine.yaml") == [problem]


def test_the_same_macro_may_stand_in_both_files(folder: Path) -> None:
    (folder / "mine.yaml").write_text(MINE.replace("remove:", "macros: {late: dte  <=  7d}\nremove:"))
    assert rules.load(folder / "mine.yaml").rules[0].id == "mine"


def test_what_a_macro_may_not_do_is_told_where_it_is_used(folder: Path) -> None:
    book_rule = "  - {id: all_late, priority: 9, scope: book, when: late, do: block_entries}\nremove:"
    (folder / "mine.yaml").write_text(MINE.replace("remove:", book_rule))
    assert said(folder / "mine.yaml") == [
        "mine.yaml:7:52: in the macro late: dte is not of the book: a book rule uses vix, regime and book_…"
    ]


def test_files_that_extend_each_other_in_a_circle_are_refused(folder: Path) -> None:
    (folder / "base.yaml").write_text("extends: mine.yaml\n")
    assert said(folder / "mine.yaml") == [
        "base.yaml:1:10: mine.yaml cannot be extended (it extends this file itself): "
        "name a file, seen from this one's folder"
    ]


def test_a_chain_of_many_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f0.yaml").write_text(BASE)
    for number in range(1, MAX_FILES + 1):
        (tmp_path / f"f{number}.yaml").write_text(f"extends: f{number - 1}.yaml\n")
    assert len(rules.load(tmp_path / f"f{MAX_FILES - 1}.yaml").files) == MAX_FILES
    assert said(tmp_path / f"f{MAX_FILES}.yaml") == [
        "f1.yaml:1:10: more than 5 files extend each other: join some of them"
    ]


def test_files_that_are_too_large_together_are_refused(folder: Path) -> None:
    for name, text in (("base.yaml", BASE), ("mine.yaml", MINE)):
        (folder / name).write_text(text + "# comment\n" * 60_000)
    (problem,) = said(folder / "mine.yaml")
    assert problem.startswith("mine.yaml:2:10: with all that it extends the file is larger than 1 MB")


@pytest.mark.parametrize("key", ["replace", "append", "remove"])
def test_these_keys_need_something_to_extend(key: str) -> None:
    with pytest.raises(rules.RulesInvalid, match=f"`{key}` goes with `extends:`; here write `rules:`"):
        rules.parse(f"{key}: []\n" + BASE)


def test_a_text_alone_cannot_extend_a_file() -> None:
    with pytest.raises(rules.RulesInvalid, match=re.escape("base.yaml is not part of this text")):
        rules.parse(MINE)


def test_a_text_with_endless_parts_is_given_up_early() -> None:
    with pytest.raises(rules.RulesInvalid, match="more than 5 files extend each other"):
        rules.parse("extends: x" + "\n#--- extended: x ---\nextends: x" * 20_000)

"""What traders get wrong in rules files, each with the very words that they are told.

The files are in `mistakes/`, the words in `mistakes/messages.txt`. After a message was changed on purpose:
`python -m tests.rules.test_mistakes` writes them anew; read what changes as a trader would.
"""

import re
from pathlib import Path

import pytest

import rules
from rules.extending import MAX_RULES
from rules.source import MAX_BYTES

FOLDER = Path(__file__).with_name("mistakes")
MESSAGES = FOLDER / "messages.txt"
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name[0].isdigit())


def told(path: Path) -> str:
    """All that is said of a file, which is named without its folder."""
    with pytest.raises(rules.RulesInvalid) as caught:
        rules.load(path)
    return str(caught.value).replace(f"{FOLDER}/", "")


def expected() -> dict[str, str]:
    blocks = MESSAGES.read_text(encoding="utf-8").rstrip("\n").split("\n\n")
    return {block.split(":", 1)[0]: block for block in blocks}


def test_there_are_words_for_every_mistake_and_no_others() -> None:
    assert len(FILES) >= 40
    assert sorted(expected()) == [path.name for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_mistake_is_told_in_these_words(path: Path) -> None:
    assert told(path) == expected()[path.name]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_mistake_is_told_with_its_place_and_with_what_to_do(path: Path) -> None:
    with pytest.raises(rules.RulesInvalid) as caught:
        rules.load(path)
    lines = path.read_bytes().decode(errors="replace").split("\n")
    for problem in caught.value.problems:
        assert Path(problem.path) == path
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
        assert re.search(r"[:;?(]|must be|needs|is not|takes|goes with| is ", problem.message)


def test_ten_mistakes_in_one_file_are_told_at_once() -> None:
    (path,) = [path for path in FILES if path.stem.endswith("ten_mistakes_in_one_file")]
    assert told(path).count(f"{path.name}:") >= 10


def test_a_file_of_two_megabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_bytes(b"# comment\n" * (2 * MAX_BYTES // 10))
    with pytest.raises(rules.RulesInvalid) as caught:
        rules.load(path)
    assert str(caught.value) == (
        f"{path}:1:1: the file is larger than 1 MB: split it or remove what is not rules"
    )


def test_more_rules_than_there_may_be_are_told_at_the_first_too_many(tmp_path: Path) -> None:
    entries = [
        f"  - {{id: r{number}, priority: {number}, when: dte <= 1d, do: close}}\n"
        for number in range(1, MAX_RULES + 2)
    ]
    with pytest.raises(rules.RulesInvalid) as caught:
        rules.parse("rules:\n" + "".join(entries))
    assert str(caught.value).splitlines()[0] == (
        f"rules.yaml:{MAX_RULES + 2}:5: more than {MAX_RULES} rules: join some with `tiers:` or any"
    )


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(rules.RulesInvalid) as caught:
        rules.load(tmp_path / "rules.yaml")
    assert str(caught.value) == (
        f"{tmp_path}/rules.yaml:1:1: cannot be read (No such file or directory): "
        "check the path and its permissions"
    )


if __name__ == "__main__":
    MESSAGES.write_text("\n\n".join(map(told, FILES)) + "\n", encoding="utf-8")

"""The loader on damaged files: a working rulebook or problems with places, within a second."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rules
from tests.rules.fuzz_loader import EXTENDED, SHAPES, WORDS, judged, mutated, seeds

STARTS = seeds()
RULE = "rules:\n  - {{id: a, priority: 1, when: {}, do: close}}\n"


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(number=st.integers(0, 2**32), start=st.sampled_from(STARTS[1:20]))
def test_a_damaged_file_is_refused_with_places(number: int, start: str) -> None:
    chance = random.Random(number)
    judged(mutated(chance, start, chance.choice(STARTS)))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    pieces=st.lists(st.sampled_from((*WORDS, *SHAPES)), max_size=40), glue=st.sampled_from(("", " ", "\n"))
)
def test_any_heap_of_words_is_refused_with_places(pieces: list[str], glue: str) -> None:
    judged(glue.join(pieces))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(pieces=st.lists(st.sampled_from(WORDS), max_size=25))
def test_any_words_as_a_condition_are_refused_with_places(pieces: list[str]) -> None:
    judged(RULE.format(f'"{" ".join(pieces)}"'))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(text=st.text(st.characters(codec=None), max_size=300))
def test_any_text_is_refused_with_places(text: str) -> None:
    judged(text)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    content=st.binary(max_size=200), start=st.sampled_from(("", "rules:\n", "\ufeff", "version: 1\n# é\n"))
)
def test_any_bytes_in_a_file_are_refused_with_places(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, start: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(start.encode() + content)
    with pytest.raises(rules.RulesInvalid) as caught:
        rules.load(path)
    lines = path.read_bytes().count(b"\n") + 1
    assert all(1 <= problem.line <= lines and problem.column >= 1 for problem in caught.value.problems)


@pytest.mark.parametrize("end", ["\r", "\x85", "\u2028"])
def test_only_what_editors_call_a_line_counts_as_one(end: str) -> None:
    with pytest.raises(rules.RulesInvalid, match="1:2: a rules file is a mapping"):
        rules.parse(f"{end}0")


@pytest.mark.parametrize("line", ["%YAML 1" + "1" * 5_000, "%YAML 1.1", "%TAG ! x"])
def test_a_directive_is_refused(line: str) -> None:
    with pytest.raises(rules.RulesInvalid, match="1:1: a line that starts with %"):
        rules.parse(f"{line}\n---\nrules: []\n")


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(rules.RulesInvalid, match="1:8: not text"):
        rules.parse("rules: \ud800\n")
    with pytest.raises(rules.RulesInvalid, match="1:8: not text"):
        rules.parse(f"extends: base.yaml\n{EXTENDED}extends: other.yaml\n{EXTENDED}rules: \ud800\n")
    sound = "version: 1\nrules:\n  - {id: a, priority: 1, when: dte < 1d, do: close}\n"
    with pytest.raises(rules.RulesInvalid, match="1:1: the name of this file holds half a character"):
        rules.parse(f"extends: base.yaml\n\n#--- extended: base.ya\ud800l ---\n{sound}")


def test_a_thousand_problems_are_enough_and_a_hundred_are_shown() -> None:
    keys = "".join(f"key{number}: 1\n" for number in range(2_000))
    with pytest.raises(rules.RulesInvalid, match="and 900 more: mend these first") as caught:
        rules.parse(keys)
    assert len(caught.value.problems) == 1_000


def test_a_long_word_is_shown_by_its_ends() -> None:
    with pytest.raises(rules.RulesInvalid) as caught:
        rules.parse(RULE.format("dte < 1d").replace("close", "x" * 9_000))
    (problem,) = caught.value.problems
    assert len(problem.message) < 500
    assert problem.message.startswith("unknown action xxx")
    assert problem.message.endswith("block_entries, close, reduce, roll")


def test_a_long_name_of_an_extended_file_is_shown_by_its_ends() -> None:
    with pytest.raises(rules.RulesInvalid) as caught:
        rules.parse(f"version: 1\n#--- extended: {'x' * 9_000} ---\nversion: 2\n")
    assert len(str(caught.value)) < 2_000


def test_what_takes_long_to_read_is_refused_soon() -> None:
    many = ", ".join(["dte < 14d"] * 300)
    for text, said in (
        (f"rules: {'a ' * 450_000}", "1:10001: a line of more than 10000 characters: break it"),
        (f"- !{'a' * 900_000} 1", "1:10001: a line of more than 10000 characters"),
        ('rules: "a' + "\n" * 900_000 + '"', "100001:1: more than 100000 lines: remove the empty ones"),
        ("rules:\n" + f"  {'a ' * 2_000}\n" * 200, "27:1: more than 100000 characters besides"),
        ("\ta\n" * 300_000, "1:1: a tab: use spaces"),
        ("".join(f"{name}: 1\n" for name in range(4_000)), "and 900 more"),
        (f"rules:\n{_rules('profilt > 1', 1_500)}", "unknown fact profilt"),
        (f"macros: {{m: {{any: [{many}]}}}}\nrules:\n{_rules('m or m', 50)}", "more than 10000 parts in all"),
    ):
        assert judged(text) == "refused"
        with pytest.raises(rules.RulesInvalid) as caught:
            rules.parse(text)
        assert said in str(caught.value)


def test_a_long_list_of_conditions_works_soon() -> None:
    items = "\n".join(f"      - dte < {number}d" for number in range(600))
    rule = f"  - id: a{{0}}\n    priority: {{0}}\n    do: close\n    when:\n     any:\n{items}\n"
    assert judged("rules:\n" + "".join(rule.format(number) for number in range(1, 5))) == "sound"


def _rules(condition: str, count: int) -> str:
    """Rules with the same condition in each of their tiers, so many tiers in all."""
    tier = f"      - {{when: {condition}, do: close}}\n"
    heads = [f"  - id: a{number}\n    priority: {number}\n    tiers:\n" for number in range(1, 51)]
    return "".join(head + tier * (count // 50) for head in heads)

"""A lint is never wrong: what it says can never be is not found among random facts, and its proof holds."""

import random
import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

import rules
from benchmarks.random_rules import remembering
from rules.judgement import Judgement, judge
from rules.lints import inquiry
from rules.lints.formula import Facts, Want
from rules.lints.search import Answer, Question, answer
from rules.scalar import parameters_for, truth
from tests.rules.lints.random_books import Writer, facts

NOON = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)
_NEVER = re.compile(r"(?:tier (?P<tier>\d+) of )?(?P<rule>rule_\d+) can never (?:win|fire|act)(?! for now)")
_TRUTHS = {
    Want.TRUE: (True,),
    Want.FALSE: (False,),
    Want.NOT_TRUE: (False, None),
    Want.NOT_FALSE: (True, None),
}
_WITNESSED = ("always true", "shadowed", "redundant")


def _checked(seed: int) -> Counter[str]:
    """Lint one random rulebook and try to prove it wrong; the kinds that were found."""
    chance = random.Random(seed)
    text = Writer(seed).book(chance.randint(2, 6))
    book = rules.parse(text)
    found = rules.lint(book)
    never: dict[tuple[str, int | None], rules.Lint] = {}
    for one in found:
        match = _NEVER.match(one.message)
        if match:
            never[match["rule"], int(match["tier"]) - 1 if match["tier"] else None] = one
    for judgement in _life(book, chance) if never else ():
        winner = judgement.winner
        if winner is not None:
            wrong = never.get((winner.rule.id, None)) or never.get((winner.rule.id, winner.hot))
            assert wrong is None, f"{wrong and wrong.text}\n{judgement.facts}\n{text}"
    for one in found:
        if one.kind in _WITNESSED:
            _holds_on_its_proof(book, one)
    return Counter(one.kind for one in found)


def _life(book: rules.Rulebook, chance: random.Random) -> list[Judgement]:
    """Positions seen again and again, with facts that stay for a while or change."""
    seen: list[Judgement] = []
    for _ in range(40):
        unknown, now = chance.choice((0.0, 0.0, 0.1, 0.3)), NOON
        row, memory = facts(chance, unknown), {}
        for _ in range(8):
            if chance.random() < 0.5:
                row = facts(chance, unknown)
            judgement = judge(book, memory, {"position": "A", **row}, {}, now)
            memory = judgement.memory
            now += timedelta(seconds=chance.choice((10, 30, 60)))
            seen.append(judgement)
    return seen


def _holds_on_its_proof(book: rules.Rulebook, one: rules.Lint) -> None:
    judgement = judge(book, {}, {"position": "A", **one.proof}, {}, NOON)
    name = re.search(r"rule_\d+", one.message)
    assert name is not None
    judged = {judged.rule.id: judged for judged in judgement.rules}
    assert judged[name[0]].holds is True, one.text
    if one.kind == "shadowed" and " tier " not in one.values:
        above = re.search(r"so does (rule_\d+)", one.values)
        assert above is not None
        other = judged[above[1]]
        assert other.holds or (other.holds is None and other.rule.fires_when_unknown), one.text


def _asked(book: rules.Rulebook, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Question, Facts | Answer]]:
    """All that linting asks of a rulebook, with the answers."""
    asked: list[tuple[Question, Facts | Answer]] = []

    def answer_and_note(book: rules.Rulebook, question: Question) -> tuple[Facts | Answer, int]:
        found, steps = answer(book, question)
        asked.append((question, found))
        return found, steps

    monkeypatch.setattr(inquiry, "answer", answer_and_note)
    rules.lint(book)
    return asked


def _all_hold(question: Question, row: Facts) -> bool:
    for claim in question.claims:
        parameters = parameters_for(claim.rule, row) if claim.rule else {}
        if truth(claim.condition, row, parameters) not in _TRUTHS[claim.want]:
            return False
    return True


@pytest.mark.parametrize("seed", range(500, 530))
def test_what_is_proven_impossible_is_not_found_and_what_is_found_is_so(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    book = rules.parse(Writer(seed).book(chance.randint(2, 4)))
    rows = [facts(chance, unknown=0.0, consistent=True) for _ in range(150)]
    for question, found in _asked(book, monkeypatch):
        if not isinstance(found, Answer):
            assert _all_hold(question, found)
        if found is not Answer.IMPOSSIBLE or not question.by_nature:
            continue
        for row in rows:
            if any(row.get(name) != word for name, word in question.given):
                continue
            doubtful = sorted(question.doubtful - dict(question.given).keys())
            hidden = dict.fromkeys(name for name in doubtful if chance.random() < 0.3)
            if "profit" not in hidden:  # a profit that is known has a peak
                hidden.pop("peak_profit", None)
            assert not _all_hold(question, {**row, **hidden})


def test_whatever_the_language_allows_can_be_linted() -> None:
    kinds: Counter[str] = Counter()
    for seed in range(20):
        book = rules.parse(remembering(random.Random(seed), 5))
        found = rules.lint(book)
        assert all(one.text.startswith(f"{one.path}:{one.line}:{one.column}: warning: ") for one in found)
        kinds.update(one.kind for one in found)
    assert len(kinds) > 5


@pytest.mark.parametrize("start", range(0, 60, 20))
def test_no_random_facts_and_no_history_contradict_a_lint(start: int) -> None:
    kinds = sum((_checked(seed) for seed in range(start, start + 20)), Counter[str]())
    assert kinds["shadowed"]
    assert kinds["unsatisfiable"]


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_no_random_facts_and_no_history_contradict_a_lint_in_long() -> None:
    kinds = sum((_checked(seed) for seed in range(1_000, 4_000)), Counter[str]())
    assert kinds["shadowed"] > 500

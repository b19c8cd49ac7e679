"""Two evaluators and the replay of decisions: no difference on whatever random rules and facts there are."""

import operator

import pytest

from benchmarks import equality
from rules import columns


def test_both_evaluators_and_the_replay_agree_on_random_rules_and_histories() -> None:
    tally = equality.compare_all(seed=7, expressions=1_500, steps=75, replays=60)
    assert tally.differences == 0, "\n".join(tally.different)
    assert tally.expressions >= 1_500 and tally.steps >= 75 and tally.replayed >= 60


def test_the_comparison_sees_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(columns._OPERATORS, "<=", operator.lt)
    tally = equality.Tally()
    equality.compare_expressions(tally, seed=7, expressions=300)
    assert tally.differences > 0


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [1, 2])
def test_both_evaluators_and_the_replay_agree_at_the_full_sizes(seed: int) -> None:
    tally = equality.compare_all(seed, equality.EXPRESSIONS, equality.STEPS, replays=5_000)
    assert tally.differences == 0, "\n".join(tally.different)

"""The benchmark's rivals are honest: they decide, and remember, exactly what the rules do."""

import pytest

import rules
from benchmarks import rule_closures, rule_rivals, twelve_rules


@pytest.mark.parametrize("beats", [1, 5, 12])
def test_hand_written_python_closures_and_zen_agree_with_the_fold(beats: int) -> None:
    book = twelve_rules.book()
    state, now = twelve_rules.after_beats(book, 300, beats)
    facts = twelve_rules.positions(300, seed=beats)
    after, decisions = rules.step(book, state, facts, {}, now)
    remembered = {row["position"]: row for row in after.frame.to_dicts()}
    closures, zen = rule_closures.as_closures(book), rule_rivals.by_zen()
    assert len(set(decisions["rule"])) > 5
    for decided, (row, memory) in zip(decisions["rule"], rule_rivals.rows_of(facts, state), strict=True):
        assert zen(rule_rivals.put_before(row, memory, now)) == decided
        for judge in (rule_rivals.by_hand, closures):
            winner, kept = judge(row, memory, now)
            assert winner == decided
            for name, value in remembered[row["position"]].items():
                assert name == "position" or (kept.get(name) or None) == (value or None)

"""Marks of contracts that are visited every 500 s, against the quotes of the simulated market."""

import pytest

from tests.sync.visits import play


@pytest.mark.parametrize(
    ("scenario", "days", "within"), [("calm", 0, 0.63), ("crash_2020", 5, 0.66), ("crash_2020", 12, 0.55)]
)
def test_more_than_half_of_the_marks_are_within_one_percent_or_a_tick_and_deltas_within_a_thousandth(
    scenario: str, days: int, within: float
) -> None:
    got = play(scenario, days, count=250, minutes=45)
    assert got.visits > 700
    assert got.within is not None
    assert got.median_delta is not None
    assert got.within >= within, got
    assert got.median_delta <= 0.001, got

"""Ranges hold every result that the evaluators' floats can have, and every operand that can lead to one."""

import math
import operator
from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st

from rules.lints.intervals import Interval, above, below, calculated, operand_ranges, whole_numbers
from rules.lints.nice import candidates, round_up

NUMBERS = st.one_of(
    st.integers(-5, 5).map(float),
    st.sampled_from([0.1, 0.2, 0.3, 0.4, -0.3, 1e-9, 1e15, -1e15]),
    st.floats(-1e15, 1e15, allow_subnormal=False),
)
OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


@st.composite
def ranges(draw: st.DrawFn) -> tuple[Interval, float]:
    """A range and a number in it."""
    low, inside, high = sorted(draw(st.tuples(NUMBERS, NUMBERS, NUMBERS)))
    return Interval(low, high), draw(st.sampled_from([low, inside, high]))


@given(st.sampled_from("+-*/"), ranges(), ranges())
def test_a_result_lies_in_the_range_of_results_or_is_known_to_be_none(
    sign: str, left: tuple[Interval, float], right: tuple[Interval, float]
) -> None:
    result, has_none = calculated(sign, left[0], right[0])
    if sign == "/" and right[1] == 0:
        assert has_none
        return
    value = OPERATORS[sign](left[1], right[1])
    assert result.low <= value <= result.high if math.isfinite(value) else has_none


TINY = (Interval(3e-308, 3e-308), 3e-308)
SMALL = (Interval(7e-15, 7e-15), 7e-15)
LARGE = (Interval(7e14, 7e14), 7e14)


@given(st.sampled_from("+-*/"), ranges(), ranges(), st.integers(0, 3), st.integers(0, 3))
@example("*", TINY, SMALL, 0, 0)
@example("*", SMALL, TINY, 0, 0)
@example("/", TINY, LARGE, 0, 0)
def test_operands_lie_in_the_ranges_that_a_result_leaves_them(
    sign: str, left: tuple[Interval, float], right: tuple[Interval, float], below_it: int, above_it: int
) -> None:
    if sign == "/" and right[1] == 0:
        return
    value = OPERATORS[sign](left[1], right[1])
    for_left, for_right = operand_ranges(
        sign, Interval(value - below_it, value + above_it), left[0], right[0]
    )
    assert for_left.low <= left[1] <= for_left.high
    assert for_right.low <= right[1] <= for_right.high


@given(ranges())
def test_the_floats_beside_a_number_leave_nothing_out(one: tuple[Interval, float]) -> None:
    value = one[1]
    assert below(value) < value < above(value)
    inside = whole_numbers(one[0])
    assert all(
        inside.low <= n <= inside.high for n in map(float, range(-5, 6)) if one[0].low <= n <= one[0].high
    )


@given(ranges(), st.booleans())
def test_chosen_numbers_lie_in_the_range(one: tuple[Interval, float], whole: bool) -> None:
    inside = one[0]
    found = candidates(inside, Interval(-1e15, 1e15), whole)
    assert all(inside.low <= value <= inside.high for value in found)
    assert whole or found
    assert inside.low <= round_up(inside.low, inside.high) <= inside.high


def test_chosen_numbers_are_those_that_people_would_choose() -> None:
    usual = Interval(-1e15, 1e15)
    assert candidates(Interval(0.8, 1e15), usual, whole=False)[0] == 0.8
    assert candidates(Interval(above(0.1), 1e15), usual, whole=False)[0] == 0.11
    assert candidates(Interval(-1e15, below(-0.03)), usual, whole=False)[0] == -0.031
    assert candidates(Interval(above(35.0), 1e15), usual, whole=False)[0] == 36.0

"""Ranges of numbers, and what arithmetic makes of them, exactly as the evaluators' floats behave.

Ranges are closed: between two neighbouring floats there is nothing, so `x < 1` is `x <= the float below 1`.
Forward, the same operation is done on the corners; rounding keeps order, so no result lies outside.
Backward, from a result to what an operand may have been, a little slack covers the rounding.
"""

import math
import sys
from typing import NamedTuple

HUGE = sys.float_info.max
_TINY = 5e-324


class Interval(NamedTuple):
    """All floats from `low` to `high`; empty when low > high."""

    low: float
    high: float

    @property
    def is_empty(self) -> bool:
        return self.low > self.high

    def intersected(self, other: "Interval") -> "Interval":
        return Interval(max(self.low, other.low), min(self.high, other.high))


WHOLE = Interval(-HUGE, HUGE)


def below(value: float) -> float:
    """The next float down."""
    return math.nextafter(value, -math.inf)


def above(value: float) -> float:
    """The next float up."""
    return math.nextafter(value, math.inf)


def whole_numbers(interval: Interval) -> Interval:
    """The part of it that whole numbers span."""
    low, high = interval
    # Beyond 2^53 every float is whole.
    return Interval(
        float(math.ceil(low)) if abs(low) < 2.0**53 else low,
        float(math.floor(high)) if abs(high) < 2.0**53 else high,
    )


def calculated(sign: str, left: Interval, right: Interval) -> tuple[Interval, bool]:
    """The results of `left sign right` that are finite, and whether some are not."""
    if sign == "+":
        return _finite(left.low + right.low, left.high + right.high)
    if sign == "-":
        return _finite(left.low - right.high, left.high - right.low)
    if sign == "*":
        return _finite(*_corners(left, right))
    return _quotient(left, right)


def _corners(left: Interval, right: Interval) -> tuple[float, float]:
    products = [a * b for a in left for b in right]
    return min(products), max(products)


def _quotient(left: Interval, right: Interval) -> tuple[Interval, bool]:
    if right.low < 0 < right.high:
        return WHOLE, True
    by_zero = right.low == 0 or right.high == 0
    divisor = Interval(right.low or _TINY, right.high or -_TINY)
    if divisor.is_empty:  # nothing but zero
        return Interval(1.0, 0.0), True
    quotients = [a / b for a in left for b in divisor]
    result, overflows = _finite(min(quotients), max(quotients))
    return result, by_zero or overflows


def _finite(low: float, high: float) -> tuple[Interval, bool]:
    clipped = Interval(max(low, -HUGE), min(high, HUGE))
    return clipped, low < -HUGE or high > HUGE


def operand_ranges(sign: str, result: Interval, left: Interval, right: Interval) -> tuple[Interval, Interval]:
    """What the operands may have been, given the range of the result."""
    if sign == "+":
        return _less(result, right), _less(result, left)
    if sign == "-":
        return _plus(result, right), _less(left, result)
    # The least of floats are rounded by much of themselves, more than the slack of what follows covers.
    result = Interval(_clipped(below(result.low)), _clipped(above(result.high)))
    if sign == "*":
        return _over(result, right), _over(result, left)
    return _times(result, right), _over(left, result) if not _has_zero(result) else WHOLE


def _has_zero(interval: Interval) -> bool:
    return interval.low <= 0 <= interval.high


def _widened(low: float, high: float, scale: float) -> Interval:
    slack = 8 * sys.float_info.epsilon * min(scale, HUGE / 16) + 1e-300
    return Interval(_clipped(low - slack), _clipped(high + slack))


def _clipped(value: float) -> float:
    return min(max(value, -HUGE), HUGE)


def _less(one: Interval, other: Interval) -> Interval:
    low, high = one.low - other.high, one.high - other.low
    low_scale = abs(one.low) + abs(other.high)
    high_scale = abs(one.high) + abs(other.low)
    return Interval(_widened(low, low, low_scale).low, _widened(high, high, high_scale).high)


def _plus(one: Interval, other: Interval) -> Interval:
    return _less(one, Interval(-other.high, -other.low))


def _times(one: Interval, other: Interval) -> Interval:
    low, high = _corners(one, other)
    return Interval(_widened(low, low, abs(low)).low, _widened(high, high, abs(high)).high)


def _over(one: Interval, other: Interval) -> Interval:
    if _has_zero(other):
        return WHOLE
    quotients = [a / b for a in one for b in other]
    low, high = min(quotients), max(quotients)
    return Interval(_widened(low, low, abs(low)).low, _widened(high, high, abs(high)).high)


def magnitude(interval: Interval) -> Interval:
    """The range of abs(x)."""
    if interval.low >= 0:
        return interval
    if interval.high <= 0:
        return Interval(-interval.high, -interval.low)
    return Interval(0.0, max(-interval.low, interval.high))

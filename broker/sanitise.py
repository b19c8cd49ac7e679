"""From what the wire says to a number or None.

IB marks "unknown" in many ways: -1 prices, size 0, -2 Greeks, NaN, infinity and 1.7976931348623157E308.
None of them may leave this room, because a sentinel that is taken for a price becomes an order.
"""

import math
from datetime import date

_UNSET = 1e300  # nothing real is larger; IB's unset double is 1.797e308


def number(value: float | None) -> float | None:
    """A finite number that is not IB's unset value; signed, so fit for combo prices and money."""
    if value is None or not math.isfinite(value) or abs(value) >= _UNSET:
        return None
    return float(value)


def positive(value: float | None) -> float | None:
    """A price, size or volatility of one contract: nothing at or below zero means anything."""
    known = number(value)
    return known if known is not None and known > 0 else None


def not_negative(value: float | None) -> float | None:
    """Gamma and vega of a long option."""
    known = number(value)
    return known if known is not None and known >= 0 else None


def delta(value: float | None) -> float | None:
    """Within ±1 and a hair, which the model's rounding may add; -2 is IB's "not computed"."""
    known = number(value)
    return known if known is not None and abs(known) <= 1.001 else None


def theta(value: float | None) -> float | None:
    """Any number but -2, IB's "not computed"."""
    known = number(value)
    return None if known == -2 else known


def text_number(value: str) -> float | None:
    """A number sent as text (account figures, margins); None for words, empty and unset."""
    try:
        return number(float(value))
    except ValueError:
        return None


def day(text: str) -> date | None:
    """A day written as 20260320, which Python reads as well; None for anything else."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None

"""Prices that an exchange accepts."""

import math
from enum import Enum


class Toward(Enum):
    """Which way to round a price that lies between two ticks."""

    DOWN = "down"
    UP = "up"
    NEAREST = "nearest"


def round_to_tick(price: float, tick: float, toward: Toward = Toward.NEAREST) -> float:
    """`price` on the grid of `tick` (USD per share). Negative prices (credit combos) are allowed.

    Raises ValueError when the tick is not positive or the price is not finite.
    """
    if not math.isfinite(price) or not tick > 0:
        raise ValueError(f"cannot round {price} to a tick of {tick}")
    steps = price / tick
    match toward:
        case Toward.DOWN:
            whole = math.floor(steps + 1e-9)
        case Toward.UP:
            whole = math.ceil(steps - 1e-9)
        case Toward.NEAREST:
            whole = math.floor(steps + 0.5)
    return round(whole * tick, 10)

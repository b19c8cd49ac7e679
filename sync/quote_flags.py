"""What is wrong with a quote: a price that is flagged is not believed, whatever it says.

Bits, so that a contract can have several; `flag_words` names them.
"""

from collections.abc import Mapping
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from options.normal import Floats

Bools = NDArray[np.bool_]
Flags = NDArray[np.int64]

FROZEN_S = 30.0
"""So long a line may say nothing while its underlying makes the option worth something else."""
JUMP_S = 5.0
"""A jump that has stood for so long is a price."""
JUMP_TICKS, JUMP_RATIO = 10.0, 0.25
"""A jump is further than both from what the option's own volatility makes it worth."""
CLOSE_RATIO = 1.0
"""The same against the last close carried along with the underlying, where no volatility is known."""


class Flag(IntFlag):
    """`NO_GREEKS` leaves the price as it is; the others make it unknown."""

    CROSSED = 1
    LOCKED = 2
    FROZEN = 4
    JUMP = 8
    PARITY = 16
    NO_GREEKS = 32


UNBELIEVABLE = Flag.CROSSED | Flag.LOCKED | Flag.FROZEN | Flag.JUMP | Flag.PARITY


def flag_words(flags: int) -> str:
    """`crossed, no_greeks`; empty for a good quote."""
    return ", ".join(flag.name.lower() for flag in Flag if flags & flag and flag.name)


def price_flags(
    quotes: Mapping[str, Floats], is_live: Bools, strikes: Floats, is_call: Bools, spots: Floats
) -> Flags:
    """What a quote shows by itself. `quotes` are figures of `QuoteBoard`, NaN where not known.

    Parity: nobody sells below what exercise brings at once, nor pays for a call more than the share costs,
    or for a put more than its strike; half the quote's width is allowed for.
    """
    bid, ask = quotes["bid_now"], quotes["ask_now"]
    flags = np.zeros(len(bid), np.int64)
    flags[bid > ask] |= Flag.CROSSED
    flags[bid == ask] |= Flag.LOCKED
    exercised = np.maximum(np.where(is_call, spots - strikes, strikes - spots), 0.0)
    most = np.where(is_call, spots, strikes)
    slack = quotes["spread"] + 0.001 * spots
    flags[is_live & ((ask < exercised - slack) | (bid > most + slack))] |= Flag.PARITY
    flags[is_live & np.isnan(quotes["delta"])] |= Flag.NO_GREEKS
    return flags


def is_frozen(
    quotes: Mapping[str, Floats], is_live: Bools, modelled: Floats, ticks: Floats, at: int
) -> Bools:
    """Which lines have no new price `at` this moment (`epoch_us`) although the underlying moved: the model
    left the quote by more than its width and `JUMP_TICKS`. Greeks that go on say nothing of the price."""
    gap = np.abs(quotes["mark"] - modelled)
    return (
        is_live & (at - quotes["quote_time"] > FROZEN_S * 1e6) & (gap > quotes["spread"] + JUMP_TICKS * ticks)
    )


def is_jump(quotes: Mapping[str, Floats], modelled: Floats, moved_usd: Floats, ticks: Floats) -> Bools:
    """Which quotes lie too far from what was known: from the model, else from the last close after the
    underlying moved by `moved_usd` since its own."""
    mid = quotes["mark"]
    from_model = np.abs(mid - modelled)
    jumped = (from_model > JUMP_TICKS * ticks) & (from_model > JUMP_RATIO * modelled + quotes["spread"])
    close = quotes["close"]
    # Delta is at most one, and gamma only helps whom the move helps.
    from_close = np.abs(mid - close) - np.abs(moved_usd)
    leapt = (from_close > JUMP_TICKS * ticks) & (from_close > CLOSE_RATIO * close + quotes["spread"])
    return np.where(np.isfinite(modelled), jumped, leapt)

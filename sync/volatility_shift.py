"""How far the volatilities of one underlying have moved together, as its contracts that were visited tell.

Each underlying has a level, in logarithms of volatility; only its change since a contract's own last quote
means something. Every visit tells how much further than the level the contract's volatility went, and the
level follows a part of that. Without visits it stays where it is.
"""

import numpy as np
from numpy.typing import NDArray

from options.normal import Floats

INERTIA = 8.0
"""As many visits must agree before a level goes half the way they tell."""
DOUBT = 0.01
"""A visit whose quote leaves this much of the volatility open (ratio) counts half."""
MOST_TOLD = 0.1
"""No visit tells of a larger change than this (in logarithms)."""


def learnt(levels: Floats, underlying: NDArray[np.intp], told: Floats, doubt: Floats) -> Floats:
    """The `levels` of all underlyings after some visits.

    Of each visit: the place of its `underlying`, `told`, the logarithm of its volatility over the expected
    one, and `doubt`, how much of its volatility the quote leaves open (ratio). NaN tells nothing.
    """
    known = np.isfinite(told) & np.isfinite(doubt)
    of, told = underlying[known], np.clip(told[known], -MOST_TOLD, MOST_TOLD)
    weights = 1.0 / (1.0 + (doubt[known] / DOUBT) ** 2)
    moves = np.bincount(of, weights * told, len(levels))
    return np.asarray(levels + moves / (INERTIA + np.bincount(of, weights, len(levels))))

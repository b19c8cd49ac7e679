"""The standard normal distribution over numpy arrays, to double precision and without scipy."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Highest power first. Algorithm 5666 of Hart, "Computer Approximations" (1968), as given by West, "Better
# approximations to cumulative normal functions" (2005).
_ABOVE = (
    3.52624965998911e-02,
    0.700383064443688,
    6.37396220353165,
    33.912866078383,
    112.079291497871,
    221.213596169931,
    220.206867912376,
)
_BELOW = (
    8.83883476483184e-02,
    1.75566716318264,
    16.064177579207,
    86.7807322029461,
    296.564248779674,
    637.333633378831,
    793.826512519948,
    440.413735824752,
)


def density(x: Floats) -> Floats:
    return np.asarray(np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi), dtype=np.float64)


def cdf(x: Floats) -> Floats:
    """The probability of a value below `x`; NaN stays NaN."""
    distance = np.minimum(np.abs(x), 40.0)
    tail = np.exp(-0.5 * distance * distance) * _polynomial(_ABOVE, distance)
    tail /= _polynomial(_BELOW, distance)
    return np.where(x > 0, 1.0 - tail, tail)


def _polynomial(coefficients: tuple[float, ...], x: Floats) -> Floats:
    value = coefficients[0] * x
    for coefficient in coefficients[1:-1]:
        value += coefficient
        value *= x
    value += coefficients[-1]
    return value

"""Numbers that people would choose."""

import math

from rules.lints.intervals import Interval


def candidates(interval: Interval, usual: Interval, whole: bool) -> list[float]:
    """Values in the interval, the most telling first: next to where it was narrowed from the usual one."""
    found: list[float] = []
    if interval.low > usual.low:
        found.append(round_up(interval.low, interval.high))
    if interval.high < usual.high:
        found.append(-round_up(-interval.high, -interval.low))
    if interval.low <= 0 <= interval.high:
        found.append(0.0)
    found += [1.0, -1.0, 100.0, -100.0]
    middle = interval.low / 2 + interval.high / 2
    found += [round_up(middle, interval.high), interval.low, interval.high]
    if whole:
        found = [float(math.ceil(value)) for value in found]
    inside = [value for value in found if interval.low <= value <= interval.high]
    return list(dict.fromkeys(value + 0.0 for value in inside))


def round_up(low: float, high: float) -> float:
    """A number with few digits, not below `low`, not above `high`, and near `low`."""
    is_tiny = abs(low) < 1e-9
    if low == 0 or (float(f"{low:.6g}") == low and not is_tiny):
        return low
    size = -1 if is_tiny else math.floor(math.log10(abs(low)))
    for digits in range(1, 12):
        unit = 10.0 ** (size - digits)
        units = math.ceil(low / unit)
        for count in (units, units + 1):
            rounded = float(f"{count * unit:.12g}")
            if low <= rounded <= high:
                return rounded
    return low

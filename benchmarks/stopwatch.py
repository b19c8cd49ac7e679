"""How long things take: milliseconds, medians and percentiles, and the bare disk to compare with."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_BLOCK = bytes(4096)


def ms_of(work: Callable[[], object]) -> float:
    """Milliseconds that one call takes."""
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1e3


def median_ms(work: Callable[[int], object], times: int) -> float:
    """The median of `times` calls; each is given its number."""
    return statistics.median(ms_of(lambda n=n: work(n)) for n in range(times))


def p99(taken: Sequence[float]) -> float:
    return statistics.quantiles(taken, n=100)[98]


def bare_fsync_ms(folder: Path, times: int) -> list[float]:
    """Milliseconds of appending 4 KiB to a file and bringing them to disk: what the disk itself costs."""
    with (folder / "bare").open("ab", buffering=0) as file:

        def write() -> None:
            file.write(_BLOCK)
            os.fsync(file.fileno())

        return [ms_of(write) for _ in range(times)]

"""One number of the benchmarks beside what it is held against."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Figure:
    """`one` / `other` must be at most `limit` (None: only told); `other` None: `one` itself must be."""

    what: str
    one: float
    other: float | None = None
    limit: float | None = None
    unit: str = "ms"

    @property
    def value(self) -> float:
        return self.one if self.other is None else self.one / self.other

    def __str__(self) -> str:
        measured = f"{self.one:,.4g} {self.unit}"
        if self.other is not None:
            measured += f" / {self.other:,.4g} {self.unit} | {self.value:.3g}"
        else:
            measured += " | "
        if self.limit is None:
            return f"| {self.what} | {measured} | |"
        verdict = "" if self.value <= self.limit else " **not met**"
        return f"| {self.what} | {measured} | {self.limit:g}{verdict} |"


def show(*figures: Figure) -> None:
    """Print figures as rows of a table."""
    for figure in figures:
        print(figure, flush=True)


class Limited(NamedTuple):
    """A number that must be at most its limit, or at least where `least`."""

    what: str
    value: float
    limit: float
    unit: str
    least: bool = False

    @property
    def is_met(self) -> bool:
        return self.value >= self.limit if self.least else self.value <= self.limit


def show_limited(*figures: Limited) -> None:
    """Print `name figure (limit)`, a line each."""
    for each in figures:
        bound = f"{'at least' if each.least else 'at most'} {each.limit:g}"
        verdict = "" if each.is_met else " NOT MET"
        print(f"{each.what}: {each.value:,.3g} {each.unit} ({bound}){verdict}", flush=True)

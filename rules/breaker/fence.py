"""Which mode holds when the table and the statechart are not of one mind: the stricter."""

from dataclasses import dataclass
from typing import TypeAlias

from rules.breaker.table import Event, Mode, next_mode, stricter


@dataclass(frozen=True, slots=True)
class Failed:
    """The statechart gave no answer; why, in words."""

    why: str


Opinion: TypeAlias = Mode | Failed | None
"""What the statechart says; None where there is none beside the table."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The mode that holds, and why it is not simply the table's (or why nobody confirmed it); else empty."""

    mode: Mode
    doubt: str = ""


def judged(before: Mode, event: Event, opinion: Opinion) -> Judgement:
    """The mode after `event`.

    Without an answer of the statechart nothing is loosened; a tightening needs one of the two, a loosening
    both.
    """
    told = next_mode(before, event)
    if opinion is None or opinion is told:
        return Judgement(told)
    if isinstance(opinion, Failed):
        return Judgement(stricter(before, told), f"the statechart gave no answer: {opinion.why}")
    doubt = f"the table says {told.value}, the statechart {opinion.value}"
    return Judgement(stricter(told, opinion), doubt)

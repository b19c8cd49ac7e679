"""The circuit breaker of the book: which mode trading is in, and what moves it.

A statechart as data: a total table of modes and events. The table decides; durable_rules, where it is
installed, is asked the same (`statechart`), and `judged` says which mode holds when the two differ. Nothing
here reads a clock, a file or the account: events come from outside. `durable` is imported nowhere else.
"""

from rules.breaker.fence import Failed, Judgement, Opinion, judged
from rules.breaker.table import (
    EVENTS,
    MODES,
    REVISION,
    TABLE,
    TRIPS,
    Event,
    Mode,
    after,
    described,
    next_mode,
    stricter,
)

__all__ = [
    "EVENTS",
    "MODES",
    "REVISION",
    "TABLE",
    "TRIPS",
    "Event",
    "Failed",
    "Judgement",
    "Mode",
    "Opinion",
    "after",
    "described",
    "judged",
    "next_mode",
    "stricter",
]

"""The breaker's statechart as data: every mode, every event, and where each event leads from each mode."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType


class Mode(StrEnum):
    """From the freest to the strictest."""

    ARMED = "armed"
    HALF_OPEN = "half_open"
    TRIPPED = "tripped"
    FLATTENING = "flattening"
    HALTED = "halted"
    FROZEN = "frozen"


class Event(StrEnum):
    """What can befall the book."""

    DAILY_LOSS = "daily_loss"
    VIX_SHOCK = "vix_shock"
    LOSSES_IN_WINDOW = "losses_in_window"
    BROKER_DOWN = "broker_down"
    DATA_STALE = "data_stale"
    REJECT_BURST = "reject_burst"
    RECONCILE_BREAK = "reconcile_break"
    FLATTEN = "flatten"
    FLAT = "flat"
    TIMER_ELAPSED = "timer_elapsed"
    HUMAN_HALT = "human_halt"
    HUMAN_FREEZE = "human_freeze"
    HUMAN_RESET = "human_reset"


MODES = tuple(Mode)
EVENTS = tuple(Event)
TRIPS = EVENTS[: EVENTS.index(Event.FLATTEN)]
"""The events that are conditions of the account or of the market."""

MODE_MEANING: Mapping[Mode, str] = MappingProxyType(
    {
        Mode.ARMED: "everything is allowed",
        Mode.HALF_OPEN: "on trial after a reset: one entry at a time; the rules protect",
        Mode.TRIPPED: "no entries; the rules protect; a human must look",
        Mode.FLATTENING: "no entries; every position is being closed",
        Mode.HALTED: "no entries; the rules protect; a human must reset",
        Mode.FROZEN: "nothing is sent at all, not even a closing",
    }
)
EVENT_MEANING: Mapping[Event, str] = MappingProxyType(
    {
        Event.DAILY_LOSS: "the account lost too much of what it was worth when the day began",
        Event.VIX_SHOCK: "the VIX rose too far above yesterday's close",
        Event.LOSSES_IN_WINDOW: "too many positions were closed at a loss within the window",
        Event.BROKER_DOWN: "no link to the broker for too long, in trading hours",
        Event.DATA_STALE: "too many positions without fresh quotes for too long, in trading hours",
        Event.REJECT_BURST: "the broker rejected too many orders within the window",
        Event.RECONCILE_BREAK: "the broker's books differ from ours, and that is not resolved by itself",
        Event.FLATTEN: "the loss of the day passed its second limit, or a trip is set to close everything",
        Event.FLAT: "nothing is held any more",
        Event.TIMER_ELAPSED: "the time on trial is over, and no condition stands",
        Event.HUMAN_HALT: "the owner said halt",
        Event.HUMAN_FREEZE: "the owner said freeze",
        Event.HUMAN_RESET: "the owner said reset (or resume)",
    }
)

_A, _O, _T, _F, _H, _Z = MODES
_ROWS: Mapping[Event, tuple[Mode, ...]] = {
    # from:                armed half_open tripped flattening halted frozen
    Event.DAILY_LOSS:       (_T, _T, _T, _F, _H, _Z),
    Event.VIX_SHOCK:        (_T, _T, _T, _F, _H, _Z),
    Event.LOSSES_IN_WINDOW: (_T, _T, _T, _F, _H, _Z),
    Event.BROKER_DOWN:      (_T, _T, _T, _F, _H, _Z),
    Event.DATA_STALE:       (_T, _T, _T, _F, _H, _Z),
    Event.REJECT_BURST:     (_T, _T, _T, _F, _H, _Z),
    Event.RECONCILE_BREAK:  (_T, _T, _T, _F, _H, _Z),
    Event.FLATTEN:          (_F, _F, _F, _F, _H, _Z),
    Event.FLAT:             (_A, _O, _T, _H, _H, _Z),
    Event.TIMER_ELAPSED:    (_A, _A, _T, _F, _H, _Z),
    Event.HUMAN_HALT:       (_H, _H, _H, _H, _H, _H),
    Event.HUMAN_FREEZE:     (_Z, _Z, _Z, _Z, _Z, _Z),
    Event.HUMAN_RESET:      (_A, _O, _O, _F, _O, _O),
}  # fmt: skip

TABLE: Mapping[tuple[Mode, Event], Mode] = MappingProxyType(
    {(mode, event): target for event, row in _ROWS.items() for mode, target in zip(MODES, row, strict=True)}
)
"""Total: from every mode every event leads somewhere, and be it to where it was."""


def plain(table: Mapping[tuple[Mode, Event], Mode] = TABLE) -> dict[str, dict[str, str]]:
    """The table as JSON can hold it: mode, event, mode."""
    return {mode.value: {event.value: table[mode, event].value for event in EVENTS} for mode in MODES}


REVISION = "breaker-" + hashlib.sha256(json.dumps(plain(), sort_keys=True).encode()).hexdigest()[:12]
"""Changes whenever the table does; decisions of the breaker carry it as rules carry theirs."""


def next_mode(mode: Mode, event: Event) -> Mode:
    """Where the event leads from this mode."""
    return TABLE[mode, event]


def after(events: Iterable[Event], start: Mode = Mode.ARMED) -> Mode:
    """Where events lead, one after the other."""
    for event in events:
        start = TABLE[start, event]
    return start


def stricter(*modes: Mode) -> Mode:
    """The strictest of them."""
    return max(modes, key=MODES.index)


def described() -> list[tuple[str, ...]]:
    """The table for people: each event, its meaning, and where it leads from each mode ("–": stays)."""
    return [
        (
            event.value,
            EVENT_MEANING[event],
            *("–" if TABLE[mode, event] is mode else TABLE[mode, event].value for mode in MODES),
        )
        for event in EVENTS
    ]

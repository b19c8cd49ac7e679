"""Keeps a gateway that lets every connection die from being stormed with new ones.

A connection costs a gateway its whole start-up: holdings, orders, executions, and all lines anew. One that
does not listen at all costs nothing, so that is a matter for the waiting times between attempts alone.
"""

from enum import StrEnum
from typing import Final

DEATHS: Final = 5
FIRST_PAUSE_S: Final = 60.0
MOST_PAUSE_S: Final = 300.0


class BreakerState(StrEnum):
    """`CLOSED` connects at will, `OPEN` not at all for a while, `HALF_OPEN` tries one connection."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class ConnectionBreaker:
    """Opens after `DEATHS` connections in a row that the gateway answered and that died before they proved
    themselves. Each trial that fails doubles the pause; a connection that proves itself closes it.

    `deaths` counts those in a row; `pause_s` is how long nothing is tried while it is open.
    """

    def __init__(self) -> None:
        self.state = BreakerState.CLOSED
        self.deaths = 0
        self.pause_s = 0.0

    def try_again(self) -> None:
        """A connection is being made."""
        if self.state is BreakerState.OPEN:
            self.state = BreakerState.HALF_OPEN

    def proved(self) -> None:
        """The connection has lived long enough."""
        self.state, self.deaths, self.pause_s = BreakerState.CLOSED, 0, 0.0

    def died(self) -> None:
        """The connection was answered and did not live long enough."""
        self.deaths += 1
        if self.state is BreakerState.HALF_OPEN:
            self.state, self.pause_s = BreakerState.OPEN, min(MOST_PAUSE_S, 2 * self.pause_s)
        elif self.deaths >= DEATHS:
            self.state, self.pause_s = BreakerState.OPEN, FIRST_PAUSE_S

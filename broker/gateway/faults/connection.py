"""Faults of the connection between client and gateway, and of the gateway's own to its servers."""

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

from broker.gateway.faults.fault import Effect, Fault
from broker.gateway.faults.requests import Request
from broker.gateway.session import Session
from broker.gateway.wire import Fields, frame

if TYPE_CHECKING:
    from broker.gateway.gateway import Gateway

Client = Annotated[int | None, "the client id that suffers; all when left out", 0]
AfterRequest = Annotated[Request | None, "happens when this request has come; at once when left out"]
Handled = Annotated[bool, "whether that request still has its effect (an order is placed)"]

RESET = struct.pack("ii", 1, 0)


CONNECTIVITY = {
    1100: "Connectivity between IBKR and Trader Workstation has been lost.",
    1101: "Connectivity between IBKR and Trader Workstation has been restored - data lost.",
    1102: "Connectivity between IBKR and Trader Workstation has been restored - data maintained.",
    2110: "Connectivity between Trader Workstation and server is broken. It will be restored automatically.",
}


class Streams(StrEnum):
    AS_TOLD = "as_told"
    GO_ON = "go_on"
    STOP = "stop"


class Close(StrEnum):
    FIN = "fin"
    RST = "rst"
    TORN = "torn"


@dataclass(frozen=True, slots=True)
class Drop(Fault):
    name = "drop"
    wire = "The gateway closes the socket: in order (FIN), with a reset (RST), or after half a frame."
    suffers = (
        "Pending requests fail with ConnectionError, everything it knew is wiped (positions, trades, fills,"
        " tickers), and it never reconnects by itself. Old Ticker objects keep their last prices for ever."
    )
    source = "TWS_PROTOCOL.md 13, 14.1; BROKER.md, Connection"
    lasts = True
    client: Client = None
    how: Annotated[Close, "how the connection ends"] = Close.FIN
    after_request: AfterRequest = None
    handled: Handled = True

    def begin(self, gateway: "Gateway") -> Effect | None:
        if self.after_request is None:
            for session in suffering(gateway, self.client):
                self._close(gateway, session)
            return None

        def take(session: Session, kind: int, values: Sequence[str]) -> bool:
            if kind != self.after_request:
                return False
            session.silent = True
            if self.handled:
                gateway.answer(session, kind, Fields(values))
            session.silent = False
            self._close(gateway, session)
            return True

        return Effect(incoming=take, client=self.client)

    def _close(self, gateway: "Gateway", session: Session) -> None:
        if self.how is Close.RST:
            session.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            session.writer.transport.abort()
        elif self.how is Close.TORN:
            whole = frame((4, 2, -1, 2104, "Market data farm connection is OK:usfarm", ""))
            session.write(whole[: len(whole) // 2], 0)
        gateway.disconnect(session)


@dataclass(frozen=True, slots=True)
class Silent(Fault):
    name = "silent"
    wire = "Nothing any more: the socket stays open (half-open), requests are read and take effect."
    suffers = (
        "It notices nothing: `isConnected()` stays True, requests wait for ever, prices stand still."
        " Only a time-out of one's own tells."
    )
    source = "TWS_PROTOCOL.md 13, 14.3, 14.19; BROKER.md, Connection"
    client: Client = None
    after_request: AfterRequest = None
    handled: Handled = True

    def begin(self, gateway: "Gateway") -> Effect | None:
        quiet: list[Session] = []

        def hush(session: Session) -> None:
            session.silent = True
            quiet.append(session)

        def take(session: Session, kind: int, values: Sequence[str]) -> bool:
            if kind != self.after_request or session.silent:
                return False
            hush(session)
            return not self.handled

        def speak() -> None:
            for session in quiet:
                session.silent = False

        if self.after_request is None:
            for session in suffering(gateway, self.client):
                hush(session)
            return Effect(end=speak)
        return Effect(incoming=take, end=speak, client=self.client)


@dataclass(frozen=True, slots=True)
class RefuseConnections(Fault):
    name = "refuse_connections"
    wire = "New connections are closed before the first byte; present ones live."
    suffers = "`connectAsync` fails with ConnectionError or TimeoutError; nothing tries again by itself."
    source = "TWS_PROTOCOL.md 13; BROKER.md, nightly restart"

    def begin(self, gateway: "Gateway") -> Effect:
        gateway.refuses = True

        def take_again() -> None:
            gateway.refuses = False

        return Effect(end=take_again)


@dataclass(frozen=True, slots=True)
class Connectivity(Fault):
    name = "connectivity"
    wire = (
        "1100 or 2110 (lost), then no ticks; 1101 (restored, data lost), and all subscriptions are forgotten;"
        " 1102 (restored, data maintained), and ticks go on."
    )
    suffers = (
        "Only `errorEvent`: it stays connected and keeps its subscriptions, none of which lives after 1101."
        " On each 1102 it sends its account summary request once more."
    )
    source = "TWS_PROTOCOL.md 10, 13, 14.20; BROKER.md, Connection"
    code: Annotated[Literal[1100, 1101, 1102, 2110], "the notice"]
    streams: Annotated[Streams, "whether ticks keep to what the notice says"] = Streams.AS_TOLD

    def begin(self, gateway: "Gateway") -> Effect | None:
        for session in gateway.in_order():
            session.error(-1, self.code, CONNECTIVITY[self.code])
            if self.code == 1101 and self.streams is Streams.AS_TOLD:
                session.lines.clear()
        if self.code == 1102 and self.streams is Streams.AS_TOLD:
            gateway.publish()
        down = self.code in (1100, 2110)
        stopped = down if self.streams is Streams.AS_TOLD else self.streams is Streams.STOP
        if not stopped:
            return None
        gateway.data.paused = True

        def go_on() -> None:
            gateway.data.paused = False

        return Effect(end=go_on)


def suffering(gateway: "Gateway", client: int | None) -> list[Session]:
    """The connected clients that a fault concerns."""
    return [session for session in gateway.in_order() if client in (None, session.client_id)]


FAULTS: tuple[type[Fault], ...] = (Drop, Silent, RefuseConnections, Connectivity)

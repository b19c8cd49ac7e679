"""Faults of the connection between client and gateway, and of the gateway's own to its servers."""

import socket
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from broker.gateway.faults.fault import Effect, Fault
from broker.gateway.faults.notices import TEXTS
from broker.gateway.faults.requests import Client, Request, body, request_id, suffering
from broker.gateway.protocol.wire import frame
from broker.gateway.session import Session

if TYPE_CHECKING:
    from broker.gateway.gateway import Gateway

AfterRequest = Annotated[Request | None, "happens when this request has come; at once when left out"]
Handled = Annotated[bool, "whether that request still has its effect (an order is placed)"]

RESET = struct.pack("ii", 1, 0)


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
    times = 1
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
                gateway.answer(session, kind, body(values))
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
        "It notices nothing: `isConnected()` stays True, requests wait for ever, prices stand still. Only a"
        " time-out of one's own tells."
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
class ClientIdInUse(Fault):
    name = "client_id_in_use"
    wire = "Error 326 for startApi although the id is free (the old socket is not yet closed), then FIN."
    suffers = "It is not ready and does not say why: `connectAsync` fails, at the latest with its time-out."
    source = "TWS_PROTOCOL.md 2, 10, 14.25; BROKER.md, Connection"
    times = 1
    client: Client = None

    def begin(self, gateway: "Gateway") -> Effect:
        def take(session: Session, kind: int, values: Sequence[str]) -> bool:
            if kind != Request.START_API or self.client not in (None, request_id(kind, values)):
                return False
            session.error(-1, 326, TEXTS[326])
            session.close()
            return True

        return Effect(incoming=take)


@dataclass(frozen=True, slots=True)
class Restart(Fault):
    name = "restart"
    wire = (
        "The nightly restart: every socket is closed, connections are refused for a while, orders of the"
        " last seconds are lost, and nextValidId goes back to where it was before them."
    )
    suffers = (
        "As with drop; afterwards it gives out order ids that it has used before. The lost orders are"
        " nowhere: not open, not completed, not executed."
    )
    source = "TWS_PROTOCOL.md 9, 13; BROKER.md, Connection"
    lasts = False
    seconds: Annotated[float, "simulated seconds without connections", 0.0] = 120.0
    lost_s: Annotated[float, "orders that were placed within so many seconds before are lost", 0.0] = 5.0

    def begin(self, gateway: "Gateway") -> None:
        since = gateway.faults.now - timedelta(seconds=self.lost_s)
        gateway.faults.inflict("refuse_connections", {"seconds": self.seconds})
        for session in gateway.in_order():
            gateway.disconnect(session)
        gateway.exchange.forget_since(since)
        gateway.save()


@dataclass(frozen=True, slots=True)
class Pacing(Fault):
    name = "pacing"
    wire = (
        "A client's message beyond so many within one second is thrown away with error 100; after some such"
        " errors the socket is closed. Counted in simulated seconds, so that a run can be repeated. Never"
        " enforced without this command."
    )
    suffers = "100 is only logged, the request waits for ever. Its own throttle (45 per second) is wall time."
    source = "TWS_PROTOCOL.md 10, 13, 14.11; BROKER.md, Connection"
    most_per_s: Annotated[int, "messages per simulated second", 1] = 50
    strikes: Annotated[int, "errors 100 after which the socket is closed; 0: never", 0] = 3

    def begin(self, gateway: "Gateway") -> Effect:
        came: dict[int, deque[datetime]] = {}
        struck: dict[int, int] = {}

        def take(session: Session, kind: int, values: Sequence[str]) -> bool:
            moments = came.setdefault(session.number, deque())
            now = gateway.faults.now
            while moments and moments[0] <= now - timedelta(seconds=1):
                moments.popleft()
            moments.append(now)
            if len(moments) <= self.most_per_s:
                return False
            moments.pop()
            session.error(-1, 100, TEXTS[100])
            struck[session.number] = struck.get(session.number, 0) + 1
            if struck[session.number] == self.strikes:
                gateway.disconnect(session)
            return True

        return Effect(incoming=take)


FAULTS: tuple[type[Fault], ...] = (Drop, Silent, RefuseConnections, ClientIdInUse, Restart, Pacing)

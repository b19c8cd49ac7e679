"""Faults of the byte stream: late, slow, torn and merged frames, garbage, clients that read too slowly."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from broker.gateway.faults.fault import Edit, Effect, Fault, Held, Message
from broker.gateway.faults.requests import Client, Request, request_id, suffering
from broker.gateway.protocol.wire import frame
from broker.gateway.session import LARGEST_BACKLOG, Session

if TYPE_CHECKING:
    from broker.gateway.gateway import Gateway

Gap = Annotated[float, "simulated seconds between two writes", 0.001]

Take = Callable[[Sequence[int], bool], int]

SLOW_GAP_S = 0.1


class Pipe:
    """Takes frames and, every `gap_s` simulated seconds, writes as many bytes as `take` says.

    `take` is given where the frames in the pipe end, and whether the first of them has been begun.
    """

    def __init__(self, gateway: "Gateway", session: Session, gap_s: float, take: Take) -> None:
        self._gateway = gateway
        self._session = session
        self._gap_s = gap_s
        self._take = take
        self._bytes = bytearray()
        self._ends: list[int] = []
        self._begun = False

    def put(self, data: bytes) -> None:
        if not self._bytes:
            self._gateway.faults.later(self._gap_s, self._beat)
        self._bytes += data
        self._ends.append(len(self._bytes))

    def flush(self) -> None:
        """Writes all that is left at once."""
        self._write(len(self._bytes))

    def _beat(self) -> None:
        self._write(min(self._take(self._ends, self._begun), len(self._bytes)))
        if self._bytes:
            self._gateway.faults.later(self._gap_s, self._beat)

    def _write(self, length: int) -> None:
        if not self._bytes:
            return
        complete = sum(end <= length for end in self._ends)
        self._begun = length not in self._ends
        self._session.write(bytes(self._bytes[:length]), complete)
        del self._bytes[:length]
        self._ends = [end - length for end in self._ends[complete:]]


def piped(gateway: "Gateway", client: int | None, gap_s: float, take: Take) -> Effect:
    """Lets every connection's frames go through a pipe of its own until the effect ends; one client's as
    soon as it has said who it is."""
    pipes: list[tuple[Session, Pipe]] = []

    def fit(session: Session) -> None:
        pipe = Pipe(gateway, session, gap_s, take)
        pipes.append((session, pipe))
        session.pipe = pipe.put

    def opened(session: Session) -> None:
        if client in (None, session.client_id):
            fit(session)

    def introduced(session: Session, kind: int, values: Sequence[str]) -> bool:
        if kind == Request.START_API and request_id(kind, values) == client:
            fit(session)
        return False

    def end() -> None:
        for session, pipe in pipes:
            pipe.flush()
            if session.pipe == pipe.put:
                session.pipe = None

    return Effect(opened=opened, incoming=introduced, end=end)


@dataclass(frozen=True, slots=True)
class Delay(Fault):
    name = "delay"
    wire = "Every message goes out later, in the same order, the handshake too."
    suffers = "It takes old prices for new ones (all its times are those of arrival); short time-outs strike."
    source = "TWS_PROTOCOL.md 14.29; BROKER.md, Faults"
    targets = ("client",)
    delay_s: Annotated[float, "simulated seconds", 0.0] = 2.0
    client: Client = None

    def begin(self, gateway: "Gateway") -> Effect:
        def outgoing(_: Session, message: Message) -> Edit:
            return [Held(message, delay_s=self.delay_s)]

        return Effect(outgoing=outgoing, client=self.client)


@dataclass(frozen=True, slots=True)
class Slow(Fault):
    name = "slow"
    wire = "So many bytes per simulated second, whatever frame they belong to."
    suffers = "Nothing but time: a start-up that takes longer than its time-out fails."
    source = "TWS_PROTOCOL.md 2, 13; BROKER.md, Faults"
    bytes_per_s: Annotated[int, "bytes per simulated second", 10] = 2000
    client: Client = None

    def begin(self, gateway: "Gateway") -> Effect:
        portion = round(self.bytes_per_s * SLOW_GAP_S)
        return piped(gateway, self.client, SLOW_GAP_S, lambda _, __: portion)


@dataclass(frozen=True, slots=True)
class Torn(Fault):
    name = "torn"
    wire = "Every write ends inside a frame, the rest follows with the next write."
    suffers = "Nothing: it puts frames together wherever they were cut."
    source = "TWS_PROTOCOL.md 2, 13; BROKER.md, Faults"
    cut_at: Annotated[int, "bytes of the last frame that are written (3: inside its length)", 1] = 3
    gap_s: Gap = 0.05
    client: Client = None

    def begin(self, gateway: "Gateway") -> Effect:
        def take(ends: Sequence[int], begun: bool) -> int:
            if len(ends) > 1:
                return ends[-2] + self.cut_at
            return ends[0] if begun else self.cut_at

        return piped(gateway, self.client, self.gap_s, take)


@dataclass(frozen=True, slots=True)
class Merged(Fault):
    name = "merged"
    wire = "All frames of a while go out in one write."
    suffers = (
        "`updateEvent` and `pendingTickersEvent` fire once for all of it: of several prices of one contract"
        " only the last can still be read, the others only in `ticker.ticks`."
    )
    source = "TWS_PROTOCOL.md 2, 13, 14.14"
    gap_s: Gap = 0.5
    client: Client = None

    def begin(self, gateway: "Gateway") -> Effect:
        return piped(gateway, self.client, self.gap_s, lambda ends, _: ends[-1])


class Rubbish(StrEnum):
    UNKNOWN_MESSAGE = "unknown_message"
    UNKNOWN_TICK = "unknown_tick"
    TOO_SHORT = "too_short"
    TEXT = "text"
    NOT_ASCII = "not_ascii"
    HUGE_LENGTH = "huge_length"


RUBBISH = {
    Rubbish.UNKNOWN_MESSAGE: frame((9999, 1, "by command")),
    Rubbish.UNKNOWN_TICK: frame((1, 6, 1, 999, 1.0, 1, 0)),
    Rubbish.TOO_SHORT: frame((1, 6)),
    Rubbish.TEXT: frame(("HTTP/1.1 400 Bad Request",)),
    Rubbish.NOT_ASCII: b"\x00\x00\x00\x04\xff\xfe\xfd\x00",
    Rubbish.HUGE_LENGTH: b"\x7f\xff\xff\xff",
}


@dataclass(frozen=True, slots=True)
class Garbage(Fault):
    name = "garbage"
    wire = (
        "Bytes that are no message of the protocol; huge_length promises 2 GB and then nothing makes sense."
    )
    suffers = (
        "It logs an error of `ib_async.Decoder` for each and goes on; after a huge length it takes all that"
        " follows for that frame's inside: connected, deaf, and growing."
    )
    source = "TWS_PROTOCOL.md 7 (unknown ticks); BROKER.md, Faults"
    lasts = False
    what: Annotated[Rubbish, "which bytes"] = Rubbish.UNKNOWN_MESSAGE
    client: Client = None

    def begin(self, gateway: "Gateway") -> None:
        for session in suffering(gateway, self.client):
            session.put(RUBBISH[self.what])


@dataclass(frozen=True, slots=True)
class SlowConsumer(Fault):
    name = "slow_consumer"
    wire = "The gateway resets the connection of a client that leaves more than so many bytes unread."
    suffers = "As with drop: an event handler that computes for long enough costs the connection."
    source = "TWS_PROTOCOL.md 13"
    backlog_bytes: Annotated[int, "bytes that may wait in the gateway's buffer", 0] = 65536

    def begin(self, gateway: "Gateway") -> Effect:
        def opened(session: Session) -> None:
            session.largest_backlog = self.backlog_bytes

        def end() -> None:
            for session in gateway.connections:
                session.largest_backlog = LARGEST_BACKLOG

        return Effect(opened=opened, end=end)


FAULTS: tuple[type[Fault], ...] = (Delay, Slow, Torn, Merged, Garbage, SlowConsumer)

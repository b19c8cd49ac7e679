"""One API client's connection: handshake, frames in and out, and what it has subscribed to."""

import asyncio
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from broker.gateway.desks.account_feed import Feed, Kind
from broker.gateway.desks.entitlements import DataType
from broker.gateway.desks.pacing import Pacing
from broker.gateway.desks.tick_stream import TickStream
from broker.gateway.errors import MessageError, RequestRefused
from broker.gateway.protocol.history_request import KeptBars
from broker.gateway.protocol.tick_messages import Shown, Ticks
from broker.gateway.protocol.wire import Fields, Value, frame, framed, read_body, split
from broker.gateway.recording.tape import Mark, Tape
from options import ConId, Contract

log = logging.getLogger("gateway")

OLDEST_VERSION = 157
NEWEST_VERSION = 178
# `v157..178`, or one version alone.
VERSIONS = re.compile(r"v?(?:[0-9]+\.\.)?([0-9]{1,9})")
LARGEST_BACKLOG = 16 << 20


@dataclass(slots=True)
class Line:
    """A market data subscription. `legs`: (contract id, signed ratio) of what is watched for it, one for a
    single contract. `generic`: the generic ticks asked for. `until`: when a snapshot gives up waiting, None
    for a stream. `shown`: what the client has been told, None before the first tick.
    """

    contract: Contract
    legs: tuple[tuple[ConId, int], ...]
    generic: frozenset[int] = frozenset()
    delayed: bool = False
    until: datetime | None = None
    shown: Shown | None = None


@dataclass(slots=True, eq=False)
class Session:
    """`sent` and `received` count frames as ib_async does: the handshake reply is sent but not received.

    `client_id` is -1 until startApi. `version` was agreed in the handshake: the layouts of many messages
    depend on it. `binds_orders`: orders placed by hand are this client's. `feeds` are by kind and request
    id. `tape` hears all that passes, as connection `number`; None when nothing is recorded. `held`: what is
    said but may not go out yet; None while everything goes out at once. `most_lines`: the most `lines` there
    were at once.

    For faults: `silent` drops everything that would be sent, `editor` decides what goes out instead of a
    message, `pipe` takes a frame's bytes and puts them out when it likes; each is unset on good days.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    client_id: int = -1
    version: int = NEWEST_VERSION
    binds_orders: bool = False
    sent: int = 0
    received: int = 0
    silent: bool = False
    editor: Callable[["Session", Sequence[Value]], None] | None = None
    pipe: Callable[[bytes], None] | None = None
    largest_backlog: int = LARGEST_BACKLOG
    data_type: DataType = DataType.LIVE
    lines: dict[int, Line] = field(default_factory=dict)
    most_lines: int = 0
    streams: dict[int, TickStream] = field(default_factory=dict)
    kept_bars: dict[int, KeptBars] = field(default_factory=dict)
    pacing: Pacing = field(default_factory=Pacing)
    feeds: dict[tuple[Kind, int], Feed] = field(default_factory=dict)
    tape: Tape | None = None
    number: int = 0
    ended: bool = False
    held: bytearray | None = None

    def watched(self) -> Iterator[ConId]:
        """The contracts whose quotes the client wants to hear of."""
        for line in self.lines.values():
            for con_id, _ in line.legs:
                yield con_id
        for stream in self.streams.values():
            yield stream.contract.con_id
        for kept in self.kept_bars.values():
            yield kept.contract.con_id

    def lose_data(self) -> None:
        """Forgets every subscription to data; of those to bars the client is told."""
        self.lines.clear()
        self.streams.clear()
        for req_id in self.kept_bars:
            self.error(req_id, 10182, "Failed to request live updates (disconnected).")
        self.kept_bars.clear()

    def send(self, *fields: Value) -> None:
        """Sends one message, unless a fault has other plans for it."""
        if self.editor is None:
            self.transmit(fields)
        else:
            self.editor(self, fields)

    def transmit(self, fields: Sequence[Value]) -> None:
        """Sends one message as it is."""
        if self.writer.is_closing():
            self.note_end()
        elif not self.silent:
            self.put(frame(fields))

    def put(self, data: bytes) -> None:
        """Sends one frame."""
        if self.pipe is None:
            self.write(data, 1)
        else:
            self.pipe(data)

    def write(self, data: bytes, frames: int) -> None:
        """Takes bytes with which so many frames are complete."""
        self.sent += frames
        if self.tape:
            self.tape.note(Mark.SENT, self.number, data)
        if self.held is None:
            self._put_out(data)
        else:
            self.held += data

    def _put_out(self, data: bytes | bytearray) -> None:
        """Queues bytes; a client that reads too slowly loses its connection instead of memory."""
        self.writer.write(data)
        if self.writer.transport.get_write_buffer_size() > self.largest_backlog:
            log.warning("client %d reads too slowly and is cut off", self.client_id)
            self.writer.transport.abort()

    def hold(self) -> None:
        """Nothing goes out until `release`."""
        if self.held is None:
            self.held = bytearray()

    def release(self) -> None:
        """What was held goes out, and from now on everything at once."""
        held, self.held = self.held, None
        if held:
            self._put_out(held)

    def send_ticks(self, news: Sequence[tuple[int, Ticks]]) -> None:
        """All ticks of one moment, with the request ids that they answer: in one write, unless a fault has
        other plans for the messages."""
        if self.editor or self.pipe or self.silent or self.writer.is_closing():
            for req_id, ticks in news:
                for tick in ticks.ticks:
                    self.send(*tick.message(req_id))
        else:
            data = b"".join([ticks.frames(req_id) for req_id, ticks in news])
            self.write(data, sum(len(ticks) for _, ticks in news))

    @contextmanager
    def answering(self, req_id: int) -> Iterator[None]:
        """Tells the client when the request is refused inside."""
        try:
            yield
        except RequestRefused as refusal:
            self.error(req_id, refusal.code, refusal.text)

    def error(self, req_id: int, code: int, text: str) -> None:
        self.send(*self.error_message(req_id, code, text))
        if not 2100 <= code < 2200:  # notices of how its connections are
            log.debug("client %d is told %d: %s", self.client_id, code, text)

    def error_message(self, req_id: int, code: int, text: str) -> list[Value]:
        rejection_details = [""] if self.version >= 166 else []
        return [4, 2, req_id, code, text, *rejection_details]

    def close(self) -> None:
        self.writer.close()

    def note(self, mark: Mark, data: bytes = b"") -> None:
        if self.tape:
            self.tape.note(mark, self.number, data)

    def note_end(self) -> None:
        """From here on nothing can be sent."""
        if not self.ended:
            self.ended = True
            self.note(Mark.CLOSED)

    async def shake_hands(self, time_text: Callable[[], str]) -> bool:
        """Agrees on a version; False when the client is none of ours or too old."""
        if await self.reader.readexactly(4) != b"API\0":
            log.warning("something that does not speak the TWS protocol connected and was sent away")
            return False
        body = await read_body(self.reader)
        self.note(Mark.RECEIVED, b"API\0" + framed(body))
        offer = body.decode(errors="replace").split(" ")[0]
        found = VERSIONS.fullmatch(offer)
        newest = int(found[1]) if found else 0
        if newest < OLDEST_VERSION:
            log.warning("a client that offers version %.40r is too old and was sent away", offer)
            return False
        self.version = min(NEWEST_VERSION, newest)
        self.send(self.version, time_text())
        return True

    async def serve(self, handle: Callable[["Session", int, Fields], None]) -> None:
        """Reads and handles messages until the client goes away."""
        while not self.writer.is_closing():
            body = await read_body(self.reader)
            self.note(Mark.RECEIVED, framed(body))
            values = split(body)
            if not values or not values[0].isdigit():
                raise MessageError(f"a message begins with {values[:1]} instead of its number")
            fields = Fields(values)
            handle(self, fields.integer(), fields)
            self.received += 1

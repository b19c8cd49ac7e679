"""Between a client and the real simulated gateway: passes everything on, and pours ticks at any rate.

What is poured are frames that the gateway sent on this very connection a moment ago, again and again, so a
client has to take them as it takes any. Some lines can be kept out of it: their ticks are held back and are
told by hand.
"""

import asyncio
import socket
import time
from collections import deque
from dataclasses import dataclass, field

from broker.gateway.protocol.wire import LENGTH, frame

_TICKS = (b"1\0", b"2\0", b"21\0", b"45\0", b"46\0")
_SUBSCRIBE = b"1\x0011\0"
_KEPT = 50_000
_BURST = 100
_EVERY_S = 0.001


@dataclass
class Hose:
    """One client's connection. `port` is where it comes in, `gateway` where the gateway listens.

    `lines` are the request ids by con_id, `ticks` the frames that may be poured, `sent` the number of
    frames that went to the client so far.
    """

    gateway: int
    port: int = 0
    lines: dict[int, int] = field(default_factory=dict)
    ticks: deque[bytes] = field(default_factory=lambda: deque(maxlen=_KEPT))
    sent: int = 0
    _held: set[int] = field(default_factory=set)
    _writer: asyncio.StreamWriter | None = None
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    _server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self.gateway)
        line = writer.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 17)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._writer = writer
        self._tasks += [
            asyncio.create_task(self._ask(reader, upstream)),
            asyncio.create_task(self._answer(upstream_reader, writer)),
        ]

    async def _ask(self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter) -> None:
        """What the client says goes on as it is; its subscriptions are noted."""
        greeting = await reader.readexactly(4)
        upstream.write(greeting)
        while True:
            length = await reader.readexactly(4)
            body = await reader.readexactly(LENGTH.unpack(length)[0])
            if body.startswith(_SUBSCRIBE):
                fields = body.split(b"\0")
                self.lines[int(fields[3])] = int(fields[2])
            upstream.write(length + body)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            length = await reader.readexactly(4)
            body = await reader.readexactly(LENGTH.unpack(length)[0])
            if body.startswith(_TICKS):
                if _request(body) in self._held:
                    continue
                self.ticks.append(length + body)
            self.sent += 1
            writer.write(length + body)

    def hold(self, *con_ids: int) -> None:
        """From now on nothing is said of these contracts but by `tell`."""
        self._held |= {self.lines[con_id] for con_id in con_ids}
        kept = [tick for tick in self.ticks if _request(tick[4:]) not in self._held]
        self.ticks = deque(kept, maxlen=_KEPT)

    def tell(self, con_id: int, bid: float, ask: float) -> float:
        """A quote of a held contract; the moment at which it was sent (`time.monotonic`)."""
        assert self._writer is not None
        request = self.lines[con_id]
        sides = [frame([1, 6, request, kind, price, 10, 1]) for kind, price in ((1, bid), (2, ask))]
        at = time.monotonic()
        self._writer.write(b"".join(sides))
        self.sent += 2
        return at

    async def pour(self, seconds: float, per_s: float | None = None) -> float:
        """Pour ticks, as many as the client takes when `per_s` is None; messages per second that went."""
        assert self._writer is not None
        writer, ticks = self._writer, list(self.ticks)
        bursts = [b"".join(ticks[at : at + _BURST]) for at in range(0, len(ticks) - _BURST, _BURST)]
        begun = time.monotonic()
        count = at = 0
        while (now := time.monotonic()) < begun + seconds:
            if per_s is None:
                writer.write(bursts[count % len(bursts)])
                count += 1
                await writer.drain()
                continue
            due = int((now - begun) * per_s) - at
            piece = [ticks[(at + n) % len(ticks)] for n in range(due)]
            at += due
            writer.write(b"".join(piece))
            await writer.drain()
            await asyncio.sleep(_EVERY_S)
        poured = count * _BURST if per_s is None else at
        self.sent += poured
        return poured / (time.monotonic() - begun)


def _request(body: bytes) -> int:
    """The request id of a tick: its third field, the second of a computation."""
    parts = body.split(b"\0", 3)
    return int(parts[1] if parts[0] == b"21" else parts[2])

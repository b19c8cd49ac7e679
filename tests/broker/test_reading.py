"""However much a gateway sends at once, the loop gets its turn between small pieces of it."""

import asyncio
import struct

from broker.connection import Session
from broker.inbox import Inbox
from options import ConId, Contract, SecType
from tests.broker.bench import SystemClock

FLOOD = 40_000


async def test_a_flood_is_read_in_small_pieces() -> None:
    body = b"1\x006\x001\x001\x00101.25\x0010\x001\x00"
    tick = struct.pack(">I", len(body)) + body

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(64)
        greeting = b"178\x0020260302 10:00:00 EST\x00"
        writer.write(struct.pack(">I", len(greeting)) + greeting + tick * FLOOD)

    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    inbox = Inbox(SystemClock())
    inbox.lines.open(1, Contract(ConId(7), "XYZ", SecType.STOCK))
    session = Session(inbox, "", None, lambda _: None)
    client = session.client
    pieces = []

    def count(data: bytes) -> None:
        pieces.append(len(data))

    client.conn.hasData += count
    connecting = asyncio.ensure_future(
        client.connectAsync("127.0.0.1", server.sockets[0].getsockname()[1], 1, 5)
    )
    async with asyncio.timeout(30):
        while session.frames_received <= FLOOD:
            session.progress.clear()
            await session.progress.wait()
    connecting.cancel()
    client.disconnect()
    server.close()
    assert max(pieces) <= 16_384
    (quote,) = inbox.lines.drain()
    assert quote.bid == 101.25

"""Plays a recording to clients, so that what happened to one of them happens to it again.

A client that connects gets what was sent to the recorded client of its id, on its first connection, then on
its second, and so on, then on the first again. What the recorded client had said before a message was sent is
awaited by kind (placeOrder, reqMktData), whatever its fields are; nothing else is. So the client must ask for
the same things with the same request and order ids, as the same program does; nothing waits for the time that
passed between two messages; and where the recorded connection was closed, so is this one.
"""

import asyncio
import json
import logging
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle

from broker.gateway.errors import GatewayError
from broker.gateway.program import Doors
from broker.gateway.protocol.layouts import name_of
from broker.gateway.protocol.wire import read_body, split
from broker.gateway.recording.tape import Frames, Mark, Recording

log = logging.getLogger("gateway")

Said = tuple[Mark, bytes]


@dataclass(slots=True)
class Part:
    """A recorded connection: what was sent and received on it, messages whole, and its end. `client_id` is
    None when it never said who it was."""

    client_id: int | None = None
    said: list[Said] = field(default_factory=list)


def parts_of(recording: Recording) -> list[Part]:
    """The connections in the order in which they were opened; a torn recording ends where it is torn."""
    parts: dict[int, Part] = defaultdict(Part)
    received: dict[int, Frames] = defaultdict(Frames)
    try:
        for entry in recording.entries():
            part = parts[entry.connection]
            if entry.mark is Mark.RECEIVED:
                for body in received[entry.connection].cut(entry.data):
                    values = split(body)
                    if values[:1] == ["71"] and values[2].isdigit():
                        part.client_id = int(values[2])
                    part.said.append((Mark.RECEIVED, body))
            elif entry.mark in (Mark.SENT, Mark.CLOSED):
                part.said.append((entry.mark, entry.data))
    except GatewayError as error:
        log.warning("%s", error)
    return [part for part in parts.values() if part.said]


class Player:
    """Serves the parts. Raises GatewayError when no client is among them."""

    def __init__(self, recording: Recording) -> None:
        parts = [part for part in parts_of(recording) if part.client_id is not None]
        if not parts:
            raise GatewayError(f"recording {recording.path} has no client in it: nobody can be played to")
        by_client: dict[int, list[Part]] = defaultdict(list)
        for part in parts:
            if part.client_id is not None:
                by_client[part.client_id].append(part)
        self.clients = sorted(by_client)
        self._next = {client_id: cycle(found) for client_id, found in by_client.items()}
        self._greeting = b"".join(data for mark, data in parts[0].said[:2] if mark is Mark.SENT)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection to its recorded end, or to its own."""
        try:
            await reader.readexactly(4)
            await read_body(reader)
            writer.write(self._greeting)
            client_id = int(split(await read_body(reader))[2])
            if client_id not in self._next:
                told = ", ".join(map(str, self.clients))
                log.warning("client %d is not in the recording: there are %s", client_id, told)
                return
            log.info("client %d has connected", client_id)
            await _play(next(self._next[client_id]).said, client_id, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, GatewayError, ValueError, IndexError) as error:
            log.info("a client went away before its end: %s", error)
        finally:
            writer.close()


async def _play(
    said: Sequence[Said], client_id: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """All that follows the client's introduction."""
    heard: Counter[str] = Counter()
    for mark, data in said[3:]:
        if mark is Mark.SENT:
            writer.write(data)
            await writer.drain()
        elif mark is Mark.RECEIVED:
            kind = split(data)[0]
            while not heard[kind]:
                log.debug("client %d: waiting for %s", client_id, name_of(int(kind), from_client=True))
                heard[split(await read_body(reader))[0]] += 1
            heard[kind] -= 1
    log.info("client %d has heard everything", client_id)


def play(recording: Recording, host: str, port: int) -> None:
    """Blocks until it is told to stop; says one ready line."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="gateway: %(message)s")
    asyncio.run(_listen(Player(recording), host, port))


async def _listen(player: Player, host: str, port: int) -> None:
    doors, stop = Doors(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    taken = await doors.open(player.serve, host, port, "--port")
    sys.stdout.write(json.dumps({"ready": True, "port": taken, "clients": player.clients}) + "\n")
    sys.stdout.flush()
    await stop.wait()
    await doors.close()

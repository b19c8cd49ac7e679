"""Three independent TWS API clients behind one set of calls: their requests are named alike.

Below their comfortable halves: each one's own encoder of requests, socket code and decoder run unchanged
(the decoder counting, see `strict`), and in place of its wrapper stands a `Listener` that keeps every call.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import ib_async
import ib_insync
import ibapi.client
import ibapi.contract
import ibapi.execution
import ibapi.order
import ibapi.order_condition
import ibapi.scanner
import ibapi.tag_value

from tests.conformance.strict import Heard, Listener, StrictOfficial, strict_decoder

NAMES = ("ib_async", "ib_insync", "ibapi")
PATIENCE_S = 20.0


@dataclass
class ApiClient:
    """`calls` has the client's requests, `parts` its classes; `sent` are the fields of what it has sent."""

    name: str
    version: int
    calls: Any
    parts: Any
    decoder: Any
    listener: Listener
    sent: list[list[str]]

    @property
    def heard(self) -> list[Heard]:
        """Every message so far, from the first after the handshake on."""
        messages: list[Heard] = self.decoder.heard
        return messages

    def all(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of every call of that name so far."""
        return [arguments for told, arguments in list(self.listener.told) if told == name]

    async def told(
        self, name: str, matches: Callable[..., Any] = lambda *_: True, since: int = 0
    ) -> tuple[Any, ...]:
        """Waits for a call of that name (not among the first `since` calls) that matches; its arguments."""
        for _ in range(int(PATIENCE_S * 1000)):
            for told, arguments in self.listener.told[since:]:
                if told == name and matches(*arguments):
                    return arguments
            await asyncio.sleep(0.001)
        errors = [arguments for arguments in self.all("error") if arguments[1] < 2100]
        complaints = [heard for heard in self.heard if heard.complaint]
        raise AssertionError(f"{self.name} was never told {name}; errors: {errors}; complaints: {complaints}")

    @property
    def now(self) -> int:
        """A mark for `told`: what comes after it."""
        return len(self.listener.told)


@asynccontextmanager
async def connected(name: str, port: int, client_id: int) -> AsyncIterator[ApiClient]:
    """One of `NAMES`, connected and ready: it has been told its accounts and next order id."""
    opened = _official(port, client_id) if name == "ibapi" else _family(LIBRARIES[name], port, client_id)
    async with opened as client:
        await client.told("managedAccounts")
        await client.told("nextValidId")
        yield client


LIBRARIES: dict[str, ModuleType] = {"ib_async": ib_async, "ib_insync": ib_insync}

OFFICIAL_MODULES = (
    ibapi.contract,
    ibapi.order,
    ibapi.execution,
    ibapi.tag_value,
    ibapi.order_condition,
    ibapi.scanner,
)
OFFICIAL_PARTS = SimpleNamespace(
    **{
        name: getattr(module, name)
        for module in OFFICIAL_MODULES
        for name in dir(module)
        if name[0].isupper()
    }
)


@asynccontextmanager
async def _family(library: ModuleType, port: int, client_id: int) -> AsyncIterator[ApiClient]:
    listener = Listener()
    calls = library.client.Client(listener)
    calls.MaxRequests = 0  # no throttling
    calls.decoder = decoder = strict_decoder(library, listener)
    sent = _tap(calls.conn)
    await calls.connectAsync("127.0.0.1", port, client_id, PATIENCE_S)
    try:
        yield ApiClient(library.__name__, calls.serverVersion(), calls, library, decoder, listener, sent)
    finally:
        calls.disconnect()
        await asyncio.sleep(0)


@asynccontextmanager
async def _official(port: int, client_id: int) -> AsyncIterator[ApiClient]:
    """ibapi with its two threads: one reads the socket, one decodes; both have ended afterwards."""
    listener = Listener()
    calls = ibapi.client.EClient(listener)
    await asyncio.to_thread(calls.connect, "127.0.0.1", port, client_id)
    calls.decoder = decoder = StrictOfficial(listener, calls.serverVersion())
    sent = _tap(calls.conn)
    sent.append(["71", "2", str(client_id), ""])  # went out while it connected
    connection, reader = calls.conn, calls.reader
    decoding = threading.Thread(target=calls.run, name="ibapi decodes")
    decoding.start()
    try:
        yield ApiClient("ibapi", calls.serverVersion(), calls, OFFICIAL_PARTS, decoder, listener, sent)
    finally:
        if connection.socket is not None:  # it is None once the gateway has closed the connection
            connection.socket.shutdown(socket.SHUT_RDWR)
        for thread in (decoding, reader):
            await asyncio.to_thread(thread.join, PATIENCE_S)
            assert not thread.is_alive(), f"{thread.name} does not end"


def _tap(connection: Any) -> list[list[str]]:
    """Notes the fields of each message that goes out through a client's connection, from startApi on."""
    messages: list[list[str]] = []
    send = connection.sendMsg

    def noting(data: bytes) -> Any:
        if not data.startswith(b"API\0"):
            (length,) = struct.unpack(">I", data[:4])
            assert length == len(data) - 4
            messages.append(data[4:].decode().split("\0")[:-1])
        return send(data)

    connection.sendMsg = noting
    return messages

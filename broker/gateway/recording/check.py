"""Runs a recording again: a fresh gateway gets what the recorded one got, at the same simulated moments, and
must say the same, byte for byte."""

import asyncio
import json
import logging
import socket
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from broker.gateway.control import FAILURES, ControlPort
from broker.gateway.errors import GatewayError
from broker.gateway.gateway import Gateway
from broker.gateway.main import read_arguments
from broker.gateway.program import build
from broker.gateway.recording.tape import Entry, Frames, Header, Mark, Recording, digest

TIME_COMMANDS = ("step", "follow", "pause", "speed", "shutdown")


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where the second run does not say what is recorded: what is said from there on by the
    one and by the other, empty for nothing. `connection` is that of what is said now, if anything is."""

    entry: Entry
    connection: int
    recorded: bytes
    heard: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """`messages` were the same. `difference` is None when all were; `torn` says where the recording ends too
    soon, None when its gateway stopped in order."""

    messages: int
    difference: Difference | None
    torn: str | None


def check(recording: Recording) -> Verdict:
    """Runs it again; raises GatewayError when the recorded gateway cannot be built here."""
    for name, recorded in recording.header.files.items():
        if digest(Path(name)) != recorded:
            raise GatewayError(f"file {name} is not the one that was recorded with: bring that one back")
    log = logging.getLogger("gateway")
    level = log.level
    log.setLevel(logging.ERROR)  # what was logged in the first run is not news
    try:
        return asyncio.run(_SecondRun(recording).run())
    finally:
        log.setLevel(level)


def arguments_of(header: Header) -> Namespace:
    """The command line of the recorded gateway, as far as it decides what is said."""
    words = []
    for name, value in header.arguments.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif value is not False:
            words.append(f"{option}={value}")
    return read_arguments(words)


class _Socket(asyncio.Transport):
    """Stands in for a connection: what is written goes nowhere, for the tape has heard it."""

    def __init__(self) -> None:
        self._socket = socket.socket()  # faults set options on it
        super().__init__({"socket": self._socket})
        self._closing = False

    def write(self, data: object) -> None:
        pass

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True
        self._socket.close()

    def abort(self) -> None:
        self.close()

    def get_write_buffer_size(self) -> int:
        return 0


class _Visitor:
    """One recorded connection as it comes to the second gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._reader = asyncio.StreamReader()
        self._socket = _Socket()
        loop, protocol = asyncio.get_running_loop(), asyncio.StreamReaderProtocol(self._reader)
        writer = asyncio.StreamWriter(self._socket, protocol, self._reader, loop)
        self.visit = asyncio.create_task(gateway.serve(self._reader, writer))

    def say(self, data: bytes) -> None:
        self._reader.feed_data(data)

    def stop_listening(self) -> None:
        self._socket.close()

    def hang_up(self) -> None:
        self._socket.close()
        self._reader.feed_eof()


class _SecondRun:
    """It is the second gateway's tape, so each message is compared at the moment it is sent."""

    def __init__(self, recording: Recording) -> None:
        self.gateway = build(arguments_of(recording.header), recording.header.state)
        self.gateway.tape = self
        self._recording = recording
        self._entries = self._read()
        self._ahead: Entry | None = None
        self._torn: str | None = f"recording {recording.path} has no end: its gateway was killed"
        self._difference: Difference | None = None
        self._visitors: dict[int, _Visitor] = {}
        self._leaving: list[int] = []
        self._heard = 0
        self._messages = 0
        self._frames: dict[int, Frames] = defaultdict(Frames)

    async def run(self) -> Verdict:
        control = ControlPort(self.gateway, None)
        while self._difference is None and (entry := self._next()):
            await self._apply(entry, control)
            while self._leaving:
                await self._hang_up(self._leaving.pop())
        visits = [visitor.visit for visitor in self._visitors.values()]
        self.gateway.tape = None
        for visit in visits:
            visit.cancel()
        await asyncio.gather(*visits, return_exceptions=True)
        return Verdict(self._messages, self._difference, self._torn)

    def _read(self) -> Iterator[Entry]:
        try:
            yield from self._recording.entries()
        except GatewayError as error:
            self._torn = str(error)

    def _peek(self) -> Entry | None:
        self._ahead = self._ahead or next(self._entries, None)
        return self._ahead

    def _next(self) -> Entry | None:
        entry, self._ahead = self._peek(), None
        return entry

    async def _apply(self, entry: Entry, control: ControlPort) -> None:
        match entry.mark:
            case Mark.TIME if entry.time and entry.time > self.gateway.clock.now:
                clock = self.gateway.clock
                before, clock.now = clock.now, entry.time
                self.gateway.pass_time(before, entry.time)
            case Mark.OPENED:
                self._visitors[entry.connection] = _Visitor(self.gateway)
                await self._until_heard(entry)
            case Mark.RECEIVED:
                self._visitors[entry.connection].say(entry.data)
                await self._until_heard(entry)
            case Mark.CLOSED:
                await self._hang_up(entry.connection)
            case Mark.COMMAND:
                _obey(json.loads(entry.data), control)
            case Mark.SENT:
                self._difference = Difference(entry, entry.connection, entry.data, b"")
            case Mark.END:
                self._torn = None

    async def _hang_up(self, connection: int) -> None:
        visitor = self._visitors.pop(connection)
        visitor.hang_up()
        await asyncio.wait({visitor.visit})

    async def _until_heard(self, entry: Entry) -> None:
        """Until the second gateway has taken in what its visitor did last."""
        wanted, visit = self._heard + 1, self._visitors[entry.connection].visit
        while self._heard < wanted:
            if visit.done():
                self._difference = Difference(entry, entry.connection, b"", b"")
                return
            await asyncio.sleep(0)

    def note(self, mark: Mark, connection: int, data: bytes) -> None:
        """What the second gateway says of itself."""
        if mark in (Mark.OPENED, Mark.RECEIVED):
            self._heard += 1
        elif mark is Mark.SENT and self._difference is None:
            self._compare(connection, data)

    def _compare(self, connection: int, data: bytes) -> None:
        """Takes from the recording what is sent now; a recording that ends before it agrees with anything."""
        whole = data
        while data and (entry := self._peek()):
            if entry.mark is Mark.CLOSED:
                self._ahead = None
                self._visitors[entry.connection].stop_listening()
                self._leaving.append(entry.connection)
                if entry.connection == connection:
                    return
                continue
            length = min(len(data), len(entry.data))
            same = entry.mark is Mark.SENT and entry.connection == connection
            if not same or entry.data[:length] != data[:length]:
                recorded = entry.data if entry.mark is Mark.SENT else b""
                self._difference = Difference(entry, connection, recorded, data)
                return
            rest = entry.data[length:]
            self._ahead = replace(entry, data=rest) if rest else None
            data = data[length:]
        self._messages += len(self._frames[connection].cut(whole))


def _obey(command: Any, control: ControlPort) -> None:
    if command.get("cmd") not in TIME_COMMANDS:
        with suppress(*FAILURES):
            control.obey(command)

"""Puts a recording into words, one line for each message, connection and command."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import zip_longest

from broker.gateway.protocol.layouts import ORDERS, read
from broker.gateway.protocol.wire import UNSET_DOUBLE, UNSET_INT, split
from broker.gateway.recording.check import Difference
from broker.gateway.recording.tape import Entry, Frames, Header, Mark, Recording
from options import NEW_YORK

EMPTY = ("", UNSET_DOUBLE, UNSET_INT)


@dataclass(frozen=True, slots=True)
class Filter:
    """What is printed; an empty set and None let everything through. `kinds` are names or numbers. With
    `full` fields that are empty or unset are shown too."""

    clients: frozenset[int] = frozenset()
    kinds: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    orders_only: bool = False
    full: bool = False

    @property
    def wants_all(self) -> bool:
        return not (self.kinds or self.orders_only)

    def takes(self, entry: Entry, client_id: int | None) -> bool:
        """Whether anything of this entry may be printed."""
        return not (
            (self.clients and client_id not in self.clients)
            or (self.since and entry.time and entry.time < self.since)
            or (self.until and entry.time and entry.time > self.until)
        )

    def takes_kind(self, number: str, name: str, from_client: bool) -> bool:
        if self.orders_only and not (number.isdigit() and int(number) in ORDERS[0 if from_client else 1]):
            return False
        return not self.kinds or number in self.kinds or name in self.kinds


@dataclass(slots=True)
class _Caller:
    """A connection. `client_id` is None until it has said it, `version` is 0 until it is agreed."""

    client_id: int | None = None
    version: int = 0
    offered: bool = False
    received: Frames = field(default_factory=Frames)
    sent: Frames = field(default_factory=Frames)


class Speaker:
    """Knows who speaks on which connection; it has to hear every entry in order."""

    def __init__(self, filter_: Filter) -> None:
        self._filter = filter_
        self._callers: dict[int, _Caller] = {}

    def lines(self, entry: Entry) -> Iterator[str]:
        """The entry in words: no line, one, or one for each message that it completes."""
        caller = self._callers.setdefault(entry.connection, _Caller())
        match entry.mark:
            case Mark.OPENED:
                texts = ["connects"] if self._filter.wants_all else []
            case Mark.CLOSED:
                texts = ["is disconnected"] if self._filter.wants_all else []
            case Mark.RECEIVED:
                texts = [self._heard(caller, body) for body in caller.received.cut(entry.data)]
            case Mark.SENT:
                texts = [self._said(caller, body) for body in caller.sent.cut(entry.data)]
            case Mark.COMMAND if not self._filter.clients and self._filter.wants_all:
                if self._filter.takes(entry, None):
                    yield f"{_clock(entry.time)}  command {_command(entry.data)}"
                return
            case _:
                return
        if self._filter.takes(entry, caller.client_id):
            who = f"client {'?' if caller.client_id is None else caller.client_id}"
            yield from (f"{_clock(entry.time)}  #{entry.connection} {who} {text}" for text in texts if text)

    def spoken(self, connection: int, body: bytes | None) -> str:
        """What the gateway says on a connection with this message body, None being nothing."""
        caller = self._callers.setdefault(connection, _Caller())
        return "nothing" if body is None else self._said(caller, body).removeprefix("< ")

    def _heard(self, caller: _Caller, body: bytes) -> str:
        if not caller.offered:
            caller.offered = True
            return f"> offers versions {body.decode(errors='replace')}" if self._filter.wants_all else ""
        values = split(body)
        if values[:1] == ["71"] and len(values) > 2 and values[2].isdigit():
            caller.client_id = int(values[2])
        return self._words(values, caller.version, from_client=True)

    def _said(self, caller: _Caller, body: bytes) -> str:
        values = split(body)
        if not caller.version and len(values) == 2 and values[0].isdigit():
            caller.version = int(values[0])
            return f"< agrees on version {' at '.join(values)}" if self._filter.wants_all else ""
        return self._words(values, caller.version, from_client=False)

    def _words(self, values: list[str], version: int, from_client: bool) -> str:
        """One message, empty when it is filtered out."""
        message = read(values, version, from_client)
        number = values[0] if values else ""
        if not self._filter.takes_kind(number, message.name, from_client):
            return ""
        shown = [
            f"{name}={_quoted(value)}"
            for name, value in message.fields
            if self._filter.full or value not in EMPTY
        ]
        wrong = f" !! {message.wrong}" if message.wrong else ""
        return f"{'>' if from_client else '<'} {message.name} {' '.join(shown)}{wrong}".rstrip()


def header_line(header: Header) -> str:
    """The first line of a printed recording."""
    asked = " ".join(f"{name}={value}" for name, value in header.arguments.items())
    begun = "continued from a saved account" if header.state else "a new account"
    made = " ".join(f"{name} {number}" for name, number in header.versions.items())
    return f"gateway with {asked}; {begun}; {made}; times are New York's"


def printed(recording: Recording, filter_: Filter) -> Iterator[str]:
    """Every line; raises GatewayError at the place where the file is torn, after what comes before it."""
    yield header_line(recording.header)
    speaker = Speaker(filter_)
    for entry in recording.entries():
        yield from speaker.lines(entry)


def difference_in_words(recording: Recording, difference: Difference) -> list[str]:
    """What was recorded and what is said instead, with place and time."""
    speaker, entry = Speaker(Filter(full=True)), difference.entry
    for earlier in recording.entries():
        if earlier.position >= entry.position:
            break
        list(speaker.lines(earlier))
    recorded, heard = _first_unlike(difference.recorded, difference.heard)
    place = f"{_clock(entry.time)}, byte {entry.position}, connection #{difference.connection}"
    return [
        f"first difference at {place}",
        f"  recorded: {speaker.spoken(difference.connection, recorded)}",
        f"  now:      {speaker.spoken(difference.connection, heard)}",
    ]


def _first_unlike(recorded: bytes, heard: bytes) -> tuple[bytes | None, bytes | None]:
    """The first message bodies of the two that are not the same, None where one of them has ended."""
    for pair in zip_longest(Frames().cut(recorded), Frames().cut(heard)):
        if pair[0] != pair[1]:
            return pair
    return None, None


def _clock(time: datetime | None) -> str:
    return f"{time.astimezone(NEW_YORK):%Y-%m-%d %H:%M:%S.%f}"[:-3] if time else "at no time"


def _command(data: bytes) -> str:
    command = json.loads(data)
    rest = " ".join(f"{name}={json.dumps(value)}" for name, value in command.items() if name != "cmd")
    return f"{command.get('cmd')} {rest}".rstrip()


def _quoted(value: str) -> str:
    return json.dumps(value) if not value or " " in value else value

"""A recording: all that went into a gateway and came out of it, in order, in one file.

The file begins with a line of text. Then come records: one byte that says what it is (`Mark`), the number of
the connection (2 bytes), the length of what follows (4 bytes, big-endian), and that many bytes. The first
record is the header, then comes the time. Whatever follows a TIME record happened at its simulated moment. A
file that was cut off is good up to its last whole record.
"""

import hashlib
import json
import platform
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from broker.gateway.errors import GatewayError
from broker.gateway.protocol.wire import LARGEST_FRAME

FIRST_LINE = b"optiond gateway recording 1\n"
HEAD = struct.Struct(">BHI")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
BUFFER_BYTES = 1 << 18


class Mark(IntEnum):
    """What a record is. RECEIVED and SENT hold the bytes as they went over the wire, the client's first
    four (`API` and NUL) included; COMMAND holds JSON; TIME microseconds since 1970; the others nothing.
    END is written by a gateway that stops in order."""

    HEADER = ord("H")
    TIME = ord("T")
    OPENED = ord("C")
    RECEIVED = ord("I")
    SENT = ord("O")
    CLOSED = ord("D")
    COMMAND = ord("K")
    END = ord("E")


class Tape(Protocol):
    """What a gateway tells about itself while it runs."""

    def note(self, mark: Mark, connection: int, data: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Header:
    """`arguments` are those that decide what the gateway does; `files` are digests of those it read;
    `state` is the document it continued from, None for a new account."""

    arguments: dict[str, Any]
    files: dict[str, str]
    state: dict[str, Any] | None
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """One record. `position` is its first byte in the file; `time` is None for the header."""

    position: int
    mark: Mark
    connection: int
    data: bytes
    time: datetime | None


class FileTape:
    """Appends to a new file; everything but what is sent reaches the operating system at once.

    A disk that fails is told to `fail`, once, and nothing more is written.
    """

    def __init__(self, path: Path, header: Header, fail: Callable[[GatewayError], None]) -> None:
        self._path = path
        self._fail = fail
        self._failed = False
        try:
            self._file = path.open("xb", buffering=BUFFER_BYTES)
        except FileExistsError:
            raise GatewayError(f"recording {path} exists already: name another or remove it") from None
        except OSError as error:
            raise GatewayError(
                f"recording {path} cannot be written ({error.strerror}): name another"
            ) from None
        self._file.write(FIRST_LINE)
        described = {name: getattr(header, name) for name in Header.__slots__}
        self.note(Mark.HEADER, 0, json.dumps(described).encode())

    def note(self, mark: Mark, connection: int, data: bytes) -> None:
        if self._failed:
            return
        try:
            self._file.write(HEAD.pack(mark, connection, len(data)) + data)
            if mark is not Mark.SENT:
                self._file.flush()
        except OSError as error:
            self._failed = True
            self._fail(
                GatewayError(f"recording {self._path} cannot be written ({error.strerror}): free the disk")
            )

    def close(self) -> None:
        self.note(Mark.END, 0, b"")
        if not self._failed:
            self._file.close()


def moment(now: datetime) -> bytes:
    """A simulated moment as a TIME record holds it."""
    return ((now - EPOCH) // MICROSECOND).to_bytes(8, "big", signed=True)


def digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise GatewayError(f"file {path} cannot be read ({error.strerror}): name an existing one") from None


def versions() -> dict[str, str]:
    """Of everything that could change a single digit of what is sent."""
    return {"python": platform.python_version(), **{name: version(name) for name in ("optiond", "numpy")}}


class Frames:
    """Cuts one direction of a connection into message bodies; `left` is what is not yet whole."""

    def __init__(self) -> None:
        self.left = b""

    def cut(self, data: bytes) -> list[bytes]:
        """The bodies that `data` completes. A length that cannot be turns all the rest into one body."""
        bodies, at, data = [], 0, self.left + data
        if data.startswith(b"API\0"):
            at = 4
        while at + 4 <= len(data):
            length = int.from_bytes(data[at : at + 4], "big")
            if length > LARGEST_FRAME:
                bodies.append(data[at:])
                at = len(data)
            elif at + 4 + length > len(data):
                break
            else:
                bodies.append(data[at + 4 : at + 4 + length])
                at += 4 + length
        self.left = data[at:]
        return bodies


class Recording:
    """An existing file; raises GatewayError when it is none or has no header."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._data = path.read_bytes()
        except OSError as error:
            raise GatewayError(
                f"recording {path} cannot be read ({error.strerror}): name an existing one"
            ) from None
        if not self._data.startswith(FIRST_LINE):
            raise GatewayError(f"{path} is not a recording: make one with `optiond gateway --record FILE`")
        first = next(self.entries(), None)
        if first is None or first.mark is not Mark.HEADER:
            raise GatewayError(f"recording {path} has no header: it cannot be used")
        try:
            self.header = Header(**json.loads(first.data))
        except (TypeError, ValueError) as error:
            raise GatewayError(f"recording {path} has a damaged header ({error}): record anew") from None

    def entries(self) -> Iterator[Entry]:
        """All whole records in order; raises GatewayError at the place where the file is torn or damaged."""
        at, time = len(FIRST_LINE), None
        while at < len(self._data):
            if at + HEAD.size > len(self._data):
                raise self._torn(at, f"{len(self._data) - at} of {HEAD.size} bytes of a record's beginning")
            number, connection, length = HEAD.unpack_from(self._data, at)
            begin = at + HEAD.size
            data = self._data[begin : begin + length]
            try:
                mark = Mark(number)
            except ValueError:
                raise GatewayError(
                    f"recording {self.path} is damaged at byte {at}: no record begins with {number};"
                    " what comes before it is good"
                ) from None
            if len(data) < length:
                raise self._torn(at, f"{len(data)} of {length} bytes of a record")
            if mark is Mark.TIME:
                time = EPOCH + int.from_bytes(data, "big", signed=True) * MICROSECOND
            yield Entry(at, mark, connection, data, time)
            at = begin + length

    def _torn(self, at: int, what: str) -> GatewayError:
        return GatewayError(
            f"recording {self.path} is torn at byte {at}: the file ends after {what};"
            " what comes before it is good"
        )

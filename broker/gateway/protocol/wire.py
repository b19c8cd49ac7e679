"""Frames and fields of the TWS text protocol.

A frame is a four-byte big-endian length and fields that each end in NUL; field 0 is the message id.
"""

import asyncio
import struct
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from broker.gateway.errors import MessageError

UNSET_DOUBLE = "1.7976931348623157E308"
UNSET_INT = "2147483647"
UNSET = frozenset(("", UNSET_DOUBLE, "1.7976931348623157e+308", UNSET_INT, "9223372036854775807"))
INFINITY = "Infinity"
LARGEST_FRAME = 1 << 20
LENGTH = struct.Struct(">I")

Value = str | int | float | date | None


def _real(value: float) -> str:
    """Never in exponents, which some clients do not read."""
    plain = float.__repr__(value)
    return plain if "e" not in plain else format(value, ".15f").rstrip("0").rstrip(".")


# Market data are tens of thousands of fields a second: how to write one is looked up by its exact type.
WRITERS: dict[type, Callable[[Any], str]] = {
    str: str,
    int: str,
    float: _real,
    bool: lambda value: "1" if value else "0",
    type(None): lambda _: "",
    date: lambda value: f"{value:%Y%m%d}",
}


def text(value: Value) -> str:
    """One field as it goes over the wire; None is the empty field."""
    writer = WRITERS.get(type(value))
    if writer:
        return writer(value)
    return _real(value) if isinstance(value, float) else str(value)


def encoded(fields: Sequence[Value]) -> bytes:
    """Fields one behind the other; characters beyond ASCII are escaped as the official clients expect."""
    get = WRITERS.get
    body = "\0".join([get(type(field), text)(field) for field in fields])
    return f"{body}\0".encode("ascii", "backslashreplace")


def frame(fields: Sequence[Value]) -> bytes:
    """The bytes of one message."""
    return framed(encoded(fields))


def framed(body: bytes) -> bytes:
    """A body with its length before it."""
    return LENGTH.pack(len(body)) + body


def plain(found: str) -> str:
    """A received field without the many ways in which clients write "unset" and infinity."""
    if found in UNSET:
        return ""
    return INFINITY if found == "Infinite" else found


async def read_body(reader: asyncio.StreamReader) -> bytes:
    """The next frame's body; raises IncompleteReadError at the end, MessageError on a senseless length."""
    (length,) = LENGTH.unpack(await reader.readexactly(4))
    if length > LARGEST_FRAME:
        raise MessageError(f"a frame of {length} bytes is larger than {LARGEST_FRAME}")
    return await reader.readexactly(length)


def split(body: bytes) -> list[str]:
    """The fields of a body."""
    return body.decode(errors="backslashreplace").split("\0")[:-1]


class Fields:
    """Reads a message's fields in order; a missing or senseless field raises MessageError."""

    def __init__(self, values: Sequence[str]) -> None:
        self.values = values
        self._at = 0

    @property
    def left(self) -> int:
        return len(self.values) - self._at

    def text(self) -> str:
        if self._at >= len(self.values):
            raise MessageError(f"message {self.values[0]} ends after {len(self.values)} fields")
        self._at += 1
        return self.values[self._at - 1]

    def skip(self, count: int) -> None:
        for _ in range(count):
            self.text()

    def real(self) -> float | None:
        """None for an empty or unset field."""
        found = plain(self.text())
        if not found:
            return None
        try:
            return float(found)
        except ValueError:
            raise MessageError(f"field {self._at - 1} should be a number, not {found!r}") from None

    def integer(self) -> int:
        """0 for an empty or unset field."""
        found = plain(self.text())
        if not found:
            return 0
        try:
            return int(found)
        except ValueError:
            raise MessageError(f"field {self._at - 1} should be a whole number, not {found!r}") from None

    def flag(self) -> bool:
        return self.integer() != 0

    def finish(self) -> None:
        """Asserts that nothing is left: the guard against a layout that has drifted."""
        if self.left:
            raise MessageError(f"message {self.values[0]} has {self.left} fields too many")

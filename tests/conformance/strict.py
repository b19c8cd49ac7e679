"""Decoders of three clients, made to say of every message whether they used all of its fields.

The clients' own decoders do the work, unchanged. ib_async and ib_insync drop surplus fields of many
messages without a word, and log a missing one; ibapi drops a message that it reads by signature when the
count differs, and never looks behind the last field of the others. All of that becomes a complaint here.
"""

import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from types import ModuleType
from typing import Any

from ibapi.decoder import Decoder as OfficialDecoder
from ibapi.utils import BadMessage

OPTION_CHAIN = 75


@dataclass(frozen=True, slots=True)
class Heard:
    """A message as it came in; `complaint` is empty when its decoder used every field and missed none."""

    fields: tuple[str, ...]
    complaint: str

    @property
    def kind(self) -> int:
        return int(self.fields[0])


@dataclass
class Listener:
    """Stands in for a client's wrapper and keeps (name of the call, its arguments).

    Times without a zone stay as they are: the clients ask their wrapper for a zone of their own.
    """

    told: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        match name:
            case "ib":
                return self
            case "TimezoneTWS":
                return ""
            case "defaultTimezone":
                return UTC
            case "tcpDataArrived" | "tcpDataProcessed":
                return None
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments: self.told.append((name, arguments))


class _Complaints(logging.Handler):
    """Gathers what a decoder logs as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(f"{record.getMessage()} {record.exc_info[1] if record.exc_info else ''}".strip())


def strict_decoder(library: ModuleType, wrapper: object) -> Any:
    """A strict decoder of ib_async or ib_insync, whose decoders are one family."""

    class Strict(library.decoder.Decoder):
        def __init__(self) -> None:
            super().__init__(wrapper, 0)
            self.heard: list[Heard] = []

        def interpret(self, fields: list[str]) -> None:
            problem = self._count(fields)
            self.logger.addHandler(complaints := _Complaints())
            self.logger.propagate = False
            try:
                super().interpret(list(fields))
            finally:
                self.logger.removeHandler(complaints)
                self.logger.propagate = True
            self.heard.append(Heard(tuple(fields), "; ".join(filter(None, (problem, *complaints.texts)))))

        def _count(self, fields: Sequence[str]) -> str:
            """What is wrong with the number of fields, by what the handler of the message needs."""
            handler = self.handlers.get(int(fields[0]))
            if handler is None:
                return "it knows no such message"
            wanted = _wanted(handler, fields, self.serverVersion)
            return _difference(len(fields), wanted)

    def _wanted(handler: Callable[[Any], None], fields: Sequence[str], version: int) -> int:
        if int(fields[0]) == OPTION_CHAIN:  # it takes all that follows as strikes, whatever their number
            expiries = int(fields[6])
            return 8 + expiries + int(fields[7 + expiries])
        plan = inspect.getclosurevars(handler).nonlocals
        if "types" in plan:  # made by Decoder.wrap: it skips some fields and pairs the others with types
            return int(plan["skip"]) + len(plan["types"])
        shadow = library.decoder.Decoder(Listener(), version).handlers[int(fields[0])]
        count = len(fields)
        if not _decodes(shadow, fields):
            return next((n for n in range(count - 1, 0, -1) if _decodes(shadow, fields[:n])), count + 1)
        return next(n for n in range(count, 0, -1) if not _decodes(shadow, fields[: n - 1]))

    return Strict()


def _decodes(handler: Callable[[Any], None], fields: Sequence[str]) -> bool:
    """Whether so many fields are enough for a handler that unpacks them one by one."""
    try:
        handler(list(fields))
    except (ValueError, IndexError, TypeError, StopIteration):
        return False
    return True


def _difference(count: int, wanted: int) -> str:
    return "" if count == wanted else f"{count} fields where it needs {wanted}"


class StrictOfficial(OfficialDecoder):
    """ibapi's decoder; what would kill its reading thread becomes a complaint too."""

    def __init__(self, wrapper: object, version: int) -> None:
        super().__init__(wrapper, version)
        self.heard: list[Heard] = []

    def interpret(self, fields: tuple[bytes, ...]) -> None:
        if not fields:  # it passes nothing while it waits for the server's version
            return
        self.heard.append(Heard(tuple(field.decode() for field in fields), self._complaint(fields)))

    def _complaint(self, fields: tuple[bytes, ...]) -> str:
        plan = self.msgId2handleInfo.get(int(fields[0]))
        if plan is None:
            return "it knows no such message"
        try:
            if plan.wrapperMeth is not None:  # by signature, which has no self and follows number and version
                complaint = _difference(len(fields), 2 + len(plan.wrapperParams) - 1)
                if not complaint:
                    self.interpretWithSignature(fields, plan)
                return complaint
            rest: Iterator[bytes] = iter(fields)
            plan.processMeth(self, rest)
            return _difference(len(fields), len(fields) - len(list(rest)))
        except BadMessage as error:
            return f"{len(fields)} fields are too few: {error.text}"
        except (ValueError, TypeError, StopIteration, AttributeError) as error:
            return f"{type(error).__name__}: {error}"

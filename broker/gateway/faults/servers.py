"""Faults between the gateway and its servers: connectivity and data farms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

from broker.gateway.faults.fault import Edit, Effect, Fault, Message
from broker.gateway.faults.notices import HISTORY, TEXTS
from broker.gateway.faults.requests import Client, Request, request_id, suffering
from broker.gateway.protocol.wire import Value
from broker.gateway.session import Session

if TYPE_CHECKING:
    from broker.gateway.gateway import Gateway

# The messages that carry ticks of a line, and where their request id stands, just before their tick type.
TICKS: Mapping[Value, int] = {1: 2, 2: 2, 21: 1, 45: 2, 46: 2}
# With bars that are kept up to date and ticks that are told one by one.
STREAMS: Mapping[Value, int] = {**TICKS, 90: 1, 99: 1}
FARM_DOWN = f"{HISTORY}HMDS server disconnect occurred.  Attempting reconnection..."


class Streams(StrEnum):
    AS_TOLD = "as_told"
    GO_ON = "go_on"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Connectivity(Fault):
    name = "connectivity"
    wire = (
        "1100 or 2110 (lost), then no ticks; 1101 (restored, data lost), and all subscriptions are"
        " forgotten; 1102 (restored, data maintained), and ticks go on."
    )
    suffers = (
        "Only `errorEvent`: it stays connected and keeps its subscriptions, none of which lives after 1101."
        " On each 1102 it sends its account summary request once more."
    )
    source = "TWS_PROTOCOL.md 10, 13, 14.20; BROKER.md, Connection"
    code: Annotated[Literal[1100, 1101, 1102, 2110], "the notice"]
    streams: Annotated[Streams, "whether ticks do what the notice says"] = Streams.AS_TOLD

    def begin(self, gateway: "Gateway") -> Effect | None:
        as_told = self.streams is Streams.AS_TOLD
        for session in gateway.in_order():
            session.error(-1, self.code, TEXTS[self.code])
            if self.code == 1101 and as_told:
                session.lose_data()
        stopped = self.code in (1100, 2110) if as_told else self.streams is Streams.STOP
        return paused(gateway) if stopped else None


@dataclass(frozen=True, slots=True)
class Farm(Fault):
    name = "farm"
    wire = (
        "A farm's notice. 2103: no ticks until 2104. 2105: historical requests fail with 162 until 2106."
        " With streams=stop the subscriptions of the moment stay silent for ever, whatever the notice says."
    )
    suffers = (
        "Notices are only logged. Streams that are dead although the farm is OK look like a quiet market:"
        " the tickers keep their last prices; only a new subscription brings new ones."
    )
    source = "TWS_PROTOCOL.md 10, 13"
    code: Annotated[Literal[2103, 2104, 2105, 2106, 2107, 2108, 2119, 2157, 2158], "the notice"]
    streams: Annotated[Streams, "whether ticks do what the notice says"] = Streams.AS_TOLD

    def begin(self, gateway: "Gateway") -> Effect | None:
        for session in gateway.in_order():
            session.error(-1, self.code, TEXTS[self.code])
        if self.streams is Streams.STOP:
            return _dead_streams(gateway)
        if self.streams is Streams.AS_TOLD and self.code == 2103:
            return paused(gateway)
        return Effect(incoming=_no_history) if self.code == 2105 else None


def tick_of(message: Message) -> tuple[Value, Value] | None:
    """(request id, tick type) of a tick, None for other messages."""
    at = TICKS.get(message[0])
    return None if at is None else (message[at], message[at + 1])


def paused(gateway: "Gateway") -> Effect:
    """No ticks for anybody."""
    gateway.data.paused = True

    def go_on() -> None:
        gateway.data.paused = False

    return Effect(end=go_on, requotes=True)


def _dead_streams(gateway: "Gateway") -> Effect:
    """Nothing more for the subscriptions that are open now."""
    dead = {
        (session.number, req_id)
        for session in gateway.in_order()
        for req_id in (*session.lines, *session.streams, *session.kept_bars)
    }

    def outgoing(session: Session, message: Message) -> Edit | None:
        at = STREAMS.get(message[0])
        return [] if at is not None and (session.number, message[at]) in dead else None

    return Effect(outgoing=outgoing)


def _no_history(session: Session, kind: int, values: Sequence[str]) -> bool:
    if kind == Request.HISTORICAL_DATA:
        session.error(request_id(kind, values), 162, FARM_DOWN)
    return kind == Request.HISTORICAL_DATA


@dataclass(frozen=True, slots=True)
class Notice(Fault):
    name = "notice"
    wire = "One error message of any code, once, and nothing else happens."
    suffers = (
        "Without an id: `errorEvent` and a log line, whatever it says (1300 does not make it reconnect)."
        " With the id of a living order: ValidationError for 105, 110, 165, 321, 329, 399, 404, 434, 492"
        " and 2100 to 2199, else Cancelled. With the id of a request: ends it empty, but for those codes."
    )
    source = "TWS_PROTOCOL.md 10"
    lasts = False
    code: Annotated[int, "the code", 1]
    req_id: Annotated[int, "the request or order that it names; -1: none", -1] = -1
    text: Annotated[str, "the broker's words; the usual ones when left out"] = ""
    client: Client = None

    def begin(self, gateway: "Gateway") -> None:
        text = self.text or TEXTS.get(self.code, f"Error {self.code} by command")
        for session in suffering(gateway, self.client):
            session.error(self.req_id, self.code, text)


FAULTS: tuple[type[Fault], ...] = (Connectivity, Farm, Notice)

"""Faults between the gateway and its servers: connectivity and data farms."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

from broker.gateway.faults.fault import Edit, Effect, Fault, Message
from broker.gateway.faults.notices import HISTORY, TEXTS
from broker.gateway.faults.requests import Request, request_id
from broker.gateway.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.gateway.gateway import Gateway

TICKS = frozenset((1, 2, 21, 45, 46, 99))
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
                session.lines.clear()
        if self.code == 1102 and as_told:
            gateway.publish()
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
        if self.streams is Streams.AS_TOLD and self.code == 2104:
            gateway.publish()
        return Effect(incoming=_no_history) if self.code == 2105 else None


def paused(gateway: "Gateway") -> Effect:
    """No ticks for anybody."""
    gateway.data.paused = True

    def go_on() -> None:
        gateway.data.paused = False

    return Effect(end=go_on)


def _dead_streams(gateway: "Gateway") -> Effect:
    """No ticks on the lines that are open now."""
    dead = {(session.client_id, req_id) for session in gateway.in_order() for req_id in session.lines}

    def outgoing(session: Session, message: Message) -> Edit | None:
        at = 1 if message[0] in (21, 99) else 2
        lost = message[0] in TICKS and (session.client_id, message[at]) in dead
        return [] if lost else None

    return Effect(outgoing=outgoing)


def _no_history(session: Session, kind: int, values: "Sequence[str]") -> bool:
    if kind == Request.HISTORICAL_DATA:
        session.error(request_id(kind, values), 162, FARM_DOWN)
    return kind == Request.HISTORICAL_DATA


FAULTS: tuple[type[Fault], ...] = (Connectivity, Farm)

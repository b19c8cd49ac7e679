"""Faults of quotes, ticks and subscriptions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

from broker.gateway.desks.entitlements import DataType
from broker.gateway.faults.fault import Edit, Effect, Fault, Message
from broker.gateway.faults.notices import TEXTS
from broker.gateway.faults.requests import Request, body, request_id
from broker.gateway.faults.servers import STREAMS, tick_of
from broker.gateway.markets.quotes import MISSING, Quote
from broker.gateway.protocol.tick_messages import DELAYED, HALTED, NOT_COMPUTED
from broker.gateway.protocol.wire import UNSET_DOUBLE, Value
from broker.gateway.session import Session

if TYPE_CHECKING:
    from broker.gateway.gateway import Gateway

OneContract = Annotated[int, "the contract's id", 1]
AnyContract = Annotated[int | None, "the contract's id; all when left out", 1]


def concerned(session: Session, message: Message, con_id: int | None) -> bool:
    """Whether a message is market data of the contract (None: of any)."""
    at = STREAMS.get(message[0])
    if at is None or con_id is None:
        return at is not None
    req_id = int(str(message[at]))
    subscribed = (streams.get(req_id) for streams in (session.lines, session.streams, session.kept_bars))
    return any(each is not None and each.contract.con_id == con_id for each in subscribed)


def distorted(con_id: int, distort: Callable[[Quote], Quote]) -> Effect:
    """One contract's quote is another than the market's, for orders too."""
    return Effect(quote=lambda one, quote: distort(quote) if one == con_id else None)


def send_anew(gateway: "Gateway") -> None:
    """Lets the next tick of every line tell everything, as the first one did."""
    for session in gateway.in_order():
        for line in session.lines.values():
            line.shown = None


@dataclass(frozen=True, slots=True)
class NoQuote(Fault):
    name = "no_quote"
    wire = "Bid and ask of one contract become -1 with size 0; its orders do not fill."
    suffers = "The ticker's bid and ask are -1, which a careless reader takes for prices."
    source = "TWS_PROTOCOL.md 13; BROKER.md, Connection"
    targets = ("con_id",)
    con_id: OneContract

    def begin(self, gateway: "Gateway") -> Effect:
        return distorted(self.con_id, lambda _: MISSING)


class Side(StrEnum):
    BID = "bid"
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class OneSided(Fault):
    name = "one_sided"
    wire = "One side of a contract's quote becomes -1 with size 0; its orders do not fill."
    suffers = "The ticker's bid (or ask) is -1 and its size 0; `midpoint()` is NaN."
    source = "TWS_PROTOCOL.md 13"
    targets = ("con_id",)
    con_id: OneContract
    missing: Annotated[Side, "the side that is gone"] = Side.BID

    def begin(self, gateway: "Gateway") -> Effect:
        if self.missing is Side.BID:
            return distorted(self.con_id, lambda quote: replace(quote, bid=None, bid_size=0))
        return distorted(self.con_id, lambda quote: replace(quote, ask=None, ask_size=0))


@dataclass(frozen=True, slots=True)
class Crossed(Fault):
    name = "crossed"
    wire = "A contract's bid and ask change places; its orders do not fill."
    suffers = "The ticker's bid lies above its ask; nothing tells it that this is no market."
    source = "BROKER.md, Faults, Quotes on few lines"
    targets = ("con_id",)
    con_id: OneContract

    def begin(self, gateway: "Gateway") -> Effect:
        return distorted(self.con_id, lambda quote: replace(quote, bid=quote.ask, ask=quote.bid))


@dataclass(frozen=True, slots=True)
class Locked(Fault):
    name = "locked"
    wire = "A contract's ask falls to its bid; no order fills against such a quote."
    suffers = "The ticker's bid equals its ask: a spread of 0."
    source = "BROKER.md, Quotes on few lines"
    targets = ("con_id",)
    con_id: OneContract

    def begin(self, gateway: "Gateway") -> Effect:
        return distorted(self.con_id, lambda quote: replace(quote, ask=quote.bid))


@dataclass(frozen=True, slots=True)
class Stale(Fault):
    name = "stale"
    wire = "No more ticks of a contract, without any notice, while the market and the exchange move on."
    suffers = "The ticker keeps its last prices; orders meet others."
    source = "TWS_PROTOCOL.md 13; BROKER.md, Faults"
    targets = ("con_id",)
    con_id: AnyContract = None

    def begin(self, gateway: "Gateway") -> Effect:
        def outgoing(session: Session, message: Message) -> Edit | None:
            return [] if concerned(session, message, self.con_id) else None

        return Effect(outgoing=outgoing, end=lambda: send_anew(gateway), requotes=True)


@dataclass(frozen=True, slots=True)
class Halt(Fault):
    name = "halt"
    wire = "Tick 49 says 1 (halted), all quotes of the symbol and its options become -1; nothing fills."
    suffers = "`ticker.halted` is 1, bid and ask are -1; orders stay Submitted."
    source = "TWS_PROTOCOL.md 7 (generic tick 49)"
    targets = ("symbol",)
    symbol: Annotated[str, "the underlying"]

    def begin(self, gateway: "Gateway") -> Effect:
        halted = {contract.con_id for contract in gateway.market.listings if contract.symbol == self.symbol}

        def tell(session: Session, value: int) -> None:
            for req_id, line in session.lines.items():
                if line.contract.con_id in halted:
                    session.send(45, 6, req_id, HALTED, value)

        def take(session: Session, kind: int, _: Sequence[str]) -> bool:
            if kind == Request.MARKET_DATA:
                gateway.faults.later(0.0, lambda: tell(session, 1))
            return False

        def end() -> None:
            for session in gateway.in_order():
                tell(session, 0)

        return Effect(
            opened=lambda session: tell(session, 1),
            incoming=take,
            quote=lambda con_id, _: MISSING if con_id in halted else None,
            end=end,
        )


class Lack(StrEnum):
    NOT_COMPUTED = "not_computed"
    NAN = "nan"
    UNSET = "unset"
    EMPTY = "empty"
    MISSING = "missing"


LACKS: dict[Lack, Sequence[Value]] = {
    Lack.NOT_COMPUTED: NOT_COMPUTED,
    Lack.NAN: ("NaN",) * 8,
    Lack.UNSET: (UNSET_DOUBLE,) * 8,
    Lack.EMPTY: ("",) * 8,
}


@dataclass(frozen=True, slots=True)
class Greeks(Fault):
    name = "greeks"
    wire = (
        "Option computations (21) with -1/-2 (not computed), NaN, unset doubles, empty fields, or none at"
        " all."
    )
    suffers = (
        "Not computed: None, but vega and theta keep -2. NaN and 1.8e308 pass through as numbers. Empty"
        " fields lose the message (only an error of `ib_async.Decoder`). Missing: `modelGreeks` stays None."
    )
    source = "TWS_PROTOCOL.md 7, 13, 14.15; BROKER.md, Connection"
    targets = ("con_id",)
    value: Annotated[Lack, "what comes instead of the values"] = Lack.NOT_COMPUTED
    con_id: AnyContract = None

    def begin(self, gateway: "Gateway") -> Effect:
        def outgoing(session: Session, message: Message) -> Edit | None:
            if message[0] != 21 or not concerned(session, message, self.con_id):
                return None
            return [] if self.value is Lack.MISSING else [[*message[:4], *LACKS[self.value]]]

        send_anew(gateway)
        return Effect(outgoing=outgoing, end=lambda: send_anew(gateway), requotes=True)


@dataclass(frozen=True, slots=True)
class MarketDataType(Fault):
    name = "data_type"
    wire = (
        "marketDataType (58) in mid stream: frozen means no new ticks, delayed the tick types 66 and up."
        " New subscriptions hear the warning 10167 before delayed data."
    )
    suffers = (
        "`ticker.marketDataType` changes, but the values land in the same fields as live ones: who does not"
        " look trades on old prices."
    )
    source = "TWS_PROTOCOL.md 7, 9, 13; BROKER.md, Connection"
    type: Annotated[DataType, "what the data become"]

    def begin(self, gateway: "Gateway") -> Effect:
        delayed = self.type in (DataType.DELAYED, DataType.DELAYED_FROZEN)
        frozen = self.type in (DataType.FROZEN, DataType.DELAYED_FROZEN)
        seen: set[tuple[int, Value, Value]] = set()

        def outgoing(session: Session, message: Message) -> Edit | None:
            tick = tick_of(message)
            if message[0] == 58:
                return [[*message[:3], int(self.type)]]
            if tick is None:
                return None
            key = (session.number, *tick)
            if frozen and (key in seen or tick[0] in already.get(session.number, ())):
                return []
            seen.add(key)
            return as_delayed(message) if delayed else None

        def take(session: Session, kind: int, values: Sequence[str]) -> bool:
            if delayed and kind == Request.MARKET_DATA:
                session.error(request_id(kind, values), 10167, TEXTS[10167])
            return False

        def tell(session: Session, kind: DataType) -> None:
            for req_id in session.lines:
                session.send(58, 1, req_id, int(kind))

        def end() -> None:
            for session in gateway.in_order():
                tell(session, DataType.LIVE)
            send_anew(gateway)

        already = {session.number: set(session.lines) for session in gateway.in_order()}
        return Effect(
            opened=lambda session: tell(session, self.type),
            outgoing=outgoing,
            incoming=take,
            end=end,
            requotes=True,
        )


def as_delayed(message: Message) -> Edit:
    """A tick with its delayed twin's type; none where there is no twin."""
    at = 2 if message[0] == 21 else 3
    twin = DELAYED.get(int(str(message[at])))
    return [] if twin is None else [[*message[:at], twin, *message[at + 1 :]]]


@dataclass(frozen=True, slots=True)
class Lines(Fault):
    name = "lines"
    wire = "Error 101 for every market data request beyond so many lines per client."
    suffers = "Only `errorEvent`; the ticker of the refused subscription stays empty for ever."
    source = "TWS_PROTOCOL.md 10, 13"
    count: Annotated[int, "market data lines per client", 0]

    def begin(self, gateway: "Gateway") -> Effect:
        before = gateway.data.most_lines
        gateway.data.most_lines = self.count

        def restore() -> None:
            gateway.data.most_lines = before

        return Effect(end=restore)


@dataclass(frozen=True, slots=True)
class NoMarketData(Fault):
    name = "no_market_data"
    wire = "New subscriptions are refused with one of the codes for data that were not paid for."
    suffers = "Only `errorEvent`: the ticker of a stream stays empty for ever; a snapshot ends empty."
    source = "TWS_PROTOCOL.md 9, 10, 13"
    targets = ("con_id",)
    code: Annotated[Literal[354, 10089, 10090, 10091, 10168, 10186, 10197], "the error"] = 354
    con_id: AnyContract = None

    def begin(self, gateway: "Gateway") -> Effect:
        def take(session: Session, kind: int, values: Sequence[str]) -> bool:
            if kind != Request.MARKET_DATA:
                return False
            fields = body(values)
            fields.skip(1)
            req_id, con_id = fields.integer(), fields.integer()
            if self.con_id not in (None, con_id):
                return False
            session.error(req_id, self.code, TEXTS[self.code])
            return True

        return Effect(incoming=take)


@dataclass(frozen=True, slots=True)
class ErrorStorm(Fault):
    name = "error_storm"
    wire = "The same error over and over, in one burst, for each open market data line (else without an id)."
    suffers = "Nothing but `errorEvent` and a log line each; a handler that acts on each is overrun."
    source = "TWS_PROTOCOL.md 10, 13"
    lasts = False
    code: Annotated[
        Literal[10197, 354, 10089, 10090, 10091, 10167, 10168, 10186, 2103, 2108], "the error"
    ] = 10197
    repeats: Annotated[int, "errors per line", 1] = 20

    def begin(self, gateway: "Gateway") -> None:
        for session in gateway.in_order():
            for req_id in list(session.lines) or [-1]:
                for _ in range(self.repeats):
                    session.error(req_id, self.code, TEXTS[self.code])


FAULTS: tuple[type[Fault], ...] = (
    *(NoQuote, OneSided, Crossed, Locked, Stale, Halt, Greeks),
    *(MarketDataType, Lines, NoMarketData, ErrorStorm),
)

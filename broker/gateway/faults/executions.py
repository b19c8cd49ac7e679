"""Faults of executions and commissions."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from broker.gateway.exchange.account import Account, Execution
from broker.gateway.faults.fault import Edit, Effect, Fault, Held, Message
from broker.gateway.faults.orders import COMMISSION, EXECUTION
from broker.gateway.protocol.order_messages import commission_report, exec_details
from broker.gateway.protocol.wire import UNSET_DOUBLE, Value
from broker.gateway.session import Session
from options import Contract

if TYPE_CHECKING:
    from broker.gateway.gateway import Gateway

COMBO = "BAG"


def is_fresh(message: Message) -> bool:
    """Whether a message announces a fill as it happens."""
    return message[0] == EXECUTION and message[1] == -1


@dataclass(frozen=True, slots=True)
class LateExecution(Fault):
    name = "late_execution"
    wire = "execDetails of fresh fills, and their commissions, come later than orderStatus Filled."
    suffers = "The trade is Filled and `filledEvent` has fired, but its fills are empty until then."
    source = "TWS_PROTOCOL.md 9, 13; BROKER.md, Faults"
    delay_s: Annotated[float, "simulated seconds", 0.0] = 5.0

    def begin(self, gateway: "Gateway") -> Effect:
        late: set[Value] = set()

        def outgoing(_: Session, message: Message) -> Edit | None:
            if is_fresh(message):
                late.add(message[14])
            elif message[0] == COMMISSION and message[2] in late:
                late.discard(message[2])
            else:
                return None
            return [Held(message, delay_s=self.delay_s)]

        return Effect(outgoing=outgoing)


@dataclass(frozen=True, slots=True)
class DuplicateExecution(Fault):
    name = "duplicate_execution"
    wire = "execDetails of fresh fills come twice with the same id."
    suffers = "Nothing: the second is ignored. Who listens to the wire himself counts it twice."
    source = "TWS_PROTOCOL.md 13; BROKER.md, Faults"

    def begin(self, gateway: "Gateway") -> Effect:
        return Effect(outgoing=lambda _, message: [message, message] if is_fresh(message) else None)


@dataclass(frozen=True, slots=True)
class ExecutionTimeZone(Fault):
    name = "execution_time_zone"
    wire = "The times of executions carry another zone's name."
    suffers = (
        "A name that is unknown to IANA loses the fill: only an error of `ib_async.Decoder` tells. A known"
        " one that is not the gateway's shifts the time."
    )
    source = "TWS_PROTOCOL.md 13, 14.18; BROKER.md, Connection"
    zone: Annotated[str, "the zone's name"] = "GMT Standard Time"

    def begin(self, gateway: "Gateway") -> Effect:
        def outgoing(_: Session, message: Message) -> Edit | None:
            if message[0] != EXECUTION:
                return None
            day_and_time = " ".join(str(message[15]).split()[:2])
            return [[*message[:15], f"{day_and_time} {self.zone}", *message[16:]]]

        return Effect(outgoing=outgoing)


class Lack(StrEnum):
    PENDING = "pending"
    UNSET = "unset"
    LATE = "late"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Commission(Fault):
    name = "commission"
    wire = "commissionReport with -1 (pending), with 1.8e308 (unset), later than usual, or not at all."
    suffers = (
        "pending, unset: takes -1 and 1.8e308 USD for commissions. late: the fill has an empty report until"
        " then. lost: for ever, until executions are asked for again."
    )
    source = "TWS_PROTOCOL.md 9, 13, 14.16; BROKER.md, Faults"
    value: Annotated[Lack, "what becomes of the reports of fresh fills"]
    delay_s: Annotated[float, "simulated seconds, for late", 0.0] = 30.0

    def begin(self, gateway: "Gateway") -> Effect:
        fresh: set[Value] = set()

        def outgoing(_: Session, message: Message) -> Edit | None:
            if is_fresh(message):
                fresh.add(message[14])
            if message[0] != COMMISSION or message[2] not in fresh:
                return None
            fresh.discard(message[2])
            match self.value:
                case Lack.PENDING:
                    return [[*message[:3], -1.0, *message[4:]]]
                case Lack.UNSET:
                    return [[*message[:3], UNSET_DOUBLE, *message[4:]]]
                case Lack.LATE:
                    return [Held(message, delay_s=self.delay_s)]
            return []

        return Effect(outgoing=outgoing)


@dataclass(frozen=True, slots=True)
class Correction(Fault):
    name = "correction"
    wire = (
        "Some time after a fill, an execDetails whose id has a higher last part, with another price or"
        " size, and its commission. The account is booked anew, and who asks for executions hears only of"
        " the new one."
    )
    suffers = "It takes the correction for one more fill: `trade.filled()` and `fills()` count both."
    source = "TWS_PROTOCOL.md 9, 13; BROKER.md, Connection"
    times = 1
    delay_s: Annotated[float, "simulated seconds after the fill", 0.0] = 5.0
    price_by_usd: Annotated[float, "added to the price, USD per share"] = 0.01
    quantity_by: Annotated[int, "added to the size, contracts"] = 0

    def begin(self, gateway: "Gateway") -> Effect:
        begun: set[str] = set()

        def outgoing(_: Session, message: Message) -> Edit | None:
            exec_id = str(message[14]) if is_fresh(message) else ""
            # Another fault may have the same execution told twice.
            if not exec_id or message[5] == COMBO or exec_id in begun:
                return None
            begun.add(exec_id)
            gateway.faults.later(self.delay_s, lambda: self._correct(gateway, exec_id))
            return [message]

        return Effect(outgoing=outgoing)

    def _correct(self, gateway: "Gateway", exec_id: str) -> None:
        exchange = gateway.exchange
        found = [place for place, each in enumerate(exchange.executions) if each.exec_id == exec_id]
        first = exchange.executions[found[0]] if found else None
        if first is None or first.contract is None:  # it has been corrected already
            return
        corrected = self._corrected(first)
        realized_usd = _rebook(exchange.account, first.contract, first, corrected)
        if first.realized_usd is not None or realized_usd:
            corrected = replace(corrected, realized_usd=(first.realized_usd or 0.0) + realized_usd)
        exchange.fills.correct(found[0], corrected)
        gateway.change()
        session = gateway.sessions.get(first.client_id)
        if session:
            order, account = exchange.orders[first.client_id, first.order_id], exchange.account.account_id
            session.send(*exec_details(corrected, order, account, session.version))
            session.send(*commission_report(corrected))
        gateway.holdings_changed([first.contract.con_id])

    def _corrected(self, first: Execution) -> Execution:
        """What it should have been, under the next id."""
        sign = 1 if first.quantity > 0 else -1
        size = max(abs(first.quantity) + self.quantity_by, 0)
        price = round(first.price + self.price_by_usd, 4)
        cumulative = first.cumulative - abs(first.quantity) + size
        paid = first.average_price * first.cumulative - first.price * abs(first.quantity) + price * size
        head, last = first.exec_id.rsplit(".", 1)
        return replace(
            first,
            exec_id=f"{head}.{int(last) + 1:02d}",
            quantity=sign * size,
            price=price,
            cumulative=cumulative,
            average_price=paid / cumulative if cumulative else 0.0,
        )


def _rebook(account: Account, contract: Contract, first: Execution, corrected: Execution) -> float:
    """Makes of the one trade the other, for the commission of the first; the USD realized by that."""
    by_usd = (corrected.price - first.price) * contract.multiplier
    realized_usd = account.reprice(contract, first.quantity, by_usd, opened=first.realized_usd is None)
    more = corrected.quantity - first.quantity
    return realized_usd + ((account.book(contract, more, corrected.price, 0.0) or 0.0) if more else 0.0)


FAULTS: tuple[type[Fault], ...] = (
    *(LateExecution, DuplicateExecution, ExecutionTimeZone, Commission, Correction),
)

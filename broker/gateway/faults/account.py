"""Faults of what the gateway says about the account: holdings and values that are not so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from broker.gateway.desks.account_feed import Kind
from broker.gateway.errors import GatewayError
from broker.gateway.faults.fault import Edit, Effect, Fault, Message
from broker.gateway.protocol.order_messages import contract_fields
from broker.gateway.protocol.wire import Value
from broker.gateway.session import Session
from options import ConId

if TYPE_CHECKING:
    from broker.gateway.gateway import Gateway

OneContract = Annotated[int, "the contract's id", 1]

POSITION, PORTFOLIO, POSITION_MULTI, POSITION_END = 61, 7, 71, 62
# Where the contract's id, the quantity and the average cost stand in the messages about holdings.
HOLDING_AT: Mapping[Value, tuple[int, int, int]] = {
    POSITION: (3, 14, 15),
    PORTFOLIO: (2, 13, 16),
    POSITION_MULTI: (4, 15, 16),
}
# Where the key and the value stand in the messages about the account.
VALUE_AT: Mapping[Value, tuple[int, int]] = {6: (2, 3), 63: (4, 5), 73: (5, 6)}


def edited(message: Message, at: int, value: Value) -> Edit:
    return [[*message[:at], value, *message[at + 1 :]]]


def tell_anew(gateway: "Gateway", session: Session) -> None:
    """Repeats to a client all that it has subscribed to about the account."""
    for feed in session.feeds.values():
        feed.told.clear()
    gateway.accounts.holdings_changed([session], gateway.clock.now)


def told(gateway: "Gateway", outgoing: Callable[[Session, Message], Edit | None]) -> Effect:
    """An edit of what is said about the account, of which subscribers hear at once, as of its end."""

    def end() -> None:
        for session in gateway.in_order():
            tell_anew(gateway, session)

    return Effect(outgoing=outgoing, opened=lambda session: tell_anew(gateway, session), end=end)


@dataclass(frozen=True, slots=True)
class WrongPosition(Fault):
    name = "wrong_position"
    wire = (
        "Another quantity for a contract in every message about holdings: more, less, 0 (missing), or some"
        " of a contract that is not held. The account itself is as it was."
    )
    suffers = "`positions()` and `portfolio()` show it; executions say otherwise."
    source = "BROKER.md, Faults, Reconciliation"
    targets = ("con_id",)
    con_id: OneContract
    quantity: Annotated[int, "contracts, negative when short"]

    def begin(self, gateway: "Gateway") -> Effect:
        def outgoing(_: Session, message: Message) -> Edit | None:
            if message[0] == POSITION_END and not self._is_held(gateway):
                return [self._phantom(gateway), message]
            at = HOLDING_AT.get(message[0])
            return edited(message, at[1], self.quantity) if at and message[at[0]] == self.con_id else None

        def opened(session: Session) -> None:
            tell_anew(gateway, session)
            if (Kind.POSITIONS, 0) in session.feeds and not self._is_held(gateway):
                session.transmit(self._phantom(gateway))

        def end() -> None:
            for session in gateway.in_order():
                tell_anew(gateway, session)
                if (Kind.POSITIONS, 0) in session.feeds and not self._is_held(gateway):
                    session.transmit([*self._phantom(gateway)[:14], 0, 0.0])

        self._phantom(gateway)
        return Effect(outgoing=outgoing, opened=opened, end=end)

    def _is_held(self, gateway: "Gateway") -> bool:
        holding = gateway.exchange.account.holdings.get(ConId(self.con_id))
        return holding is not None and holding.quantity != 0

    def _phantom(self, gateway: "Gateway") -> Message:
        """The position as it is not."""
        contract = gateway.market.listings.get(self.con_id)
        if contract is None:
            raise GatewayError(f"fault wrong_position: no contract {self.con_id}: name one of the market's")
        holding = gateway.exchange.account.holdings.get(contract.con_id)
        terms = contract_fields(contract, exchange="")
        cost = holding.average_cost if holding else 0.0
        return [POSITION, 3, gateway.exchange.account.account_id, *terms, self.quantity, cost]


@dataclass(frozen=True, slots=True)
class WrongCost(Fault):
    name = "wrong_cost"
    wire = "Another average cost for a contract in every message about holdings."
    suffers = "`avgCost` and what it makes of it (profit, stops) are wrong by so much."
    source = "BROKER.md, Reconciliation"
    targets = ("con_id",)
    con_id: OneContract
    by_usd: Annotated[float, "added to the average cost, USD per contract (share)"]

    def begin(self, gateway: "Gateway") -> Effect:
        def outgoing(_: Session, message: Message) -> Edit | None:
            at = HOLDING_AT.get(message[0])
            if not at or message[at[0]] != self.con_id:
                return None
            return edited(message, at[2], float(str(message[at[2]])) + self.by_usd)

        if ConId(self.con_id) not in gateway.exchange.account.holdings:
            raise GatewayError(f"fault wrong_cost: contract {self.con_id} is not held: name one that is")
        return told(gateway, outgoing)


@dataclass(frozen=True, slots=True)
class WrongAccountValue(Fault):
    name = "wrong_account_value"
    wire = "Another value for one key in account updates and summaries."
    suffers = "`accountValues()` shows it; nothing else contradicts."
    source = "BROKER.md, Reconciliation"
    targets = ("key",)
    key: Annotated[str, "the key, like NetLiquidation or AvailableFunds"]
    value: Annotated[str, "the value as text"]

    def begin(self, gateway: "Gateway") -> Effect:
        def outgoing(_: Session, message: Message) -> Edit | None:
            at = VALUE_AT.get(message[0])
            return edited(message, at[1], self.value) if at and message[at[0]] == self.key else None

        return told(gateway, outgoing)


FAULTS: tuple[type[Fault], ...] = (WrongPosition, WrongCost, WrongAccountValue)

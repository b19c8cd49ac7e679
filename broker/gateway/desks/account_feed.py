"""Subscriptions to news of the account, each client's own."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from broker.gateway.protocol.wire import Value


class Kind(IntEnum):
    """What a subscription is about: the number of the message that asks for it."""

    UPDATES = 6
    POSITIONS = 61
    SUMMARY = 62
    POSITIONS_MULTI = 74
    UPDATES_MULTI = 76
    PROFIT = 92
    PROFIT_SINGLE = 94


@dataclass(slots=True)
class Feed:
    """One subscription. `req_id` is 0 where a client can have only one of its kind.

    `tags`: the figures of a summary. `con_id`: the contract of a profit. `ledger_only`: figures by currency
    and the net liquidation only. `told`: the last message about each thing.
    """

    kind: Kind
    req_id: int = 0
    tags: tuple[str, ...] = ()
    con_id: int = 0
    ledger_only: bool = False
    told: dict[Hashable, list[Value]] = field(default_factory=dict)

    def news(self, messages: Iterable[tuple[Hashable, list[Value]]]) -> list[list[Value]]:
        """Those that differ from the last ones about the same thing."""
        fresh = []
        for about, message in messages:
            if self.told.get(about) != message:
                self.told[about] = message
                fresh.append(message)
        return fresh

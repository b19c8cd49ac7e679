"""The second half of a roll: once the close has settled, the same structure is opened further out.

A roll that cannot be opened ends closed, never half rolled.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from broker.protocol import Broker, ComboLeg
from options import BrokerError, Contract, GateRefusal, Leg, UsdPerContract
from trading.combo import ComboQuote
from trading.desk import Quotes
from trading.intent import Intent
from trading.roll import roll_targets

log = structlog.get_logger()

QUOTED_WITHIN = timedelta(seconds=120)


@dataclass(frozen=True, slots=True)
class PendingRoll:
    """A settled close whose opening is still due. `combo` is None until the broker has qualified it."""

    closed: Intent
    since: datetime
    combo: tuple[ComboLeg, ...] | None = None


@dataclass(frozen=True, slots=True)
class ReadyRoll:
    closed: Intent
    combo: tuple[ComboLeg, ...]
    quote: ComboQuote


class Roller:
    """All rolls between their two halves."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._pending: list[PendingRoll] = []

    @property
    def wanted(self) -> tuple[Contract, ...]:
        """The contracts whose quotes are needed to price the openings."""
        return tuple(leg.contract for roll in self._pending for leg in roll.combo or ())

    @property
    def is_idle(self) -> bool:
        return not self._pending

    def begin(self, closed: Intent, now: datetime) -> None:
        self._pending.append(PendingRoll(closed, now))

    async def advance(
        self, quotes: Quotes, now: datetime
    ) -> tuple[list[ReadyRoll], list[tuple[Intent, str]]]:
        """The rolls that can be priced now, and those given up, each with the reason.

        One whose questions the broker does not answer stays pending until its time is over.
        """
        ready: list[ReadyRoll] = []
        given_up: list[tuple[Intent, str]] = []
        for roll in list(self._pending):
            try:
                qualified = roll if roll.combo else replace(roll, combo=await self._qualify(roll.closed, now))
            except GateRefusal as refusal:
                self._pending.remove(roll)
                given_up.append((roll.closed, str(refusal)))
                continue
            except BrokerError as error:
                log.warning("roll.unanswered", position=roll.closed.position, error=str(error))
                if now - roll.since > QUOTED_WITHIN:
                    self._pending.remove(roll)
                    given_up.append((roll.closed, str(error)))
                continue
            self._pending[self._pending.index(roll)] = qualified
            combo = qualified.combo or ()
            quote = quotes(combo)
            if quote is not None:
                self._pending.remove(qualified)
                ready.append(ReadyRoll(roll.closed, combo, quote))
            elif now - roll.since > QUOTED_WITHIN:
                self._pending.remove(qualified)
                given_up.append(
                    (roll.closed, "quotes: the contracts to roll into are not quoted on both sides")
                )
        return ready, given_up

    async def _qualify(self, closed: Intent, now: datetime) -> tuple[ComboLeg, ...]:
        held: Sequence[Leg] = [Leg(leg.contract, -leg.ratio, UsdPerContract(0.0)) for leg in closed.legs]
        underlying = await self._broker.underlying(held[0].contract.symbol)
        chains = await self._broker.chain(underlying)
        targets = roll_targets(held, chains, closed.roll_dte or 0, now)
        contracts = await self._broker.qualify(targets)
        combo: list[ComboLeg] = []
        for leg, target, contract in zip(held, targets, contracts, strict=True):
            if contract is None:
                raise GateRefusal(f"contract: the broker does not know {target.label}")
            combo.append(ComboLeg(contract, leg.quantity))
        return tuple(combo)

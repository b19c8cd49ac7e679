"""A Position: one whole structure that is held, the unit that rules judge and orders close."""

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

from options import (
    ConId,
    Contract,
    Leg,
    Payoff,
    Structure,
    UsdPerContract,
    contract_fields,
    contract_from_fields,
    payoff,
)


class PositionEventKind(StrEnum):
    """`NOTED`: nothing was traded, an entry figure or the broker's average cost became known. `RESTATED`: it
    has ended before, and what it realized became known or was corrected."""

    ADOPTED = "adopted"
    OPENED = "opened"
    ASSIGNED = "assigned"
    NOTED = "noted"
    REDUCED = "reduced"
    CLOSED = "closed"
    ROLLED = "rolled"
    RESTATED = "restated"


REGROUPED = "regrouped"
"""Why a position ended whose legs are held on as parts of others."""

CENT = 0.005
"""USD per contract: costs that differ by less are the same."""

ENDING = frozenset({PositionEventKind.CLOSED, PositionEventKind.ROLLED, PositionEventKind.RESTATED})
"""Of a position whose last event is one of these nothing is held."""


@dataclass(frozen=True, slots=True)
class Position:
    """`lots` times one structure.

    `entry_iv` is annualised, `entry_underlying_price` USD per share, `entry_vix` points: as they stood
    when first known, None until then. `released_credit_usd` is the net credit of the lots closed so
    far, None once somebody else closed some: what they brought is not known.
    `rolled_from` is the position that this one continues.
    """

    id: str
    structure: Structure
    underlying: str
    lots: int
    legs: tuple[Leg, ...]
    entry_time: datetime
    entry_underlying_price: float | None = None
    entry_iv: float | None = None
    entry_vix: float | None = None
    strategy: str | None = None
    rolled_from: str | None = None
    released_credit_usd: float | None = 0.0

    @property
    def payoff(self) -> Payoff:
        """Net credit, maximum profit and loss and breakevens of the lots that are held."""
        return payoff(self.legs)

    @property
    def expiry(self) -> date | None:
        """The first expiry among the legs; None for stock alone."""
        return first_expiry([leg.contract for leg in self.legs])

    @property
    def units(self) -> dict[ConId, int]:
        """Signed contracts per con_id in one lot."""
        return {leg.contract.con_id: leg.quantity // self.lots for leg in self.legs}

    def with_lots(self, lots: int) -> "Position":
        """The same position at another size; credit and payoff scale with it."""
        legs = tuple(replace(leg, quantity=leg.quantity // self.lots * lots) for leg in self.legs)
        smaller = replace(self, lots=lots, legs=legs)
        released = self.payoff.net_credit_usd - smaller.payoff.net_credit_usd if lots < self.lots else 0.0
        before = self.released_credit_usd
        return replace(smaller, released_credit_usd=None if before is None else before + released)


@dataclass(frozen=True, slots=True)
class PositionEvent:
    """What happened to a position. `position` is as it stands after; for an ending, as it was last held.

    `realized_pnl_usd` sums over the position's life, None when its closing prices are unknown.
    `unexpected` marks what no order of ours explains: an alert is due.
    """

    kind: PositionEventKind
    position: Position
    reason: str = ""
    realized_pnl_usd: float | None = None
    unexpected: bool = False

    def row(self) -> dict[str, Any]:
        """The event as a row of the lake's `strategies` table; unlimited profit or loss is null."""
        position = self.position
        figures = position.payoff
        return {
            "position": position.id,
            "event": self.kind.value,
            "structure": position.structure.value,
            "underlying": position.underlying,
            "lots": position.lots,
            "legs": json.dumps([leg_fields(leg) for leg in position.legs]),
            "net_credit_usd": figures.net_credit_usd,
            "max_profit_usd": _finite(figures.max_profit_usd),
            "max_loss_usd": _finite(figures.max_loss_usd),
            "entry_time": position.entry_time,
            "entry_underlying_price": position.entry_underlying_price,
            "entry_iv": position.entry_iv,
            "entry_vix": position.entry_vix,
            "realized_pnl_usd": self.realized_pnl_usd,
            "strategy": position.strategy,
            "rolled_from": position.rolled_from,
            "reason": self.reason,
        }


def position_from_row(row: Mapping[str, Any], released_credit_usd: float | None = 0.0) -> Position:
    """The position of a row of the lake's `strategies` table."""
    return Position(
        id=row["position"],
        structure=Structure(row["structure"]),
        underlying=row["underlying"],
        lots=row["lots"],
        legs=tuple(leg_from_fields(fields) for fields in json.loads(row["legs"])),
        entry_time=row["entry_time"].astimezone(UTC),
        entry_underlying_price=row["entry_underlying_price"],
        entry_iv=row["entry_iv"],
        entry_vix=row["entry_vix"],
        strategy=row["strategy"],
        rolled_from=row["rolled_from"],
        released_credit_usd=released_credit_usd,
    )


def position_id(
    underlying: str,
    structure: Structure,
    contracts: Sequence[Contract],
    time: datetime,
    taken: Collection[str] = (),
) -> str:
    """A readable id such as `IWM-20260320-iron_condor-1a2b3c`, a function of its arguments alone."""
    expiry = first_expiry(contracts)
    words = [underlying, f"{expiry:%Y%m%d}" if expiry else "", structure.value]
    named = "-".join(word for word in words if word)
    con_ids = ",".join(str(contract.con_id) for contract in sorted(contracts, key=lambda c: c.con_id))
    attempt = 0
    while True:
        text = f"{con_ids}|{time.astimezone(UTC).isoformat()}|{attempt}"
        found = f"{named}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
        if found not in taken:
            return found
        attempt += 1


def mean_cost(legs: Sequence[Leg]) -> float | None:
    """USD per contract over legs of one contract; None when long and short ones are mixed."""
    quantity = sum(leg.quantity for leg in legs)
    if not quantity or len({leg.quantity > 0 for leg in legs}) > 1:
        return None
    return sum(leg.quantity * leg.average_cost for leg in legs) / quantity


def first_expiry(contracts: Sequence[Contract]) -> date | None:
    return min((c.expiry for c in contracts if c.expiry is not None), default=None)


def leg_fields(leg: Leg) -> dict[str, Any]:
    """A leg as it stands in the lake's JSON."""
    return {
        **contract_fields(leg.contract),
        "quantity": leg.quantity,
        "average_cost_usd": leg.average_cost,
    }


def leg_from_fields(fields: Mapping[str, Any]) -> Leg:
    """The leg that `leg_fields` wrote."""
    cost = UsdPerContract(fields["average_cost_usd"])
    return Leg(contract_from_fields(fields), fields["quantity"], cost)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None

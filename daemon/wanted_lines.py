"""Which contracts need a market-data line, and how badly."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from types import MappingProxyType

from daemon.account_state import AccountState
from options import NEW_YORK, ConId, Leg, SecType
from sync.line_budget import LinePriority, Wanted
from trading.intent import IntentKind

NEAR_EXPIRY_DAYS = 7
NEAR_MONEY = 0.03
"""A strike this close to the underlying's price, as a share of it, is near the money."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """How badly underlyings and what is held need lines. `held`: contracts by urgency, the first first."""

    underlyings: tuple[Wanted, ...] = ()
    held: Mapping[ConId, LinePriority] = field(default_factory=lambda: MappingProxyType({}))

    def wanted(self, most: int, streams: Iterable[ConId]) -> list[Wanted]:
        """What could get one of `most` lines, where `streams` have theirs already: the budget need not look
        at thousands of others."""
        first = [Wanted(con_id, priority) for con_id, priority in islice(self.held.items(), most)]
        open_ones = [Wanted(con_id, self.held[con_id]) for con_id in streams if con_id in self.held]
        return [*self.underlyings, *first, *open_ones]


def ranking(state: AccountState, now: datetime) -> Ranking:
    """Underlyings, and every contract that is held. Milliseconds for thousands of them."""
    underlyings = tuple(
        Wanted(contract.con_id, LinePriority.UNDERLYING)
        for contract in state.contracts.values()
        if contract.sec_type in (SecType.STOCK, SecType.INDEX)
    )
    today, active = now.astimezone(NEW_YORK).date(), state.registry.con_ids
    prices: dict[str, float | None] = {}
    held: dict[ConId, LinePriority] = {}
    for position in state.positions.positions:
        if position.underlying not in prices:
            prices[position.underlying] = state.board.underlying_price(position.underlying, now)
        for leg in position.legs:
            con_id = leg.contract.con_id
            is_risky = leg.quantity < 0 and _is_near(leg, prices[position.underlying], today)
            priority = LinePriority.RISKY_SHORT if is_risky else LinePriority.REST
            if con_id in active:
                priority = LinePriority.ACTIVE
            held[con_id] = min(priority, held.get(con_id, LinePriority.REST))
    return Ranking(underlyings, dict(sorted(held.items(), key=lambda one: (one[1], one[0]))))


def wanted_at_once(state: AccountState, underlyings: int, now: datetime) -> list[Wanted]:
    """What orders, rolls and decisions are priced from, and the contracts whose turn it is. `underlyings`:
    how many of these have their lines before any order."""
    for contract in state.roller.wanted:
        state.contracts[contract.con_id] = contract
    ordered = {leg.contract.con_id for intent in state.desk.open_intents for leg in intent.legs}
    ordered |= {contract.con_id for contract in state.roller.wanted}
    ordered |= state.to_cover.keys()
    left = state.lines.budget - underlyings - len(ordered)
    confirmed = state.confirmations.wanted(max(left, state.lines.reserve), now)
    needed = [Wanted(con_id, LinePriority.WORKING_ORDER) for con_id in (*ordered, *confirmed)]
    return needed + [Wanted(con_id, LinePriority.VISIT) for con_id in state.worker.visiting]


def entering(state: AccountState) -> dict[str, list[ConId]]:
    """The contracts of positions that are being opened, by position."""
    return {
        intent.position: [leg.contract.con_id for leg in intent.legs]
        for intent in state.desk.open_intents
        if intent.kind is IntentKind.OPEN
    }


def _is_near(leg: Leg, price: float | None, today: date) -> bool:
    """Whether expiry or (where the underlying's price is known) strike is near."""
    expiry, strike = leg.contract.expiry, leg.contract.strike
    if expiry is not None and (expiry - today).days <= NEAR_EXPIRY_DAYS:
        return True
    return price is not None and strike is not None and abs(strike / price - 1.0) <= NEAR_MONEY

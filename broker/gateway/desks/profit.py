"""Profit as profit-and-loss streams count it: per contract, from the previous close on.

daily = what is held now at its mark - what was held at the previous close, at that close
        - what today's changes cost: trades with their commissions, exercise, assignment, dividends
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from broker.gateway.exchange.account import Execution, Holding, of_day
from broker.gateway.exchange.settlement import Event
from broker.gateway.markets.market import Market
from broker.gateway.markets.quotes import Quote
from options import ConId, hours


@dataclass(frozen=True, slots=True)
class Profit:
    """All in USD. None where a price that it takes is not known: the mark for all but `realized`, for
    `daily` of what was held before today also the previous close."""

    quantity: int
    daily: float | None
    unrealized: float | None
    realized: float
    worth: float | None


@dataclass(frozen=True, slots=True)
class Change:
    """Of one holding: by how many contracts (shares), what that cost in USD and what it realized."""

    con_id: ConId
    quantity: int
    cost_usd: float
    realized_usd: float


def changes_of(day: date, executions: Sequence[Execution], events: Sequence[Event]) -> list[Change]:
    """What changed the holdings on a trading day; both are the oldest first."""
    changes = [change for execution in of_day(day, executions) for change in _traded(execution)]
    return changes + [change for event in of_day(day, events) for change in _settled(event)]


def _traded(execution: Execution) -> Iterator[Change]:
    """Nothing for a combo's own execution: its legs have theirs."""
    contract = execution.contract
    if contract:
        cost = execution.quantity * execution.price * contract.multiplier + execution.commission_usd
        yield Change(contract.con_id, execution.quantity, cost, execution.realized_usd or 0.0)


def _settled(event: Event) -> Iterator[Change]:
    """Where shares move, they have the cost, which is the strike."""
    own_cost = -event.cash_usd if event.share is None else 0.0
    yield Change(event.contract.con_id, event.quantity, own_cost, event.realized_usd)
    if event.share is not None:
        yield Change(event.share, event.shares, -event.cash_usd, 0.0)


class Closes:
    """Prices at the previous close, USD per share: what the quotes say, else the end of that day's bars."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._day = date.min
        self._last: dict[ConId, float | None] = {}

    def of(self, quotes: Mapping[ConId, Quote], now: datetime) -> dict[ConId, float | None]:
        """None where neither knows one."""
        day = hours.trading_day(now)
        if day != self._day:
            self._day, self._last = day, {}
        return {c: self._bar(c) if quote.close is None else quote.close for c, quote in quotes.items()}

    def _bar(self, con_id: ConId) -> float | None:
        if con_id not in self._last:
            end = hours.closing(hours.previous_trading_day(self._day))
            bars = self._market.bars(con_id, end - timedelta(minutes=1), end, 60)
            self._last[con_id] = bars[-1].close if bars else None
        return self._last[con_id]


def profit_of(holding: Holding, changes: Iterable[Change], mark: float | None, close: float | None) -> Profit:
    """Of one contract; `changes` are today's of it, `mark` and `close` USD per share."""
    size = holding.contract.multiplier
    carried, spent, realized = holding.quantity, 0.0, 0.0
    for change in changes:
        carried -= change.quantity
        spent += change.cost_usd
        realized += change.realized_usd
    worth = _worth(holding.quantity, mark, size)
    before = _worth(carried, close, size)
    return Profit(
        quantity=holding.quantity,
        daily=None if worth is None or before is None else worth - before - spent,
        unrealized=None if worth is None else worth - holding.quantity * holding.average_cost,
        realized=realized,
        worth=worth,
    )


def _worth(quantity: int, price: float | None, size: int) -> float | None:
    if not quantity:
        return 0.0
    return None if price is None else quantity * price * size


def concerned(holdings: Mapping[ConId, Holding], changes: Iterable[Change]) -> dict[ConId, list[Change]]:
    """The contracts that are held or have changed today, and their changes."""
    found: dict[ConId, list[Change]] = {con_id: [] for con_id, held in holdings.items() if held.quantity}
    for change in changes:
        found.setdefault(change.con_id, []).append(change)
    return found


def total(parts: Iterable[Profit]) -> Profit:
    """Of all contracts together; unknown as soon as one part is."""
    parts = list(parts)
    return Profit(
        quantity=0,
        daily=_sum(part.daily for part in parts),
        unrealized=_sum(part.unrealized for part in parts),
        realized=sum(part.realized for part in parts),
        worth=_sum(part.worth for part in parts),
    )


def _sum(amounts: Iterable[float | None]) -> float | None:
    known = list(amounts)
    return None if None in known else sum(usd for usd in known if usd is not None)

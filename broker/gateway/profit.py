"""Profit as profit-and-loss streams count it: per contract, from the previous close on.

daily = what is held now at its mark - what was held at the previous close, at that close
        - what today's trades cost, commissions included
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from broker.gateway.account import Execution, Holding
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


def trades_of(day: date, executions: Iterable[Execution]) -> list[Execution]:
    """The day's executions that book something; `executions` latest first."""
    found = []
    for execution in executions:
        if hours.trading_day(execution.time) < day:
            break
        if execution.contract:
            found.append(execution)
    return found


def profit_of(
    holding: Holding, trades: Iterable[Execution], mark: float | None, close: float | None
) -> Profit:
    """Of one contract; `trades` are today's in it, `mark` and `close` USD per share."""
    size = holding.contract.multiplier
    carried, spent, realized = holding.quantity, 0.0, 0.0
    for trade in trades:
        carried -= trade.quantity
        spent += trade.quantity * trade.price * size + trade.commission_usd
        realized += trade.realized_usd or 0.0
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


def profits(
    holdings: Mapping[ConId, Holding],
    trades: Iterable[Execution],
    marks: Mapping[ConId, float],
    closes: Mapping[ConId, float | None],
) -> dict[ConId, Profit]:
    """Of every contract that is held or was traded today."""
    traded: dict[ConId, list[Execution]] = {}
    for trade in trades:
        if trade.contract:
            traded.setdefault(trade.contract.con_id, []).append(trade)
    return {
        con_id: profit_of(holding, traded.get(con_id, ()), marks.get(con_id), closes.get(con_id))
        for con_id, holding in holdings.items()
        if holding.quantity or con_id in traded
    }


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

"""What lets a waiting order go to the market: a stop's trigger price, and conditions. Pure.

A stop's trigger price is compared, by `trigger_method`: 0 default (2 for shares, 4 for options and combos),
2 with the last price, 4 with the bid of a buy order and the ask of a sell order, 7 with both, 8 with the
middle. The real default for options is "double bid/ask", two such quotes in a row; here one suffices, and
the two double methods (1, 3) are refused. Shares whose market tells no last price are triggered by 4.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from broker.gateway.errors import OrderRefused
from broker.gateway.exchange.matching import Terms, units
from broker.gateway.exchange.order import Order
from broker.gateway.exchange.time_in_force import FORMATS, parse_moment
from broker.gateway.markets.quotes import Quote
from broker.gateway.protocol.order_request import OrderRequest
from options import ConId, SecType

LAST, BID_ASK, LAST_OR_BID_ASK, MIDDLE = 2, 4, 7, 8
TRIGGER_METHODS = frozenset({0, LAST, BID_ASK, LAST_OR_BID_ASK, MIDDLE})


def stop_reached(order: Order, terms: Terms | None, last: float | None) -> bool:
    """Whether a stop order's trigger price has been reached. `last` is None for a combo."""
    price = units(order.request.aux_price or 0.0) * order.request.sign
    shares = order.legs[0][0].sec_type is SecType.STOCK and last is not None
    method = order.request.trigger_method or (LAST if shares else BID_ASK)
    if method in (LAST, LAST_OR_BID_ASK) and last is not None and order.request.sign * units(last) >= price:
        return True
    if terms is None or method == LAST:
        return False
    return (terms.middle if method == MIDDLE else terms.opposite) >= price


class Kind(StrEnum):
    """The kinds of conditions that the protocol has, by their numbers there."""

    PRICE = "1"
    TIME = "3"
    MARGIN = "4"
    EXECUTION = "5"
    VOLUME = "6"
    PERCENT_CHANGE = "7"


NO_CONTRACT = ConId(0)
REFUSED = {Kind.MARGIN: "the account's margin", Kind.EXECUTION: "an execution"}


@dataclass(frozen=True, slots=True)
class Condition:
    """True when what it watches is at least (`more`) or at most its `value`: USD per share, contracts,
    percent since the last close, or for `TIME` seconds since 1970. `joined_by_and`: with the next one."""

    kind: Kind
    joined_by_and: bool
    more: bool
    value: float
    con_id: ConId


def conditions_of(request: OrderRequest) -> list[Condition]:
    """An order's conditions; raises OrderRefused for those that the gateway cannot watch."""
    return [_condition(*fields) for fields in request.conditions]


def _condition(number: str, conjunction: str, *body: str) -> Condition:
    kind = Kind(number)
    if kind in REFUSED:
        raise OrderRefused(
            398,
            f"{REFUSED[kind]} cannot be used as a condition trigger in the simulated gateway: use a price,"
            " a time, a volume or a percent change",
        )
    joined_by_and, more = conjunction == "a", body[0] == "1"
    if kind is Kind.TIME:
        moment = parse_moment(body[1])
        if moment is None:
            raise OrderRefused(
                337, f"The date, time, or time-zone entered is invalid: {body[1]!r}: write {FORMATS}"
            )
        return Condition(kind, joined_by_and, more, moment.timestamp(), NO_CONTRACT)
    try:
        return Condition(kind, joined_by_and, more, float(body[1]), ConId(int(body[2])))
    except ValueError:
        raise OrderRefused(398, f"{body[1]!r} of {body[2]!r} cannot be used as a condition trigger") from None


def all_hold(conditions: Sequence[Condition], now: datetime, quote: Callable[[ConId], Quote]) -> bool:
    """Whether they hold together: from the first to the last, each joined with the next by its and or or."""
    result, joined_by_and = True, True
    for condition in conditions:
        here = _holds(condition, now, quote)
        result = (result and here) if joined_by_and else (result or here)
        joined_by_and = condition.joined_by_and
    return result


def _holds(condition: Condition, now: datetime, quote: Callable[[ConId], Quote]) -> bool:
    value = _watched(condition, now, quote)
    if value is None:
        return False
    return value >= condition.value if condition.more else value <= condition.value


def _watched(condition: Condition, now: datetime, quote: Callable[[ConId], Quote]) -> float | None:
    """What a condition watches, now; None while the market does not know it."""
    if condition.kind is Kind.TIME:
        return now.timestamp()
    seen = quote(condition.con_id)
    if condition.kind is Kind.VOLUME:
        return seen.volume
    price = seen.last if seen.last is not None else seen.mark
    if condition.kind is Kind.PRICE or price is None:
        return price
    return (price / seen.close - 1) * 100 if seen.close else None


def time_conditions(conditions: Sequence[Condition], now: datetime) -> list[datetime]:
    """The moments to come at which a time condition turns true."""
    moments = [
        datetime.fromtimestamp(c.value, now.tzinfo) for c in conditions if c.kind is Kind.TIME and c.more
    ]
    return [moment for moment in moments if moment > now]

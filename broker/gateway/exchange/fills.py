"""What a fill leaves behind: bookings in the account, executions, and the order's own figures."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from broker.gateway.exchange.account import Account, Execution
from broker.gateway.exchange.commission import Trade, commissions_usd
from broker.gateway.exchange.order import UNITS_PER_USD, Order, Status
from options import Contract


@dataclass(frozen=True, slots=True)
class Fill:
    """Legs that trade together: contract, signed quantity, and price in units of 0.0001 USD per share.

    `lots` units of the order are complete with it, each at the cost `net` in the same units; 0 while a
    combo that trades leg by leg still lacks a leg. `adds`: it was met while it lay in the market.
    """

    legs: Sequence[tuple[Contract, int, int]]
    lots: int
    net: int
    adds: bool


class Fills:
    """All executions of an account, oldest first. `next_fill` numbers them. `corrected`: the places of those
    that have been corrected since the state was last written."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.executions: list[Execution] = []
        self.next_fill = 1
        self.corrected: set[int] = set()
        self._by_order: dict[int, list[Execution]] = {}

    def restore(self, execution: Execution) -> None:
        self.executions.append(execution)
        self._by_order.setdefault(execution.perm_id, []).append(execution)

    def correct(self, place: int, corrected: Execution) -> None:
        """Puts an execution in the place of the one that it supersedes, and counts it in the sums of the
        order's later ones; the account is not touched."""
        first = self.executions[place]
        self._replace(place, corrected)
        more = abs(corrected.quantity) - abs(first.quantity)
        worth = abs(corrected.quantity) * corrected.price - abs(first.quantity) * first.price
        for later in range(place + 1, len(self.executions)):
            each = self.executions[later]
            if (each.perm_id, each.contract) == (first.perm_id, first.contract):
                count = each.cumulative + more
                average = round((each.cumulative * each.average_price + worth) / count, 8) if count else 0.0
                self._replace(later, replace(each, cumulative=count, average_price=average))

    def _replace(self, place: int, execution: Execution) -> None:
        former = self.executions[place]
        of_order = self._by_order[former.perm_id]
        self.executions[place] = of_order[of_order.index(former)] = execution
        self.corrected.add(place)

    def book(self, order: Order, fill: Fill, now: datetime) -> list[Execution]:
        """Books a fill in the account and the order; the new executions, a combo's own first."""
        earlier = [
            Trade(e.contract, e.quantity, e.price)
            for e in self._by_order.get(order.perm_id, ())
            if e.contract
        ]
        trades = [Trade(contract, signed, price / UNITS_PER_USD) for contract, signed, price in fill.legs]
        fees = commissions_usd(trades, earlier)
        number = f"{zlib.crc32(self.account.account_id.encode()):08x}.{self.next_fill:08x}"
        self.next_fill += 1
        new: list[Execution] = []
        if fill.lots:
            self._count(order, fill, now)
        if fill.lots and order.request.is_combo:
            signed = order.request.sign * fill.lots
            price = order.request.sign * fill.net / UNITS_PER_USD
            new.append(self._execution(order, f"{number}.01.01", None, signed, price, fill.adds, now))
        for trade, fee in zip(trades, fees, strict=True):
            realized = self.account.book(trade.contract, trade.quantity, trade.price, fee)
            exec_id = f"{number}.{len(new) + 1:02d}.01"
            new.append(
                self._execution(
                    order, exec_id, trade.contract, trade.quantity, trade.price, fill.adds, now, fee, realized
                )
            )
        order.commission_usd = (order.commission_usd or 0.0) + sum(fees)
        return new

    def _count(self, order: Order, fill: Fill, now: datetime) -> None:
        order.filled += fill.lots
        order.spent += fill.net * fill.lots
        order.last_price = order.request.sign * fill.net / UNITS_PER_USD
        if not order.remaining:
            order.status, order.done = Status.FILLED, now
            order.outcome = f"Filled Size: {order.filled}"

    def _execution(
        self,
        order: Order,
        exec_id: str,
        contract: Contract | None,
        quantity: int,
        price: float,
        adds: bool,
        now: datetime,
        commission_usd: float = 0.0,
        realized_usd: float | None = None,
    ) -> Execution:
        same = [e for e in self._by_order.get(order.perm_id, ()) if e.contract == contract]
        cumulative = abs(quantity) + sum(abs(e.quantity) for e in same)
        worth = abs(quantity) * price + sum(abs(e.quantity) * e.price for e in same)
        execution = Execution(
            exec_id=exec_id,
            client_id=order.client_id,
            order_id=order.order_id,
            perm_id=order.perm_id,
            order_ref=order.request.order_ref,
            symbol=contract.symbol if contract else order.request.contract.symbol,
            contract=contract,
            quantity=quantity,
            price=price,
            time=now,
            commission_usd=commission_usd,
            realized_usd=realized_usd,
            cumulative=cumulative,
            average_price=round(worth / cumulative, 8),
            adds_liquidity=adds,
        )
        self.restore(execution)
        return execution

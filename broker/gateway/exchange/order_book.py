"""The book: every order of the exchange, found by what concerns it."""

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime

from broker.gateway.exchange.order import Order
from broker.gateway.exchange.triggers import conditions_of
from broker.gateway.protocol.order_request import OrderRequest
from options import ConId


class OrderBook:
    """`orders` by (client id, order id), in the order in which they came. `lowest_id` is that of the latest
    order placed by hand, 0 before the first."""

    def __init__(self) -> None:
        self.orders: dict[tuple[int, int], Order] = {}
        self._living: dict[int, Order] = {}
        self._watching: dict[ConId, dict[int, Order]] = {}
        self._alarms: list[tuple[datetime, int]] = []
        self._children: dict[tuple[int, int], list[Order]] = defaultdict(list)
        self._groups: dict[str, list[Order]] = defaultdict(list)
        self._highest: dict[int, int] = {}
        self.lowest_id = 0

    def add(self, order: Order) -> None:
        """Takes an order in, new or restored; from now on it is found until `drop`."""
        self.orders[order.client_id, order.order_id] = order
        self._highest[order.client_id] = max(order.order_id, self._highest.get(order.client_id, 0))
        self.lowest_id = min(order.order_id, self.lowest_id)
        if order.request.parent_id:
            self._children[order.client_id, order.request.parent_id].append(order)
        if order.request.oca_group:
            self._groups[order.request.oca_group].append(order)
        if order.lives:
            self._living[order.perm_id] = order
            self._watch(order)
            if order.wakes:
                heapq.heappush(self._alarms, (order.wakes, order.perm_id))

    def change(self, order: Order, request: OrderRequest) -> None:
        """The order becomes `request`; parent and one-cancels-all group stay."""
        self._unwatch(order)
        order.request = request
        self._watch(order)

    def drop(self, order: Order) -> None:
        """The order has ended."""
        self._living.pop(order.perm_id, None)
        self._unwatch(order)

    def forget(self, order: Order) -> None:
        """As if the order had never come; its id is free again."""
        self.drop(order)
        client_id = order.client_id
        del self.orders[client_id, order.order_id]
        if order.request.parent_id:
            self._children[client_id, order.request.parent_id].remove(order)
        if order.request.oca_group:
            self._groups[order.request.oca_group].remove(order)
        self._highest[client_id] = max(
            (number for client, number in self.orders if client == client_id), default=0
        )

    def _watch(self, order: Order) -> None:
        for con_id in _concerning(order):
            self._watching.setdefault(con_id, {})[order.perm_id] = order

    def _unwatch(self, order: Order) -> None:
        for con_id in _concerning(order):
            watching = self._watching.get(con_id, {})
            watching.pop(order.perm_id, None)
            if not watching:
                self._watching.pop(con_id, None)

    def highest_id(self, client_id: int) -> int:
        """The highest order id that a client has used, 0 when none."""
        return self._highest.get(client_id, 0)

    def living(self) -> list[Order]:
        return list(self._living.values())

    def watched(self) -> Collection[ConId]:
        """Every contract whose quotes concern a living order."""
        return self._watching.keys()

    def parent(self, order: Order) -> Order | None:
        return (
            self.orders.get((order.client_id, order.request.parent_id)) if order.request.parent_id else None
        )

    def children(self, order: Order) -> list[Order]:
        """The living children of an order."""
        return [child for child in self._children.get((order.client_id, order.order_id), ()) if child.lives]

    def group(self, name: str) -> list[Order]:
        """Every order that ever belonged to this one-cancels-all group."""
        return self._groups.get(name, []) if name else []

    def siblings(self, order: Order) -> list[Order]:
        """The other living orders of its one-cancels-all group."""
        return [other for other in self.group(order.request.oca_group) if other is not order and other.lives]

    # -- time -----------------------------------------------------------------------------------------

    def wake(self, order: Order, moment: datetime | None) -> None:
        """Has an order looked at again at `moment` at the latest, None: only when a quote changes."""
        if moment != order.wakes:
            order.wakes = moment
            if moment is not None:
                heapq.heappush(self._alarms, (moment, order.perm_id))

    def _prune(self) -> None:
        """Takes away the alarms that no longer stand."""
        alarms = self._alarms
        while alarms:
            moment, perm_id = alarms[0]
            order = self._living.get(perm_id)
            if order is not None and order.wakes == moment:
                return
            heapq.heappop(alarms)

    def next_alarm(self) -> datetime | None:
        self._prune()
        return self._alarms[0][0] if self._alarms else None

    def concerned(self, changed: Iterable[ConId], now: datetime) -> list[Order]:
        """The living orders whose quotes have changed or whose time has come, the oldest first."""
        found: dict[int, Order] = {}
        for con_id in changed:
            found.update(self._watching.get(con_id, {}))
        while (moment := self.next_alarm()) is not None and moment <= now:
            _, perm_id = heapq.heappop(self._alarms)
            order = self._living[perm_id]
            order.wakes = None
            found[perm_id] = order
        return [found[perm_id] for perm_id in sorted(found)]


def _concerning(order: Order) -> list[ConId]:
    """The contracts of its legs and conditions."""
    return [*order.con_ids, *(c.con_id for c in conditions_of(order.request) if c.con_id)]

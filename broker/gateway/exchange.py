"""The exchange: the book of orders, fills against the market's quotes, and the paper account behind them.

It knows nothing of sockets. What happens is told to a `Witness`, each fill only after the account, the
book and the executions hold it.
"""

import math
import zlib
from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Protocol

from broker.gateway.account import Account, Execution
from broker.gateway.commission import Trade, commissions_usd, order_commission_usd
from broker.gateway.market import Market
from broker.gateway.market_rules import conforms
from broker.gateway.matching import (
    QUEUE,
    UNITS_PER_USD,
    Terms,
    leg_prices,
    limit_units,
    may_be_met,
    terms_of,
)
from broker.gateway.order import Order, Status
from broker.gateway.order_request import OrderRequest
from broker.gateway.quotes import Quote
from broker.gateway.settlement import expired, settle
from broker.gateway.values import Values, account_values
from options import ConId, Contract, Leg, SecType, UsdPerContract, hours, per_share, round_to_tick

MOST_LEGS = 4
COMBO_TICK = 0.01
FIRST_PERM_ID = 1_100_000_000


class OrderRefused(Exception):
    """An order the exchange does not take; `code` is Interactive Brokers' number for it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Witness(Protocol):
    """Who is told what happened, in the order in which it happened.

    `order_filled` gives the new executions only: after a partial fill the order lives on.
    `holdings_changed` is for what no order did: expiry, exercise, assignment, dividends.
    """

    def order_changed(self, order: Order) -> None: ...

    def order_filled(self, order: Order, executions: list[Execution]) -> None: ...

    def order_cancelled(self, order: Order, reason: str) -> None: ...

    def holdings_changed(self, con_ids: list[ConId]) -> None: ...


def rejection(reason: str) -> OrderRefused:
    return OrderRefused(201, f"Order rejected - reason:{reason}")


class Exchange:
    """See the module.

    For faults: `hold_fills` keeps every order from filling, `distort` makes another quote of the market's,
    `object_to` says why an order is refused, or None.
    """

    def __init__(self, market: Market, account: Account, witness: Witness) -> None:
        self.market = market
        self.account = account
        self.witness = witness
        self.orders: dict[tuple[int, int], Order] = {}
        self.executions: list[Execution] = []
        self.next_perm_id = FIRST_PERM_ID
        self.next_fill = 1
        self.hold_fills = False
        self.distort: Callable[[ConId, Quote], Quote] | None = None
        self.object_to: Callable[[OrderRequest], OrderRefused | None] | None = None

    def quotes(self, con_ids: Iterable[ConId], now: datetime) -> dict[ConId, Quote]:
        """The market's current quotes, or what a fault makes of them."""
        found = self.market.quotes(list(con_ids), now)
        if self.distort is None:
            return found
        return {con_id: self.distort(con_id, quote) for con_id, quote in found.items()}

    def working(self) -> list[Order]:
        return [order for order in self.orders.values() if order.lives]

    def working_con_ids(self) -> set[ConId]:
        return {contract.con_id for order in self.working() for contract, _ in order.legs}

    def next_order_id(self, client_id: int) -> int:
        """One above every order id that the client has used."""
        return max((order_id for client, order_id in self.orders if client == client_id), default=0) + 1

    def forget_since(self, since: datetime) -> None:
        """Loses the living orders that were placed from `since` on and have not been filled at all, as if
        they had never arrived; their ids are free again."""
        for key, order in list(self.orders.items()):
            if order.lives and order.placed >= since and not order.filled:
                del self.orders[key]

    def values(self, now: datetime, extra: Iterable[Leg] = ()) -> Values:
        """The account's values, with `extra` legs pretended to be held."""
        return account_values(self._with(extra), *self._prices(now))

    def _prices(self, now: datetime) -> tuple[dict[ConId, float], dict[str, float]]:
        held = [con_id for con_id, holding in self.account.holdings.items() if holding.quantity]
        shares = {c.con_id: c.symbol for c in self.market.listings if c.sec_type is not SecType.OPTION}
        marks = self.market.marks([*held, *shares], now)
        return marks, {symbol: marks[con_id] for con_id, symbol in shares.items() if con_id in marks}

    def _with(self, extra: Iterable[Leg]) -> Account:
        account = self.account
        copy = Account(
            account.account_id,
            account.deposit_usd,
            account.cash_usd,
            account.realized_usd,
            dict(account.holdings),
        )
        for leg in extra:
            copy.book(leg.contract, leg.quantity, leg.average_cost / leg.contract.multiplier, 0.0)
        return copy

    # -- orders ---------------------------------------------------------------------------------------

    def check(self, request: OrderRequest, now: datetime) -> tuple[tuple[Contract, int], ...]:
        """The legs that the order would trade; raises OrderRefused."""
        if self.object_to and (refusal := self.object_to(request)):
            raise refusal
        if request.account not in ("", self.account.account_id):
            raise rejection(f"account {request.account} is not {self.account.account_id}")
        if request.order_type not in ("LMT", "MKT"):
            raise OrderRefused(387, f"Unsupported order type {request.order_type}: use LMT or MKT.")
        if request.quantity <= 0:
            raise rejection("the quantity must be above 0")
        if not request.transmit:
            raise rejection("orders held back by transmit=0 are not supported by the simulated gateway")
        legs = self._legs(request)
        self._check_price(request, legs)
        return legs

    def _legs(self, request: OrderRequest) -> tuple[tuple[Contract, int], ...]:
        if not request.is_combo:
            found = self.market.listings.match(request.contract)
            if len(found) != 1 or found[0].sec_type is SecType.INDEX:
                raise OrderRefused(200, "No security definition has been found for the request")
            return ((found[0], request.sign),)
        if not 1 < len(request.legs) <= MOST_LEGS or len({leg.con_id for leg in request.legs}) < len(
            request.legs
        ):
            raise rejection(f"a combo needs 2 to {MOST_LEGS} different legs")
        legs = []
        for leg in request.legs:
            contract = self.market.listings.get(leg.con_id)
            if contract is None:
                raise OrderRefused(200, "No security definition has been found for the request")
            if leg.ratio < 1 or leg.action not in ("BUY", "SELL"):
                raise rejection("a combo leg needs a ratio above 0 and the action BUY or SELL")
            legs.append((contract, request.sign * leg.sign * leg.ratio))
        return tuple(legs)

    def _check_price(self, request: OrderRequest, legs: tuple[tuple[Contract, int], ...]) -> None:
        if request.order_type != "LMT":
            return
        price = request.limit_price
        if price is None or not math.isfinite(price):
            raise rejection("a limit order needs a limit price")
        in_cents = abs(round_to_tick(price, COMBO_TICK) - price) < 1e-9
        if not (in_cents if request.is_combo else conforms(legs[0][0], price)):
            raise OrderRefused(
                110, "The price does not conform to the minimum price variation for this contract."
            )
        if not request.is_combo and price <= 0:
            raise rejection("the limit price of a single contract must be above 0")

    def what_if(self, request: OrderRequest, now: datetime) -> tuple[Values, Values, float]:
        """Values before and after the order's fill at its limit or the natural price, and its commission."""
        legs = self.check(request, now)
        marks, _ = self._prices(now)
        terms = terms_of(legs, self.quotes([contract.con_id for contract, _ in legs], now))
        held = _as_held(request, legs, terms, marks)
        after = self.values(now, held)
        return self.values(now), after, order_commission_usd(_as_traded(held))

    def place(self, client_id: int, order_id: int, request: OrderRequest, now: datetime) -> None:
        """Takes a new order and fills it at once when it can; raises OrderRefused."""
        legs = self.check(request, now)
        self._check_margin(request, legs, now)
        order = Order(client_id, order_id, self.next_perm_id, request, legs, placed=now)
        self.next_perm_id += 1
        self.orders[client_id, order_id] = order
        self.witness.order_changed(order)
        self._match([order], now)

    def _check_margin(
        self, request: OrderRequest, legs: tuple[tuple[Contract, int], ...], now: datetime
    ) -> None:
        marks, _ = self._prices(now)
        terms = terms_of(legs, self.quotes([contract.con_id for contract, _ in legs], now))
        before, after = self.values(now), self.values(now, _as_held(request, legs, terms, marks))
        frees = (
            after.initial_margin < before.initial_margin or after.available_funds >= before.available_funds
        )
        if after.available_funds < 0 and not frees:
            raise rejection(
                "YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR EQUITY WITH LOAN"
                f" VALUE [{after.equity_with_loan:.2f} USD] MUST EXCEED THE INITIAL MARGIN"
                f" [{after.initial_margin:.2f} USD]"
            )

    def modify(self, order: Order, request: OrderRequest, now: datetime) -> None:
        """Changes price or size of a living order; raises OrderRefused."""
        if order.status is Status.FILLED:
            raise OrderRefused(104, "Cannot modify a filled order.")
        if not order.lives:
            raise OrderRefused(103, "Duplicate order id")
        legs = self.check(request, now)
        if legs != order.legs:
            raise OrderRefused(105, "Order being modified does not match original order")
        order.request = request
        order.ready_since = None
        self.witness.order_changed(order)
        self._match([order], now)

    def cancel(self, order: Order, now: datetime, reason: str = "") -> None:
        order.status = Status.CANCELLED
        order.done = now
        order.outcome = reason or "Cancelled by Trader"
        self.witness.order_cancelled(order, reason)

    # -- time -----------------------------------------------------------------------------------------

    def next_fill_time(self) -> datetime | None:
        """When the first order that lies where it may be met has lain there long enough."""
        if self.hold_fills:
            return None
        return min((o.ready_since + QUEUE for o in self.working() if o.ready_since is not None), default=None)

    def pass_time(self, now: datetime) -> None:
        """Cancels day orders of an earlier day, settles what expired, fills what can be filled at `now`."""
        today = hours.trading_day(now)
        self._settle(now, today)
        for order in self.working():
            if order.request.tif == "DAY" and hours.trading_day(order.placed) < today:
                self.cancel(order, now, "the trading day is over")
        self._match(self.working(), now)

    def _settle(self, now: datetime, today: date) -> None:
        """Settles what has expired and cancels the orders for it."""
        due = expired(self.account, now, today)
        settled = settle(self.account, due, self._prices(now)[1]) if due else []
        for order in self.working():
            if any(contract.con_id in settled for contract, _ in order.legs):
                self.cancel(order, now, "the option has expired")
        if settled:
            self.witness.holdings_changed(settled)

    def _match(self, orders: list[Order], now: datetime) -> None:
        if not orders or self.hold_fills:
            return
        wanted = sorted({contract.con_id for order in orders for contract, _ in order.legs})
        quotes = self.quotes(wanted, now)
        for order in orders:
            terms = terms_of(order.legs, quotes)
            limit = limit_units(order)
            if terms is None or not may_be_met(order, terms):
                order.ready_since = None
            elif limit is None or terms.natural <= limit:
                self._fill(order, terms, terms.natural, now)
            elif order.ready_since is None:
                order.ready_since = now
            elif order.ready_since + QUEUE <= now:
                self._fill(order, terms, limit, now)

    def _fill(self, order: Order, terms: Terms, cost: int, now: datetime) -> None:
        quantity = order.request.quantity
        prices = leg_prices(order.legs, terms, cost)
        net = sum(n * round(p * UNITS_PER_USD) for (_, n), p in zip(order.legs, prices, strict=True))
        order.fill_price = order.request.sign * net / UNITS_PER_USD
        fill_id = f"{zlib.crc32(self.account.account_id.encode()):08x}.{self.next_fill:08x}"
        self.next_fill += 1
        executions = []
        if order.request.is_combo:
            signed = order.request.sign * quantity
            executions.append(_execution(order, f"{fill_id}.01.01", None, signed, order.fill_price, now))
        trades = [Trade(c, n * quantity, price) for (c, n), price in zip(order.legs, prices, strict=True)]
        for trade, fee in zip(trades, commissions_usd(trades), strict=True):
            realized = self.account.book(trade.contract, trade.quantity, trade.price, fee)
            exec_id = f"{fill_id}.{len(executions) + 1:02d}.01"
            executions.append(
                _execution(order, exec_id, trade.contract, trade.quantity, trade.price, now, fee, realized)
            )
        order.filled = quantity
        order.commission_usd = sum(execution.commission_usd for execution in executions)
        order.status, order.ready_since, order.done = Status.FILLED, None, now
        order.outcome = f"Filled Size: {quantity}"
        self.executions += executions
        self.witness.order_filled(order, executions)


def _as_traded(held: Iterable[Leg]) -> list[Trade]:
    """Legs at their prices, as trades."""
    return [
        Trade(leg.contract, leg.quantity, per_share(leg.average_cost, leg.contract.multiplier))
        for leg in held
    ]


def _execution(
    order: Order,
    exec_id: str,
    contract: Contract | None,
    quantity: int,
    price: float,
    now: datetime,
    commission_usd: float = 0.0,
    realized_usd: float | None = None,
) -> Execution:
    return Execution(
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
    )


def _as_held(
    request: OrderRequest,
    legs: tuple[tuple[Contract, int], ...],
    terms: Terms | None,
    marks: dict[ConId, float],
) -> list[Leg]:
    """The order's legs at their natural prices (without quotes at their last marks), as if it had filled."""
    held = []
    for i, (contract, amount) in enumerate(legs):
        if terms:
            price = terms.bids_asks[i][1 if amount > 0 else 0] / UNITS_PER_USD
        else:
            price = marks.get(contract.con_id, 0.0)
        cost = UsdPerContract(price * contract.multiplier)
        held.append(Leg(contract, amount * request.quantity, cost))
    return held

"""An exchange without sockets, on a script market and at a time that the test decides."""

from datetime import timedelta

import pytest

from broker.gateway.exchange.account import Account
from broker.gateway.exchange.exchange import Exchange
from broker.gateway.markets.listings import Query
from broker.gateway.markets.script import DEFAULT_START, ScriptMarket
from broker.gateway.protocol.order_request import ComboLeg, OrderRequest

STRIKES = (90.0, 95.0, 105.0, 110.0)
EXPIRY = "2026-04-17"
DEPOSIT = 1_000_000.0


class Books:
    """The exchange with its witness, who checks every fill against the quotes of that very moment.

    `news` gathers (order id, status or code or "3 filled") in the order in which it is told.
    `share` and `options` (XYZ 90 P, 95 P, 105 C, 110 C) have no quotes at first.
    """

    def __init__(self, now=DEFAULT_START, seed=1, deposit=DEPOSIT):
        self.market = ScriptMarket()
        self.options = [
            self.market.add(
                {"symbol": "XYZ", "expiry": EXPIRY, "strike": k, "right": "P" if k < 100 else "C"}
            )
            for k in STRIKES
        ]
        self.share = self.market.contract({"symbol": "XYZ"})
        self.now = now
        self.news = []
        self.changed = set()
        self.exchange = Exchange(self.market, Account.open("DU1", deposit, []), self, seed)

    # -- the witness ----------------------------------------------------------------------------------

    def order_changed(self, order):
        self.news.append((order.order_id, str(order.status)))

    def order_warned(self, order, code, text):
        self.news.append((order.order_id, code))

    def order_refused(self, order, refusal):
        assert not order.lives
        self.news.append((order.order_id, refusal.code))

    def order_cancelled(self, order, reason):
        assert not order.lives
        self.news.append((order.order_id, "Cancelled"))

    def holdings_changed(self, con_ids):
        self.news.append((0, "Expired"))

    def order_filled(self, order, executions):
        legs = [e for e in executions if e.contract]
        quotes = self.exchange.quotes([e.contract.con_id for e in legs], self.now)
        for execution in legs:
            bid, ask = quotes[execution.contract.con_id].two_sided
            assert bid < ask
            assert bid - 1e-9 <= execution.price <= ask + 1e-9
        whole = executions[0]
        lots = 0 if order.request.is_combo and whole.contract else abs(whole.quantity)
        if order.request.is_combo and lots and not order.is_legged:
            net = sum(round(e.price * 10_000) * e.quantity for e in legs)
            assert net == round(whole.price * 10_000) * whole.quantity, "the legs are the price"
        kept_limit = order.order_id not in self.changed or not order.is_legged
        if lots and kept_limit and order.request.order_type in ("LMT", "STP LMT"):
            assert (whole.price - order.request.limit_price) * order.request.sign <= 1e-9
        self.news.append((order.order_id, f"{lots} filled"))

    # -- what a test does -----------------------------------------------------------------------------

    def quote(self, contract, bid=None, ask=None, **more):
        """A new quote, of 10 by 10 unless sizes are given; orders that it concerns are looked at."""
        self.market.set({"con_id": contract.con_id, "bid": bid, "ask": ask, **more})
        self.exchange.pass_time(self.now, [contract.con_id])

    def quote_all(self, bid=1.00, ask=1.10, **more):
        for contract in self.options:
            self.quote(contract, bid, ask, **more)

    def step(self, seconds):
        """Lets time pass, through every moment at which an order wants to be looked at."""
        goal = self.now + timedelta(seconds=seconds)
        while (event := self.exchange.next_event()) is not None and event <= goal:
            self.now = max(self.now, event)
            self.exchange.pass_time(self.now)
        self.now = goal
        self.exchange.pass_time(goal)

    def send(self, order_id, what, action="BUY", quantity=1, limit=None, **terms):
        """Places or changes an order for a contract, or for a combo: a list of (contract, signed ratio)."""
        request = wish(what, action, quantity, limit, **terms)
        known = self.exchange.orders.get((1, order_id))
        if known:
            self.changed.add(order_id)
            self.exchange.modify(known, request, self.now)
        else:
            self.exchange.place(1, order_id, request, self.now)

    def cancel(self, order_id):
        self.exchange.cancel(self.order(order_id), self.now)

    # -- what a test asks -----------------------------------------------------------------------------

    def order(self, order_id):
        return self.exchange.orders[1, order_id]

    def status(self, *order_ids):
        found = [str(self.order(order_id).status) for order_id in order_ids]
        return found[0] if len(found) == 1 else found

    def told(self, order_id):
        """What was told of one order."""
        return [what for number, what in self.news if number == order_id]

    def check(self):
        """Positions are the sum of executions, cash and cost what was paid in and realized."""
        account, legs = self.exchange.account, [e for e in self.exchange.executions if e.contract]
        for holding in account.holdings.values():
            bought = sum(e.quantity for e in legs if e.contract == holding.contract)
            assert holding.quantity == bought
        flow = sum(-e.quantity * e.price * e.contract.multiplier - e.commission_usd for e in legs)
        assert account.cash_usd == pytest.approx(DEPOSIT + flow, abs=1e-6)
        cost = sum(h.quantity * h.average_cost for h in account.holdings.values())
        assert account.cash_usd + cost == pytest.approx(DEPOSIT + account.realized_usd, abs=1e-6)
        assert account.realized_usd == pytest.approx(sum(e.realized_usd or 0 for e in legs), abs=1e-6)
        assert len({e.exec_id for e in self.exchange.executions}) == len(self.exchange.executions)
        for order in self.exchange.orders.values():
            own = [e for e in legs if e.perm_id == order.perm_id]
            published = sum(abs(e.quantity) * _published_usd(e.price) for e in own)
            if own and all(e.contract is not self.share for e in own):
                assert sum(e.commission_usd for e in own) == pytest.approx(max(1.0, published))


def _published_usd(premium):
    """What one contract of an option costs to trade at this premium."""
    return 0.25 if premium < 0.05 else 0.5 if premium < 0.1 else 0.65


def wish(what, action, quantity, limit, order_type=None, **terms):
    """The request of an order."""
    if isinstance(what, list):
        legs = tuple(ComboLeg(c.con_id, abs(n), "BUY" if n > 0 else "SELL", "SMART") for c, n in what)
        contract = _query(0, "BAG")
    else:
        legs, contract = (), _query(what.con_id, str(what.sec_type))
    return OrderRequest(
        contract=contract,
        legs=legs,
        action=action,
        quantity=quantity,
        order_type=order_type or ("MKT" if limit is None else "LMT"),
        limit_price=limit,
        **terms,
    )


def _query(con_id, kind):
    return Query(con_id, "XYZ", kind, "", 0.0, "", "", "SMART", "", "USD", "", "")

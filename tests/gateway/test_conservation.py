"""Laws of money and contracts through orders, fills, expiry, assignment, dividends and restarts."""

from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.gateway.errors import OrderRefused
from broker.gateway.exchange.account import Account
from broker.gateway.exchange.exchange import Exchange
from broker.gateway.markets.listings import Query
from broker.gateway.markets.script import DEFAULT_START, ScriptMarket
from broker.gateway.protocol.order_request import ComboLeg, OrderRequest
from broker.gateway.state import StateFile, read_state, restore_books, restored_account
from options import SecType
from options.hours import trading_day

DEPOSIT = 1_000_000.0
EXPIRIES = ("2026-03-03", "2026-03-06")
SEED = 5

cents = st.integers(1, 900).map(lambda n: n / 100)
which = st.integers(0, 8)


class Deaf:
    """A witness that needs to hear nothing."""

    def order_changed(self, order): ...

    def order_warned(self, order, code, text): ...

    def order_refused(self, order, refusal): ...

    def order_cancelled(self, order, reason): ...

    def order_filled(self, order, executions): ...

    def holdings_changed(self, con_ids): ...


def books(exchange):
    """All that must survive a restart."""
    return (
        exchange.account,
        [(o.order_id, o.status, o.filled, o.spent, o.commission_usd) for o in exchange.orders.values()],
        exchange.executions,
        exchange.settlement.events,
        exchange.settlement.instructions,
    )


class Trading(RuleBasedStateMachine):
    """Trades shares and options of two expiries; from a restart on, a restored twin is told the same."""

    @initialize()
    def open(self):
        self.folder = TemporaryDirectory()
        self.now = DEFAULT_START
        market = ScriptMarket()
        self.exchanges = [Exchange(market, Account.open("DU1", DEPOSIT, []), Deaf(), SEED)]
        self.contracts = [market.add({"symbol": "XYZ"})]
        for expiry in EXPIRIES:
            for strike in (98.0, 100.0):
                for right in "CP":
                    terms = {"symbol": "XYZ", "expiry": expiry, "strike": strike, "right": right}
                    self.contracts.append(market.add(terms))
        for contract in self.contracts:
            bid = 99.0 if contract.sec_type is SecType.STOCK else 2.0
            market.set({"con_id": contract.con_id, "bid": bid, "ask": bid + 0.1})

    def teardown(self):
        if hasattr(self, "folder"):
            self.folder.cleanup()

    def _pass(self, changed=()):
        for exchange in self.exchanges:
            exchange.pass_time(self.now, changed)

    @rule(which=which, bid=cents, width=st.sampled_from([0.01, 0.05, 0.3]), size=st.integers(1, 20))
    def quote(self, which, bid, width, size):
        contract = self.contracts[which]
        if contract.sec_type is SecType.STOCK:
            bid = round(96 + bid / 2, 2)
        sides = {"bid": bid, "ask": round(bid + width, 2), "bid_size": size, "ask_size": size}
        for exchange in self.exchanges:
            exchange.market.set({"con_id": contract.con_id, **sides})
        self._pass([contract.con_id])

    @rule(
        parts=st.lists(
            st.tuples(which, st.sampled_from([-1, 1])), min_size=1, max_size=4, unique_by=lambda part: part[0]
        ),
        action=st.sampled_from(["BUY", "SELL"]),
        quantity=st.integers(1, 12),
        limit=st.one_of(st.none(), st.integers(-900, 10_500).map(lambda n: n / 100)),
    )
    def order(self, parts, action, quantity, limit):
        legs = tuple(
            ComboLeg(self.contracts[at].con_id, 1, "BUY" if sign > 0 else "SELL", "SMART")
            for at, sign in parts
        )
        single = len(legs) == 1
        contract = self.contracts[parts[0][0]]
        wanted = OrderRequest(
            contract=Query(
                *(contract.con_id if single else 0, "XYZ", contract.sec_type if single else "BAG"),
                *("", 0.0, "", "", "SMART", "", "USD", "", ""),
            ),
            legs=() if single else legs,
            action=action,
            quantity=quantity,
            order_type="MKT" if limit is None else "LMT",
            limit_price=limit,
            tif="GTC",
        )
        outcomes = set()
        for exchange in self.exchanges:
            try:
                exchange.place(1, exchange.next_order_id(1), wanted, self.now)
                outcomes.add("taken")
            except OrderRefused as refusal:
                outcomes.add(refusal.text)
        assert len(outcomes) == 1

    @rule(number=st.integers(0, 20))
    def cancel(self, number):
        for exchange in self.exchanges:
            if working := exchange.working():
                exchange.cancel(working[number % len(working)], self.now)

    @rule(which=which, quantity=st.integers(1, 3), lapse=st.booleans())
    def exercise(self, which, quantity, lapse):
        for exchange in self.exchanges:
            try:
                exchange.exercise(self.contracts[which].con_id, quantity, lapse, True, "", self.now)
            except OrderRefused as refusal:
                assert refusal.code == 322

    @rule(amount=st.integers(1, 200).map(lambda n: n / 100))
    def announce(self, amount):
        tomorrow = (trading_day(self.now) + timedelta(days=1)).isoformat()
        for exchange in self.exchanges:
            exchange.market.announce({"symbol": "XYZ", "ex_date": tomorrow, "amount_usd": amount})

    @rule(seconds=st.sampled_from([1, 3, 60]))
    def wait(self, seconds):
        self.now += timedelta(seconds=seconds)
        self._pass()

    @rule()
    def wait_for_the_next_settlement(self):
        before = self.exchanges[0].account.cash_usd
        self.now = self.exchanges[0].settlement.next_moment
        known = [len(exchange.executions) for exchange in self.exchanges]
        settled = len(self.exchanges[0].settlement.events)
        self._pass()
        assert [len(exchange.executions) for exchange in self.exchanges] == known
        new = self.exchanges[0].settlement.events[settled:]
        gained = self.exchanges[0].account.cash_usd - before
        assert gained == pytest.approx(sum(event.cash_usd for event in new), abs=1e-6)

    @precondition(lambda self: len(self.exchanges) == 1)
    @rule()
    def restart(self):
        exchange = self.exchanges[0]
        path = Path(self.folder.name) / "state.sqlite"
        file = StateFile(path)
        file.write(exchange, self.now, list(exchange.orders.values()))
        file.close()
        document = read_state(path, "script")
        market = ScriptMarket()
        market.load(document["market_state"])
        twin = Exchange(market, restored_account(document), Deaf(), SEED)
        restore_books(document, twin)
        self.exchanges.append(twin)

    @invariant()
    def what_was_restarted_goes_on_as_if_it_had_not_been(self):
        if len(getattr(self, "exchanges", ())) == 2:
            assert books(self.exchanges[0]) == books(self.exchanges[1])

    @invariant()
    def no_money_appears_or_vanishes(self):
        if not hasattr(self, "exchanges"):
            return
        exchange = self.exchanges[0]
        account, events = exchange.account, exchange.settlement.events
        trades = [e for e in exchange.executions if e.contract]
        cost = sum(held.quantity * held.average_cost for held in account.holdings.values())
        paid_in = DEPOSIT + account.realized_usd + account.dividends_usd
        assert account.cash_usd + cost == pytest.approx(paid_in, abs=1e-6)
        flow = sum(-e.quantity * e.price * e.contract.multiplier - e.commission_usd for e in trades)
        settled = sum(event.cash_usd for event in events)
        assert account.cash_usd == pytest.approx(DEPOSIT + flow + settled, abs=1e-6)
        realized = sum(e.realized_usd or 0.0 for e in trades) + sum(e.realized_usd for e in events)
        assert account.realized_usd == pytest.approx(realized, abs=1e-6)
        charged = sum(order.commission_usd or 0.0 for order in exchange.orders.values())
        assert charged == pytest.approx(sum(e.commission_usd for e in trades), abs=1e-6)

    @invariant()
    def holdings_are_what_was_traded_and_settled(self):
        if not hasattr(self, "exchanges"):
            return
        exchange = self.exchanges[0]
        counted = dict.fromkeys((c.con_id for c in self.contracts), 0)
        for execution in exchange.executions:
            if execution.contract:
                counted[execution.contract.con_id] += execution.quantity
        for event in exchange.settlement.events:
            counted[event.contract.con_id] += event.quantity
            if event.share is not None:
                counted[event.share] += event.shares
        held = {con_id: holding.quantity for con_id, holding in exchange.account.holdings.items()}
        assert {con_id: n for con_id, n in counted.items() if n} == {c: n for c, n in held.items() if n}
        for contract in self.contracts:
            if contract.expiry and contract.expiry < trading_day(self.now):
                assert counted[contract.con_id] == 0


TestTrading = Trading.TestCase
TestTrading.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)


def test_the_story_reaches_what_it_is_about():
    """The machine's rules, in an order in which shares, an assignment and a dividend must come about."""
    machine = Trading()
    machine.open()
    machine.order([(1, 1)], "SELL", 2, None)
    machine.order([(0, 1)], "BUY", 10, None)
    machine.restart()
    for _ in range(4):
        machine.announce(0.5)
        machine.wait_for_the_next_settlement()
        for check in (
            machine.no_money_appears_or_vanishes,
            machine.holdings_are_what_was_traded_and_settled,
            machine.what_was_restarted_goes_on_as_if_it_had_not_been,
        ):
            check()
    kinds = {str(event.kind) for event in machine.exchanges[0].settlement.events}
    assert {"assigned", "dividend"} <= kinds
    assert trading_day(machine.now) >= date(2026, 3, 3)
    machine.teardown()

"""Lines and turns of a daemon's account, with a broker that does not serve all of its contracts."""

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from broker.events import BrokerNotice, HoldingChanged, LinkState, QuoteChanged
from broker.interactive_brokers import InteractiveBrokers
from broker.protocol import ComboLeg
from daemon.account_state import AccountState
from daemon.console import Console
from daemon.intake import Intake
from daemon.lines import Lines
from daemon.metrics import Metrics
from daemon.records import Alerts, Records
from options import ConId, Contract, Right, SecType
from sync.line_budget import LineBudget
from sync.quote_board import QuoteBoard
from sync.tables import LAKE_TABLES
from trading.desk import Desk
from trading.rolling import Roller

NOW = datetime(2026, 3, 2, 17, tzinfo=UTC)
JUNE = date(2026, 6, 18)
SHARES = Contract(ConId(900), "IWM", SecType.STOCK)
QUOTE = QuoteChanged(
    con_id=ConId(0), bid=1.0, ask=1.1, bid_size=5, ask_size=5, last=None, close=None, iv=0.2, delta=-0.1,
    gamma=0.01, theta=-0.02, vega=0.1, underlying_price=None, quote_time=NOW, greeks_time=NOW, is_live=True,
)  # fmt: skip


class Still:
    def now(self) -> datetime:
        return NOW


class Account:
    """Puts far from the money, numbered from 1, and 40 lines; those `unserved` never get one."""

    def __init__(self, contracts: int, unserved: int) -> None:
        broker = InteractiveBrokers("127.0.0.1", 1, 1, Still())
        lines = LineBudget(40, reserve=4, visits=10)
        self.state = AccountState(broker, QuoteBoard(), lines, Desk(broker), Roller(broker))
        records, metrics = Records(LAKE_TABLES), Metrics()
        self.intake = Intake(self.state, records, Alerts(records, metrics), Console(), metrics)
        self.lines, self.unserved = Lines(self.state, records, metrics), unserved
        self.state.link, self.state.has_picture = LinkState.UP, True
        puts = [
            Contract(ConId(n), "IWM", SecType.OPTION, JUNE, 20.0 + n, Right.PUT, 100)
            for n in range(1, contracts + 1)
        ]
        self.state.contracts |= {contract.con_id: contract for contract in (*puts, SHARES)}
        self.state.positions.note_picture([HoldingChanged("DU1", put, 1, 10.0) for put in puts])
        self.state.positions.settle(NOW)
        self.state.board.watch("IWM", SHARES.con_id)
        self.quoted: dict[int, datetime] = {}

    async def beat(self, now: datetime) -> None:
        for con_id in self.state.lines.open_lines:
            if con_id <= self.unserved:
                told = BrokerNotice(354, "Requested market data is not subscribed.", con_id, None, True)
                self.intake.apply(told, now)
            else:
                self.quoted[con_id] = now
                told_quote = replace(QUOTE, con_id=con_id, quote_time=now, greeks_time=now)
                self.intake.apply(told_quote, now)
        await self.lines.turn(now)


async def test_contracts_that_the_broker_does_not_serve_keep_nobody_from_his_turn() -> None:
    account = Account(contracts=90, unserved=15)
    for beat in range(4 * 50):
        await account.beat(NOW + timedelta(seconds=0.25 * beat))
    assert sorted(account.quoted)[:-1] == list(range(16, 91))
    assert min(account.quoted.values()) >= NOW + timedelta(seconds=30)


def test_an_order_is_not_priced_from_a_quote_that_jumped_until_it_has_stood() -> None:
    """A rule that asks no price (`dte <= 1d`) closes at whatever the first quote of a new line says."""
    account = Account(contracts=1, unserved=0)
    state, put = account.state, account.state.contracts[ConId(1)]
    state.marks.know([put])
    leg = ComboLeg(put, -1)

    def said(con_id: int, mid: float, seconds: float) -> datetime:
        now = NOW + timedelta(seconds=seconds)
        quote = replace(QUOTE, con_id=ConId(con_id), bid=mid - 0.05, ask=mid + 0.05)
        state.board.apply(replace(quote, quote_time=now, greeks_time=now), now)
        state.marks.remark(now)
        return now

    said(900, 23.0, 0.0)
    now = said(1, 1.0, 0.0)
    assert state.combo_quote([leg], now) is not None
    state.board.release([put.con_id])
    state.marks.remark(now + timedelta(seconds=0.5))
    now = said(1, 9.0, 1.0)
    assert state.combo_quote([leg], now) is None
    now = said(1, 9.0, 6.5)
    assert state.combo_quote([leg], now) is not None


async def test_a_human_changes_the_queue_only_when_no_thread_goes_through_it() -> None:
    account = Account(contracts=60, unserved=0)
    renew, is_in, may_go_on = account.state.queue.renew, threading.Event(), threading.Event()

    def renew_slowly(waiting: Mapping[ConId, bool], now: datetime) -> None:
        is_in.set()
        may_go_on.wait(10.0)
        renew(waiting, now)

    account.state.queue.renew = renew_slowly  # type: ignore[method-assign]
    turn = asyncio.create_task(account.lines.turn(NOW))
    await asyncio.to_thread(is_in.wait, 10.0)
    retried = asyncio.create_task(account.lines.retry(None))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not retried.done()
    may_go_on.set()
    async with asyncio.timeout(10.0):
        await turn
        assert await retried == 0

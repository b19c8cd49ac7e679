"""A restart out of a long history: what still matters is taken up, what is over is left alone."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from broker.events import Executed, HoldingChanged
from broker.interactive_brokers import InteractiveBrokers
from broker.protocol import ComboLeg
from daemon.account_state import AccountState
from daemon.restore import restore
from lake import Lake
from options import ConId, Contract, Right, SecType
from sync.executions import Fill
from sync.line_budget import LineBudget
from sync.position_book import PositionBook
from sync.quote_board import QuoteBoard
from sync.tables import LAKE_TABLES
from trading.desk import Desk
from trading.intent import Intent, IntentKind, IntentState
from trading.price_walk import Urgency
from trading.rolling import Roller

START = datetime(2026, 1, 5, 15, tzinfo=UTC)
NOW = START + timedelta(days=60)
PUT = Contract(ConId(1), "IWM", SecType.OPTION, date(2026, 4, 17), 245.0, Right.PUT, 100, trading_class="IWM")
WING = replace(PUT, con_id=ConId(2), strike=240.0)


class Still:
    def now(self) -> datetime:
        return NOW


def account_state() -> AccountState:
    broker = InteractiveBrokers("127.0.0.1", 1, 1, Still())
    return AccountState(broker, QuoteBoard(), LineBudget(90), Desk(broker), Roller(broker))


def holdings(lots: int) -> list[HoldingChanged]:
    sides = ((PUT, -lots, 100.0), (WING, lots, 10.0))
    return [HoldingChanged("DU1", contract, quantity, cost) for contract, quantity, cost in sides]


def reduction(position: str, number: int, state: IntentState, created: datetime) -> Intent:
    return Intent(
        f"opt-{number}", f"dec-{number}", position, "take_profit", 7, IntentKind.REDUCE, state,
        (ComboLeg(PUT, 1), ComboLeg(WING, -1)), 1, 0.20, Urgency.NORMAL, created, (-4, 4), "", 1.0,
    )  # fmt: skip


def bought_back(order_ref: str, time: datetime) -> list[Fill]:
    """One lot bought back for 20 USD and 2.60 USD of commission."""
    return [
        Fill(Executed(f"{order_ref}.{con_id}.01", order_ref, 1, con_id, False, side, price, time), 1.30, None)
        for con_id, side, price in ((PUT.con_id, 1.0, 0.22), (WING.con_id, -1.0, 0.02))
    ]


class History:
    """A lake that is written event by event, flushed after each as a day would be."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.book = PositionBook(settle_after_s=0)

    def write(self, time: datetime, **rows: list[dict[str, object]]) -> None:
        frames = {
            name: pl.DataFrame(told, schema=LAKE_TABLES[name].row, orient="row")
            for name, told in rows.items()
        }
        self.lake.commit(time, frames)
        self.lake.flush()

    def hold(self, time: datetime, lots: int) -> str:
        """The broker holds so many lots; the id of the Position they belong to."""
        before = self.book.positions
        self.book.note_picture(holdings(lots))
        events = self.book.settle(time)
        self.write(time, strategies=[event.row() for event in events])
        return (self.book.positions or before)[0].id


@pytest.fixture
def restored(tmp_path: Path) -> AccountState:
    """A Position that was closed long ago, and one half of which was; what of it was tried yesterday."""
    with Lake.open(tmp_path, LAKE_TABLES) as lake:
        history = History(lake)
        over = history.hold(START, 2)
        long_ago = [reduction(over, 1, state, START) for state in (IntentState.SENT, IntentState.SETTLED)]
        history.write(START, intents=[intent.row() for intent in long_ago])
        history.write(START, fills=[fill.row() for fill in bought_back("opt-1", START)])
        history.hold(START + timedelta(days=1), 0)
        history.hold(START + timedelta(days=2), 4)
        held = history.book.positions[0].id
        reduced = START + timedelta(days=20)
        settled = reduction(held, 2, IntentState.SETTLED, reduced)
        history.write(reduced, intents=[settled.row()])
        history.write(reduced, fills=[fill.row() for fill in bought_back("opt-2", reduced)])
        history.hold(reduced, 3)
        yesterday = NOW - timedelta(days=1)
        latched = {"revision": "r", "state": '{"latch:take_profit:0": true}'}
        history.write(yesterday, intents=[reduction(held, 3, IntentState.SENT, yesterday).row()])
        history.write(yesterday, rule_state=[{"position": "a", **latched}, {"position": "b", **latched}])
        history.write(yesterday, rule_state=[{"position": "a", "revision": "r", "state": None}])
        history.write(yesterday, fills=[fill.row() for fill in bought_back("stranger", yesterday)])
    state = account_state()
    restore(tmp_path, state, NOW)
    return state


def test_a_position_is_taken_up_with_what_closing_its_lots_has_brought_since_it_was_opened(
    restored: AccountState,
) -> None:
    (held,) = restored.positions.positions
    assert held.lots == 3
    assert restored.closing_orders == {held.id: {"opt-2", "opt-3"}}
    assert restored.cash_usd(held.id) == pytest.approx(-20.0 - 2.60)


def test_orders_that_are_open_are_taken_up_and_those_that_ended_are_not(restored: AccountState) -> None:
    assert [intent.intent for intent in restored.desk.open_intents] == ["opt-3"]


def test_executions_that_a_broker_may_still_report_are_known_and_those_of_closed_positions_are_not(
    restored: AccountState,
) -> None:
    refs = {fill.execution.order_ref for fill in restored.executions.fills}
    assert refs == {"opt-2", "stranger"}


def test_the_rule_state_is_that_of_the_last_commit(restored: AccountState) -> None:
    assert restored.rule_state.frame["position"].to_list() == ["b"]


def test_the_id_of_a_closed_position_is_not_given_out_again(restored: AccountState) -> None:
    alone = PositionBook(settle_after_s=0)
    alone.note_picture(holdings(2))
    alone.settle(START)
    restored.positions.note_picture([])
    restored.positions.settle(START)
    restored.positions.note_picture(holdings(2))
    restored.positions.settle(START)
    (first,), (again,) = alone.positions, restored.positions.positions
    assert first.id != again.id

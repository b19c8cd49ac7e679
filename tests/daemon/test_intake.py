"""What follows from reports that arrive late, apart or never: the real parts, fed event by event."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from broker.events import (
    ALARM,
    BrokerNotice,
    Commissioned,
    Executed,
    HoldingChanged,
    LinkChanged,
    LinkState,
    QuoteChanged,
)
from broker.interactive_brokers import InteractiveBrokers
from broker.protocol import ComboLeg
from daemon.account_state import AccountState
from daemon.console import Console
from daemon.intake import REPORTS_WITHIN, Intake
from daemon.metrics import Metrics
from daemon.records import Alerts, Records
from daemon.restore import restore
from lake import Lake
from options import ConId, Contract, Right, SecType
from sync.line_budget import ASK_AGAIN_AFTER, LineBudget, LinePriority, Wanted
from sync.position import PositionEvent, PositionEventKind
from sync.quote_board import QuoteBoard
from sync.tables import LAKE_TABLES
from trading.desk import Desk
from trading.intent import Intent, IntentKind, IntentState
from trading.price_walk import Urgency
from trading.rolling import Roller

NOW = datetime(2026, 3, 2, 17, tzinfo=UTC)
PUT = Contract(ConId(1), "IWM", SecType.OPTION, date(2026, 3, 20), 245.0, Right.PUT, 100, trading_class="IWM")
WING = replace(PUT, con_id=ConId(2), strike=240.0)


class Still:
    def now(self) -> datetime:
        return NOW


def account_state() -> AccountState:
    broker = InteractiveBrokers("127.0.0.1", 1, 1, Still())
    return AccountState(broker, QuoteBoard(), LineBudget(90), Desk(broker), Roller(broker))


@dataclass
class Bench:
    """Two short put spreads that were opened for 0.90, and an order that has bought both back."""

    state: AccountState
    intake: Intake
    order: Intent
    records: Records

    def hold(self, lots: int) -> None:
        for contract, quantity in ((PUT, -lots), (WING, lots)):
            cost = 100.0 if contract is PUT else 10.0
            self.intake.apply(HoldingChanged("DU1", contract, quantity, cost), NOW)

    def execute(self, contract: Contract, quantity: float, price: float) -> None:
        exec_id = f"{contract.con_id}.01"
        self.intake.apply(
            Executed(exec_id, self.order.intent, 1, contract.con_id, False, quantity, price, NOW), NOW
        )

    def pay(self, contract: Contract) -> None:
        self.intake.apply(Commissioned(f"{contract.con_id}.01", 1.30, None), NOW)

    def ended(self, now: datetime = NOW) -> list[PositionEvent]:
        return [e for e in self.intake.settle(now) if e.kind is PositionEventKind.CLOSED]


@pytest.fixture
def bench() -> Bench:
    state, records, metrics = account_state(), Records(LAKE_TABLES), Metrics()
    state.link, state.has_picture = LinkState.UP, True
    state.contracts |= {PUT.con_id: PUT, WING.con_id: WING}
    state.positions.note_picture(
        [HoldingChanged("DU1", PUT, -2, 100.0), HoldingChanged("DU1", WING, 2, 10.0)]
    )
    state.positions.settle(NOW)
    (position,) = state.positions.positions
    order = close_of(position.id)
    state.closing_orders[position.id] = {order.intent}
    state.desk.restore([order], NOW)
    intake = Intake(state, records, Alerts(records, metrics), Console(), metrics)
    return Bench(state, intake, order, records)


def close_of(position: str, state: IntentState = IntentState.FILLED) -> Intent:
    return Intent(
        "opt-1", "dec-1", position, "take_profit", 7, IntentKind.CLOSE, state,
        (ComboLeg(PUT, 1), ComboLeg(WING, -1)), 2, 0.20, Urgency.NORMAL, NOW, (-2, 2), "", 2.0,
    )  # fmt: skip


def test_a_position_ends_with_the_money_of_all_its_reports_however_they_are_ordered(bench: Bench) -> None:
    bench.hold(0)
    assert bench.ended() == []
    bench.execute(PUT, 2, 0.22)
    bench.execute(WING, -2, 0.02)
    bench.pay(PUT)
    assert bench.ended() == [], "one commission is still to come"
    bench.pay(WING)
    (event,) = bench.ended()
    assert event.realized_pnl_usd == pytest.approx(2 * (90.0 - 20.0) - 2.60)
    assert bench.state.desk.open_intents == ()


def test_a_commission_that_never_comes_is_unknown_and_not_nothing(bench: Bench) -> None:
    bench.hold(0)
    bench.execute(PUT, 2, 0.22)
    bench.execute(WING, -2, 0.02)
    bench.pay(PUT)
    assert bench.ended() == []
    (event,) = bench.ended(NOW + REPORTS_WITHIN)
    assert event.realized_pnl_usd is None


def restated(bench: Bench) -> list[tuple[float | None, str]]:
    """What was recorded of ended positions since the last call."""
    frames = bench.records.take()
    rows = frames["strategies"].filter(pl.col("event") == "restated") if "strategies" in frames else None
    return [] if rows is None else list(rows.select("realized_pnl_usd", "reason").iter_rows())


def test_a_commission_that_comes_after_the_end_completes_what_was_realized(bench: Bench) -> None:
    test_a_commission_that_never_comes_is_unknown_and_not_nothing(bench)
    later = NOW + timedelta(seconds=30)
    assert bench.intake.settle(later) == []
    assert restated(bench) == []
    bench.pay(WING)
    bench.intake.settle(later)
    assert restated(bench) == [(pytest.approx(137.40), "its commissions became known")]
    (closing,) = bench.state.closings
    assert (closing.time, closing.realized_usd) == (NOW + REPORTS_WITHIN, pytest.approx(137.40))
    bench.intake.settle(later)
    assert restated(bench) == [], "told once"


def test_a_correction_after_the_end_corrects_what_was_realized(bench: Bench) -> None:
    test_an_execution_that_is_still_to_come_is_not_left_out_of_the_sum(bench)
    bench.intake.apply(Executed("1.02", bench.order.intent, 1, PUT.con_id, False, 2, 0.23, NOW), NOW)
    bench.intake.settle(NOW)
    assert restated(bench) == [], "its commission is still to come"
    bench.intake.apply(Commissioned("1.02", 1.30, None), NOW)
    bench.intake.settle(NOW)
    assert restated(bench) == [(pytest.approx(135.40), "an execution was corrected")]


def test_what_lacks_an_execution_is_never_summed_up(bench: Bench) -> None:
    test_money_is_unknown_when_an_execution_never_comes(bench)
    bench.intake.apply(Commissioned("1.01", 1.40, None), NOW)
    bench.intake.settle(NOW + timedelta(minutes=1))
    assert restated(bench) == []


def test_an_execution_that_is_still_to_come_is_not_left_out_of_the_sum(bench: Bench) -> None:
    bench.hold(0)
    bench.execute(PUT, 2, 0.22)
    bench.pay(PUT)
    assert bench.ended() == []
    bench.execute(WING, -2, 0.02)
    bench.pay(WING)
    (event,) = bench.ended()
    assert event.realized_pnl_usd == pytest.approx(137.40)


def test_money_is_unknown_when_an_execution_never_comes(bench: Bench) -> None:
    bench.hold(0)
    bench.execute(PUT, 2, 0.22)
    bench.pay(PUT)
    assert bench.ended() == []
    (event,) = bench.ended(NOW + REPORTS_WITHIN)
    assert event.realized_pnl_usd is None


def restored(tmp_path: Path, *intents: Intent) -> AccountState:
    """The state that a restart finds in a lake with these intents."""
    with Lake.open(tmp_path, LAKE_TABLES) as lake:
        frame = pl.DataFrame([i.row() for i in intents], schema=LAKE_TABLES["intents"].row, orient="row")
        lake.commit(NOW, {"intents": frame})
    state = account_state()
    restore(tmp_path, state, NOW + timedelta(minutes=5))
    return state


def test_a_restart_goes_on_with_a_roll_between_its_halves(tmp_path: Path) -> None:
    closed = replace(close_of("P", IntentState.SETTLED), roll_dte=45)
    assert not restored(tmp_path, closed).roller.is_idle


def test_a_restart_does_not_open_a_roll_that_was_given_up(tmp_path: Path) -> None:
    closed = replace(close_of("P", IntentState.SETTLED), roll_dte=45)
    desk = account_state().desk
    desk.give_up_opening(closed, "not quoted")
    (given_up,) = desk.take_changes()
    assert restored(tmp_path, closed, given_up).roller.is_idle


def test_a_second_roll_of_the_rest_of_a_position_is_taken_up_though_the_first_was_opened(
    tmp_path: Path,
) -> None:
    first = replace(close_of("P", IntentState.SETTLED), roll_dte=45, filled=1.0)
    opened = replace(
        first, intent="opt-2", kind=IntentKind.OPEN, position="Q", rolled_from="P", roll_dte=None
    )
    second = replace(first, intent="opt-3", decision="dec-2")
    assert not restored(tmp_path, first, opened, second).roller.is_idle


def alerts_after(*events: BrokerNotice | LinkChanged) -> list[tuple[str, str]]:
    """The (severity, kind) of every alert that these words of a broker raise."""
    records, metrics = Records(LAKE_TABLES), Metrics()
    intake = Intake(account_state(), records, Alerts(records, metrics), Console(), metrics)
    for event in events:
        intake.apply(event, NOW)
    frames = records.take()
    return list(frames["alerts"].select("severity", "kind").iter_rows()) if "alerts" in frames else []


def test_a_message_that_was_lost_is_critical_and_a_storm_of_them_one_alert() -> None:
    lost = [BrokerNotice(ALARM, "a message of the broker was lost: ['11', 'GMT Standard Time']")] * 50
    assert alerts_after(*lost) == [("critical", "lost_message")]


def test_a_storm_of_errors_about_one_thing_is_one_alert() -> None:
    assert alerts_after(*[BrokerNotice(10197, "competing session", ConId(1))] * 500) == [
        ("warning", "broker_10197")
    ]


def test_a_connection_that_we_end_ourselves_raises_no_alert_and_one_that_drops_does() -> None:
    up, down = LinkChanged(LinkState.UP, "connected", True), LinkChanged(LinkState.DOWN, "closed")
    assert alerts_after(up, replace(down, planned=True), up) == []
    assert alerts_after(up, down) == [("critical", "connection")]


def test_a_line_that_the_broker_does_not_serve_is_closed_and_asked_for_again(bench: Bench) -> None:
    """Told once and forgotten, its contract would stay unquoted until the next connection."""
    state, want = bench.state, [Wanted(PUT.con_id, LinePriority.REST)]
    state.lines.plan(want, NOW)
    quote = QuoteChanged(PUT.con_id, 0.20, 0.24, 1.0, 1.0, *(None,) * 8, NOW, NOW, True)
    bench.intake.apply(quote, NOW)
    assert state.board.sides(PUT.con_id, NOW) is not None
    for _ in range(5):
        bench.intake.apply(BrokerNotice(354, "not subscribed", PUT.con_id, line_refused=True), NOW)
    assert state.lines.open_lines == ()
    assert state.board.sides(PUT.con_id, NOW) is None
    assert state.lines.plan(want, NOW) == ([], [])
    assert state.lines.plan(want, NOW + ASK_AGAIN_AFTER) == ([PUT.con_id], [])

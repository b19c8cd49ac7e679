"""Any divergence between our books and the broker's is found, named, resolved by policy, and then gone."""

import asyncio
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.events import AccountChanged, Commissioned, Executed, HoldingChanged, LinkState, OrderChanged
from broker.events import OrderState as At
from broker.protocol import Broker, BrokerPicture, ComboLeg
from daemon.account_state import AccountState
from daemon.console import Console
from daemon.intake import Intake
from daemon.metrics import Metrics
from daemon.reconciler import PROVE_EVERY, Reconciler
from daemon.records import Alerts, Records
from options import ConId, Contract, Right, SecType
from sync.line_budget import LineBudget
from sync.quote_board import QuoteBoard
from sync.reconciliation import OF_HOLDINGS, Difference, DifferenceKind
from sync.tables import LAKE_TABLES
from trading.desk import Desk
from trading.intent import Intent, IntentKind, IntentState
from trading.price_walk import Urgency
from trading.rolling import Roller

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
NEAR, FAR = date(2026, 3, 20), date(2026, 4, 17)
AFTER_NEAR = datetime(2026, 3, 20, 20, 30, tzinfo=UTC)
SHARES = Contract(ConId(1), "XYZ", SecType.STOCK)
OPTIONS = [
    Contract(ConId(number), "XYZ", SecType.OPTION, expiry, strike, right, 100)
    for number, (expiry, strike, right) in enumerate(
        (
            (expiry, strike, right)
            for expiry in (NEAR, FAR)
            for strike in (90.0, 95.0, 105.0)
            for right in (Right.PUT, Right.CALL)
        ),
        start=101,
    )
]
CONTRACTS = {contract.con_id: contract for contract in [SHARES, *OPTIONS]}
CALL = next(each for each in OPTIONS if each.right is Right.CALL)
STANDING = {"naked_short", "unknown_order", "missing_fill"}

Held = Mapping[ConId, tuple[int, float]]
"""Signed contracts and USD per contract, by con_id."""


class Teller:
    """A broker that tells what a test says: the protocol's part that a comparison asks for."""

    link, account, lines_used = LinkState.UP, "DU1", 0

    def __init__(self) -> None:
        self.told = BrokerPicture((), (), (), ())
        self.cancelled: list[str] = []

    async def picture(self) -> BrokerPicture:
        return self.told

    async def qualify(self, contracts: Sequence[Contract]) -> list[Contract | None]:
        return list(contracts)

    async def underlying(self, symbol: str) -> Contract:
        return replace(SHARES, symbol=symbol, con_id=SHARES.con_id if symbol == "XYZ" else ConId(2))

    def cancel(self, order_ref: str) -> bool:
        self.cancelled.append(order_ref)
        return True


class Books:
    """The daemon's books and what keeps them in step, without a lake: what is recorded is looked at."""

    def __init__(self) -> None:
        self.broker = Teller()
        broker = cast(Broker, self.broker)
        self.state = AccountState(broker, QuoteBoard(), LineBudget(90), Desk(broker), Roller(broker))
        self.state.link = LinkState.UP
        self.records, metrics, console = Records(LAKE_TABLES), Metrics(), Console(io.StringIO())
        alerts = Alerts(self.records, metrics)
        self.intake = Intake(self.state, self.records, alerts, console, metrics)
        self.reconciler = Reconciler(self.state, self.records, alerts, self.intake, console, 300.0)

    def tell(
        self, held: Held, executions: Sequence[Executed] = (), orders: Sequence[OrderChanged] = ()
    ) -> None:
        holdings = tuple(
            HoldingChanged("DU1", CONTRACTS[con_id], quantity, cost)
            for con_id, (quantity, cost) in held.items()
            if quantity
        )
        self.broker.told = BrokerPicture(holdings, tuple(orders), (), tuple(executions))

    def compare(self, now: datetime = NOW) -> list[Difference]:
        found = asyncio.run(self.reconciler.reconcile(now))
        self.intake.settle(now)
        return found

    def recorded(self) -> dict[str, list[dict[str, Any]]]:
        """The rows since it was last asked, but for full pictures."""
        frames = self.records.take()
        frames.pop("positions", None)
        return {name: frame.to_dicts() for name, frame in frames.items()}

    def quantities(self) -> dict[ConId, int]:
        total: dict[ConId, int] = {}
        for position in self.state.positions.positions:
            for leg in position.legs:
                total[leg.contract.con_id] = total.get(leg.contract.con_id, 0) + leg.quantity
        return {con_id: quantity for con_id, quantity in total.items() if quantity}

    def is_settled(self, held: Held, now: datetime = NOW) -> None:
        """All is resolved: the books are the broker's, a second comparison finds what stands only, a third
        writes nothing at all."""
        assert self.quantities() == {con_id: q for con_id, (q, _) in held.items() if q}
        assert {each.kind.value for each in self.compare(now)} <= STANDING
        self.compare(now)
        self.recorded()
        before = self.state.positions.positions, self.state.executions.fills
        self.compare(now)
        assert self.recorded() == {}
        assert (self.state.positions.positions, self.state.executions.fills) == before


costs = st.integers(10, 400).map(float)
lots = st.integers(-4, 4)


@st.composite
def holdings(draw: st.DrawFn) -> dict[ConId, tuple[int, float]]:
    held = {}
    for con_id in draw(st.lists(st.sampled_from(sorted(CONTRACTS)), unique=True, max_size=8)):
        size = 100 if con_id == SHARES.con_id else 1
        held[con_id] = (draw(lots.filter(bool)) * size, draw(costs))
    return held


@st.composite
def diverged(draw: st.DrawFn, ours: Held) -> dict[ConId, tuple[int, float]]:
    """The same holdings with contracts gone, come, resized, turned over, or at another cost."""
    theirs = dict(ours)
    for con_id in draw(st.lists(st.sampled_from(sorted(CONTRACTS)), unique=True, max_size=6)):
        size = 100 if con_id == SHARES.con_id else 1
        theirs[con_id] = (draw(lots) * size, draw(costs))
    return theirs


@st.composite
def both(draw: st.DrawFn) -> tuple[Held, Held]:
    ours = draw(holdings())
    return ours, draw(diverged(ours))


def adopted(held: Held) -> Books:
    books = Books()
    books.tell(held)
    books.compare()
    books.compare()
    books.recorded()
    return books


def of_holdings(found: Sequence[Difference]) -> dict[str, DifferenceKind]:
    named = {each.subject: each.kind for each in found if each.kind in OF_HOLDINGS}
    assert len(named) == sum(each.kind in OF_HOLDINGS for each in found), "each contract once"
    return named


@settings(max_examples=100, deadline=None)
@given(both())
def test_any_divergence_of_holdings_is_found_and_resolved(case: tuple[Held, Held]) -> None:
    ours, theirs = case
    books = adopted(ours)
    books.tell(theirs)
    named = of_holdings(books.compare())
    expected: dict[str, set[str]] = {}
    for con_id in ours.keys() | theirs.keys():
        (was, old), (now, new) = ours.get(con_id, (0, 0.0)), theirs.get(con_id, (0, 0.0))
        label = CONTRACTS[con_id].label
        if was == now and now and abs(old - new) >= 0.01:
            expected[label] = {"average_cost"}
        elif was != now and not was:
            expected[label] = {"missing_here"}
        elif was != now:
            # Shares that fit make it an assignment; which one cannot be told from holdings alone.
            expected[label] = {"quantity" if now else "missing_there", "assignment"}
    assert named.keys() == expected.keys()
    for label, kinds in expected.items():
        assert named[label].value in kinds
    assert {
        row["subject"] for row in books.recorded().get("reconciliations", []) if row["state"] == "found"
    } >= (expected.keys())
    books.is_settled(theirs)
    legs = [leg for position in books.state.positions.positions for leg in position.legs]
    for con_id, (quantity, cost) in theirs.items():
        mine = [leg for leg in legs if leg.contract.con_id == con_id]
        if quantity and len({leg.quantity > 0 for leg in mine}) == 1:
            mean = sum(leg.quantity * leg.average_cost for leg in mine) / quantity
            assert abs(mean - cost) < 0.01


@settings(max_examples=60, deadline=None)
@given(holdings(), st.data())
def test_any_assignment_is_told_as_one(held: Held, data: st.DataObject) -> None:
    shorts = [con_id for con_id, (quantity, _) in held.items() if quantity < 0 and con_id != SHARES.con_id]
    if not shorts:
        return
    con_id = data.draw(st.sampled_from(shorts))
    contract, count = CONTRACTS[con_id], -held[con_id][0]
    came = count * 100 * (1 if contract.right is Right.PUT else -1)
    before, _ = held.get(SHARES.con_id, (0, 0.0))
    theirs = {k: v for k, v in held.items() if k not in (con_id, SHARES.con_id)}
    theirs[SHARES.con_id] = (before + came, 95.0)
    books = adopted(held)
    books.tell(theirs)
    assert of_holdings(books.compare())[contract.label] is DifferenceKind.ASSIGNMENT
    books.is_settled(theirs)


@settings(max_examples=60, deadline=None)
@given(holdings())
def test_whatever_expires_is_told_as_expired(held: Held) -> None:
    books = adopted(held)
    theirs = {con_id: each for con_id, each in held.items() if CONTRACTS[con_id].expiry != NEAR}
    books.tell(theirs)
    named = of_holdings(books.compare(AFTER_NEAR))
    gone = {CONTRACTS[con_id].label for con_id in held.keys() - theirs.keys()}
    assert named == dict.fromkeys(gone, DifferenceKind.EXPIRY)
    books.is_settled(theirs, AFTER_NEAR)


# --- executions and orders -----------------------------------------------------------------------


@dataclass(frozen=True)
class Trade:
    """An execution as each side knows it: the number of its last correction, None where it knows nothing."""

    ours: int | None
    theirs: int | None
    by_us: bool


trades = st.lists(
    st.builds(
        Trade,
        st.none() | st.integers(1, 3),
        st.none() | st.integers(1, 3),
        st.booleans(),
    ),
    max_size=8,
)


def execution(number: int, part: int, by_us: bool) -> Executed:
    ref = f"opt-{number}" if by_us else "human"
    return Executed(f"{number:04}.{part:02}", ref, number, OPTIONS[0].con_id, False, 1.0, 1.0 + part, NOW)


@settings(max_examples=100, deadline=None)
@given(trades)
def test_any_divergence_of_executions_is_found_and_taken_in_once(case: list[Trade]) -> None:
    books = adopted({})
    for number, trade in enumerate(case):
        if trade.ours is not None:
            books.intake.executed(execution(number, trade.ours, trade.by_us), NOW)
    theirs = [
        execution(number, trade.theirs, trade.by_us)
        for number, trade in enumerate(case)
        if trade.theirs is not None
    ]
    books.tell({}, theirs)
    found = {(each.kind.value, each.subject) for each in books.compare()}
    expected = set()
    for number, trade in enumerate(case):
        if trade.theirs is None:
            if trade.ours is not None:
                expected.add(("missing_fill", f"{number:04}.{trade.ours:02}"))
            continue
        name = f"{number:04}.{trade.theirs:02}"
        if trade.ours is not None and trade.ours < trade.theirs:
            expected.add(("corrected_fill", name))
        elif not trade.by_us:
            expected.add(("unexpected_fill", name))
        elif trade.ours is None:
            expected.add(("missed_fill", name))
    assert found == expected
    books.is_settled({})
    known = {fill.execution.exec_id for fill in books.state.executions.fills}
    newest = (
        (number, max(part for part in (trade.ours, trade.theirs) if part is not None))
        for number, trade in enumerate(case)
        if trade.ours or trade.theirs
    )
    assert known == {f"{number:04}.{part:02}" for number, part in newest}


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(["", "human", "other"]), max_size=3), st.integers(0, 3))
def test_every_order_of_somebody_else_is_found_and_left_alone(refs: set[str], nameless: int) -> None:
    orders = [
        OrderChanged(ref, None, number, At.WORKING, 0, 1, None, 1.0)
        for number, ref in enumerate([*sorted(refs), *[""] * nameless], start=1)
    ]
    books = adopted({})
    books.tell({}, orders=orders)
    found = [each for each in books.compare() if each.kind is DifferenceKind.UNKNOWN_ORDER]
    assert len(found) == len({each.subject for each in found}) == len(orders)
    assert books.broker.cancelled == []
    books.is_settled({})


def test_an_order_that_was_given_up_and_turns_up_is_cancelled() -> None:
    books = adopted({})
    books.reconciler.take_up([], ["opt-lost"], [])
    books.tell({}, orders=[OrderChanged("opt-lost", None, 7, At.WORKING, 0, 1, None, 1.0)])
    (found,) = books.compare()
    assert (found.kind, found.subject) == (DifferenceKind.ORPHANED_ORDER, "opt-lost")
    assert books.broker.cancelled == ["opt-lost"]


# --- cash ----------------------------------------------------------------------------------------


def cash(books: Books, cash_usd: float, minute: float) -> datetime:
    now = NOW + timedelta(minutes=minute)
    books.state.account.apply(AccountChanged("DU1", "TotalCashValue", cash_usd, "USD"), now)
    return now


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 3).filter(bool), st.integers(1, 900)), max_size=5),
    st.integers(-500_000, 500_000),
)
def test_cash_is_compared_to_the_cent(traded: list[tuple[int, int]], cents: int) -> None:
    books = adopted({OPTIONS[0].con_id: (1, 100.0)})
    books.compare(cash(books, 10_000.0, 0))
    total, theirs = 10_000.0, []
    for number, (quantity, price) in enumerate(traded):
        executed = Executed(f"{number}.01", "opt-1", 1, OPTIONS[0].con_id, False, quantity, price / 100, NOW)
        theirs.append(executed)
        books.intake.executed(executed, NOW)
        books.intake.apply(Commissioned(executed.exec_id, 0.65, None), NOW)
        total -= quantity * price + 0.65
    books.tell({OPTIONS[0].con_id: (1, 100.0)}, theirs)
    found = []
    for minute in (5, 10, 15):
        found += books.compare(cash(books, total + cents / 100, minute))
    told = [each for each in found if each.kind is DifferenceKind.ACCOUNT]
    assert len(told) == (1 if abs(cents) > 1 else 0)
    assert all(f"{cents / 100:+,.2f} that no execution explains" in each.theirs for each in told)


# --- naked shorts --------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(both())
def test_what_is_to_be_covered_was_held_covered_and_is_uncovered_in_two_pictures(
    case: tuple[Held, Held],
) -> None:
    ours, theirs = case
    books = adopted(ours)
    books.tell(theirs)
    books.compare()
    assert books.state.to_cover == {}, "one picture proves nothing"
    later = books.compare(NOW + PROVE_EVERY)
    naked = {each.subject for each in later if each.kind is DifferenceKind.NAKED_SHORT}
    shown = {**books.state.left_uncovered, **books.state.to_cover}
    assert {CONTRACTS[con_id].label for con_id in shown} == naked
    for con_id, count in books.state.to_cover.items():
        assert 0 < count <= min(-ours[con_id][0], -theirs[con_id][0])
    books.tell({con_id: each for con_id, each in theirs.items() if each[0] > 0})
    books.compare()
    assert books.state.to_cover == books.state.left_uncovered == {}


# --- two pictures must lie apart -----------------------------------------------------------------


def called_away(options: int) -> Held:
    """A covered call whose shares are gone already; of the call so many are still told."""
    return {CALL.con_id: (options, 100.0)}


def test_what_is_half_reported_for_a_moment_is_not_covered() -> None:
    """Of an assignment the shares are told before the call; pictures come fast, because positions change."""
    books = adopted({SHARES.con_id: (100, 95.0), CALL.con_id: (-1, 100.0)})
    books.tell(called_away(-1))
    for tenth in range(10):
        books.compare(NOW + timedelta(seconds=tenth / 10))
        assert books.state.to_cover == {}
        assert books.state.left_uncovered == {}
    books.tell({})
    books.compare(NOW + timedelta(seconds=1))
    assert books.state.to_cover == {}
    assert not books.reconciler.is_proving


def test_what_is_uncovered_still_after_a_while_is_covered_however_many_pictures_there_were() -> None:
    books = adopted({SHARES.con_id: (100, 95.0), CALL.con_id: (-1, 100.0)})
    books.tell(called_away(-1))
    for tenth in range(20):
        books.compare(NOW + timedelta(seconds=tenth / 10))
    assert books.state.to_cover == {}
    books.compare(NOW + PROVE_EVERY)
    assert books.state.to_cover == {CALL.con_id: 1}


def sent(books: Books) -> Intent:
    """An order of ours that is on its way."""
    intent = Intent(
        intent="opt-1",
        decision="dec-1",
        position="XYZ",
        rule="stop",
        priority=1,
        kind=IntentKind.CLOSE,
        state=IntentState.SENT,
        legs=(ComboLeg(CALL, 1),),
        quantity=1,
        limit_price=1.0,
        urgency=Urgency.NORMAL,
        created=NOW,
        held=(-1,),
    )
    books.state.desk.restore([intent], NOW)
    return intent


def test_an_order_that_two_pictures_of_one_moment_lack_is_not_given_up() -> None:
    """On demand, or because positions change, pictures come faster than an order travels."""
    books = adopted({SHARES.con_id: (100, 95.0), CALL.con_id: (-1, 100.0)})
    intent = sent(books)
    for tenth in range(20):
        books.compare(NOW + timedelta(seconds=tenth / 10))
        assert books.state.desk.open_intents == (intent,)
    books.compare(NOW + PROVE_EVERY)
    assert books.state.desk.open_intents == ()


def test_an_order_that_ended_while_it_was_missed_is_looked_for_no_more() -> None:
    books = adopted({SHARES.con_id: (100, 95.0), CALL.con_id: (-1, 100.0)})
    intent = sent(books)
    books.compare()
    assert books.reconciler.is_proving
    books.intake.apply(OrderChanged(intent.intent, 1, 1, At.CANCELLED, 0, 1, None, 1.0), NOW)
    books.compare(NOW + PROVE_EVERY)
    assert not books.reconciler.is_proving


def test_after_a_restart_no_more_is_covered_than_had_lost_its_cover() -> None:
    """Two calls were sold naked by hand, one more was covered by shares."""
    books = adopted({SHARES.con_id: (100, 95.0), CALL.con_id: (-3, 100.0)})
    books.tell(called_away(-3))
    books.compare()
    (row,) = books.recorded()["reconciliations"][-1:]
    assert (row["kind"], row["ours"], row["theirs"]) == ("naked_short", "1 covered", "3 short, not covered")
    next_one = Books()
    found = Difference(
        DifferenceKind.NAKED_SHORT, *(row[k] for k in ("subject", "ours", "theirs", "resolution"))
    )
    next_one.reconciler.take_up([(found, NOW)], [], [])
    next_one.tell(called_away(-3))
    for second in range(5):
        next_one.compare(NOW + timedelta(minutes=1, seconds=second))
    assert next_one.state.to_cover == {CALL.con_id: 1}
    assert next_one.state.left_uncovered == {CALL.con_id: 2}


def test_a_fill_whose_holdings_nobody_told_is_proved_by_a_picture_before_anything_is_decided_on_them() -> (
    None
):
    """What is held no more must not be closed once more because the broker's word on it was lost."""
    books = adopted({CALL.con_id: (-1, 100.0)})
    intent = sent(books)
    books.state.has_picture = True
    execution = Executed("1.01", intent.intent, 1, CALL.con_id, False, 1.0, 1.0, NOW)
    books.intake.apply(OrderChanged(intent.intent, 1, 1, At.FILLED, 1, 0, 1.0, 1.0), NOW)
    books.intake.executed(execution, NOW)
    books.intake.apply(Commissioned(execution.exec_id, 0.65, None), NOW)
    books.tell({}, [execution])
    for second in range(1, 20):
        asyncio.run(books.reconciler.keep_in_step(NOW + timedelta(seconds=second)))
    assert books.state.desk.open_intents == ()
    assert books.state.positions.positions == ()
    (settled,) = [
        row for row in (each.row() for each in books.state.desk.take_changes()) if row["state"] == "settled"
    ]
    assert settled["reason"] == "filled 1 at 1.0"

"""Positions follow the broker's holdings, whole structures at a time."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.events import HoldingChanged
from broker.protocol import ComboLeg
from options import ConId, Contract, Right, SecType, Structure
from sync.position import PositionEvent
from sync.position import PositionEventKind as Kind
from sync.position_book import PositionBook
from sync.tables import alerts_of, strategies

NOW = datetime(2026, 2, 3, 15, 0, tzinfo=UTC)
MARCH, APRIL = date(2026, 3, 20), date(2026, 4, 17)


def contract(con_id: int, right: str, strike: float, expiry: date = MARCH, symbol: str = "IWM") -> Contract:
    return Contract(ConId(con_id), symbol, SecType.OPTION, expiry, strike, Right(right), 100)


CONDOR = [contract(1, "P", 235), contract(2, "P", 245), contract(3, "C", 282), contract(4, "C", 290)]
SIGNS = (1, -1, -1, 1)
COSTS = (194.0, 336.0, 139.0, 63.0)
SHARES = Contract(ConId(9), "IWM", SecType.STOCK)


def holding(of: Contract, quantity: int, cost: float = 100.0) -> HoldingChanged:
    return HoldingChanged("DU1", of, quantity, cost)


def condor(lots: int) -> list[HoldingChanged]:
    return [holding(c, s * lots, cost) for c, s, cost in zip(CONDOR, SIGNS, COSTS, strict=True)]


def adopted(lots: int = 2) -> PositionBook:
    book = PositionBook()
    book.note_picture(condor(lots))
    book.settle(NOW)
    return book


def total(book: PositionBook) -> Mapping[ConId, int]:
    found: Counter[ConId] = Counter()
    for position in book.positions:
        for leg in position.legs:
            found[leg.contract.con_id] += leg.quantity
    return {con_id: quantity for con_id, quantity in found.items() if quantity}


def test_first_picture_is_adopted_without_alarm() -> None:
    book = PositionBook()
    book.note_picture(condor(2))
    events = book.settle(NOW)
    assert [(e.kind, e.position.structure, e.position.lots) for e in events] == [
        (Kind.ADOPTED, Structure.IRON_CONDOR, 2)
    ]
    assert alerts_of(events) == []
    assert events[0].position.id.startswith("IWM-20260320-iron_condor-")
    assert book.settle(NOW) == []


def test_nothing_is_concluded_before_the_first_full_picture() -> None:
    book = adopted()
    restarted = PositionBook()
    restarted.restore(strategies(_events(book)).with_columns(seq=pl.lit(1)))
    restarted.note(condor(2)[0])
    assert restarted.settle(NOW + timedelta(minutes=1)) == []
    assert len(restarted.positions) == 1


def _events(book: PositionBook) -> list[PositionEvent]:
    return [PositionEvent(Kind.ADOPTED, position) for position in book.positions]


def test_own_reduction_keeps_the_id_and_halves_the_credit() -> None:
    book = adopted()
    before = book.positions[0]
    for event in condor(1):
        book.note(event)
    (event,) = book.settle(NOW, {before.id: Kind.CLOSED}, cash=lambda _: -100.0)
    assert event.kind is Kind.REDUCED
    assert (event.position.id, event.position.lots) == (before.id, 1)
    assert event.position.payoff.net_credit_usd == pytest.approx(before.payoff.net_credit_usd / 2)
    assert event.realized_pnl_usd == pytest.approx(218.0 - 100.0)
    assert not event.unexpected


def test_legs_that_arrive_one_by_one_never_split_the_condor() -> None:
    book = adopted()
    (position,) = book.positions
    busy = [c.con_id for c in CONDOR]
    for event in condor(0)[:3]:
        book.note(event)
        assert book.settle(NOW + timedelta(minutes=1), {position.id: Kind.CLOSED}, busy) == []
        assert book.positions == (position,)
    book.note(condor(0)[3])
    (event,) = book.settle(NOW, {position.id: Kind.ROLLED}, busy)
    assert event.kind is Kind.ROLLED
    assert event.position == position
    assert book.positions == ()


def test_whole_close_realizes_credit_and_cost_over_all_parts() -> None:
    book = adopted()
    (position,) = book.positions
    for lots, cash in ((1, -100.0), (0, -230.0)):
        for event in condor(lots):
            book.note(event)
        (event,) = book.settle(NOW, {position.id: Kind.CLOSED}, cash=lambda _, cash=cash: cash)
    assert event.realized_pnl_usd == pytest.approx(436.0 - 230.0)


def test_lots_that_someone_else_closed_raise_an_alert() -> None:
    book = adopted()
    for event in condor(1):
        book.note(event)
    assert book.settle(NOW) == []
    events = book.settle(NOW + timedelta(seconds=6))
    assert [e.kind for e in events] == [Kind.REDUCED]
    assert len(alerts_of(events)) == 1


def test_leg_that_someone_else_closed_regroups_after_a_while() -> None:
    book = adopted()
    (before,) = book.positions
    book.note(holding(CONDOR[0], 0))
    assert book.settle(NOW) == []
    events = book.settle(NOW + timedelta(seconds=6))
    assert events[0].kind is Kind.CLOSED
    assert {p.structure for p in book.positions} == {Structure.SHORT_PUT, Structure.CALL_CREDIT_SPREAD}
    assert {p.rolled_from for p in book.positions} == {before.id}
    assert total(book) == book.held
    assert all(e.unexpected for e in events)


def test_difference_of_a_contract_with_an_order_at_work_waits() -> None:
    book = adopted()
    book.note(holding(CONDOR[0], 0))
    book.settle(NOW)
    assert book.settle(NOW + timedelta(hours=1), busy=[ConId(1)]) == []
    assert book.settle(NOW + timedelta(hours=1)) != []


def test_our_opening_becomes_the_expected_position_lot_by_lot() -> None:
    book = adopted()
    (old,) = book.positions
    april = [contract(10 + i, c.right or "", c.strike or 0, APRIL) for i, c in enumerate(CONDOR)]
    legs = [ComboLeg(c, sign) for c, sign in zip(april, SIGNS, strict=True)]
    name = book.expect(legs, NOW, rolled_from=old.id)
    assert name == book.expect(legs, NOW, rolled_from=old.id)
    for lots in (1, 2):
        for leg in legs:
            book.note(holding(leg.contract, leg.ratio * lots))
            events = book.settle(NOW + timedelta(minutes=lots))
        assert [(e.kind, e.position.id, e.position.lots) for e in events] == [(Kind.OPENED, name, lots)]
    position = book.get(name)
    assert position is not None
    assert position.entry_time == NOW + timedelta(minutes=1)
    assert position.rolled_from == old.id


def test_broker_commission_in_the_average_cost_is_taken_over() -> None:
    book = adopted()
    book.note(holding(CONDOR[0], 2, 195.0))
    (event,) = book.settle(NOW)
    assert event.kind is Kind.NOTED
    assert event.position.payoff.net_credit_usd == pytest.approx(434.0)


def test_assigned_put_closes_the_position_and_adopts_the_shares() -> None:
    put = contract(2, "P", 245)
    book = PositionBook()
    book.note_picture([holding(put, -2)])
    book.settle(NOW)
    (before,) = book.positions
    book.note(holding(put, 0))
    assert book.settle(NOW) == []
    book.note(holding(SHARES, 200, 245.0))
    book.settle(NOW)
    closed, shares = book.settle(NOW + timedelta(seconds=6))
    assert (closed.kind, closed.reason) == (Kind.CLOSED, "assigned or exercised")
    assert (shares.kind, shares.position.structure) == (Kind.ASSIGNED, Structure.STOCK)
    assert shares.position.rolled_from == before.id


def test_picture_taken_in_the_middle_of_our_fill_does_not_split_the_position() -> None:
    book = adopted()
    (position,) = book.positions
    book.note_picture([*condor(0)[:2], *condor(2)[2:]])
    assert book.settle(NOW, {position.id: Kind.CLOSED}) == []
    book.note_picture([])
    (event,) = book.settle(NOW, {position.id: Kind.CLOSED})
    assert (event.kind, event.unexpected) == (Kind.CLOSED, False)


def test_expired_position_is_closed_as_expired() -> None:
    book = adopted()
    book.note_picture([])
    (event,) = book.settle(datetime(2026, 3, 21, 15, 0, tzinfo=UTC))
    assert (event.kind, event.reason) == (Kind.CLOSED, "expired")


def test_entry_context_is_set_once_and_survives_a_restart() -> None:
    book = adopted()
    rows = [*_events(book)]
    name = book.positions[0].id
    facts = pl.DataFrame({"position": [name], "iv": [0.2], "underlying_price": [None]})
    rows += book.capture_entry(facts, None)
    assert book.capture_entry(facts.with_columns(iv=pl.lit(0.9)), None) == []
    restored = PositionBook()
    restored.restore(strategies(rows).with_row_index("seq"))
    assert restored.positions == book.positions
    assert restored.positions[0].entry_iv == 0.2
    assert restored.positions[0].entry_vix is None


def test_restart_after_a_reduction_knows_the_credit_that_was_released() -> None:
    book = adopted()
    rows = _events(book)
    for event in condor(1):
        book.note(event)
    rows += book.settle(NOW, {book.positions[0].id: Kind.CLOSED})
    restored = PositionBook()
    restored.restore(strategies(rows).with_row_index("seq"))
    assert restored.positions == book.positions
    assert restored.positions[0].released_credit_usd == pytest.approx(218.0)


def test_what_somebody_else_closed_makes_the_realized_money_unknown_also_after_a_restart() -> None:
    book = adopted()
    rows = _events(book)
    for event in condor(1):
        book.note(event)
    rows += book.settle(NOW) + book.settle(NOW + timedelta(seconds=6))
    restored = PositionBook()
    restored.restore(strategies(rows).with_row_index("seq"))
    assert restored.positions == book.positions
    for each in (book, restored):
        each.note_picture([])
        (event,) = each.settle(NOW, {each.positions[0].id: Kind.CLOSED}, cash=lambda _: -20.0)
        assert event.realized_pnl_usd is None


quantities = st.dictionaries(st.sampled_from(range(5)), st.integers(-3, 3), max_size=5)
UNIVERSE = [*CONDOR, SHARES]


@given(st.lists(quantities, min_size=1, max_size=6))
def test_positions_always_add_up_to_the_holdings_and_settling_again_changes_nothing(
    pictures: list[dict[int, int]],
) -> None:
    book, now = PositionBook(), NOW
    rows = []
    for picture in pictures:
        now += timedelta(minutes=1)
        book.note_picture([holding(UNIVERSE[i], q * (100 if i == 4 else 1)) for i, q in picture.items()])
        rows += book.settle(now)
        assert total(book) == book.held
        assert book.settle(now + timedelta(minutes=1)) == []
    assert len({p.id for p in book.positions}) == len(book.positions)
    restored = PositionBook()
    restored.restore(strategies(rows).with_row_index("seq"))
    assert {p.id: p.legs for p in restored.positions} == {p.id: p.legs for p in book.positions}


def test_a_position_that_was_restated_after_its_end_is_not_held_after_a_restart() -> None:
    book = adopted()
    (position,) = book.positions
    ends = [PositionEvent(kind, position, realized_pnl_usd=1.0) for kind in (Kind.CLOSED, Kind.RESTATED)]
    told = strategies([PositionEvent(Kind.ADOPTED, position), *ends])
    again = PositionBook()
    again.restore(told.with_columns(seq=pl.int_range(pl.len())))
    assert again.positions == ()

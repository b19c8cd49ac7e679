"""What the rules' lints take for granted of facts: which are never known, and where their limits lie."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from broker.events import QuoteChanged
from options import ConId, Contract, Leg, Right, SecType, Structure, UsdPerContract, classify
from rules.facts import CATALOGUE, FACTS, NEVER_KNOWN, ZERO_OF_STOCK
from sync.calendar import Announced, Dividend, EventCalendar
from sync.facts import book_facts, facts_frame, position_columns
from sync.position import Position
from sync.quote_board import QuoteBoard
from tests.sync.years import year_of

NOW = datetime(2026, 2, 3, 17, 0, tzinfo=UTC)
EXPIRY = date(2026, 3, 20)


def _option(number: int, right: Right, strike: float) -> Contract:
    return Contract(ConId(number), "IWM", SecType.OPTION, EXPIRY, strike, right, 100)


STOCK = Contract(ConId(1), "IWM", SecType.STOCK)
PUTS = [_option(10 + n, Right.PUT, strike) for n, strike in enumerate((230.0, 235.0, 240.0))]
CALLS = [_option(20 + n, Right.CALL, strike) for n, strike in enumerate((240.0, 245.0, 250.0))]

HELD: dict[Structure, dict[Contract, int]] = {
    Structure.IRON_CONDOR: {PUTS[0]: 1, PUTS[1]: -1, CALLS[1]: -1, CALLS[2]: 1},
    Structure.IRON_BUTTERFLY: {PUTS[0]: 1, PUTS[2]: -1, CALLS[0]: -1, CALLS[2]: 1},
    Structure.PUT_CREDIT_SPREAD: {PUTS[0]: 1, PUTS[1]: -1},
    Structure.PUT_DEBIT_SPREAD: {PUTS[0]: -1, PUTS[1]: 1},
    Structure.CALL_CREDIT_SPREAD: {CALLS[1]: -1, CALLS[2]: 1},
    Structure.CALL_DEBIT_SPREAD: {CALLS[1]: 1, CALLS[2]: -1},
    Structure.SHORT_STRANGLE: {PUTS[0]: -1, CALLS[2]: -1},
    Structure.LONG_STRANGLE: {PUTS[0]: 1, CALLS[2]: 1},
    Structure.SHORT_STRADDLE: {PUTS[2]: -1, CALLS[0]: -1},
    Structure.LONG_STRADDLE: {PUTS[2]: 1, CALLS[0]: 1},
    Structure.COVERED_CALL: {STOCK: 100, CALLS[1]: -1},
    Structure.SHORT_PUT: {PUTS[0]: -1},
    Structure.LONG_PUT: {PUTS[0]: 1},
    Structure.SHORT_CALL: {CALLS[1]: -1},
    Structure.LONG_CALL: {CALLS[1]: 1},
    Structure.STOCK: {STOCK: 100},
}


def _board() -> QuoteBoard:
    board = QuoteBoard(120.0)
    board.watch("IWM", STOCK.con_id)
    contracts = [STOCK, *PUTS, *CALLS]
    for contract in contracts:
        price = 240.0 if contract is STOCK else 3.0
        board.apply(
            QuoteChanged(
                contract.con_id, price, price + 0.5, 1.0, 1.0, price, price, 0.25, 0.5, 0.25, -0.125, 0.5,
                None, NOW, NOW, True
            ),
            NOW,
        )  # fmt: skip
    return board


def _facts(structure: Structure, held: dict[Contract, int]) -> dict[str, Any]:
    legs = tuple(Leg(contract, quantity, UsdPerContract(310.0)) for contract, quantity in held.items())
    assert classify(legs) is structure
    position = Position("P", structure, "IWM", 1, legs, NOW - timedelta(days=2), entry_iv=0.2, entry_vix=18.0)
    frame = facts_frame(position_columns([position]), _board(), {"nlv_usd": 1e5}, 20.0, NOW)
    return frame.row(0, named=True)


@pytest.mark.parametrize("structure", HELD)
def test_what_the_lints_hold_for_never_known_is_null_and_the_rest_is_not(structure: Structure) -> None:
    facts = _facts(structure, HELD[structure])
    null = {name for name in NEVER_KNOWN if facts[name] is None}
    if structure is Structure.STOCK:  # sold short it has another limit
        null &= {name for name, value in _facts(structure, {STOCK: -100}).items() if value is None}
    assert null == {name for name, structures in NEVER_KNOWN.items() if structure in structures}
    if structure is Structure.STOCK:
        assert {facts[name] for name in ZERO_OF_STOCK} == {0.0}
    for name, value in facts.items():
        fact = FACTS.get(name)
        if fact is None or isinstance(value, str) or value is None:
            continue
        assert fact.low is None or value >= fact.low, name
        assert fact.high is None or value <= fact.high, name


def test_every_fact_of_the_catalogue_is_delivered() -> None:
    legs = (Leg(PUTS[0], -1, UsdPerContract(310.0)),)
    account = {"nlv_usd": 1e5, "maintenance_margin_usd": 2e4}
    position = Position(
        "P", Structure.SHORT_PUT, "IWM", 1, legs, NOW, entry_iv=0.2, entry_vix=18.0, strategy="puts"
    )
    columns, almanac = position_columns([position]), year_of(("IWM",), NOW)
    events = Announced((EXPIRY,), (Dividend(EXPIRY, None),))
    almanac.calendar = EventCalendar(NOW.date(), {"IWM": events})
    page = almanac.page(columns.underlyings, NOW)
    frame = facts_frame(columns, _board(), account, 20.0, NOW, page)
    delivered = frame.row(0, named=True) | book_facts(frame, account, 20.0, page)
    unknown = {fact.name for fact in CATALOGUE if delivered.get(fact.name) is None}
    # The price of an hour ago is not known yet, the highest profit is folded by the rules.
    assert unknown == {"underlying_change_1h", "peak_profit"}

"""Each execution counts once, however it is reported."""

from datetime import UTC, datetime
from itertools import permutations

import polars as pl
import pytest

from broker.events import Commissioned, Executed
from options import ConId
from sync.executions import ExecutionLedger
from sync.tables import fills

NOW = datetime(2026, 2, 3, 15, 0, tzinfo=UTC)


def executed(exec_id: str, quantity: float = 1.0, price: float = 2.0, is_combo: bool = False) -> Executed:
    return Executed(exec_id, "opt-1", 7, ConId(1), is_combo, quantity, price, NOW)


FIRST, CORRECTED = executed("0001.01.01"), executed("0001.01.02", price=1.5)
PAID, UNKNOWN = Commissioned("0001.01.02", 0.65, 12.0), Commissioned("0001.01.02", None, None)


def ingest(ledger: ExecutionLedger, event: Executed | Commissioned) -> object:
    return ledger.execute(event) if isinstance(event, Executed) else ledger.commission(event)


@pytest.mark.parametrize("order", list(permutations([FIRST, CORRECTED, PAID, FIRST, UNKNOWN])))
def test_any_order_of_reports_gives_the_same_fill(order: tuple[Executed | Commissioned, ...]) -> None:
    ledger = ExecutionLedger()
    for event in order:
        ingest(ledger, event)
    (fill,) = ledger.fills
    assert fill.execution == CORRECTED
    assert (fill.commission_usd, fill.realized_pnl_usd) == (0.65, 12.0)
    assert all(ingest(ledger, event) is None for event in order)


def test_restored_ledger_says_nothing_new_about_what_it_knows() -> None:
    ledger = ExecutionLedger()
    rows = [fill for event in (FIRST, CORRECTED, PAID) if (fill := ingest(ledger, event))]
    restored = ExecutionLedger()
    restored.restore(fills(rows).with_row_index("seq"))
    assert restored.fills == ledger.fills
    assert restored.knows(FIRST)
    assert restored.execute(CORRECTED) is None


def test_summary_line_of_a_combo_moves_neither_contracts_nor_cash() -> None:
    ledger = ExecutionLedger()
    ledger.execute(executed("0001.01.01", 2.0))
    ledger.execute(executed("0002.01.01", 2.0, 9.0, is_combo=True))
    assert ledger.executed() == {"opt-1": {1: 2}}
    ledger.commission(Commissioned("0001.01.01", 1.0, None))
    assert ledger.cash_usd(["opt-1"], {ConId(1): 100}) == -401.0


def test_cash_is_unknown_without_fills_without_a_multiplier_and_without_a_commission() -> None:
    ledger = ExecutionLedger()
    assert ledger.cash_usd(["opt-1"], {}) is None
    ledger.execute(FIRST)
    assert ledger.cash_usd(["opt-1"], {}) is None
    assert ledger.cash_usd(["opt-1"], {ConId(1): 100}) is None
    ledger.commission(Commissioned("0001.01.01", 0.65, None))
    assert ledger.cash_usd(["opt-1"], {ConId(1): 100}) == pytest.approx(-200.65)


def test_fills_have_the_columns_of_the_lake() -> None:
    assert fills([]).schema["exec_time"] == pl.Datetime("us", "UTC")

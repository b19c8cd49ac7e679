"""Cash that moved without an execution is told once, to the cent."""

from datetime import UTC, datetime, timedelta

from broker.events import Commissioned, Executed
from options import ConId
from sync.cash_check import CashCheck
from sync.executions import ExecutionLedger
from sync.reconciliation import Difference, DifferenceKind

T = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
MULTIPLIERS = {ConId(1): 100}


class Account:
    """An account whose cash a test moves."""

    def __init__(self) -> None:
        self.check, self.ledger = CashCheck(), ExecutionLedger()

    def look(self, second: float, cash_usd: float | None) -> Difference | None:
        return self.check.look(cash_usd, self.ledger.fills, MULTIPLIERS, T + timedelta(seconds=second))

    def trade(self, exec_id: str, quantity: int, price: float, commission: float | None = 0.65) -> None:
        self.ledger.execute(Executed(exec_id, "opt-1", 7, ConId(1), False, quantity, price, T))
        self.ledger.commission(Commissioned(exec_id, commission, None))


def test_cash_that_executions_explain_is_no_difference() -> None:
    account = Account()
    assert account.look(0, 10_000.0) is None
    account.trade("1.01", -2, 1.20)
    assert account.look(300, 10_239.35) is None
    account.trade("1.02", -2, 1.21)
    assert account.look(600, 10_241.35) is None, "a correction replaces the first report"
    assert account.look(1200, 10_241.35) is None


def test_cash_that_lags_behind_an_execution_is_waited_for() -> None:
    account = Account()
    account.look(0, 10_000.0)
    account.trade("1.01", -2, 1.20)
    assert account.look(10, 10_000.0) is None
    assert account.look(200, 10_239.35) is None
    assert account.look(500, 10_239.35) is None


def test_what_nothing_explains_is_told_once_it_has_lasted_and_never_again() -> None:
    account = Account()
    account.look(0, 10_000.0)
    assert account.look(300, 9_958.75) is None
    told = account.look(600, 9_958.75)
    assert told is not None
    assert (told.kind, told.subject) == (DifferenceKind.ACCOUNT, "cash")
    assert (told.ours, told.theirs) == ("10,000.00 USD", "9,958.75 USD: -41.25 that no execution explains")
    assert account.look(900, 9_958.75) is None


def test_a_gap_that_changes_has_not_lasted() -> None:
    account = Account()
    account.look(0, 10_000.0)
    assert account.look(300, 9_990.0) is None
    assert account.look(600, 9_980.0) is None
    assert account.look(900, 9_980.0) is not None


def test_nothing_is_said_while_anything_is_unknown() -> None:
    account = Account()
    account.look(0, 10_000.0)
    account.trade("1.01", -2, 1.20, commission=None)
    assert account.look(300, 1.0) is None
    assert account.look(900, None) is None
    account.ledger.commission(Commissioned("1.01", 0.65, None))
    assert account.look(1200, 10_239.35) is None

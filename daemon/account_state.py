"""Everything the daemon believes about one account, in one place."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from broker.events import LinkState
from broker.protocol import Broker, ComboLeg
from daemon.pressure import Pressure
from daemon.rule_memory import RuleMemory
from daemon.tripwires import Closing
from options import ConId, Contract, Leg, UsdPerContract
from rules import RuleState, initial_state
from sync.account import AccountBoard
from sync.almanac import Almanac
from sync.cash_check import CashCheck
from sync.confirmation import Confirmations
from sync.executions import ExecutionLedger
from sync.line_budget import LineBudget
from sync.marks import MODEL, Marks, ModelTerms
from sync.position_book import PositionBook
from sync.position_queue import PositionQueue
from sync.queue_worker import QueueWorker
from sync.quote_board import QuoteBoard
from sync.strategy_registry import StrategyRegistry
from trading.breaker import Breaker
from trading.combo import ComboQuote, combo_quote
from trading.desk import Desk
from trading.rolling import Roller


@dataclass(slots=True)
class AccountState:
    """`has_picture`: the broker's full picture was compared since the link came up; without it nothing is
    decided. `qualified` contracts have the broker's full terms, the others what a report said of them.
    `closing_orders` are the order refs that closed lots of a position. `rule_memory` knows
    what of `rule_state` is on record. `breaker` is the book's, `pressure` what the disk asks for. `closings`
    and `rejections` (times) are the recent ones, `unresolved` what the last comparison with the broker found
    that policy does not resolve. `to_cover` are contracts sold that have lost their cover, proved by two
    pictures, `left_uncovered` those that somebody sold naked. `marks` are those of `positions`, by the board
    and the `model`."""

    broker: Broker
    board: QuoteBoard
    lines: LineBudget
    desk: Desk
    roller: Roller
    positions: PositionBook = field(default_factory=PositionBook)
    executions: ExecutionLedger = field(default_factory=ExecutionLedger)
    account: AccountBoard = field(default_factory=AccountBoard)
    almanac: Almanac = field(default_factory=Almanac)
    rule_state: RuleState = field(default_factory=initial_state)
    rule_memory: RuleMemory = field(default_factory=lambda: RuleMemory(initial_state()))
    breaker: Breaker = field(default_factory=Breaker)
    pressure: Pressure = field(default_factory=Pressure)
    registry: StrategyRegistry = field(default_factory=StrategyRegistry)
    queue: PositionQueue = field(default_factory=PositionQueue)
    worker: QueueWorker = field(init=False)
    confirmations: Confirmations = field(default_factory=Confirmations)
    contracts: dict[ConId, Contract] = field(default_factory=dict)
    qualified: set[ConId] = field(default_factory=set)
    closing_orders: dict[str, set[str]] = field(default_factory=dict)
    link: LinkState = LinkState.DOWN
    link_since: datetime | None = None
    has_picture: bool = False
    day_start_nlv_usd: float | None = None
    closings: deque[Closing] = field(default_factory=lambda: deque(maxlen=1000))
    rejections: deque[datetime] = field(default_factory=lambda: deque(maxlen=1000))
    unresolved: tuple[str, ...] = ()
    cash_check: CashCheck = field(default_factory=CashCheck)
    to_cover: dict[ConId, int] = field(default_factory=dict)
    left_uncovered: dict[ConId, int] = field(default_factory=dict)
    model: ModelTerms = MODEL
    marks: Marks = field(init=False)

    def __post_init__(self) -> None:
        self.marks = Marks(self.board, self.model)
        self.worker = QueueWorker(self.queue)

    def combo_quote(self, legs: "tuple[ComboLeg, ...] | list[ComboLeg]", now: datetime) -> ComboQuote | None:
        """The live market of a combo; None when any leg is not live, or has jumped and not stood yet."""

        def sides(con_id: ConId) -> tuple[float, float] | None:
            return None if self.marks.is_doubted(con_id) else self.board.sides(con_id, now)

        return combo_quote(legs, sides)

    def holding_legs(self) -> tuple[Leg, ...]:
        """What the broker says is held, as legs."""
        return tuple(
            Leg(event.contract, event.quantity, UsdPerContract(event.average_cost))
            for event in self.positions.holdings
        )

    def cash_usd(self, position: str) -> float | None:
        """What closing fills of a position brought so far; None when unknown."""
        refs = self.closing_orders.get(position, set())
        multipliers = {con_id: contract.multiplier for con_id, contract in self.contracts.items()}
        return self.executions.cash_usd(refs, multipliers)

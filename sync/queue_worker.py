"""Who visits the waiting contracts: gives each a line for a moment, and takes it away once it has answered.

Pure: lines are opened and closed by the caller, who hands in every quote and the time.
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.events import QuoteChanged
from options import ConId
from options.hours import is_open, next_opening
from sync.position_queue import URGENT_WEIGHT, PositionQueue
from sync.quote_board import is_two_sided
from sync.quote_flags import JUMP_S

ROUND_S = 5.0
PATIENCE_S = 3.0
DOUBTED_FOR = timedelta(seconds=JUMP_S + 1.0)
"""When a price that is far from what was known is looked at again: where it stands still, it is a price."""
VISITS_PER_S = 10.0
"""A visit costs two messages, and the broker takes about 40 in a second: half of them are left for others."""


@dataclass(slots=True)
class _Visit:
    """`quote`: what was heard on the line since it was opened; `said`: what the broker said instead.
    `is_whole`: nothing was missing when last looked at."""

    since: datetime
    quote: QuoteChanged | None = None
    said: str = ""
    is_whole: bool = False


class QueueWorker:
    """Every `ROUND_S` it looks whose turn it is; in between it begins a visit as soon as a line is free.

    A visit ends with a two-sided quote and the model's Greeks, or after `PATIENCE_S` with what came.
    """

    def __init__(self, queue: PositionQueue) -> None:
        self._queue = queue
        self._visits: dict[ConId, _Visit] = {}
        self._turns: deque[ConId] = deque()
        self._round: datetime | None = None
        self._allowance = 0.0
        self._counted: datetime | None = None
        self._seen: set[ConId] = set()

    @property
    def visiting(self) -> tuple[ConId, ...]:
        """The contracts that need a line now."""
        return tuple(self._visits)

    def heard(self, quote: QuoteChanged) -> None:
        """A quote of any contract; what it holds arrived since its line was opened."""
        visit = self._visits.get(quote.con_id)
        if visit is not None:
            visit.quote = quote

    def told(self, con_id: ConId, text: str) -> None:
        """The broker's words about the line of a contract: the reason if nothing else comes."""
        if con_id in self._visits:
            self._visits[con_id].said = text

    # --- once per round --------------------------------------------------------------------------

    def is_round_due(self, now: datetime) -> bool:
        return self._round is None or now - self._round >= timedelta(seconds=ROUND_S)

    def round(
        self, waiting: Mapping[ConId, bool], lines: int, can_answer: Callable[[ConId], bool], now: datetime
    ) -> None:
        """Bring the queue in step with the contracts that `waiting` names (True: urgent), and look whose
        turn it is until the next round. `lines`: how many it may have at once. `can_answer`: whether the
        contract's underlying is quoted; while it is not, silence is not the contract's fault."""
        self._round = now
        self._queue.renew(waiting, now)
        for con_id in [con_id for con_id in self._visits if con_id not in self._queue]:
            del self._visits[con_id]
        most = lines + int(VISITS_PER_S * ROUND_S)
        turns = self._queue.turns(most + len(self._visits), can_answer, now)
        self._turns = deque(con_id for con_id in turns if con_id not in self._visits)

    # --- once per beat ---------------------------------------------------------------------------

    def finish(
        self,
        can_answer: Callable[[ConId], bool],
        now: datetime,
        is_doubted: Callable[[ConId], bool] = lambda _: False,
    ) -> None:
        """End the visits that are over; `can_answer` as in `round`. Where `is_doubted` the quote must be seen
        once more before it is believed, so the next visit comes soon.

        A whole answer keeps its line until the beat after it: whoever looks at live quotes has seen it then.
        """
        for con_id, visit in list(self._visits.items()):
            missing = _missing(visit.quote)
            was_whole, visit.is_whole = visit.is_whole, not missing
            if not was_whole and now - visit.since < timedelta(seconds=PATIENCE_S):
                continue
            del self._visits[con_id]
            if visit.quote is not None:
                is_price = is_two_sided(visit.quote)
                again = now + DOUBTED_FOR if is_price and is_doubted(con_id) else None
                self._queue.visited(con_id, missing, now, again)
                self._seen.add(con_id)
            elif visit.said or can_answer(con_id):
                self._queue.failed(con_id, visit.said or f"no answer within {PATIENCE_S:g} s", now)
            else:
                self._queue.postponed(con_id, "its underlying is not quoted", now)

    def start(self, lines: int, now: datetime) -> None:
        """Begin visits while lines are free and the exchange is open: outside of its hours nobody quotes."""
        since, self._counted = self._counted or now, now
        earned = VISITS_PER_S * (now - since).total_seconds()
        self._allowance = min(self._allowance + earned, float(lines))
        while self._turns and len(self._visits) < lines and self._allowance >= 1.0 and is_open(now):
            con_id = self._turns.popleft()
            if con_id in self._queue:
                self._visits[con_id] = _Visit(now)
                self._allowance -= 1.0

    def keep(self, open_lines: Collection[ConId]) -> None:
        """Put back, without blame, those that got no line."""
        for con_id in [con_id for con_id in self._visits if con_id not in open_lines]:
            del self._visits[con_id]
            self._turns.appendleft(con_id)

    def forget(self) -> None:
        """The link is gone and every line with it."""
        self._visits.clear()

    def take_seen(self) -> set[ConId]:
        """The contracts that answered since the last call."""
        seen, self._seen = self._seen, set()
        return seen

    # --- how it goes -----------------------------------------------------------------------------

    def next_due(self, now: datetime) -> datetime | None:
        """When it wants to be asked again; None while nobody waits."""
        if self._visits:
            return now
        if self._round is None or not len(self._queue):
            return None
        if not is_open(now):
            return next_opening(now)
        return now if self._turns else self._round + timedelta(seconds=ROUND_S)


def turn_s(urgent: int, rest: int, lines: int, visit_s: float = PATIENCE_S) -> float | None:
    """Within how many seconds each of so many contracts is visited; None without a line. `visit_s`: how long
    a visit takes, at the longest `PATIENCE_S` and a beat.

    Per contract of the rest one visit, per urgent one `URGENT_WEIGHT`, and a visit every
    max(visit_s / lines, 1 / VISITS_PER_S) seconds; a round more, since turns are looked at once per round.
    Urgent ones are visited within a quarter of that and a round.
    """
    if not lines:
        return None
    return ROUND_S + (rest + URGENT_WEIGHT * urgent) * max(visit_s / lines, 1.0 / VISITS_PER_S)


def _missing(quote: QuoteChanged | None) -> str:
    """What an answer lacks, in words; empty when it is whole."""
    if quote is None:
        return "no answer"
    if not quote.is_live:
        return "delayed or frozen data"
    if not is_two_sided(quote):
        sides = [side for side, price in (("bid", quote.bid), ("ask", quote.ask)) if price is None]
        return f"no {' and no '.join(sides)}" if sides else "crossed or locked"
    return "" if quote.iv is not None and quote.delta is not None else "no Greeks"

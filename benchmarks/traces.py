"""What it costs to notice, on every beat, of which rules something else has become: near misses included.

`python -m benchmarks.traces`. The market moves, so that some outcomes change on every beat. Measured is the
time of the processors, of which the beat's steps may use several.
"""

import random
import time
from datetime import datetime, timedelta

import rules
from benchmarks.facts import ACCOUNT, CONTRACTS, NOW, iron_condors, market
from benchmarks.figure import Figure
from broker.events import QuoteChanged
from daemon.traces import Traces
from options import ConId
from sync.facts import book_facts, display_facts, facts_frame
from sync.quote_board import QuoteBoard
from trading.decision import Moment
from trading.verdict import CONTRIBUTORS, verdicts_of

POSITIONS = 5_000
BEATS = 80
QUOTES_A_BEAT = 400
LIMIT = 0.05


def main() -> None:
    """Print the share of a beat's facts, step and verdicts, and how many traces there were."""
    book, board = rules.load(rules.default_rules_path()), market()
    columns, chance = iron_condors(POSITIONS), random.Random(3)
    prices = [chance.uniform(0.5, 9.0) for _ in range(CONTRACTS)]
    traces, state, told = Traces(50), rules.initial_state(), 0
    beat_s, traced_s = 0.0, 0.0
    for beat in range(BEATS):
        now = NOW + beat * timedelta(milliseconds=250)
        for _ in range(QUOTES_A_BEAT):
            _move(board, prices, chance, now)
        begun = time.process_time()
        facts = facts_frame(columns, board, ACCOUNT, 20.0, now)
        display_facts(columns, board, now)
        moment = Moment(now, book, state, facts, book_facts(facts, ACCOUNT, 20.0))
        state, decided, stepped = moment.step_looked_at()
        stepped_at = time.process_time()
        traces.look(moment, stepped)
        traced_at = time.process_time()
        verdicts_of(decided.iter_rows(named=True), facts.select(CONTRIBUTORS.names()))
        beat_s += stepped_at - begun + time.process_time() - traced_at
        traced_s += traced_at - stepped_at
        if beat % 20 == 19:
            told += traces.take().height
    print(f"{POSITIONS:,} positions, {len(book.rules)} rules: {told} traces in {BEATS} beats")
    in_a_beat = [1e3 * seconds / BEATS for seconds in (traced_s, beat_s)]
    print(Figure("noticing changed outcomes / facts, step and verdicts", *in_a_beat, LIMIT))


def _move(board: QuoteBoard, prices: list[float], chance: random.Random, now: datetime) -> None:
    """One contract's quote goes up or down by up to 3 %, its Greeks anywhere."""
    number = chance.randrange(CONTRACTS)
    bid = prices[number] = prices[number] * chance.uniform(0.97, 1.03)
    iv, delta = chance.uniform(0.1, 0.6), chance.uniform(-1.0, 1.0)
    quote = QuoteChanged(
        ConId(number), bid, bid + 0.1, 1.0, 1.0, bid, bid, iv, delta, 0.01, -0.05, 0.2, 100.0, now, now, True
    )
    board.apply(quote, now)


if __name__ == "__main__":
    main()

"""5,000 contracts on 50 underlyings marked anew, with Greeks: when everything moved, and when little did.

`python -m benchmarks.marks`. The contracts were visited once; the limit is that of a beat's marks.
"""

import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np

from broker.events import QuoteChanged
from options import ConId, Contract, Right, SecType
from options.american import american
from options.hours import closing
from sync.marks import Marks
from sync.quote_board import QuoteBoard

NOW = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)
EXPIRIES = (date(2026, 1, 16), date(2026, 2, 20))
UNDERLYINGS, CONTRACTS = 50, 5_000
VISITED_AT_ONCE = 8
LIMIT_MS = 10.0
ROUNDS = 200


def share(number: int) -> Contract:
    return Contract(ConId(1 + number), f"U{number}", SecType.STOCK)


def option(number: int) -> Contract:
    """A hundred on each underlying, on both sides of 100 USD."""
    place, at = number % UNDERLYINGS, number // UNDERLYINGS
    strike, right = 88.0 + at // 4, (Right.CALL, Right.PUT)[at % 2]
    return Contract(
        ConId(10_000 + number), f"U{place}", SecType.OPTION, EXPIRIES[at // 2 % 2], strike, right, 100
    )


def quote(con_id: int, price: float, width: float, now: datetime) -> QuoteChanged:
    nothing = (None,) * 8
    return QuoteChanged(ConId(con_id), price, price + width, 1.0, 1.0, *nothing, now, now, True)


def say_shares(board: QuoteBoard, prices: Sequence[float], now: datetime) -> None:
    for number, price in enumerate(prices):
        board.apply(quote(1 + number, price - 0.01, 0.02, now), now)


def visit(board: QuoteBoard, contracts: Sequence[Contract], now: datetime) -> None:
    """Quotes at 25 % volatility with the underlying at 100 USD."""
    ends = [closing(contract.expiry) for contract in contracts if contract.expiry]
    years = [(end - now).total_seconds() / 86_400 / 365 for end in ends]
    strikes = [contract.strike or 0.0 for contract in contracts]
    is_call = [contract.right is Right.CALL for contract in contracts]
    prices = american(100.0, np.array(strikes), np.array(years), 0.25, np.array(is_call), 0.04).price
    for contract, price in zip(contracts, prices.tolist(), strict=True):
        board.apply(quote(contract.con_id, max(price - 0.02, 0.01), 0.04, now), now)


def visited_account() -> tuple[QuoteBoard, Marks, list[Contract]]:
    """Every contract was visited once, and no line of an option is open any more."""
    board = QuoteBoard(3600.0)
    contracts = [option(number) for number in range(CONTRACTS)]
    for number in range(UNDERLYINGS):
        board.watch(f"U{number}", share(number).con_id)
    marks = Marks(board)
    marks.know(contracts)
    say_shares(board, [100.0] * UNDERLYINGS, NOW)
    visit(board, contracts, NOW)
    marks.remark(NOW)
    board.release([contract.con_id for contract in contracts])
    return board, marks, contracts


def measured(rounds: int, prepare: Callable[[datetime], None], marks: Marks, ids: list[ConId]) -> list[float]:
    """Milliseconds of processor time of `figures` on each round, sorted; `prepare` tells what is new."""
    times, now = [], NOW
    for _ in range(rounds):
        now += timedelta(seconds=0.25)
        prepare(now)
        begun = time.thread_time()
        marks.figures(ids, now)
        times.append(1e3 * (time.thread_time() - begun))
    return sorted(times)


def main() -> None:
    """Print the median and the 99th percentile of each case with the limit."""
    board, marks, contracts = visited_account()
    ids, chance = [contract.con_id for contract in contracts], random.Random(7)

    def all_move(now: datetime) -> None:
        say_shares(board, [chance.uniform(97.0, 103.0) for _ in range(UNDERLYINGS)], now)

    def one_moves(now: datetime) -> None:
        board.apply(quote(1, chance.uniform(97.0, 103.0), 0.02, now), now)

    def all_move_and_some_are_visited(now: datetime) -> None:
        all_move(now)
        # On a beat two or three are visited, and of those with a line some are due.
        visited = chance.sample(contracts, VISITED_AT_ONCE)
        visit(board, visited, now)
        board.release(ids)
        visit(board, visited, now)

    for name, prepare in (
        ("one underlying moved", one_moves),
        ("all underlyings moved", all_move),
        (f"all moved, {VISITED_AT_ONCE} contracts visited", all_move_and_some_are_visited),
    ):
        times = measured(ROUNDS, prepare, marks, ids)
        median, late = times[len(times) // 2], times[int(0.99 * len(times))]
        verdict = "ok" if median <= LIMIT_MS else "OVER"
        print(
            f"marks of {CONTRACTS:,}, {name}: {median:.2f} ms, p99 {late:.2f} (limit {LIMIT_MS:g}) {verdict}"
        )


if __name__ == "__main__":
    main()

"""One beat's facts against their promises: ratios of one run, so that the machine does not matter."""

import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import numpy as np

import rules
from broker.events import DailyKind, DailyValues, QuoteChanged
from options import ConId, Contract, Leg, Right, SecType, Structure, UsdPerContract
from rules.facts import CATALOGUE
from sync.almanac import Almanac
from sync.calendar import Announced, Dividend, EventCalendar
from sync.facts import PositionColumns, book_facts, display_facts, facts_frame, position_columns
from sync.position import Position
from sync.quote_board import QuoteBoard

NOW = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)
EXPIRY = date(2026, 2, 20)
ACCOUNT = {"nlv_usd": 1e6, "maintenance_margin_usd": 3e5}
SHAPE = ((-2, Right.PUT, 1), (-1, Right.PUT, -1), (1, Right.CALL, -1), (2, Right.CALL, 1))
"""An iron condor's legs: strike in steps of five from the middle, right, contracts per lot."""
UNDERLYINGS = 50
CONTRACTS = 5_000
QUOTED_EVERY = timedelta(milliseconds=20)


def market() -> QuoteBoard:
    """A board on which every contract was quoted once, the oldest 2 % too long ago."""
    chance, board = random.Random(7), QuoteBoard(0.98 * CONTRACTS * QUOTED_EVERY.total_seconds())
    for number in range(CONTRACTS):
        at = NOW - number * QUOTED_EVERY
        bid = chance.uniform(0.5, 9.0)
        board.apply(
            QuoteChanged(
                ConId(number), bid, bid + 0.1, 1.0, 1.0, bid, bid, chance.uniform(0.1, 0.6),
                chance.uniform(-1.0, 1.0), 0.01, -0.05, 0.2, 100.0, at, at, True
            ),
            at,
        )  # fmt: skip
    for number in range(UNDERLYINGS):
        board.watch(f"U{number}", ConId(number))
    board.watch("VIX", ConId(UNDERLYINGS))
    return board


def iron_condors(count: int) -> PositionColumns:
    """Positions of four legs each, contracts shared by some of them."""
    chance = random.Random(11)

    def condor(number: int) -> Position:
        symbol, first = f"U{number % UNDERLYINGS}", chance.randrange(UNDERLYINGS + 1, CONTRACTS - 4)
        legs = tuple(
            Leg(
                Contract(ConId(first + at), symbol, SecType.OPTION, EXPIRY, 100.0 + 5.0 * steps, right, 100),
                quantity,
                UsdPerContract(chance.uniform(50.0, 900.0)),
            )
            for at, (steps, right, quantity) in enumerate(SHAPE)
        )
        return Position(
            f"P{number}", Structure.IRON_CONDOR, symbol, 1, legs, NOW - timedelta(days=9), None, 0.25, 17.0
        )

    return position_columns(condor(number) for number in range(count))


def year_known() -> Almanac:
    """What is known by the day of every underlying: a year of days, a calendar."""
    chance, almanac = np.random.default_rng(13), Almanac()
    days = [NOW.date() - timedelta(days=n) for n in range(250, -1, -1)]
    for number in range(UNDERLYINGS):
        closes = 100.0 * np.exp(np.cumsum(0.01 * chance.normal(size=len(days))))
        vols = 0.3 + 0.001 * np.cumsum(chance.normal(size=len(days)))
        for kind, values in zip(DailyKind, (closes, vols), strict=True):
            told = DailyValues(ConId(number), kind, tuple(zip(days, values.tolist(), strict=True)))
            almanac.answer(f"U{number}", told, NOW)
    announced = Announced((EXPIRY,), (Dividend(EXPIRY, 0.5),))
    almanac.calendar = EventCalendar(NOW.date(), {f"U{n}": announced for n in range(UNDERLYINGS)})
    return almanac


def median_ms(rounds: int, *works: Callable[[], object]) -> list[float]:
    """Milliseconds of each, taken in turns: what disturbs the machine disturbs them alike."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, times in zip(works, taken, strict=True):
            begun = time.perf_counter()
            work()
            times.append(1e3 * (time.perf_counter() - begun))
    return [statistics.median(times) for times in taken]


def year_page(almanac: Almanac, columns: PositionColumns) -> object:
    """The page as it is made when something new is known."""
    almanac.history.revision += 1
    return almanac.page(columns.underlyings, NOW)


def main() -> None:
    """Print what one look and one step cost, and every ratio with its limit."""
    board, book = market(), rules.load(rules.default_rules_path())
    few, many = iron_condors(3), iron_condors(1_000)
    vix, almanac, of_few = board.underlying_price("VIX", NOW), year_known(), year_known()

    def look(columns: PositionColumns) -> object:
        page = (of_few if columns is few else almanac).page(columns.underlyings, NOW)
        facts = facts_frame(columns, board, ACCOUNT, vix, NOW, page)
        shown = display_facts(columns, board, NOW, page, 0.0)
        return facts, shown, book_facts(facts, ACCOUNT, vix, page)

    def step(columns: PositionColumns) -> Callable[[], object]:
        facts = facts_frame(columns, board, ACCOUNT, vix, NOW)
        state, _ = rules.step(book, rules.initial_state(), facts, seen, NOW)
        return lambda: rules.step(book, state, facts, seen, NOW)

    seen = book_facts(facts_frame(few, board, ACCOUNT, vix, NOW), ACCOUNT, vix)
    look(many)
    new_page = median_ms(20, lambda: year_page(almanac, many))[0]
    look_few, look_many, step_few, step_many = median_ms(
        60, lambda: look(few), lambda: look(many), step(few), step(many)
    )
    print(f"look, {len(CATALOGUE)} facts:    3 positions {look_few:6.2f} ms, 1,000 {look_many:6.2f} ms")
    print(f"page of the almanac, made anew when something new is known: {new_page:.2f} ms")
    print(f"look at 1,000 positions: {look_many:.2f} ms (limit 6) {'ok' if look_many <= 6 else 'OVER'}")
    print(f"step, {len(book.rules)} rules:    3 positions {step_few:6.2f} ms, 1,000 {step_many:6.2f} ms")
    for name, ratio, limit in (
        ("look at 1,000 positions against 3", look_many / look_few, 5.0),
        ("look against step, 3 positions", look_few / step_few, 1.0),
        ("look against step, 1,000 positions", look_many / step_many, 2.0),
    ):
        print(f"{name}: {ratio:.2f} (limit {limit:g}) {'ok' if ratio <= limit else 'OVER'}")


if __name__ == "__main__":
    main()

"""Contracts of a market that are visited in turns, as the queue does it, and the errors of their marks."""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta

import numpy as np

from broker.events import QuoteChanged
from broker.gateway.markets.model.market import ModelMarket
from broker.gateway.markets.quotes import Quote
from options import ConId, Contract, SecType
from options.hours import next_trading_day, opening, trading_day
from sync.calendar import Dividend
from sync.carry import Dividends
from sync.mark_errors import ErrorFigures
from sync.marks import Marks
from sync.quote_board import QuoteBoard

TURN_S = 500.0
"""5,000 contracts at ten visits a second."""
STEP = timedelta(seconds=10)
NEAR_DAYS = 60


def changed(con_id: int, quote: Quote, now: datetime) -> QuoteChanged:
    return QuoteChanged(
        ConId(con_id), quote.bid, quote.ask, 1.0, 1.0, quote.last, quote.close, quote.iv, quote.delta,
        quote.gamma, quote.theta, quote.vega, None, now, now, True
    )  # fmt: skip


def announced_by(market: ModelMarket) -> Dividends:
    """What the trader's calendar would say of this market."""

    def dividends(symbol: str, after: date, until: date) -> Sequence[Dividend]:
        known = (Dividend(each.ex_date, each.amount_usd) for each in market.dividends(symbol))
        return [each for each in known if after < each.day <= until]

    return dividends


def held(market: ModelMarket, count: int, now: datetime) -> list[Contract]:
    """Options as a seller of premium holds them: up to two months, a delta of 0.03 to 0.6, worth a dime."""
    day = trading_day(now)
    options = [c for c in market.listings if c.expiry and 0 < (c.expiry - day).days <= NEAR_DAYS]
    quotes = market.quotes([c.con_id for c in options], now)

    def suits(quote: Quote) -> bool:
        return bool(quote.bid and quote.bid >= 0.10 and quote.delta and 0.03 < abs(quote.delta) < 0.6)

    suited = [contract for contract in options if suits(quotes[contract.con_id])]
    chosen = np.random.default_rng(7).choice(len(suited), min(count, len(suited)), replace=False)
    return [suited[place] for place in chosen.tolist()]


def play(
    scenario: str,
    days: int,
    count: int,
    minutes: int,
    with_calendar: bool = True,
    seen: Callable[[datetime, Marks], None] = lambda now, marks: None,
) -> ErrorFigures:
    """The errors of so many contracts for `minutes` of the trading day `days` after the scenario's first."""
    market = ModelMarket(7, scenario=scenario)
    day = trading_day(market.start())
    for _ in range(days):
        day = next_trading_day(day)
    now = opening(day) + timedelta(minutes=5)
    market.quotes([], now)
    contracts = held(market, count, now)
    shares = [contract for contract in market.listings if contract.sec_type is SecType.STOCK]
    board = QuoteBoard()
    for share in shares:
        board.watch(share.symbol, share.con_id)
    marks = Marks(board)
    marks.dividends = announced_by(market) if with_calendar else None
    marks.know(contracts)
    end, turn, each = now + timedelta(minutes=minutes), 0, len(contracts) * STEP.total_seconds() / TURN_S
    while now < end:
        places = range(int(turn * each), int((turn + 1) * each))
        visited = [contracts[place % len(contracts)].con_id for place in places]
        for con_id, quote in market.quotes([*visited, *(s.con_id for s in shares)], now).items():
            board.apply(changed(con_id, quote, now), now)
        marks.remark(now)
        board.release(visited)
        marks.remark(now)
        seen(now, marks)
        now, turn = now + STEP, turn + 1
    return marks.errors.figures()

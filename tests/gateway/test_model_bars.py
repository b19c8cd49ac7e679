"""Bars agree with the quotes of their time, go back a year, and say nothing of what is to come."""

from datetime import date, datetime, timedelta

import numpy as np
import pytest

from broker.gateway.markets.bars import DAY_S
from broker.gateway.markets.model import DEFAULT_START, ModelMarket
from broker.gateway.markets.model.shares import SYMBOLS
from options import NEW_YORK, Right
from options.hours import is_trading_day, opening

DAY = datetime(2026, 3, 4, 9, 30, tzinfo=NEW_YORK)
CLOSE = DAY.replace(hour=16, minute=0)


def id_of(market: ModelMarket, symbol: str) -> int:
    return market.listings.find(symbol).con_id


@pytest.mark.parametrize("symbol", ["SPY", "PLUG", "VIX"])
@pytest.mark.parametrize("seconds", [5, 60, 300])
def test_a_bar_is_what_the_quotes_of_its_time_were(symbol, seconds):
    market = ModelMarket(seed=4)
    con_id = id_of(market, symbol)
    begin = DAY + timedelta(minutes=60)
    bars = market.bars(con_id, begin, begin + timedelta(minutes=10), seconds)
    assert len(bars) == 600 // seconds
    for bar in bars[:: max(1, len(bars) // 5)]:
        times = [bar.start + timedelta(seconds=s) for s in range(0, seconds + 1)]
        seen = [market.quotes([con_id], time)[con_id].last for time in times]
        assert (bar.open, bar.close) == pytest.approx((seen[0], seen[-1]), abs=0.011)
        assert bar.low - 0.011 <= min(seen) and max(seen) <= bar.high + 0.011
        assert bar.high - max(seen) < 0.005 * bar.high + 0.011, (
            "a minute hardly goes further than its seconds"
        )


def test_longer_bars_are_made_of_the_shorter_ones():
    market = ModelMarket(seed=4)
    spy = id_of(market, "SPY")
    minutes = market.bars(spy, DAY, CLOSE, 60)
    (day,) = market.bars(spy, DAY, CLOSE, DAY_S)
    assert len(minutes) == 390
    assert (day.open, day.close) == (minutes[0].open, minutes[-1].close)
    assert (day.high, day.low) == (max(b.high for b in minutes), min(b.low for b in minutes))
    assert day.volume == pytest.approx(sum(b.volume for b in minutes), rel=1e-3)
    assert day.low < day.average < day.high
    assert [b.close for b in minutes[:-1]] == [b.open for b in minutes[1:]]
    quote = market.quotes([spy], CLOSE - timedelta(seconds=1))[spy]
    assert quote.open == day.open
    assert day.high - 0.5 < quote.high <= day.high and day.low <= quote.low < day.low + 0.5
    busy = [b.volume for b in minutes]
    assert np.mean(busy[:30]) > 1.5 * np.mean(busy[180:210]), "mornings are busier than noons"


def test_a_year_lies_behind_that_ends_where_the_account_begins():
    market = ModelMarket(seed=4)
    for symbol in (*SYMBOLS, "VIX"):
        con_id = id_of(market, symbol)
        days = market.bars(con_id, DEFAULT_START - timedelta(days=365), DEFAULT_START, DAY_S)
        assert len(days) == 251
        assert days[-1].start == opening(DEFAULT_START.date())
        quote = market.quotes([con_id], DEFAULT_START)[con_id]
        assert days[-1].close == pytest.approx(quote.last, abs=0.011), "as far as the day has come"
        assert days[-2].close == pytest.approx(quote.close, abs=0.011)
        assert all(b.low <= min(b.open, b.close) <= max(b.open, b.close) <= b.high for b in days)
    closes = [
        b.close
        for b in market.bars(id_of(market, "SPY"), DEFAULT_START - timedelta(days=365), DEFAULT_START, DAY_S)
    ]
    assert 0.08 < np.diff(np.log(closes)).std() * 252**0.5 < 0.30
    assert (
        market.bars(
            id_of(market, "SPY"),
            DEFAULT_START - timedelta(days=900),
            DEFAULT_START - timedelta(days=800),
            DAY_S,
        )
        == []
    )


def test_the_past_is_the_same_whoever_asks_when():
    one, two = ModelMarket(seed=4), ModelMarket(seed=4)
    spy = id_of(one, "SPY")
    year = one.bars(spy, DEFAULT_START - timedelta(days=300), DEFAULT_START, DAY_S)
    later = two.bars(spy, DEFAULT_START - timedelta(days=20), DEFAULT_START, DAY_S)
    assert year[-len(later) :] == later
    assert two.bars(spy, DEFAULT_START - timedelta(days=300), DEFAULT_START, DAY_S) == year


def test_bars_show_nothing_of_what_is_to_come():
    market = ModelMarket(seed=4)
    spy = id_of(market, "SPY")
    now = DAY + timedelta(hours=2, seconds=30)
    seen = market.bars(spy, DAY, now, 3600)
    full = market.bars(spy, DAY, CLOSE, 3600)
    assert seen[:2] == full[:2] and len(seen) == 3
    assert seen[2].close == market.quotes([spy], now)[spy].last
    assert seen[2].volume < 0.05 * full[2].volume


def test_bars_begin_on_trading_days_only_and_end_at_an_early_close():
    market = ModelMarket(seed=4, start=datetime(2026, 11, 23, 10, tzinfo=NEW_YORK))
    spy = id_of(market, "SPY")
    week = market.bars(
        spy, datetime(2026, 11, 23, tzinfo=NEW_YORK), datetime(2026, 11, 28, tzinfo=NEW_YORK), 1800
    )
    by_day: dict[date, int] = {}
    for bar in week:
        by_day[bar.start.astimezone(NEW_YORK).date()] = (
            by_day.get(bar.start.astimezone(NEW_YORK).date(), 0) + 1
        )
    assert by_day == {date(2026, 11, d): n for d, n in ((23, 13), (24, 13), (25, 13), (27, 7))}
    assert all(is_trading_day(day) for day in by_day)


def test_an_option_has_bars_that_agree_with_its_quotes():
    market = ModelMarket(seed=4)
    put = market.listings.find("SPY", date(2026, 4, 17), 680.0, Right.PUT)
    bars = market.bars(put.con_id, DAY, DAY + timedelta(hours=1), 300)
    assert len(bars) == 12
    for bar in bars[::4]:
        quote = market.quotes([put.con_id], bar.start)[put.con_id]
        assert bar.open == pytest.approx(quote.model_price, abs=0.006)
        assert bar.low <= bar.open <= bar.high and bar.low <= bar.close <= bar.high
    days = market.bars(put.con_id, DAY - timedelta(days=40), CLOSE, DAY_S)
    assert len(days) == 28 and min(b.low for b in days) > 0
    gone = market.listings.find("SPY", date(2026, 3, 2), 690.0, Right.PUT)
    assert [b.start for b in market.bars(gone.con_id, DEFAULT_START, CLOSE, DAY_S)] == []
    (last,) = market.bars(gone.con_id, opening(DEFAULT_START.date()), CLOSE, DAY_S)
    (spy,) = market.bars(id_of(market, "SPY"), opening(DEFAULT_START.date()), CLOSE, DAY_S)[:1]
    assert last.close == pytest.approx(max(690.0 - spy.close, 0.0), abs=0.02)


def test_contracts_that_are_not_listed_have_no_past():
    assert ModelMarket(seed=4).bars(12345, DAY, CLOSE, 60) == []

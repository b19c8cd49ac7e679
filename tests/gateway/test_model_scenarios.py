"""Each scenario has the shape that it is named after, whatever the seed."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from broker.gateway.markets.model import DEFAULT_START, ModelMarket
from broker.gateway.markets.model.course import COUNT, FEAR, Course, index_of, index_years
from broker.gateway.markets.model.scenarios import SCENARIOS
from broker.gateway.markets.model.shares import SHARES, SYMBOLS
from options import NEW_YORK
from options.hours import closing, next_trading_day

SEEDS = (1, 7, 42)


def closes(scenario: str, seed: int, days: int) -> tuple[np.ndarray, np.ndarray]:
    """(prices (days + 1, shares), index (days + 1,)) at the closes, the one before the beginning first."""
    course = Course(seed, DEFAULT_START.date(), SCENARIOS[scenario])
    day = DEFAULT_START.date()
    prices, index = [np.exp(course.marks(day).before[:COUNT])], [SCENARIOS[scenario].vix]
    for _ in range(days):
        end = course.marks(day).closing
        prices.append(np.exp(end[:COUNT]))
        index.append(float(index_of(end[FEAR : FEAR + 1], index_years(closing(day)))[0]))
        day = next_trading_day(day)
    return np.array(prices), np.array(index)


def many(scenario: str, days: int, seeds: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """The same for many seeds, stacked: (seeds, days + 1) of SPY, and of the index."""
    runs = [closes(scenario, seed, days) for seed in range(seeds)]
    return np.array([prices[:, 0] for prices, _ in runs]), np.array([index for _, index in runs])


@pytest.mark.parametrize("seed", SEEDS)
def test_in_the_crash_spy_loses_34_percent_in_23_days_and_the_index_closes_above_80(seed):
    prices, index = closes("crash_2020", seed, 36)
    assert prices[23, 0] / prices[0, 0] - 1 == pytest.approx(-0.341, abs=0.005)
    assert prices[:, 0].argmin() == 23
    assert index.max() == pytest.approx(82.69, abs=0.1) and index.argmax() == 18
    assert index[1] < 16 and 55 < index[23] < 65
    falls = np.diff(np.log(prices[:24]), axis=0)
    assert (prices[23, :3] / prices[0, :3] < 0.80).all(), "the other funds fall with it"
    assert falls[:, 0].std() * 252**0.5 > 0.7


@pytest.mark.parametrize("seed", SEEDS)
def test_in_volmageddon_the_index_goes_from_13_to_37_and_is_partly_back_within_days(seed):
    prices, index = closes("volmageddon_2018", seed, 13)
    assert index[2] == pytest.approx(13.5, abs=0.2)
    assert index[4] == pytest.approx(37.3, abs=0.2)
    assert index[4] / index[3] > 2.1
    assert index[5] < 31 and index[11] < 20
    assert prices[4, 0] / prices[3, 0] - 1 == pytest.approx(-0.042, abs=0.002)


@pytest.mark.parametrize("seed", SEEDS)
def test_in_the_gap_the_market_opens_five_percent_lower_on_the_second_day(seed):
    market = ModelMarket(seed, scenario="gap")
    spy, vix = (market.listings.find(symbol).con_id for symbol in ("SPY", "VIX"))
    day = datetime(2026, 3, 3, 9, 30, tzinfo=NEW_YORK)
    before = market.quotes([spy, vix], closing(DEFAULT_START.date()))
    after = market.quotes([spy, vix], day)
    assert after[spy].last / before[spy].last - 1 == pytest.approx(-0.05, abs=0.001)
    assert after[spy].close == before[spy].last
    assert after[vix].last > before[vix].last + 8


@pytest.mark.parametrize("seed", SEEDS)
def test_in_the_squeeze_one_share_more_than_doubles_and_its_volatility_triples(seed):
    place = SYMBOLS.index("PLUG")
    prices, _ = closes("squeeze", seed, 8)
    calm, _ = closes("calm", seed, 8)
    assert prices[0, place] < 4
    assert prices[6, place] / prices[0, place] > 2.4
    assert prices[:, :place] == pytest.approx(calm[:, :place]), "nobody else takes part"
    course = Course(seed, DEFAULT_START.date(), SCENARIOS["squeeze"])
    peak = course.marks(DEFAULT_START.date() + timedelta(days=7)).closing
    assert np.exp(peak[FEAR + 1 + place]) > 3


@pytest.mark.parametrize("seed", SEEDS)
def test_in_the_crush_volatility_halves_in_days(seed):
    prices, index = closes("vol_crush", seed, 6)
    assert index[0] == 38 and index[5] < 19 and (np.diff(index) < 0).all()
    assert prices[6, 0] > prices[0, 0]


def test_in_the_grind_the_market_falls_slowly_and_fear_creeps_up():
    spy, index = many("grind", 60)
    falls = spy[:, -1] / spy[:, 0] - 1
    assert -0.20 < np.median(falls) < -0.10
    assert np.mean(falls < -0.02) > 0.9
    assert np.abs(np.diff(np.log(spy), axis=1)).max() < 0.06, "no day is a crash"
    assert np.median(index[:, -1]) > np.median(index[:, 0]) + 3


def test_a_calm_year_looks_like_an_ordinary_one():
    spy, index = many("calm", 252, seeds=40)
    returns, moves = np.diff(np.log(spy), axis=1), np.diff(np.log(index), axis=1)
    assert 0.11 < returns.std() * 252**0.5 < 0.19
    assert 15 < np.mean(index) < 20
    assert np.percentile(index, 0.5) > 9 and index.max() < 70
    assert 0.06 < moves.std() < 0.09, "the real index: 0.068"
    assert np.corrcoef(returns.ravel(), moves.ravel())[0, 1] < -0.7
    normal = (returns - returns.mean()) / returns.std()
    assert np.mean(normal**4) > 4, "tails are fat"
    grown = spy[:, -1] / spy[:, 0] - 1
    assert -0.1 < np.mean(grown) < 0.2


def test_shares_move_together():
    prices, _ = closes("calm", 5, 500)
    together = np.corrcoef(np.diff(np.log(prices), axis=0).T)
    assert together[0, 1] > 0.85 and together[0, 2] > 0.75
    assert 0.1 < together[0, SYMBOLS.index("KO")] < 0.6


def test_frozen_quotes_stand_still_for_minutes_while_time_goes_on():
    market = ModelMarket(seed=3, scenario="frozen")
    ids = [c.con_id for c in list(market.listings)[::300]]
    first = datetime(2026, 3, 2, 10, 5, tzinfo=NEW_YORK)
    stands = market.quotes(ids, first)
    last = first + timedelta(minutes=4, seconds=59)
    assert market.quotes(ids, last) == stands
    assert market.changed(ids, first, last) == []
    thawed = first + timedelta(minutes=5)
    assert market.quotes(ids, thawed) != stands
    assert market.changed(ids, last, thawed) == sorted(ids)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_says_what_it_is(name):
    scenario = SCENARIOS[name]
    assert scenario.name == name and scenario.about[0].islower()
    assert scenario.squeeze is None or len(scenario.squeeze.moves) == len(scenario.squeeze.excitement)
    assert all(first < last for first, last in scenario.freezes)
    assert len(SHARES) == COUNT

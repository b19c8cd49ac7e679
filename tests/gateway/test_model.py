import itertools
from datetime import timedelta

import numpy as np
import pytest

from broker.gateway.model import DEFAULT_START, ModelMarket
from broker.gateway.paths import Paths
from options import NEW_YORK, Leg, Structure, group_legs, payoff
from options.hours import is_open


def test_the_newcomer_holds_three_profitable_looking_condors_about_45_days_out():
    market = ModelMarket()
    legs = [Leg(h.contract, h.quantity, h.average_cost) for h in market.first_holdings()]
    groups = group_legs(legs)
    assert [(g.underlying, g.structure, g.lots) for g in groups] == [
        (symbol, Structure.IRON_CONDOR, 2) for symbol in ("IWM", "QQQ", "SPY")
    ]
    for group in groups:
        figures = payoff(group.legs)
        assert 0.15 < figures.net_credit_usd / figures.max_loss_usd < 1.0
        assert 40 <= (group.legs[0].contract.expiry - DEFAULT_START.date()).days <= 50


def test_the_same_seed_gives_the_same_prices_in_whatever_order_they_are_asked_for():
    one, two, other = ModelMarket(seed=7), ModelMarket(seed=7), ModelMarket(seed=8)
    ids = [contract.con_id for contract in list(one.listings)[::200]]
    moments = [DEFAULT_START + timedelta(seconds=s) for s in (5, 50, 500)]
    for moment in moments:
        one.quotes(ids, moment)
    later = moments[-1] + timedelta(days=1)
    assert one.quotes(ids, later) == two.quotes(list(reversed(ids)), later)
    assert one.quotes(ids, later) != other.quotes(ids, later)


def test_a_saved_market_goes_on_as_if_it_had_never_stopped():
    one, two = ModelMarket(seed=3), ModelMarket(seed=99)
    moment = DEFAULT_START + timedelta(days=9)
    ids = [contract.con_id for contract in list(one.listings)[::100]]
    one.quotes(ids, moment)
    two.load(one.save())
    later = moment + timedelta(hours=2)
    assert one.quotes(ids, later) == two.quotes(ids, later)
    assert {c.con_id for c in one.listings} <= {c.con_id for c in two.listings}


def test_nights_and_weekends_are_skipped():
    market = ModelMarket()
    assert is_open(market.start())
    monday_close = market.start().astimezone(NEW_YORK).replace(hour=16, minute=0)
    assert market.resume(monday_close).astimezone(NEW_YORK).isoformat() == "2026-03-03T09:30:00-05:00"
    friday_close = monday_close + timedelta(days=4)
    assert market.resume(friday_close).astimezone(NEW_YORK).isoformat() == "2026-03-09T09:30:00-04:00"


def test_many_days_of_paths_move_together_and_the_index_against_them():
    paths = Paths.begin(5, DEFAULT_START.date())
    days = []
    for n in range(200):
        level = paths.at(DEFAULT_START + timedelta(days=n))
        days.append([level[name] for name in ("SPY", "QQQ", "IWM", "VIX")])
    returns = np.diff(np.log(np.array(days)), axis=0)
    returns = returns[np.abs(returns).sum(axis=1) > 0]
    together = np.corrcoef(returns.T)
    assert together[0, 1] > 0.8
    assert together[0, 3] < -0.5
    assert 0.08 < returns[:, 0].std() * 252**0.5 < 0.30
    assert 9 < np.min(np.array(days)[:, 3]) < np.max(np.array(days)[:, 3]) < 70


@pytest.mark.parametrize("symbol", ["SPY", "QQQ", "IWM"])
def test_a_chain_is_sane_calls_fall_puts_rise_and_spreads_widen_away_from_the_money(symbol):
    market = ModelMarket()
    chain = [c for c in market.listings.chain(symbol) if f"{c.expiry:%Y%m%d}" == "20260417"]
    quotes = market.quotes([c.con_id for c in chain], DEFAULT_START)
    for right, sign in (("C", -1), ("P", 1)):
        side = sorted((c for c in chain if c.right == right), key=lambda c: c.strike)
        models = [quotes[c.con_id].model_price for c in side]
        assert all((b - a) * sign > 0 for a, b in itertools.pairwise(models))
        out = [quotes[c.con_id] for c in side if abs(quotes[c.con_id].delta) < 0.5]
        sided = [q for q in out if q.two_sided]
        relative = [((q.ask - q.bid) / q.model_price, abs(q.delta)) for q in sided]
        assert min(relative, key=lambda r: r[1])[0] > max(relative, key=lambda r: r[1])[0]
        vols = [quotes[c.con_id].iv for c in side]
        assert vols[0] > vols[len(vols) // 2] > 0.05

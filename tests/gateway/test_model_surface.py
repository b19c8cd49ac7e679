"""No arbitrage: in the surface over seeds, times and scenarios, and in what can be traded at the quotes."""

import itertools
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.gateway.markets.model import DEFAULT_START, ModelMarket
from broker.gateway.markets.model.board import RATE
from broker.gateway.markets.model.course import CORRELATIONS, fear_of, index_of
from broker.gateway.markets.model.scenarios import SCENARIOS
from broker.gateway.markets.model.shares import SHARES, SYMBOLS
from broker.gateway.markets.model.surface import (
    money_variance,
    swap_variance,
    theta_of_swap,
    total_variance,
    undiscounted_call,
)
from broker.gateway.markets.model.variance_time import at, at_close
from options import NEW_YORK, Contract, Right
from options.hours import closing, is_open, is_trading_day, next_opening, opening

MOMENTS = st.builds(
    lambda days, minutes: DEFAULT_START + timedelta(days=days, minutes=minutes),
    st.integers(0, 59),
    st.integers(-30, 359),
)
STRIKES = np.linspace(-1.2, 0.9, 421)
VOLS = st.floats(0.05, 2.5)


@pytest.mark.parametrize("share", SHARES, ids=SYMBOLS)
def test_every_share_meets_the_condition_of_gatheral_and_jacquier(share):
    assert share.curve * (1 + abs(share.skew)) <= 2.0


@given(st.sampled_from(SHARES), VOLS, st.floats(1e-4, 1.5), st.floats(0.0, 0.04))
def test_calls_fall_and_are_convex_in_the_strike(share, vol, years, reported):
    theta = money_variance(np.array(vol), np.array(share.vol), np.array(years)) + reported
    strikes = np.exp(STRIKES * 4 * np.sqrt(theta))
    calls = undiscounted_call(
        np.log(strikes), total_variance(np.log(strikes), theta, share.skew, share.curve)
    )
    slopes = np.diff(calls) / np.diff(strikes)
    assert (slopes <= 1e-9).all() and (slopes >= -1 - 1e-9).all()
    assert np.diff(slopes).min() >= -1e-7
    assert (calls >= np.maximum(1 - strikes, 0) - 1e-9).all() and (calls <= 1 + 1e-9).all()


@given(st.sampled_from(SHARES), VOLS, st.floats(1e-4, 1.0), st.floats(1e-5, 1.0), st.floats(0.0, 0.04))
def test_total_variance_never_falls_with_the_expiry(share, vol, years, later, reported):
    def variance(term: float, extra: float) -> np.ndarray:
        theta = money_variance(np.array(vol), np.array(share.vol), np.array(term)) + extra
        return total_variance(STRIKES, theta, share.skew, share.curve)

    assert (variance(years + later, reported) >= variance(years, 0.0) - 1e-12).all()


@given(st.floats(8.0, 90.0), st.floats(0.06, 0.10))
def test_the_fear_of_an_index_level_gives_that_level(index, years):
    assert index_of(np.array(fear_of(index, years)), years) == pytest.approx(index, rel=1e-3)
    theta = np.array([1e-4, 0.003, 0.3])
    assert theta_of_swap(swap_variance(theta, -0.7, 1.0), -0.7, 1.0) == pytest.approx(theta, rel=1e-6)


def test_correlations_are_possible():
    assert np.linalg.eigvalsh(CORRELATIONS).min() > 0.01


def test_variance_time_always_passes_and_a_year_holds_one():
    moments = [datetime(2025, 12, 20, tzinfo=UTC) + timedelta(minutes=97 * n) for n in range(3000)]
    passed = np.array([at(moment) for moment in moments])
    assert (np.diff(passed) > 0).all()
    assert at_close(date(2026, 12, 31)) - at_close(date(2025, 12, 31)) == pytest.approx(1.0, abs=0.01)
    day = date(2026, 3, 4)
    assert at(closing(day)) == pytest.approx(at_close(day))
    assert at(opening(day)) - at(opening(day) - timedelta(seconds=1)) < 1e-6


def cboe_index(market: ModelMarket, moment: datetime) -> float:
    """The volatility index by the Cboe's published steps from the quotes of listed options: near and next
    term around 30 days, forward from parity, middle prices out of the money until two without a bid."""
    chain = market.listings.chain("SPY", moment)
    quotes = market.quotes([c.con_id for c in chain], moment)
    minutes = {c.expiry: (closing(c.expiry) - moment).total_seconds() / 60 for c in chain}
    month = 30 * 1440
    near = max((e for e in minutes if minutes[e] <= month), key=lambda e: minutes[e])
    after = min((e for e in minutes if minutes[e] > month), key=lambda e: minutes[e])
    variances = {
        e: strip([c for c in chain if c.expiry == e], quotes, minutes[e] / 525_600) for e in (near, after)
    }
    low, high = minutes[near], minutes[after]
    parts = (
        variances[near] * low / 525_600 * (high - month) / (high - low),
        variances[after] * high / 525_600 * (month - low) / (high - low),
    )
    return 100 * float(np.sqrt(sum(parts) * 525_600 / month))


def strip(chain: list[Contract], quotes, years: float) -> float:
    """One term's variance."""
    sides = {right: {c.strike: quotes[c.con_id] for c in chain if c.right is right} for right in Right}
    mids = {
        right: {strike: q.mark for strike, q in side.items() if q.two_sided} for right, side in sides.items()
    }
    both = sorted(mids[Right.CALL].keys() & mids[Right.PUT].keys())
    level = min(both, key=lambda k: abs(mids[Right.CALL][k] - mids[Right.PUT][k]))
    grown = np.exp(RATE * years)
    forward = level + grown * (mids[Right.CALL][level] - mids[Right.PUT][level])
    first = max(k for k in both if k <= forward)
    taken = {first: (mids[Right.CALL][first] + mids[Right.PUT][first]) / 2}
    for right, order in ((Right.PUT, -1), (Right.CALL, 1)):
        missing = 0
        for strike in sorted((k for k in sides[right] if (k - first) * order > 0), key=lambda k: k * order):
            if sides[right][strike].bid is None:
                missing += 1
                if missing == 2:
                    break
            else:
                missing = 0
                taken[strike] = sides[right][strike].mark
    strikes = np.array(sorted(taken))
    prices = np.array([taken[k] for k in strikes.tolist()])
    steps = np.gradient(strikes)
    total = 2 / years * float(np.sum(steps / strikes**2 * grown * prices))
    return total - (forward / first - 1) ** 2 / years


@pytest.mark.parametrize(
    ("scenario", "day"),
    [
        ("calm", "2026-03-02"),
        ("calm", "2026-03-19"),
        ("crash_2020", "2026-03-12"),
        ("vol_crush", "2026-03-04"),
    ],
)
def test_the_index_is_what_the_cboe_would_compute_from_the_quotes(scenario, day):
    market = ModelMarket(seed=11, scenario=scenario)
    moment = datetime.fromisoformat(f"{day}T14:00").replace(tzinfo=NEW_YORK)
    vix = market.listings.find("VIX")
    quoted = market.quotes([vix.con_id], moment)[vix.con_id].last
    assert quoted == pytest.approx(cboe_index(market, moment), rel=0.04)


def chains(market: ModelMarket, moment: datetime):
    """(symbol, expiry, right) -> strikes, bids (-inf when none), asks, in order of strike."""
    options = [c for c in market.listings if c.expiry and closing(c.expiry) > moment]
    quotes = market.quotes([c.con_id for c in options], moment)
    found = {}
    for contract in sorted(options, key=lambda c: c.strike):
        quote = quotes[contract.con_id]
        row = (contract.strike, -np.inf if quote.bid is None else quote.bid, quote.ask)
        found.setdefault((contract.symbol, contract.expiry, contract.right), []).append(row)
    return {key: np.array(rows).T for key, rows in found.items()}


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(sorted(SCENARIOS)), MOMENTS)
def test_nothing_that_can_be_traded_at_the_quotes_is_free_money(seed, scenario, moment):
    moment = moment if is_open(moment) else next_opening(moment)
    market = ModelMarket(seed, scenario=scenario)
    found = chains(market, moment)
    for (symbol, expiry, right), (strikes, bids, asks) in found.items():
        label = (symbol, expiry, right)
        assert (asks > 0).all() and (asks > bids).all(), label
        assert np.allclose(np.round(asks * 100), asks * 100, atol=1e-6), label
        # Verticals: what costs more to sell than to buy, or brings more than its width.
        sign = 1 if right is Right.CALL else -1
        gaps = np.diff(strikes)
        low, high = (slice(None, -1), slice(1, None)) if sign > 0 else (slice(1, None), slice(None, -1))
        assert (asks[low] - bids[high] > 0).all(), label
        assert (bids[low] - asks[high] <= gaps).all(), label
        # Butterflies over neighbouring strikes, weighted so that they never pay less than nothing.
        left, right_gap = gaps[:-1], gaps[1:]
        cost = asks[:-2] * right_gap + asks[2:] * left - bids[1:-1] * (left + right_gap)
        assert (cost > 0).all(), label
    for symbol, expiry, right in found:
        if right is Right.CALL:
            paid = sum(d.amount_usd for d in market.dividends(symbol) if moment.date() < d.ex_date <= expiry)
            years = (closing(expiry) - moment).total_seconds() / (365 * 86_400)
            check_boxes(found[symbol, expiry, right], found[symbol, expiry, Right.PUT], years, paid)
    check_calendars(found)


def check_boxes(calls, puts, years: float, paid: float) -> None:
    """A box bought pays at least its width at the end. A box sold costs at most the upper strike less the
    present value of the lower one (the worst is to be assigned on the put at once), and the dividends on
    shares that an early exercise of the call took away."""
    discount = np.exp(-RATE * years)
    strikes = calls[0]
    for step in (1, 7):
        low, high = slice(None, -step), slice(step, None)
        bought = calls[2][low] - calls[1][high] + puts[2][high] - puts[1][low]
        sold = calls[1][low] - calls[2][high] + puts[1][high] - puts[2][low]
        assert (bought >= discount * (strikes[high] - strikes[low])).all()
        assert (sold <= strikes[high] - discount * strikes[low] + paid).all()


def check_calendars(found) -> None:
    """A later option is never sold for less than an earlier one brings."""
    for symbol in SYMBOLS:
        for right in Right:
            expiries = sorted(expiry for name, expiry, side in found if (name, side) == (symbol, right))
            for early, late in itertools.pairwise(expiries):
                first, second = found[symbol, early, right], found[symbol, late, right]
                _, here, there = np.intersect1d(first[0], second[0], return_indices=True)
                assert (first[1][here] < second[2][there]).all(), (symbol, early, late, right)


def test_weekly_series_of_a_closed_friday_end_on_thursday():
    market = ModelMarket()
    expiries = {c.expiry for c in market.listings.chain("KO")}
    assert date(2026, 4, 2) in expiries and date(2026, 4, 3) not in expiries
    assert all(is_trading_day(expiry) for expiry in expiries)

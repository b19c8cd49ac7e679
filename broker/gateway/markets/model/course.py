"""The course of days: where everything stands at each opening and closing, before and after the beginning.

A moment's state is one vector: the logarithm of each share's price, the market's fear (the logarithm of its
short volatility over the calm one), and each share's own excitement on top of it. Fear and excitement are
Ornstein-Uhlenbeck processes, so volatility is log-normal; shares move with `REALISED` of their implied
volatility, together, and against fear; jumps are Merton's, of the whole market or of one share. A day's draws
come from the seed and its date alone. Before the beginning the same processes run backwards from it (an
Ornstein-Uhlenbeck process looks the same both ways), without scenario.
"""

import math
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import numpy as np

from broker.gateway.markets.model.scenarios import SCENARIOS, Scenario
from broker.gateway.markets.model.shares import NEIGHBOURS, SHARES, SYMBOLS
from broker.gateway.markets.model.surface import INDEX_YEARS, index_points, money_variance, theta_of_swap
from broker.gateway.markets.model.variance_time import OVERNIGHT, at
from options.hours import closing, next_trading_day, previous_trading_day
from options.normal import Floats

COUNT = len(SHARES)
FEAR = COUNT
DAYS_PER_YEAR = 252
REALISED = 0.88
LEVERAGE = -0.86
"""Correlation of the market's returns with changes of its fear."""
OWN_PULL = 5.0
JUMP_MEAN, JUMP_VOL = -0.018, 0.014
FEAR_OF_JUMP = 9.0
"""How much a jump of the market by -1 would add to its fear."""
OWN_JUMPS_PER_YEAR, OWN_JUMP_VOL = 1.5, 0.12
"""Of a single share; the size is in units of its annual volatility."""

CALM_VOLS = np.array([share.vol for share in SHARES])
FOLLOWS_FEAR = np.array([share.fear for share in SHARES])
OWN_VOLS = np.array([share.own_vol for share in SHARES])
WITH_MARKET = np.array([share.correlation for share in SHARES])
SINGLE = OWN_VOLS > 0.3


def _correlations() -> Floats:
    """Of the shares and, last, of fear."""
    together = np.outer(WITH_MARKET, WITH_MARKET)
    for (one, other), value in NEIGHBOURS.items():
        i, j = SYMBOLS.index(one), SYMBOLS.index(other)
        together[i, j] = together[j, i] = value
    np.fill_diagonal(together, 1.0)
    with_fear = LEVERAGE * WITH_MARKET
    return np.block([[together, with_fear[:, None]], [with_fear[None, :], np.ones((1, 1))]])


CORRELATIONS = _correlations()
FORWARD = np.linalg.cholesky(CORRELATIONS)
# Backwards the fear is known first: the shares' shocks given its own.
_WITH_FEAR = CORRELATIONS[:FEAR, FEAR]
BACKWARD = np.linalg.cholesky(CORRELATIONS[:FEAR, :FEAR] - np.outer(_WITH_FEAR, _WITH_FEAR))


def short_vols(fear: Floats | float, own: Floats) -> Floats:
    """The shares' short implied volatilities; shapes (..., 1) or float, and (..., COUNT)."""
    return np.asarray(CALM_VOLS * np.exp(FOLLOWS_FEAR * fear + own))


def index_of(fear: Floats, years: Floats | float) -> Floats:
    """The volatility index in points, when `years` of variance time lie in the next 30 days."""
    market = SHARES[0]
    theta = money_variance(market.vol * np.exp(fear), np.asarray(market.vol), np.asarray(years))
    return index_points(theta, market.skew, market.curve)


def fear_of(index: float, years: float) -> float:
    """The fear at which the index has this level."""
    market = SHARES[0]
    swap = (index / 100) ** 2 * INDEX_YEARS
    wanted = float(np.log(theta_of_swap(np.asarray(swap), market.skew, market.curve)))
    fears = np.linspace(-2.0, 3.5, 111)
    thetas = money_variance(market.vol * np.exp(fears), np.asarray(market.vol), np.asarray(years))
    return float(np.interp(wanted, np.log(thetas), fears))


def index_years(moment: datetime) -> float:
    """How much variance time the 30 days from a moment on hold."""
    return at(moment + timedelta(days=30)) - at(moment)


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """One trading day. States at the close before it, its opening and its close; what of the way to the
    opening and to the close are jumps of prices and fear (COUNT + 1), and at which minute of the night (from
    the close on, the dead hours left out) or the session; what the shares drop for dividends, in USD."""

    day: date
    before: Floats
    opening: Floats
    closing: Floats
    night_jump: Floats
    night_minute: int
    jump: Floats
    jump_part: float
    dividends: Floats


@dataclass(slots=True)
class Course:
    """All days from `start` on and, as far as asked, before it; `_number` of them lie behind the start."""

    seed: int
    start: date
    scenario: Scenario
    _days: dict[date, Marks] = field(default_factory=dict)
    _first: date = field(init=False)
    _last: date = field(init=False)
    _number: int = 0

    def __post_init__(self) -> None:
        self._first = self._last = self.start
        eve = closing(previous_trading_day(self.start))
        prices = np.log([share.start_usd for share in SHARES])
        fear = fear_of(self.scenario.vix, index_years(eve))
        before = np.concatenate([prices, [fear], np.zeros(COUNT)])
        self._days[self.start] = self._forward(self.start, 0, before)

    def marks(self, day: date) -> Marks:
        """Of a trading day."""
        while self._last < day:
            following = next_trading_day(self._last)
            self._number += 1
            self._days[following] = self._forward(following, self._number, self._days[self._last].closing)
            self._last = following
        while day < self._first:
            earlier = previous_trading_day(self._first)
            self._days[earlier] = self._backward(earlier, self._days[self._first].before)
            self._first = earlier
        return self._days[day]

    # -- forward --------------------------------------------------------------------------------------

    def _forward(self, day: date, number: int, before: Floats) -> Marks:
        scenario = self.scenario
        rng = np.random.default_rng([self.seed, day.toordinal(), 1])
        normals, chances = rng.standard_normal((3, 2 * COUNT + 1)), rng.random(4 + COUNT)
        planned = scenario.days[number] if number < len(scenario.days) else None
        night_jump, night_minute = _reports(day, normals[2])
        jump = np.zeros(COUNT + 1)
        if planned is None:
            night_jump += _own_jumps(before, normals[2], chances[4:])
            if chances[0] < scenario.jumps_per_year / DAYS_PER_YEAR:
                whole = _market_jump(before, normals[2, -1])
                if chances[1] < 0.5:
                    night_jump += whole
                else:
                    jump += whole
        dividends = _dividends(day)
        given = None if planned is None else math.log1p(planned.move / 100)
        part = 0.0 if planned is None else planned.gap
        opening = self._moved(before, OVERNIGHT, normals[0], None if given is None else given * part)
        opening[: COUNT + 1] += night_jump
        if planned is not None:
            target = fear_of(planned.vix, index_years(closing(day)))
            opening[FEAR] = before[FEAR] + planned.gap * (target - before[FEAR])
        self._squeeze(number, before, opening, 0.35)
        opening[:COUNT] = np.log(np.exp(opening[:COUNT]) - dividends)
        left = None if given is None else given * (1.0 - part)
        end = self._moved(opening, 1.0 - OVERNIGHT, normals[1], left)
        end[: COUNT + 1] += jump
        if planned is not None:
            end[FEAR] = target
        self._squeeze(number, opening, end, 0.65)
        return Marks(day, before, opening, end, night_jump, night_minute, jump, chances[2], dividends)

    def _moved(self, state: Floats, part: float, normals: Floats, given: float | None) -> Floats:
        """The state after `part` of a day; `given` is the market's own move, in logarithms."""
        scenario, years = self.scenario, part / DAYS_PER_YEAR
        fear, own = state[FEAR], state[FEAR + 1 :]
        vols = REALISED * short_vols(fear, own)
        drifts = (scenario.drift * WITH_MARKET * CALM_VOLS / CALM_VOLS[0] - 0.5 * vols * vols) * years
        shocks = normals[: COUNT + 1].copy()
        if given is not None:
            shocks[0] = (given - drifts[0]) / (vols[0] * math.sqrt(years))
        moved = FORWARD @ shocks
        mean = fear_of(scenario.mean_vix, INDEX_YEARS)
        after = state.copy()
        after[:COUNT] += drifts + vols * math.sqrt(years) * moved[:COUNT]
        after[FEAR] += (
            scenario.pull * (mean - fear) * years + scenario.vix_vol * math.sqrt(years) * moved[FEAR]
        )
        after[FEAR + 1 :] += OWN_VOLS * math.sqrt(years) * normals[COUNT + 1 :] - OWN_PULL * own * years
        return after

    def _squeeze(self, number: int, before: Floats, after: Floats, part: float) -> None:
        """Puts a squeezed share where the scenario wants it."""
        squeeze = self.scenario.squeeze
        if squeeze is None or number >= len(squeeze.moves):
            return
        place = SYMBOLS.index(squeeze.symbol)
        after[place] = before[place] + part * math.log1p(squeeze.moves[number] / 100)
        after[FEAR + 1 + place] = squeeze.excitement[number]

    # -- backward -------------------------------------------------------------------------------------

    def _backward(self, day: date, end: Floats) -> Marks:
        rng = np.random.default_rng([self.seed, day.toordinal(), 1])
        normals, chances = rng.standard_normal((3, 2 * COUNT + 1)), rng.random(4 + COUNT)
        jump = np.zeros(COUNT + 1)
        if chances[0] < SCENARIOS["calm"].jumps_per_year / DAYS_PER_YEAR:
            jump[:COUNT] = _market_jump(end, normals[2, -1])[:COUNT]
        night_jump, night_minute = _reports(day, normals[2])
        dividends = _dividends(day)
        opening = _unmoved(end, 1.0 - OVERNIGHT, normals[1], jump)
        cum = opening.copy()
        cum[:COUNT] = np.log(np.exp(opening[:COUNT]) + dividends)
        before = _unmoved(cum, OVERNIGHT, normals[0], night_jump)
        return Marks(day, before, opening, end, night_jump, night_minute, jump, chances[2], dividends)


def _unmoved(after: Floats, part: float, normals: Floats, jump: Floats) -> Floats:
    """The state from which `after` came in `part` of a day, the jump included."""
    calm, years = SCENARIOS["calm"], part / DAYS_PER_YEAR
    mean = fear_of(calm.mean_vix, INDEX_YEARS)
    root = math.sqrt(years)
    before = after.copy()
    away = math.exp(-calm.pull * years) * (after[FEAR] - mean)
    before[FEAR] = mean + away + calm.vix_vol * root * normals[FEAR]
    before[FEAR + 1 :] = (
        math.exp(-OWN_PULL * years) * after[FEAR + 1 :] + OWN_VOLS * root * normals[COUNT + 1 :]
    )
    drifted = before[FEAR] + calm.pull * (mean - before[FEAR]) * years
    shock = (after[FEAR] - drifted) / (calm.vix_vol * root)
    vols = REALISED * short_vols(before[FEAR], before[FEAR + 1 :])
    moved = _WITH_FEAR * shock + BACKWARD @ normals[:COUNT]
    drifts = (calm.drift * WITH_MARKET * CALM_VOLS / CALM_VOLS[0] - 0.5 * vols * vols) * years
    before[:COUNT] -= drifts + vols * root * moved + jump[:COUNT]
    return before


def _market_jump(state: Floats, normal: float) -> Floats:
    size = JUMP_MEAN + JUMP_VOL * normal
    vols = short_vols(state[FEAR], state[FEAR + 1 :])
    return np.append(size * WITH_MARKET * vols / vols[0], max(-FEAR_OF_JUMP * size, 0.0))


def _own_jumps(state: Floats, normals: Floats, chances: Floats) -> Floats:
    hit = SINGLE & (chances < OWN_JUMPS_PER_YEAR / DAYS_PER_YEAR)
    vols = short_vols(state[FEAR], state[FEAR + 1 :])
    return np.append(np.where(hit, OWN_JUMP_VOL * vols * normals[COUNT : 2 * COUNT], 0.0), 0.0)


EVENING_REPORT_MINUTE, MORNING_REPORT_MINUTE, OTHER_NEWS_MINUTE = 30, 420, 300


def _reports(day: date, normals: Floats) -> tuple[Floats, int]:
    """(jumps for what was reported since the close before, the minute of the night at which they happen)."""
    jumps, minute = np.zeros(COUNT + 1), OTHER_NEWS_MINUTE
    for place, share in enumerate(SHARES):
        if share.earnings is None:
            continue
        evening = share.earnings.after_close
        reported = previous_trading_day(day) if evening else day
        if share.earnings.days.between(reported, reported):
            # A report moves a share less than its options feared, as on other days.
            jumps[place] = REALISED * share.earnings.move * normals[place]
            minute = EVENING_REPORT_MINUTE if evening else MORNING_REPORT_MINUTE
    return jumps, minute


def _dividends(day: date) -> Floats:
    """USD by which each share opens lower, because the day is its ex-date."""
    paid = [
        share.dividend_usd if share.dividends and share.dividends.between(day, day) else 0.0
        for share in SHARES
    ]
    return np.array(paid)

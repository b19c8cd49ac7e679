"""Where everything stands at every second, between the openings and closings of the course.

A session is a Brownian bridge over its minutes between the day's opening and close, with more movement at
both ends; each minute has a highest and a lowest price from the law of a bridge's extremes, and the seconds
within it are a bridge again that keeps to them. So a bar of any length agrees with the quotes of its time,
and a minute costs nothing until somebody looks at it. At night prices move from the close before to the
opening, until four hours after the close and from 04:00 on.
"""

import math
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

import numpy as np

from broker.gateway.markets.model.course import (
    CALM_VOLS,
    COUNT,
    DAYS_PER_YEAR,
    FEAR,
    FORWARD,
    REALISED,
    Course,
    Marks,
    index_of,
    index_years,
    short_vols,
)
from broker.gateway.markets.model.shares import SHARES
from broker.gateway.markets.model.variance_time import OVERNIGHT, session_share
from options import NEW_YORK
from options.hours import (
    closing,
    is_trading_day,
    next_trading_day,
    opening,
    previous_trading_day,
    session_s,
    trading_day,
)
from options.normal import Floats

EVENING_MINUTES = 240
MORNING = time(4, 0)
MORNING_MINUTES = 330
MOVED = COUNT + 1
VOLUMES = np.array([share.volume for share in SHARES], dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """One moment: USD per share, short implied volatilities, the index in points."""

    prices: Floats
    vols: Floats
    index: float


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """A day's minutes.

    `ends` (minutes + 1, COUNT + 1) are logarithms of prices and fear at their borders, `highs` and `lows`
    (minutes, COUNT + 1) within them, `volumes` (minutes, COUNT) shares traded, `index_years` what `index_of`
    needs at the borders, and `scales` (minutes, COUNT + 1) the deviation of a minute.
    """

    marks: Marks
    ends: Floats
    highs: Floats
    lows: Floats
    volumes: Floats
    index_years: Floats
    scales: Floats

    @property
    def minutes(self) -> int:
        return len(self.highs)

    def own(self, part: float) -> Floats:
        """The shares' excitement when `part` of the session has passed."""
        begin, end = self.marks.opening[FEAR + 1 :], self.marks.closing[FEAR + 1 :]
        return np.asarray(begin + part * (end - begin))


@dataclass(slots=True)
class Paths:
    """Every second of a course. Asking changes nothing but what is remembered, a few days at most."""

    course: Course
    _sessions: dict[date, Session] = field(default_factory=dict)
    _minute: tuple[date, int, Floats] | None = None
    _night: tuple[date, Floats] | None = None

    def at(self, now: datetime) -> State:
        """The state at a whole second."""
        day = trading_day(now)
        if is_trading_day(day) and opening(day) <= now <= closing(day):
            return self._in_session(day, (now - opening(day)).total_seconds())
        if not is_trading_day(day) or now > closing(day):
            day = next_trading_day(day)
        return self._at_night(day, now)

    def session(self, day: date) -> Session:
        """The minutes of a trading day."""
        if day not in self._sessions:
            if len(self._sessions) >= 4:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[day] = make_session(
                self.course.seed, self.course.scenario.vix_vol, self.course.marks(day)
            )
        return self._sessions[day]

    def seconds(self, day: date, minute: int) -> Floats:
        """(61, COUNT + 1) logarithms of prices and fear from the beginning of a minute to its end."""
        if self._minute is None or self._minute[:2] != (day, minute):
            self._minute = (day, minute, _seconds(self.course.seed, self.session(day), minute))
        return self._minute[2]

    def _in_session(self, day: date, second: float) -> State:
        session = self.session(day)
        minute, rest = divmod(int(second), 60)
        row = session.ends[minute] if rest == 0 else self.seconds(day, minute)[rest]
        part = second / (session.minutes * 60)
        years = session.index_years[0] + part * (session.index_years[-1] - session.index_years[0])
        return _state(row, session.own(part), float(years))

    def _at_night(self, day: date, now: datetime) -> State:
        """Between the close before `day` and its opening."""
        marks = self.course.marks(day)
        if self._night is None or self._night[0] != day:
            self._night = (day, _night(self.course.seed, self.course.scenario.vix_vol, marks))
        dark = closing(previous_trading_day(day))
        morning = datetime.combine(day, MORNING, NEW_YORK)
        if now < morning:
            place = min((now - dark).total_seconds() / 60, EVENING_MINUTES)
        else:
            place = EVENING_MINUTES + 1 + (now - morning).total_seconds() / 60
        whole = min(int(place), EVENING_MINUTES + MORNING_MINUTES)
        rows = self._night[1][whole : whole + 2]
        row = rows[0] + (place - whole) * (rows[-1] - rows[0])
        part = (now - dark) / (opening(day) - dark)
        own = marks.before[FEAR + 1 :] + part * (marks.opening[FEAR + 1 :] - marks.before[FEAR + 1 :])
        return _state(row, own, index_years(now))


def quoted_at_night(now: datetime) -> bool:
    """Whether shares are quoted though the exchange is closed: 04:00 to the opening, four hours after it."""
    day = trading_day(now)
    if not is_trading_day(day):
        return False
    morning = datetime.combine(day, MORNING, NEW_YORK) <= now < opening(day)
    return morning or closing(day) <= now < closing(day) + timedelta(minutes=EVENING_MINUTES)


def _state(row: Floats, own: Floats, years: float) -> State:
    fear = row[FEAR]
    return State(np.exp(row[:COUNT]), short_vols(fear, own), float(index_of(np.asarray(fear), years)))


def _deviations(state: Floats, vix_vol: float) -> Floats:
    """Of prices and fear in a day, from the volatilities of a state."""
    vols = REALISED * short_vols(state[FEAR], state[FEAR + 1 :])
    return np.append(vols, vix_vol) / math.sqrt(DAYS_PER_YEAR)


def _bridge(steps: Floats, shares: Floats) -> Floats:
    """Random steps made to sum up to nothing; `shares` (from 0 to 1) is how far along each border lies."""
    walked = np.vstack([np.zeros(MOVED), np.cumsum(steps, axis=0)])
    return np.asarray(walked - shares[:, None] * walked[-1])


def make_session(seed: int, vix_vol: float, marks: Marks) -> Session:
    """A day's minutes from its marks."""
    day = marks.day
    minutes = session_s(day) // 60
    rng = np.random.default_rng([seed, day.toordinal(), 2])
    shares = session_share(np.linspace(0.0, 1.0, minutes + 1))
    spans = np.diff(shares)
    scales = np.sqrt((1.0 - OVERNIGHT) * spans)[:, None] * _deviations(marks.opening, vix_vol)
    shocks = rng.standard_normal((minutes, MOVED)) @ FORWARD.T
    jumped = (np.arange(minutes + 1) > marks.jump_part * (minutes - 1))[:, None] * marks.jump
    begin, end = marks.opening[:MOVED], marks.closing[:MOVED]
    ends = begin + _bridge(scales * shocks, shares) + shares[:, None] * (end - begin - marks.jump) + jumped
    ends[-1] = end
    reach = 2.0 * scales**2 * -np.log(rng.random((2, minutes, MOVED)))
    across, moved = ends[:-1] + ends[1:], (ends[1:] - ends[:-1]) ** 2
    highs, lows = 0.5 * (across + np.sqrt(moved + reach[0])), 0.5 * (across - np.sqrt(moved + reach[1]))
    busy = np.exp(0.2 * rng.standard_normal(COUNT) + 0.9 * _excitement(marks.opening))
    noise = np.exp(0.35 * rng.standard_normal((minutes, COUNT)))
    years = np.linspace(index_years(opening(day)), index_years(closing(day)), minutes + 1)
    return Session(marks, ends, highs, lows, np.floor(VOLUMES * busy * spans[:, None] * noise), years, scales)


def _excitement(state: Floats) -> Floats:
    """How far each share's volatility lies above its calm one, in logarithms."""
    return np.asarray(np.log(short_vols(state[FEAR], state[FEAR + 1 :]) / CALM_VOLS))


def _seconds(seed: int, session: Session, minute: int) -> Floats:
    rng = np.random.default_rng([seed, session.marks.day.toordinal(), 4, minute])
    steps = session.scales[minute] / math.sqrt(60) * (rng.standard_normal((60, MOVED)) @ FORWARD.T)
    along = np.linspace(0.0, 1.0, 61)
    begin, end = session.ends[minute], session.ends[minute + 1]
    walked = begin + _bridge(steps, along) + along[:, None] * (end - begin)
    return np.asarray(np.clip(walked, session.lows[minute], session.highs[minute]))


def _night(seed: int, vix_vol: float, marks: Marks) -> Floats:
    """(minutes + 2, COUNT + 1) logarithms of prices and fear at the borders of the evening's minutes and of
    the morning's, which opens with the dividends taken off."""
    minutes = EVENING_MINUTES + MORNING_MINUTES
    rng = np.random.default_rng([seed, marks.day.toordinal(), 3])
    shares = np.linspace(0.0, 1.0, minutes + 1)
    scale = math.sqrt(OVERNIGHT / minutes) * _deviations(marks.before, vix_vol)
    steps = scale * (rng.standard_normal((minutes, MOVED)) @ FORWARD.T)
    begin, end = marks.before[:MOVED], marks.opening[:MOVED].copy()
    dropped = np.log1p(marks.dividends / np.exp(end[:COUNT]))
    end[:COUNT] += dropped
    jumped = (np.arange(minutes + 1) >= marks.night_minute)[:, None] * marks.night_jump
    walked = begin + _bridge(steps, shares) + shares[:, None] * (end - begin - marks.night_jump) + jumped
    walked = np.insert(walked, EVENING_MINUTES + 1, walked[EVENING_MINUTES], axis=0)
    walked[EVENING_MINUTES + 1 :, :COUNT] -= dropped
    return walked

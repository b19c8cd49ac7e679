"""Seeded paths of the model market's underlyings and of its volatility index, one trading day at a time.

Shares follow geometric Brownian motion whose volatility is the index at the day's start; the logarithm of
the index reverts to its mean and moves against the shares. A quarter of a day's variance is the gap
overnight. The same seed and start always give the same path, whatever was asked of it before.
"""

import math
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from options.hours import next_trading_day, opening, session_s, trading_day

FACTORS = ("SPY", "QQQ", "IWM", "VIX")
START_LEVELS = (690.0, 620.0, 262.0, 17.5)
VOL_RATIO = {"SPY": 1.0, "QQQ": 1.25, "IWM": 1.35}
CORRELATION = np.array(
    [
        [1.00, 0.92, 0.85, -0.78],
        [0.92, 1.00, 0.78, -0.74],
        [0.85, 0.78, 1.00, -0.68],
        [-0.78, -0.74, -0.68, 1.00],
    ]
)
MEAN_VIX = 17.5
VIX_REVERSION = 6.0
VIX_VOL = 1.1
REALISED_SHARE = 0.88
OVERNIGHT_SHARE = 0.25
DAYS_PER_YEAR = 252

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Paths:
    """The current day's path, made from the day's opening levels; the next day follows from its end."""

    seed: int
    day: date
    levels: Floats
    _path: Floats | None = None

    @classmethod
    def begin(cls, seed: int, day: date) -> "Paths":
        return cls(seed, day, np.array(START_LEVELS))

    def at(self, now: datetime) -> dict[str, float]:
        """USD per share (index points) at `now`, which must not lie before the current day."""
        while self.day < trading_day(now) and opening(next_trading_day(self.day)) <= now:
            self._next_day()
        second = min(max(int((now - opening(self.day)).total_seconds()), 0), session_s(self.day))
        row = self._today()[second]
        return {name: float(level) for name, level in zip(FACTORS, row, strict=True)}

    def previous_close(self) -> dict[str, float]:
        """The levels from which the current day began."""
        return {name: float(level) for name, level in zip(FACTORS, self.levels, strict=True)}

    def _shocks(self) -> tuple[Floats, Floats]:
        draws = np.random.default_rng([self.seed, self.day.toordinal()])
        correlated = draws.standard_normal((session_s(self.day) + 1, 4)) @ np.linalg.cholesky(CORRELATION).T
        return correlated[0], correlated[1:]

    def _today(self) -> Floats:
        """(seconds since the opening, factors); the gap after the close is left to `_next_day`."""
        if self._path is None:
            _, shocks = self._shocks()
            share = (1 - OVERNIGHT_SHARE) / DAYS_PER_YEAR
            seconds = session_s(self.day)
            logs = np.zeros((seconds + 1, 4))
            step = share / seconds
            vols = self._vols()
            moves = vols * math.sqrt(step) * shocks
            moves[:, :3] -= 0.5 * vols[:3] ** 2 * step
            logs[1:] = np.cumsum(moves, axis=0)
            pull = math.log(MEAN_VIX / self.levels[3]) * VIX_REVERSION * share
            logs[:, 3] += pull * np.linspace(0.0, 1.0, seconds + 1)
            self._path = self.levels * np.exp(logs)
        return self._path

    def _vols(self) -> Floats:
        base = self.levels[3] / 100 * REALISED_SHARE
        return np.array([*(base * VOL_RATIO[name] for name in FACTORS[:3]), VIX_VOL])

    def _next_day(self) -> None:
        last = self._today()[-1]
        gap, _ = self._shocks()
        share = OVERNIGHT_SHARE / DAYS_PER_YEAR
        pull = np.array([0.0, 0.0, 0.0, math.log(MEAN_VIX / last[3]) * VIX_REVERSION * share])
        self.levels = last * np.exp(self._vols() * math.sqrt(share) * gap + pull)
        self.day = next_trading_day(self.day)
        self._path = None

    def save(self) -> dict[str, Any]:
        return {"seed": self.seed, "day": self.day.isoformat(), "levels": self.levels.tolist()}

    @classmethod
    def load(cls, saved: dict[str, Any]) -> "Paths":
        return cls(saved["seed"], date.fromisoformat(saved["day"]), np.array(saved["levels"]))

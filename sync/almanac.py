"""What is known of the underlyings by the day: calendar of events, place of implied volatility, moves."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from broker.events import DailyKind, DailyValues
from options.hours import trading_day
from sync.calendar import EventCalendar
from sync.volatility_history import Row, VolatilityHistory

Floats = NDArray[np.float64]

WHOLE_YEAR = 365
ASK_EVERY = timedelta(hours=1)
"""So often the latest value of a day that is not over is asked for again."""
PATIENCE = timedelta(seconds=60)
"""An answer that has not come by then does not come: the next question is asked."""

DAILY_DTYPE = np.dtype(
    [
        (name, np.float64)
        for name in ("iv_rank", "iv_percentile", "iv_age_days", "days_to_earnings", "days_to_ex_dividend")
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class AlmanacPage:
    """What holds for one day in New York. `daily` are the `underlyings` in their order (`DAILY_DTYPE`), NaN
    for unknown; `covariance` as `VolatilityHistory.covariance`; `calendar_age_days` None without one."""

    day: date
    underlyings: tuple[str, ...]
    daily: NDArray[np.void]
    covariance: Floats
    calendar_age_days: int | None


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask the broker: values of this kind of the last `days` days."""

    symbol: str
    kind: DailyKind
    days: int


class Almanac:
    """The page of today, made anew when the day, the underlyings or what is known have changed.

    History is asked for one question after the other, so that the broker's limits are never near.
    """

    def __init__(self) -> None:
        self.calendar = EventCalendar()
        self.history = VolatilityHistory()
        self._page: AlmanacPage | None = None
        self._made_of: tuple[object, ...] = ()
        self._asked: dict[tuple[str, DailyKind], datetime] = {}
        self._waits_for: tuple[str, DailyKind] | None = None
        self.refusals: dict[tuple[str, DailyKind], str] = {}
        """Why the broker did not give a history, when it was last asked."""

    def question(self, symbols: Iterable[str], now: datetime) -> Question | None:
        """What to ask now; None while an answer is awaited, and when everything is new enough."""
        if self._waits_for is not None and now - self._asked[self._waits_for] < PATIENCE:
            return None
        self._waits_for = None
        for key in ((symbol, kind) for symbol in symbols for kind in DailyKind):
            last = self._asked.get(key)
            if last is None or now - last >= ASK_EVERY:
                self._asked[key], self._waits_for = now, key
                return Question(*key, self._days_missing(*key, trading_day(now)))
        return None

    def answer(self, symbol: str, told: DailyValues, now: datetime) -> list[Row]:
        """Take in what the broker has; returns the rows of `underlying_days` to record. A history that was
        restated is asked for anew as a whole."""
        key = (symbol, told.kind)
        if self._waits_for == key:
            self._waits_for = None
        self.refusals.pop(key, None)
        if told.refusal:
            self.refusals[key] = told.refusal
        if self.history.is_restated(*key, told.values):
            self.history.forget(*key)
            self._asked.pop(key, None)
            return []
        return self.history.take(*key, told.values, trading_day(now))

    def forget_questions(self) -> None:
        """The connection is gone, and with it the answers."""
        if self._waits_for is not None:
            del self._asked[self._waits_for]
            self._waits_for = None

    def _days_missing(self, symbol: str, kind: DailyKind, today: date) -> int:
        last = self.history.last_day(symbol, kind)
        return WHOLE_YEAR if last is None else min(WHOLE_YEAR, (today - last).days + 2)

    def page(self, underlyings: Sequence[str], now: datetime) -> AlmanacPage:
        made_of = trading_day(now), tuple(underlyings), self.calendar, self.history.revision
        if self._page is None or made_of != self._made_of:
            self._page, self._made_of = self._new_page(made_of[1], made_of[0]), made_of
        return self._page

    def _new_page(self, underlyings: tuple[str, ...], today: date) -> AlmanacPage:
        rows = []
        for symbol in underlyings:
            place = self.history.iv_place(symbol, today)
            rows.append(
                (
                    place.rank,
                    place.percentile,
                    None if place.day is None else (today - place.day).days,
                    self.calendar.days_to_earnings(symbol, today),
                    self.calendar.days_to_ex_dividend(symbol, today),
                )
            )
        return AlmanacPage(
            today,
            underlyings,
            np.array(rows, DAILY_DTYPE),
            self.history.covariance(underlyings, today),
            self.calendar.age_days(today),
        )

"""What may befall the model market, by name.

A scenario is a handful of parameters and, where history is told again, a programme of days: what the market
(SPY) does from close to close and where its volatility index closes. Everything that the programme leaves
open comes from the seed. Sources of the programmes: daily closes of SPY and of the Cboe Volatility Index.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.gateway.errors import GatewayError
from options.hours import is_open, opening, trading_day


@dataclass(frozen=True, slots=True)
class Day:
    """`move` of the market in percent, close to close, of which the part `gap` happens overnight; `vix` at
    the close."""

    move: float
    vix: float
    gap: float = 0.35


@dataclass(frozen=True, slots=True)
class Squeeze:
    """One share goes its own way: `moves` in percent, close to close, and how much of its volatility comes on
    top (in logarithms) by each close."""

    symbol: str
    moves: tuple[float, ...]
    excitement: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """`vix` at the beginning and the `mean_vix` to which it tends, `pull` times a year; `vix_vol` is how much
    it moves (annual, in logarithms); `drift` of the market per year. `days` begin with the first day; None
    leaves a day to chance. `spread_factor` widens all quotes; `freezes` are the minutes (from, to) after each
    opening during which no quote changes.
    """

    name: str
    about: str
    vix: float = 17.5
    mean_vix: float = 17.5
    pull: float = 9.0
    vix_vol: float = 1.35
    drift: float = 0.06
    jumps_per_year: float = 3.0
    days: tuple[Day | None, ...] = ()
    squeeze: Squeeze | None = None
    spread_factor: float = 1.0
    freezes: tuple[tuple[int, int], ...] = ()

    def quoted_at(self, now: datetime) -> datetime:
        """The moment whose quotes stand at `now`: an earlier one while they are frozen."""
        if self.freezes and is_open(now):
            begin = opening(trading_day(now))
            minute = (now - begin).total_seconds() / 60
            for first, last in self.freezes:
                if first <= minute < last:
                    return begin + timedelta(minutes=first)
        return now


def _days(*pairs: tuple[float, float]) -> tuple[Day, ...]:
    return tuple(Day(move, vix) for move, vix in pairs)


_CRASH_2020 = _days(
    # 20 February to 23 March 2020: 23 trading days.
    *((-0.41, 15.56), (-1.03, 17.08), (-3.32, 25.03), (-3.03, 27.85), (-0.37, 27.56), (-4.49, 39.16)),
    *((-0.42, 40.11), (4.33, 33.42), (-2.86, 36.82), (4.20, 31.99), (-3.32, 39.62), (-1.65, 41.94)),
    *((-7.81, 54.46), (5.17, 47.30), (-4.87, 53.90), (-9.57, 75.47), (8.55, 57.83), (-10.94, 82.69)),
    *((5.40, 75.91), (-5.06, 76.45), (0.21, 72.00), (-4.31, 66.04), (-2.56, 61.59)),
    # And the recovery to 9 April.
    *((9.06, 61.67), (1.50, 63.95), (5.84, 61.00), (-2.98, 65.54), (3.25, 57.08), (-1.49, 53.54)),
    *(
        (-4.50, 57.06),
        (2.31, 50.91),
        (-1.45, 46.80),
        (6.72, 45.24),
        (0.10, 46.70),
        (3.36, 43.35),
        (1.52, 41.67),
    ),
)
_VOLMAGEDDON_2018 = _days(
    # 31 January to 16 February 2018; 5 February brought the index's largest rise of a day.
    *((0.05, 13.54), (-0.11, 13.47), (-2.18, 17.31), (-4.18, 37.32), (1.98, 29.98), (-0.53, 27.73)),
    *(
        (-3.75, 33.46),
        (1.50, 29.06),
        (1.45, 25.61),
        (0.25, 24.97),
        (1.35, 19.26),
        (1.25, 19.13),
        (0.03, 19.46),
    ),
)

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("calm", "an ordinary market"),
        Scenario(
            "grind",
            "the market loses a little almost every day and fear creeps up",
            vix=19.0,
            mean_vix=27.0,
            vix_vol=0.6,
            drift=-0.75,
            jumps_per_year=0.0,
        ),
        Scenario(
            "crash_2020",
            "the pandemic: a third of the market's value in 23 trading days, the index above 80",
            vix=14.38,
            mean_vix=25.0,
            spread_factor=1.5,
            days=_CRASH_2020,
        ),
        Scenario(
            "volmageddon_2018",
            "the index more than doubles in one day out of a calm and is partly back within days",
            vix=14.79,
            mean_vix=18.0,
            spread_factor=1.3,
            days=_VOLMAGEDDON_2018,
        ),
        Scenario(
            "gap",
            "the market opens 5 % lower on the second day",
            days=(None, Day(-5.0, 29.0, gap=1.0), Day(1.2, 25.5)),
        ),
        Scenario(
            "squeeze",
            "one cheap share more than doubles in a week and its options cost three times as much",
            squeeze=Squeeze(
                "PLUG",
                (8.0, 19.0, 51.0, -7.0, 34.0, 22.0, -18.0, -12.0),
                (0.2, 0.4, 0.8, 0.9, 1.1, 1.2, 1.0, 0.9),
            ),
        ),
        Scenario(
            "vol_crush",
            "after a scare fear halves within days",
            vix=38.0,
            mean_vix=17.0,
            days=_days((1.6, 33.0), (2.1, 27.5), (0.4, 25.0), (1.3, 21.0), (0.7, 18.8), (0.5, 17.4)),
        ),
        Scenario(
            "frozen",
            "for five minutes in every half hour no quote changes while time goes on",
            freezes=tuple((minute, minute + 5) for minute in range(35, 390, 30)),
        ),
    )
}


def scenario_named(name: str) -> Scenario:
    """Raises GatewayError for a name that there is not."""
    if name not in SCENARIOS:
        raise GatewayError(f"no scenario {name!r}: there are {', '.join(SCENARIOS)}")
    return SCENARIOS[name]

"""The model market: values and quotes of many options, against QuantLib's own Barone-Adesi and Whaley engine.

Processor time, so that other work on the machine counts little. QuantLib values one option after the other
and knows no surface, dividends, Greeks or quotes: the ratio says what doing all of them at once costs.
"""

import time
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import QuantLib as ql  # noqa: N813

from broker.gateway.markets.model import DEFAULT_START, ModelMarket
from broker.gateway.markets.model.course import Course
from broker.gateway.markets.model.paths import Paths
from broker.gateway.markets.model.scenarios import SCENARIOS
from options import ConId

_MANY = 5_000
_LIMITS = {_MANY: 3.0, 800: 6.0}
_SECOND = timedelta(seconds=1)


def _milliseconds(act: Callable[[int], object], times: int = 20) -> float:
    """Of processor time, once."""
    act(0)
    begun = time.process_time()
    for n in range(1, times + 1):
        act(n)
    return (time.process_time() - begun) / times * 1000


def _quantlib() -> Callable[[int], object]:
    """Values as many puts, one after the other."""
    today = ql.Date(2, 3, 2026)
    ql.Settings.instance().evaluationDate = today
    count = ql.Actual365Fixed()
    curve = ql.YieldTermStructureHandle(ql.FlatForward(today, 0.04, count))
    flat = ql.YieldTermStructureHandle(ql.FlatForward(today, 0.0, count))
    vol = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), 0.2, count))
    spot = ql.SimpleQuote(690.0)
    process = ql.BlackScholesMertonProcess(ql.QuoteHandle(spot), flat, curve, vol)
    engine = ql.BaroneAdesiWhaleyApproximationEngine(process)
    exercise = ql.AmericanExercise(today, today + 46)
    options = [
        ql.VanillaOption(ql.PlainVanillaPayoff(ql.Option.Put, float(strike)), exercise)
        for strike in np.linspace(500, 850, _MANY)
    ]
    for option in options:
        option.setPricingEngine(engine)

    def value(n: int) -> float:
        spot.setValue(690.0 + 0.01 * n)
        return float(sum(option.NPV() for option in options))

    return value


def _quoting(market: ModelMarket, con_ids: list[ConId]) -> Callable[[int], object]:
    """Quotes the same contracts at one second after the other."""
    return lambda n: market.quotes(con_ids, DEFAULT_START + (len(con_ids) + n) * _SECOND)


def main() -> None:
    market = ModelMarket(7)
    ids = [contract.con_id for contract in market.listings if contract.expiry]
    rival_ms = _milliseconds(_quantlib(), 5)
    print(f"QuantLib, {_MANY} values: {rival_ms:.1f} ms")
    for count, limit in _LIMITS.items():
        ms = _milliseconds(_quoting(market, ids[:count]))
        ratio = ms / count * _MANY / rival_ms
        print(f"{count} quotes with Greeks: {ms:.1f} ms, {ratio:.1f} times QuantLib's (limit {limit})")
    paths = Paths(Course(7, DEFAULT_START.date(), SCENARIOS["calm"]))
    second_ms = _milliseconds(lambda n: paths.at(DEFAULT_START + n * _SECOND), 200)
    print(f"one second of all underlyings: {second_ms:.3f} ms")
    day_ms = _milliseconds(lambda n: market.quotes([], DEFAULT_START + timedelta(days=n)), 30)
    print(f"a new day, listed and summed up: {day_ms:.1f} ms")
    start_ms = _milliseconds(lambda n: ModelMarket(n).first_holdings(), 5)
    print(f"a new market with {len(ids)} options and the newcomer's holdings: {start_ms:.0f} ms")


if __name__ == "__main__":
    main()

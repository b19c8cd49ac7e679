"""The rules engine against its promises: ratios of one run, so that the machine does not matter."""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import polars as pl

import rules
from rules.judgement import judge

NOW = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)
MARKET = {"vix": 20.0, "book_positions": 20}
# Known on every beat; the rest of the catalogue is left out, as it mostly is.
FACTS = ("profit", "delta", "gamma", "iv_change", "underlying_change_1h", "vix_change")


def positions(count: int) -> pl.DataFrame:
    """Random positions in which a few rules fire, 5 % of the values unknown."""
    chance = random.Random(7)

    def some(values: Callable[[], Any]) -> list[Any]:
        return [None if chance.random() < 0.05 else values() for _ in range(count)]

    structures = ("iron_condor", "put_credit_spread", "short_put", "iron_butterfly")
    regimes = ("crash", "high_vol", "normal", "low_vol")
    columns = [pl.Series("position", [f"P{number}" for number in range(count)])]
    columns += [pl.Series(name, some(lambda: chance.gauss(0, 0.3)), pl.Float64) for name in FACTS]
    columns.append(pl.Series("dte", some(lambda: chance.randint(0, 60)), pl.Int64))
    columns.append(pl.Series("iv_percentile", some(lambda: chance.uniform(0, 100)), pl.Float64))
    columns.append(pl.Series("structure", some(lambda: chance.choice(structures)), pl.String))
    columns.append(pl.Series("regime", some(lambda: chance.choice(regimes)), pl.String))
    return pl.DataFrame(columns)


def best_of(rounds: int, work: Callable[[], object]) -> float:
    """Seconds of the quickest round: what the work costs when nothing else disturbs."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


def main() -> None:
    book = rules.load(rules.default_rules_path())
    seconds: dict[int, float] = {}
    for count in (3, 100, 10_000):
        facts = positions(count)
        state, _ = rules.step(book, rules.initial_state(), facts, MARKET, NOW)
        seconds[count] = best_of(40, lambda f=facts, s=state: rules.step(book, s, f, MARKET, NOW))  # type: ignore[misc]
        print(f"step, 12 rules, {count:>6} positions: {1e3 * seconds[count]:7.2f} ms")
    growth = seconds[10_000] / seconds[100]
    print(f"10,000 positions against 100: {growth:.2f} times the time (limit 2.5)")

    rows = positions(1_000).to_dicts()
    scalar = best_of(3, lambda: [judge(book, {}, row, MARKET, NOW) for row in rows]) / len(rows)
    ratio = scalar / (seconds[10_000] / 10_000)
    print(f"scalar interpreter: {1e6 * scalar:.1f} µs per position")
    print(f"polars at 10,000 against the scalar interpreter: {ratio:.0f} times as fast (limit 40)")

    row = rows[0]
    explained = best_of(50, lambda: rules.explain(book, rules.initial_state(), row, MARKET, NOW))
    print(f"explain: {1e3 * explained:.2f} ms, {explained / scalar:.1f} scalar evaluations")


if __name__ == "__main__":
    main()

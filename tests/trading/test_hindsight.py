"""What two revisions would have made of positions, in USD; what is not known is not counted as nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from trading.hindsight import Ending, Held, Result, Tally, results, tallies
from trading.what_if import CARRIED_OUT, CHANGES

NOON = datetime(2026, 1, 5, 17, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


def held(lots: int | None = 4, usd: float | None = 100.0) -> Held:
    per_lot = None if usd is None or not lots else usd / lots
    return Held("A", lots, usd, per_lot, Ending.REALIZED, NOON + timedelta(days=1), was_closed=True)


def done(*acts: tuple[str, float, int, str]) -> pl.DataFrame:
    """What the old revision carried out: (action, P&L in USD, lots really held, params), an hour apart."""
    rows = [
        {
            "side": "old",
            "time": NOON + timedelta(hours=place),
            "position": "A",
            "profit_usd": usd,
            "lots": lots,
            "rule": f"rule{place}",
            "action": action,
            "params": params,
        }
        for place, (action, usd, lots, params) in enumerate(acts)
    ]
    return pl.DataFrame(rows, schema=CARRIED_OUT)


def test_who_closes_gets_the_profit_of_then_and_who_holds_gets_the_end() -> None:
    (one,) = results(done(("close", 60.0, 4, "{}")), [held()])
    assert one.old == Result(60.0, NOON, "rule0", "close")
    assert one.new == Result(100.0, held().time)
    assert one.gain_usd == 40.0


@pytest.mark.parametrize(
    ("params", "usd"),
    [
        ('{"count": "half"}', 30.0 + 50.0),
        ('{"count": 1}', 15.0 + 75.0),
        ('{"count": 9}', 60.0),
    ],
)
def test_a_reduce_takes_its_lots_out_and_the_rest_goes_on(params: str, usd: float) -> None:
    (one,) = results(done(("reduce", 60.0, 4, params)), [held()])
    assert one.old.usd == pytest.approx(usd)
    assert one.old.rule is None


def test_lots_that_were_really_reduced_meanwhile_count_by_the_lot() -> None:
    """The close comes when only two of four lots were really held, at 10 USD each."""
    (one,) = results(done(("reduce", 60.0, 4, '{"count": 1}'), ("close", 20.0, 2, "{}")), [held()])
    assert one.old.usd == pytest.approx(15.0 + 3 * 10.0)


def test_a_single_lot_is_not_halved() -> None:
    (one,) = results(done(("reduce", 60.0, 1, '{"count": "half"}')), [held(lots=1)])
    assert one.old.usd == 100.0


@pytest.mark.parametrize(("lots", "usd"), [(4, None), (None, None)])
def test_an_end_that_is_not_known_makes_the_result_unknown_not_nothing(
    lots: int | None, usd: float | None
) -> None:
    (one,) = results(done(("reduce", 60.0, 4, '{"count": 1}')), [held(lots, usd)])
    assert (one.old.usd, one.new.usd, one.gain_usd) == (None, None, None)


def test_rules_are_summed_by_priority_and_unknown_results_are_counted_apart() -> None:
    decided = pl.DataFrame(
        [
            change("A", old=("stop", 5), new=("roll", 11)),
            change("A", new=("roll", 11)),
            change("B", old=("stop", 5)),
        ],
        schema=CHANGES,
    )
    closed = done(("close", 60.0, 4, "{}")).with_columns(rule=pl.lit("stop"))
    other = Held("B", 1, None, None, Ending.LAST_KNOWN, LATER)
    stop, roll, rest = tallies(decided, results(closed, [held(), other]))
    assert (stop.rule, stop.old, stop.new) == ("stop", Tally(2, 1, 60.0), Tally())
    assert (roll.rule, roll.old, roll.new) == ("roll", Tally(), Tally(2))
    assert (rest.rule, rest.old) == (None, Tally(0, 1, 0.0, unknown=1))
    assert rest.new == Tally(0, 2, 100.0, unknown=1)


def change(position: str, **sides: tuple[str, int]) -> dict[str, Any]:
    row: dict[str, Any] = {"time": NOON, "position": position}
    for side, (rule, priority) in sides.items():
        row |= {f"{side}_rule": rule, f"{side}_priority": priority, f"{side}_action": "close"}
    return row

"""The language's values: three-valued logic, and two evaluators that always agree."""

import itertools
import math
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rules
from rules.judgement import judge

NOON = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)
TRUTH = {True: 1.0, False: -1.0, None: None}


def book(condition: str, **keys: str) -> rules.Rulebook:
    lines = "".join(f"\n    {key}: {value}" for key, value in keys.items())
    return rules.parse(
        f'rules:\n  - id: probe\n    priority: 1\n    when: "{condition}"\n    do: {{close: mid}}{lines}\n'
    )


def outcome(rulebook: rules.Rulebook, rows: list[dict[str, Any]]) -> list[bool | None]:
    """True, False or None (unknown) per row, by the polars evaluator."""
    names = sorted({name for row in rows for name in row})
    frame = pl.DataFrame(
        [pl.Series("position", [str(n) for n in range(len(rows))])]
        + [pl.Series(name, [row.get(name) for row in rows], rules.FACTS[name].dtype) for name in names]
    )
    _, decisions = rules.step(rulebook, rules.initial_state(), frame, {}, NOON)
    fired, unknown = decisions["fired"].to_list(), decisions["unknown"].to_list()
    return [True if fired[n] else None if unknown[n] else False for n in range(len(rows))]


def scalar_outcome(rulebook: rules.Rulebook, row: dict[str, Any]) -> bool | None:
    judged = judge(rulebook, {}, {"position": "A", **row}, {}, NOON)
    return judged.rules[0].holds


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (
            "delta > 0 and gamma > 0",
            lambda a, b: False if False in (a, b) else None if None in (a, b) else True,
        ),
        (
            "delta > 0 or gamma > 0",
            lambda a, b: True if True in (a, b) else None if None in (a, b) else False,
        ),
        ("not delta > 0", lambda a, _: None if a is None else not a),
    ],
)
def test_unknown_makes_a_condition_unknown_unless_the_rest_decides(condition: str, expected: Any) -> None:
    pairs = list(itertools.product((True, False, None), repeat=2))
    rows = [{"delta": TRUTH[a], "gamma": TRUTH[b]} for a, b in pairs]
    wanted = [expected(a, b) for a, b in pairs]
    assert outcome(book(condition), rows) == wanted
    assert [scalar_outcome(book(condition), row) for row in rows] == wanted


@pytest.mark.parametrize(
    ("condition", "facts", "expected"),
    [
        ("dte between 7d and 21d", {"dte": 7}, True),
        ("dte between 7d and 21d", {"dte": 21}, True),
        ("dte between 7d and 21d", {"dte": 22}, False),
        ("structure in ('iron_condor', 'short_put')", {"structure": "short_put"}, True),
        ("structure in ('iron_condor', 'short_put')", {"structure": "long_put"}, False),
        ("structure in ('iron_condor', 'short_put')", {}, None),
        ("structure != 'short_put'", {"structure": "long_put"}, True),
        ("profit_usd / net_credit_usd >= 50%", {"profit_usd": 50.0, "net_credit_usd": 100.0}, True),
        ("profit_usd / net_credit_usd >= 50%", {"profit_usd": 50.0, "net_credit_usd": 0.0}, None),
        ("max(delta, gamma) > 1", {"delta": 2.0}, None),
        ("min(delta, gamma) < 1", {"delta": 2.0, "gamma": 0.5}, True),
        ("abs(delta) * 2 + gamma > 1.5", {"delta": -0.5, "gamma": 0.6}, True),
        ("-delta > - -gamma - 1", {"delta": -0.5, "gamma": 1.4}, True),
        ("profit >= 0.5", {"profit": 0.5}, True),
        ("quote_age > 2m", {"quote_age": 121.0}, True),
        ("quote_age > 2h", {"quote_age": 7200.0}, False),
        ("profit >= 3x", {"profit": 3.0}, True),
        ("max_loss_usd > $500", {"max_loss_usd": 500.01}, True),
        ("vix > 35", {"vix": 36.0}, True),
        ("iv_percentile < 1e1", {"iv_percentile": 9.0}, True),
        ("(delta > 1 or gamma > 1) and lots > 1", {"delta": 2.0, "lots": 1}, False),
    ],
)
def test_the_language_means_what_it_says(
    condition: str, facts: dict[str, Any], expected: bool | None
) -> None:
    rulebook = book(condition)
    assert outcome(rulebook, [facts]) == [expected]
    assert scalar_outcome(rulebook, facts) is expected


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_a_fact_that_is_not_finite_is_unknown(value: float | None) -> None:
    rulebook = book("delta > 0.5 or delta <= 0.5")
    assert outcome(rulebook, [{"delta": value}]) == [None]
    assert scalar_outcome(rulebook, {"delta": value}) is None


@pytest.mark.parametrize("key", ["clear_when: {}", 'urgency: {{high: "{}"}}', "for: 3s\n    when: {}"])
@pytest.mark.parametrize("condition", ["0 < delta", "-1 < delta", "$p >= delta", "not 1 == max(0, delta)"])
@pytest.mark.parametrize("seen", [[None], [None, None], [0.5, None]])
def test_a_number_may_stand_before_a_fact_that_is_unknown_everywhere(
    key: str, condition: str, seen: list[float | None]
) -> None:
    keys = key.format(condition)
    when = "" if "when: " in keys.replace("clear_when", "") else "    when: delta < 1\n"
    text = f"rules:\n  - id: probe\n    priority: 1\n{when}    params: {{p: 2}}\n    do: close\n    {keys}\n"
    positions = [f"P{place}" for place in range(len(seen))]
    facts = pl.DataFrame({"position": positions, "delta": pl.Series(seen, dtype=pl.Float64)})
    _, decisions = rules.step(rules.parse(text), rules.initial_state(), facts, {}, NOON)
    assert decisions["position"].to_list() == positions
    assert [bool(unknown) for unknown in decisions["unknown"].to_list()] == [value is None for value in seen]


def test_an_intermediate_result_that_is_not_finite_is_unknown() -> None:
    rulebook = book("1 / (delta / gamma) > 0 or 1 / (delta / gamma) <= 0")
    assert outcome(rulebook, [{"delta": 1.0, "gamma": 0.0}]) == [None]
    rulebook = book("delta * delta / delta > 0")
    assert outcome(rulebook, [{"delta": 1e300}]) == [None]


def test_percentages_are_the_floats_that_a_trader_means() -> None:
    for percent in range(1, 300):
        assert outcome(book(f"profit >= {percent}%"), [{"profit": percent / 100}]) == [True]


def test_a_quotient_is_the_nearest_number_whatever_divides() -> None:
    """polars would multiply by the reciprocal of a divisor that is the same in every row."""
    for number in range(1, 100):
        rulebook = book(
            f"profit_usd / $100 == {number}% and profit_usd / $p == {number}%", params="{p: $100}"
        )
        assert outcome(rulebook, [{"profit_usd": float(number)}] * 2) == [True, True]


NUMBERS = ("delta", "gamma", "lots", "positions_same_underlying")


def numbers(depth: int) -> st.SearchStrategy[str]:
    leaf = st.sampled_from(NUMBERS) | st.sampled_from(["0", "1", "2.5", "0.1", "-3.0", "1e200", "$p"])
    if depth == 0:
        return leaf
    below = numbers(depth - 1)
    return (
        leaf
        | st.builds("({} {} {})".format, below, st.sampled_from("+-*/"), below)
        | st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), below, below)
        | st.builds("abs({})".format, below)
        | st.builds("-{}".format, below)
    )


def conditions(depth: int) -> st.SearchStrategy[str]:
    number = numbers(2)
    comparison = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
    leaf = (
        st.builds("{} {} {}".format, number, comparison, number)
        | st.builds("{} between {} and {}".format, number, number, number)
        | st.builds("structure in ('{}', '{}')".format, *[st.sampled_from(["iron_condor", "stock"])] * 2)
    )
    if depth == 0:
        return leaf
    below = conditions(depth - 1)
    return (
        leaf
        | st.builds("({} and {})".format, below, below)
        | st.builds("({} or {})".format, below, below)
        | st.builds("not ({})".format, below)
    )


VALUES = (
    st.none() | st.sampled_from([0.0, -0.0, 1.0, 2.5, math.nan, math.inf, 1e200, -1e-200]) | st.floats(-3, 3)
)
COUNTS = st.none() | st.integers(-2, 3)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "delta": VALUES,
            "gamma": VALUES,
            "lots": COUNTS,
            "positions_same_underlying": COUNTS,
            "structure": st.sampled_from(["iron_condor", "stock", "short_put", None]),
        }
    ),
    min_size=12,
    max_size=12,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(condition=conditions(2), rows=ROWS)
def test_both_evaluators_agree_on_random_conditions(condition: str, rows: list[dict[str, Any]]) -> None:
    """300 conditions × 12 rows: 3,600 evaluations."""
    rulebook = book(
        condition,
        params="{p: 0.5}",
        overrides="{iron_condor: {p: 2.0}, stock: {p: -1.0}}",
    )
    assert outcome(rulebook, rows) == [scalar_outcome(rulebook, row) for row in rows]

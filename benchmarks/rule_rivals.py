"""Other ways to judge the twelve rules: by hand in Python, by zen-engine, by durable_rules.

By hand all the work of one position is done: decide, and say what is remembered. The two engines only decide;
what is remembered, and what their languages lack, is put before them as facts, outside of the time.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import polars as pl

from rules import RuleState

Row = Mapping[str, Any]
Judge = Callable[[Row, Row, datetime], tuple[str | None, dict[str, Any]]]
"""Facts of a position, what is remembered of it, and the time: the winning rule, and what to remember."""


# By hand


def by_hand(facts: Row, memory: Row, now: datetime) -> tuple[str | None, dict[str, Any]]:
    """What somebody would write who needs no language, no units, no explanation and no second revision."""
    after: dict[str, Any] = {}
    profit, delta, gamma = facts["profit"], facts["delta"], facts["gamma"]
    dte, iv_change, vix_change = facts["dte"], facts["iv_change"], facts["vix_change"]
    drop, structure = facts["underlying_change_1h"], facts["structure"]
    peak, worst = memory.get("track:peak_profit"), memory.get("track:worst_profit")
    if profit is not None:
        peak = profit if peak is None or profit > peak else peak
        worst = profit if worst is None or profit < worst else worst
    after["track:peak_profit"], after["track:worst_profit"] = peak, worst

    def held(name: str, met: bool, seconds: float) -> bool:
        if not met:
            return False
        since = after[name] = memory.get(name) or now
        return (now - since).total_seconds() >= seconds

    def rested(name: str, seconds: float) -> bool:
        last = after[name] = memory.get(name)
        return last is None or (now - last).total_seconds() >= seconds

    def sticky(name: str, met: bool, cleared: bool) -> bool:
        after[name] = met or (bool(memory.get(name)) and not cleared)
        return after[name]

    keep = 0.5 if structure == "iron_condor" else 0.4
    fires = {
        "catastrophe": held(
            "since:catastrophe:0",
            (drop is not None and drop <= -0.03) or (iv_change is not None and iv_change >= 0.5),
            10,
        ),
        "single_leg_exit": structure in ("short_put", "long_put")
        and ((profit is not None and (profit >= 0.8 or profit <= -0.5)) or (dte is not None and dte <= 21)),
        "trailing_stop": held(
            "since:trailing_stop:0",
            profit is not None and peak is not None and peak >= 0.4 and profit <= peak * keep,
            30,
        ),
        "vix_exit": sticky(
            "active:vix_exit",
            vix_change is not None and vix_change >= 5,
            vix_change is not None and vix_change < 3,
        ),
        "stop_loss": held(
            "since:stop_loss:0",
            profit is not None and (profit <= -2 or (dte is not None and dte < 7 and profit <= -0.5)),
            20,
        ),
        "time_exit": dte is not None and dte <= 1,
        "delta_risk": sticky(
            "active:delta_risk",
            delta is not None and abs(delta) > 0.45,
            delta is not None and abs(delta) < 0.3,
        ),
        "gamma_risk": held(
            "since:gamma_risk:0", gamma is not None and abs(gamma) > 0.3 and dte is not None and dte < 14, 60
        ),
        "iv_crush": iv_change is not None and iv_change <= -0.3 and profit is not None and profit > 0.2,
        "dte_roll": dte is not None and dte <= 25,
    }
    for name, seconds in (
        ("single_leg_exit", 600),
        ("time_exit", 300),
        ("iv_crush", 1800),
        ("dte_roll", 3600),
    ):
        fires[name] = rested(f"last:{name}", seconds) and fires[name]
    halved = after["latch:take_profit:1"] = bool(memory.get("latch:take_profit:1"))
    recovered = after["latch:recovered:0"] = bool(memory.get("latch:recovered:0"))
    fires["take_profit"] = profit is not None and (profit >= 0.8 or (profit >= 0.5 and not halved))
    fires["recovered"] = (
        not recovered and worst is not None and worst <= -0.6 and profit is not None and profit > -0.1
    )
    winner = next((name for name in BY_PRIORITY if fires[name]), None)
    if winner in ("single_leg_exit", "time_exit", "iv_crush", "dte_roll"):
        after[f"last:{winner}"] = now
    if winner == "take_profit" and profit < 0.8:
        after["latch:take_profit:1"] = True
    if winner == "recovered":
        after["latch:recovered:0"] = True
    return winner, after


BY_PRIORITY = (
    "catastrophe",
    "single_leg_exit",
    "trailing_stop",
    "vix_exit",
    "stop_loss",
    "time_exit",
    "take_profit",
    "delta_risk",
    "gamma_risk",
    "iv_crush",
    "dte_roll",
    "recovered",
)


# By engines

_CONDITIONS: tuple[tuple[str, tuple[tuple[tuple[str, str, Any], ...], ...]], ...] = (
    (
        "catastrophe",
        (
            (("underlying_change_1h", "<=", -0.03), ("held_catastrophe", ">=", 10)),
            (("iv_change", ">=", 0.5), ("held_catastrophe", ">=", 10)),
        ),
    ),
    (
        "single_leg_exit",
        tuple(
            (("structure", "==", structure), condition, ("rested_single_leg_exit", ">=", 600))
            for structure in ("short_put", "long_put")
            for condition in (("profit", ">=", 0.8), ("profit", "<=", -0.5), ("dte", "<=", 21))
        ),
    ),
    ("trailing_stop", ((("gives_back", "==", 1), ("held_trailing_stop", ">=", 30)),)),
    (
        "vix_exit",
        (
            (("vix_change", ">=", 5),),
            (("active_vix_exit", "==", 1), ("vix_change", ">=", 3)),
            (("active_vix_exit", "==", 1), ("knows_vix_change", "==", 0)),
        ),
    ),
    (
        "stop_loss",
        (
            (("profit", "<=", -2), ("held_stop_loss", ">=", 20)),
            (("dte", "<", 7), ("profit", "<=", -0.5), ("held_stop_loss", ">=", 20)),
        ),
    ),
    ("time_exit", ((("dte", "<=", 1), ("rested_time_exit", ">=", 300)),)),
    ("take_profit", ((("profit", ">=", 0.8),), (("profit", ">=", 0.5), ("done_take_profit", "==", 0)))),
    (
        "delta_risk",
        (
            (("abs_delta", ">", 0.45),),
            (("active_delta_risk", "==", 1), ("abs_delta", ">=", 0.3)),
            (("active_delta_risk", "==", 1), ("knows_delta", "==", 0)),
        ),
    ),
    ("gamma_risk", ((("abs_gamma", ">", 0.3), ("dte", "<", 14), ("held_gamma_risk", ">=", 60)),)),
    ("iv_crush", ((("iv_change", "<=", -0.3), ("profit", ">", 0.2), ("rested_iv_crush", ">=", 1800)),)),
    ("dte_roll", ((("dte", "<=", 25), ("rested_dte_roll", ">=", 3600)),)),
    ("recovered", ((("worst_profit", "<=", -0.6), ("profit", ">", -0.1), ("done_recovered", "==", 0)),)),
)
"""Rules by priority as alternatives, each some comparisons that must all hold."""


def put_before(facts: Row, memory: Row, now: datetime) -> dict[str, Any]:
    """A position's facts and what is remembered of it, as numbers and texts that an engine can compare."""
    seen = dict(facts)
    profit = facts["profit"]
    folds = ((max, "peak_profit"), (min, "worst_profit"))
    for fold, name in folds:
        known = [value for value in (memory.get(f"track:{name}"), profit) if value is not None]
        seen[name] = fold(known) if known else None
    keep = 0.5 if facts["structure"] == "iron_condor" else 0.4
    peak = seen.pop("peak_profit")
    seen["gives_back"] = int(
        peak is not None and profit is not None and peak >= 0.4 and profit <= peak * keep
    )
    for name in ("delta", "gamma"):
        seen[f"abs_{name}"] = None if facts[name] is None else abs(facts[name])
    seen["knows_delta"], seen["knows_vix_change"] = (
        int(facts[name] is not None) for name in ("delta", "vix_change")
    )
    for name in ("catastrophe", "trailing_stop", "stop_loss", "gamma_risk"):
        since = memory.get(f"since:{name}:0")
        seen[f"held_{name}"] = int((now - since).total_seconds()) if since else 0
    for name in ("single_leg_exit", "time_exit", "iv_crush", "dte_roll"):
        last = memory.get(f"last:{name}")
        seen[f"rested_{name}"] = int((now - last).total_seconds()) if last else 1_000_000
    for name in ("vix_exit", "delta_risk"):
        seen[f"active_{name}"] = int(bool(memory.get(f"active:{name}")))
    seen["done_take_profit"] = int(bool(memory.get("latch:take_profit:1")))
    seen["done_recovered"] = int(bool(memory.get("latch:recovered:0")))
    return seen


def by_zen() -> Callable[[Row], str | None]:
    """The rules as one nested ternary of zen-engine, the quickest form that it has."""
    try:
        import zen
    except ImportError:
        sys.exit("zen-engine is not installed: make setup brings it with the other tools of development")
    text = "null"
    for rule, alternatives in reversed(_CONDITIONS):
        joined = " or ".join(f"({' and '.join(_of_zen(*one) for one in parts)})" for parts in alternatives)
        text = f"({joined}) ? '{rule}' : ({text})"
    compiled = zen.compile_expression(text)
    return compiled.evaluate  # type: ignore[no-any-return]


def _of_zen(fact: str, sign: str, value: Any) -> str:
    written = f"'{value}'" if isinstance(value, str) else value
    return f"{fact} != null and {fact} {sign} {written}"


def by_durable_rules(seen: list[dict[str, Any]]) -> tuple[list[str | None], float]:
    """Decisions of durable_rules and the seconds that they took, in a process of its own: it may crash."""
    known = [{name: value for name, value in row.items() if value is not None} for row in seen]
    command = [sys.executable, "-m", "benchmarks.durable_rival"]
    done = subprocess.run(
        command, input=json.dumps([_CONDITIONS, known]), capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr or f"durable_rules ended with {done.returncode}")
    answer = json.loads(done.stdout)
    return answer["decisions"], answer["seconds"]


def rows_of(facts: pl.DataFrame, state: RuleState) -> list[tuple[Row, Row]]:
    """Facts and memory of each position as dicts, numbers as floats."""
    remembered = {row["position"]: row for row in state.frame.to_dicts()}
    frame = facts.with_columns(pl.col(pl.Int64).cast(pl.Float64))
    return [(row, remembered.get(row["position"], {})) for row in frame.to_dicts()]

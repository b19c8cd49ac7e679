"""Facts as JSON lines in, decisions as JSON lines out."""

import json
from typing import Any

import pytest

import rules
from options import RuleError


def run(book: rules.Rulebook, *lines: str | dict[str, Any]) -> list[dict[str, Any]]:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    return [json.loads(answer) for answer in rules.decide_lines(texts, book, rules.initial_state())]


def at(minute: int, **facts: Any) -> dict[str, Any]:
    return {"position": "A", "time": f"2026-01-05T15:{minute:02}:00Z", **facts}


def test_an_answer_has_the_promised_keys(default_rules: rules.Rulebook) -> None:
    (answer,) = run(default_rules, at(0, profit=0.85, dte=20, structure="iron_condor", vix=20))
    assert answer == {
        "position": "A",
        "time": "2026-01-05T15:00:00Z",
        "rule": "take_profit",
        "priority": 7,
        "action": "close",
        "urgency": "normal",
        "fired": ["take_profit", "dte_roll"],
        "unknown": ["catastrophe", "vix_exit", "delta_risk", "iv_crush"],
    }


def test_lines_are_evaluated_in_the_order_of_time_and_answered_in_their_own(
    default_rules: rules.Rulebook,
) -> None:
    answers = run(default_rules, at(2, profit=0.1), at(1, profit=0.5), at(0, profit=0.2), "  ")
    assert [answer["time"][14:16] for answer in answers] == ["02", "01", "00"]
    assert [answer["rule"] for answer in answers] == ["trailing_stop", "take_profit", None]


def test_positions_of_one_moment_do_not_touch_each_other(default_rules: rules.Rulebook) -> None:
    answers = run(
        default_rules,
        at(0, position="A", profit=0.55),
        at(0, position="B", profit=0.55),
        at(0, position="A", profit=0.55),
    )
    assert [answer["action"] for answer in answers] == ["reduce", "reduce", None]


def test_a_time_may_be_in_any_zone_and_without_one_it_is_utc(default_rules: rules.Rulebook) -> None:
    answers = run(
        default_rules,
        {"position": "A", "time": "2026-01-05T10:00:00-05:00", "profit": 0.5},
        {"position": "A", "time": "2026-01-05T14:59:00", "profit": 0.5},
    )
    assert [answer["action"] for answer in answers] == [None, "reduce"]


def test_the_book_competes_by_priority(default_rules: rules.Rulebook) -> None:
    full = {"book_positions": 21}
    first, second, third = run(
        default_rules,
        at(0, profit=0.85, book=full),
        at(1, profit=0.6, book=full),
        {"time": at(2)["time"], "book": full},
    )
    assert (first["rule"], first["fired"][-1]) == ("take_profit", "portfolio_limits")
    assert (second["rule"], second["action"]) == ("take_profit", "reduce")
    assert (third["position"], third["rule"], third["action"]) == ("", "portfolio_limits", "block_entries")


def test_the_book_is_judged_when_it_is_there(default_rules: rules.Rulebook) -> None:
    without, empty = run(default_rules, at(0), at(1, book={}))
    assert "portfolio_limits" not in without["unknown"]
    assert empty["unknown"][-1] == "portfolio_limits"


def test_nothing_known_is_null_missing_or_not_finite(default_rules: rules.Rulebook) -> None:
    line = '{"position": "A", "time": "2026-01-05T15:00:00Z", "dte": %s}'
    for value in ("null", "NaN", "Infinity"):
        (answer,) = run(default_rules, line % value)
        assert answer["rule"] is None
        assert "dte_roll" in answer["unknown"]


def test_the_state_goes_on_from_run_to_run(default_rules: rules.Rulebook) -> None:
    lines = [json.dumps(at(minute, profit=profit)) for minute, profit in enumerate((0.2, 0.45, 0.3, 0.18))]
    whole = list(rules.decide_lines(lines, default_rules, rules.initial_state()))
    first = rules.DecideRun(default_rules, rules.initial_state())
    begun = list(first.decide(lines[:2]))
    second = rules.DecideRun(default_rules, rules.RuleState.from_json(first.state.to_json()))
    assert begun + list(second.decide(lines[2:])) == whole
    assert json.loads(whole[-1])["rule"] == "trailing_stop"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", r"line 2: not JSON"),
        ("[" * 100_000, r"line 2: not JSON"),
        ("[]", r"line 2: not an object"),
        ({"position": "A"}, r"line 2: no time"),
        (at(0, time="noon"), r"line 2: time 'noon' is not ISO"),
        (at(0, time=5), r"line 2: no time"),
        (at(0, position=7), r"line 2: position must be text"),
        (at(0, profitt=1), r"line 2: unknown fact profitt: did you mean profit"),
        (at(0, profit="80%"), r"line 2: profit is '80%': it must be a number in base units"),
        (at(0, profit=True), r"line 2: profit is True: it must be a number"),
        (at(0, structure=1), r"line 2: structure is 1: it must be text"),
        (at(0, profit=10**400), r"line 2: profit is too large"),
        (at(0, book=[1]), r"line 2: book must be an object"),
        (at(0, book={"delta": 1}), r"line 2: delta is not a fact of the book"),
        (at(0, book={"book_delta": 1}), r"line 2: unknown fact book_delta: did you mean book_delta_usd"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_decided(
    default_rules: rules.Rulebook, line: str | dict[str, Any], said: str
) -> None:
    with pytest.raises(RuleError, match=said):
        run(default_rules, at(0, profit=0.9), line)

"""`optiond rules facts`: the catalogue for the terminal, with the values of now."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import rules
from tests.daemon.answer import Answer
from tests.daemon.small_past import SmallPast

Ask = Callable[..., Answer]
TRACKED = '{"version": 1, "positions": {"A": {"track:peak_profit": 0.45}}}'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two positions, one of which gave back some of its profit."""
    past = SmallPast(tmp_path / "home")
    past.facts(0, {"position": "A", "profit": 0.45, "vix": 18.0})
    past.commit(0, "rule_state", {"revision": "0", "state": TRACKED})
    past.facts(
        1,
        {"position": "A", "profit": 0.3, "vix": 18.5},
        {"position": "B", "structure": "short_put", "vix": 18.5},
    )
    return past.close()


def test_without_a_lake_it_is_the_catalogue(tmp_path: Path, ask: Ask) -> None:
    everything = ask("rules", "facts", "--home", tmp_path)
    assert (everything.code, everything.err) == (0, "")
    named = [line.split()[0] for line in everything.out.splitlines()[1:]]
    assert named == list(rules.FACTS)
    one = ask("rules", "facts", "regime", "--home", tmp_path).out
    assert "crash, high_vol, normal, low_vol" in one
    assert f"no lake at {tmp_path}" in one
    (told,) = ask("rules", "facts", "profit", "--home", tmp_path, "--json").json()
    assert (told["unit"], told["scope"], told["time"], told["now"]) == ("ratio", "position", None, {})
    assert told["meaning"] == rules.FACTS["profit"].meaning


def test_one_fact_is_shown_of_all_positions(home: Path, ask: Ask) -> None:
    profit = ask("rules", "facts", "profit", "--home", home).out
    assert "profit: unrealized P&L against what was at stake\n" in profit
    assert profit.endswith("at 2026-01-05 09:31:00 New York\n  A  30 %\n  B  unknown\n"), (
        "unknown is not zero"
    )
    assert ask("rules", "facts", "vix", "--home", home).out.endswith("New York\n  book  18.5\n")
    (told,) = ask("rules", "facts", "profit", "--home", home, "--json").json()
    assert told["now"] == {"A": 0.3, "B": None}


def test_what_the_rules_track_is_what_they_remember(home: Path, ask: Ask) -> None:
    (told,) = ask("rules", "facts", "peak_profit", "--home", home, "--json").json()
    assert told["now"] == {"A": 0.45, "B": None}


def test_all_facts_are_shown_of_one_position(home: Path, ask: Ask) -> None:
    shown = ask("rules", "facts", "--home", home, "--position", "A").out
    assert shown.startswith("A at 2026-01-05 09:31:00 New York\n")
    for name, value in (("structure", "iron_condor"), ("profit", "30 %"), ("dte", "40 d"), ("iv", "unknown")):
        assert re.search(rf"^{name} .* {value}$", shown, re.MULTILINE)


def test_a_fact_or_position_that_is_not_there_is_told(home: Path, tmp_path: Path, ask: Ask) -> None:
    assert "no fact proft: did you mean profit" in ask("rules", "facts", "proft", "--home", home).err
    missing = ask("rules", "facts", "--home", home, "--position", "C")
    assert (missing.code, missing.out) == (1, "")
    assert "no position C in the facts of 2026-01-05 09:31:00: known are: A, B" in missing.err
    assert "no lake at" in ask("rules", "facts", "--home", tmp_path, "--position", "A").err


def test_a_fact_says_what_it_is_made_of_and_how_old_that_was(tmp_path: Path, ask: Ask) -> None:
    past = SmallPast(tmp_path / "home")
    aged = {"quote_age": 0.25, "underlying_age_s": 3.0, "history_age_days": 1.0}
    past.facts(
        0,
        {"position": "A", "delta_usd": 900.0, "iv_rank": 40.0, "book_var_usd": 95.0, **aged},
        {"position": "B", "book_var_usd": 95.0, "quote_age": 2.0, "underlying_age_s": 1.0},
    )
    home = past.close()
    shown = ask("rules", "facts", "delta_usd", "--home", home).out
    assert "  made of   quotes of the legs, price of the underlying\n" in shown
    assert "  A  $900.00  (quotes of the legs 0.2 s old, price of the underlying 3.0 s old)\n" in shown
    assert "  A  40  (daily history 1 d old)\n" in ask("rules", "facts", "iv_rank", "--home", home).out
    (told,) = ask("rules", "facts", "book_var_usd", "--home", home, "--json").json()
    assert told["made_of"] == ["quotes of the legs", "price of the underlying", "daily history"]
    assert list(told["ages"]["book"].values()) == [2.0, 3.0, None], "the oldest, unknown when one is"

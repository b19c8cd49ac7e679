"""The main job on real input: a real account's three condors, real quotes, one take-profit to the end."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import rules
from lake import LakeReader, views

OPTIOND = Path(sys.executable).with_name("optiond")
THRESHOLD = 0.1025
"""Just under the best profit that SPY's four legs really show together (10.33 %), above QQQ's 10.20 %."""


def independent_profit(legs: pl.DataFrame, until: datetime, max_age_s: float) -> tuple[float, float]:
    """(USD, share of credit) of one position from its raw quotes, each the last one not older than that."""
    seen = legs.filter(pl.col("timestamp") <= until).sort("timestamp").group_by("conid").last()
    assert seen.height == 4
    assert (until - seen["timestamp"].min()).total_seconds() <= max_age_s
    worth = (seen["position"] * 100 * (seen["bid"] + seen["ask"]) / 2).sum()
    paid = (seen["position"] * seen["average_cost"]).sum()
    return worth - paid, (worth - paid) / abs(paid)


@pytest.fixture(scope="module")
def raw_legs(recorded: Path) -> dict[str, pl.DataFrame]:
    """Per symbol the raw quotes of the legs that the account holds."""
    held = pl.read_csv(recorded / "ibkr_account_positions.csv", try_parse_dates=True)
    quotes = pl.read_parquet(recorded / "ibkr_option_snapshots.parquet").filter(pl.col("bid").is_not_null())
    joined = quotes.join(held, on=["symbol", "expiry", "right", "strike"])
    return {str(symbol): legs for (symbol,), legs in joined.group_by("symbol")}


def rules_with_threshold(folder: Path) -> Path:
    """The shipped rules with the take-profit at `THRESHOLD`, its examples moved along."""
    text = rules.default_rules_path().read_text()
    text, changed = re.subn(
        r"params: \{full: 80%, half: 50%\}", f"params: {{full: {THRESHOLD:.2%}, half: {THRESHOLD:.2%}}}", text
    )
    assert changed == 1
    text = text.replace("{profit: 49.9%}", "{profit: 10%}").replace("{profit: 39.9%, reg", "{profit: 9%, reg")
    path = folder / "take_profit.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def run(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after the whole recording was replayed under those rules."""
    folder = tmp_path_factory.mktemp("replay")
    done = subprocess.run(
        [
            *(str(OPTIOND), "demo", "--home", str(folder / "home"), "--no-page", "--speed", "100000"),
            *("--replay", str(recorded / "ibkr_option_snapshots.parquet")),
            *("--positions", str(recorded / "ibkr_account_positions.csv")),
            *("--rules", str(rules_with_threshold(folder)), "--until-end"),
        ],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "home"


def ask(home: Path, *words: str) -> str:
    done = subprocess.run(
        [str(OPTIOND), *words, "--home", str(home)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


pytestmark = [
    pytest.mark.recorded,
    pytest.mark.slow,
    pytest.mark.timeout(700),
    pytest.mark.xdist_group("replay"),
]


def test_three_real_condors_are_adopted_with_their_real_money(run: Path) -> None:
    opened = views.positions(LakeReader.open(run), datetime(2026, 1, 28, 17, 25, tzinfo=UTC))
    assert {p["underlying"]: (p["structure"], p["lots"]) for p in opened} == dict.fromkeys(
        ("IWM", "QQQ", "SPY"), ("iron_condor", 2)
    )
    iwm = next(p for p in opened if p["underlying"] == "IWM")
    # The data page says 435.28 and 1,564.72; the account file itself adds up to ten cents less.
    assert iwm["net_credit_usd"] == pytest.approx(435.1768, abs=0.005)
    assert iwm["max_loss_usd"] == pytest.approx(1564.8232, abs=0.005)


def test_every_profit_the_rules_saw_is_what_the_raw_file_says(
    run: Path, raw_legs: dict[str, pl.DataFrame]
) -> None:
    facts = LakeReader.open(run).table("facts").filter(pl.col("profit").is_not_null()).collect()
    assert set(facts["underlying"]) == {"IWM", "QQQ", "SPY"}
    assert facts.height > 20
    for row in facts.iter_rows(named=True):
        usd, share = independent_profit(raw_legs[row["underlying"]], row["time"], 120.25)
        assert row["profit_usd"] == pytest.approx(usd, abs=0.01), row["time"]
        assert row["profit"] == pytest.approx(share, abs=1e-6), row["time"]


def test_what_is_held_at_the_end_is_shown_at_its_last_quotes_and_called_stale(
    run: Path, raw_legs: dict[str, pl.DataFrame]
) -> None:
    held = {p["underlying"]: p for p in json.loads(ask(run, "positions", "--json"))}
    for symbol in ("IWM", "QQQ"):
        usd, share = independent_profit(raw_legs[symbol], datetime(2026, 2, 4, 21, 1, tzinfo=UTC), 1e9)
        assert held[symbol]["profit_usd"] == pytest.approx(usd, abs=0.01)
        assert held[symbol]["profit"] == pytest.approx(share, abs=1e-6)
        assert held[symbol]["quote_state"] == "stale"


def test_the_take_profit_fires_exactly_once_and_ends_flat(run: Path) -> None:
    reader = LakeReader.open(run)
    decided: list[dict[str, Any]] = json.loads(ask(run, "decisions", "--json"))
    acted = [d for d in decided if d["kind"] == "decision"]
    assert [(d["rule"], d["priority"], d["action"], d["outcome"]) for d in acted] == [
        ("take_profit", 7, "close", "settled")
    ]
    assert acted[0]["facts"]["profit"] == pytest.approx(0.1032939, abs=1e-6)
    assert acted[0]["fired"] == ["take_profit"]
    assert {"catastrophe", "vix_exit"} <= set(acted[0]["unknown"])
    intents = reader.table("intents").collect()
    assert intents["intent"].n_unique() == 1
    orders = reader.table("orders").collect()
    assert orders["order_ref"].drop_nulls().unique().to_list() == [acted[0]["intent"]]
    fills = reader.table("fills").collect().unique("exec_id", keep="last")
    assert fills.filter("is_combo")["quantity"].to_list() == [2.0]
    legs = fills.filter(~pl.col("is_combo"))
    assert sorted(legs["quantity"].to_list()) == [-2.0, -2.0, 2.0, 2.0]
    assert legs["commission_usd"].null_count() == 0


def test_the_books_agree_with_the_broker_afterwards(run: Path) -> None:
    reader = LakeReader.open(run)
    held = {p["underlying"] for p in json.loads(ask(run, "positions", "--json"))}
    assert held == {"IWM", "QQQ"}
    newest = reader.table("positions").sort("seq").collect().group_by("con_id", maintain_order=True).last()
    assert newest.filter((pl.col("symbol") == "SPY") & (pl.col("quantity") != 0)).height == 0
    found = reader.table("reconciliations").collect()
    assert set(found["kind"]) == {"missing_here"}, "only the adoption at the start"
    closed = reader.table("strategies").filter(pl.col("event") == "closed").collect()
    assert closed["realized_pnl_usd"].to_list() == [pytest.approx(241.9968 - 218.0 - 5.2, abs=0.01)]


def test_explain_tells_the_facts_that_fired(run: Path) -> None:
    decision = json.loads(ask(run, "decisions", "--json"))[0]["id"]
    story = ask(run, "explain", decision)
    assert "take_profit" in story
    assert re.search(r"✓ profit >= \S+ +10\.329 % +10\.25 %", story), story
    assert "settled" in story


def test_every_decision_of_those_days_replays_to_the_same_bits_in_any_process(run: Path) -> None:
    answers = []
    for seed, threads in (("1", "1"), ("2", "2")):
        done = subprocess.run(
            [str(OPTIOND), "replay", "--since", "0", "--json", "--home", str(run)],
            capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "PYTHONHASHSEED": seed, "POLARS_MAX_THREADS": threads},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        answers.append(done.stdout)
    assert answers[0] == answers[1]
    counts = json.loads(answers[0])["counts"]
    assert counts == {
        "same": LakeReader.open(run).table("decisions").collect().height,
        "different": 0,
        "cannot": 0,
    }
    assert counts["same"] >= 1


def test_the_rows_that_were_decided_on_are_in_the_table_of_facts(run: Path) -> None:
    reader = LakeReader.open(run)
    decided, facts = reader.table("decisions").collect(), reader.table("facts").collect()
    assert decided.join(facts, on=["seq", "position"], how="anti").is_empty()


def test_a_stale_leg_never_showed_the_rules_a_profit_that_was_not_there(run: Path) -> None:
    """Naive forward filling would have shown SPY 69 % and QQQ 76 %."""
    facts = LakeReader.open(run).table("facts").collect()
    known = facts.filter(pl.col("profit").is_not_null())
    assert known.height > 20
    assert known["profit"].max() < 0.104
    assert facts.filter((pl.col("quote_state") != "live") & pl.col("profit").is_not_null()).height == 0

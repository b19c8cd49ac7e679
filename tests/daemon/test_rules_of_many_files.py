"""Rules that extend a file and mute a rule, in whole runs: recorded, changed, replayed without the files."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import rules
from lake import LakeReader
from tests.daemon.answer import Answer
from tests.daemon.conftest import Story

MINE = """
extends: shipped.yaml
mutes:
  - {rule: take_profit, on: XYZ, until: 2040-01-01, reason: earnings on Thursday}
"""


def decisions_of(home: Path) -> list[dict[str, Any]]:
    return LakeReader.open(home).table("decisions").collect().to_dicts()


@pytest.mark.slow
def test_a_muted_rule_decides_as_a_shadow_and_replays_without_the_files(
    tmp_path: Path, market: Callable[..., tuple[Path, Path]], ask: Callable[..., Answer]
) -> None:
    shutil.copy(rules.default_rules_path(), tmp_path / "shipped.yaml")
    mine, home = tmp_path / "mine.yaml", tmp_path / "home"
    mine.write_text(MINE)
    quotes, positions = market(tmp_path, Story(minutes=4, profit_after_s=90))
    done = ask(
        *("demo", "--replay", quotes, "--positions", positions, "--home", home, "--rules", mine),
        *("--no-page", "--speed", 100_000, "--json"),
    )
    assert done.code == 0, done.err
    summary = done.json()
    why = "take_profit is muted on XYZ until the end of 2040-01-01: earnings on Thursday"
    assert why in done.err
    assert len(summary["positions"]) == 1
    assert summary["orders"] == []
    (row,) = decisions_of(home)
    assert (row["rule"], row["kind"], row["reason"]) == ("take_profit", "shadow", why)
    assert "muted on XYZ until the end of 2040-01-01" in row["explanation"]
    assert row["rules_revision"] == rules.load(mine).revision
    for file in (mine, tmp_path / "shipped.yaml"):
        file.unlink()
    replayed = ask("replay", row["decision"], "--home", home, "--json").json()
    assert replayed["counts"] == {"same": 1, "different": 0, "cannot": 0}


@pytest.mark.slow
def test_a_mute_that_is_taken_away_over_the_api_lets_the_daemon_act(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    gateway = replay()
    home.settle(gateway)
    before = rules.default_rules_path().read_text()
    mute = "\nmutes:\n  - {rule: take_profit, on: XYZ, until: 2040-01-01, reason: let it run}\n"
    home.rules.write_text(before + mute)
    daemon = home.start()
    helpers.wait_until(lambda: (home.status() or {}).get("positions") == 1, 30, "adopted")
    helpers.wait_until(lambda: decisions_of(home.path), 60, "decided as a shadow")
    assert gateway.holdings()
    note = json.loads((home.path / "control.json").read_text())
    headers = {"Authorization": f"Bearer {(home.path / 'control.token').read_text().strip()}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{note['port']}", headers=headers, timeout=10) as api:
        shown = api.get("/rules/file").json()
        assert shown["mutes"][0]["said"] == "muted on XYZ until the end of 2040-01-01: let it run"
        change = {"actor": "test", "revision": shown["revision"], "rule": "take_profit", "on": "XYZ"}
        answer = api.post("/rules/file/unmute", json=change)
        assert answer.status_code == 200, answer.text
    assert home.rules.read_text() == before + "\nmutes:\n"
    helpers.wait_until(lambda: not gateway.holdings(), 60, "closed")
    assert home.status()["rules"]["revision"] == answer.json()["revision"]
    kinds = {(each["rule"], each["kind"]) for each in decisions_of(home.path)}
    assert kinds == {("take_profit", "shadow"), ("take_profit", "decision")}
    helpers.stop(daemon)

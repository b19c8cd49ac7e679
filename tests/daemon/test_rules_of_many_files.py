"""Rules that extend a file and mute a rule, in a whole run: recorded, and replayed without the files."""

import shutil
from collections.abc import Callable
from pathlib import Path

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
    (row,) = LakeReader.open(home).table("decisions").collect().to_dicts()
    assert (row["rule"], row["kind"], row["reason"]) == ("take_profit", "shadow", why)
    assert "muted on XYZ until the end of 2040-01-01" in row["explanation"]
    assert row["rules_revision"] == rules.load(mine).revision
    for file in (mine, tmp_path / "shipped.yaml"):
        file.unlink()
    replayed = ask("replay", row["decision"], "--home", home, "--json").json()
    assert replayed["counts"] == {"same": 1, "different": 0, "cannot": 0}

"""A daemon at work, its rules saved again as soon as they are in force: it decides on, by whole revisions."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import polars as pl
import pytest

import rules
from lake import LakeReader
from tests.daemon.test_reload import OF_RULES, text_of
from tests.daemon.test_reload_crash import assert_recorded_before_decided

SAVES = 30


@pytest.mark.long
@pytest.mark.timeout(600)
def test_thirty_edits_of_a_daemon_at_work_are_taken_up_one_after_the_other(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    gateway = replay(helpers.story(left=0.55, profit_after_s=0))
    gateway.ask("fault", name="hold_fills", on=True)
    home.settle(gateway, reload={"settle_s": 0.05})
    home.rules.write_text(text_of("profit >= 5%", "    mode: shadow\n"))
    daemon = home.start()
    helpers.wait_until(lambda: (home.status() or {}).get("positions") == 1, 120, "adopted")
    port = json.loads((home.path / "control.json").read_text())["port"]

    def status() -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(f"http://127.0.0.1:{port}/status", timeout=30).json()
        return answer

    beats = [status()["beat"]["count"]]
    for number in range(SAVES):
        text = text_of("profit >= 5%", "    mode: shadow\n", name=f"take{number}")
        home.rules.write_text(text[:-20])
        home.rules.write_text(text)
        wanted = rules.revision_of(text)
        helpers.wait_until(lambda wanted=wanted: status()["rules"]["revision"] == wanted, 60, "in force")
        beats.append(status()["beat"]["count"])
    assert beats == sorted(set(beats)), "it beats between any two"
    helpers.wait_until(lambda: status()["beat"]["count"] > beats[-1] + 3, 60, "and after the last")
    helpers.stop(daemon)

    decided = LakeReader.open(home.path).table("decisions").filter(OF_RULES).sort("seq").collect()
    rule = pl.concat_str(pl.lit("take"), pl.int_range(SAVES).cast(pl.String))
    assert decided["rule"].to_list() == ["take", *pl.select(rule).to_series()], (
        "each decides on its first beat"
    )
    assert_recorded_before_decided(home)
    done = home.ask("replay", "--since", "0")
    assert f"{decided.height} same, 0 different, 0 cannot" in done.stdout, done.stdout

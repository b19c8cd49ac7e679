"""Killed at any step of an edit: the next start goes on with the rules that were recorded last."""

import signal
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

import rules
from lake import LakeReader
from tests.daemon.test_reload import OF_RULES, text_of

QUIET, EAGER = text_of(), text_of("profit >= 5%")
FIRST, SECOND = rules.revision_of(QUIET), rules.revision_of(EAGER)
WAITS, IGNORED = (FIRST, SECOND, None), (FIRST, None, SECOND)
IN_FORCE = (SECOND, None, None)

# point, what is done after the save, (in force, waiting, ignored) after the next start
KILLS = [
    ("rules.seen.before", "", WAITS),
    ("rules.waiting.after", "", WAITS),
    ("rules.approved.before", "approve", WAITS),
    ("rules.approved.after", "approve", IN_FORCE),
    # The command sees the daemon go and takes the word down itself, as it does when none runs.
    ("rules.rejected.before", "reject", IGNORED),
    ("rules.rejected.after", "reject", IGNORED),
    ("rules.rolled_back.before", "rollback", IN_FORCE),
    ("rules.rolled_back.after", "rollback", IGNORED),
]
SHORT = ("rules.approved.before", "rules.approved.after")


def marked(kill: tuple[str, str, Any]) -> Any:
    mark = pytest.mark.slow if kill[0] in SHORT else pytest.mark.long
    return pytest.param(*kill, id=kill[0], marks=mark)


@pytest.mark.parametrize(("point", "word", "after"), [marked(kill) for kill in KILLS])
def test_a_kill_on_the_way_into_force_leaves_what_was_recorded(
    point: str,
    word: str,
    after: tuple[str, str | None, str | None],
    replay: Callable[..., Any],
    home: Any,
    helpers: Any,
) -> None:
    gateway = replay(helpers.story(left=0.55, profit_after_s=0))
    gateway.ask("fault", name="hold_fills", on=True)
    home.settle(gateway, reload={"max_new_fires": 0})
    home.rules.write_text(QUIET)
    killed = home.start(failpoint=point)
    helpers.wait_until(lambda: (home.status() or {}).get("positions") == 1, 60, "adopted")
    home.rules.write_text(EAGER)
    if word:
        helpers.wait_until(lambda: home.json("rules", "pending"), 60, "it waits")
        if word == "rollback":
            assert home.ask("rules", "approve").returncode == 0
        home.ask("rules", word)
    killed.wait(timeout=60)
    assert killed.returncode == -signal.SIGKILL

    again = home.start()
    status = helpers.wait_until(home.status, 60, "up again")["rules"]
    helpers.wait_until(lambda: (home.status() or {}).get("positions") == 1, 60, "and at work")
    status = home.status()["rules"]
    waiting = status["waiting"] and status["waiting"]["revision"]
    assert (status["revision"], waiting, status["ignored"]) == after
    helpers.stop(again)
    assert_recorded_before_decided(home)


def assert_recorded_before_decided(home: Any) -> None:
    """No decision was made by rules that were not recorded, whole and as in force, in the same commit at
    the latest."""
    reader = LakeReader.open(home.path)
    steps, texts = reader.table("rules_changes").collect(), reader.table("rules_revisions").collect()
    in_force = steps.filter(pl.col("event").is_in(["taken_up", "rolled_back"])).sort("seq")
    decided = reader.table("decisions").filter(OF_RULES).collect()
    for seq, revision in decided.select("seq", "rules_revision").iter_rows():
        assert in_force.filter(pl.col("seq") <= seq)["revision"][-1] == revision
        assert texts.filter((pl.col("seq") <= seq) & (pl.col("revision") == revision)).height

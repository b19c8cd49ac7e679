"""`optiond rules diff`: two revisions over what the lake has recorded."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.cli import main
from lake import LakeReader
from tests.daemon.answer import Answer
from tests.daemon.small_past import OPENING, SmallPast, take_rules
from tests.daemon.test_decision_replay import STORIES, Day, Story


@pytest.fixture
def past(tmp_path: Path) -> SmallPast:
    made = SmallPast(tmp_path / "home")
    made.rules(-1, take_rules(50))
    return made


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """A rules file that takes 60 % instead of 50 %."""
    file = tmp_path / "edited.yaml"
    file.write_text(take_rules(60))
    return file


@pytest.fixture
def diff(capsys: pytest.CaptureFixture[str], past: SmallPast) -> Any:
    def ask(*words: object) -> Answer:
        capsys.readouterr()
        code = main(["rules", "diff", *map(str, words), "--home", str(past.home)])
        return Answer(code, *capsys.readouterr())

    return ask


def test_the_edited_rules_are_held_against_those_in_force(past: SmallPast, edited: Path, diff: Any) -> None:
    past.seen(0, A=0.3, B=0.1)
    past.seen(1, A=0.5, B=0.1)
    past.seen(2, A=0.6, B=0.2)
    past.seen(3, A=0.9, B=0.3)
    past.close()
    told = diff(edited)
    assert told.code == 0
    lines = told.out.splitlines()
    assert lines[0].startswith("WHAT IF: none of this was decided")
    assert "2 decisions differ over 4 beats, 2 positions" in lines
    at = lines.index("2 decisions differ over 4 beats, 2 positions")
    assert [" ".join(line.split()) for line in lines[at + 3 : at + 5]] == [
        "2026-01-05 09:31:00 A 2 take: close mid nothing 100.00 180.00 last known",
        "2026-01-05 09:32:00 A over 2 take: close mid 120.00 180.00 last known",
    ]
    assert "in total, 2 positions: A 160.00 USD, B 180.00 USD; B brings +20.00 USD" in lines
    assert "asked for and never known: iv_rank" in lines
    assert "a beat every 60 s as a rule" in told.out


def test_the_same_in_json(past: SmallPast, edited: Path, diff: Any) -> None:
    past.seen(0, A=0.5)
    past.seen(1, A=0.6)
    past.ended(2, "A", "closed", 90.0, 2)
    past.close()
    said = diff(edited, "--json").json()
    assert [(each["a"] or {}).get("rule") for each in said["changes"]] == ["take", None]
    assert [(each["b"] or {}).get("action") for each in said["changes"]] == [None, "close"]
    assert [each["profit_usd"] for each in said["changes"]] == [100.0, 120.0]
    (position,) = said["positions"]
    assert (position["a"]["usd"], position["b"]["usd"], position["gain_usd"]) == (100.0, 120.0, 20.0)
    assert (position["end"]["usd"], position["end"]["ending"]) == (90.0, "realized")
    assert position["end"]["was_closed"] is True
    assert said["total"] == {
        "positions": 1, "unknown_positions": 0, "a_usd": 100.0, "b_usd": 120.0, "gain_usd": 20.0,
    }  # fmt: skip
    assert said["looked_at"]["from"] == "2026-01-05T14:30:00+00:00"
    assert {each["rule"]: each["b"]["decisions"] for each in said["rules"]} == {"take": 1, None: 0}


def test_rules_do_not_differ_from_themselves_and_what_was_looked_at_is_told(
    past: SmallPast, diff: Any
) -> None:
    for minute in (0, 1, 2, 62, 63):
        past.seen(minute, A=0.5, B=None)
    past.close()
    lines = diff("current", "current").out.splitlines()
    assert lines[-1] == "no decision differs over 5 beats, 2 positions"
    assert "recorded from 2026-01-05 09:30:00 to 2026-01-05 10:33:00 New York" in lines[5]
    assert lines[6] == "gaps in trading hours: 2026-01-05 09:32 to 10:32"


def test_a_night_is_no_gap_but_a_day_without_any_beat_is(past: SmallPast, diff: Any) -> None:
    day = 24 * 60
    past.seen(0, A=0.5)
    past.seen(390, A=0.5)
    past.seen(day, A=0.5)
    past.seen(day + 390, A=0.5)
    past.seen(3 * day, A=0.5)
    past.close()
    gaps = diff("current", "--json").json()["looked_at"]["gaps"]
    assert [(gap["from"][8:16], gap["to"][8:16]) for gap in gaps] == [
        ("05T14:30", "05T21:00"),
        ("06T14:30", "06T21:00"),
        ("07T14:30", "07T21:00"),
    ]


def test_a_revision_is_named_by_the_beginning_of_its_hash(past: SmallPast, edited: Path, diff: Any) -> None:
    first = past.rules(-0.5, take_rules(40))
    past.rules(-0.4, take_rules(50))
    past.seen(0, A=0.45)
    past.close()
    said = diff(first[:6], "current", "--json").json()
    assert said["a"]["revision"] == first
    assert [each["a"]["rule"] for each in said["changes"]] == ["take"]


@pytest.mark.parametrize("name", ["nosuch.yaml", "0123456789ab", "abc"])
def test_a_name_that_is_none_is_refused_in_one_line(past: SmallPast, diff: Any, name: str) -> None:
    past.seen(0, A=0.5)
    past.close()
    told = diff(name)
    assert told.code == 1
    assert told.err == (
        f"optiond: {name} is neither a file nor one revision of the lake: name a rules file, `current`, or a "
        "revision that `optiond rules revisions` shows\n"
    )


def test_a_wrong_rules_file_is_refused_with_its_errors(past: SmallPast, edited: Path, diff: Any) -> None:
    past.close()
    edited.write_text("rules: [{id: a, priority: 1, when: proft > 1, do: close}]")
    told = diff(edited)
    assert (told.code, told.out) == (1, "")
    assert "unknown fact proft" in told.err


def test_only_the_span_that_is_asked_for_is_looked_at(past: SmallPast, edited: Path, diff: Any) -> None:
    for minute, profit in ((0, 0.5), (60, 0.1), (120, 0.5), (180, 0.1)):
        past.seen(minute, A=profit)
    past.close()
    for words, beats in (
        (("--last", "90d"), 4),
        (("--last", "1h"), 2),
        (("--last", "61m"), 2),
        (("--since", "2026-01-05 15:30"), 3),
        (("--since", "2026-01-05 15:30", "--until", "2026-01-05 16:30"), 2),
        (("--last", "1h", "--until", "2026-01-05 16:30"), 2),
        (("--since", "2027-01-01"), 0),
    ):
        assert diff(edited, *words, "--json").json()["looked_at"]["beats"] == beats, words
    assert "no facts were recorded in that time" in diff(edited, "--since", "2027-01-01").out


@pytest.mark.parametrize("span", ["0d", "ten days", "90", "-1d", "1y"])
def test_a_span_that_is_none_is_refused(past: SmallPast, capsys: Any, span: str) -> None:
    past.close()
    with pytest.raises(SystemExit) as ended:
        main(["rules", "diff", "current", f"--last={span}", "--home", str(past.home)])
    assert ended.value.code == 2
    assert "is no span of time: write 90d, 12h, 30m or 2w" in capsys.readouterr().err


def test_what_the_rules_remembered_before_the_span_counts(past: SmallPast, tmp_path: Path, diff: Any) -> None:
    trailing = "rules: [{id: trail, priority: 1, when: peak_profit >= 70%, do: close}]"
    memory = {"version": 1, "positions": {"A": {"track:peak_profit": 0.8}}}
    past.commit(0, "rule_state", {"position": None, "revision": "x", "state": json.dumps(memory)})
    past.seen(1, A=0.1, B=0.1)
    past.close()
    file = tmp_path / "trailing.yaml"
    file.write_text(trailing)
    said = diff(file, "--since", "2026-01-05 14:31", "--json").json()
    assert [(each["position"], each["b"]["rule"]) for each in said["changes"]] == [("A", "trail")]


def test_an_edited_condition_has_not_held_before_it_was_there(
    past: SmallPast, tmp_path: Path, diff: Any
) -> None:
    text = "rules: [{{id: take, priority: 1, when: profit >= {take}%, for: 30m, do: close}}]"
    in_force = past.rules(-0.5, text.format(take=50))
    memory = {"since:take:0": (OPENING - timedelta(minutes=29)).isoformat()}
    state = json.dumps({"version": 1, "positions": {"A": memory}})
    past.commit(0, "rule_state", {"position": None, "revision": in_force, "state": state})
    for minute in (1, 16, 31):
        past.seen(minute, A=0.7)
    past.close()
    file = tmp_path / "held.yaml"
    file.write_text(text.format(take=60))
    changes = diff(file, "--json").json()["changes"]
    assert [(each["time"][11:16], bool(each["a"]), bool(each["b"])) for each in changes] == [
        ("14:31", True, False),
        ("15:01", False, True),
    ]


def test_rules_that_wait_for_a_human_are_not_in_force(past: SmallPast, diff: Any) -> None:
    in_force, waiting = past.rules(-0.9, take_rules(50)), past.rules(-0.8, take_rules(40))
    for event, revision in (("taken_up", in_force), ("waiting", waiting)):
        row = {"event": event, "revision": revision, "path": "rules.yaml"}
        past.commit(-0.5, "rules_changes", row)
    past.seen(0, A=0.45)
    past.close()
    said = diff(waiting, "--json").json()
    assert (said["a"]["revision"], said["b"]["revision"]) == (in_force, waiting)
    assert [each["b"]["rule"] for each in said["changes"]] == ["take"]


def test_in_the_lake_of_an_older_optiond_the_rules_taken_up_last_are_in_force(
    tmp_path: Path, edited: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = SmallPast(tmp_path / "older", without="rules_changes")
    older.rules(-1, take_rules(40))
    in_force = older.rules(-0.5, take_rules(50))
    older.seen(0, A=0.5)
    assert main(["rules", "diff", str(edited), "--json", "--home", str(older.close())]) == 0
    assert json.loads(capsys.readouterr().out)["a"]["revision"] == in_force


def test_a_close_without_quotes_is_carried_out_when_they_come(
    past: SmallPast, tmp_path: Path, diff: Any
) -> None:
    past.facts(0, {"position": "A", "dte": 20})
    past.facts(1, {"position": "A", "dte": 20, "profit": 0.2, "profit_usd": 40.0})
    past.facts(2, {"position": "A", "dte": 20, "profit": 0.3, "profit_usd": 60.0})
    past.close()
    file = tmp_path / "never.yaml"
    file.write_text(take_rules(900).replace("21d", "2d"))
    said = diff("current", file, "--json").json()
    (change,) = said["changes"]
    assert (change["profit_usd"], change["a"]["rule"]) == (None, "roll")
    assert (said["total"]["a_usd"], said["total"]["b_usd"]) == (40.0, 60.0)
    (row,) = [line for line in diff("current", file).out.splitlines() if line.startswith("2026-01-05")]
    assert row.split()[-4:] == ["—", "60.00", "last", "known"]


def test_positions_without_any_known_profit_are_counted_apart(
    past: SmallPast, edited: Path, diff: Any
) -> None:
    past.seen(0, A=0.5, B=None)
    past.close()
    told = diff(edited)
    assert "in total, 1 position: A 100.00 USD, B 100.00 USD; B brings +0.00 USD" in told.out
    assert "not counted, since their P&L is not known under A or B: 1 positions" in told.out


def test_what_was_realized_before_is_not_counted_again(past: SmallPast, edited: Path, diff: Any) -> None:
    """Two lots were held from the beginning, one went for 30 USD, the other brought 50 USD in the end."""
    past.seen(0, A=0.55)
    past.ended(1, "A", "reduced", 30.0, 1)
    past.facts(2, {"position": "A", "lots": 1, "profit": 0.4, "profit_usd": 40.0})
    past.ended(3, "A", "closed", 80.0, 1)
    past.close()
    (position,) = diff(edited, "--json").json()["positions"]
    assert (position["a"]["usd"], position["b"]["usd"]) == (pytest.approx(110.0), 2 * 50.0)
    assert position["end"]["usd"] == 80.0


def test_the_page_cannot_be_written_where_there_is_no_folder(
    past: SmallPast, edited: Path, diff: Any
) -> None:
    past.seen(0, A=0.5)
    past.close()
    told = diff(edited, "--html", past.home / "none" / "page.html")
    assert told.code == 1
    assert "cannot be written (No such file or directory); name a file of yours" in told.err


REMEMBERED = ("trailing_stop", "take_profit", "dte_roll", "portfolio_limits")


@pytest.mark.parametrize("story", [s for s in STORIES if s.rule in REMEMBERED], ids=lambda story: story.rule)
def test_what_the_daemon_decided_is_what_its_rules_decide_over_its_records(
    tmp_path: Path, story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    day = Day(tmp_path / "home")
    day.hold(story)
    for beat in story.beats:
        day.beat(beat)
        asyncio.run(day.engine.record_now(day.now))
    day.close()
    decided = LakeReader.open(day.home).table("decisions").collect()
    never = tmp_path / "never.yaml"
    never.write_text("rules: [{id: never, priority: 1, when: lots > 1000, do: close}]")
    capsys.readouterr()
    assert main(["rules", "diff", "current", str(never), "--json", "--home", str(day.home)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["looked_at"]["replayed"] == {"same": decided.height, "different": 0, "cannot": 0}
    found = {(each["time"], each["position"], each["a"]["rule"]) for each in said["changes"]}
    # A rule of the book is told of the book; the daemon turns it on the position that it reduces.
    assert found == {
        (
            row["decided"].isoformat(),
            "" if row["rule"] == "portfolio_limits" else row["position"],
            row["rule"],
        )
        for row in decided.iter_rows(named=True)
    }


def test_how_many_recorded_decisions_are_found_again_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    day = Day(tmp_path / "home")
    day.hold(STORIES[0])
    for beat in STORIES[0].beats:
        day.beat(beat)
    day.close()
    assert main(["rules", "diff", "current", "current", "--home", str(day.home)]) == 0
    assert "of 1 recorded decisions, 1 are found again by the rules of then\n" in capsys.readouterr().out

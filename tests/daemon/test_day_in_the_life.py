"""One bad trading day from before the opening to after the nightly restart, and both books at its end."""

from collections.abc import Iterator

import polars as pl
import pytest

from lake import LakeReader
from tests.daemon.day_comparison import Line, compare
from tests.daemon.day_in_the_life import Day, played
from tests.daemon.day_report import report
from tests.daemon.day_script import ACTS, BOOK

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """Played once, and only read by the tests."""
    with played(tmp_path_factory.mktemp("day")) as done:
        yield done


@pytest.fixture(scope="module")
def lines(day: Day) -> list[Line]:
    return compare(day.gateway_at_end, day.home)


def test_lake_and_gateway_agree_to_the_cent_and_no_order_was_doubled(lines: list[Line]) -> None:
    assert {line.name: line.differs for line in lines if line.differs} == {}


@pytest.mark.parametrize(
    ("words", "times"),
    [
        ("connection lost", 3),
        ("servers are back, lines are kept (1102)", 2),
        ("servers are back, lines are lost (1101)", 1),
        ("half-open", 1),
        ("is in use by another program (326)", 2),
        ("the broker never received it", 2),
    ],
)
def test_every_bad_moment_was_noticed(day: Day, words: str, times: int) -> None:
    told = [line for lines in day.said for line in lines if words in line]
    assert len(told) == times, told


def test_an_order_that_is_being_cancelled_filled_and_counts(day: Day) -> None:
    """What IRIS went through: the cancel was asked for, and the fill came all the same."""
    intents = LakeReader.open(day.home).table("intents").sort("seq", maintain_order=True).collect()
    states = intents.filter(pl.col("position").str.starts_with("IRIS"))["state"].to_list()
    assert states[: states.index("settled") + 1][-3:] == ["cancelling", "filled", "settled"], states


def test_no_contract_had_two_lines_whatever_was_said_of_them(day: Day) -> None:
    """Every leg, every underlying and the VIX, counted by the gateway."""
    assert day.most_lines == len(BOOK) * 5 + 1


def test_what_is_refused_at_night_is_told_once(day: Day) -> None:
    """KURT is wanted to be closed while its quotes live: not a refusal for each minute, but one for the
    hours, and one more for the blackout around the restart."""
    decided = LakeReader.open(day.home).table("decisions").filter(pl.col("kind") == "veto").collect()
    said = [[check.split(":")[0] for check in reason.split("; ")] for reason in decided["reason"]]
    assert sorted(said) == [["hours"], ["hours", "blackout"]], decided["reason"].to_list()


def test_no_limit_was_tripped_and_the_daemon_ended_in_order(day: Day) -> None:
    told = (day.folder / "daemon.out").read_text()
    assert "breaker armed" not in told
    assert told.endswith("stopped cleanly\n")


def test_the_report_tells_of_every_act_and_every_figure(day: Day, lines: list[Line]) -> None:
    page = report(day.said, lines)
    for act in ACTS:
        assert f"| {act.at} | {act.words} |" in page
    for line in lines:
        assert f"| {line.name} | {line.gateway} | {line.lake} | none |" in page

"""Positions that are to be acted on get lines whole, one after the other where lines are few."""

from datetime import UTC, datetime, timedelta

from options import ConId
from sync.confirmation import LASTS, TURN, Confirmations

NOW = datetime(2026, 3, 2, 15, tzinfo=UTC)


def legs(first: int) -> list[ConId]:
    return [ConId(first + n) for n in range(4)]


def test_a_position_gets_all_its_lines_or_none() -> None:
    asked = Confirmations()
    for name, first in (("a", 1), ("b", 11), ("c", 21)):
        assert asked.ask(name, legs(first), NOW)
    assert asked.wanted(10, NOW) == [*legs(1), *legs(11)]
    assert asked.wanted(1, NOW) == legs(1), "the first one is never refused"


def test_lines_are_wanted_as_long_as_somebody_asks() -> None:
    asked = Confirmations()
    assert asked.ask("a", legs(1), NOW)
    soon = NOW + timedelta(seconds=5)
    assert not asked.ask("a", legs(1), soon)
    assert asked.wanted(8, soon + LASTS / 2) == legs(1)
    assert asked.wanted(8, soon + LASTS) == []
    assert asked.ask("a", legs(1), soon + LASTS)


def test_what_does_not_become_live_lets_others_go_first() -> None:
    asked, now = Confirmations(), NOW
    given = []
    for _ in range(3):
        for _ in range(int(TURN.total_seconds())):
            for name, first in (("a", 1), ("b", 11)):
                asked.ask(name, legs(first), now)
            given.append(tuple(asked.wanted(4, now)))
            now += timedelta(seconds=1)
    assert list(dict.fromkeys(given)) == [tuple(legs(1)), tuple(legs(11))]
    assert given[-1] == tuple(legs(1)), "and its turn comes again"

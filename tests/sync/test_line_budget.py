"""Lines are never overspent, and go to what matters most."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from options import ConId
from sync.line_budget import LineBudget, LinePriority, Wanted

NOW = datetime(2026, 2, 3, 15, 0, tzinfo=UTC)
wants = st.lists(st.builds(Wanted, st.integers(1, 30).map(ConId), st.sampled_from(LinePriority)), max_size=40)


def wanted(priority: LinePriority, *con_ids: int) -> list[Wanted]:
    return [Wanted(ConId(con_id), priority) for con_id in con_ids]


@given(st.integers(1, 12), st.lists(st.tuples(wants, st.booleans(), st.integers(0, 60)), max_size=8))
def test_open_lines_never_pass_the_budget(budget: int, beats: list[tuple[list[Wanted], bool, int]]) -> None:
    lines, now, open_lines = LineBudget(budget), NOW, set[ConId]()
    for want, is_refused, seconds in beats:
        now += timedelta(seconds=seconds)
        to_open, to_close = lines.plan(want, now)
        assert not set(to_open) & open_lines
        assert set(to_close) <= open_lines
        open_lines -= set(to_close)
        for con_id in to_open:
            open_lines.add(con_id)
            assert len(open_lines) <= lines.budget <= budget
        assert open_lines == set(lines.open_lines)
        assert lines.plan(want, now) == ([], [])
        if is_refused:
            before = lines.budget
            lines.refused()
            assert lines.budget < before or before == 1


def test_urgent_contracts_get_the_lines() -> None:
    lines = LineBudget(2)
    lines.plan(wanted(LinePriority.REST, 1, 2), NOW)
    to_open, to_close = lines.plan(
        wanted(LinePriority.REST, 1, 2) + wanted(LinePriority.WORKING_ORDER, 3), NOW
    )
    assert to_open == [3]
    assert len(to_close) == 1


def test_equals_do_not_push_each_other_out() -> None:
    lines = LineBudget(2)
    lines.plan(wanted(LinePriority.REST, 5, 6), NOW)
    assert lines.plan(wanted(LinePriority.REST, 1, 2, 5, 6), NOW + timedelta(hours=1)) == ([], [])


def test_unwanted_line_stays_a_while_unless_it_is_needed() -> None:
    lines = LineBudget(2)
    lines.plan(wanted(LinePriority.RISKY_SHORT, 1, 2), NOW)
    soon = NOW + timedelta(seconds=10)
    assert lines.plan(wanted(LinePriority.REST, 1), soon) == ([], [])
    assert lines.plan(wanted(LinePriority.REST, 1, 3), soon) == ([3], [2])
    assert lines.plan(wanted(LinePriority.REST, 1), soon + timedelta(seconds=31)) == ([], [3])


def test_refused_line_shrinks_the_budget_below_what_is_open() -> None:
    lines = LineBudget(90)
    lines.plan(wanted(LinePriority.REST, *range(1, 41)), NOW)
    lines.refused(ConId(40))
    assert lines.budget == 34
    _, to_close = lines.plan(wanted(LinePriority.REST, *range(1, 41)), NOW)
    assert len(to_close) == 5

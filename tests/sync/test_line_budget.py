"""Lines are never overspent, and go to what matters most."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from options import ConId
from sync.line_budget import ASK_AGAIN_AFTER, RECOVER_AFTER, LineBudget, LinePriority, Wanted

NOW = datetime(2026, 2, 3, 15, 0, tzinfo=UTC)
wants = st.lists(st.builds(Wanted, st.integers(1, 30).map(ConId), st.sampled_from(LinePriority)), max_size=40)


def wanted(priority: LinePriority, *con_ids: int) -> list[Wanted]:
    return [Wanted(ConId(con_id), priority) for con_id in con_ids]


@given(
    st.integers(1, 24),
    st.lists(st.tuples(wants, st.booleans(), st.integers(0, 60)), max_size=8),
    st.integers(0, 4),
    st.integers(0, 6),
)
def test_open_lines_never_pass_the_budget(
    budget: int, beats: list[tuple[list[Wanted], bool, int]], reserve: int, visits: int
) -> None:
    lines, now, open_lines = LineBudget(budget, 30.0, reserve, visits), NOW, set[ConId]()
    for want, is_refused, seconds in beats:
        now += timedelta(seconds=seconds)
        for again in range(4):
            to_open, to_close = lines.plan(want, now)
            assert not set(to_open) & open_lines
            assert set(to_close) <= open_lines
            open_lines -= set(to_close)
            for con_id in to_open:
                open_lines.add(con_id)
                assert len(open_lines) <= lines.budget <= budget
            assert open_lines == set(lines.open_lines)
            assert again < 3 or (to_open, to_close) == ([], []), "it comes to rest"
        if is_refused:
            before = lines.budget
            lines.refused(None, now)
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
    lines.refused(ConId(40), NOW)
    assert lines.budget == 34
    _, to_close = lines.plan(wanted(LinePriority.REST, *range(1, 41)), NOW)
    assert len(to_close) == 5


def test_of_several_refusals_at_once_each_counts_the_lines_that_were_granted() -> None:
    lines = LineBudget(90)
    lines.plan(wanted(LinePriority.REST, *range(1, 91)), NOW)
    for con_id in range(81, 91):
        lines.refused(ConId(con_id), NOW)
    assert lines.budget == 75, "eighty were granted, and five of them are left to others"


def test_the_budget_grows_again_slowly_while_nothing_is_refused() -> None:
    lines, want = LineBudget(20), wanted(LinePriority.REST, *range(1, 30))
    lines.plan(want, NOW)
    lines.refused(None, NOW)
    assert lines.budget == 15
    sizes, now = [], NOW
    for _ in range(7):
        now += RECOVER_AFTER
        lines.plan(want, now)
        sizes.append(lines.budget)
    assert sizes == [16, 17, 18, 19, 20, 20, 20]
    lines.refused(None, now)
    lines.plan(want, now + RECOVER_AFTER / 2)
    assert lines.budget == 15


def test_the_reserve_stays_free_until_an_order_needs_it_and_then_takes_nobodys_line() -> None:
    lines = LineBudget(24, reserve=4, visits=6)
    held = wanted(LinePriority.REST, *range(1, 100))
    to_open, _ = lines.plan(held, NOW)
    assert len(to_open) == 14, "four for orders, six for those that take turns"
    to_open, to_close = lines.plan(held + wanted(LinePriority.WORKING_ORDER, 201, 202, 203, 204), NOW)
    assert (to_open, to_close) == ([201, 202, 203, 204], [])
    to_open, to_close = lines.plan(held + wanted(LinePriority.WORKING_ORDER, *range(201, 209)), NOW)
    assert to_open == [205, 206, 207, 208]
    assert len(to_close) == 4, "what the reserve does not hold is taken from the rest"


def test_a_book_that_fits_has_all_lines_but_the_reserve() -> None:
    lines = LineBudget(24, reserve=4, visits=6)
    to_open, _ = lines.plan(wanted(LinePriority.REST, *range(1, 21)), NOW)
    assert len(to_open) == 20


def test_a_visit_takes_no_stream_and_leaves_no_trace() -> None:
    lines = LineBudget(24, reserve=4, visits=6)
    held = wanted(LinePriority.REST, *range(11, 100))
    streams = set(lines.plan(held, NOW)[0])
    # 50 and 60 are held and wait, 3 is small: none may push a stream out, during the visit or after it.
    visits = wanted(LinePriority.VISIT, 3, 50, 60)
    assert lines.plan(held + visits, NOW) == ([3, 50, 60], [])
    assert lines.streams == streams
    also_3 = held + wanted(LinePriority.REST, 3)
    assert lines.plan(also_3, NOW) == ([], [3, 50, 60]), "a visit is over at once"
    assert lines.streams == streams


def test_visits_are_never_more_than_their_lines() -> None:
    lines = LineBudget(24, reserve=4, visits=6)
    held = wanted(LinePriority.REST, *range(1, 100))
    lines.plan(held, NOW)
    to_open, _ = lines.plan(held + wanted(LinePriority.VISIT, *range(50, 70)), NOW)
    assert to_open == [50, 51, 52, 53, 54, 55]


def test_an_ended_order_frees_its_lines_for_the_next() -> None:
    lines = LineBudget(12, reserve=2)
    underlyings = wanted(LinePriority.UNDERLYING, *range(1, 7))
    lines.plan(underlyings + wanted(LinePriority.WORKING_ORDER, *range(20, 26)), NOW)
    _, to_close = lines.plan(underlyings + wanted(LinePriority.WORKING_ORDER, *range(30, 36)), NOW)
    assert to_close == [20, 21, 22, 23, 24, 25]


def test_underlyings_come_before_orders_and_these_before_all_else() -> None:
    lines = LineBudget(12, reserve=2, visits=4)
    want = [
        *wanted(LinePriority.REST, 1, 2),
        *wanted(LinePriority.ACTIVE, 3, 4),
        *wanted(LinePriority.RISKY_SHORT, 5),
        *wanted(LinePriority.WORKING_ORDER, *range(20, 26)),
        *wanted(LinePriority.UNDERLYING, *range(30, 35)),
    ]
    to_open, _ = lines.plan(want, NOW)
    assert to_open == [*range(30, 35), *range(20, 26)], "one line is left, and contracts take turns on it"


def test_a_line_that_is_not_served_is_asked_for_again_after_a_while_and_another_takes_its_place() -> None:
    lines, want = LineBudget(2), wanted(LinePriority.REST, 1, 2, 3)
    assert lines.plan(want, NOW) == ([1, 2], [])
    lines.not_served(ConId(1), NOW)
    assert lines.plan(want, NOW) == ([3], []), "no line stands idle"
    assert lines.plan(want, NOW + ASK_AGAIN_AFTER - timedelta(seconds=1)) == ([], [])
    assert lines.plan(wanted(LinePriority.REST, 1, 2), NOW + 2 * ASK_AGAIN_AFTER)[0] == [1]


def test_a_line_that_is_not_served_counts_for_a_new_connection_no_more() -> None:
    lines, want = LineBudget(2), wanted(LinePriority.REST, 1)
    lines.plan(want, NOW)
    lines.not_served(ConId(1), NOW)
    lines.forget()
    assert lines.plan(want, NOW) == ([1], [])

"""What the rules remember comes back after a restart, and takes no more room than what has changed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.rule_memory import RuleMemory, remembered
from lake import Lake, LakeReader
from rules import RuleState, initial_state
from sync.tables import LAKE_TABLES

NOON = datetime(2026, 1, 5, 17, tzinfo=UTC)
PEAKS = st.dictionaries(st.sampled_from(["", "A", "B", "C", 'it\'s "D"']), st.none() | st.floats(-1, 1))


def state(peaks: dict[str, float | None]) -> RuleState:
    latches = [bool(peak and peak > 0) or None for peak in peaks.values()]
    schema = {"position": pl.String, "track:peak_profit": pl.Float64, "latch:take_profit:1": pl.Boolean}
    return RuleState(pl.DataFrame([list(peaks), list(peaks.values()), latches], schema=schema))


def record(lake: Lake, memory: RuleMemory, now: datetime, remembered_now: RuleState) -> int:
    """Commit what has changed; how many rows that took."""
    rows = list(memory.rows(remembered_now, "r", now))
    table = LAKE_TABLES["rule_state"]
    lake.commit(now, {"rule_state": pl.DataFrame(rows, schema=table.row, orient="row")})
    return len(rows)


def restored(home: Path) -> dict[str, str]:
    return remembered(LakeReader.open(home)).texts()


def test_only_positions_that_changed_are_written_and_all_of_them_once_a_day(tmp_path: Path) -> None:
    many = {f"P{number}": 0.1 for number in range(500)}
    with Lake.open(tmp_path, LAKE_TABLES) as lake:
        memory = RuleMemory(initial_state())
        assert record(lake, memory, NOON, state(many)) == 500
        assert record(lake, memory, NOON + timedelta(seconds=30), state(many)) == 0
        assert record(lake, memory, NOON + timedelta(seconds=60), state(many | {"P7": 0.2})) == 1
        assert record(lake, memory, NOON + timedelta(days=1), state(many | {"P7": 0.3})) == 500
        lake.flush()
        assert restored(tmp_path) == state(many | {"P7": 0.3}).texts()


def test_a_position_that_is_over_is_forgotten_also_when_it_ended_while_nothing_ran(tmp_path: Path) -> None:
    with Lake.open(tmp_path, LAKE_TABLES) as lake:
        memory = RuleMemory(initial_state())
        record(lake, memory, NOON, state({"A": 0.1, "B": 0.2, "C": 0.3}))
        record(lake, memory, NOON, state({"A": 0.1, "B": 0.2}))
        assert restored(tmp_path) == state({"A": 0.1, "B": 0.2}).texts()
        taken_up = RuleMemory(remembered(LakeReader.open(tmp_path)))
        record(lake, taken_up, NOON, state({"A": 0.1}))
        assert restored(tmp_path) == state({"A": 0.1}).texts()


def test_what_an_older_optiond_wrote_in_one_row_is_taken_up_and_gone_on_from(tmp_path: Path) -> None:
    before = state({"A": 0.1, "B": 0.2})
    old = pl.DataFrame({"revision": ["r"], "state": [before.to_json()]})
    with Lake.open(tmp_path, LAKE_TABLES) as lake:
        lake.commit(NOON, {"rule_state": old})
        assert restored(tmp_path) == before.texts()
        record(lake, RuleMemory(before), NOON + timedelta(seconds=30), state({"A": 0.4}))
        assert restored(tmp_path) == state({"A": 0.4}).texts()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(PEAKS, st.integers(-1, 30), st.booleans()), min_size=1, max_size=8))
def test_after_any_history_the_last_state_comes_back(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[dict[str, float | None], int, bool]]
) -> None:
    home = tmp_path_factory.mktemp("home")
    now = NOON
    with Lake.open(home, LAKE_TABLES) as lake:
        memory = RuleMemory(initial_state())
        for peaks, hours, restarts in history:
            now += timedelta(hours=hours)
            if restarts:
                memory = RuleMemory(remembered(LakeReader.open(home)))
            record(lake, memory, now, state(peaks))
            lake.flush()
            assert restored(home) == state(peaks).texts()

"""Any history of commits, flushes, upkeep, deaths and jumping clocks, against what must be there."""

import shutil
import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from lake import LEDGER, Lake, LakeReader
from lake.journal_view import look
from tests.lake.kills import Scribe
from tests.lake.scribe import FEW, RESERVE, T0, rows_of, time_of

JUMPS = st.sampled_from([0, 1, 40, 3600, 90_000, 86_400 * 40, -1, -1800, -86_400 * 3])  # seconds
WORK = st.sampled_from(
    [
        ("commit 1",),
        ("commit 2", "flush"),
        ("commit 1", "flush", "commit 2", "flush"),
        ("flush", "upkeep"),
        ("commit 1", "flush", "upkeep", "commit 1"),
        ("upkeep", "reopen", "commit 1", "flush"),
    ]
)
STEPS = st.sampled_from(
    [
        "journal.created",
        "journal.written",
        "journal.committed",
        "journal.deleting",
        "recovery.healed",
        "recovery.declared",
        "flush.boundary",
        "flush.table.facts",
        "flush.table.fills",
        "flush.table.orders",
        "flush.ledger",
        "flush.synced",
        "flush.released",
        "flush.dropped",
        "delta.created",
        "delta.synced",
        "custody.vouched",
        "upkeep.written",
        "upkeep.committed",
        "upkeep.checkpointed",
        "upkeep.removed",
        "upkeep.forgotten",
    ]
)
NTH = st.integers(1, 3)


class AnyHistory(RuleBasedStateMachine):
    """A lake, and the times of the commits it must hold: the n-th is that of seq n."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.home = self.folder / "home"
        self.times: list[datetime] = []
        self.clock = T0
        self.lake: Lake | None = None
        self.next_scribe = Scribe()

    @precondition(lambda self: self.lake is None)
    @rule()
    def open(self) -> None:
        self.lake = Lake.open(self.home, FEW, reserve=RESERVE)
        assert self.lake.seq == len(self.times)

    @precondition(lambda self: self.lake is not None)
    @rule(jump=JUMPS, tables=st.sets(st.sampled_from(list(FEW))))
    def commit(self, jump: int, tables: set[str]) -> None:
        """Rows for every table; `tables` get theirs in another order than they were declared in."""
        assert self.lake is not None
        self.clock += timedelta(seconds=jump)
        seq = len(self.times) + 1
        names = [*tables, *(name for name in FEW if name not in tables)]
        frames = {name: rows_of(FEW[name], [seq]).drop("seq", "time") for name in names}
        assert self.lake.commit(self.clock, frames) == seq
        self.times.append(self.clock)

    @precondition(lambda self: self.lake is not None)
    @rule()
    def flush(self) -> None:
        assert self.lake is not None
        self.lake.flush()
        assert self.lake.unflushed_rows == 0

    @precondition(lambda self: self.lake is not None)
    @rule(days=st.sampled_from([0, 3, 400]), retention=st.sampled_from([0, 24]))
    def keep_up(self, days: int, retention: int) -> None:
        assert self.lake is not None
        report = self.lake.upkeep(self.clock + timedelta(days=days), retention=timedelta(hours=retention))
        assert report.is_finished
        assert not [table.trouble for table in report.tables if table.trouble]

    @precondition(lambda self: self.lake is not None)
    @rule()
    def close(self) -> None:
        assert self.lake is not None
        self.lake.close()
        self.lake = None

    @rule(work=WORK, step=STEPS, nth=NTH)
    def die_at_a_step(self, work: Sequence[str], step: str, nth: int) -> None:
        self._let_write(*work, failpoint=f"{step}:{nth}").end()
        self._take_in()

    @rule(lines=st.integers(2, 12))
    def die_at_any_moment(self, lines: int) -> None:
        scribe = self._let_write("beside flush", "beside upkeep", "commit")
        scribe.listen(lines)
        scribe.end(kill=True)
        self._take_in()

    def _let_write(self, *work: str, failpoint: str | None = None) -> Scribe:
        if self.lake is not None:
            self.close()
        self.scribe, self.next_scribe = self.next_scribe, Scribe()
        self.scribe.start(self.home, *work, failpoint=failpoint, tables=FEW)
        return self.scribe

    def _take_in(self) -> None:
        """What the scribe acknowledged is there, and at most one commit more."""
        acknowledged = max(len(self.times), self.scribe.acknowledged)
        if not acknowledged and not self._has_begun():
            return
        seq = LakeReader.open(self.home).seq
        assert acknowledged <= seq <= acknowledged + 1
        self.times += [time_of(n) for n in range(len(self.times) + 1, seq + 1)]

    def _has_begun(self) -> bool:
        with look(self.home / "journal.sqlite") as journal:
            return journal is not None and bool(journal.names())

    @precondition(lambda self: self.times)
    @rule(share=st.floats(0, 1))
    def read_as_of_a_seq(self, share: float) -> None:
        seq = round(share * len(self.times))
        self._compare(seq, seq)

    @precondition(lambda self: self.times)
    @rule(share=st.floats(0, 0.999), beside=st.sampled_from([-1, 0, 1, 5000]))
    def read_as_of_a_time(self, share: float, beside: int) -> None:
        moment = self.times[int(share * len(self.times))] + timedelta(seconds=beside)
        seqs = [seq for seq, time in enumerate(self.times, 1) if time <= moment]
        self._compare(moment, max(seqs, default=0))

    @precondition(lambda self: self.times)
    @invariant()
    def everything_is_there_once(self) -> None:
        reader = LakeReader.open(self.home)
        assert reader.seq == len(self.times)
        self._compare(None, len(self.times))
        if LEDGER.name in reader.names():
            ledger = reader.table(LEDGER.name).sort("seq").collect()
            assert ledger["first_seq"].to_list() == [1, *(ledger["seq"] + 1)][: ledger.height]
            told = [time for times in ledger["times"].to_list() for time in times]
            assert told == self.times[: len(told)]

    def _compare(self, moment: int | datetime | None, seq: int) -> None:
        reader = LakeReader.open(self.home)
        known = pl.DataFrame(
            {"seq": range(1, seq + 1), "time": self.times[:seq]},
            {"seq": pl.Int64, "time": pl.Datetime("us", "UTC")},
        )
        for name, table in FEW.items():
            rows = reader.table(name) if moment is None else reader.table(name, moment)
            expected = rows_of(table, known["seq"]).drop("time").join(known, "seq", maintain_order="left")
            stored = rows.sort("seq", maintain_order=True).collect()
            assert stored.equals(expected.select(stored.columns)), name

    def teardown(self) -> None:
        if self.lake is not None:
            self.lake.close()
        Scribe.end_all()
        shutil.rmtree(self.folder)


@pytest.mark.timeout(3000)
@pytest.mark.parametrize(("histories", "steps"), [(4, 10), pytest.param(80, 40, marks=pytest.mark.long)])
def test_after_any_history_every_row_is_there_once_now_and_as_of_any_seq_and_time(
    histories: int, steps: int
) -> None:
    run_state_machine_as_test(
        AnyHistory,
        settings=settings(
            max_examples=histories,
            stateful_step_count=steps,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )

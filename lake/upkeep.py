"""Upkeep: what a lake needs now and then, table by table, while everything else goes on.

Small files of closed dates become one, a checkpoint is written, files and log entries that nothing needs any
more are removed after the retention. Each step may be cut off anywhere; the next run takes it up again.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import unquote

from deltalake.exceptions import CommitFailedError

from lake import compaction, delta, failpoint, log_files
from lake.compaction import Rewrite
from lake.custody import Custody
from lake.data_files import DataFile, exchange, live_files
from lake.faults import reported
from lake.foreign import COMPACT
from options import LakeError

_TRIES = 5
_TABLE_WEIGHT = 2**20  # what a table's other steps count beside the bytes that are rewritten


@dataclass(frozen=True, slots=True)
class Step:
    """What upkeep is at: a table, what is done to it, and how much of the whole is done."""

    table: str
    action: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class TableUpkeep:
    """What was done to one table: its live files and their bytes before and after, and how many dates were
    compacted; data files and log files removed; `trouble`, in one line, when it could not be done."""

    name: str
    rows: int = 0
    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    compacted: int = 0
    removed_files: int = 0
    removed_logs: int = 0
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class UpkeepReport:
    """What an upkeep did; `is_finished` is False when it was stopped before its end."""

    time: datetime
    is_finished: bool
    tables: tuple[TableUpkeep, ...]

    @property
    def trouble(self) -> str:
        """What went wrong with tables, in one line; empty when nothing did."""
        return "; ".join(table.trouble for table in self.tables if table.trouble)


@dataclass(frozen=True, slots=True)
class Terms:
    """What an upkeep goes by: dates before `before` are closed, what was replaced is kept for `retention`,
    and the versions `pins` of each table for ever."""

    before: date
    retention: timedelta
    pins: Mapping[str, Sequence[int]]


class Stopped(Exception):
    """Somebody asked to stop."""


class Upkeep:
    """One run over the tables of a lake."""

    def __init__(
        self,
        custody: Custody,
        terms: Terms,
        progress: Callable[[Step], None] | None,
        stops: Sequence[threading.Event],
    ) -> None:
        """Ends before its time once one of `stops` is set."""
        self._custody = custody
        self._store = custody.store
        self._terms = terms
        self._progress = progress
        self._stops = stops
        self._done = 0
        self._total = 0

    def run(self, names: Iterable[str], now: datetime) -> UpkeepReport:
        """Keep up each table; trouble with one does not keep the others from it."""
        names = list(names)
        self._total = sum(_TABLE_WEIGHT + self._weight(name) for name in names)
        kept: list[TableUpkeep] = []
        for name in names:
            try:
                kept.append(self._keep_up(name))
            except Stopped:
                return UpkeepReport(now, False, tuple(kept))
            except LakeError as error:
                kept.append(TableUpkeep(name, trouble=str(error)))
        return UpkeepReport(now, True, tuple(kept))

    def _weight(self, name: str) -> int:
        """Bytes to rewrite; none where that cannot be told, which its own turn says in full."""
        try:
            return sum(each.size for each in self._rewrites(name))
        except LakeError:
            return 0

    def _keep_up(self, name: str) -> TableUpkeep:
        self._tell(name, "look")
        before = self._prepare(name)
        compacted = self._compact(name)
        self._tell(name, "checkpoint")
        self._checkpoint(name)
        self._tell(name, "vacuum")
        removed_files = self._vacuum(name)
        removed_logs = self._clean_log(name)
        self._done += _TABLE_WEIGHT
        after = self._files(name)
        return TableUpkeep(
            name,
            sum(file.rows or 0 for file in after),
            len(before),
            len(after),
            sum(file.size for file in before),
            sum(file.size for file in after),
            compacted,
            removed_files,
            removed_logs,
        )

    def _tell(self, name: str, action: str) -> None:
        if any(stop.is_set() for stop in self._stops):
            raise Stopped
        if self._progress is not None:
            self._progress(Step(name, action, min(self._done, self._total), self._total))

    def _files(self, name: str) -> list[DataFile]:
        with reported(f"cannot read the table {name}", self._custody.place(name)):
            table = delta.open_table(self._store, name)
            return [] if table is None else live_files(table)

    def _rewrites(self, name: str) -> list[Rewrite]:
        return compaction.plan(self._files(name), self._terms.before)

    def _prepare(self, name: str) -> list[DataFile]:
        """See that the table is as it should be and keeps what it replaces; its live files."""
        with self._custody.turn(name) as table:
            wanted = delta.kept_for(self._terms.retention) | delta.measured(delta.columns_of(table))
            if wanted.items() - table.metadata().configuration.items():
                with reported(f"cannot write the table {name}", self._custody.place(name)):
                    table.alter.set_table_properties(wanted, post_commithook_properties=delta.HOOKS)
            return live_files(table)

    def _compact(self, name: str) -> int:
        """Compact the closed dates; how many new files that took."""
        count = 0
        for _ in range(_TRIES):
            rewrites = self._rewrites(name)
            if not rewrites:
                break
            for rewrite in rewrites:
                self._tell(name, f"compact {rewrite.date}")
                if not self._rewrite(name, rewrite):
                    break  # it is not what is there any more: plan again
                count += 1
                self._done += rewrite.size
        return count

    def _rewrite(self, name: str, rewrite: Rewrite) -> bool:
        place = self._custody.place(name)
        with reported(f"cannot compact the table {name}", place):
            table = delta.open_table(self._store, name)
            assert table is not None
            schema = delta.polars_schema(table)
            measured = [column for column in delta.LOOKED_UP if column in schema]
            file = compaction.write(self._store, name, rewrite, schema, measured)
        failpoint.reach("upkeep.written")
        for _ in range(_TRIES):
            with self._custody.turn(name) as table, reported(f"cannot compact the table {name}", place):
                live = {each.path for each in live_files(table)}
                if not live.issuperset(each.path for each in rewrite.sources):
                    return False
                if delta.polars_schema(table) != schema:
                    return False  # another program had taken a column out, or a flush has added one
                try:
                    exchange(table, rewrite.sources, [file], COMPACT, _machine_time())
                except CommitFailedError:
                    continue  # another program was first: look again what is there
                failpoint.reach("upkeep.committed")
                return True
        raise LakeError(
            f"the table {name} ({place}) is being changed by another program all the time: stop it"
        )

    def _checkpoint(self, name: str) -> None:
        with self._custody.turn(name) as table:
            log = f"{name}/_delta_log"
            with reported(f"cannot write the table {name}", self._custody.place(name)):
                if not log_files.has_checkpoint(self._store.keys(log), table.version()):
                    table.create_checkpoint()
                # Also one that was there: who wrote it may have been killed before its sync.
                self._store.sync(log_files.checkpoint_keys(self._store.keys(log), table.version()))
        failpoint.reach("upkeep.checkpointed")

    def _vacuum(self, name: str) -> int:
        """Remove the data files that no version within the retention and no pinned one needs."""
        hours = math.ceil(self._terms.retention / timedelta(hours=1))
        with (
            self._custody.turn(name) as table,
            reported(f"cannot clean up {name}", self._custody.place(name)),
        ):
            doomed = table.vacuum(
                hours,
                dry_run=True,
                enforce_retention_duration=False,
                full=True,
                keep_versions=self._readable_pins(name) or None,
            )
            left = self._store.leftovers(name, _machine_time() - self._terms.retention)
        keys = {*left, *(f"{name}/{unquote(path)}" for path in doomed)}
        for key in sorted(keys):
            self._tell(name, "vacuum")
            with reported(f"cannot clean up {name}", self._custody.place(name)):
                self._store.delete(key)
            failpoint.reach("upkeep.removed")
        failpoint.reach("upkeep.vacuumed")
        return len(keys)

    def _clean_log(self, name: str) -> int:
        """Remove what the log tells about versions that are older than the retention and not pinned."""
        log = f"{name}/_delta_log"
        cutoff = _machine_time() - self._terms.retention
        with reported(f"cannot clean up {name}", log):
            doomed = log_files.expired(
                self._store, name, self._custody.vouched(name), cutoff, self._pins(name)
            )
        for key in doomed:
            self._tell(name, "log")
            with reported(f"cannot clean up {name}", log):
                self._store.delete(key)
            failpoint.reach("upkeep.forgotten")
        if doomed:
            with reported(f"cannot clean up {name}", log):
                self._store.sync_folder(log)
        failpoint.reach("upkeep.cleaned")
        return len(doomed)

    def _pins(self, name: str) -> Sequence[int]:
        return self._terms.pins.get(name, ())

    def _readable_pins(self, name: str) -> list[int]:
        """The pinned versions that can still be opened; one that another program removed cannot be kept."""
        keys = self._store.keys(f"{name}/_delta_log")
        return [version for version in self._pins(name) if log_files.is_readable(keys, version)]


def _machine_time() -> datetime:
    # Files are removed by the machine's clock: every program's vacuum goes by it, and so do file times.
    return datetime.fromtimestamp(time.time(), UTC)

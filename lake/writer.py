"""The writer: acknowledges cycles in the journal and brings them, exactly once, into Delta."""

import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl
import structlog
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from filelock import FileLock, Timeout

from lake import delta, failpoint, healing, ledger
from lake.custody import Custody
from lake.faults import is_disk_full, reported
from lake.health import LakeHealth
from lake.journal import RESERVE, Entry, Journal
from lake.journal_file import Flushed
from lake.location import FOLDER, JOURNAL, Location, make_home, settle, store_of
from lake.owner import Owner, claim
from lake.recovery import Recovery
from lake.schemas import TableSchema, no_such_table
from lake.store import Bucket, Store
from lake.tables import LEDGER, SCHEMA_CHANGES, TABLES
from lake.upkeep import Step, Terms, Upkeep, UpkeepReport
from options import LakeError

LOCK = "lake.lock"
_TRIES = 5
_LEAVE_WITHIN_S = 3.0
# delta-rs writes them as %.. into the address of a table, and polars takes that for the path; a folder with
# "=" is taken for a partition's.
_STRANGE = re.compile(r'[^!-~]|[%#?=\[\]{}<>"`^|\\]')
_LAST_UPKEEP = "last_upkeep"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FlushReport:
    """What a flush brought into the lake: commits up to `seq`, and rows per table (empty: nothing to do)."""

    seq: int
    commits: int
    rows: Mapping[str, int]


class Lake:
    """The one writer of a home. `commit` and `flush` may be called from any thread, at the same time."""

    def __init__(
        self,
        store: Store,
        owner: Owner | None,
        lock: FileLock,
        journal: Journal,
        tables: Mapping[str, TableSchema],
    ) -> None:
        """Use `Lake.open`."""
        self._store = store
        self._owner = owner
        self._lock = lock
        self._journal = journal
        self._tables = tables
        self._stored = _all_columns(journal.declared(), tables)
        self._handles: dict[str, tuple[DeltaTable, int]] = {}
        self._custody = Custody(store, journal, owner)
        self._flushing = self._custody.lock
        self._keeping_up = threading.Lock()
        self._closing = threading.Event()
        self._was_cut_off = journal.flushed.boundary is not None
        self.went_on_after: Flushed | None = None
        """Where the journal was lost: the flush after which this goes on; what came later is lost too."""

    @classmethod
    def open(
        cls,
        home: Path,
        tables: Mapping[str, TableSchema] = TABLES,
        *,
        location: Location | None = None,
        take_over: bool = False,
        reserve: int = RESERVE,
    ) -> Self:
        """Open or create the lake of `home`, and finish a flush that was cut off (on a full disk: later).

        `location`: where the lake is to lie; None: where it does. `take_over`: a lake in a bucket from
        another home, which will never write to it again. `reserve`: bytes of disk that the journal takes at
        once, for commits when the disk is full. Raises LakeError when the lake lies elsewhere, when another
        process writes to this home or another home to this lake, and when the home, the journal or a table
        cannot be read or written.
        """
        with reported("cannot create the lake", home):
            make_home(home)
        with ExitStack() as undo:
            with reported("cannot lock the home", home / LOCK):
                lock = acquire(home / LOCK)
            undo.callback(lock.release)
            with reported("cannot create the lake", home):
                store = _settled(home, location)
            owner = claim(home, store, take_over) if isinstance(store, Bucket) else None
            with reported("cannot open the journal", home / JOURNAL):
                journal = Journal(home / JOURNAL, reserve)
            undo.callback(journal.close)
            lake = cls(store, owner, lock, journal, tables)
            lake._recover()
            undo.pop_all()
            return lake

    @property
    def seq(self) -> int:
        """The seq of the last commit; 0 before the first."""
        return self._journal.seq

    @property
    def unflushed_commits(self) -> int:
        """Commits that are in the journal only."""
        return max(0, self._journal.seq - self._journal.flushed.seq)

    @property
    def unflushed_rows(self) -> int:
        """Rows that are in the journal only."""
        return self._journal.unflushed_rows

    @property
    def journal_bytes(self) -> int:
        """Bytes of the rows that are in the journal only."""
        return self._journal.unflushed_bytes

    @property
    def last_commit(self) -> datetime | None:
        """The time of the last commit that was acknowledged; None before the first."""
        return self._journal.last_commit

    @property
    def last_flush(self) -> datetime | None:
        """The commit time up to which the lake is flushed; None before the first flush."""
        return self._journal.flushed.time

    def commit(self, time: datetime, frames: Mapping[str, pl.DataFrame]) -> int:
        """Write the rows of one cycle, all or none, and give their seq; they are durable when this returns.

        Raises LakeError when a frame does not fit its table, and when the journal cannot be written (disk
        full): then a later one may go well. One whose sync failed may all the same be there, whole, after a
        restart.
        """
        if time.tzinfo is None:
            raise LakeError(f"the commit time {time} has no time zone: give a UTC time")
        entries = [
            Entry(name, self._table(name).fit(frame)) for name, frame in frames.items() if frame.height
        ]
        with reported("cannot write to the journal", self._journal.path):
            return self._journal.append(time, entries)

    def flush(self) -> FlushReport:
        """Bring everything committed so far into Delta; commits go on meanwhile.

        Raises LakeError when that fails; nothing is lost then, and the next flush takes it up again.
        """
        with self._flushing:
            with reported("cannot write to the journal", self._journal.path):
                boundary = self._journal.begin_flush()
            if boundary is None:
                return FlushReport(self._journal.flushed.seq, 0, {})
            failpoint.reach("flush.boundary")
            try:
                return self._flush_up_to(boundary)
            except LakeError:
                self._handles.clear()
                raise

    def upkeep(
        self,
        now: datetime,
        progress: Callable[[Step], None] | None = None,
        stop: threading.Event | None = None,
        retention: timedelta = delta.RETENTION,
        keep: Sequence[int] = (),
    ) -> UpkeepReport:
        """Compact the dates before `now` (UTC), write checkpoints, remove what is older than `retention`.

        May run in a thread beside commits and flushes. Set `stop` to end it before its time; the next run
        takes it up again. The versions that the ledger recorded for the commits `keep` stay readable. What
        goes wrong with one table is in the report; raises LakeError for what concerns all, and when another
        upkeep is under way.
        """
        if now.tzinfo is None:
            raise LakeError(f"the time {now} has no time zone: give a UTC time")
        if not self._keeping_up.acquire(blocking=False):
            raise LakeError("an upkeep of this home is under way: wait until it is done")
        try:
            if self._owner is not None:
                self._owner.check()
            with reported("cannot read the journal", self._journal.path):
                earliest = self._journal.earliest() or now
            before = min(now, earliest).astimezone(UTC).date()
            terms = Terms(before, retention, self._recorded(keep))
            names = sorted(self._journal.flushed.versions)
            stops = [self._closing, *([] if stop is None else [stop])]
            report = Upkeep(self._custody, terms, progress, stops).run(names, now)
            if report.is_finished and not report.trouble:
                with reported("cannot write to the journal", self._journal.path):
                    self._journal.note(_LAST_UPKEEP, now.isoformat())
            return report
        finally:
            self._keeping_up.release()

    def health(self) -> LakeHealth:
        """How the lake is, from metadata alone; may be called from any thread."""
        journal = self._journal
        with reported("cannot read the journal", journal.path):
            noted = journal.noted(_LAST_UPKEEP)
        flushed = journal.flushed
        return LakeHealth(
            {name: self._custody.health(name) for name in sorted(flushed.versions)},
            self.unflushed_commits,
            journal.unflushed_rows,
            journal.unflushed_bytes,
            journal.last_commit,
            flushed.time,
            None if noted is None else datetime.fromisoformat(noted),
        )

    def close(self) -> None:
        """Close the files and let go of the home; what is unflushed stays in the journal.

        An upkeep under way in another thread is asked to stop, and waited for a few seconds at most.
        """
        self._closing.set()
        is_idle = self._keeping_up.acquire(timeout=_LEAVE_WITHIN_S)
        with self._flushing:
            self._handles.clear()
            self._journal.close()
            self._lock.release()
        if is_idle:
            self._keeping_up.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _flush_up_to(self, boundary: int) -> FlushReport:
        journal = self._journal
        counts: dict[str, int] = {}
        versions, total = dict(journal.flushed.versions), dict(journal.flushed.rows)
        with reported("cannot read the journal", journal.path):
            names, times = journal.names(boundary), journal.times(boundary)
        for name in names:
            with reported("cannot read the journal", journal.path):
                rows = journal.rows(name, self._stored[name], boundary)
            counts[name] = rows.height
            total[name] = total.get(name, 0) + rows.height
            versions[name] = self._append(name, rows, boundary, ("seq", "time"))
            failpoint.reach(f"flush.table.{name}")
        versions.pop(LEDGER.name, None)
        of_ledger = total.pop(LEDGER.name, 0)
        versions[LEDGER.name] = self._note_flush(times, Flushed(boundary, times[-1], None, versions, total))
        total[LEDGER.name] = of_ledger + 1
        failpoint.reach("flush.ledger")
        for name in (*names, LEDGER.name):
            with reported(f"cannot sync the table {name}", self._place(name)):
                healing.sync(self._store, name, journal.flushed.versions.get(name, -1), versions[name])
        failpoint.reach("flush.synced")
        with reported("cannot write to the journal", journal.path):
            if LEDGER.name not in journal.flushed.versions:
                journal.note(ledger.ID_NOTE, delta.id_of(self._handles[LEDGER.name][0]))
            journal.end_flush(Flushed(boundary, times[-1], None, versions, total))
        self._was_cut_off = False
        failpoint.reach("flush.dropped")
        return FlushReport(boundary, len(times), counts)

    def _note_flush(self, times: list[datetime], flushed: Flushed) -> int:
        """Write the ledger's row about a flush; gives the ledger's version."""
        return self._append(
            LEDGER.name, ledger.row(times, flushed), flushed.seq, ("seq", "time", "first_time")
        )

    def _append(self, name: str, rows: pl.DataFrame, boundary: int, statistics: tuple[str, ...]) -> int:
        """Append unless the table has it already; gives the table's version."""
        for attempt in range(1, _TRIES + 1):
            try:
                with reported(f"cannot write the table {name}", self._place(name)):
                    table = self._handle(name, rows.schema, statistics)
                    if self._owner is not None:
                        # Only now: who takes over from here on fences the handle that is open.
                        self._owner.check()
                    if delta.mistyped(table, rows.schema):
                        # Another program's work: our rows must not be put down as something else.
                        self._custody.settle(name, table.version())
                        self._handles.pop(name)
                        table = self._handle(name, rows.schema, statistics)
                    if self._was_cut_off and self._custody.take_back(name, table, rows, boundary):
                        self._handles.pop(name)
                        table = self._handle(name, rows.schema, statistics)
                    if (table.transaction_version(delta.APP) or 0) < boundary:
                        delta.append(table, rows, boundary)
                    version = table.version()
                break
            except LakeError as error:
                self._handles.pop(name, None)
                if not isinstance(error.__cause__, CommitFailedError) or attempt == _TRIES:
                    raise
        settled = self._custody.settle(name, version, own=1)
        if settled != version:
            self._handles.pop(name, None)
        return settled

    def _handle(self, name: str, schema: pl.Schema, statistics: tuple[str, ...]) -> DeltaTable:
        """The table, created or widened to `schema` where needed, at its newest version."""
        held = self._handles.get(name)
        # A handle from before an upkeep may need log files that are gone.
        is_current = held is not None and held[0].version() >= self._custody.vouched(name)
        if held is not None and is_current and not delta.is_stale(*held):
            return held[0]
        table = delta.open_table(self._store, name) or delta.create_table(
            self._store, name, schema, statistics
        )
        delta.widen(table, schema)
        self._handles[name] = (table, table.version())
        return table

    def _recorded(self, seqs: Sequence[int]) -> dict[str, list[int]]:
        """The versions of every table that the ledger has for these seqs; what is not flushed has none."""
        if not seqs or LEDGER.name not in self._journal.flushed.versions:
            return {}
        with reported("cannot read the ledger", self._place(LEDGER.name)):
            return ledger.recorded_versions(self._store, seqs)

    def _place(self, name: str) -> str:
        return f"{self._store.uri}/{name}"

    def _table(self, name: str) -> TableSchema:
        if name not in self._tables:
            raise no_such_table(name, self._tables)
        return self._tables[name]

    def _recover(self) -> None:
        """Heal what a crash left torn, finish a flush that was cut off, undo what other programs did."""
        recovery = Recovery(self._store, self._journal, self._owner)
        opened = recovery.run(self._stored, self._note_flush)
        self.went_on_after = recovery.went_on_after
        if self._journal.flushed.boundary is not None:
            self._finish_flush()
        if self._journal.flushed.boundary is None:
            for name in self._journal.flushed.versions:
                self._custody.look(name, opened.get(name))

    def _finish_flush(self) -> None:
        """Finish a flush that was cut off; when the disk is full a later flush does, and commits go on."""
        try:
            self.flush()
        except LakeError as error:
            if not is_disk_full(error):
                raise
            _log.warning("lake.flush_waits", reason=str(error))


def _settled(home: Path, location: Location | None) -> Store:
    if location is not None:
        settle(home, location)
    store = store_of(home)
    if not store.is_durable:
        path = (home / FOLDER).resolve()  # as delta-rs does: what counts is where a link leads
        if strange := _STRANGE.search(str(path)):
            raise LakeError(
                f"the lake's folder {path} has the sign {strange[0]!r} in its path, which readers of Delta "
                "tables stumble over: choose another --home, of plain letters, digits, dots and dashes"
            )
        (home / FOLDER).mkdir(exist_ok=True)
    return store


def acquire(path: Path) -> FileLock:
    """The lock of a home's one writer. Raises LakeError when another process holds it."""
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        pid = path.read_text().strip() or "unknown"
        raise LakeError(
            f"another optiond (pid {pid}) uses this home ({path.parent}): stop it, or choose another --home"
        ) from error
    path.write_text(f"{os.getpid()}\n")
    return lock


def _all_columns(before: Mapping[str, pl.Schema], tables: Mapping[str, TableSchema]) -> dict[str, pl.Schema]:
    """Every table's columns: as declared now, then those it only had before, which stay."""
    stored = {name: table.stored for name, table in {**tables, SCHEMA_CHANGES.name: SCHEMA_CHANGES}.items()}
    for name, old in before.items():
        now = stored.setdefault(name, old)
        for column, dtype in old.items():
            if now.setdefault(column, dtype) != dtype:
                raise LakeError(
                    f"table {name}, column {column} is declared {now[column]} and was {dtype} in this home: "
                    "give the new column another name"
                )
    return stored

"""Custody: which version of each table is vouched for, and how it gets there.

A version is vouched for in the journal once it holds what it should and is safely on disk. Flush and upkeep
take turns: whoever is about to vouch holds the lock, and first undoes what other programs did.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
import structlog
from deltalake import DeltaTable

from lake import delta, failpoint, foreign, healing
from lake.data_files import live_files
from lake.faults import reported
from lake.health import TableHealth, health_of
from lake.journal import Journal
from lake.owner import Owner
from lake.store import Store
from options import LakeError

_LOSS = "loss of {}"

_log = structlog.get_logger(__name__)


class Custody:
    """The tables of one writer. `lock` is held by whoever writes to them; `troubles` says, by table, what
    could not be healed. What is lost for good stays noted in the journal, which a restored home has not."""

    def __init__(self, store: Store, journal: Journal, owner: Owner | None) -> None:
        self.store = store
        self.lock = threading.Lock()
        self.troubles: dict[str, str] = {}
        self._undone: Counter[str] = Counter()
        self._journal = journal
        self._owner = owner
        self._looking = threading.Lock()
        self._seen: dict[str, DeltaTable] = {}

    def vouched(self, name: str) -> int:
        """The version of a table that is vouched for; -1: none."""
        return self._journal.flushed.versions.get(name, -1)

    def place(self, name: str) -> str:
        """Where a table is, for messages."""
        return f"{self.store.uri}/{name}"

    def settle(self, name: str, version: int, own: int = 0) -> int:
        """Undo what other programs did since the vouched version; gives the version without it.

        `version` is the newest that is known of; so many commits since the vouched one are certainly `own`.
        What cannot be undone is kept in `troubles`. The lock must be held.
        """
        known = self.vouched(name)
        if version <= known + own:
            return version
        try:
            with reported(f"cannot look through the table {name}", self.place(name)):
                judged = foreign.judge(self.store, name, known)
        except foreign.Loss as error:
            self._trouble(name, str(error))
            with reported("cannot write to the journal", self._journal.path):
                self._journal.note(_LOSS.format(name), str(error))
            return version
        if judged.accepted:
            _log.warning("lake.foreign_compaction", table=name, versions=judged.accepted)
        if judged.undone:
            self._undone[name] += len(judged.undone)
            _log.error("lake.foreign_change_undone", table=name, versions=judged.undone)
        return judged.version

    def take_back(self, name: str, table: DeltaTable, rows: pl.DataFrame, boundary: int) -> bool:
        """Remove what a flush that was cut off left in a table if it is not `rows`; whether it was removed.

        A power cut may leave a file that was not synced its size, its head and its end, and holes in between.
        Where other programs have written since, nothing is removed. The lock must be held.
        """
        known = self.vouched(name)
        is_there = (table.transaction_version(delta.APP) or 0) >= boundary
        if self.store.is_durable or not is_there or table.version() == known:
            return False
        if foreign.own_since(self.store, name, known) < table.version():
            return False
        if healing.holds(table, rows, self._journal.flushed.seq):
            return False
        healing.take_back(self.store, name, known)
        _log.warning("lake.healed", table=name, removed=f"all versions after {known}")
        return True

    def look(self, name: str, table: DeltaTable | None) -> None:
        """Settle a table and count its rows when a home is opened; troubles are kept and logged.

        `table` is its newest version, if it was opened already.
        """
        with self.lock:
            if table is None or table.version() != self.vouched(name):
                table = self._opened(name)
            settled = self.settle(name, table.version())
            if settled != table.version():
                table = self._opened(name, settled)
            if name not in self.troubles:
                self._vouch(name, settled)
            self._count(name, table)

    def health(self, name: str) -> TableHealth:
        """How a table is at its newest version."""
        with self._looking, reported(f"cannot read the table {name}", self.place(name)):
            table = self._seen.pop(name, None)
            if table is None:
                table = self._opened(name)
            else:
                table.update_incremental()
            self._seen[name] = table
            return health_of(table.version(), live_files(table), self._undone[name], self.troubles.get(name))

    @contextmanager
    def turn(self, name: str) -> Iterator[DeltaTable]:
        """The newest version of a table, as it should be, with nobody of ours writing to it meanwhile.

        What was committed within is synced and vouched for at the end. Raises LakeError when the table is in
        trouble, or a flush was cut off and not finished yet.
        """
        with self.lock:
            if self._journal.flushed.boundary is not None:
                raise LakeError("the last flush is not finished: flush again before the upkeep")
            table = self._opened(name)
            if self._owner is not None:
                self._owner.check()
            settled = self.settle(name, table.version())
            if settled != table.version():
                table = self._opened(name, settled)
            self._count(name, table)
            if name in self.troubles:
                raise LakeError(self.troubles[name])
            try:
                yield table
            finally:
                self._vouch(name, settled)

    def _vouch(self, name: str, settled: int) -> None:
        """Bring the settled version, and what we committed right after it, to disk and vouch for it."""
        known = self.vouched(name)
        with reported(f"cannot sync the table {name}", self.place(name)):
            version = foreign.own_since(self.store, name, settled)
            healing.sync(self.store, name, known, version)
        if version > known:
            with reported("cannot write to the journal", self._journal.path):
                self._journal.vouch({name: version})
            failpoint.reach("custody.vouched")

    def _count(self, name: str, table: DeltaTable) -> None:
        """See by its metadata whether a table has the rows that were flushed into it."""
        wanted = self._journal.flushed.rows.get(name)
        with reported(f"cannot read the table {name}", self.place(name)):
            rows = foreign.count_rows(table)
        with reported("cannot read the journal", self._journal.path):
            loss = self._journal.noted(_LOSS.format(name))
        if loss is not None:
            self._trouble(name, loss)
            return
        if wanted is None or rows == wanted:
            self.troubles.pop(name, None)
            return
        self._trouble(
            name,
            f"the table {name} ({self.place(name)}) has {rows} rows and should have {wanted}: another "
            "program changed it for good; restore this home from a backup",
        )

    def _trouble(self, name: str, line: str) -> None:
        """Keep and log what cannot be healed."""
        if self.troubles.get(name) != line:
            _log.error("lake.table_differs", table=name, problem=line)
        self.troubles[name] = line

    def _opened(self, name: str, version: int | None = None) -> DeltaTable:
        with reported(f"cannot open the table {name}", self.place(name)):
            table = delta.open_table(self.store, name, version)
        if table is None:
            raise LakeError(
                f"the table {name} ({self.place(name)}) is missing: restore this home from a backup"
            )
        return table

"""Recovery: what is done when a home is opened, before anybody may write.

What a crash left torn is removed or put right; tables, journal and lake must be of one home; tables that have
grown are migrated. What is vouched for is never touched: when it is damaged, opening is refused.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

import polars as pl
import structlog
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from lake import delta, failpoint, foreign, healing, ledger, migration
from lake.faults import reported
from lake.journal import Journal
from lake.journal_file import Flushed
from lake.owner import Owner
from lake.store import Store
from lake.succession import fence_out, unfinished
from lake.tables import LEDGER
from options import LakeError

_log = structlog.get_logger(__name__)

NoteFlush = Callable[[list[datetime], Flushed], int]


class Recovery:
    """Opens the lake of one home. `owner`: who writes to a lake in a bucket; None: it lies in a folder."""

    def __init__(self, store: Store, journal: Journal, owner: Owner | None) -> None:
        self._store = store
        self._journal = journal
        self._is_replacing = owner is not None and owner.replaced
        self.went_on_after: Flushed | None = None
        """The flush after which a lake goes on whose journal was lost; None: it was not."""

    def run(self, stored: Mapping[str, pl.Schema], note_flush: NoteFlush) -> dict[str, DeltaTable | None]:
        """Heal every table, see that all belongs together, and declare the tables as `stored`.

        `note_flush` writes a ledger row, should the home before have died in a flush. Gives each table at
        its newest version. Raises LakeError when something is missing, damaged or of another home.
        """
        journal, vouched = self._journal, self._vouched(note_flush)
        # What else lies in the folder is not ours: it is neither opened nor healed.
        known = {LEDGER.name, *stored, *vouched.versions}
        names = [name for name in self._store.names() if name in known]
        counted: dict[str, int] = {}
        opened: dict[str, DeltaTable | None] = {}
        for name in names:
            with reported(f"cannot open the table {name}", self._place(name)):
                for removed in healing.heal(self._store, name, vouched.versions.get(name, -1)):
                    _log.warning("lake.healed", table=name, removed=removed)
                table = opened[name] = self._opened(name)
                self._check(name, table, vouched)
                if table is not None and name in vouched.versions and name not in vouched.rows:
                    counted[name] = foreign.rows_up_to(table, vouched.seq)
        failpoint.reach("recovery.healed")
        for name in vouched.versions:
            if name not in names:
                raise LakeError(
                    f"the table {name} ({self._place(name)}) is missing: restore this home from a backup"
                )
        with reported("cannot write to the journal", journal.path):
            if vouched.seq > journal.flushed.seq:
                journal.adopt(vouched)
            if counted:
                journal.vouch({}, counted)
            self._recognize(opened.get(LEDGER.name) if LEDGER.name in vouched.versions else None)
            migration.migrate(journal, self._store, {**stored, LEDGER.name: LEDGER.stored})
        failpoint.reach("recovery.declared")
        return opened

    def _vouched(self, note_flush: NoteFlush) -> Flushed:
        """How far the lake is by the journal or, when that is new, by its own account."""
        journal = self._journal
        if self._is_replacing:
            with reported("cannot take the lake over", self._store.uri):
                fence_out(self._store)
        if journal.flushed.seq or journal.flushed.boundary is not None:
            return journal.flushed
        vouched = self._last_of_ledger()
        if vouched.seq and journal.seq:
            raise self._not_of_one_home()
        if self._is_replacing:
            return self._complete(vouched, note_flush)
        if vouched.seq:
            self.went_on_after = vouched
            _log.error("journal.missing", path=str(journal.path), seq=vouched.seq, time=vouched.time)
        return vouched

    def _recognize(self, table: DeltaTable | None) -> None:
        """See that the ledger is the one that the journal knows; one that knows none gets to know it."""
        if table is None:
            return
        known, found = self._journal.noted(ledger.ID_NOTE), delta.id_of(table)
        if known is None:
            self._journal.note(ledger.ID_NOTE, found)
        elif known != found:
            raise self._not_of_one_home()

    def _not_of_one_home(self) -> LakeError:
        return LakeError(
            f"the journal {self._journal.path} and the lake {self._store.uri} are not of one home; "
            "restore both from one backup"
        )

    def _complete(self, vouched: Flushed, note_flush: NoteFlush) -> Flushed:
        """Let the ledger speak for a flush that the home before did not finish."""
        with reported("cannot read the lake that is taken over", self._store.uri):
            rest = unfinished(self._store, vouched)
        if rest is None:
            return vouched
        flushed, times = rest
        note_flush(times, flushed)
        _log.warning("lake.flush_completed", seq=flushed.seq, tables=sorted(flushed.versions))
        return self._last_of_ledger()

    def _opened(self, name: str) -> DeltaTable | None:
        try:
            return delta.open_table(self._store, name)
        except DeltaError:
            removed = healing.drop_damaged_checkpoint(self._store, name)
            if removed is None:
                raise
            _log.warning("lake.healed", table=name, removed=removed)
            return self._opened(name)

    def _check(self, name: str, table: DeltaTable | None, vouched: Flushed) -> None:
        if name in vouched.versions and (
            table is None or not healing.is_whole(self._store, name, vouched.versions[name], table)
        ):
            raise LakeError(
                f"the table {name} ({self._place(name)}) has lost its newest version "
                f"{vouched.versions[name]} or part of it: restore this home from a backup"
            )
        known = max(vouched.seq, self._journal.flushed.boundary or 0)
        flushed = 0 if table is None else table.transaction_version(delta.APP) or 0
        if flushed > known:
            raise LakeError(
                f"the table {name} ({self._place(name)}) is flushed up to seq {flushed}, and the journal "
                f"knows of {known}: journal and lake are not of one home; restore both from one backup"
            )

    def _last_of_ledger(self) -> Flushed:
        with reported("cannot read the ledger", self._place(LEDGER.name)):
            return ledger.last(self._store)

    def _place(self, name: str) -> str:
        return f"{self._store.uri}/{name}"

"""When the declared tables have grown: a way back is kept, the change is taken down for good, then declared.

Only additions are made: new tables, new columns, which are null in older rows. What is in Delta follows with
the next flush of a table. An older optiond goes on in such a home: it reads and keeps what it does not know.
"""

import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import structlog

from lake import failpoint, journal_view
from lake.journal import MIGRATIONS, Entry, Journal
from lake.location import FOLDER, JOURNAL
from lake.store import Folder, Store
from lake.tables import SCHEMA_CHANGES

_VERSION = "schema"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """A column that is new; `column` None: the whole table is."""

    table: str
    column: str | None
    dtype: str | None


def migrate(journal: Journal, store: Store, wanted: Mapping[str, pl.Schema]) -> list[Change]:
    """Declare the tables as `wanted`, which adds to what was declared before; gives what was added.

    The declaration and its record in `schema_changes` are one transaction: cut off before it, the next start
    begins again. A home without history has nothing to migrate. Raises OSError, sqlite3.Error.
    """
    before = journal.declared()
    found = changes(before, wanted)
    if not before or not found or journal.last_commit is None:
        journal.declare(wanted)
        return []
    version = int(journal.noted(_VERSION) or 1)
    _keep_way_back(journal.path, store, version, journal.flushed.versions)
    failpoint.reach("migration.kept")
    rows = [
        {
            "table": change.table,
            "column": change.column,
            "type": change.dtype,
            "from_version": version,
            "to_version": version + 1,
            "changed_at": _machine_time(),
        }
        for change in found
    ]
    entry = Entry(SCHEMA_CHANGES.name, pl.DataFrame(rows, schema=SCHEMA_CHANGES.row, orient="row"))
    declared = {**wanted, SCHEMA_CHANGES.name: SCHEMA_CHANGES.stored}
    # The moment of a commit is the lake's own, which may be simulated: it takes no time there.
    journal.append(journal.last_commit, [entry], declared, {_VERSION: str(version + 1)})
    failpoint.reach("migration.declared")
    _log.info("schema.changed", version=version + 1, tables=sorted({change.table for change in found}))
    return found


def changes(before: Mapping[str, pl.Schema], after: Mapping[str, pl.Schema]) -> list[Change]:
    """What `after` has and `before` has not."""
    new_tables = [Change(name, None, None) for name in sorted(after.keys() - before.keys())]
    new_columns = [
        Change(name, column, str(dtype))
        for name in sorted(after.keys() & before.keys())
        for column, dtype in after[name].items()
        if column not in before[name]
    ]
    return new_tables + new_columns


def _keep_way_back(journal: Path, store: Store, version: int, tables: Iterable[str]) -> None:
    """The journal and the tables' logs, which name their data files; those stay as they are in any case."""
    kept = journal.parent / MIGRATIONS / f"schema-{version}"
    fresh = kept.with_name(f"{kept.name}.new")
    for old in (fresh, kept):
        shutil.rmtree(old, ignore_errors=True)
    fresh.mkdir(parents=True)
    journal_view.copy(journal, fresh / JOURNAL)
    written = [JOURNAL]
    for name in sorted(tables):
        for key in store.keys(f"{name}/_delta_log"):
            path = fresh / FOLDER / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(store.read(key))
            written.append(f"{FOLDER}/{key}")
    Folder(fresh).sync(written)
    fresh.rename(kept)
    Folder(journal.parent).sync_folder(MIGRATIONS)


def _machine_time() -> datetime:
    # When people did it, whatever time the lake lives in.
    return datetime.fromtimestamp(time.time(), UTC)

"""Foreign hands: other programs that change our tables, and how that is undone.

Everything we commit names its transaction or changes metadata only; every other version is somebody else's.
What a table should consist of follows from the last version that was vouched for and our own commits since.
A compaction by another program is accepted when its rows are the same ones in the same order; everything else
is undone by one commit that puts the expected files back, as long as they still exist.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl
from deltalake import DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError

from lake import delta
from lake.compaction import sums_of
from lake.data_files import DataFile, added_file, exchange, is_there, live_files
from lake.log_files import version_actions
from lake.store import Store
from options import LakeError

HEAL = "heal"
COMPACT = "compact"
_OURS = frozenset({delta.APP, HEAL, COMPACT})
_TRIES = 5

Files = dict[str, DataFile]


class Loss(LakeError):
    """Rows that another program removed for good."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A table's version with what it should hold, and what other programs did since the vouched one: their
    versions that were accepted, and those that were undone."""

    version: int
    accepted: tuple[int, ...] = ()
    undone: tuple[int, ...] = ()


def judge(store: Store, name: str, known: int) -> Judgement:
    """Bring the table to what it should be, where other programs committed after the version `known`.

    Raises Loss when something is missing that cannot be put back; nothing is changed then.
    """
    for attempt in range(1, _TRIES + 1):
        table = delta.open_table(store, name)
        if table is None:
            raise LakeError(
                f"the table {name} ({store.uri}/{name}) is missing: restore this home from a backup"
            )
        expected, accepted, foreign = _expected(store, name, table, known)
        if expected is None:
            return Judgement(table.version(), accepted)
        _put_columns_back(store, name, table, known)
        live = {file.path: file for file in live_files(table)}
        if live.keys() == expected.keys():
            return Judgement(table.version(), accepted, foreign)
        try:
            _put_back(store, name, table, expected, live, _retyped(store, name, table, known))
        except CommitFailedError:
            if attempt == _TRIES:
                raise
        else:
            return Judgement(table.version() + 1, accepted, foreign)
    raise AssertionError("unreachable")


def not_undone(store: Store, name: str, known: int) -> tuple[int, ...]:
    """The versions after `known` by which another program changed what the table should hold; nothing is
    changed here. Whoever writes next undoes them."""
    table = delta.open_table(store, name)
    if table is None:
        return ()
    expected, _, undone = _expected(store, name, table, known)
    if expected is None or {file.path for file in live_files(table)} == expected.keys():
        return ()
    return undone


def _expected(
    store: Store, name: str, table: DeltaTable, known: int
) -> tuple[Files | None, tuple[int, ...], tuple[int, ...]]:
    """The files the table should have (None: nobody else was there), and the foreign versions that were
    accepted and that are to be undone."""
    logs = {
        version: version_actions(store, name, version) for version in range(known + 1, table.version() + 1)
    }
    if all(actions is not None and not _is_foreign(actions) for actions in logs.values()):
        return None, (), ()
    files = _files_at(store, name, known)
    accepted: list[int] = []
    undone: list[int] = []
    for version, actions in logs.items():
        if files is None or actions is None:
            # The log was cleaned up by another program; the number of rows is all there is to go by.
            return None, (), ()
        added, removed = _changes(actions)
        if not _is_foreign(actions):
            files = {path: file for path, file in files.items() if path not in removed} | added
        elif added or removed:
            if _is_compaction(store, name, table, actions, files):
                files = {path: file for path, file in files.items() if path not in removed} | added
                accepted.append(version)
            else:
                undone.append(version)
    return files, tuple(accepted), tuple(undone)


def own_since(store: Store, name: str, version: int) -> int:
    """The last of the versions right after this one in which no other program changed anything."""
    while (actions := version_actions(store, name, version + 1)) is not None:
        if _is_foreign(actions):
            break
        version += 1
    return version


def _is_foreign(actions: Sequence[Mapping[str, Any]]) -> bool:
    apps = {action["txn"]["appId"] for action in actions if "txn" in action}
    if apps & _OURS:
        return False
    added, removed = _changes(actions)
    return bool(added or removed)


def _changes(actions: Sequence[Mapping[str, Any]]) -> tuple[Files, set[str]]:
    added = [added_file(action["add"]) for action in actions if "add" in action]
    return {file.path: file for file in added}, {
        action["remove"]["path"] for action in actions if "remove" in action
    }


def _files_at(store: Store, name: str, version: int) -> Files | None:
    """The files of a version; None when it can no longer be opened."""
    if version < 0:
        return {}
    try:
        table = delta.open_table(store, name, version)
    except DeltaError:
        return None
    return None if table is None else {file.path: file for file in live_files(table)}


def _is_compaction(
    store: Store, name: str, table: DeltaTable, actions: Sequence[Mapping[str, Any]], files: Files
) -> bool:
    """Whether a foreign version only wrote rows that were there anew, keeping their order within a seq."""
    added, removed = _changes(actions)
    if not added or not removed or not removed <= files.keys():
        return False
    changes = [action.get("add") or action.get("remove") or {} for action in actions]
    if any(change.get("dataChange") or change.get("deletionVector") for change in changes):
        return False
    old, new = [files[path] for path in removed], list(added.values())
    if sum(file.rows or 0 for file in old) != sum(file.rows or 0 for file in new):
        return False
    if not all(is_there(store, name, file) for file in old):
        # Cleaned up already: its word, and the numbers of rows, have to do.
        return True
    if not all(is_there(store, name, file) for file in new):
        return not any(path in {file.path for file in live_files(table)} for path in added)
    schema = delta.polars_schema(table)
    return sums_of(store, name, old, schema) == sums_of(store, name, new, schema)


def _put_columns_back(store: Store, name: str, table: DeltaTable, known: int) -> None:
    """Add the columns that an overwrite left out: the data files that are put back have them still."""
    before = delta.open_table(store, name, known) if known >= 0 else None
    if before is None:
        return
    left = delta.columns_of(table)
    if gone := [field for field in before.schema().fields if field.name not in left]:
        table.alter.add_columns(gone, post_commithook_properties=delta.HOOKS)


def _retyped(store: Store, name: str, table: DeltaTable, known: int) -> Schema | None:
    """The table's columns with the types that they had; None when they have them still."""
    before = delta.open_table(store, name, known) if known >= 0 else None
    if before is None:
        return None
    were = {field.name: field for field in before.schema().fields}
    now = table.schema().fields
    fields = [were.get(field.name, field) for field in now]
    changed = any(was.type != field.type for was, field in zip(fields, now, strict=True))
    return Schema(fields) if changed else None


def _put_back(
    store: Store, name: str, table: DeltaTable, expected: Files, live: Files, schema: Schema | None
) -> None:
    missing = [file for path, file in expected.items() if path not in live]
    if lost := [file for file in missing if not is_there(store, name, file)]:
        rows = sum(file.rows or 0 for file in lost)
        raise Loss(
            f"another program removed {rows} rows of the table {name} for good "
            f"({store.uri}/{lost[0].key(name)}): restore this home from a backup"
        )
    surplus = [file for path, file in live.items() if path not in expected]
    moment = datetime.fromtimestamp(time.time(), UTC)
    if schema is not None and len(surplus) < len(live):
        raise Loss(
            f"another program changed the columns of the table {name} ({store.uri}/{name}) beside rows "
            "of ours: restore this home from a backup"
        )
    exchange(table, surplus, missing, HEAL, moment, changes_rows=True, schema=schema)


def count_rows(table: DeltaTable) -> int:
    """The rows of a table by its metadata alone; files without statistics count as none."""
    files = delta.data_files(table)
    return int(files["num_records"].sum()) if files.height and "num_records" in files.columns else 0


def rows_up_to(table: DeltaTable, seq: int) -> int:
    """The rows of a table with seq up to `seq`, of which no data file has some only."""
    files = delta.data_files(table)
    return int(files.filter(pl.col("max.seq") <= seq)["num_records"].sum()) if files.height else 0

"""Healing: whether what a table's log tells is there and whole, and what is done when it is not.

delta-rs has no fsync, and a table whose newest log file is torn cannot be opened (an empty one opens as if
nothing had been written). So the writer syncs what a flush wrote before it lets go of the journal, and
until then no version is *vouched for*: what is damaged there is removed and written again.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable

from lake import failpoint
from lake.delta import MARK, data_files, read_whole, scan
from lake.faults import reported
from lake.log_files import (
    LAST_CHECKPOINT,
    actions_of,
    added,
    checkpoint_files,
    checkpoint_key,
    commits,
    file_name,
    log_key,
)
from lake.store import Store
from options import LakeError

_PARQUET_ENDS = b"PAR1"
_OF_METADATA = ("CREATE TABLE", "ADD COLUMN", "SET TBLPROPERTIES")


def heal(store: Store, name: str, vouched: int) -> list[str]:
    """Remove the newest versions from the first damaged one on; versions up to `vouched` are left alone.

    A version is damaged when its log file is missing, empty or torn, or a data file it names, which no later
    version replaced, is missing or cut. Unvouched checkpoints go too, where the log stands in for them: they
    are only a short cut. Gives the names of the log files removed.
    """
    log = f"{name}/_delta_log"
    keys = store.keys(log)
    logged, checkpoints = dict(commits(keys)), list(checkpoint_files(keys))
    newer = {version: key for version, key in logged.items() if version > vouched}
    kept = max((version for version, _ in checkpoints if version <= vouched), default=-1)
    is_short_cut = all(version in logged for version in range(kept + 1, vouched + 1))
    shortcuts = [key for version, key in checkpoints if is_short_cut and version > vouched]
    gap = next((version for n, version in enumerate(sorted(newer), vouched + 1) if version != n), None)
    damaged = [_first_damaged(store, name, newer), gap if is_short_cut else None]
    first = min((version for version in damaged if version is not None), default=None)
    removed = [key for version, key in newer.items() if first is not None and version >= first]
    if shortcuts:
        store.delete(f"{log}/{LAST_CHECKPOINT}")
    for key in (*removed, *shortcuts):
        store.delete(key)
        failpoint.reach("delta.healing")
    if removed or shortcuts:
        store.sync_folder(log)
    return sorted(file_name(key) for key in removed)


def drop_damaged_checkpoint(store: Store, name: str) -> str | None:
    """Remove the newest checkpoint when it is damaged, or the hint at one that is missing.

    Only where the log files tell the same. Gives the name of what was removed; None: it is not that.
    """
    log = f"{name}/_delta_log"
    keys = store.keys(log)
    logged, checkpoints = dict(commits(keys)), list(checkpoint_files(keys))
    *_, before, newest = [-1, -1, *sorted({version for version, _ in checkpoints})]
    doomed = [key for version, key in checkpoints if version == newest]
    hint = f"{log}/{LAST_CHECKPOINT}"
    is_damaged = any(_is_damaged_checkpoint(store, key) for key in doomed) if doomed else hint in keys
    if not is_damaged or not all(version in logged for version in range(before + 1, max(0, newest) + 1)):
        return None
    for key in (hint, *doomed):
        store.delete(key)
    store.sync_folder(log)
    return file_name([hint, *doomed][-1])


def is_whole(store: Store, name: str, version: int, table: DeltaTable) -> bool:
    """Whether a version's log file and the data files it adds are there and not torn; `table` is a handle at
    that version or later. What was cleaned up since (a log that a checkpoint took the place of, data files
    that were replaced) is not missed."""
    if table.version() < version:
        return False
    key = log_key(name, version)
    if store.size(key) is None:
        return any(at >= version for at, _ in checkpoint_files(store.keys(f"{name}/_delta_log")))
    try:
        actions = actions_of(store.read(key))
    except ValueError:
        return False
    adds = added(actions)
    if not _is_complete(actions):
        return False
    if table.version() > version:
        live = set(data_files(table)["path"])
        adds = [add for add in adds if add["path"] in live]
    return all(_is_whole_file(store, name, add) for add in adds)


def sync(store: Store, name: str, after: int, upto: int) -> None:
    """Bring the versions after `after` up to `upto`, their data files and their folders safely to disk.

    What was cleaned up meanwhile need not be there: data files that were replaced again, and log files that
    a checkpoint took the place of.
    """
    if upto <= after or store.is_durable:
        return
    # By name, not by listing: the folder of a table that has been written to all day holds hundreds of them.
    shortcuts = [checkpoint_key(name, version) for version in range(after + 1, upto + 1)]
    wanted = {key for key in shortcuts if store.size(key) is not None}
    if wanted:
        wanted.add(f"{name}/_delta_log/{LAST_CHECKPOINT}")
    live: dict[str, bool] = {}
    for version in range(after + 1, upto + 1):
        key = log_key(name, version)
        if version < upto and store.size(key) is None:
            continue
        wanted.add(key)
        for action in actions_of(store.read(key)):
            if remove := action.get("remove"):
                live[remove["path"]] = False
            if add := action.get("add"):
                live[add["path"]] = True
    wanted |= {f"{name}/{unquote(path)}" for path, is_live in live.items() if is_live}
    store.sync(wanted)
    failpoint.reach("delta.synced")


def holds(table: DeltaTable, rows: pl.DataFrame, after: int) -> bool:
    """Whether the table can be read and has exactly these `rows` after the seq `after`."""
    try:
        with reported("cannot read the table", table.table_uri):
            stored = scan(table).filter(pl.col("seq") > after).select(rows.columns).collect()
    except LakeError:
        return False
    return stored.sort("seq", maintain_order=True).equals(rows.sort("seq", maintain_order=True))


def take_back(store: Store, name: str, vouched: int) -> None:
    """Remove the versions after the vouched one, which nobody but us has written, the newest first."""
    keys = store.keys(f"{name}/_delta_log")
    shortcuts = [key for version, key in checkpoint_files(keys) if version > vouched]
    doomed = sorted((version, key) for version, key in commits(keys) if version > vouched)
    if shortcuts:
        store.delete(f"{name}/_delta_log/{LAST_CHECKPOINT}")
    for key in (*shortcuts, *(key for _, key in reversed(doomed))):
        store.delete(key)
        failpoint.reach("delta.healing")
    store.sync_folder(f"{name}/_delta_log")


def _first_damaged(store: Store, name: str, log_keys: Mapping[int, str]) -> int | None:
    """The first damaged one of these versions; None when all are whole."""
    adds_of: dict[int, list[dict[str, Any]]] = {}
    removed: dict[str, int] = {}
    for version, key in sorted(log_keys.items()):
        try:
            actions = actions_of(store.read(key))
        except ValueError:
            actions = []
        if not _is_complete(actions):
            break
        adds_of[version] = added(actions)
        removed |= {action["remove"]["path"]: version for action in actions if "remove" in action}
    lost = next((version for version in sorted(log_keys) if version not in adds_of), None)
    for version, adds in adds_of.items():
        needed = [add for add in adds if removed.get(add["path"], -1) <= version]
        if not all(_is_whole_file(store, name, add) for add in needed):
            return version
    return lost


def _is_damaged_checkpoint(store: Store, key: str) -> bool:
    try:
        read_whole(store, key)
    except (pl.exceptions.PolarsError, OSError):
        return True
    return False


def _is_complete(actions: list[dict[str, Any]]) -> bool:
    """Whether the log file of a version is all there: cut between two lines it is still JSON.

    Ours starts with its commit info, is marked there and ends with its transaction; changes of metadata have
    metadata. What other programs wrote, with commit info or without, is judged by what it does, later.
    """
    kinds = set().union(*actions)
    info: dict[str, Any] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
    if MARK.items() <= info.items():
        return "txn" in kinds
    if not info:
        return bool(kinds)
    return "metaData" in kinds or info.get("operation") not in _OF_METADATA


def _is_whole_file(store: Store, name: str, add: Mapping[str, Any]) -> bool:
    key = f"{name}/{unquote(add['path'])}"
    return store.size(key) == add["size"] and store.read_end(key, len(_PARQUET_ENDS)) == _PARQUET_ENDS

"""The log of one table as files: commits, checkpoints, and which of them nobody needs any more."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from lake.store import Store

LAST_CHECKPOINT = "_last_checkpoint"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def log_key(name: str, version: int) -> str:
    """The log file of one version of a table."""
    return f"{name}/_delta_log/{version:020}.json"


def checkpoint_key(name: str, version: int) -> str:
    """The checkpoint of one version of a table."""
    return f"{name}/_delta_log/{version:020}.checkpoint.parquet"


def file_name(key: str) -> str:
    """A key without its folder."""
    return key.rpartition("/")[2]


def version_of(key: str) -> int | None:
    """The version a file of the log tells about; None for files that tell about none."""
    number = file_name(key).split(".")[0]
    return int(number) if len(number) == 20 and number.isdigit() else None


def commits(keys: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The log files among `keys`, each with its version."""
    for key in keys:
        version = version_of(key)
        if version is not None and file_name(key).partition(".")[2] == "json":
            yield version, key


def checkpoint_files(keys: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The checkpoints among `keys`, each with its version."""
    for key in keys:
        version = version_of(key)
        if version is not None and ".checkpoint" in key and key.endswith(".parquet"):
            yield version, key


def checkpoints(keys: Iterable[str]) -> list[int]:
    """The versions that have a checkpoint, ascending."""
    return sorted({version for version, _ in checkpoint_files(keys)})


def has_checkpoint(keys: Iterable[str], version: int) -> bool:
    """Whether a version has a checkpoint."""
    return version in checkpoints(keys)


def checkpoint_keys(keys: Iterable[str], version: int) -> list[str]:
    """A version's checkpoint and the pointer to the last one."""
    return [
        key
        for key in keys
        if key.endswith(f"/{LAST_CHECKPOINT}") or (".checkpoint" in key and version_of(key) == version)
    ]


def is_readable(keys: Sequence[str], version: int) -> bool:
    """Whether the log still tells all about a version: from a checkpoint, or from the first, on."""
    logged = dict(commits(keys))
    start = _start_of(checkpoints(keys), version)
    return all(each in logged for each in range(start + 1, version + 1))


def actions_of(log_file: bytes) -> list[dict[str, Any]]:
    """What one version does, action by action. Raises ValueError when the file is torn."""
    actions = [json.loads(line) for line in log_file.splitlines()]
    if not all(isinstance(action, dict) for action in actions):
        raise ValueError("a line of the log is no action")
    return actions


def version_actions(store: Store, name: str, version: int) -> list[dict[str, Any]] | None:
    """What one version of a table does; None when its log file was cleaned up."""
    key = log_key(name, version)
    return None if store.size(key) is None else actions_of(store.read(key))


def added(actions: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The data files that these actions add, as the log tells them."""
    return [action["add"] for action in actions if "add" in action]


def added_files(log_file: bytes) -> Iterator[tuple[str, int]]:
    """The data files that a log file adds, each with its size in bytes; paths are relative to the table."""
    for add in added(actions_of(log_file)):
        yield unquote(add["path"]), add["size"]


def expired(store: Store, name: str, vouched: int, cutoff: datetime, pins: Sequence[int]) -> list[str]:
    """The files of the log that no version newer than `cutoff` (by the machine's clock) or pinned needs.

    Everything from the last checkpoint before `cutoff` on stays, of what is vouched for.
    """
    keys = store.keys(f"{name}/_delta_log")
    known = checkpoints(keys)
    first = next(
        (each for each in reversed(known) if each <= vouched and _is_before(store, name, each, cutoff)), None
    )
    if first is None:
        return []
    kept: set[int] = set()
    for pin in pins:
        start = _start_of(known, pin)
        kept |= set(range(max(start, 0), pin + 1))
    doomed = [
        key
        for key in keys
        if (version := version_of(key)) is not None and version < first and version not in kept
    ]
    return sorted(doomed)


def _start_of(known: Sequence[int], version: int) -> int:
    """The checkpoint that reading a version starts from; -1: none, it starts with the first commit."""
    return max((each for each in known if each <= version), default=-1)


def _is_before(store: Store, name: str, version: int, cutoff: datetime) -> bool:
    actions = version_actions(store, name, version)
    if actions is None:
        return True
    stamps = [action["commitInfo"].get("timestamp") for action in actions if "commitInfo" in action]
    return any(stamp is not None and _EPOCH + timedelta(milliseconds=stamp) <= cutoff for stamp in stamps)

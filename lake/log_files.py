"""The log of one table as files: commits, checkpoints, and which of them nobody needs any more."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from lake import delta
from lake.store import Store

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_CHECKPOINT = "_last_checkpoint"


def version_of(key: str) -> int | None:
    """The version a file of the log tells about; None for files that tell about none."""
    number = key.rpartition("/")[2].split(".")[0]
    return int(number) if len(number) == 20 and number.isdigit() else None


def checkpoints(keys: Iterable[str]) -> list[int]:
    """The versions that have a checkpoint, ascending."""
    found = {version_of(key) for key in keys if ".checkpoint" in key and key.endswith(".parquet")}
    return sorted(version for version in found if version is not None)


def has_checkpoint(keys: Iterable[str], version: int) -> bool:
    """Whether a version has a checkpoint."""
    return version in checkpoints(keys)


def checkpoint_keys(keys: Iterable[str], version: int) -> list[str]:
    """A version's checkpoint and the pointer to the last one."""
    return [
        key
        for key in keys
        if key.endswith(f"/{_LAST_CHECKPOINT}") or (".checkpoint" in key and version_of(key) == version)
    ]


def is_readable(keys: Sequence[str], version: int) -> bool:
    """Whether the log still tells all about a version: from a checkpoint, or from the first, on."""
    commits = {version_of(key) for key in keys if key.endswith(".json")}
    start = _start_of(checkpoints(keys), version)
    return all(each in commits for each in range(start + 1, version + 1))


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
    actions = delta.version_actions(store, name, version)
    if actions is None:
        return True
    stamps = [action["commitInfo"].get("timestamp") for action in actions if "commitInfo" in action]
    return any(stamp is not None and _EPOCH + timedelta(milliseconds=stamp) <= cutoff for stamp in stamps)

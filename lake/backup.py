"""Copies of a home that can be gone back to: the journal at one moment, and the lake it vouches for.

A backup is a folder: `manifest.json` names every file of the home with its size, its SHA-256 and where it
lies under `files/`. Data and log files of Delta never change and lie there under their own names, so a later
backup into the same folder copies only what is new. What does change (journal, settings) lies under its hash.
The manifest is written last, whole or not at all: until then the backup before it holds.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from deltalake.exceptions import DeltaError
from filelock import FileLock, Timeout

from lake import delta, journal_view
from lake.faults import reported
from lake.journal_file import Flushed
from lake.journal_view import look
from lake.location import FOLDER, JOURNAL, store_of
from lake.log_files import log_key
from lake.store import Folder, Store
from lake.writer import LOCK, acquire
from options import LakeError

MANIFEST = "manifest.json"
FILES = "files"
_LOCK = "backup.lock"
_FORMAT = 1
_TRIES = 5

Progress = Callable[[int, int], None]
"""Told files done and files in all."""


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What a backup holds: everything up to `seq`, committed at `time`; `copied` files were new."""

    seq: int
    time: datetime | None
    files: int
    bytes: int
    copied: int


@dataclass(frozen=True, slots=True)
class _Kept:
    """A file of the home in a backup: size in bytes, SHA-256, path under `files/`."""

    size: int
    sha256: str
    stored: str


@dataclass(frozen=True, slots=True)
class _Manifest:
    """`versions` are the Delta versions of the tables, `files` by their path in the home."""

    seq: int
    time: str | None
    versions: Mapping[str, int]
    files: Mapping[str, _Kept]


def backup(
    home: Path, target: Path, also: Sequence[str] = (), progress: Progress = lambda _done, _all: None
) -> BackupReport:
    """Copy the home into the folder `target`, beside a running daemon or without; also the files named in
    `also` (settings, rules: paths within the home) that are there.

    `target` is new, empty, or an earlier backup of this home, which is brought up to date. Raises LakeError
    when it is anything else, and when the home or the target cannot be read or written; an earlier backup
    in the folder holds then.
    """
    _refuse_nested(home, target)
    with reported("cannot back up the home", target):
        target.mkdir(parents=True, exist_ok=True)
        with _locked(target / _LOCK):
            before = _earlier(target)
            (target / FILES).mkdir(exist_ok=True)
            for attempt in range(1, _TRIES + 1):
                vouched = _vouched(home)
                try:
                    manifest, copied = _copy_all(home, target / FILES, also, before, progress)
                    break
                except (FileNotFoundError, DeltaError) as error:
                    # Upkeep removes log files meanwhile, and once a newer version is vouched for, older ones.
                    is_moving = isinstance(error, FileNotFoundError) or vouched != _vouched(home)
                    if attempt == _TRIES or not is_moving:
                        raise
            _write_manifest(target, manifest)
            _prune(target / FILES, {kept.stored for kept in manifest.files.values()})
    size = sum(kept.size for kept in manifest.files.values())
    time = None if manifest.time is None else datetime.fromisoformat(manifest.time)
    return BackupReport(manifest.seq, time, len(manifest.files), size, copied)


def restore(source: Path, home: Path, progress: Progress = lambda _done, _all: None) -> BackupReport:
    """Bring the backup in `source` into `home`, which must be new or empty; it goes on from there.

    The lake comes to lie in the folder of the home. Raises LakeError when the home is not empty, when
    `source` holds no complete backup or a file of it is missing or changed (then nothing is written), and
    when the home cannot be written (then it does not open until it was emptied and restored again).
    """
    with reported("cannot read the backup", source):
        manifest = _read_manifest(source)
        if manifest is None:
            hint = "it was interrupted: run it again" if (source / FILES).is_dir() else "name another folder"
            raise LakeError(f"{source} holds no complete backup; {hint}")
        files = sorted(manifest.files.items(), key=_restoring_order)
        for done, (path, kept) in enumerate(files):
            progress(done, 2 * len(files))
            _content(source, path, kept)
    with reported("cannot restore the home", home):
        home.mkdir(parents=True, exist_ok=True)
        lock = acquire(home / LOCK)
        try:
            if any(entry.name != LOCK for entry in home.iterdir()):
                raise LakeError(f"{home} is not empty: restore into a new folder, never over a home")
            for done, (path, kept) in enumerate(files, start=len(files)):
                progress(done, 2 * len(files))
                Folder(home).write(path, _content(source, path, kept))
        finally:
            lock.release()
    size = sum(kept.size for _, kept in files)
    time = None if manifest.time is None else datetime.fromisoformat(manifest.time)
    return BackupReport(manifest.seq, time, len(files), size, len(files))


def _vouched(home: Path) -> Mapping[str, int]:
    """The Delta versions that the journal vouches for now."""
    with look(home / JOURNAL) as journal:
        return {} if journal is None else journal.flushed.versions


def _copy_all(
    home: Path, files: Path, also: Iterable[str], before: _Manifest | None, progress: Progress
) -> tuple[_Manifest, int]:
    """Copy what is not there yet; gives the manifest and the number of files copied."""
    store = store_of(home)
    fresh = files / f"{JOURNAL}.new"
    fresh.unlink(missing_ok=True)
    journal_view.copy(home / JOURNAL, fresh)
    with look(fresh) as journal:
        if journal is None:
            raise LakeError(f"the journal {home / JOURNAL} is empty: run optiond first")
        flushed, seq, time = journal.flushed, journal.seq, journal.last_time()
    if before is not None:
        _refuse_another_life(store, files, before, flushed)
    content = fresh.read_bytes()
    fresh.unlink()
    kept = {JOURNAL: _keep_changing(files, JOURNAL, content)}
    for path in also:
        if (home / path).is_file():
            kept[path] = _keep_changing(files, path, (home / path).read_bytes())
    copied, known = 0, before.files if before is not None else {}
    wanted = list(_lake_files(store, flushed))
    for done, (key, size) in enumerate(wanted):
        progress(done, len(wanted))
        path = f"{FOLDER}/{key}"
        old = known.get(path)
        if old is None or size not in (None, old.size) or not _is_there(files, old):
            old = _keep(files, path, store.read(key))
            copied += 1
        if size not in (None, old.size):
            raise LakeError(f"the data file {store.uri}/{key} is cut: restore this home from a backup")
        kept[path] = old
    told = None if time is None else time.isoformat()
    return _Manifest(seq, told, dict(flushed.versions), kept), copied


def _lake_files(store: Store, flushed: Flushed) -> Iterator[tuple[str, int | None]]:
    """The files of every table at its vouched version, with their sizes where Delta tells them."""
    for name, version in sorted(flushed.versions.items()):
        data, log = delta.files_at(store, name, version)
        yield from data.items()
        yield from ((key, None) for key in log)


def _refuse_another_life(store: Store, files: Path, before: _Manifest, flushed: Flushed) -> None:
    """The backup in the folder is an earlier state of this very lake: its newest log files are ours too."""
    for name, version in before.versions.items():
        key = log_key(name, version)
        kept = before.files.get(f"{FOLDER}/{key}")
        # A log file that upkeep has removed since cannot be compared any more.
        ours = store.read(key) if store.size(key) is not None else None
        differs = kept is not None and ours is not None and _sha256(ours) != kept.sha256
        if differs or flushed.versions.get(name, -1) < version:
            raise LakeError(
                f"the backup in {files.parent} is of another home, or of a later state of this one (table "
                f"{name}): choose another folder"
            )


def _keep(files: Path, path: str, content: bytes, stored: str | None = None) -> _Kept:
    kept = _Kept(len(content), _sha256(content), stored or path)
    Folder(files).write(kept.stored, content)
    return kept


def _keep_changing(files: Path, path: str, content: bytes) -> _Kept:
    return _keep(files, path, content, f"{path}-{_sha256(content)[:16]}")


def _is_there(files: Path, kept: _Kept) -> bool:
    path = files / kept.stored
    return path.is_file() and path.stat().st_size == kept.size


def _content(source: Path, path: str, kept: _Kept) -> bytes:
    """One file of a backup. Raises LakeError when it is missing or not what was kept."""
    file = source / FILES / kept.stored
    content = file.read_bytes() if file.is_file() else b""
    if len(content) != kept.size or _sha256(content) != kept.sha256:
        raise LakeError(f"the backup's copy of {path} ({file}) is missing or changed: use another backup")
    return content


def _restoring_order(item: tuple[str, object]) -> tuple[int, str]:
    """The journal first and every table's newest log files last: what is restored half does not open."""
    path = item[0]
    return (0 if path == JOURNAL else 2 if "/_delta_log/" in path else 1, path)


def _earlier(target: Path) -> _Manifest | None:
    """The backup that is in the folder; None when it is new or was left by one cut off."""
    manifest = _read_manifest(target)
    others = [entry.name for entry in target.iterdir() if entry.name not in (FILES, _LOCK)]
    if manifest is None and others:
        raise LakeError(f"{target} is neither empty nor a backup: choose another folder")
    return manifest


def _read_manifest(folder: Path) -> _Manifest | None:
    path = folder / MANIFEST
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if told["format"] != _FORMAT:
            raise LakeError(f"{path} has format {told['format']}, and this optiond knows {_FORMAT}")
        files = {name: _Kept(**kept) for name, kept in told["files"].items()}
        strange = [name for name in files for path in (name, files[name].stored) if _leads_out(path)]
        if strange:
            raise LakeError(f"{path} names files outside the backup ({strange[0]}): use another backup")
        return _Manifest(told["seq"], told["time"], told["versions"], files)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LakeError(f"{path} is damaged ({type(error).__name__}): use another backup") from error


def _leads_out(path: str) -> bool:
    pure = PurePosixPath(path)
    return pure.is_absolute() or ".." in pure.parts


def _write_manifest(target: Path, manifest: _Manifest) -> None:
    files = {
        path: {"size": kept.size, "sha256": kept.sha256, "stored": kept.stored}
        for path, kept in sorted(manifest.files.items())
    }
    told = {
        "format": _FORMAT,
        "seq": manifest.seq,
        "time": manifest.time,
        "versions": manifest.versions,
        "files": files,
    }
    Folder(target).write(MANIFEST, f"{json.dumps(told, indent=1)}\n".encode())


def _prune(files: Path, stored: set[str]) -> None:
    """Remove what no manifest names any more."""
    for path in files.rglob("*"):
        if path.is_file() and str(path.relative_to(files)) not in stored:
            path.unlink()


def _refuse_nested(home: Path, target: Path) -> None:
    one, other = home.resolve(), target.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise LakeError(f"the backup {target} and the home {home} lie in each other: choose another folder")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise LakeError(f"another backup into {path.parent} is under way: wait for it") from error
    try:
        yield
    finally:
        lock.release()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

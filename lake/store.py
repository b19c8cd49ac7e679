"""Where the lake's tables lie: a folder of this machine, or a bucket that speaks S3.

Delta itself goes there through delta-rs. What delta-rs does not do (bring files safely to disk, look whether
they are whole, remove what is torn) goes through a `Store`. Keys are paths within the lake, parted by "/".
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol


class Store(Protocol):
    """The files of a lake, by key. Methods raise OSError when the place cannot be reached or written."""

    @property
    def uri(self) -> str:
        """What delta-rs and polars open; it holds no credentials and may be shown."""

    @property
    def options(self) -> Mapping[str, str] | None:
        """What delta-rs and polars need besides the URI, credentials among it: never shown; None: nothing."""

    def names(self) -> list[str]:
        """The tables' names: the first parts of all keys."""

    def keys(self, prefix: str) -> list[str]:
        """All keys directly or deeper under the folder `prefix`, in no order; empty when there is none."""

    def size(self, key: str) -> int | None:
        """Bytes of one file; None when it is missing."""

    def read(self, key: str) -> bytes:
        """One file, whole. Raises FileNotFoundError when it is missing."""

    def read_end(self, key: str, count: int) -> bytes:
        """The last `count` bytes of one file, fewer if it is shorter. Raises FileNotFoundError."""

    def write(self, key: str, content: bytes) -> None:
        """Write one file, whole or not at all, safely on disk when this returns."""

    def delete(self, key: str) -> None:
        """Remove one file; nothing happens when it is missing."""

    def sync(self, keys: Iterable[str]) -> None:
        """Bring these files and the folders above them safely to disk. Raises FileNotFoundError."""

    def sync_folder(self, prefix: str) -> None:
        """Make removals in the folder `prefix` durable."""


class Folder:
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.options: Mapping[str, str] | None = None

    @property
    def uri(self) -> str:
        return str(self.path)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir()) if self.path.is_dir() else []

    def keys(self, prefix: str) -> list[str]:
        return [str(path.relative_to(self.path)) for path in self._files(prefix)]

    def size(self, key: str) -> int | None:
        path = self.path / key
        return path.stat().st_size if path.is_file() else None

    def read(self, key: str) -> bytes:
        return (self.path / key).read_bytes()

    def read_end(self, key: str, count: int) -> bytes:
        with (self.path / key).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - count))
            return file.read()

    def write(self, key: str, content: bytes) -> None:
        path = self.path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.new")
        fresh.write_bytes(content)
        _sync(fresh)
        fresh.replace(path)
        self.sync([key])

    def delete(self, key: str) -> None:
        (self.path / key).unlink(missing_ok=True)

    def sync(self, keys: Iterable[str]) -> None:
        files = [self.path / key for key in keys]
        for path in files:
            _sync(path)
        for path in {above for file in files for above in self._above(file)}:
            _sync(path)

    def sync_folder(self, prefix: str) -> None:
        _sync(self.path / prefix)

    def _files(self, prefix: str) -> Iterator[Path]:
        return (path for path in (self.path / prefix).rglob("*") if path.is_file())

    def _above(self, file: Path) -> Iterator[Path]:
        """The folders above a file, up to the one that holds the lake itself."""
        for folder in file.parents:
            yield folder
            if folder == self.path.parent:
                return


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

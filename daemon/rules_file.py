"""The rules file, and the files it extends: whether somebody has saved one of them.

What is in a file counts, not only when it was written: editors and copies may keep the time. Looking blocks;
files are small and looking at them costs less than reading them as rules.
"""

import hashlib
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import rules
from options import RuleError
from rules import Rulebook, RulesInvalid
from rules.series import run_series, series_beside
from rules.source import MAX_BYTES


@dataclass(frozen=True, slots=True)
class Look:
    """What the files held at one look: equal when nobody has saved any of them in between.

    `saved`: when the newest of the rules was, by the clock of the machine; None when none is there.
    """

    files: tuple[tuple[str, int, str], ...]
    saved: datetime | None

    @property
    def paths(self) -> tuple[str, ...]:
        """Which files were looked at."""
        return tuple(path for path, _, _ in self.files)


class RulesFile:
    """A rules file on disk, which is its owner's: it is read, never written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._extended: tuple[Path, ...] = ()

    def look(self) -> Look:
        """What is there now: the file, those it extends, and the tests beside it."""
        mine = dict.fromkeys((self.path, *self._extended))
        seen = {path: _seen(path) for path in (*mine, *series_beside(self.path))}
        newest = max(seen[path][0] for path in mine)
        return Look(
            tuple((str(path), *found) for path, found in seen.items()),
            datetime.fromtimestamp(newest // 1000 / 1e6, UTC) if newest else None,
        )

    def read(self) -> Rulebook:
        """The rules as saved; from then on all files they are read from are looked at. Raises RuleError."""
        _refuse_unless_file(self.path)
        try:
            book = rules.load(self.path)
        except RulesInvalid as error:
            self._extended = error.files
            raise
        self._extended = book.files
        return book

    def failed_tests(self, book: Rulebook) -> str:
        """What fails in the tests beside the file; empty when nothing does. Raises RuleError when they
        cannot be read."""
        failures = [failure for path in series_beside(self.path) for failure in run_series(book, path)]
        return "\n".join(map(str, failures))


def _seen(path: Path) -> tuple[int, str]:
    """When the file was written (ns; 0: not there), and its content as a hash, or why it cannot be read."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return status.st_mtime_ns, "not a file"
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        return 0, error.strerror or str(error)
    except ValueError as error:
        return 0, str(error)  # a name that no file can have
    return status.st_mtime_ns, hashlib.blake2b(content, digest_size=16).hexdigest()


def _refuse_unless_file(path: Path) -> None:
    """Opening a pipe would wait for ever."""
    try:
        is_other = not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return
    if is_other:
        raise RuleError(f"{path}: is not a file; put a rules file there")

"""The rules in force, and the file they come from: a saved edit is taken up between two beats."""

from pathlib import Path

import structlog

import rules
from options import RuleError

log = structlog.get_logger()


class RulesFile:
    """`book` is in force; `error` tells why a newer file is not. A wrong file never replaces a right one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.book = rules.load(path)
        self.error: str | None = None
        self._stamp = self._look()

    def _look(self) -> tuple[int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size

    def refresh(self) -> bool:
        """Take up a changed file (blocking: reads and compiles it); whether anything changed."""
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            book = rules.load(self.path)
        except RuleError as error:
            self.error = str(error)
            log.warning("rules.refused", path=str(self.path), error=self.error)
            return True
        self.error = None
        changed = book.revision != self.book.revision
        self.book = book
        if changed:
            log.info("rules.taken_up", path=str(self.path), revision=book.revision)
        return changed

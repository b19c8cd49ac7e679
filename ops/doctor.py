"""Looks at everything around the daemon that may be wrong, and says what to do."""

import os
import shutil
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lake import LakeReader
from options import LakeError

MIN_FREE_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `said` tells its state, and what to do when it is not ok."""

    what: str
    ok: bool
    said: str

    def as_dict(self) -> dict[str, Any]:
        return {"what": self.what, "ok": self.ok, "said": self.said}


def examine(home: Path) -> list[Finding]:
    """The findings about this machine and `home`; never raises for what it finds wrong."""
    return [_python(), _home(home), _disk(home), _journal(home), _lake(home)]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    fits = (3, 11) <= sys.version_info[:2] <= (3, 12)
    return Finding("python", fits, version if fits else f"{version}; optiond needs 3.11 or 3.12")


def _home(home: Path) -> Finding:
    if not home.exists():
        return Finding("home", True, f"{home} does not exist yet; optiond run makes it")
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return Finding("home", False, f"{home} cannot be read and written; change its owner or rights")
    return Finding("home", True, str(home))


def _disk(home: Path) -> Finding:
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    said = f"{free / 1e9:.1f} GB free"
    return Finding("disk", free >= MIN_FREE_BYTES, said if free >= MIN_FREE_BYTES else f"{said}; make room")


def _journal(home: Path) -> Finding:
    path = home / "journal.sqlite"
    if not path.exists():
        return Finding("journal", True, "none yet")
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            said = connection.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.Error as error:
        return Finding("journal", False, f"{path} cannot be read ({error}); restore it from a backup")
    return Finding("journal", said == "ok", said)


def _lake(home: Path) -> Finding:
    if not (home / "lake").exists():
        return Finding("lake", True, "none yet")
    try:
        tables = LakeReader.open(home).tables()
    except LakeError as error:
        return Finding("lake", False, str(error))
    return Finding("lake", True, f"{len(tables)} tables")

"""Looks at everything around the daemon that may be wrong, and says what to do."""

import os
import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

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
    place = _existing(home)
    if not place.is_dir():
        return Finding("home", False, f"{place} is no folder; move it away, or choose another --home")
    if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
        return Finding("home", False, f"{place} cannot be read and written; change its owner or rights")
    if place != home:
        return Finding("home", True, f"{home} does not exist yet; optiond run makes it")
    return Finding("home", True, str(home))


def _existing(home: Path) -> Path:
    """The home, or what of the way to it exists."""
    return next(place for place in (home, *home.parents) if place.exists())


def _disk(home: Path) -> Finding:
    free = shutil.disk_usage(_existing(home)).free
    said = f"{free / 1e9:.1f} GB free"
    return Finding("disk", free >= MIN_FREE_BYTES, said if free >= MIN_FREE_BYTES else f"{said}; make room")


def _journal(home: Path) -> Finding:
    path = home / "journal.sqlite"
    if not path.exists():
        return Finding("journal", True, "none yet")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            said = connection.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.Error as error:
        said = str(error)
    if said != "ok":
        return Finding("journal", False, f"{path} is damaged ({said}); restore the home from a backup")
    return Finding("journal", True, said)


def _lake(home: Path) -> Finding:
    if not (home / "journal.sqlite").exists() and not (home / "lake").exists():
        return Finding("lake", True, "none yet")
    try:
        tables = LakeReader.open(home).tables()
    except LakeError as error:
        return Finding("lake", False, str(error))
    return Finding("lake", True, f"{len(tables)} tables")

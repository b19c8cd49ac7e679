"""Writing the systemd units of one home, for the user or for the whole machine."""

import shutil
import subprocess
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from options import SettingsError

UNITS = ("optiond.service", "optiond-page.service")


@dataclass(frozen=True, slots=True)
class Installation:
    """What was written, and systemd's own opinion of it (None when systemd-analyze is not there)."""

    units: tuple[Path, ...]
    verified: bool | None
    said: str


def unit_folder(system: bool) -> Path:
    """Where systemd looks for units."""
    if system:
        return Path("/etc/systemd/system")
    return Path.home() / ".config" / "systemd" / "user"


def install_units(program: Path, home: Path, folder: Path, system: bool) -> Installation:
    """Write both units for `program` and `home` into `folder` and have systemd verify them.

    Raises SettingsError when the folder cannot be written.
    """
    target = "multi-user.target" if system else "default.target"
    home.mkdir(parents=True, exist_ok=True)
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in UNITS:
            template = (files("ops") / "units" / name).read_text()
            text = template.format(program=_quoted(program), home=_quoted(home), target=target)
            (folder / name).write_text(text)
            written.append(folder / name)
    except OSError as error:
        raise SettingsError(
            f"{folder}: the units cannot be written ({error.strerror}); use --folder or other rights"
        ) from error
    verified, said = verify(written, system)
    return Installation(tuple(written), verified, said)


def verify(units: list[Path], system: bool) -> tuple[bool | None, str]:
    """Whether `systemd-analyze verify` accepts the units, and what it said."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return None, "systemd-analyze is not on this machine: the units were not verified"
    scope = [] if system else ["--user"]
    result = subprocess.run(
        [analyze, *scope, "verify", *map(str, units)], capture_output=True, text=True, timeout=60, check=False
    )
    return result.returncode == 0, (result.stdout + result.stderr).strip()


def _quoted(path: Path) -> str:
    text = str(path).replace("%", "%%")
    return f'"{text}"' if " " in text else text

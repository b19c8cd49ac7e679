"""Writing the systemd units of one home, for the user or for the whole machine."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from options import SettingsError

UNITS = ("optiond.service", "optiond-page.service")

# Not for a user's own service manager: these drop capabilities, which it may not do (the service would end
# with 218/CAPABILITIES), or systemd.exec(5) says that it does not support them.
SYSTEM_ONLY = """\
User={user}
CapabilityBoundingSet=
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """What was written, and systemd's own opinion of it (None when it could not be asked)."""

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

    A missing home is made. Raises SettingsError when the home or the folder cannot be written.
    """
    written = []
    try:
        home.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        for name in UNITS:
            (folder / name).write_text(render_unit(name, program, home, system))
            written.append(folder / name)
    except OSError as error:
        raise SettingsError(
            f"{error.filename or folder}: cannot be written ({error.strerror}); use other rights, "
            "or other folders with --home and --folder"
        ) from error
    verified, said = verify(written, system)
    return Installation(tuple(written), verified, said)


def render_unit(name: str, program: Path, home: Path, system: bool) -> str:
    """The text of a unit. A system unit runs as the owner of the home, which must exist."""
    template = (files("ops") / "units" / name).read_text()
    return template.format(
        program=_quoted(program),
        home=_quoted(home),
        target="multi-user.target" if system else "default.target",
        system_only=SYSTEM_ONLY.format(user=home.owner()) if system else "",
    )


def verify(units: list[Path], system: bool) -> tuple[bool | None, str]:
    """Whether `systemd-analyze verify` accepts the units, and what it said."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return None, "systemd-analyze is not on this machine: the units were not verified"
    scope = [] if system else ["--user"]
    with tempfile.TemporaryDirectory() as folder:
        # Without a login session there is no runtime folder, and --user asks for one.
        runtime = os.environ.get("XDG_RUNTIME_DIR") or folder
        result = subprocess.run(
            [analyze, *scope, "verify", *map(str, units)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "XDG_RUNTIME_DIR": runtime},
        )
    return result.returncode == 0, (result.stdout + result.stderr).strip()


def _quoted(path: Path) -> str:
    """The path as one word of a unit file, where `%` and `\\` mean something."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"' if " " in text or "\\" in text else text

"""The systemd units: what they say, and what systemd itself says to them."""

import shutil
import sys
from pathlib import Path

import pytest

from ops.install import UNITS, install_units, render_unit, verify
from options import SettingsError

PROGRAM = Path(sys.executable)
NEEDS_CAPABILITIES = ("CapabilityBoundingSet", "PrivateDevices", "ProtectClock", "ProtectKernelModules")


def settings_of(unit: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in unit.splitlines() if "=" in line and not line.startswith("#"))


@pytest.mark.parametrize("system", [False, True])
@pytest.mark.parametrize("name", UNITS)
def test_a_unit_tells_systemd_how_to_start_watch_and_confine_it(
    name: str, system: bool, tmp_path: Path
) -> None:
    said = settings_of(render_unit(name, PROGRAM, tmp_path, system))

    command = "run --no-page" if name == "optiond.service" else "page"
    assert said["ExecStart"] == f"{PROGRAM} {command} --home {tmp_path}"
    assert said["Type"] == "notify"
    assert int(said["WatchdogSec"]) > 0
    assert said["ReadWritePaths"] == str(tmp_path)
    assert said["ProtectSystem"] == "strict"
    assert said["NoNewPrivileges"] == "yes"
    assert said["StartLimitIntervalSec"] == "0"
    assert said["WantedBy"] == ("multi-user.target" if system else "default.target")


@pytest.mark.parametrize("name", UNITS)
def test_only_a_system_unit_asks_for_what_needs_capabilities(name: str, tmp_path: Path) -> None:
    user = settings_of(render_unit(name, PROGRAM, tmp_path, system=False))
    system = settings_of(render_unit(name, PROGRAM, tmp_path, system=True))

    assert not set(NEEDS_CAPABILITIES) & user.keys()
    assert set(NEEDS_CAPABILITIES) <= system.keys()
    assert "User" not in user


def test_a_system_unit_runs_as_the_owner_of_the_home(tmp_path: Path) -> None:
    assert settings_of(render_unit("optiond.service", PROGRAM, tmp_path, True))["User"] == tmp_path.owner()


def test_the_daemon_ends_its_children_itself_before_systemd_kills_what_is_left(tmp_path: Path) -> None:
    assert settings_of(render_unit("optiond.service", PROGRAM, tmp_path, False))["KillMode"] == "mixed"


@pytest.mark.parametrize("system", [False, True])
@pytest.mark.parametrize("home", ["home", "a home with spaces", "100%", 'quo"ted \\ home'])
def test_systemd_accepts_the_units_of_any_home(home: str, system: bool, tmp_path: Path) -> None:
    done = install_units(PROGRAM, tmp_path / home, tmp_path / "units", system)

    assert [unit.name for unit in done.units] == list(UNITS)
    assert (tmp_path / home).is_dir()
    if shutil.which("systemd-analyze") is None:
        assert done.verified is None
    else:
        assert done.verified, done.said
        assert done.said == "", "systemd found something to say"


def test_systemd_says_what_is_wrong_with_a_unit(tmp_path: Path) -> None:
    unit = tmp_path / "optiond.service"
    unit.write_text("[Service]\nType=notify\nExecStart=/no/such/program\n")
    verified, said = verify([unit], system=True)

    if shutil.which("systemd-analyze") is None:
        assert verified is None
    else:
        assert verified is False
        assert "/no/such/program" in said


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"file.*cannot be written.*--folder"):
        install_units(PROGRAM, tmp_path / "home", tmp_path / "file", system=False)


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"file.*cannot be written.*--home"):
        install_units(PROGRAM, tmp_path / "file" / "home", tmp_path / "units", system=False)

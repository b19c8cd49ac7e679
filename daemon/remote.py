"""The commands that talk to the running daemon, and those that look after the installation."""

import argparse
import getpass
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import polars as pl

from daemon.settings import Settings, load_settings
from lake import Lake
from ops.doctor import Finding, examine
from ops.install import install_units, unit_folder
from options import SettingsError
from trading.breaker import Breaker, BreakerState

ANSWER_WITHIN_S = 5.0


def _call(home: Path, settings: Settings, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
    """The control API's answer; None when no daemon listens. Raises SettingsError on a refusal."""
    running = home / "control.json"
    token = home / "control.token"
    if not running.exists() or not token.exists():
        return None
    port = json.loads(running.read_text())["port"]
    try:
        response = httpx.request(
            method,
            f"http://{settings.control.host}:{port}{path}",
            json=body,
            headers={"Authorization": f"Bearer {token.read_text().strip()}"},
            timeout=ANSWER_WITHIN_S,
        )
    except httpx.HTTPError:
        return None
    if response.status_code != 200:
        raise SettingsError(f"the daemon refused {path}: {response.status_code} {response.text}")
    answer: dict[str, Any] = response.json()
    return answer


def status(arguments: argparse.Namespace) -> int:
    """Exit code 0 when the daemon answers, 3 when it does not."""
    settings = load_settings(arguments.home)
    answer = _call(arguments.home, settings, "GET", "/status")
    if arguments.json:
        print(json.dumps(answer or {"running": False}, indent=2))
    elif answer is None:
        print(f"no daemon answers for {arguments.home}")
    else:
        print(_status_text(answer))
    return 0 if answer else 3


def _status_text(answer: dict[str, Any]) -> str:
    link, lines, lake = answer["connection"], answer["lines"], answer["lake"]
    kind = "simulated gateway" if link["simulated"] else "Interactive Brokers"
    error = answer["rules"]["error"]
    return "\n".join(
        [
            f"{answer['account'] or 'no account yet'} at {answer['time']}, process {answer['pid']}",
            f"connection  {link['state']} to {kind} {link['host']}:{link['port']} since {link['since']}",
            f"trading     {answer['breaker']['state']} {answer['breaker']['reason']}".rstrip(),
            f"positions   {answer['positions']}, open intents {answer['open_intents']}",
            f"alerts      {answer['alerts']} standing",
            f"lines       {lines['used']} of {lines['budget']}, data age {answer['data_age_s']} s",
            f"rules       {answer['rules']['revision'][:12]}" + (f" ({error})" if error else ""),
            f"lake        version {lake['seq']}, {lake['unflushed_rows']} rows not flushed yet",
        ]
    )


def halt(arguments: argparse.Namespace) -> int:
    state = BreakerState.FROZEN if arguments.freeze else BreakerState.HALTED
    return _brake(arguments, "/halt", state, {"freeze": arguments.freeze})


def resume(arguments: argparse.Namespace) -> int:
    return _brake(arguments, "/resume", BreakerState.ARMED, {})


def _brake(arguments: argparse.Namespace, path: str, state: BreakerState, extra: dict[str, Any]) -> int:
    actor = f"{getpass.getuser()} (command line)"
    body = {"reason": arguments.reason, "actor": actor, **extra}
    answer = _call(arguments.home, load_settings(arguments.home), "POST", path, body)
    if answer is None:
        _brake_without_daemon(arguments.home, state, arguments.reason, actor)
        answer = {"state": state.value, "daemon": "not running; it will start in this state"}
    print(json.dumps(answer) if arguments.json else f"trading is {' - '.join(answer.values())}")
    return 0


def _brake_without_daemon(home: Path, state: BreakerState, reason: str, actor: str) -> None:
    """Write the brake into the lake, where the next start finds it."""
    if not home.is_dir():
        raise SettingsError(f"{home}: no such home; give the right one with --home")
    row = Breaker(state, reason, actor).row()
    with Lake.open(home) as lake:
        lake.commit(datetime.now(UTC), {"breaker": pl.DataFrame([row])})


def doctor(arguments: argparse.Namespace) -> int:
    """Exit code 1 when anything is wrong."""
    findings = examine(arguments.home)
    findings += _settings_findings(arguments.home)
    if arguments.json:
        print(json.dumps([finding.as_dict() for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"{'ok   ' if finding.ok else 'WRONG'}  {finding.what}: {finding.said}")
    return 0 if all(finding.ok for finding in findings) else 1


def _settings_findings(home: Path) -> list[Finding]:
    from daemon.rulebook import rules_path
    from rules import RulesInvalid, load

    try:
        settings = load_settings(home)
    except SettingsError as error:
        return [Finding("settings", False, str(error))]
    findings = [
        Finding("settings", True, f"broker {settings.broker.kind.value}, live {settings.trading.live}")
    ]
    try:
        book = load(rules_path(home))
    except RulesInvalid as error:
        findings.append(Finding("rules", False, str(error)))
    else:
        findings.append(Finding("rules", True, f"{len(book.rules)} rules, revision {book.revision[:12]}"))
    answer = _call(home, settings, "GET", "/status")
    link = answer["connection"]["state"] if answer else None
    findings.append(
        Finding(
            "daemon", link in (None, "up"), f"connection {link}" if answer else "not running (optiond run)"
        )
    )
    return findings


def install(arguments: argparse.Namespace) -> int:
    folder = arguments.folder or unit_folder(arguments.system)
    program = Path(sys.argv[0]).resolve()
    done = install_units(program, arguments.home.resolve(), folder, arguments.system)
    for unit in done.units:
        print(f"wrote {unit}")
    verdict = {
        True: "systemd accepts the units",
        False: "systemd does not accept the units",
        None: "not verified",
    }
    print(verdict[done.verified] + (f": {done.said}" if done.said else ""))
    scope = "" if arguments.system else "--user "
    print(f"start them with: systemctl {scope}enable --now {' '.join(unit.name for unit in done.units)}")
    return 0 if done.verified is not False else 1

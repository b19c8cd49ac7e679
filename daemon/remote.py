"""The commands that talk to the running daemon, and those that look after the installation."""

import argparse
import getpass
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import polars as pl

from daemon.reading import UNKNOWN, new_york
from daemon.settings import BrokerKind, Settings, load_settings
from lake import Lake, LakeReader
from ops.doctor import Finding, examine
from ops.install import install_units, unit_folder
from options import SettingsError
from sync.tables import LAKE_TABLES

ANSWER_WITHIN_S = 5.0
EXIT_NOT_RUNNING = 3


def call_daemon(
    home: Path, settings: Settings, method: str, path: str, body: Any = None
) -> dict[str, Any] | None:
    """The control API's answer; None when no daemon of this home listens.

    Raises SettingsError when it refuses, and when it runs and does not answer in time.
    """
    pid = None
    try:
        note = json.loads((home / "control.json").read_text())
        port, pid = int(note["port"]), note.get("pid")
        token = (home / "control.token").read_text().strip()
        response = httpx.request(
            method,
            f"http://{settings.control.host}:{port}{path}",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            timeout=ANSWER_WITHIN_S,
        )
        answer: dict[str, Any] = response.json()
    except httpx.ReadTimeout as error:
        if not _lives(pid):
            return None
        raise SettingsError(
            f"the daemon of {home} gave no answer to {path} within {ANSWER_WITHIN_S:g} s, busy or waiting "
            "for its disk; it has been told: ask optiond status what came of it"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, httpx.HTTPError):
        # No daemon, one that was killed, or another program on the port that it had.
        return None
    if response.status_code != 200:
        raise SettingsError(
            f"the daemon refused {path} ({response.status_code}): {answer.get('detail', answer)}"
        )
    return answer


def _lives(pid: object) -> bool:
    """Whether there is a process with this id."""
    try:
        os.kill(int(str(pid)), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True


def status(arguments: argparse.Namespace) -> int:
    """Exit code 0 when the daemon answers, 3 when it does not."""
    settings = load_settings(arguments.home)
    answer = call_daemon(arguments.home, settings, "GET", "/status")
    if arguments.json:
        print(json.dumps(answer or {"running": False}, indent=2))
    elif answer is None:
        print(f"no daemon answers for {arguments.home}; optiond run starts one")
    else:
        print(_status_text(answer))
    return 0 if answer else EXIT_NOT_RUNNING


def _status_text(answer: dict[str, Any]) -> str:
    link, lines, lake, brake = (answer[key] for key in ("connection", "lines", "lake", "breaker"))
    kind = "simulated gateway" if link["simulated"] else "Interactive Brokers"
    by = f" by {brake['actor']} since {new_york(brake['since'])}: {brake['reason']}" if brake["actor"] else ""
    age_s, rules = answer["data_age_s"], answer["rules"]
    age = UNKNOWN if age_s is None else f"{age_s:.1f} s"
    return "\n".join(
        [
            f"account     {answer['account'] or UNKNOWN}",
            f"time        {new_york(answer['time'])} New York",
            f"connection  {link['state']}, {kind} at {link['host']}:{link['port']}, "
            f"since {new_york(link['since'])}",
            *_link_texts(link),
            f"trading     {brake['state']}{by}",
            *_trial_text(brake),
            *_condition_texts(brake),
            f"positions   {answer['positions']}, open orders {answer['open_intents']}",
            f"alerts      {answer['alerts']} standing",
            f"data        {lines['used']} of {lines['budget']} lines, newest quote {age} old",
            *_rules_lines(rules),
            f"lake        version {lake['seq']}, {lake['unflushed_rows']} rows not flushed yet, "
            f"last flush {lake['flush_age_s']:.0f} s ago",
            f"upkeep      {_upkeep_text(lake['upkeep'])}",
            *([f"NO ENTRIES  {'; '.join(lake['pressure'].values())}"] if lake["entries_stopped"] else []),
            f"process     {answer['pid']}, optiond {answer['version']}",
        ]
    )


def _rules_lines(rules: dict[str, Any]) -> list[str]:
    by = f", rolled back by {rules['actor']}" if rules["step"] == "rolled_back" else ""
    wrong = f", but the file is wrong: {rules['error']}" if rules["error"] else ""
    lines = [f"rules       revision {rules['revision']} of {rules['path']}{by}{wrong}"]
    if rules["ignored"]:
        lines.append(f"            the file holds {rules['ignored']}, ignored until it is saved again")
    if waiting := rules["waiting"]:
        lines.append(f"WAITS       rules {waiting['revision']} would {waiting['summary']}")
        lines.append(f"            optiond rules pending, then approve {waiting['revision']} or reject it")
    return lines


def _link_texts(link: dict[str, Any]) -> list[str]:
    """What is unusual about the link; nothing where all is well."""
    said = []
    if link["breaker"] != "closed":
        pause = f"{link['breaker_pause_s']:g} s between them"
        said.append(f"breaker {link['breaker']}: connections die early, {pause}")
    if link["blackout"]:
        said.append(f"blackout {link['blackout']}: no order is sent")
    if link["messages_waiting"]:
        said.append(f"{link['messages_waiting']} messages wait for their turn")
    return [f"            {text}" for text in said]


def _trial_text(brake: dict[str, Any]) -> list[str]:
    if not brake["trial_ends"]:
        return []
    waits = f"; waits for {', '.join(brake['waits_for'])}" if brake["waits_for"] else ""
    return [f"            one entry at a time; armed from {new_york(brake['trial_ends'])} on{waits}"]


def _condition_texts(brake: dict[str, Any]) -> list[str]:
    """The conditions that stand or are unknown."""
    return [
        f"            {event} {'stands' if seen['stands'] else UNKNOWN}: {seen['text']}"
        for event, seen in brake["conditions"].items()
        if seen["stands"] or seen["holds"] is None
    ]


def _upkeep_text(upkeep: dict[str, Any]) -> str:
    if upkeep["running"]:
        step = upkeep["step"]
        return f"at work on {step['table']}" if step else "at work"
    error = (upkeep["outcome"] or {}).get("error")
    last = f"last done {new_york(upkeep['last'])}" if upkeep["last"] else "not done yet"
    return f"{last}; failed since: {error}" if error else last


def user() -> str:
    """Who sits at this command line."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A user without a name, as in some containers.
        return f"user {os.getuid()}"


def commit_without_daemon(home: Path, settings: Settings, frames: Mapping[str, pl.DataFrame]) -> None:
    """Commit rows while no daemon runs, at the moment of `writing_without_daemon`."""
    with writing_without_daemon(home, settings) as (lake, now):
        lake.commit(now, frames)


@contextmanager
def writing_without_daemon(home: Path, settings: Settings) -> Iterator[tuple[Lake, datetime]]:
    """The lake for one who writes while no daemon runs, and the moment that it is.

    A simulated home lives in simulated time: there the moment is that of its last commit.
    """
    if not home.is_dir():
        raise SettingsError(f"{home}: no such home; give the right one with --home")
    with Lake.open(home, LAKE_TABLES, location=settings.lake.location) as lake:
        last = LakeReader.open(home).last_time
        is_simulated = settings.broker.kind is BrokerKind.SIMULATED
        yield lake, last if is_simulated and last is not None else datetime.now(UTC)


def doctor(arguments: argparse.Namespace) -> int:
    """Exit code 1 when anything is wrong."""
    findings = examine(arguments.home)
    findings += _settings_findings(arguments.home)
    if arguments.json:
        print(json.dumps([finding.as_dict() for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"{'ok' if finding.ok else 'WRONG':<5}  {finding.what:<8}  {finding.said}")
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
    return [*findings, _calendar_finding(home / settings.calendar), _daemon_finding(home, settings)]


def _calendar_finding(path: Path) -> Finding:
    from rules import RulesInvalid
    from rules.source import read_text
    from sync.calendar import read_calendar

    if not path.exists():
        return Finding("calendar", True, f"no {path.name}: days of earnings and dividends are unknown")
    try:
        calendar = read_calendar(read_text(path), str(path))
    except RulesInvalid as error:
        return Finding("calendar", False, str(error))
    said = f"{len(calendar.symbols)} underlyings, last looked through on {calendar.checked}"
    return Finding("calendar", True, said)


def _daemon_finding(home: Path, settings: Settings) -> Finding:
    try:
        answer = call_daemon(home, settings, "GET", "/status")
    except SettingsError as error:
        return Finding("daemon", False, str(error))
    if answer is None:
        return Finding("daemon", True, "not running; optiond run starts it")
    link = answer["connection"]
    said = f"connection {link['state']} at {link['host']}:{link['port']}"
    return Finding("daemon", link["state"] == "up", said)


def install(arguments: argparse.Namespace) -> int:
    folder = arguments.folder or unit_folder(arguments.system)
    program = Path(sys.executable).with_name("optiond")
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

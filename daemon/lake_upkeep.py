"""`optiond lake upkeep`: has the daemon do it, or does it where none runs, and shows how far it is."""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from daemon.caretaker import outcome_of, pinned
from daemon.remote import call_daemon
from daemon.settings import BrokerKind, Settings, load_settings
from lake import Lake, LakeReader, Step
from options import LakeError, SettingsError
from sync.tables import LAKE_TABLES

ASK_EVERY_S = 0.2
BAR = 24
EXIT_TROUBLE = 1


def upkeep(arguments: argparse.Namespace) -> int:
    """0 when all was done, 1 when it was stopped or a table could not be kept up."""
    home, settings = arguments.home, load_settings(arguments.home)
    if not home.is_dir():
        raise SettingsError(f"{home}: no such home; give the right one with --home")
    outcome = _by_daemon(home, settings, arguments.now)
    if outcome is None:
        outcome = _by_hand(home, settings)
    _clear()
    if arguments.json:
        print(json.dumps(outcome, indent=2))
    else:
        print("\n".join(_in_words(outcome)))
    return 0 if outcome["finished"] and not outcome.get("error") else EXIT_TROUBLE


def _by_daemon(home: Path, settings: Settings, now: bool) -> dict[str, Any] | None:
    """What came of it; None when no daemon runs."""
    answer = call_daemon(home, settings, "POST", "/lake/upkeep", {"now": now})
    if answer is None:
        return None
    while answer["running"]:
        _show(answer["step"])
        time.sleep(ASK_EVERY_S)
        answer = call_daemon(home, settings, "GET", "/lake/upkeep")
        if answer is None:
            raise LakeError(f"the daemon of {home} ended meanwhile: its next start takes the upkeep up again")
    outcome: dict[str, Any] = answer["outcome"] or {"finished": False, "tables": [], "reason": "unknown"}
    return outcome


def _by_hand(home: Path, settings: Settings) -> dict[str, Any]:
    began = time.monotonic()
    # Looked at first: to open a lake for writing makes one where there is none.
    last = LakeReader.open(home).last_time
    with Lake.open(home, LAKE_TABLES) as lake:
        is_simulated = settings.broker.kind is BrokerKind.SIMULATED
        now = last if is_simulated and last is not None else datetime.now(UTC)
        lake.flush()
        report = lake.upkeep(
            now,
            lambda step: _show(asdict(step)),
            retention=timedelta(days=settings.lake.retention_days),
            keep=pinned(home, settings.lake),
        )
    return outcome_of(report, "", time.monotonic() - began)


def bar(step: Step | Mapping[str, Any]) -> str:
    """`[######..................]  25%  facts: compact 2026-02-03`."""
    known = asdict(step) if isinstance(step, Step) else step
    part = known["done"] / known["total"] if known["total"] else 0.0
    filled = int(part * BAR)
    shown = f"[{'#' * filled}{'.' * (BAR - filled)}] {part:4.0%}"
    return f"{shown}  {known['table']}: {known['action']}"


def _show(step: Mapping[str, Any] | None) -> None:
    if step is not None and sys.stderr.isatty():
        print(f"\r\x1b[K{bar(step)}", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _in_words(outcome: Mapping[str, Any]) -> list[str]:
    lines = []
    for table in outcome["tables"]:
        if table["trouble"]:
            lines.append(f"{table['name']}: {table['trouble']}")
        elif table["files_before"] != table["files_after"]:
            lines.append(f"{table['name']}: {table['files_before']} → {table['files_after']} files")
    if outcome["finished"]:
        files = f"{outcome['files_before']} → {outcome['files_after']} files"
        lines.append(f"upkeep done: {files} in {outcome['took_s']:.1f} s")
    else:
        why = outcome.get("error") or outcome.get("reason") or "it was stopped"
        lines.append(f"upkeep not finished: {why}; the next run takes it up again")
    return lines

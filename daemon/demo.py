"""`optiond demo`: gateway and daemon together on recorded quotes, ended by a summary."""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from daemon import loop_turns, reading
from daemon.console import Console
from daemon.run import Until, run_daemon
from lake import LakeReader, views
from options import SettingsError

SUMMARY_DECISIONS = 20
NOTE = "demo.json"


def run_demo(arguments: argparse.Namespace) -> int:
    """Run the replay; the home is a new folder unless one is given, and stays for later questions."""
    for path in (arguments.replay, arguments.positions, arguments.rules):
        if path is not None and not path.is_file():
            raise SettingsError(f"{path}: no such file; check the path")
    home = arguments.home or Path(tempfile.mkdtemp(prefix="optiond-demo-"))
    quotes, positions = arguments.replay.resolve(), arguments.positions.resolve()
    _claim(home, {"quotes": str(quotes), "positions": str(positions)})
    console = Console(sys.stderr if arguments.json else sys.stdout)
    overrides: dict[str, Any] = {
        "broker": {"kind": "simulated", "port": 0, "control_port": 0},
        "simulation": {
            "market": "replay",
            "quotes": quotes,
            "positions": positions,
            "speed": arguments.speed,
        },
        "control": {"port": 0},
        # Recordings quote each contract once in many minutes, which in a live market would be a failure.
        "breaker": {"stale_share": 0.0},
    }
    if arguments.rules is not None:
        overrides["rules"] = arguments.rules.resolve()
    until = Until(seconds=arguments.seconds, market_end=arguments.seconds is None)
    code = loop_turns.run(
        run_daemon(home, arguments.no_page, overrides=overrides, until=until, console=console)
    )
    if arguments.json:
        print(json.dumps(_summary(home), indent=2, allow_nan=False))
    else:
        _summarise(home, console)
    return code


def _claim(home: Path, inputs: dict[str, str]) -> None:
    """Note what this home replays; a home with the books of something else is refused."""
    note = home / NOTE
    if note.exists():
        before = json.loads(note.read_text())
        if before != inputs and (home / "gateway" / "replay.sqlite").exists():
            raise SettingsError(
                f"{home} holds a demo of {before['quotes']} with {before['positions']}; choose another --home"
            )
    elif (home / "journal.sqlite").exists():
        raise SettingsError(f"{home} holds an installation, not a demo; choose another --home")
    home.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(inputs))


def _summary(home: Path) -> dict[str, Any]:
    reader = LakeReader.open(home)
    return {
        "home": str(home),
        "positions": views.positions(reader),
        "decisions": views.decisions(reader),
        "orders": views.orders(reader),
        "fills": views.fills(reader),
    }


def _summarise(home: Path, console: Console) -> None:
    found = _summary(home)
    decided, orders, fills = found["decisions"], found["orders"], found["fills"]
    console.say("")
    console.say("held at the end:")
    reading.print_positions(found["positions"])
    console.say("")
    console.say(f"decided ({len(decided)}, newest first):")
    reading.print_decisions(decided[:SUMMARY_DECISIONS])
    console.say("")
    console.say(f"orders {len(orders)}, fills {sum(not fill['is_combo'] for fill in fills)} (of single legs)")
    console.say(f"ask further with --home {home}: positions, decisions, explain ID, lake tables")

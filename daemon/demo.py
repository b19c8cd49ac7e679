"""`optiond demo`: gateway and daemon together on recorded quotes, ended by a summary."""

import argparse
import asyncio
import shutil
import tempfile
from pathlib import Path

from daemon import reading
from daemon.console import Console
from daemon.run import Until, make_home, run_daemon
from lake import LakeReader, views
from options import SettingsError

SUMMARY_DECISIONS = 20


def run_demo(arguments: argparse.Namespace) -> int:
    """Run the replay; the home is a new folder unless one is given, and stays for later questions."""
    for path in (arguments.replay, arguments.positions, arguments.rules):
        if path is not None and not path.is_file():
            raise SettingsError(f"{path}: no such file")
    home = arguments.home or Path(tempfile.mkdtemp(prefix="optiond-demo-"))
    console = Console()
    make_home(home)
    if arguments.rules is not None:
        shutil.copyfile(arguments.rules, home / "rules.yaml")
    seconds = arguments.seconds
    overrides = {
        "broker": {"kind": "simulated"},
        "simulation": {
            "market": "replay",
            "quotes": arguments.replay.resolve(),
            "positions": arguments.positions.resolve(),
            "speed": arguments.speed,
        },
        "control": {"port": 0},
    }
    until = Until(seconds=seconds, market_end=seconds is None)
    code = asyncio.run(run_daemon(home, arguments.no_page, overrides=overrides, until=until, console=console))
    _summarise(home, console)
    return code


def _summarise(home: Path, console: Console) -> None:
    reader = LakeReader.open(home)
    decided = views.decisions(reader)
    console.say("")
    console.say("held at the end:")
    reading.print_positions(views.positions(reader))
    console.say("")
    console.say(f"decided ({len(decided)}, newest first):")
    reading.print_decisions(decided[:SUMMARY_DECISIONS])
    console.say("")
    console.say(f"orders {len(views.orders(reader))}, fills {len(views.fills(reader))}")
    console.say(f"ask further with --home {home}: positions, decisions, explain ID, lake tables")

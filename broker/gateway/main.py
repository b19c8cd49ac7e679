"""The program: arguments, start, ready line, and an orderly end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line as the program takes it."""
    parser = argparse.ArgumentParser(
        prog="optiond gateway", description="A simulated IB Gateway: no login, no market, no money."
    )
    parser.add_argument("--market", choices=("model", "replay", "script"), default="model")
    parser.add_argument("--quotes", type=Path, help="replay: parquet of quotes; script: JSON of contracts")
    parser.add_argument("--positions", type=Path, help="replay, script: CSV of what the account holds")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4002, help="for API clients; 0 takes any free one")
    parser.add_argument("--control-port", type=int, default=4003, help="0 takes any free one")
    parser.add_argument(
        "--speed", type=float, help="simulated seconds per second; 0: by command (default 1; script 0)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the model market")
    parser.add_argument(
        "--quote-every", type=int, default=1, help="model: simulated seconds between quotes (default 1)"
    )
    parser.add_argument("--account", default="DU1234567", help="id of a new account (paper: DU...)")
    parser.add_argument("--state", type=Path, help="file in which account and time outlive the program")
    parser.add_argument("--home", help="told to whoever asks for the status")
    parser.add_argument("--lines", type=int, default=100, help="market data lines per client")
    parser.add_argument("--start", type=_moment, help="model, script: first simulated moment, with time zone")
    return parser.parse_args(argv)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text} needs a time zone, like 2026-03-02T10:00:00-05:00")
    return moment


def main(argv: Sequence[str] | None = None) -> int:
    """Runs until told to stop; 0 after an orderly end, 2 after one line on stderr about what is wrong."""
    arguments = read_arguments(argv)
    from broker.gateway.errors import GatewayError
    from broker.gateway.program import run

    try:
        run(arguments)
    except GatewayError as error:
        sys.stderr.write(f"gateway: {error}\n")
        return 2
    return 0

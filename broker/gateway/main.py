"""The command line: `run` (also without a word), and `print`, `check` and `play` for recordings."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NoReturn

RUN_EXAMPLES = """\
examples:
  optiond gateway                                    a calm market in real time
  optiond gateway --scenario crash_2020 --speed 600  a crash in 15 minutes
  optiond gateway --state paper.sqlite               an account that lasts
  optiond gateway --record today.rec                 keep all that is said

and with what was recorded:
  optiond gateway print today.rec                    what happened, in words
  optiond gateway check today.rec                    is it still said like that?
  optiond gateway play today.rec                     say it again to a client
"""
PRINT_EXAMPLES = """\
examples:
  optiond gateway print today.rec --only orders
  optiond gateway print today.rec --kind tickPrice --from 2026-03-02T10:30
"""


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the words on the command line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _new_parser(words: str, summary: str, examples: str = "") -> _Parser:
    return _Parser(
        prog=words,
        description=textwrap.fill(summary, 79),
        epilog=examples or None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def read_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line of a gateway that is to run."""
    parser = _new_parser(
        "optiond gateway", "A simulated IB Gateway: no login, no market, no money.", RUN_EXAMPLES
    )
    market = parser.add_argument_group("market")
    market.add_argument("--market", choices=("model", "replay", "script"), default="model", help=_MARKET_HELP)
    market.add_argument(
        "--seed",
        type=int,
        default=1,
        metavar="N",
        help="of the model market and of all chance in fills (default 1)",
    )
    market.add_argument(
        "--scenario",
        default="calm",
        metavar="NAME",
        help="model: calm (default), grind, crash_2020, volmageddon_2018, gap, squeeze, vol_crush, frozen",
    )
    market.add_argument(
        "--start",
        type=_zoned,
        metavar="TIME",
        help="model, script: first simulated moment, with time zone, like 2026-03-02T10:00:00-05:00",
    )
    market.add_argument(
        "--quote-every",
        type=_count,
        default=1,
        metavar="S",
        help="model: simulated seconds between quotes (default 1)",
    )
    market.add_argument(
        "--quotes", type=Path, metavar="FILE", help="replay: parquet of quotes; script: JSON of contracts"
    )

    time = parser.add_argument_group("time")
    time.add_argument(
        "--speed",
        type=float,
        metavar="N",
        help="simulated seconds per second; 0: by command (default 1; script 0)",
    )

    time.add_argument(
        "--nights",
        choices=("skip", "keep"),
        default="skip",
        help="model: keep lets nights and weekends pass, with shares quoted before and after hours",
    )

    account = parser.add_argument_group("account")
    account.add_argument(
        "--account", type=_account, default="DU1234567", metavar="ID", help="of a new account (%(default)s)"
    )
    account.add_argument(
        "--positions", type=Path, metavar="FILE", help="replay, script: CSV of what a new account holds"
    )
    account.add_argument(
        "--state", type=Path, metavar="FILE", help="in which account and time outlive the program"
    )

    ports = parser.add_argument_group("connections")
    ports.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    ports.add_argument(
        "--port", type=_port, default=4002, help="for API clients; 0 takes any free one (default 4002)"
    )
    ports.add_argument(
        "--control-port",
        type=_port,
        default=4003,
        metavar="PORT",
        help="for commands; 0 as above (default 4003)",
    )
    ports.add_argument(
        "--lines", type=_count, default=100, metavar="N", help="market data lines per client (default 100)"
    )

    days = parser.add_argument_group("bad days")
    days.add_argument(
        "--faults",
        metavar="PLAN",
        help="a YAML file of faults and their times, or one that comes along, like a_day_in_the_life",
    )

    out = parser.add_argument_group("output")
    out.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="new file for all that goes in and out; see print and check",
    )
    out.add_argument(
        "--json", action="store_true", help="one ready line instead of the view, also in a terminal"
    )
    out.add_argument("--home", metavar="TEXT", help="whose gateway it is: repeated by the command status")
    return parser.parse_args(argv)


_MARKET_HELP = (
    "model: a seeded world of its own (default); replay: recorded quotes; script: prices by command"
)


def _read_print(argv: Sequence[str]) -> argparse.Namespace:
    parser = _new_parser("optiond gateway print", "Print a recording in words.", PRINT_EXAMPLES)
    parser.add_argument("file", type=Path, metavar="FILE", help="made with --record")
    parser.add_argument(
        "--client", type=int, action="append", metavar="ID", help="only this client; may be repeated"
    )
    parser.add_argument(
        "--kind",
        action="append",
        metavar="NAME",
        help="only this kind of message, by name or number (openOrder, 5); may be repeated",
    )
    parser.add_argument("--only", choices=("orders",), help="only what concerns orders")
    parser.add_argument(
        "--from",
        dest="since",
        type=_moment,
        metavar="TIME",
        help="simulated; New York unless it says otherwise",
    )
    parser.add_argument("--to", dest="until", type=_moment, metavar="TIME", help="the same")
    parser.add_argument("--full", action="store_true", help="also the fields that are empty or unset")
    arguments = parser.parse_args(argv)
    from broker.gateway.protocol.layouts import is_kind

    for kind in arguments.kind or ():
        if not is_kind(kind):
            parser.error(f"argument --kind: no message is called {kind!r}: take the names that print shows")
    return arguments


def _read_check(argv: Sequence[str]) -> argparse.Namespace:
    parser = _new_parser(
        "optiond gateway check",
        "Run a recording again: a fresh gateway gets what the recorded one got, and must say the same, byte"
        " for byte. Exit code 0: it does; 1: it does not; 2: the recording cannot be used.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="made with --record")
    return parser.parse_args(argv)


def _read_play(argv: Sequence[str]) -> argparse.Namespace:
    parser = _new_parser(
        "optiond gateway play",
        "Say what was recorded once more to each client that connects with a recorded id: its replies come"
        " when it has sent the same kinds of messages, in the recorded order, without the pauses. Its request"
        " and order ids must be those of the recording.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="made with --record")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=_port, default=4002, help="0 takes any free one (default 4002)")
    return parser.parse_args(argv)


def _moment(text: str) -> datetime:
    from options.clock import NEW_YORK

    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=NEW_YORK)


def _zoned(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text} needs a time zone, like 2026-03-02T10:00:00-05:00")
    return moment


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is no port: use 0 to 65535")
    return port


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{count} is below 1: use 1 or more")
    return count


def _account(text: str) -> str:
    if not (text.isascii() and text.isalnum()):
        raise argparse.ArgumentTypeError(f"{text!r} is no account: use letters and digits, like DU1234567")
    return text


# What argparse calls them when they cannot be read.
_moment.__name__ = _zoned.__name__ = "time"
_port.__name__ = _count.__name__ = "int"


def _run(argv: Sequence[str]) -> int:
    arguments = read_arguments(argv)
    from broker.gateway.program import run

    run(arguments)
    return 0


def _print(argv: Sequence[str]) -> int:
    arguments = _read_print(argv)
    from broker.gateway.recording.tape import Recording
    from broker.gateway.recording.words import Filter, printed

    filter_ = Filter(
        frozenset(arguments.client or ()),
        frozenset(arguments.kind or ()),
        arguments.since,
        arguments.until,
        arguments.only == "orders",
        arguments.full,
    )
    for line in printed(Recording(arguments.file), filter_):
        sys.stdout.write(line + "\n")
    return 0


def _check(argv: Sequence[str]) -> int:
    arguments = _read_check(argv)
    from broker.gateway.recording.check import check
    from broker.gateway.recording.tape import Recording
    from broker.gateway.recording.words import difference_in_words

    recording = Recording(arguments.file)
    verdict = check(recording)
    if verdict.difference:
        sys.stdout.write("\n".join(difference_in_words(recording, verdict.difference)) + "\n")
    else:
        sys.stdout.write(f"identical: {verdict.messages:,} messages\n")
    if verdict.torn and not verdict.difference:
        sys.stdout.write(f"{verdict.torn}\n")
    return 1 if verdict.difference else 0


def _play(argv: Sequence[str]) -> int:
    arguments = _read_play(argv)
    from broker.gateway.recording.play import play
    from broker.gateway.recording.tape import Recording

    play(Recording(arguments.file), arguments.host, arguments.port)
    return 0


_COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "run": _run,
    "print": _print,
    "check": _check,
    "play": _play,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Does one command; 0 after an orderly end, 2 after one line on stderr about what is wrong."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = _COMMANDS.get(words[0]) if words else None
    from broker.gateway.errors import GatewayError

    try:
        code = command(words[1:]) if command else _run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more at its own end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except GatewayError as error:
        sys.stderr.write(f"gateway: {error}\n")
        return 2
    return code

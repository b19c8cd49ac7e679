"""The words of the command line: what every command has, and how a word that is wrong is told."""

import argparse
import math
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NoReturn, TypeAlias

from daemon.settings import default_home

EXIT_USAGE = 2
MOMENT = (
    "a time (ISO, UTC unless it names an offset or, at its end, a zone), a version (the number in "
    "`lake tables`) or the id of a decision: just before it"
)

Command: TypeAlias = Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the words on the command line."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def command(commands: Commands, name: str, function: str, summary: str) -> argparse.ArgumentParser:
    """A command whose work is `function` (module.name); the module is imported when it is run."""
    parser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(command=late(function))
    parser.add_argument(
        "--home",
        type=folder,
        default=default_home(),
        metavar="DIR",
        help="folder of settings, rules, lake and logs (default: $OPTIOND_HOME or %(default)s)",
    )
    return parser


def late(function: str) -> Command:
    """The work of a command, `module.name` of this room; imported when it is run."""

    def run(arguments: argparse.Namespace) -> int:
        module, _, name = function.rpartition(".")
        code: int = getattr(import_module(f"daemon.{module}"), name)(arguments)
        return code

    return run


def add_json(parser: argparse.ArgumentParser, what: str = "print JSON") -> None:
    """The option that every command has which prints something."""
    parser.add_argument("--json", action="store_true", help=what)


def folder(text: str) -> Path:
    """A folder, whole."""
    return Path(text).expanduser().absolute()


def positive(text: str) -> float:
    """A number above 0; raises ArgumentTypeError."""
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def count(text: str) -> int:
    """A whole number from 0; raises ArgumentTypeError."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is not a count")
    return value


positive.__name__ = "number"  # what argparse calls it when it cannot be read


def reason(text: str) -> str:
    """Why, in at most 500 characters; raises ArgumentTypeError."""
    if not 1 <= len(text.strip()) <= 500:
        raise argparse.ArgumentTypeError("a reason has 1 to 500 characters")
    return text.strip()

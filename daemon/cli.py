"""The command line. Scripts rely on it: names, options and the JSON keys stay."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from daemon.settings import default_home
from options import OptiondError

EXIT_ERROR = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. A known error is one line on stderr."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["gateway"]:
        from broker.gateway import main as gateway

        return gateway(words[1:])
    arguments = _parser().parse_args(words)
    try:
        code: int = arguments.command(arguments)
    except OptiondError as error:
        print(f"optiond: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_ERROR
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="optiond", description="Trades option strategies on Interactive Brokers, and shows why."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_running(commands)
    _add_reading(commands)
    _add_rules(commands)
    _add_lake(commands)
    _add_control(commands)
    return parser


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _command(commands: Commands, name: str, function: object, summary: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(command=function)
    parser.add_argument(
        "--home",
        type=Path,
        default=default_home(),
        help="folder of settings, rules, lake and logs (default: $OPTIOND_HOME or %(default)s)",
    )
    return parser


def _add_running(commands: Commands) -> None:
    run = _command(
        commands, "run", _run, "start the daemon (with the simulated gateway unless set otherwise)"
    )
    run.add_argument("--no-page", action="store_true", help="do not start the page")
    run.add_argument("--speed", type=float, help="simulated seconds per second")
    demo = _command(commands, "demo", _demo, "gateway and daemon together on recorded quotes, with a summary")
    demo.add_argument("--replay", type=Path, required=True, metavar="QUOTES.parquet")
    demo.add_argument("--positions", type=Path, required=True, metavar="POSITIONS.csv")
    demo.add_argument("--rules", type=Path, metavar="FILE")
    demo.add_argument(
        "--speed", type=float, default=3600.0, help="simulated seconds per second (default 3600)"
    )
    span = demo.add_mutually_exclusive_group()
    span.add_argument("--until-end", action="store_true", help="until the quotes run out (default)")
    span.add_argument("--for", dest="seconds", type=float, metavar="SECONDS", help="that many real seconds")
    demo.add_argument("--no-page", action="store_true", help="do not start the page")
    demo.set_defaults(home=None)
    page = _command(commands, "page", _page, "serve the page of a home (its daemon may run elsewhere)")
    page.add_argument("--port", type=int)
    gateway = commands.add_parser("gateway", help="the simulated gateway alone", add_help=False)
    gateway.set_defaults(command=lambda _: 0)


def _add_reading(commands: Commands) -> None:
    from daemon import reading

    for name, summary in (
        ("positions", "what is held, with profit and Greeks"),
        ("decisions", "what the rules decided, and why"),
        ("orders", "what the broker did with our orders, and the fills"),
        ("alerts", "what wants a human's eye"),
    ):
        parser = _command(commands, name, getattr(reading, name), summary)
        _add_as_of(parser)
        parser.add_argument("--json", action="store_true", help="print JSON")
    explain = _command(
        commands, "explain", reading.explain, "the story of a decision, an intent or a position"
    )
    explain.add_argument("id", metavar="ID")
    _add_as_of(explain)
    explain.add_argument("--json", action="store_true", help="print JSON")


def _add_as_of(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--as-of",
        metavar="T",
        help="a time (ISO, UTC unless it says otherwise) or a version (the number in `lake tables`)",
    )


def _add_rules(commands: Commands) -> None:
    from daemon import rulebook

    rules = commands.add_parser("rules", help="check the rules file, or drive the rules with facts")
    actions = rules.add_subparsers(metavar="ACTION", required=True)
    check = _command(
        actions, "check", rulebook.check, "all errors of a rules file at once, with line and column"
    )
    check.add_argument("file", nargs="?", type=Path, help="default: the rules of the home")
    check.add_argument("--json", action="store_true", help="print JSON")
    decide = _command(actions, "decide", rulebook.decide, "one JSON line of facts in, one JSON decision out")
    decide.add_argument("facts", metavar="FACTS.jsonl", help="one JSON object per line, - for standard input")
    decide.add_argument("--rules", type=Path, metavar="FILE")
    decide.add_argument("--state", type=Path, metavar="FILE", help="rule state to start from")
    decide.add_argument("--out-state", type=Path, metavar="FILE", help="where to write the rule state")


def _add_lake(commands: Commands) -> None:
    from daemon import reading

    lake = commands.add_parser("lake", help="what the lake remembers")
    actions = lake.add_subparsers(metavar="ACTION", required=True)
    tables = _command(actions, "tables", reading.lake_tables, "every table with its rows and newest version")
    tables.add_argument("--json", action="store_true", help="print JSON")
    as_of = _command(actions, "as-of", reading.lake_as_of, "a table as it was at a time or version")
    as_of.add_argument("as_of", metavar="T", help="a time (ISO, UTC unless it says otherwise) or a version")
    as_of.add_argument("table", metavar="TABLE")
    as_of.add_argument("--json", action="store_true", help="print JSON, one row per line")


def _add_control(commands: Commands) -> None:
    from daemon import remote

    status = _command(commands, "status", remote.status, "is the daemon well?")
    status.add_argument("--json", action="store_true", help="print JSON")
    for name, function, summary in (
        ("halt", remote.halt, "stop trading: cancel working orders, open nothing, keep protecting"),
        ("resume", remote.resume, "let it trade again"),
    ):
        parser = _command(commands, name, function, summary)
        parser.add_argument("--reason", default="by hand", help="why; it is recorded")
        parser.add_argument("--json", action="store_true", help="print JSON")
        if name == "halt":
            parser.add_argument(
                "--freeze", action="store_true", help="send nothing at all, not even closings"
            )
    doctor = _command(
        commands, "doctor", remote.doctor, "look at everything that may be wrong, and say what to do"
    )
    doctor.add_argument("--json", action="store_true", help="print JSON")
    install = _command(commands, "install", remote.install, "write the systemd units of this home")
    install.add_argument("--system", action="store_true", help="for the machine, not the user")
    install.add_argument("--folder", type=Path, help="where to write the units")


def _run(arguments: argparse.Namespace) -> int:
    from daemon.run import run_daemon

    return asyncio.run(run_daemon(arguments.home, arguments.no_page, arguments.speed))


def _demo(arguments: argparse.Namespace) -> int:
    from daemon.demo import run_demo

    return run_demo(arguments)


def _page(arguments: argparse.Namespace) -> int:
    from daemon.settings import load_settings
    from dashboard import main as page

    settings = load_settings(arguments.home)
    return page(
        [
            *("--home", str(arguments.home), "--host", settings.page.host),
            *("--port", str(arguments.port or settings.page.port)),
            *("--control-url", f"http://{settings.control.host}:{settings.control.port}"),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())

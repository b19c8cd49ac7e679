"""The command line. Scripts rely on it: names, options and the JSON keys stay."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from daemon.rules_words import add_rules
from daemon.words import (
    MOMENT,
    Command,
    Commands,
    Parser,
    add_json,
    command,
    count,
    folder,
    late,
    positive,
    reason,
)
from options import OptiondError

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. A known error is one line on stderr."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["gateway"]:
        from broker.gateway import main as gateway

        return gateway(words[1:])
    arguments = _parser().parse_args(words)
    try:
        return _run_guarded(arguments.command, arguments)
    except OptiondError as error:
        print(f"optiond: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _run_guarded(command: Command, arguments: argparse.Namespace) -> int:
    """Run it; what files, disks and damaged tables throw becomes a LakeError in words.

    Tables are read lazily and homes can break anywhere, so this is the one place that sees it all.
    """
    from lake.faults import reported

    with reported("cannot read or write", arguments.home or Path.cwd()):
        try:
            code = command(arguments)
            sys.stdout.flush()
        except BrokenPipeError:
            # Whoever read our output has gone; Python would complain once more at its own end.
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return EXIT_ERROR
        except OSError as error:
            with reported("cannot read or write", Path(error.filename or arguments.home)):
                raise
    return code


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="optiond", description="Trades option strategies on Interactive Brokers, and shows why."
    )
    parser.add_argument("-V", "--version", action="version", version=f"optiond {version('optiond')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_running(commands)
    _add_reading(commands)
    add_rules(commands)
    _add_lake(commands)
    _add_control(commands)
    return parser


def _add_running(commands: Commands) -> None:
    run = command(
        commands, "run", "cli.run", "start the daemon (with the simulated gateway unless set otherwise)"
    )
    run.add_argument("--no-page", action="store_true", help="do not start the page")
    run.add_argument("--speed", type=positive, metavar="N", help="simulated seconds per second")
    run.add_argument(
        "--take-over",
        action="store_true",
        help="become the writer of a lake in a bucket whose home will never write again",
    )
    summary = "gateway and daemon together on recorded quotes, with a summary"
    demo = commands.add_parser("demo", help=summary, description=summary)
    demo.set_defaults(command=late("demo.run_demo"))
    demo.add_argument(
        "--home", type=folder, metavar="DIR", help="where to keep it (default: a new folder, which stays)"
    )
    demo.add_argument("--replay", type=Path, required=True, metavar="QUOTES.parquet")
    demo.add_argument("--positions", type=Path, required=True, metavar="POSITIONS.csv")
    demo.add_argument("--rules", type=Path, metavar="FILE", help="default: the rules of the home")
    demo.add_argument(
        "--speed",
        type=positive,
        default=3600.0,
        metavar="N",
        help="simulated seconds per second (default 3600)",
    )
    span = demo.add_mutually_exclusive_group()
    span.add_argument("--until-end", action="store_true", help="until the quotes run out (default)")
    span.add_argument(
        "--for", dest="seconds", type=positive, metavar="SECONDS", help="that many real seconds"
    )
    demo.add_argument("--no-page", action="store_true", help="do not start the page")
    add_json(demo, "print the summary as JSON, and what happens on standard error")
    page = command(commands, "page", "cli.page", "serve the page of a home (its daemon may run elsewhere)")
    page.add_argument("--port", type=int)
    commands.add_parser("gateway", help="the simulated gateway alone", add_help=False)


def _add_reading(commands: Commands) -> None:
    for name, summary in (
        ("positions", "what is held, with profit and Greeks"),
        ("decisions", "what the rules decided, and why"),
        ("orders", "what the broker did with our orders, and the fills"),
        ("alerts", "what wants a human's eye"),
        ("explain", "the story of a decision, an intent or a position"),
    ):
        parser = command(commands, name, f"reading.{name}", summary)
        if name == "explain":
            parser.add_argument("id", metavar="ID")
        parser.add_argument(
            "--as-of",
            metavar="T",
            help=MOMENT,
        )
        add_json(parser)
    _add_replay(commands)


def _add_replay(commands: Commands) -> None:
    summary = "decide again what was decided, from the lake, and compare"
    parser = command(commands, "replay", "replay.replay", summary)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("decision", nargs="?", metavar="DECISION", help="its id, from `optiond decisions`")
    which.add_argument("--since", metavar="T", help=f"all from there on: {MOMENT}")
    parser.add_argument("--until", metavar="T", help="with --since: up to there")
    parser.add_argument(
        "--rules", type=Path, metavar="FILE", help="what other rules would have decided on the same facts"
    )
    add_json(parser)


def _add_lake(commands: Commands) -> None:
    lake = commands.add_parser("lake", help="what the lake remembers")
    actions = lake.add_subparsers(metavar="ACTION", required=True)
    tables = command(actions, "tables", "lake_reading.tables", "every table, its rows and newest version")
    tables.add_argument(
        "--describe",
        nargs="?",
        const="",
        metavar="TABLE",
        help="what the columns of one or all tables mean, instead",
    )
    add_json(tables)
    as_of = command(actions, "as-of", "lake_reading.as_of", "a table as it was at a moment")
    as_of.add_argument("as_of", metavar="T", help=MOMENT)
    as_of.add_argument("table", metavar="TABLE")
    as_of.add_argument("--current", action="store_true", help="only what was true then: the newest rows")
    add_json(as_of, "print JSON, one row per line")
    sql = command(actions, "sql", "lake_reading.sql", "a SELECT over all tables")
    sql.add_argument("query", metavar="QUERY")
    sql.add_argument("--as-of", metavar="T", help=MOMENT)
    form = sql.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON, one row per line")
    form.add_argument("--csv", action="store_true", help="print CSV, times in UTC")
    history = command(actions, "history", "lake_reading.history", "all rows about one thing, oldest first")
    history.add_argument("table", metavar="TABLE")
    history.add_argument(
        "key", nargs="*", metavar="KEY", help="the thing: values of the table's key in order, or COLUMN=VALUE"
    )
    add_json(history, "print JSON, one row per line")
    diff = command(
        actions, "diff", "lake_reading.diff", "what was added, changed or gone between two moments"
    )
    diff.add_argument("before", metavar="T1", help=MOMENT)
    diff.add_argument("after", metavar="T2", help=MOMENT)
    diff.add_argument("table", metavar="TABLE")
    add_json(diff, "print JSON, one row per line")
    _add_lake_care(actions)


def _add_lake_care(actions: Commands) -> None:
    verify = command(
        actions, "verify", "lake_care.verify", "is everything there, once, and as promised? 1 when not"
    )
    verify.add_argument("--deep", action="store_true", help="read every value of every file as well")
    add_json(verify)
    backup = command(
        actions, "backup", "lake_care.backup", "copy the home, beside a running daemon or without"
    )
    backup.add_argument(
        "folder", type=folder, metavar="FOLDER", help="new, or an earlier backup of this home"
    )
    restore = command(actions, "restore", "lake_care.restore", "bring a backup into an empty home")
    restore.add_argument("folder", type=folder, metavar="FOLDER", help="the backup")
    export = command(actions, "export", "lake_care.export", "tables as Parquet or CSV, and what they mean")
    export.add_argument("folder", type=folder, metavar="FOLDER", help="where to write one file per table")
    export.add_argument("--as-of", metavar="T", help=MOMENT)
    export.add_argument(
        "--table", action="append", metavar="TABLE", help="this one only; may be given several times"
    )
    export.add_argument("--csv", action="store_true", help="CSV instead of Parquet")
    imports = command(
        actions, "import", "lake_care.import_", "bring in option snapshots of another program, each once"
    )
    imports.add_argument(
        "source",
        type=folder,
        metavar="FOLDER",
        help="a Delta table, a folder of Parquet files, or one of them",
    )
    for parser in (backup, restore, export, imports):
        add_json(parser)
    _add_upkeep(actions)


def _add_upkeep(actions: Commands) -> None:
    upkeep = command(
        actions, "upkeep", "lake_upkeep.upkeep", "put small files together and remove what nothing needs"
    )
    upkeep.add_argument("--now", action="store_true", help="also within trading hours")
    add_json(upkeep)


def _add_control(commands: Commands) -> None:
    add_json(command(commands, "status", "remote.status", "is the daemon well?"))
    breaker = command(
        commands, "breaker", "brake.breaker", "the mode of trading, why, its journal and what would move it"
    )
    breaker.add_argument(
        "--last", type=count, default=10, metavar="N", help="how many entries to show (default 10)"
    )
    add_json(breaker)
    add_json(
        command(
            commands,
            "reconcile",
            "reconcile.reconcile",
            "compare with the broker's books now; 1 when a difference stands",
        )
    )
    for name, summary in (
        ("halt", "stop trading: cancel working orders, open nothing, keep protecting"),
        ("reset", "let it trade again: on trial first, one entry at a time"),
        ("resume", "the same as reset"),
    ):
        parser = command(commands, name, f"brake.{name}", summary)
        parser.add_argument("--reason", type=reason, default="by hand", help="why; it is recorded")
        add_json(parser)
        if name == "halt":
            parser.add_argument(
                "--freeze", action="store_true", help="send nothing at all, not even closings"
            )
    add_json(
        command(
            commands, "doctor", "remote.doctor", "look at everything that may be wrong, and say what to do"
        )
    )
    install = command(commands, "install", "remote.install", "write the systemd units of this home")
    install.add_argument("--system", action="store_true", help="for the machine, not the user")
    install.add_argument("--folder", type=folder, metavar="DIR", help="where to write the units")


def run(arguments: argparse.Namespace) -> int:
    """`optiond run`."""
    from daemon import loop_turns
    from daemon.run import run_daemon

    return loop_turns.run(
        run_daemon(arguments.home, arguments.no_page, arguments.speed, take_over=arguments.take_over)
    )


def page(arguments: argparse.Namespace) -> int:
    """`optiond page`."""
    from daemon.settings import load_settings
    from dashboard import main as serve

    settings = load_settings(arguments.home)
    return serve(
        [
            *("--home", str(arguments.home), "--host", settings.page.host),
            *("--port", str(arguments.port or settings.page.port)),
            *("--control-url", f"http://{settings.control.host}:{settings.control.port}"),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())

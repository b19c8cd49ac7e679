"""The command line. Scripts rely on it: names, options and the JSON keys stay."""

import argparse
import asyncio
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn, TypeAlias

from daemon.rules_words import add_rules_in_force
from daemon.settings import default_home
from daemon.time_span import time_span
from options import OptiondError

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
MOMENT = (
    "a time (ISO, UTC unless it names an offset or, at its end, a zone), a version (the number in "
    "`lake tables`) or the id of a decision: just before it"
)

Command: TypeAlias = Callable[[argparse.Namespace], int]


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


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the words on the command line."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="optiond", description="Trades option strategies on Interactive Brokers, and shows why."
    )
    parser.add_argument("-V", "--version", action="version", version=f"optiond {version('optiond')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_running(commands)
    _add_reading(commands)
    _add_rules(commands)
    _add_lake(commands)
    _add_control(commands)
    return parser


Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"


def _command(commands: Commands, name: str, function: str, summary: str) -> argparse.ArgumentParser:
    """A command whose work is `function` (module.name); the module is imported when it is run."""
    parser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(command=_late(function))
    parser.add_argument(
        "--home",
        type=_folder,
        default=default_home(),
        metavar="DIR",
        help="folder of settings, rules, lake and logs (default: $OPTIOND_HOME or %(default)s)",
    )
    return parser


def _late(function: str) -> Command:
    def run(arguments: argparse.Namespace) -> int:
        module, _, name = function.rpartition(".")
        code: int = getattr(import_module(f"daemon.{module}"), name)(arguments)
        return code

    return run


def _add_json(parser: argparse.ArgumentParser, what: str = "print JSON") -> None:
    parser.add_argument("--json", action="store_true", help=what)


def _add_running(commands: Commands) -> None:
    run = _command(
        commands, "run", "cli.run", "start the daemon (with the simulated gateway unless set otherwise)"
    )
    run.add_argument("--no-page", action="store_true", help="do not start the page")
    run.add_argument("--speed", type=_positive, metavar="N", help="simulated seconds per second")
    run.add_argument(
        "--take-over",
        action="store_true",
        help="become the writer of a lake in a bucket whose home will never write again",
    )
    summary = "gateway and daemon together on recorded quotes, with a summary"
    demo = commands.add_parser("demo", help=summary, description=summary)
    demo.set_defaults(command=_late("demo.run_demo"))
    demo.add_argument(
        "--home", type=_folder, metavar="DIR", help="where to keep it (default: a new folder, which stays)"
    )
    demo.add_argument("--replay", type=Path, required=True, metavar="QUOTES.parquet")
    demo.add_argument("--positions", type=Path, required=True, metavar="POSITIONS.csv")
    demo.add_argument("--rules", type=Path, metavar="FILE", help="default: the rules of the home")
    demo.add_argument(
        "--speed",
        type=_positive,
        default=3600.0,
        metavar="N",
        help="simulated seconds per second (default 3600)",
    )
    span = demo.add_mutually_exclusive_group()
    span.add_argument("--until-end", action="store_true", help="until the quotes run out (default)")
    span.add_argument(
        "--for", dest="seconds", type=_positive, metavar="SECONDS", help="that many real seconds"
    )
    demo.add_argument("--no-page", action="store_true", help="do not start the page")
    _add_json(demo, "print the summary as JSON, and what happens on standard error")
    page = _command(commands, "page", "cli.page", "serve the page of a home (its daemon may run elsewhere)")
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
        parser = _command(commands, name, f"reading.{name}", summary)
        if name == "explain":
            parser.add_argument("id", metavar="ID")
        parser.add_argument(
            "--as-of",
            metavar="T",
            help=MOMENT,
        )
        _add_json(parser)
    _add_replay(commands)


def _add_replay(commands: Commands) -> None:
    summary = "decide again what was decided, from the lake, and compare"
    parser = _command(commands, "replay", "replay.replay", summary)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("decision", nargs="?", metavar="DECISION", help="its id, from `optiond decisions`")
    which.add_argument("--since", metavar="T", help=f"all from there on: {MOMENT}")
    parser.add_argument("--until", metavar="T", help="with --since: up to there")
    parser.add_argument(
        "--rules", type=Path, metavar="FILE", help="what other rules would have decided on the same facts"
    )
    _add_json(parser)


def _add_why(actions: Commands) -> None:
    explain = _command(
        actions,
        "explain",
        "rules_explain.explain",
        "why each rule fires or not on a position, and how far off",
    )
    explain.add_argument("position", metavar="POSITION", help="its id, or `book` for the rules of the book")
    explain.add_argument("--rule", metavar="RULE", help="this rule only")
    explain.add_argument("--at", metavar="T", help=f"{MOMENT}; a decision's own id: as it was decided")
    explain.add_argument("--rules", type=Path, metavar="FILE", help="what another file would say")
    _add_json(explain)
    traces = _command(
        actions, "traces", "rules_traces.traces", "when something else became of a rule, near misses included"
    )
    traces.add_argument("rule", nargs="?", metavar="RULE", help="this rule only")
    traces.add_argument("--position", metavar="POSITION", help="this position only; `book`: the book")
    traces.add_argument("--near", action="store_true", help="near misses only")
    _add_json(traces)


def _add_rules(commands: Commands) -> None:
    rules = commands.add_parser("rules", help="check, test and try rules")
    actions = rules.add_subparsers(metavar="ACTION", required=True)
    _add_why(actions)
    check = _command(
        actions, "check", "rulebook.check", "all errors of a rules file at once, with line and column"
    )
    check.add_argument("file", nargs="?", type=Path, help="default: the rules of the home")
    check.add_argument("--strict", action="store_true", help="exit code 1 on warnings too")
    _add_json(check)
    decide = _command(
        actions, "decide", "rulebook.decide", "one JSON line of facts in, one JSON decision out"
    )
    decide.add_argument("facts", metavar="FACTS.jsonl", help="one JSON object per line, - for standard input")
    decide.add_argument("--rules", type=Path, metavar="FILE", help="default: the rules of the home")
    decide.add_argument("--state", type=Path, metavar="FILE", help="rule state to start from")
    decide.add_argument("--out-state", type=Path, metavar="FILE", help="where to write the rule state")
    _add_json(decide, "print JSON lines, as it always does")
    test = _command(actions, "test", "rules_test.test", "run the examples and the series of rules files")
    test.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="rules files, or *_test.yaml files (default: the rules of the home, and the tests beside them)",
    )
    _add_json(test)
    facts = _command(actions, "facts", "rules_facts.facts", "what rules may ask about, and what it is now")
    facts.add_argument("name", nargs="?", metavar="NAME", help="one fact, with all that is known of it")
    facts.add_argument("--position", metavar="POSITION", help="its values, as they were recorded last")
    _add_json(facts)
    schema = _command(actions, "schema", "rules_facts.schema", "JSON Schema of rules files, for editors")
    schema.add_argument("--tests", action="store_true", help="that of *_test.yaml files instead")
    _add_json(schema, "print JSON, as it always does")
    _add_rules_edit(actions)
    _add_rules_diff(actions)
    add_rules_in_force(actions, _command, _add_json)


def _add_rules_edit(actions: Commands) -> None:
    """One change of the rules file, everything else left as it is."""
    number = _command(actions, "set", "rules_edit.set_parameter", "change one number of a rule, in the file")
    number.add_argument("parameter", metavar="RULE.PARAM", help="such as take_profit.full")
    number.add_argument("value", metavar="VALUE", help="with its unit, as in the file")
    number.add_argument("--override", metavar="TARGET", help="the value for this structure, underlying, …")
    number.add_argument(
        "--move-examples",
        action="store_true",
        help="examples that do not hold any more move by as much as the number",
    )
    # Otherwise -250% is taken for an option.
    number._negative_number_matcher = re.compile(r"-\$?[\d.]")
    mode = _command(actions, "mode", "rules_edit.set_mode", "let a rule act, only decide, or rest")
    mode.add_argument("rule", metavar="RULE")
    mode.add_argument("mode", choices=("live", "shadow", "off"))
    mute = _command(actions, "mute", "rules_edit.mute", "let a rule leave something alone for a while")
    unmute = _command(actions, "unmute", "rules_edit.unmute", "let it act again")
    for parser in (mute, unmute):
        parser.add_argument("rule", metavar="RULE")
        parser.add_argument(
            "on", metavar="ON", help="an underlying, a structure, a strategy, a position, or book"
        )
    mute.add_argument(
        "--until",
        required=True,
        metavar="T",
        help="a day (its end in New York), or a time with its zone: 2026-03-20 15:30 America/New_York",
    )
    mute.add_argument("--reason", required=True, type=_reason, help="why; it stands in the file")
    for parser in (number, mode, mute, unmute):
        parser.add_argument("--file", type=Path, metavar="FILE", help="default: the rules of the home")
        _add_json(parser)


def _add_rules_diff(actions: Commands) -> None:
    summary = "what other rules would have done with all that was recorded, and what that would have brought"
    diff = _command(actions, "diff", "rules_diff.diff", summary)
    what = "a rules file, `current` (those in force), or a revision that the lake keeps"
    diff.add_argument("a", metavar="A", help=f"{what}; alone it is compared with those in force")
    diff.add_argument("b", metavar="B", nargs="?", help="the same")
    diff.add_argument(
        "--last",
        type=time_span,
        default="90d",
        metavar="SPAN",
        help="30m, 12h, 90d, 2w (default %(default)s)",
    )
    diff.add_argument("--since", metavar="T", help=f"from there on, instead of --last: {MOMENT}")
    diff.add_argument("--until", metavar="T", help="up to there")
    diff.add_argument("--html", type=Path, metavar="FILE", help="write a page that shows when each would act")
    _add_json(diff)


def _add_lake(commands: Commands) -> None:
    lake = commands.add_parser("lake", help="what the lake remembers")
    actions = lake.add_subparsers(metavar="ACTION", required=True)
    tables = _command(actions, "tables", "lake_reading.tables", "every table, its rows and newest version")
    tables.add_argument(
        "--describe",
        nargs="?",
        const="",
        metavar="TABLE",
        help="what the columns of one or all tables mean, instead",
    )
    _add_json(tables)
    as_of = _command(actions, "as-of", "lake_reading.as_of", "a table as it was at a moment")
    as_of.add_argument("as_of", metavar="T", help=MOMENT)
    as_of.add_argument("table", metavar="TABLE")
    as_of.add_argument("--current", action="store_true", help="only what was true then: the newest rows")
    _add_json(as_of, "print JSON, one row per line")
    sql = _command(actions, "sql", "lake_reading.sql", "a SELECT over all tables")
    sql.add_argument("query", metavar="QUERY")
    sql.add_argument("--as-of", metavar="T", help=MOMENT)
    form = sql.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON, one row per line")
    form.add_argument("--csv", action="store_true", help="print CSV, times in UTC")
    history = _command(actions, "history", "lake_reading.history", "all rows about one thing, oldest first")
    history.add_argument("table", metavar="TABLE")
    history.add_argument(
        "key", nargs="*", metavar="KEY", help="the thing: values of the table's key in order, or COLUMN=VALUE"
    )
    _add_json(history, "print JSON, one row per line")
    diff = _command(
        actions, "diff", "lake_reading.diff", "what was added, changed or gone between two moments"
    )
    diff.add_argument("before", metavar="T1", help=MOMENT)
    diff.add_argument("after", metavar="T2", help=MOMENT)
    diff.add_argument("table", metavar="TABLE")
    _add_json(diff, "print JSON, one row per line")
    _add_lake_care(actions)


def _add_lake_care(actions: Commands) -> None:
    verify = _command(
        actions, "verify", "lake_care.verify", "is everything there, once, and as promised? 1 when not"
    )
    verify.add_argument("--deep", action="store_true", help="read every value of every file as well")
    _add_json(verify)
    backup = _command(
        actions, "backup", "lake_care.backup", "copy the home, beside a running daemon or without"
    )
    backup.add_argument(
        "folder", type=_folder, metavar="FOLDER", help="new, or an earlier backup of this home"
    )
    restore = _command(actions, "restore", "lake_care.restore", "bring a backup into an empty home")
    restore.add_argument("folder", type=_folder, metavar="FOLDER", help="the backup")
    export = _command(actions, "export", "lake_care.export", "tables as Parquet or CSV, and what they mean")
    export.add_argument("folder", type=_folder, metavar="FOLDER", help="where to write one file per table")
    export.add_argument("--as-of", metavar="T", help=MOMENT)
    export.add_argument(
        "--table", action="append", metavar="TABLE", help="this one only; may be given several times"
    )
    export.add_argument("--csv", action="store_true", help="CSV instead of Parquet")
    imports = _command(
        actions, "import", "lake_care.import_", "bring in option snapshots of another program, each once"
    )
    imports.add_argument(
        "source",
        type=_folder,
        metavar="FOLDER",
        help="a Delta table, a folder of Parquet files, or one of them",
    )
    for parser in (backup, restore, export, imports):
        _add_json(parser)
    _add_upkeep(actions)


def _add_upkeep(actions: Commands) -> None:
    upkeep = _command(
        actions, "upkeep", "lake_upkeep.upkeep", "put small files together and remove what nothing needs"
    )
    upkeep.add_argument("--now", action="store_true", help="also within trading hours")
    _add_json(upkeep)


def _add_control(commands: Commands) -> None:
    _add_json(_command(commands, "status", "remote.status", "is the daemon well?"))
    breaker = _command(
        commands, "breaker", "brake.breaker", "the mode of trading, why, its journal and what would move it"
    )
    breaker.add_argument(
        "--last", type=_count, default=10, metavar="N", help="how many entries to show (default 10)"
    )
    _add_json(breaker)
    for name, summary in (
        ("halt", "stop trading: cancel working orders, open nothing, keep protecting"),
        ("reset", "let it trade again: on trial first, one entry at a time"),
        ("resume", "the same as reset"),
    ):
        parser = _command(commands, name, f"brake.{name}", summary)
        parser.add_argument("--reason", type=_reason, default="by hand", help="why; it is recorded")
        _add_json(parser)
        if name == "halt":
            parser.add_argument(
                "--freeze", action="store_true", help="send nothing at all, not even closings"
            )
    _add_json(
        _command(
            commands, "doctor", "remote.doctor", "look at everything that may be wrong, and say what to do"
        )
    )
    install = _command(commands, "install", "remote.install", "write the systemd units of this home")
    install.add_argument("--system", action="store_true", help="for the machine, not the user")
    install.add_argument("--folder", type=_folder, metavar="DIR", help="where to write the units")


def _folder(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is not a count")
    return value


_positive.__name__ = "number"  # what argparse calls it when it cannot be read


def _reason(text: str) -> str:
    if not 1 <= len(text.strip()) <= 500:
        raise argparse.ArgumentTypeError("a reason has 1 to 500 characters")
    return text.strip()


def run(arguments: argparse.Namespace) -> int:
    """`optiond run`."""
    from daemon.run import run_daemon

    return asyncio.run(
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

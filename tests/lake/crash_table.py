"""`python -m tests.lake.crash_table` kills writers, cuts the power and writes a table of docs/lake-faults.md.

Every step of every course, 300 kills at random moments or before random changes of files, 300 power cuts;
half an hour of one core. `--tables all` writes all tables of the daemon instead of three and takes four
times as long; the random kills of a home write all of them anyway. `--part N/M` runs only every M-th of the
runs and appends to the file of `--outcomes`, from which `--write` makes the table.
"""

import argparse
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.lake.crash_runs import (
    COURSES,
    Outcome,
    change_kills,
    power_cuts,
    random_kills,
    record,
    step_kills,
)
from tests.lake.kills import ROOT
from tests.lake.scribe import ALL, FEW
from tests.lake.tape import Loss, library

PAGE = ROOT / "docs" / "lake-faults.md"
MARKS = re.compile(r"(<!-- crashes -->\n).*?(<!-- end of crashes -->)", re.DOTALL)
HEAD = "| killed | times | rows lost | rows doubled | unreadable |\n| --- | --- | --- | --- | --- |\n"


def runs(folder: Path, every_table: bool) -> Iterator[Iterator[tuple[str, Outcome]]]:
    """Every run, each giving its outcomes with the line of the table that they belong to."""
    layer = library(folder)
    tables = ALL if every_table else FEW
    for n, course in enumerate(COURSES):
        yield _steps(step_kills(folder / f"step{n}", course, tables, lambda points: points))
        yield _lines("before a change of a file", change_kills(folder / f"change{n}", layer, n, 20, course))
        yield _cuts(folder / f"cut{n}", layer, n)
    for n in range(8):
        home = folder / f"random{n}"
        yield _lines("at any moment", random_kills(home, n, 10, ALL))
    for n in range(8):
        home = folder / f"upkeep{n}"
        yield _lines("at any moment, upkeep beside", random_kills(home, n, 10, FEW, ("flush", "upkeep")))


def _steps(outcomes: Iterator[Outcome]) -> Iterator[tuple[str, Outcome]]:
    for outcome in outcomes:
        step = outcome.where.partition(": ")[2].partition(":")[0]
        yield f"at `{re.sub('^flush.table..*', 'flush.table.*', step)}`", outcome


def _lines(line: str, outcomes: Iterator[Outcome]) -> Iterator[tuple[str, Outcome]]:
    for outcome in outcomes:
        detail = outcome.where.partition(": ")[2] or outcome.where
        yield f"{line}: {detail}", outcome


def _cuts(folder: Path, layer: Path, seed: int) -> Iterator[tuple[str, Outcome]]:
    tape = record(folder / "tape", layer, COURSES[seed])
    for loss in Loss:
        for outcome in power_cuts(folder, tape, seed, 9, [loss]):
            yield f"the power is cut; of what was not synced: {loss.value}", outcome


def table(outcomes: list[dict[str, object]]) -> str:
    """The table as Markdown, and its sum."""
    lines: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for outcome in outcomes:
        numbers = [1, outcome["lost"], outcome["doubled"], bool(outcome["unreadable"])]
        for key in (str(outcome["line"]), "power cuts" if "power" in str(outcome["line"]) else "kills"):
            lines[key] = [have + int(str(int(new))) for have, new in zip(lines[key], numbers, strict=True)]  # type: ignore[call-overload]
    sums = [
        f"| **all {name}** | " + " | ".join(map(str, lines.pop(name))) + " |"
        for name in ("kills", "power cuts")
    ]
    rest = [f"| {name} | " + " | ".join(map(str, lines[name])) + " |" for name in sorted(lines)]
    return HEAD + "\n".join([*rest, *sums]) + "\n"


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tables", choices=("few", "all"), default="few")
    parser.add_argument("--part", default="0/1")
    parser.add_argument("--outcomes", type=Path)
    parser.add_argument("--write", action="store_true", help="run nothing, make the table of the outcomes")
    asked = parser.parse_args()
    number, parts = map(int, asked.part.split("/"))
    with tempfile.TemporaryDirectory() as name:
        outcomes = asked.outcomes or Path(name) / "outcomes"
        if not asked.write:
            _run(Path(name), asked.tables == "all", number, parts, outcomes)
        if asked.write or not asked.outcomes:
            made = table([json.loads(line) for line in outcomes.read_text().splitlines()])
            PAGE.write_text(MARKS.sub(rf"\g<1>{made}\g<2>", PAGE.read_text()))
            print(made)


def _run(folder: Path, every_table: bool, number: int, parts: int, outcomes: Path) -> None:
    for n, run in enumerate(runs(folder, every_table)):
        if n % parts != number:
            continue
        for line, outcome in run:
            verdict = outcome.verdict
            row = {
                "line": line,
                "where": outcome.where,
                "lost": verdict.lost,
                "doubled": verdict.doubled,
                "unreadable": verdict.unreadable,
            }
            with outcomes.open("a") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()

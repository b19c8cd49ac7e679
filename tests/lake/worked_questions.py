"""The lake that docs/time-travel.md asks, and the page with its answers as they are today.

`python -m tests.lake.worked_questions` runs every block of the page, in order and in one namespace, on a
lake that a demo makes of the recorded quotes of the account's legs, and writes the answers anew.
"""

import io
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from daemon.cli import main as optiond
from tests.conftest import RECORDED

PAGE = Path(__file__).parents[2] / "docs" / "time-travel.md"
RULES = Path(__file__).with_name("worked_rules.yaml")
SPAN = datetime(2026, 2, 2, 20, 30, tzinfo=UTC), datetime(2026, 2, 3, 17, tzinfo=UTC)

_LEG = ["symbol", "expiry", "right", "strike"]
_BLOCK = re.compile(r"```(python|console)\n(.*?)```\n(?:\n```text\n.*?```\n)?", re.DOTALL)


def make_lake(folder: Path, recorded: Path = RECORDED) -> Path:
    """The home of a demo on the last half hour of one recorded day and the morning of the next."""
    held, quotes = recorded / "ibkr_account_positions.csv", folder / "quotes.parquet"
    legs = pl.read_csv(held, try_parse_dates=True).select(_LEG)
    seen = pl.read_parquet(recorded / "ibkr_option_snapshots.parquet").join(legs, on=_LEG, how="semi")
    seen.filter(pl.col("timestamp").is_between(*SPAN)).write_parquet(quotes)
    home = folder / "home"
    words = ("demo", "--replay", quotes, "--positions", held, "--rules", RULES, "--home", home)
    done = subprocess.run(
        [sys.executable, "-m", "daemon.cli", *map(str, words), "--no-page", "--speed", "100000"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return home


def answered(page: str, home: Path) -> str:
    """The page with the answers that its blocks give on this home."""
    names: dict[str, object] = {"home": home}
    with pl.Config():
        return _BLOCK.sub(lambda block: _answered(block[1], block[2], home, names), page)


def _answered(language: str, code: str, home: Path, names: dict[str, object]) -> str:
    if language == "python":
        told = _printed(lambda: exec(compile(code, PAGE.name, "exec"), names))
        block = f"```python\n{code}```\n"
        return f"{block}\n```text\n{told}```\n" if told else block
    commands = [line for line in code.splitlines() if line.startswith("$ ")]
    return "```console\n" + "\n".join(f"{line}\n{_command(line, home)}" for line in commands) + "```\n"


def _command(line: str, home: Path) -> str:
    words = shlex.split(line.removeprefix("$ optiond "))
    return _printed(lambda: optiond([*words, "--home", str(home)]))


def _printed(work: Callable[[], object]) -> str:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")
    with redirect_stdout(out):
        work()
    out.flush()
    text = out.buffer.getvalue().decode()
    return "".join(f"{row.rstrip()}\n" for row in text.splitlines())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        PAGE.write_text(answered(PAGE.read_text(encoding="utf-8"), make_lake(Path(made))), encoding="utf-8")

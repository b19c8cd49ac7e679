"""The first chapter of docs/rules.md, run: its files, its commands, and the answers as they are today.

`python -m tests.rules.worked_example` writes the answers of the page anew. In the order of the page:

- a block of YAML that begins with `# NAME.yaml` is that file from then on;
- a diff that begins so changes that file: lines with `-` become those with `+`;
- in a console block each `$ optiond …` is run and answered; `$ cat NAME` of a file that is not there yet
  makes it of the lines below;
- `<!-- run: optiond … -->` is run and not shown; `<!-- market -->` writes a small recording of quotes.

Other blocks are left as they are.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import rules
from daemon.cli import main as optiond
from tests.daemon.conftest import Story, write_market

PAGE = Path(__file__).parents[2] / "docs" / "rules.md"
# A condor that has earned a third of its credit after two minutes, and nearly half of it after seven.
STORY = Story(minutes=12, profit_after_s=120, left=0.66, course=((420, 0.55),))

_CHAPTER = re.compile(r"(?ms)(^## From an idea to a live rule$.*?)(?=^## )")
_STEP = re.compile(
    r"```yaml\n# (?P<name>\w+\.yaml)\n(?P<yaml>.*?)```\n"
    r"|```diff\n# (?P<changed>\w+\.yaml)\n(?P<diff>.*?)```\n"
    r"|```console\n(?P<console>.*?)```\n"
    r"|<!-- run: (?P<run>.*?) -->\n"
    r"|<!-- (?P<market>market) -->\n",
    re.DOTALL,
)


def answered(page: str, folder: Path) -> str:
    """The page with the answers that its commands give in this folder, which is empty before."""
    shutil.copy(rules.default_rules_path(), folder / "twelve.yaml")
    before, chapter, after = _CHAPTER.split(page)
    with contextlib.chdir(folder), _home(folder):
        return before + _STEP.sub(_taken, chapter) + after


@contextlib.contextmanager
def _home(folder: Path) -> Iterator[None]:
    before = os.environ.get("OPTIOND_HOME")
    os.environ["OPTIOND_HOME"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("OPTIOND_HOME")
        if before is not None:
            os.environ["OPTIOND_HOME"] = before


def _taken(step: re.Match[str]) -> str:
    if step["name"]:
        Path(step["name"]).write_text(f"# {step['name']}\n{step['yaml']}", encoding="utf-8")
    elif step["changed"]:
        _change(Path(step["changed"]), step["diff"].splitlines())
    elif step["market"]:
        write_market(Path(), STORY)
    elif step["run"]:
        words = step["run"].removeprefix("optiond ").split()
        subprocess.run(
            [sys.executable, "-m", "daemon.cli", *words], check=True, capture_output=True, timeout=120
        )
    else:
        return f"```console\n{''.join(_answers(step['console']))}```\n"
    return step[0]


def _change(file: Path, diff: list[str]) -> None:
    before, after = ("".join(f"{line[1:]}\n" for line in diff if line[0] in signs) for signs in (" -", " +"))
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1, before
    file.write_text(text.replace(before, after), encoding="utf-8")


def _answers(console: str) -> Iterator[str]:
    for part in re.split(r"^(?=\$ )", console, flags=re.MULTILINE)[1:]:
        command, _, below = part.partition("\n")
        words = shlex.split(command.removeprefix("$ "))
        if words[0] == "cat":
            file = Path(words[1])
            if not file.exists():
                file.write_text(below, encoding="utf-8")
            yield f"{command}\n{file.read_text(encoding='utf-8')}"
        elif words[0] == "optiond":
            yield f"{command}\n{_told(words[1:])}"
        else:
            yield part


def _told(words: list[str]) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        optiond(words)
    # A version counts commits, of which the page says nothing.
    text = re.sub(r" \(version \d+\)", "", out.getvalue())
    return "".join(f"{row.rstrip()}\n" for row in text.splitlines())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        PAGE.write_text(answered(PAGE.read_text(encoding="utf-8"), Path(made)), encoding="utf-8")

"""The example of docs/rules.md, section "Why did it (not) fire?", run on a small recorded market.

`python -m tests.daemon.why_docs` writes the answers anew.
"""

import io
import re
import shlex
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

from daemon.cli import main as optiond
from tests.daemon.conftest import Story, write_market

PAGE = Path(__file__).parents[2] / "docs" / "rules.md"
# Half is taken at 55 % of the credit; later the rest comes near to 80 %, and away from it again.
STORY = Story(minutes=12, profit_after_s=60, left=0.45, course=((300, 0.24), (480, 0.36)))
POSITION = "XYZ-20260417-iron_condor-619965"
COMMANDS = (
    f'optiond rules explain {POSITION} --at "2026-03-02 15:07" --rule take_profit',
    f'optiond rules explain {POSITION} --at "2026-03-02 15:07" --rule delta_risk',
    "optiond rules traces take_profit",
    "optiond rules traces --near",
)
_BLOCK = re.compile(r"(<!-- generated: why-not -->\n).*?(<!-- end -->)", re.DOTALL)


def answered(page: str, folder: Path) -> str:
    """The page with what the commands say after that market was traded in this folder."""
    quotes, positions = write_market(folder, STORY)
    home = folder / "home"
    inputs = ("--replay", str(quotes), "--positions", str(positions), "--home", str(home), "--no-page")
    demo = [sys.executable, "-m", "daemon.cli", "demo", *inputs, "--speed", "100000"]
    subprocess.run(demo, check=True, capture_output=True, timeout=120)
    lines = []
    for command in COMMANDS:
        told = io.StringIO()
        with redirect_stdout(told):
            optiond([*shlex.split(command)[1:], "--home", str(home)])
        # A version counts commits, of which the page says nothing.
        lines += [f"$ {command}", *re.sub(r" \(version \d+\)", "", told.getvalue()).splitlines()]
    shown = "\n".join(line.rstrip() for line in lines)
    return _BLOCK.sub(rf"\g<1>```console\n{shown}\n```\n\g<2>", page)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        PAGE.write_text(answered(PAGE.read_text(encoding="utf-8"), Path(made)), encoding="utf-8")

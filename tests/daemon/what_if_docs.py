"""The example of docs/rules.md, section "What would it have done?": its commands, run on a made past.

`python -m tests.daemon.what_if_docs` writes the answers, and the picture, anew.
"""

import io
import os
import re
import shlex
import shutil
import tempfile
from contextlib import chdir, redirect_stdout
from pathlib import Path

from daemon.cli import main as optiond
from rules import default_rules_path
from tests.conftest import RECORDED
from tests.daemon.made_past import make_past

PAGE = Path(__file__).parents[2] / "docs" / "rules.md"
PICTURE = PAGE.with_name("what-if.png")
COMMANDS = (
    "cp rules.yaml later.yaml",
    "optiond rules set dte_roll.start 14d --move-examples --file later.yaml",
    "optiond rules diff later.yaml --html later.html",
)
_BLOCK = re.compile(r"(<!-- generated: what-if -->\n).*?(<!-- end -->)", re.DOTALL)


def answered(page: str, home: Path) -> str:
    """The page with what the commands say, on this home, in its folder."""
    shutil.copy(default_rules_path(), home / "rules.yaml")
    lines = []
    with chdir(home):
        for command in COMMANDS:
            lines += [f"$ {command}", *_said(shlex.split(command), home)]
    block = "\n".join(["```console", *lines, "```"])
    return _BLOCK.sub(lambda found: f"{found[1]}{block}\n{found[2]}", page)


def _said(words: list[str], home: Path) -> list[str]:
    if words[0] == "cp":
        shutil.copy(words[1], words[2])
        return []
    out = io.StringIO()
    with redirect_stdout(out):
        assert optiond([*words[1:], "--home", str(home)]) == 0
    return out.getvalue().splitlines()


def draw(page: Path, picture: Path) -> None:
    """A picture of the page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        window = browser.new_page(viewport={"width": 1060, "height": 800})
        window.goto(page.as_uri())
        window.screenshot(path=picture, full_page=True)
        browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        folder = Path(os.path.realpath(made)) / "home"
        make_past(folder, RECORDED)
        PAGE.write_text(answered(PAGE.read_text(encoding="utf-8"), folder), encoding="utf-8")
        draw(folder / "later.html", PICTURE)

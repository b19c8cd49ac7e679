"""The page about practice trading says what is so."""

import asyncio
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from broker.gateway import main as program
from broker.gateway.main import read_arguments

PAGE = (Path(__file__).parents[2] / "docs" / "practice.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


async def test_the_example_of_the_page_buys_a_put(open_bench):
    (example,) = blocks("python")
    async with open_bench("--speed", "10") as bench:
        assert ", 4002," in example
        run = await _run(example.replace(", 4002,", f", {bench.port},"))
    quote, trade = run.splitlines()
    bid, ask, delta = map(float, quote.split())
    assert 0 < bid < ask
    assert -1 < delta < 0
    assert trade == f"Filled [{ask}]"


async def _run(script):
    """What a script prints that ends well."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode == 0, err.decode()
    return out.decode()


LINES = [line for block in blocks("console") for line in block.splitlines()]


async def test_the_commands_of_the_page_are_obeyed(open_bench):
    commands = [json.loads(line) for line in LINES if line.startswith("{")]
    assert commands[-1] == {"cmd": "shutdown"}
    async with open_bench("--market", "script") as bench:
        for command in commands:
            await bench.tell(**command)
        assert bench.gateway.stop.is_set()


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("$ optiond gateway")])
def test_the_command_lines_of_the_page_are_understood(line, capsys):
    words = shlex.split(line)[3:]
    if words[0] == "--speed":
        assert read_arguments(words).speed == 60
    else:
        assert program(words) == 2
        assert "today.rec cannot be read" in capsys.readouterr().err

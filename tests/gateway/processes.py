"""The gateway as a program of its own, which has ended when its test has, also a test that failed."""

import json
import subprocess
import sys
from contextlib import contextmanager

FREE = ("--port", "0", "--control-port", "0")


@contextmanager
def running(*words, before=(), stderr=subprocess.DEVNULL, environment=None):
    """`python -m broker.gateway` with these words: the process and its ready line. `before`: the command that
    starts it."""
    command = [*before, sys.executable, "-m", "broker.gateway", *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment
    ) as program:
        try:
            yield program, json.loads(program.stdout.readline())
        finally:
            program.kill()

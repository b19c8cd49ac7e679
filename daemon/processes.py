"""The daemon's child processes: the embedded simulated gateway and the page."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.settings import Settings
from options import BrokerError, SettingsError

READY_WITHIN_S = 20.0
PORT_SETTINGS = {"--control-port": "broker.control_port", "--port": "broker.port"}
STOP_WITHIN_S = 2.0


@dataclass(slots=True)
class Child:
    """A running child with its log file; `stop` is a polite request, then a kill."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    async def stop(self) -> None:
        if not self.alive:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), STOP_WITHIN_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()


async def start_child(name: str, arguments: Sequence[str], log: Path, stdout: int) -> Child:
    """Start `python -m ...` in a session of its own, so that Ctrl-C reaches the daemon first."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *arguments,
            stdin=subprocess.DEVNULL,
            stdout=stdout if stdout != subprocess.STDOUT else sink,
            stderr=sink,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    return Child(name, process, log)


@dataclass(frozen=True, slots=True)
class GatewayPorts:
    port: int
    control_port: int


def _gateway_state(home: Path, market: str) -> Path:
    """Where the embedded gateway keeps its account; raises SettingsError beside one of an earlier version."""
    earlier = home / "gateway" / f"{market}.json"
    if earlier.exists():
        raise SettingsError(
            f"{earlier} holds the gateway's account in the form of an earlier version, which cannot be read:"
            " move it away to start anew"
        )
    return home / "gateway" / f"{market}.sqlite"


async def start_gateway(home: Path, settings: Settings) -> tuple[Child, GatewayPorts]:
    """The embedded gateway with the settings' market, ready to be connected to.

    Raises SettingsError with the gateway's own words when its input is wrong.
    """
    simulation = settings.simulation
    arguments = ["broker.gateway", "--market", simulation.market, "--speed", str(simulation.speed)]
    arguments += ["--port", str(settings.broker.port), "--control-port", str(settings.broker.control_port)]
    arguments += [
        "--seed",
        str(simulation.seed),
        "--state",
        str(_gateway_state(home, simulation.market)),
    ]
    arguments += ["--home", str(home), "--lines", "100"]
    if simulation.market == "model":
        # Four quotes a second are what an eye can follow; at high speed more would only cost.
        arguments += ["--quote-every", str(min(30, max(1, round(simulation.speed / 4))))]
        arguments += ["--scenario", simulation.scenario]
    given = {
        "--quotes": simulation.quotes,
        "--positions": simulation.positions,
        "--faults": simulation.faults,
    }
    for option, value in given.items():
        if value is not None:
            arguments += [option, str(value)]
    log = home / "logs" / "gateway.log"
    before = log.stat().st_size if log.exists() else 0
    child = await start_child("gateway", arguments, log, asyncio.subprocess.PIPE)
    assert child.process.stdout is not None
    try:
        line = await asyncio.wait_for(child.process.stdout.readline(), READY_WITHIN_S)
    except TimeoutError:
        await child.stop()
        raise BrokerError(
            f"the simulated gateway was not ready in {READY_WITHIN_S:.0f} s; see {log}"
        ) from None
    if not line:
        await child.process.wait()
        with log.open("rb") as words:
            words.seek(before)
            said = words.read().decode(errors="replace").strip().splitlines()
        raise SettingsError(_why_not_started(said, log))
    ready = json.loads(line)
    return child, GatewayPorts(ready["port"], ready["control_port"])


def _why_not_started(said: Sequence[str], log: Path) -> str:
    """The gateway's last words, with the settings that its options come from."""
    last = said[-1] if said else ""
    if not last.startswith("gateway: "):
        return f"the simulated gateway did not start ({last or 'it said nothing'}); see {log}"
    for option, setting in PORT_SETTINGS.items():
        last = last.replace(f"with {option}", f"with {setting} in the settings")
    return last.removeprefix("gateway: ")


async def start_page(home: Path, settings: Settings, control_port: int) -> Child:
    """The page as a process of its own."""
    arguments = ["dashboard", "--home", str(home), "--host", settings.page.host]
    arguments += ["--port", str(settings.page.port)]
    arguments += ["--control-url", f"http://{settings.control.host}:{control_port}"]
    return await start_child("page", arguments, home / "logs" / "page.log", subprocess.STDOUT)

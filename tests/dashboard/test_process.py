"""The page as a process of its own."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from dashboard import main


def start(home: Path, port: int, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dashboard", "--home", str(home), "--port", str(port)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )


def test_it_serves_says_where_and_ends_cleanly_when_asked(tmp_path: Path) -> None:
    page = start(tmp_path, 0)
    assert page.stdout is not None
    started = page.stdout.readline()
    address = "http" + started.split("http", 1)[1].strip().split("\x1b")[0]
    assert "optiond" in httpx.get(address, trust_env=False).text
    page.send_signal(signal.SIGTERM)
    _, errors = page.communicate(timeout=5)
    assert page.returncode == 0
    assert errors == ""


def test_a_port_in_use_is_one_clear_line_and_exit_code_two(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        page = start(tmp_path, port)
        _, errors = page.communicate(timeout=20)
    assert page.returncode == 2
    assert errors.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in errors


def test_an_impossible_port_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--home", str(tmp_path), "--port", "99999"]) == 2
    assert "choose another with --port" in capsys.readouterr().err


def test_systemd_is_told_when_it_is_ready_alive_and_stopping(tmp_path: Path) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(20)
        page = start(tmp_path, 0, {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "400000"})
        told = [systemd.recv(100) for _ in range(3)]
        page.send_signal(signal.SIGTERM)
        while told[-1] != b"STOPPING=1":
            told.append(systemd.recv(100))
        page.communicate(timeout=5)
    assert told[:3] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
    assert page.returncode == 0

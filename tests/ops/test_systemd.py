"""sd_notify against a real datagram socket."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.systemd import notify, watchdog_interval_s


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiving:
        receiving.settimeout(5)
        yield receiving


def test_systemd_hears_every_assignment(
    listener: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

    assert notify("READY=1", "STATUS=trading account DU1")
    assert listener.recv(4096) == b"READY=1\nSTATUS=trading account DU1"


def test_an_abstract_socket_is_understood(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    listener.bind("")  # Linux chooses a free abstract name
    name = listener.getsockname().decode()
    monkeypatch.setenv("NOTIFY_SOCKET", "@" + name[1:])

    assert notify("WATCHDOG=1")
    assert listener.recv(4096) == b"WATCHDOG=1"


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")


def test_a_socket_that_is_gone_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert not notify("READY=1")


@pytest.mark.parametrize(("patience", "interval_s"), [("60000000", 30.0), ("", None), ("soon", None)])
def test_the_watchdog_is_patted_twice_within_its_patience(
    patience: str, interval_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", patience)
    assert watchdog_interval_s() == interval_s

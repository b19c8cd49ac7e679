"""The page's process: command line, web server, shutdown."""

import argparse
import logging
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import structlog
from dash import Dash
from werkzeug.serving import ThreadedWSGIServer

from dashboard import callbacks, layout, rules_desk, rules_gate, why
from dashboard.control import Control
from dashboard.sight import Watch
from ops.systemd import notify, watchdog_interval_s
from options import SettingsError

log = structlog.get_logger()


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the page until SIGTERM or SIGINT. Exit code 2 when it cannot listen."""
    asked = _arguments(argv)
    try:
        listener = _listen(asked.host, asked.port)
    except SettingsError as error:
        sys.stderr.write(f"optiond page: {error}\n")
        return 2
    with listener:
        app = create_app(asked.home, asked.control_url, asked.title)
        _serve(app, listener)
    return 0


def create_app(home: Path, control_url: str, title: str) -> Dash:
    """The page over the lake in `home` and the daemon at `control_url`. Everything is served locally."""
    app = Dash(
        "dashboard",
        title=title,
        update_title="",
        serve_locally=True,
        compress=False,
        meta_tags=[
            {"name": "viewport", "content": "width=device-width, initial-scale=1"},
            {"name": "color-scheme", "content": "light dark"},
        ],
    )
    control = Control(control_url)
    app.layout = layout.page(title)
    watch = Watch(home, control, lambda: datetime.now(UTC))
    callbacks.register(app, watch, control)
    why.register(app, watch, control)
    rules_desk.register(app, control)
    rules_gate.register(app, watch, control)
    return app


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="optiond page", description="The page of an optiond installation.")
    parser.add_argument("--home", type=Path, required=True, help="home folder of the installation")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=8050, help="port to listen on (default %(default)s)")
    parser.add_argument(
        "--control-url",
        default="http://127.0.0.1:8051",
        help="where the daemon's control API is (default %(default)s)",
    )
    parser.add_argument("--title", default="optiond", help="name shown on the page (default %(default)s)")
    return parser.parse_args(argv)


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket; raises SettingsError when the address cannot be used."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        why = getattr(error, "strerror", None) or error
        raise SettingsError(
            f"cannot listen on {host}:{port}: {why}; stop what uses it or choose another with --port"
        ) from error
    return listener


class _Server(ThreadedWSGIServer):
    """Tells systemd's watchdog from the very loop that accepts requests that it still turns."""

    _told = 0.0
    _tell_every_s = watchdog_interval_s()

    def service_actions(self) -> None:
        super().service_actions()
        if self._tell_every_s is not None and monotonic() - self._told >= self._tell_every_s:
            self._told = monotonic()
            notify("WATCHDOG=1")


def _serve(app: Dash, listener: socket.socket) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    host, port = listener.getsockname()[:2]
    server = _Server(host, port, app.server, fd=listener.fileno())

    def stop(_signal: int, _frame: object) -> None:
        threading.Thread(target=server.shutdown, name="shutdown").start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    log.info("page.started", url=f"http://{host}:{port}")
    notify("READY=1")
    server.serve_forever(poll_interval=0.1)
    notify("STOPPING=1")
    server.server_close()
    log.info("page.stopped")

"""The control API on loopback: is it well, stop it, let it go on; and /metrics.

What only looks (/status, /metrics) is open to this machine; what acts needs the token that lies in the
home, readable by the owner only.
"""

import asyncio
import contextlib
import hmac
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Protocol

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel, Field

from options import LakeError, SettingsError
from rules.breaker import Event
from trading.breaker import Entry

Status = Callable[[], dict[str, Any]]
Brake = Callable[[Event, str, str], Awaitable[Entry]]
"""Takes a human's event, the reason and the actor; gives the breaker's entry that came of it."""


class Order(BaseModel):
    """Who stops or resets, and why."""

    reason: str = Field(min_length=1, max_length=500)
    actor: str = Field(min_length=1, max_length=100)


class HaltOrder(Order):
    """`freeze` also stops protective closing."""

    freeze: bool = False


class UpkeepOrder(BaseModel):
    """`now`: also within trading hours."""

    now: bool = False


class Upkeep(Protocol):
    """Who has the lake's upkeep done."""

    def ask(self, whatever_the_hour: bool) -> None:
        """Have it done. Raises SettingsError, saying why, when it may not be."""

    def status(self) -> dict[str, Any]: ...


def owner_token(home: Path) -> str:
    """The token of this home, made on first use with mode 0600."""
    path = home / "control.token"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24))
    return path.read_text().strip()


def control_app(
    token: str,
    status: Status,
    brake: Brake,
    upkeep: Upkeep,
    registry: CollectorRegistry,
    *rules: Callable[[Callable[..., None]], APIRouter],
) -> FastAPI:
    """The API over what the daemon can be asked. `rules`: routes about rules, for an owner."""
    app = FastAPI(title="optiond control", docs_url=None, redoc_url=None)

    def owner(authorization: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode()):
            raise HTTPException(401, "wrong or missing token; it lies in control.token in the home")

    @app.exception_handler(LakeError)
    async def not_written(request: Request, error: LakeError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 503)

    @app.get("/status")
    async def read_status() -> dict[str, Any]:
        return status()

    @app.post("/halt", dependencies=[Depends(owner)])
    async def halt(order: HaltOrder) -> dict[str, str]:
        event = Event.HUMAN_FREEZE if order.freeze else Event.HUMAN_HALT
        return _answer(await brake(event, order.reason, order.actor))

    @app.post("/reset", dependencies=[Depends(owner)])
    @app.post("/resume", dependencies=[Depends(owner)])
    async def reset(order: Order) -> dict[str, str]:
        return _answer(await brake(Event.HUMAN_RESET, order.reason, order.actor))

    @app.post("/lake/upkeep", dependencies=[Depends(owner)])
    async def keep_up(order: UpkeepOrder) -> dict[str, Any]:
        try:
            upkeep.ask(order.now)
        except SettingsError as error:
            raise HTTPException(409, str(error)) from error
        return upkeep.status()

    @app.get("/lake/upkeep")
    async def read_upkeep() -> dict[str, Any]:
        return upkeep.status()

    for routes in rules:
        app.include_router(routes(owner))

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return app


def _answer(entry: Entry) -> dict[str, str]:
    return {"state": entry.mode.value, "said": entry.said}


def bind(host: str, port: int, setting: str = "control.port") -> socket.socket:
    """A listening socket; raises SettingsError, naming the `setting` it came from, when it is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"{host}:{port} cannot be used ({error.strerror}); stop the program that holds it, "
            f"or set {setting}"
        ) from error
    return listener


class _QuietServer(uvicorn.Server):
    """Signals belong to the daemon, not to its web server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: FastAPI, listener: socket.socket) -> AsyncIterator[None]:
    """Serve `app` on `listener` for as long as the block runs."""
    server = _QuietServer(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve(sockets=[listener]), name="control-api")
    try:
        yield
    finally:
        server.should_exit = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(task, timeout=2)
        listener.close()

"""The daemon's control API as the page sees it."""

from datetime import datetime
from typing import Literal

import httpx
from pydantic import BaseModel, ValidationError

from options import OptiondError

TIMEOUT_S = 1.5


class DaemonSilent(OptiondError):
    """The daemon did not answer, or not in a way we understand."""


class HaltRefused(OptiondError):
    """The daemon answered a halt or a resume with a refusal."""


class Connection(BaseModel):
    state: Literal["up", "down", "connecting", "lost"]
    since: datetime | None = None
    attempts: int | None = None
    host: str = ""
    port: int | None = None
    simulated: bool | None = None


class Lines(BaseModel):
    used: int
    budget: int


class Beat(BaseModel):
    count: int
    last_ms: float | None = None
    p99_ms: float | None = None


class Step(BaseModel):
    table: str
    action: str
    done: int
    total: int


class Outcome(BaseModel):
    error: str | None = None


class Upkeep(BaseModel):
    running: bool
    step: Step | None = None
    last: datetime | None = None
    outcome: Outcome | None = None


class LakeState(BaseModel):
    """`pressure`: why entries are stopped, by cause. None: the daemon does not say."""

    seq: int
    unflushed_rows: int
    last_flush: datetime | None = None
    flush_age_s: float | None = None
    flush_error: str | None = None
    entries_stopped: bool = False
    entries_stopped_since: datetime | None = None
    pressure: dict[str, str] = {}
    files: int | None = None
    small_files: int | None = None
    upkeep: Upkeep | None = None


class Rules(BaseModel):
    revision: str
    path: str = ""
    error: str | None = None


class Breaker(BaseModel):
    state: str
    reason: str | None = None
    actor: str | None = None
    since: datetime | None = None


class Status(BaseModel):
    """One answer of `GET /status`. `time` is the daemon's clock; None is unknown."""

    time: datetime
    account: str | None = None
    connection: Connection
    lines: Lines
    data_age_s: float | None = None
    beat: Beat
    lake: LakeState
    rules: Rules
    breaker: Breaker
    alerts: int | None = None
    open_intents: int | None = None


class Control:
    """Speaks to the control API at `url`; no call waits longer than `TIMEOUT_S` for an answer."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(timeout=TIMEOUT_S, trust_env=False)

    def status(self) -> Status:
        """What the daemon says of itself; raises DaemonSilent."""
        answer = self._send(self._http.build_request("GET", f"{self.url}/status"))
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise DaemonSilent(f"{self.url}/status asks for a token, which this page never reads")
        if answer.status_code != httpx.codes.OK:
            raise DaemonSilent(f"{self.url}/status answered {answer.status_code} {answer.reason_phrase}")
        try:
            return Status.model_validate_json(answer.content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise DaemonSilent(f"{self.url}/status is not understood: {place}: {first['msg']}") from error

    def switch(self, action: Literal["halt", "resume"], reason: str, token: str) -> None:
        """Halt or resume trading; raises HaltRefused (wrong token, other refusal) and DaemonSilent."""
        if not (token.isascii() and token.isprintable()):
            raise HaltRefused(_WRONG_TOKEN)
        answer = self._send(
            self._http.build_request(
                "POST",
                f"{self.url}/{action}",
                json={"reason": reason, "actor": "page"},
                headers={"Authorization": f"Bearer {token}"},
            )
        )
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise HaltRefused(_WRONG_TOKEN)
        if not answer.is_success:
            raise HaltRefused(f"The daemon refused to {action}: {answer.status_code} {answer.text[:200]}")

    def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            return self._http.send(request)
        except httpx.TimeoutException as error:
            raise DaemonSilent(f"no answer from {self.url} within {TIMEOUT_S:g} s") from error
        except httpx.TransportError as error:
            raise DaemonSilent(f"nothing answers at {self.url}: {error}") from error


_WRONG_TOKEN = "Wrong token. It is the content of control.token in the home folder of the daemon."

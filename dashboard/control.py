"""The daemon's control API as the page sees it."""

from datetime import datetime
from typing import Any, Literal

import httpx
from pydantic import BaseModel, ValidationError

from options import OptiondError

TIMEOUT_S = 1.5
CHANGE_WITHIN_S = 10.0
"""A change of the rules file is checked, and waits for the disk."""


class DaemonSilent(OptiondError):
    """The daemon did not answer, or not in a way we understand."""


class HaltRefused(OptiondError):
    """The daemon answered a halt or a resume with a refusal."""


class ChangeRefused(OptiondError):
    """The daemon did not change the rules file; the message says why, over several lines."""


class Connection(BaseModel):
    """`breaker` is the connection's own, None: the daemon does not say. `blackout` says why no order is sent
    for a while, None: they are."""

    state: Literal["up", "down", "connecting", "lost"]
    since: datetime | None = None
    connected: datetime | None = None
    attempts: int | None = None
    host: str = ""
    port: int | None = None
    simulated: bool | None = None
    breaker: str | None = None
    breaker_pause_s: float | None = None
    blackout: str | None = None
    messages_per_s: float | None = None
    messages_waiting: int | None = None
    heartbeat_age_s: float | None = None


class Parked(BaseModel):
    """A contract that did not answer so often that it waits until `due`, None: for a human."""

    contract: str
    con_id: int
    reason: str | None = None
    due: datetime | None = None


class Queue(BaseModel):
    """The contracts that take turns, `visiting` of them at this moment on `lines` lines. `oldest_s`: the
    longest that one was not visited; `turn_s`: within how long each is while the broker answers at once;
    None while nobody waits. `parked_first` are some of those `parked`. `confirming`: contracts that a
    decision waits for. None: the daemon does not say, or has not looked yet."""

    contracts: int | None = None
    lines: int | None = None
    visiting: int | None = None
    confirming: int | None = None
    oldest_s: float | None = None
    turn_s: float | None = None
    parked: int | None = None
    parked_first: list[Parked] = []


class Lines(BaseModel):
    """`reserve` lines are kept for orders, None: the daemon does not say."""

    used: int
    budget: int
    reserve: int | None = None


class MarkErrors(BaseModel):
    """The model's mark against the true quote at each visit: medians, and the share of small errors."""

    visits: int
    median_ratio: float | None = None
    median_ticks: float | None = None
    median_delta: float | None = None
    within: float | None = None


class Marks(BaseModel):
    """Contracts by how their mark was got, and by what is flagged. None: the daemon does not say."""

    contracts: dict[str, int] | None = None
    flagged: dict[str, int] | None = None
    errors: MarkErrors | None = None


class Loop(BaseModel):
    """Turns of the event loop: all, those over 5 ms, the longest and what held it up."""

    turns: int | None = None
    blocked: int | None = None
    longest_ms: float | None = None
    longest_by: str | None = None
    longest_own_ms: float | None = None
    longest_own_by: str | None = None


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


class NewFire(BaseModel):
    """A position on which rules that wait would act; `params` is JSON."""

    position: str
    rule: str
    action: str
    params: str
    at_once: bool
    profit: float | None
    profit_usd: float | None


class Replayed(BaseModel):
    """How many decisions on the last beats other rules would have made otherwise."""

    beats: int
    changed: int


class WaitingRules(BaseModel):
    revision: str
    since: datetime | None
    summary: str
    fires: list[NewFire]
    lints: list[str]
    replayed: Replayed | None


class Rules(BaseModel):
    """`step` None: the daemon does not say how they came into force. `ignored`: revision of the file."""

    revision: str
    path: str = ""
    error: str | None = None
    since: datetime | None = None
    step: str | None = None
    actor: str | None = None
    before: str | None = None
    ignored: str | None = None
    waiting: WaitingRules | None = None


class RuleInFile(BaseModel):
    """A rule as it is written: parameters with their units, overrides by what they are for."""

    id: str
    priority: int
    mode: Literal["off", "shadow", "live"]
    scope: str
    when: list[str] = []
    parameters: dict[str, str] = {}
    overrides: dict[str, dict[str, str]] = {}


class MuteInFile(BaseModel):
    rule: str
    on: str
    said: str
    ended: bool


class RulesFile(BaseModel):
    """The rules file as it lies there. `revision` is None and `error` says why when it is not sound."""

    path: str
    revision: str | None
    error: str | None
    rules: list[RuleInFile]
    mutes: list[MuteInFile]


class Condition(BaseModel):
    """`holds` None: not known. `stands`: it has begun and is not over."""

    holds: bool | None
    stands: bool
    text: str


class Breaker(BaseModel):
    """`means` says what the mode allows, `trial_ends` when a half-open one may be armed."""

    state: str
    means: str = ""
    reason: str | None = None
    actor: str | None = None
    since: datetime | None = None
    trial_ends: datetime | None = None
    conditions: dict[str, Condition] = {}


class Standing(BaseModel):
    """A difference with the broker's books that is not over."""

    kind: str
    subject: str
    critical: bool = False


class Reconciliation(BaseModel):
    """`last`: when the books were compared; None: not yet."""

    last: datetime | None = None
    standing: list[Standing] = []


class Status(BaseModel):
    """One answer of `GET /status`. `time` is the daemon's clock; None is unknown."""

    time: datetime
    account: str | None = None
    is_paper: bool | None = None
    connection: Connection
    lines: Lines
    queue: Queue | None = None
    data_age_s: float | None = None
    beat: Beat
    marks: Marks | None = None
    loop: Loop | None = None
    lake: LakeState
    rules: Rules
    breaker: Breaker
    reconciliation: Reconciliation | None = None
    alerts: int | None = None
    open_intents: int | None = None


class Control:
    """Speaks to the control API at `url`; no call waits longer for an answer than the constants above say."""

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

    def rules_file(self) -> RulesFile | None:
        """What is in the rules file; None when the daemon does not tell. Raises DaemonSilent."""
        answer = self._send(self._http.build_request("GET", f"{self.url}/rules/file"))
        if not answer.is_success:
            return None
        try:
            return RulesFile.model_validate_json(answer.content)
        except ValidationError as error:
            raise DaemonSilent(f"{self.url}/rules/file is not understood: {error}") from error

    def rule_moment(self, position: str) -> dict[str, Any] | None:
        """What the rules know of a position ("": the book) now, as `lake.rule_moments.rule_moment` has it;
        None when the daemon does not tell. Raises DaemonSilent."""
        asked = self._http.build_request("GET", f"{self.url}/rules/moment", params={"position": position})
        answer = self._send(asked)
        if not answer.is_success:
            return None
        try:
            row: dict[str, Any] = answer.json()
        except ValueError as error:
            raise DaemonSilent(f"{self.url}/rules/moment is not understood: {error}") from error
        return row if row.get("facts") is not None else None

    def change_rules(self, what: str, change: dict[str, Any], token: str) -> None:
        """Have one thing in the rules file changed; `what` is parameter, mode, mute or unmute.

        Raises ChangeRefused (wrong token, a change that does not check) and DaemonSilent.
        """
        self._order(f"/rules/file/{what}", change, token)

    def say_of_rules(self, word: str, about: dict[str, Any], token: str) -> None:
        """Approve or reject the rules that wait, or go back (`rollback`) to others; raises as above."""
        self._order(f"/rules/{word}", about, token)

    def _order(self, path: str, body: dict[str, Any], token: str) -> None:
        if not (token.isascii() and token.isprintable()):
            raise ChangeRefused(_WRONG_TOKEN)
        answer = self._send(
            self._http.build_request(
                "POST",
                f"{self.url}{path}",
                json={**body, "actor": "page"},
                headers={"Authorization": f"Bearer {token}"},
                timeout=CHANGE_WITHIN_S,
            )
        )
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise ChangeRefused(_WRONG_TOKEN)
        if not answer.is_success:
            raise ChangeRefused(_detail(answer))

    def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            return self._http.send(request)
        except httpx.TimeoutException as error:
            within_s = request.extensions["timeout"]["read"]
            raise DaemonSilent(f"no answer from {self.url} within {within_s:g} s") from error
        except httpx.TransportError as error:
            raise DaemonSilent(f"nothing answers at {self.url}: {error}") from error


def _detail(answer: httpx.Response) -> str:
    """What a refusal says: one text, or what is wrong with each field."""
    try:
        detail = answer.json()["detail"]
        if isinstance(detail, str):
            return detail
        return "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in detail)
    except (ValueError, KeyError, TypeError, IndexError):
        return f"The daemon refused: {answer.status_code} {answer.text[:200]}"


_WRONG_TOKEN = "Wrong token. It is the content of control.token in the home folder of the daemon."

"""What the owner sets: `optiond.toml` in the home, `OPTIOND_...` in the environment, a secrets folder.

A nested setting is named `OPTIOND_BROKER__PORT` in the environment and `broker__port` as a secret file.
Environment beats secrets beats the file. Unknown keys and bad values are errors that name the key.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from options import SettingsError
from rules.breaker import TRIPS, Event
from trading.blackout import read_blackout

if TYPE_CHECKING:
    from lake import Location

PREFIX = "OPTIOND_"
HOME_VARIABLE = "OPTIOND_HOME"
NOT_SETTINGS = frozenset({HOME_VARIABLE, "OPTIOND_FAILPOINT"})


class BrokerKind(StrEnum):
    SIMULATED = "simulated"
    INTERACTIVE_BROKERS = "interactive_brokers"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BrokerSettings(Strict):
    """`port` 0 lets the simulated gateway choose; a real gateway listens on 4001 (live) or 4002 (paper).
    `control_port` is the simulated gateway's own; 0 with a simulated broker starts an embedded gateway.

    `blackout`: times in New York, every day or once a week, in which no order is sent: the nightly restart
    (23:45), the servers' reset after it, the weekly one, and the weekly login (Sunday 01:00). A connection
    older than `renew_after_h` is made anew outside of trading hours, since it costs memory; 0: never.
    """

    kind: BrokerKind = BrokerKind.SIMULATED
    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    control_port: int = Field(default=0, ge=0, le=65535)
    client_id: int = Field(default=1, ge=0, le=999)
    account: str = ""
    connect_timeout_s: float = Field(default=10.0, gt=0, le=120)
    blackout: tuple[str, ...] = ("23:40-01:45", "Fri 22:55-Sat 03:00")
    renew_after_h: float = Field(default=24.0, ge=0, le=168)

    @field_validator("blackout")
    @classmethod
    def _can_be_read(cls, blackout: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(read_blackout(text).text for text in blackout)


class TradingSettings(Strict):
    """Live trading needs both: `live = true` and `live_account` naming the very account."""

    live: bool = False
    live_account: str = ""


class SimulationSettings(Strict):
    """The embedded gateway's market. `speed` simulated seconds per second; `faults` a plan of bad days."""

    market: str = Field(default="model", pattern="^(model|replay)$")
    speed: float = Field(default=60.0, gt=0, le=1_000_000)
    seed: int = 7
    scenario: str = "calm"
    faults: str | None = None
    quotes: Path | None = None
    positions: Path | None = None


class SyncSettings(Strict):
    """`line_budget` market-data lines at most; a quote older than `stale_after_s` is not traded on.

    Of them `line_reserve` stay free for orders, and contracts that have no line of their own take turns on
    `visit_lines`.

    Between visits of a line contracts are marked with `rate` (continuous, per year) and the volatility of
    their last quote, if that is not older than `vol_within_s`; when the underlying gains one percent,
    volatilities lose `stickiness` percent of themselves. A beat comes at once when an underlying moved by
    `beat_move` (ratio).

    `traces_per_rule`: so many of the moments when something else became of a rule are kept, shown, and
    written at most every `record_every_s`; 0: none.
    """

    line_budget: int = Field(default=90, ge=3, le=1000)
    line_reserve: int = Field(default=8, ge=0, le=100)
    visit_lines: int = Field(default=10, ge=1, le=100)
    stale_after_s: float = Field(default=120.0, gt=0, le=3600)
    rate: float = Field(default=0.04, ge=0, le=0.5)
    vol_within_s: float = Field(default=3600.0, ge=0, le=86400)
    stickiness: float = Field(default=0.0, ge=0, le=10)
    beat_s: float = Field(default=0.25, ge=0.05, le=10)
    beat_move: float = Field(default=0.001, gt=0, le=1)
    record_every_s: float = Field(default=30.0, ge=1, le=3600)
    reconcile_every_s: float = Field(default=300.0, ge=10, le=86400)
    flush_every_s: float = Field(default=60.0, ge=1, le=3600)
    traces_per_rule: int = Field(default=50, ge=0, le=1000)


class ReloadSettings(Strict):
    """How a saved edit of the rules comes into force. `settle_s`: seconds without change until it is read.

    Rules that would act on more than `max_new_fires` positions, where those in force would not, wait for a
    human. They are tried on the last `replay_beats` beats, on fewer where these need more than `replay_mb`.
    """

    max_new_fires: int = Field(default=2, ge=0)
    replay_beats: int = Field(default=240, ge=0, le=100_000)
    replay_mb: float = Field(default=64.0, ge=0, le=10_000)
    settle_s: float = Field(default=0.5, ge=0, le=60)


class BreakerSettings(Strict):
    """Beyond which limits the breaker trips; a limit of 0 switches its condition off.

    Losses are shares of what the account was worth when the day began, `vix_rise` one of the VIX's close of
    yesterday, `stale_share` one of all positions. `flatten_on` names trips that also close everything.
    """

    daily_loss: float = Field(default=0.03, ge=0, lt=1)
    daily_loss_flatten: float = Field(default=0.06, ge=0, lt=1)
    loss_s: float = Field(default=240.0, ge=0, le=3600)
    vix_rise: float = Field(default=0.4, ge=0, le=10)
    losses: int = Field(default=4, ge=0, le=1000)
    losses_window_h: float = Field(default=24.0, gt=0, le=168)
    broker_down_s: float = Field(default=300.0, ge=0, le=86400)
    stale_share: float = Field(default=0.5, ge=0, le=1)
    stale_s: float = Field(default=300.0, ge=0, le=86400)
    rejects: int = Field(default=3, ge=0, le=1000)
    rejects_window_min: float = Field(default=10.0, gt=0, le=1440)
    reconcile: bool = True
    calm_s: float = Field(default=60.0, ge=0, le=86400)
    unknown_s: float = Field(default=300.0, ge=0, le=86400)
    half_open_min: float = Field(default=15.0, ge=0, le=1440)
    flatten_on: tuple[Event, ...] = ()
    statechart: bool = True

    @field_validator("flatten_on")
    @classmethod
    def _are_trips(cls, events: tuple[Event, ...]) -> tuple[Event, ...]:
        if wrong := [event.value for event in events if event not in TRIPS]:
            known = ", ".join(event.value for event in TRIPS)
            raise ValueError(f"{', '.join(wrong)} is no condition that trips; there are {known}")
        return events


class LakeSettings(Strict):
    """`uri` says where the lake lies; empty: in the home. Keys to a bucket never stand in optiond.toml.

    The rest says when it is looked after, and beyond which limits nothing new is opened. `pins`: moments
    (times, versions of the lake, ids of decisions) whose Delta versions upkeep keeps for ever.
    """

    uri: str = ""
    endpoint: str = ""
    region: str = ""
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    upkeep: bool = True
    upkeep_after_close_min: float = Field(default=30.0, ge=0, le=600)
    retention_days: float = Field(default=7.0, ge=1, le=3650)
    pins: tuple[str, ...] = ()
    max_small_file_ratio: float = Field(default=0.5, gt=0, le=1)
    min_free_mb: int = Field(default=500, ge=0)
    max_journal_mb: int = Field(default=512, ge=1)
    flush_late_s: float = Field(default=300.0, ge=5, le=86400)
    slow_commit_s: float = Field(default=1.0, gt=0, le=60)

    @property
    def location(self) -> "Location":
        from lake import Location

        return Location(self.uri, self.endpoint, self.region)


class ControlSettings(Strict):
    """Where the control API and /metrics listen; never open this to a network."""

    host: str = "127.0.0.1"
    port: int = Field(default=8051, ge=0, le=65535)


class PageSettings(Strict):
    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = Field(default=8050, ge=1, le=65535)


class Settings(BaseSettings):
    """All settings of one installation. `rules` and `calendar` are relative to the home."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    broker: BrokerSettings = BrokerSettings()
    trading: TradingSettings = TradingSettings()
    breaker: BreakerSettings = BreakerSettings()
    simulation: SimulationSettings = SimulationSettings()
    sync: SyncSettings = SyncSettings()
    reload: ReloadSettings = ReloadSettings()
    lake: LakeSettings = LakeSettings()
    control: ControlSettings = ControlSettings()
    page: PageSettings = PageSettings()
    rules: Path = Path("rules.yaml")
    calendar: Path = Path("calendar.yaml")


def default_home() -> Path:
    """`$OPTIOND_HOME`, else `~/.local/share/optiond`."""
    named = os.environ.get(HOME_VARIABLE)
    return Path(named).expanduser() if named else Path.home() / ".local" / "share" / "optiond"


def load_settings(home: Path, **overrides: Any) -> Settings:
    """The settings of `home`; `overrides` (nested dicts) beat everything else.

    Raises SettingsError naming every wrong key, where it came from and what would be right.
    """
    file, secrets = _from_file(home / "optiond.toml"), _from_secrets(home / "secrets")
    _refuse_open_secrets(file, home)
    _refuse_unknown_variables()

    class HomeSettings(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            ours = (InitSettingsSource(settings_cls, values) for values in (secrets, file))
            return init_settings, env_settings, *ours

    try:
        return HomeSettings(**overrides)
    except ValidationError as error:
        raise SettingsError(_in_words(error, home, overrides)) from error


def _from_file(path: Path) -> dict[str, Any]:
    """What `optiond.toml` says; nothing when there is none."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not valid TOML: {error}; correct that line") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read ({error.strerror}); it must be a file of yours"
        ) from error


def _refuse_open_secrets(file: Mapping[str, Any], home: Path) -> None:
    """Keys in optiond.toml: it gets copied, shown and mailed."""
    section = file.get("lake")
    for name, field in LakeSettings.model_fields.items():
        if field.annotation == SecretStr | None and isinstance(section, Mapping) and name in section:
            raise SettingsError(
                f"setting 'lake.{name}' ({home / 'optiond.toml'}): keys do not belong there; write it into "
                f"the file {home / 'secrets' / f'lake__{name}'} and take it out"
            )


def _from_secrets(folder: Path) -> dict[str, Any]:
    """What the files of the secrets folder say: `broker__account` holds broker.account."""
    values: dict[str, Any] = {}
    known = {name.replace(".", "__"): name for name in _names()}
    try:
        for file in sorted(folder.iterdir()) if folder.exists() else ():
            if file.name.startswith("."):
                continue
            if file.name not in known:
                raise SettingsError(f"secret file {file}: no such setting; {_nearest(file.name, known)}")
            section, _, key = known[file.name].rpartition(".")
            place = values.setdefault(section, {}) if section else values
            place[key] = file.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"secret file {file}: is not UTF-8 text; write the value and nothing else"
        ) from error
    except OSError as error:
        raise SettingsError(
            f"{error.filename}: cannot be read ({error.strerror}); the secrets folder holds one readable "
            "file per setting"
        ) from error
    return values


def _refuse_unknown_variables() -> None:
    known = {PREFIX + name.replace(".", "__").upper() for name in _names()}
    for variable in os.environ:
        is_ours = variable.upper().startswith(PREFIX) and variable not in NOT_SETTINGS
        if is_ours and variable.upper() not in known:
            raise SettingsError(
                f"environment variable {variable}: no such setting; {_nearest(variable.upper(), known)}"
            )


def _names() -> list[str]:
    """Every setting as section.key, and `rules`."""
    names: list[str] = []
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Strict):
            names += [f"{name}.{key}" for key in section.model_fields]
        else:
            names.append(name)
    return names


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, sorted(known), n=1)
    return f"did you mean {near[0]}?" if near else "remove it or correct its name"


def _in_words(error: ValidationError, home: Path, overrides: Mapping[str, Any]) -> str:
    return "; ".join(_problem(item, home, overrides) for item in error.errors())


def _problem(item: ErrorDetails, home: Path, overrides: Mapping[str, Any]) -> str:
    parts = [str(part) for part in item["loc"]]
    name, source = ".".join(parts), _source(parts, home, overrides)
    if item["type"] == "extra_forbidden":
        known = _names() if len(parts) > 1 else Settings.model_fields
        return f"setting '{name}' ({source}): no such setting; {_nearest(name, known)}"
    # What is secret does not show up in a terminal or a log.
    got = "" if source.startswith("secret") else f" (got {item['input']!r})"
    return f"setting '{name}' ({source}): {item['msg']}{got}"


def _source(parts: Sequence[str], home: Path, overrides: Mapping[str, Any]) -> str:
    """Where the value came from, by which of the sources has it and comes first."""
    given: Any = overrides
    for part in parts:
        given = given.get(part) if isinstance(given, Mapping) else None
    if given is not None:
        return "command line"
    variable, secret = PREFIX + "__".join(parts).upper(), home / "secrets" / "__".join(parts)
    if any(name.upper() == variable for name in os.environ):
        return f"environment variable {variable}"
    return f"secret file {secret}" if secret.exists() else str(home / "optiond.toml")

"""What the owner sets: `optiond.toml` in the home, `OPTIOND_...` in the environment, a secrets folder.

A nested setting is named `OPTIOND_BROKER__PORT` in the environment and `broker__port` as a secret file.
Environment beats secrets beats the file. Unknown keys and bad values are errors that name the key.
"""

import os
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from options import SettingsError

HOME_VARIABLE = "OPTIOND_HOME"
NOT_SETTINGS = frozenset({HOME_VARIABLE, "OPTIOND_FAILPOINT"})


class BrokerKind(StrEnum):
    SIMULATED = "simulated"
    INTERACTIVE_BROKERS = "interactive_brokers"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BrokerSettings(Strict):
    """`port` 0 lets the simulated gateway choose; a real gateway listens on 4001 (live) or 4002 (paper).
    `control_port` is the simulated gateway's own; 0 with a simulated broker starts an embedded gateway."""

    kind: BrokerKind = BrokerKind.SIMULATED
    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    control_port: int = Field(default=0, ge=0, le=65535)
    client_id: int = Field(default=1, ge=0, le=999)
    account: str = ""
    connect_timeout_s: float = Field(default=10.0, gt=0, le=120)


class TradingSettings(Strict):
    """Live trading needs both: `live = true` and `live_account` naming the very account."""

    live: bool = False
    live_account: str = ""


class SimulationSettings(Strict):
    """The embedded gateway's market. `speed` simulated seconds per second."""

    market: str = Field(default="model", pattern="^(model|replay)$")
    speed: float = Field(default=60.0, gt=0, le=1_000_000)
    seed: int = 7
    quotes: Path | None = None
    positions: Path | None = None


class SyncSettings(Strict):
    """`line_budget` market-data lines at most; a quote older than `stale_after_s` is not traded on."""

    line_budget: int = Field(default=90, ge=3, le=1000)
    stale_after_s: float = Field(default=120.0, gt=0, le=3600)
    beat_s: float = Field(default=0.25, ge=0.05, le=10)
    record_every_s: float = Field(default=30.0, ge=1, le=3600)
    reconcile_every_s: float = Field(default=300.0, ge=10, le=86400)
    flush_every_s: float = Field(default=60.0, ge=1, le=3600)


class ControlSettings(Strict):
    """Where the control API and /metrics listen; never open this to a network."""

    host: str = "127.0.0.1"
    port: int = Field(default=8051, ge=0, le=65535)


class PageSettings(Strict):
    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = Field(default=8050, ge=1, le=65535)


class Settings(BaseSettings):
    """All settings of one installation. `rules` is relative to the home."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    broker: BrokerSettings = BrokerSettings()
    trading: TradingSettings = TradingSettings()
    simulation: SimulationSettings = SimulationSettings()
    sync: SyncSettings = SyncSettings()
    control: ControlSettings = ControlSettings()
    page: PageSettings = PageSettings()
    rules: Path = Path("rules.yaml")


def default_home() -> Path:
    """`$OPTIOND_HOME`, else `~/.local/share/optiond`."""
    named = os.environ.get(HOME_VARIABLE)
    return Path(named).expanduser() if named else Path.home() / ".local" / "share" / "optiond"


def load_settings(home: Path, **overrides: Any) -> Settings:
    """The settings of `home`; `overrides` (nested dicts) beat everything else.

    Raises SettingsError naming every wrong key, where it came from and what would be right.
    """
    toml, secrets = home / "optiond.toml", home / "secrets"

    class HomeSettings(Settings):
        model_config = SettingsConfigDict(
            env_prefix="OPTIOND_",
            env_nested_delimiter="__",
            secrets_dir=secrets if secrets.is_dir() else None,
            extra="forbid",
            frozen=True,
        )

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            file = TomlConfigSettingsSource(settings_cls, toml if toml.is_file() else None)
            return init_settings, env_settings, file_secret_settings, file

    _refuse_unknown_variables()
    try:
        return HomeSettings(**overrides)
    except ValidationError as error:
        raise SettingsError(_in_words(error, toml)) from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{toml}: not valid TOML: {error}; correct that line") from error
    except OSError as error:
        raise SettingsError(f"{toml}: cannot be read: {error.strerror}") from error


def _refuse_unknown_variables() -> None:
    known = {f"OPTIOND_{name.upper()}" for name in Settings.model_fields}
    for variable in os.environ:
        if not variable.upper().startswith("OPTIOND_") or variable in NOT_SETTINGS:
            continue
        if variable.upper().split("__")[0] not in known:
            raise SettingsError(
                f"environment variable {variable}: no such setting; known are {', '.join(sorted(known))}"
            )


def _in_words(error: ValidationError, toml: Path) -> str:
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            lines.append(f"setting '{key}': no such setting; remove it or correct its name")
        else:
            lines.append(f"setting '{key}': {item['msg']} (got {item['input']!r})")
    return "; ".join(lines) + f" [from {toml}, the environment or the command line]"

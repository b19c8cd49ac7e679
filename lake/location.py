"""Where a home's lake lies: in the folder `lake/` of the home, or in a bucket that speaks S3.

A home's lake stays where it was first: a bucket is noted in `lake.json` in the home when the lake is
opened for the first time, and from then on everybody (daemon, command line, page) goes by that file. Keys are
never noted: they come from the environment or the home's secrets folder, each time.
"""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from lake.store import Access, Bucket, Folder, Store
from options import LakeError

FOLDER = "lake"
JOURNAL = "journal.sqlite"
NOTE = "lake.json"
SECRETS = ("access_key_id", "secret_access_key", "session_token")

_URI = re.compile(
    r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/(?P<prefix>[\w.-]+(/[\w.-]+)*))?/?", re.ASCII
)
_ENDPOINT = re.compile(r"https?://[\w.-]+(:\d+)?/?")
_REGION = "us-east-1"  # what stores that have no regions call theirs


@dataclass(frozen=True, slots=True)
class Location:
    """`uri` empty: the folder `lake/` of the home. `endpoint` empty: Amazon's own, by `region`."""

    uri: str = ""
    endpoint: str = ""
    region: str = ""


def make_home(home: Path) -> None:
    """The folder of `home`, with those above it; a power cut takes none of their names any more."""
    home.mkdir(parents=True, exist_ok=True)
    # Always: another, cut off before this, may have made them.
    path = home.resolve()
    for folder in (path, *path.parents):
        if folder.is_mount():
            return
        with suppress(PermissionError):  # who may not read the folder above did not make this one in it
            Folder(folder.parent).sync_folder("")


def store_of(home: Path) -> Store:
    """The files of the lake of `home`. Raises LakeError when it is in a bucket that we have no keys to."""
    location = location_of(home)
    if not location.uri:
        return Folder(home / FOLDER)
    bucket, prefix = _parts(location)
    return Bucket(bucket, prefix, location.endpoint, location.region, _access(home))


def location_of(home: Path) -> Location:
    """Where the lake of `home` lies. Raises LakeError when the note of it cannot be read."""
    path = home / NOTE
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        return Location(**{name: str(noted[name]) for name in ("uri", "endpoint", "region")})
    except FileNotFoundError:
        return Location()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LakeError(
            f"{path} cannot be read ({type(error).__name__}): it says where this home's lake lies; restore "
            "it from a backup"
        ) from error


def settle(home: Path, wanted: Location) -> None:
    """Note where the lake of `home` is to lie; nothing when it lies there already.

    What `wanted` leaves empty beside `uri` is as noted, else as in the environment (AWS_...). Raises
    LakeError when the lake lies elsewhere, and for a place that is no place.
    """
    noted = location_of(home)
    if not wanted.uri and not noted.uri:
        return
    if wanted.uri:
        _parts(wanted)
    if not wanted.uri or (not noted.uri and _has_lake(home)):
        raise _elsewhere(home, noted, wanted)
    if noted.uri:
        named = Location(noted.uri, wanted.endpoint or noted.endpoint, wanted.region or noted.region)
        if (wanted.uri.rstrip("/"), named) != (noted.uri, noted):
            raise _elsewhere(home, noted, wanted)
        return
    found = Location(
        wanted.uri.rstrip("/"),
        wanted.endpoint or _first_of("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        wanted.region or _first_of("AWS_REGION", "AWS_DEFAULT_REGION") or _REGION,
    )
    _parts(found)
    Folder(home).write(NOTE, f"{json.dumps(asdict(found), indent=2)}\n".encode())


def _elsewhere(home: Path, noted: Location, wanted: Location) -> LakeError:
    here = f"{noted.uri} ({noted.endpoint or 'Amazon'}, {noted.region})" if noted.uri else str(home / FOLDER)
    there = wanted.uri or str(home / FOLDER)
    return LakeError(
        f"the lake of this home lies at {here}, and lake.uri, lake.endpoint and lake.region name another "
        f"place ({there}): set them back; or, if you have moved it yourself, write the new place into "
        f"{home / NOTE}"
    )


def _has_lake(home: Path) -> bool:
    folder = home / FOLDER
    return (home / JOURNAL).exists() or (folder.is_dir() and any(folder.iterdir()))


def _parts(location: Location) -> tuple[str, str]:
    """Bucket and prefix. What is wrong is not repeated: people write keys into addresses."""
    match = _URI.fullmatch(location.uri)
    if match is None:
        raise LakeError(
            "lake.uri is no place of a lake: give s3://BUCKET/PREFIX, or nothing for the home itself"
        )
    if location.endpoint and not _ENDPOINT.fullmatch(location.endpoint):
        raise LakeError("lake.endpoint is no address: give http(s)://HOST:PORT and nothing else, or nothing")
    return match["bucket"], match["prefix"] or ""


def _access(home: Path) -> Access:
    """Our own keys (environment before secrets folder) if there are any, else those of AWS_..."""
    environment = {name.upper(): value for name, value in os.environ.items()}
    ours = {
        name: environment.get(f"OPTIOND_LAKE__{name.upper()}") or _secret(home, f"lake__{name}")
        for name in SECRETS
    }
    theirs = {name: environment.get(f"AWS_{name.upper()}", "") for name in SECRETS}
    given: Mapping[str, str] = ours if any(ours.values()) else theirs
    key_id, secret, token = (given[name] for name in SECRETS)
    if not (key_id and secret):
        raise LakeError(
            "no keys to the lake's bucket: put them into the files lake__access_key_id and "
            f"lake__secret_access_key in {home / 'secrets'}, or set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY"
        )
    return Access(key_id, secret, token)


def _secret(home: Path, name: str) -> str:
    path = home / "secrets" / name
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise LakeError(
            f"{path} cannot be read ({type(error).__name__}): it must be a text file of yours"
        ) from error


def _first_of(*variables: str) -> str:
    return next((os.environ[name] for name in variables if os.environ.get(name)), "")

"""Where the lake's tables lie: a folder of this machine, or a bucket that speaks S3.

Delta itself goes there through delta-rs. What delta-rs does not do (bring files safely to disk, look whether
they are whole, remove what is torn) goes through a `Store`. Keys are paths within the lake, parted by "/".
"""

import os
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from lake.faults import NO_BUCKET, bucket_error

if TYPE_CHECKING:
    from obstore.store import S3Config

# A store that is gone is told within seconds; one that does not answer at all, within half a minute.
_CONNECT_WITHIN = timedelta(seconds=3)
_ANSWER_WITHIN = timedelta(seconds=10)
_RETRY_WITHIN = timedelta(seconds=10)
_RETRIES = 3
_ASKED_ONE_BY_ONE = 8
_FIRST_RETRY_AFTER = timedelta(milliseconds=100)
_LAST_RETRY_AFTER = timedelta(seconds=1)


_UNFINISHED = re.compile(r"(#\d+|\.new|\.tmp)$")  # delta-rs's own, ours, other programs'


class Store(Protocol):
    """The files of a lake, by key. Methods raise OSError when the place cannot be reached or written."""

    @property
    def uri(self) -> str:
        """What delta-rs and polars open; it holds no credentials and may be shown."""

    @property
    def options(self) -> Mapping[str, str] | None:
        """What delta-rs and polars need besides the URI, credentials among it: never shown; None: nothing."""

    @property
    def is_durable(self) -> bool:
        """Whether what was written is safe as soon as the write returns, so that nothing needs a sync."""

    def names(self) -> list[str]:
        """The tables' names: the first parts of all keys."""

    def keys(self, prefix: str) -> list[str]:
        """All keys directly or deeper under the folder `prefix`, in no order; empty when there is none."""

    def size(self, key: str) -> int | None:
        """Bytes of one file; None when it is missing."""

    def sizes(self, keys: Collection[str]) -> dict[str, int | None]:
        """Bytes of each of these files; None for one that is missing."""

    def read(self, key: str) -> bytes:
        """One file, whole. Raises FileNotFoundError when it is missing."""

    def read_end(self, key: str, count: int) -> bytes:
        """The last `count` bytes of one file, fewer if it is shorter. Raises FileNotFoundError."""

    def write(self, key: str, content: bytes) -> None:
        """Write one file, whole or not at all, safely on disk when this returns."""

    def placing(self, key: str) -> AbstractContextManager[Path]:
        """A local file to write within the block; at its end it is `key`, as `write` would write it."""

    def delete(self, key: str) -> None:
        """Remove one file; nothing happens when it is missing."""

    def sync(self, keys: Iterable[str]) -> None:
        """Bring these files and the folders above them safely to disk. Raises FileNotFoundError."""

    def sync_folder(self, prefix: str) -> None:
        """Make removals in the folder `prefix` durable."""

    def leftovers(self, prefix: str, before: datetime) -> list[str]:
        """Files under `prefix`, last touched before then, that writers which were killed did not finish.

        A bucket shows none: an object is whole or not there.
        """


class Folder:
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.options: Mapping[str, str] | None = None
        self.is_durable = False

    @property
    def uri(self) -> str:
        return str(self.path)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir()) if self.path.is_dir() else []

    def keys(self, prefix: str) -> list[str]:
        return [str(path.relative_to(self.path)) for path in self._files(prefix)]

    def size(self, key: str) -> int | None:
        path = self.path / key
        return path.stat().st_size if path.is_file() else None

    def sizes(self, keys: Collection[str]) -> dict[str, int | None]:
        return {key: self.size(key) for key in keys}

    def read(self, key: str) -> bytes:
        return (self.path / key).read_bytes()

    def read_end(self, key: str, count: int) -> bytes:
        with (self.path / key).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - count))
            return file.read()

    def write(self, key: str, content: bytes) -> None:
        with self.placing(key) as fresh:
            fresh.write_bytes(content)

    @contextmanager
    def placing(self, key: str) -> Iterator[Path]:
        path = self.path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.new")
        yield fresh
        _sync(fresh)
        fresh.replace(path)
        self.sync([key])

    def delete(self, key: str) -> None:
        (self.path / key).unlink(missing_ok=True)

    def sync(self, keys: Iterable[str]) -> None:
        files = [self.path / key for key in keys]
        for path in files:
            _sync(path)
        for path in {above for file in files for above in self._above(file)}:
            _sync(path)

    def sync_folder(self, prefix: str) -> None:
        _sync(self.path / prefix)

    def leftovers(self, prefix: str, before: datetime) -> list[str]:
        return [
            str(path.relative_to(self.path))
            for path in self._files(prefix)
            if _UNFINISHED.search(path.name) and path.stat().st_mtime < before.timestamp()
        ]

    def _files(self, prefix: str) -> Iterator[Path]:
        return (path for path in (self.path / prefix).rglob("*") if path.is_file())

    def _above(self, file: Path) -> Iterator[Path]:
        """The folders above a file, up to the one that holds the lake itself."""
        for folder in file.parents:
            yield folder
            if folder == self.path.parent:
                return


@dataclass(frozen=True, slots=True)
class Access:
    """Who we are to a bucket. `repr` shows nothing of it."""

    key_id: str = field(repr=False)
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


class _Hidden(dict[str, str]):
    """Storage options that do not show up in a traceback with variables, a log or a print."""

    def __repr__(self) -> str:
        return f"<{len(self)} storage options>"

    __str__ = __repr__


class Bucket:
    """A prefix in a bucket of any store that speaks S3 and knows conditional puts.

    Methods raise BucketError, an OSError, in plain words without what the server said in its own.
    """

    def __init__(self, name: str, prefix: str, endpoint: str, region: str, access: Access) -> None:
        """`endpoint` empty: Amazon's own, by `region`."""
        self.uri = f"s3://{name}/{prefix}".rstrip("/")
        self.options: Mapping[str, str] | None = _options(endpoint, region, access)
        self.is_durable = True
        config: S3Config = {"endpoint": endpoint} if endpoint else {}
        if access.token:
            config["session_token"] = access.token
        self._store = S3Store(
            name,
            config=config,
            prefix=prefix or None,
            region=region,
            access_key_id=access.key_id,
            secret_access_key=access.secret,
            virtual_hosted_style_request=not endpoint,
            conditional_put="etag",
            client_options={
                "allow_http": endpoint.startswith("http://"),
                "connect_timeout": _CONNECT_WITHIN,
                "timeout": _ANSWER_WITHIN,
            },
            retry_config={
                "max_retries": _RETRIES,
                "retry_timeout": _RETRY_WITHIN,
                "backoff": {
                    "init_backoff": _FIRST_RETRY_AFTER,
                    "max_backoff": _LAST_RETRY_AFTER,
                    "base": 2,
                },
            },
        )

    def names(self) -> list[str]:
        with _told():
            return sorted(obstore.list_with_delimiter(self._store)["common_prefixes"])

    def keys(self, prefix: str) -> list[str]:
        with _told():
            return [each["path"] for page in obstore.list(self._store, prefix or None) for each in page]

    def size(self, key: str) -> int | None:
        try:
            with _told():
                return obstore.head(self._store, key)["size"]
        except FileNotFoundError:
            return None

    def sizes(self, keys: Collection[str]) -> dict[str, int | None]:
        if len(keys) <= _ASKED_ONE_BY_ONE:
            return {key: self.size(key) for key in keys}
        # A list tells a thousand at once.
        above = os.path.commonpath(keys)
        with _told():
            found = {each["path"]: each["size"] for page in obstore.list(self._store, above) for each in page}
        return {key: found.get(key) for key in keys}

    def read(self, key: str) -> bytes:
        with _told():
            return bytes(obstore.get(self._store, key).bytes())

    def read_end(self, key: str, count: int) -> bytes:
        size = self.size(key)
        if size is None:
            raise FileNotFoundError(f"{self.uri}/{key} is missing")
        if size == 0:
            return b""
        with _told():
            return bytes(obstore.get_range(self._store, key, start=max(0, size - count), end=size))

    def write(self, key: str, content: bytes) -> None:
        with _told():
            obstore.put(self._store, key, content)

    @contextmanager
    def placing(self, key: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as folder:
            fresh = Path(folder) / "fresh"
            yield fresh
            with _told():
                obstore.put(self._store, key, fresh)

    def delete(self, key: str) -> None:
        with _told():
            obstore.delete(self._store, key)

    def sync(self, keys: Iterable[str]) -> None:
        """Nothing to do: a put that was answered is durable."""

    def sync_folder(self, prefix: str) -> None:
        """Nothing to do."""

    def leftovers(self, prefix: str, before: datetime) -> list[str]:
        return []

    def tag(self, key: str) -> str | None:
        """The tag of one file's content (its ETag); None when it is missing."""
        try:
            with _told():
                return obstore.head(self._store, key)["e_tag"]
        except FileNotFoundError:
            return None

    def tagged(self, key: str) -> tuple[bytes, str] | None:
        """One file and its tag; None when it is missing."""
        try:
            with _told():
                found = obstore.get(self._store, key)
                return bytes(found.bytes()), found.meta["e_tag"] or ""
        except FileNotFoundError:
            return None

    def swap(self, key: str, content: bytes, tag: str | None) -> bool:
        """Write one file if it still has that tag (None: is still missing); whether it was written.

        False also when an answer was lost and a repeated write found the first: read it to know.
        """
        try:
            with _told():
                obstore.put(self._store, key, content, mode="create" if tag is None else {"e_tag": tag})
        except FileExistsError:
            return False
        return True


def _options(endpoint: str, region: str, access: Access) -> dict[str, str]:
    """For delta-rs and polars. All that decides safety is said here, whatever the environment says."""
    options = _Hidden(
        AWS_ACCESS_KEY_ID=access.key_id,
        AWS_SECRET_ACCESS_KEY=access.secret,
        AWS_REGION=region,
        AWS_CONDITIONAL_PUT="etag",
        AWS_ALLOW_HTTP=str(endpoint.startswith("http://")).lower(),
        AWS_VIRTUAL_HOSTED_STYLE_REQUEST=str(not endpoint).lower(),
        connect_timeout=_milliseconds(_CONNECT_WITHIN),
        timeout=_milliseconds(_ANSWER_WITHIN),
        retry_timeout=_milliseconds(_RETRY_WITHIN),
    )
    options["backoff_config.init_backoff"] = _milliseconds(_FIRST_RETRY_AFTER)
    options["backoff_config.max_backoff"] = _milliseconds(_LAST_RETRY_AFTER)
    if endpoint:
        options["AWS_ENDPOINT_URL"] = endpoint
    if access.token:
        options["AWS_SESSION_TOKEN"] = access.token
    return options


def _milliseconds(time: timedelta) -> str:
    return f"{time // timedelta(milliseconds=1)}ms"


@contextmanager
def _told() -> Iterator[None]:
    """What obstore raises as an OSError; the server's own words may repeat the request, keys and all."""
    try:
        yield
    except (AlreadyExistsError, PreconditionError):
        raise FileExistsError("the object was written by another meanwhile") from None
    except BaseError as error:
        raise bucket_error(error) from None
    except FileNotFoundError as error:
        if NO_BUCKET in str(error):
            raise bucket_error(error) from None
        raise FileNotFoundError("the object is missing") from None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

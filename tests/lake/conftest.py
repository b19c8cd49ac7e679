"""What the tests of the lake share.

Every test whose home is `tmp_path` runs twice: with the lake in the home, and in a bucket of a real S3
server. Marked `bucket` it does both in `make test`, else the bucket's turn is in the long suite. Left out of
it is what is marked `on_disk(reason)`, and the modules in `ON_DISK`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.lake import kills
from tests.lake.s3 import Line, S3Server, line_to, put_into_bucket, s3_server

ON_DISK = {
    "test_location": "it is about where a lake lies",
    "test_schemas": "no lake is opened",
    "test_export": "its homes lie in folders of their own",
    "test_imports": "its homes lie in folders of their own",
    "test_verify": "it damages files by path",
    "test_buckets": "it is about buckets alone",
    "test_crashes": "its homes lie in folders of their own; one of its tests puts them into a bucket",
    "test_damage": "it damages files by path",
    "test_homes": "it copies homes with the lakes in them",
    "test_power": "it is about the files of a disk",
    "test_bucket_races": "it is about buckets alone",
    "test_bucket_days": "it is about buckets alone",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    module = metafunc.module.__name__.rpartition(".")[2]
    on_disk = metafunc.definition.get_closest_marker("on_disk") or module in ON_DISK
    if "tmp_path" not in metafunc.fixturenames or on_disk:
        return
    is_quick = metafunc.definition.get_closest_marker("bucket") is not None
    in_bucket = pytest.param("bucket", marks=[] if is_quick else pytest.mark.long)
    metafunc.parametrize("place", [pytest.param("folder", id="folder"), in_bucket])


@pytest.fixture(autouse=True)
def no_scribe_outlives_its_test() -> Iterator[None]:
    yield
    kills.Scribe.end_all()


@pytest.fixture
def place() -> str:
    """Where the lake of the test lies: "folder" or "bucket"."""
    return "folder"


@pytest.fixture
def tmp_path(tmp_path: Path, place: str, request: pytest.FixtureRequest) -> Path:
    """An empty home whose lake lies, or will lie, in the `place`."""
    if place == "bucket":
        server: S3Server = request.getfixturevalue("s3")
        put_into_bucket(tmp_path, server.endpoint, uuid4().hex)
    return tmp_path


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server with a bucket."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def line(s3: S3Server) -> Iterator[Line]:
    """A line of the test's own to the S3 server."""
    with line_to(s3) as line:
        yield line


@pytest.fixture
def assert_holds() -> Callable[[Path, int], None]:
    """Checks that every table of a scribe's home holds exactly the rows of seq 1 to the given one."""
    return kills.assert_holds

"""Where a home's lake lies, and how it is told when that is no place, another one, or locked."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from lake import Lake, LakeReader, Location
from lake.location import NOTE, location_of, settle, store_of
from lake.store import Bucket, Folder
from options import LakeError

PLACE = Location("s3://bucket/some/where", "http://127.0.0.1:9", "here")
KEYS = {"access_key_id": "AKRECOGNISABLE", "secret_access_key": "SECRETRECOGNISABLE"}


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (*KEYS, "session_token", "region", "default_region", "endpoint_url", "endpoint_url_s3"):
        monkeypatch.delenv(f"AWS_{name.upper()}", raising=False)
    yield


def put_keys(home: Path, **keys: str) -> None:
    (home / "secrets").mkdir(exist_ok=True)
    for name, key in keys.items():
        (home / "secrets" / f"lake__{name}").write_text(f"{key}\n")


def test_a_lake_lies_in_its_home_unless_it_is_said_otherwise(tmp_path: Path) -> None:
    with Lake.open(tmp_path, location=Location()):
        pass
    store = store_of(tmp_path)
    assert isinstance(store, Folder)
    assert store.uri == str(tmp_path / "lake")
    assert not (tmp_path / NOTE).exists()


def test_the_place_is_noted_without_keys_and_found_again_by_everybody(tmp_path: Path) -> None:
    put_keys(tmp_path, **KEYS)
    settle(tmp_path, PLACE)
    settle(tmp_path, PLACE)
    settle(tmp_path, Location(f"{PLACE.uri}/"))
    store = store_of(tmp_path)
    assert isinstance(store, Bucket)
    assert store.uri == PLACE.uri
    assert json.loads((tmp_path / NOTE).read_text()) == {
        "uri": PLACE.uri,
        "endpoint": PLACE.endpoint,
        "region": PLACE.region,
    }
    assert not any(
        key in f"{store!r} {store.options!r} {store.options} {vars(store)}" for key in KEYS.values()
    )


@pytest.mark.parametrize(
    "other",
    [
        Location(),
        Location("s3://bucket/else/where"),
        Location(PLACE.uri, "http://127.0.0.1:10"),
        Location(PLACE.uri, region="there"),
    ],
)
def test_a_lake_that_lies_elsewhere_is_not_looked_for_in_another_place(
    other: Location, tmp_path: Path
) -> None:
    settle(tmp_path, PLACE)
    with pytest.raises(LakeError, match=r"lies at s3://bucket/some/where \(.*name another place") as refused:
        settle(tmp_path, other)
    assert "\n" not in str(refused.value)
    assert location_of(tmp_path) == PLACE


def test_a_lake_that_lies_in_its_home_is_not_looked_for_in_a_bucket(tmp_path: Path) -> None:
    with Lake.open(tmp_path):
        pass
    with pytest.raises(LakeError, match=f"lies at {tmp_path}/lake, .*name another place"):
        Lake.open(tmp_path, location=PLACE)
    with Lake.open(tmp_path):
        pass


@pytest.mark.parametrize(
    ("uri", "endpoint"),
    [
        ("s3://", ""),
        ("bucket/prefix", ""),
        ("https://bucket/prefix", ""),
        ("s3://AKRECOGNISABLE:SECRETRECOGNISABLE@bucket/prefix", ""),
        ("s3://bucket/prefix?key=SECRETRECOGNISABLE", ""),
        ("s3://bucket//prefix", ""),
        ("s3://bucket/date=2026-02-04", ""),
        ("s3://bucket/jürgen", ""),
        ("s3://bucket/prefix", "127.0.0.1:9000"),
        ("s3://bucket/prefix", "http://AKRECOGNISABLE:SECRETRECOGNISABLE@127.0.0.1:9000"),
    ],
)
def test_what_is_no_place_is_refused_and_not_repeated(uri: str, endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(LakeError, match=r"lake\.(uri is no place|endpoint is no address)") as refused:
        settle(tmp_path, Location(uri, endpoint))
    assert "RECOGNISABLE" not in str(refused.value)
    assert not (tmp_path / NOTE).exists()


def test_endpoint_and_region_come_from_the_usual_environment_and_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    settle(tmp_path, Location("s3://bucket"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:10")
    settle(tmp_path, Location("s3://bucket"))
    assert location_of(tmp_path) == Location("s3://bucket", "http://127.0.0.1:9", "eu-central-1")


def test_keys_come_from_environment_then_secrets_folder_then_the_usual_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(tmp_path, PLACE)
    for name, key in KEYS.items():
        monkeypatch.setenv(f"AWS_{name.upper()}", f"{key} of aws")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token of aws")
    assert _keys(tmp_path) == [*(f"{key} of aws" for key in KEYS.values()), "token of aws"]
    put_keys(tmp_path, **KEYS)
    assert _keys(tmp_path) == [*KEYS.values(), None], "a token belongs to the key it came with"
    monkeypatch.setenv("optiond_lake__access_key_id", "ours")
    assert _keys(tmp_path) == ["ours", KEYS["secret_access_key"], None]


def _keys(home: Path) -> list[str | None]:
    options = store_of(home).options
    assert options is not None
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    return [options.get(name) for name in names]


@pytest.mark.parametrize("missing", KEYS)
def test_a_bucket_without_keys_is_told_at_once(missing: str, tmp_path: Path) -> None:
    put_keys(tmp_path, **{name: key for name, key in KEYS.items() if name != missing})
    with pytest.raises(
        LakeError, match="no keys to the lake's bucket: put them into the files lake__acc"
    ) as no:
        Lake.open(tmp_path, location=PLACE)
    assert "RECOGNISABLE" not in str(no.value)


def test_a_note_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    for text in ("", "[]", '{"uri": "s3://bucket"}', '{"uri": "s3://bucket", "endpoint": "", "region": 1'):
        (tmp_path / NOTE).write_text(text)
        with pytest.raises(LakeError, match=rf"{NOTE} cannot be read \(.*restore it from a backup"):
            Lake.open(tmp_path)


@pytest.mark.parametrize("name", ["my home", "jürgen", "50%", "a#b", "date=2026-02-04"])
def test_a_home_whose_path_readers_of_delta_stumble_over_is_refused_in_one_line(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(LakeError, match="in its path, which readers of Delta tables stumble over") as refused:
        Lake.open(tmp_path / name)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / name / "lake").exists()


def test_a_home_that_is_a_link_to_such_a_path_is_refused_as_well(tmp_path: Path) -> None:
    (tmp_path / "my home").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "my home")
    with pytest.raises(LakeError, match="/my home/lake has the sign ' ' in its path"):
        Lake.open(tmp_path / "link")
    (tmp_path / "plain").mkdir()
    (tmp_path / "my link").symlink_to(tmp_path / "plain")
    with Lake.open(tmp_path / "my link") as lake:
        revision = pl.DataFrame({"revision": ["a"], "text": ["b"]})
        lake.commit(datetime(2026, 2, 4, tzinfo=UTC), {"settings_revisions": revision})
        lake.flush()
        assert LakeReader.open(tmp_path / "my link").table("settings_revisions").collect().height == 1

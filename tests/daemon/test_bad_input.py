"""Bad input and faults, met by the real program: one clear line, an exit code, and nothing lost."""

import errno
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from daemon.cli import main
from daemon.settings import load_settings
from lake import LakeReader, views

OPTIOND = Path(sys.executable).with_name("optiond")
WITHIN_S = 20.0


def optiond(
    *words: object, limit: int | None = None, **variables: object
) -> subprocess.CompletedProcess[str]:
    """One command. `limit`: the size in bytes beyond which the kernel lets it write no file."""
    ours = {f"OPTIOND_{name}": str(value) for name, value in variables.items()}
    others = {name: value for name, value in os.environ.items() if not name.startswith("OPTIOND_")}

    def small_files() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    return subprocess.run(
        [str(OPTIOND), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
        env={"OPTIOND_CONTROL__PORT": "0", **others, **ours},
        preexec_fn=small_files,
    )


def refusal(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """The one line that a command which was refused says; checks that there is nothing else."""
    assert done.returncode == code, (done.stdout, done.stderr)
    assert "Traceback" not in done.stdout
    assert done.stderr.startswith("optiond")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def run(home: Path, *words: object, **variables: object) -> subprocess.CompletedProcess[str]:
    return optiond("run", "--no-page", "--home", home, *words, **variables)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def copy(finished: Any, tmp_path: Path) -> Path:
    """A home with a finished run, to be damaged."""
    return Path(shutil.copytree(finished.home, tmp_path / "copy"))


# --- ports and gateways ---------------------------------------------------------------------------


def test_a_scenario_or_plan_of_faults_that_there_is_not_is_refused_with_those_that_there_are(tmp_path):
    said = refusal(run(tmp_path / "home", SIMULATION__SCENARIO="doom"))
    assert "'doom'" in said
    assert "crash_2020" in said
    said = refusal(run(tmp_path / "home", SIMULATION__FAULTS="doom"))
    assert "doom" in said
    assert "a_day_in_the_life" in said


def test_no_gateway_at_the_port(tmp_path: Path) -> None:
    port, started = free_port(), time.monotonic()
    said = refusal(run(tmp_path, BROKER__KIND="interactive_brokers", BROKER__PORT=port))
    assert time.monotonic() - started < 15
    assert f"no gateway at 127.0.0.1:{port}" in said
    assert "start TWS or IB Gateway" in said


def test_no_simulated_gateway_where_the_settings_say(tmp_path: Path) -> None:
    port = free_port()
    said = refusal(run(tmp_path, BROKER__PORT=port, BROKER__CONTROL_PORT=port))
    assert f"no simulated gateway answers at 127.0.0.1:{port}" in said


def test_something_else_where_the_simulated_gateway_should_be(tmp_path: Path) -> None:
    web = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"]
    with subprocess.Popen(web, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline().split()[5])
            said = refusal(run(tmp_path, BROKER__PORT=port, BROKER__CONTROL_PORT=port))
        finally:
            server.kill()
    assert f"what answers at 127.0.0.1:{port} is no simulated gateway" in said


@pytest.mark.parametrize("setting", ["control.port", "broker.port", "broker.control_port"])
def test_a_port_in_use_is_named_with_its_setting(setting: str, taken: int, tmp_path: Path) -> None:
    said = refusal(run(tmp_path, **{setting.replace(".", "__").upper(): taken}))
    assert str(taken) in said
    assert "in use" in said.lower()
    assert setting in said


def test_a_page_port_in_use_is_named(taken: int, tmp_path: Path) -> None:
    said = refusal(optiond("run", "--home", tmp_path, PAGE__PORT=taken))
    assert f"127.0.0.1:{taken} cannot be used (Address already in use)" in said
    assert "page.port" in said


# --- homes and disks ------------------------------------------------------------------------------


def test_a_second_daemon_on_a_home_is_refused_and_the_first_goes_on(
    home: Any, replay: Any, helpers: Any
) -> None:
    home.settle(replay(helpers.story(profit_after_s=100_000)))
    first = home.start()
    helpers.wait_until(home.status, 20, "the first daemon answers")
    said = refusal(run(home.path))
    assert f"another optiond (pid {first.pid}) uses this home" in said
    status = home.status()
    assert status is not None
    assert status["pid"] == first.pid
    helpers.stop(first)


def test_a_file_in_place_of_the_home_or_of_a_folder_in_it(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    assert "choose another with --home" in refusal(run(file))
    assert "choose another with --home" in refusal(run(file / "below"))
    assert file.read_text() == "precious"
    (tmp_path / "logs").touch()
    assert f"({tmp_path}/logs): File exists" in refusal(run(tmp_path))


def test_a_home_on_a_file_system_that_cannot_be_written() -> None:
    said = refusal(run(Path("/proc/optiond")))
    assert "/proc/optiond: the home cannot be made or written" in said


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A file system of 3 MB at `folder`, where this user may mount one; whether that was so."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC
    return filler


def test_a_full_disk_at_the_start_costs_nothing_that_was_there(finished: Any, tmp_path: Path) -> None:
    with small_disk(tmp_path) as mounted:
        home = Path(shutil.copytree(finished.home, tmp_path / "home"))
        before = decisions(home)
        filler = fill(tmp_path) if mounted else None
        said = refusal(run(home, limit=None if mounted else 4096))
        # Whichever finds no room first: the lake, or the simulated gateway with its state.
        assert re.search("free (space on its|the) disk", said), said
        if filler is not None:
            filler.unlink()
        assert decisions(home) == before
        assert optiond("halt", "--home", home, "--reason", "room again").returncode == 0


def test_a_disk_that_fills_up_under_the_daemon_stops_sending_until_there_is_room(
    home: Any, replay: Any, helpers: Any
) -> None:
    gateway = replay(helpers.story(profit_after_s=60))
    home.settle(gateway)
    daemon = home.start()
    helpers.wait_until(lambda: (s := home.status()) and s["positions"], 20, "it holds the position")
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    assert daemon.stdout is not None
    for line in daemon.stdout:
        if "LAKE: " in line:
            break
    else:
        pytest.fail("it ended")
    assert "nothing is sent until this is solved" in line
    assert gateway.orders() == []
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    helpers.wait_until(lambda: not gateway.holdings(), 30, "the profit is taken after all")
    helpers.wait_until(lambda: not home.json("positions"), 20, "our books say so too")
    said = helpers.stop(daemon)
    assert "the lake can be written again" in said
    assert "Traceback" not in said
    fills = LakeReader.open(home.path).table("fills").collect()
    assert set(fills["exec_id"]) == {e["exec_id"] for e in gateway.executions()}


# --- damaged lakes ----------------------------------------------------------------------------------


def newest(home: Path, table: str) -> Path:
    return max((home / "lake" / table).rglob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)


def damage(path: Path, how: str) -> None:
    whole = path.read_bytes()
    if how == "cut":
        path.write_bytes(whole[:-200])
    elif how == "inside":
        path.write_bytes(whole[:10] + b"\xff" * 60 + whole[70:])
    else:
        path.unlink()


def decisions(home: Path) -> list[dict[str, Any]]:
    return views.decisions(LakeReader.open(home))


@pytest.mark.parametrize("how", ["cut", "gone", "inside"])
def test_a_damaged_table_is_refused_and_good_again_once_restored(how: str, copy: Path) -> None:
    path = newest(copy, "strategies")
    whole, before = path.read_bytes(), decisions(copy)
    damage(path, how)
    for done in (run(copy), optiond("positions", "--home", copy)):
        said = refusal(done)
        assert str(copy) in said
        assert "restore this home from a backup" in said
    path.write_bytes(whole)
    assert decisions(copy) == before


@pytest.mark.parametrize("left", [20, 5000])
def test_a_cut_journal_is_refused_and_good_again_once_restored(left: int, copy: Path) -> None:
    journal = copy / "journal.sqlite"
    whole, before = journal.read_bytes(), decisions(copy)
    os.truncate(journal, left)
    for done in (run(copy), optiond("halt", "--home", copy)):
        said = refusal(done)
        assert str(journal) in said
        assert "restore this home from a backup" in said
    journal.write_bytes(whole)
    assert decisions(copy) == before


# --- recordings ----------------------------------------------------------------------------------


def demo(home: Path, quotes: Path, positions: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return optiond("demo", "--replay", quotes, "--positions", positions, "--home", home, "--no-page", *words)


def columns_gone(path: Path) -> None:
    pl.read_parquet(path).drop("iv").write_parquet(path)


def column_of_text(path: Path) -> None:
    pl.read_parquet(path).with_columns(pl.col("bid").cast(pl.String)).write_parquet(path)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (Path.unlink, "no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:3000]), "cannot be read as parquet"),
        (lambda path: path.write_bytes(b""), "cannot be read as parquet"),
        (columns_gone, "has no column 'iv'"),
        (column_of_text, "column 'bid' is String, should be Float64"),
    ],
)
def test_a_missing_or_damaged_recording(
    spoil: Callable[[Path], object], told: str, finished: Any, tmp_path: Path
) -> None:
    quotes = Path(shutil.copy(finished.quotes, tmp_path / "quotes.parquet"))
    spoil(quotes)
    said = refusal(demo(tmp_path / "home", quotes, finished.positions))
    assert str(quotes) in said
    assert told in said


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (None, None, "no such file"),
        ("110.0,", "111.0,", "line 5: the market has no XYZ 2026-04-17 111 C"),
        ("110.0,2.0", "110.0,two", "line 5, column position: 'two' is not a number"),
        ("average_cost", "cost", "has no column 'average_cost'"),
    ],
)
def test_a_wrong_positions_file(
    old: str | None, new: str | None, told: str, finished: Any, tmp_path: Path
) -> None:
    positions = tmp_path / "positions.csv"
    if old is not None and new is not None:
        positions.write_text(finished.positions.read_text().replace(old, new))
    said = refusal(demo(tmp_path / "home", finished.quotes, positions))
    assert str(positions) in said
    assert told in said


# --- rules, settings, words -----------------------------------------------------------------------


def test_wrong_rules_at_the_start_are_all_shown_and_nothing_starts(finished: Any, tmp_path: Path) -> None:
    rules = tmp_path / "mine.yaml"
    rules.write_text(
        "version: 1\nrules:\n  - {id: a, priority: 1, when: profitt > 50%, do: close}\n"
        "  - {id: b, priority: 2, when: dte < 7, do: clos}\n"
    )
    done = demo(tmp_path / "home", finished.quotes, finished.positions, "--rules", rules)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert f"optiond: {rules}:3:32: unknown fact profitt: did you mean profit" in done.stderr
    assert f"{rules}:4:45: unknown action clos: did you mean close?" in done.stderr


def test_a_missing_rules_file_is_one_line(tmp_path: Path) -> None:
    said = refusal(run(tmp_path, RULES="mine.yaml"))
    assert f"{tmp_path}/mine.yaml:1:1: cannot be read (No such file or directory)" in said


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        (
            "optiond.toml",
            "[broker]\nprot = 4002\n",
            "'broker.prot' ({0}): no such setting; did you mean broker.port?",
        ),
        ("optiond.toml", "[brokr]\nport = 1\n", "'brokr' ({0}): no such setting; did you mean broker?"),
        ("optiond.toml", "[sync]\nline_budget = 2\n", "'sync.line_budget' ({0}): Input should be greater"),
        ("optiond.toml", "x = [\n", "{0}: not valid TOML"),
        ("optiond.toml", b"\xff\xfe", "{0}: is not UTF-8 text"),
        ("optiond.toml", None, "{0}: cannot be read (Is a directory)"),
        ("secrets/broker__prot", "1", "secret file {0}: no such setting; did you mean broker__port?"),
        (
            "secrets/broker__port",
            "hunter2",
            "'broker.port' (secret file {0}): Input should be a valid integer",
        ),
        ("secrets/broker__account", b"\xff", "secret file {0}: is not UTF-8 text"),
        ("secrets/broker__account", None, "{0}: cannot be read (Is a directory)"),
        ("secrets", "", "{0}: cannot be read (Not a directory)"),
    ],
)
def test_wrong_settings_are_named_with_where_they_came_from(
    file: str, content: str | bytes | None, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["run", "--no-page", "--home", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert told.format(path) in said.err
    assert "hunter2" not in said.err, "a secret is not told"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("OPTIOND_BROKER__PROT", "no such setting; did you mean OPTIOND_BROKER__PORT?"),
        ("OPTIOND_BROKER", "no such setting"),
        ("OPTIOND_QQQQQQQQQQQQQQQQQ", "no such setting; remove it or correct its name"),
        ("OPTIOND_BROKER__PORT", "Input should be a valid integer"),
    ],
)
def test_wrong_variables_are_named(
    name: str, told: str, tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, "abc")
    assert main(["run", "--no-page", "--home", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert f"environment variable {name}" in said
    assert told in said


def test_a_secret_is_read_and_beaten_by_the_environment(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "broker__port").write_text(f"{free_port()}\n")
    (tmp_path / "secrets" / "broker__kind").write_text("interactive_brokers\n")
    port = free_port()
    assert f"no gateway at 127.0.0.1:{port}" in refusal(run(tmp_path, BROKER__PORT=port))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "required: COMMAND"),
        (("frobnicate",), "invalid choice: 'frobnicate'"),
        (("run", "--fast"), "unrecognized arguments: --fast"),
        (("run", "--speed", "0"), "0 is not a number above 0"),
        (("demo", "--replay", "q"), "required: --positions"),
        (("demo", "--replay", "q", "--positions", "p", "--for", "nan"), "nan is not a number above 0"),
        (("lake", "as-of"), "required: T, TABLE"),
    ],
)
def test_wrong_words_are_one_line_that_points_to_the_help(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    said = capsys.readouterr()
    assert (ended.value.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert told in said.err
    assert "--help" in said.err


def test_a_gateway_state_that_is_damaged_is_named(finished: Any, copy: Path) -> None:
    state = copy / "gateway" / "replay.sqlite"
    state.write_text("{")
    said = refusal(demo(copy, finished.quotes, finished.positions))
    assert f"state file {state} cannot be read" in said
    assert decisions(copy)


def test_a_gateway_account_of_an_earlier_version_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway" / "model.json").write_text('{"format": 1, "market": "model"}')
    said = refusal(run(tmp_path))
    assert str(tmp_path / "gateway" / "model.json") in said
    assert "move it away" in said


def test_keys_of_a_bucket_come_from_secrets_and_environment_and_are_refused_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "lake__secret_access_key").write_text("hunter2\n")
    monkeypatch.setenv("OPTIOND_LAKE__ACCESS_KEY_ID", "hunter3")
    settings = load_settings(tmp_path)
    key_id, secret = settings.lake.access_key_id, settings.lake.secret_access_key
    assert key_id is not None
    assert secret is not None
    assert (key_id.get_secret_value(), secret.get_secret_value()) == ("hunter3", "hunter2")
    assert "hunter" not in f"{settings!r} {settings} {settings.model_dump_json()} {settings.model_dump()}"
    (tmp_path / "optiond.toml").write_text('[lake]\nsecret_access_key = "hunter2"\n')
    assert main(["run", "--home", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "'lake.secret_access_key'" in said
    assert f"write it into the file {tmp_path}/secrets/lake__secret_access_key" in said
    assert "hunter" not in said

import asyncio
import json
import signal
import socket
import subprocess

import pytest

from broker.gateway import main
from broker.gateway.clock import PATIENCE_S
from tests.gateway.processes import FREE, running


def refused(capsys, *argv):
    """The one line that the program says before it ends with code 2."""
    assert main([*FREE, *argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_a_port_in_use_is_one_clear_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port}" in refused(capsys, "--port", port)
        assert "--control-port" in refused(capsys, "--control-port", port)


def test_arguments_that_do_not_fit_are_one_clear_line(capsys, tmp_path):
    assert "--quotes" in refused(capsys, "--market", "replay")
    assert "does not exist" in refused(
        capsys, "--market", "replay", "--quotes", str(tmp_path / "none.parquet")
    )
    for speed in ("-1", "nan", "inf"):
        assert "--speed" in refused(capsys, "--speed", speed)
    for words in (["--scenario", "gap"], ["--nights", "keep"], ["--quote-every", "5"]):
        said = refused(capsys, "--market", "script", *words)
        assert f"the script market has no {words[0]}" in said
    said = refused(
        capsys, "--market", "replay", "--quotes", "q.parquet", "--start", "2026-03-02T10:00:00-05:00"
    )
    assert "the replay market has no --start" in said
    assert "makes its own" in refused(capsys, "--quotes", "x")
    folder = tmp_path / "blocked"
    folder.write_text("")
    assert "state file" in refused(capsys, "--state", str(folder / "state.json"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_program_says_one_ready_line_and_stops_without_waiting_for_anybody_when_told(number, tmp_path):
    state = tmp_path / "state.json"
    words = (*FREE, "--state", str(state), "--home", "here")
    with running(*words, stderr=subprocess.PIPE) as (program, ready):
        assert set(ready) == {"ready", "port", "control_port", "account"}
        with socket.create_connection(("127.0.0.1", ready["control_port"])) as line:
            line.sendall(b'{"cmd": "status"}\n')
            status = json.loads(line.makefile().readline())
        assert (status["home"], status["market"], status["clients"]) == ("here", "model", [])
        socket.create_connection(("127.0.0.1", ready["port"])).close()
        program.send_signal(number)
        out, err = program.communicate(timeout=PATIENCE_S - 1)
        assert (program.returncode, out) == (0, "")
        assert "Traceback" not in err
        assert state.exists()


async def test_the_control_port_can_stop_the_program(open_bench):
    async with open_bench() as bench:
        await bench.tell("shutdown")
        await asyncio.wait_for(bench.gateway.stop.wait(), 1)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--market", "nosuch"], "choose from"),
        (["--port", "many"], "invalid int value"),
        (["--port", "99999"], "99999 is no port: use 0 to 65535"),
        (["--control-port", "-1"], "-1 is no port: use 0 to 65535"),
        (["--lines", "0"], "0 is below 1: use 1 or more"),
        (["--quote-every", "-3"], "-3 is below 1: use 1 or more"),
        (["--account", ""], "'' is no account: use letters and digits"),
        (["--start", "2026-03-02T10:00"], "needs a time zone"),
        (["--start", "soon"], "invalid time value: 'soon'"),
        (["--nosuch"], "unrecognized arguments: --nosuch"),
        (["print"], "the following arguments are required: FILE"),
        (["print", "today.rec", "--kind", "openOder"], "no message is called 'openOder'"),
        (["print", "today.rec", "--from", "noon"], "invalid time value: 'noon'"),
        (["print", "today.rec", "--only", "ticks"], "choose from"),
        (["check"], "the following arguments are required: FILE"),
        (["play", "today.rec", "--port", "x"], "invalid int value"),
    ],
)
def test_words_that_make_no_sense_are_one_line_that_points_to_the_help(words, part, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert part in err
    assert err.endswith(" --help\n")


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("status", 'not JSON (Expecting value: line 1 column 1 (char 0)): write one like {"cmd": "status"}'),
        ("[]", 'no command: write one like {"cmd": "status"}'),
        ('{"cmd": "speed"}', "'speed' is missing"),
        ('{"cmd": "speed", "speed": "fast"}', 'speed must be a number from 0, not "fast"'),
        ('{"cmd": "speed", "speed": Infinity}', "speed must be a number from 0, not Infinity"),
        ('{"cmd": "step", "seconds": -1}', "seconds must be a number from 0, not -1"),
    ],
)
async def test_a_command_that_makes_no_sense_is_told_what_is_wrong(line, part, open_bench):
    async with open_bench() as bench:
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.control_port)
        writer.write(f"{line}\n".encode())
        reply = json.loads(await reader.readline())
        assert reply["ok"] is False
        assert reply["error"].startswith(f"{line}: {part}")
        writer.close()


def test_a_scenario_that_there_is_not_is_answered_with_those_that_there_are(capsys):
    said = refused(capsys, "--scenario", "nosuch")
    assert "no scenario 'nosuch': there are calm, grind, crash_2020" in said


@pytest.mark.parametrize("words", [[], ["print"], ["check"], ["play"]])
def test_every_command_has_help_that_fits_a_terminal(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert f"usage: optiond gateway {' '.join(words)}".rstrip() in out
    assert max(len(line) for line in out.splitlines()) <= 80

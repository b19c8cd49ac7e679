"""One change of the rules file, by command and over the control API: whole or not at all."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Header, HTTPException

import rules
from daemon.rules_edit import edited
from daemon.rules_edit_control import edit_routes
from options import RuleError
from tests.daemon.answer import Answer

Ask = Callable[..., Answer]

TEXT = """version: 1   # mine
rules:
  - id: take   # the money
    priority: 1
    when: profit >= $full
    params: {full: 80%}
    do: close
    examples: {fires: {profit: 80%}, quiet: {profit: 79%}}
  - {id: stop, priority: 2, when: profit <= $loss, params: {loss: -200%}, do: {close: market}}
"""
MUTE = "\nmutes:\n  - {rule: take, on: IWM, until: 2026-03-20, reason: earnings on Thursday}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(TEXT)
    return path


# --- by command ----------------------------------------------------------------------------------


def test_a_number_is_set_and_all_else_stays(file: Path, ask: Ask) -> None:
    answer = ask("rules", "set", "stop.loss", "-250%", "--file", file)
    assert file.read_text() == TEXT.replace("-200%", "-250%")
    revision = rules.load(file).revision
    assert (answer.code, answer.out) == (
        0,
        f"{file}: stop.loss is -250%, revision {revision}; "
        "a running daemon takes it up like any saved edit\n",
    )
    assert ask("rules", "set", "stop.loss", "-3x", "--file", file, "--json").json() == {
        "path": str(file),
        "revision": rules.load(file).revision,
    }


def test_examples_move_only_when_that_is_asked_for(file: Path, ask: Ask) -> None:
    refused = ask("rules", "set", "take.full", "85%", "--file", file)
    assert refused.code == 1
    assert "take is quiet on this example of fires" in refused.err
    assert file.read_text() == TEXT
    assert ask("rules", "set", "take.full", "85%", "--move-examples", "--file", file).code == 0
    assert file.read_text() == TEXT.replace("80%", "85%")


def test_a_rule_is_muted_unmuted_and_put_into_another_mode(file: Path, ask: Ask) -> None:
    muted = ("take", "IWM", "--file", file)
    answer = ask("rules", "mute", *muted, "--until", "2026-03-20", "--reason", "earnings on Thursday")
    assert answer.code == 0
    assert "take is muted on IWM until 2026-03-20" in answer.out
    assert file.read_text() == TEXT + MUTE
    assert ask("rules", "unmute", *muted).code == 0
    assert file.read_text() == TEXT + "\nmutes:\n"
    assert ask("rules", "mode", "stop", "shadow", "--file", file).code == 0
    assert rules.load(file).rules[1].mode == "shadow"


def test_a_mute_needs_its_end_and_its_reason(file: Path, ask: Ask) -> None:
    assert ask("rules", "mute", "take", "IWM", "--reason", "x", "--file", file).code == 2
    assert ask("rules", "mute", "take", "IWM", "--until", "2026-03-20", "--file", file).code == 2


def test_the_rules_of_the_home_are_meant_unless_another_file_is_named(tmp_path: Path, ask: Ask) -> None:
    refused = ask("rules", "set", "stop_loss.loss", "-3x", "--home", tmp_path)
    assert (refused.code, "no rules of its own yet" in refused.err) == (1, True)
    (tmp_path / "rules.yaml").write_text(TEXT)
    assert ask("rules", "set", "stop.loss", "-3x", "--home", tmp_path).code == 0
    assert (tmp_path / "rules.yaml").read_text() == TEXT.replace("-200%", "-3x")


# --- the file ------------------------------------------------------------------------------------


def to_market(text: str) -> str:
    return text.replace("do: close\n", "do: {close: market}\n")


def test_what_the_file_is_stays_link_mode_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    real, link = tmp_path / "real.yaml", tmp_path / "link.yaml"
    real.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    real.chmod(0o640)
    link.symlink_to(real)
    edited(link, lambda text: text.replace("80%}\r\n", "80.0%}\r\n"))
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    changed = TEXT.replace("{full: 80%}", "{full: 80.0%}").replace("\n", "\r\n")
    assert real.read_bytes() == b"\xef\xbb\xbf" + changed.encode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.yaml", "real.yaml"]


def test_the_file_that_has_the_rule_is_written_and_no_other(file: Path) -> None:
    top = file.with_name("top.yaml")
    top.write_text("extends: mine.yaml\nremove: [stop]\n")
    before = top.stat()
    book = edited(top, to_market)
    assert file.read_text() == to_market(TEXT)
    assert top.stat().st_mtime_ns == before.st_mtime_ns
    assert book.files == (top, file)


def test_a_file_that_is_saved_meanwhile_is_not_overwritten(file: Path) -> None:
    def slow(text: str) -> str:
        file.write_text(TEXT + "# by somebody else\n")
        return to_market(text)

    with pytest.raises(RuleError, match="was changed meanwhile: look at it again"):
        edited(file, slow)
    assert file.read_text() == TEXT + "# by somebody else\n"
    with pytest.raises(RuleError, match="was changed meanwhile, to revision"):
        edited(file, to_market, seen=rules.revision_of(TEXT))


def test_a_folder_that_takes_no_file_beside_it_is_told(file: Path) -> None:
    # A name so long that no other file can be made beside it: what stops even root.
    long = file.rename(file.with_name("x" * 245 + ".yaml"))
    with pytest.raises(RuleError, match=r"cannot be written \(File name too long\); nothing was changed"):
        edited(long, to_market)
    assert long.read_text() == TEXT


def test_the_shipped_rules_are_never_written() -> None:
    with pytest.raises(RuleError, match="no rules of its own yet"):
        edited(rules.default_rules_path(), to_market)


# --- over the control API ------------------------------------------------------------------------


@pytest.fixture
def api(file: Path) -> Iterator[httpx.Client]:
    def owner(authorization: str = Header(default="")) -> None:
        if authorization != "Bearer right":
            raise HTTPException(401)

    app = FastAPI()
    app.include_router(edit_routes(owner, file, lambda: datetime(2026, 3, 22, tzinfo=UTC)))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    listener = server.config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with httpx.Client(base_url=url, headers={"Authorization": "Bearer right"}, trust_env=False) as client:
        yield client
    server.should_exit = True
    thread.join(5)
    listener.close()


def test_the_api_shows_the_file_and_what_is_wrong_with_it(api: httpx.Client, file: Path) -> None:
    shown = (api.get("/rules/file")).json()
    assert (shown["revision"], shown["error"]) == (rules.revision_of(TEXT), None)
    assert shown["rules"][0]["parameters"] == {"full": "80%"}
    assert shown["rules"][0]["when"] == ["profit >= $full"]
    both = "{any: [profit >= $full and dte > 1d, {all: [dte <= 1d, lots > 1]}, lots > 9]}"
    file.write_text(TEXT.replace("profit >= $full", both).replace("{profit: 80%}", "{lots: 10}"))
    assert api.get("/rules/file").json()["rules"][0]["when"] == [
        "(profit >= $full and dte > 1d) or (dte <= 1d and lots > 1) or lots > 9"
    ]
    file.write_text(TEXT.replace("profit >=", "proft >="))
    shown = (api.get("/rules/file")).json()
    assert shown["revision"] is None
    assert "unknown fact proft" in shown["error"]
    file.write_text(TEXT + MUTE)
    (mute,) = (api.get("/rules/file")).json()["mutes"]
    assert mute["said"] == "muted on IWM until the end of 2026-03-20: earnings on Thursday"
    assert mute["ended"] is True


def test_every_change_goes_through_the_api(api: httpx.Client, file: Path) -> None:
    asked: dict[str, Any] = {"actor": "page", "revision": rules.revision_of(TEXT)}
    for path, body in (
        ("parameter", {"rule": "stop", "parameter": "loss", "value": "-3x"}),
        ("mode", {"rule": "stop", "mode": "off"}),
        ("mute", {"rule": "take", "on": "IWM", "until": "2026-03-20", "reason": "earnings on Thursday"}),
        ("unmute", {"rule": "take", "on": "IWM"}),
    ):
        answer = api.post(f"/rules/file/{path}", json={**asked, **body})
        assert answer.status_code == 200, answer.text
        asked["revision"] = answer.json()["revision"]
    assert asked["revision"] == rules.load(file).revision
    assert file.read_text() == (
        TEXT.replace("-200%", "-3x").replace("{id: stop,", "{id: stop, mode: off,") + "\nmutes:\n"
    )


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        ({"value": "85"}, {}, 409, "profit is a ratio"),
        ({"value": "85%"}, {}, 409, "take is quiet on this example of fires"),
        ({"value": "85%", "revision": "older"}, {}, 409, "was changed meanwhile, to revision"),
        ({"value": "85%", "rule": "tkae"}, {}, 409, "there is no rule tkae: did you mean take?"),
        ({"value": ""}, {}, 422, "at least 1 character"),
        ({"value": "85%"}, {"Authorization": "Bearer wrong"}, 401, ""),
    ],
)
def test_a_refused_change_leaves_the_file_as_it_is(
    api: httpx.Client, file: Path, body: dict[str, str], headers: dict[str, str], status: int, said: str
) -> None:
    asked = {
        "actor": "page",
        "revision": rules.revision_of(TEXT),
        "rule": "take",
        "parameter": "full",
        **body,
    }
    answer = api.post("/rules/file/parameter", json=asked, headers=headers)
    assert answer.status_code == status
    assert said in answer.text
    assert file.read_text() == TEXT

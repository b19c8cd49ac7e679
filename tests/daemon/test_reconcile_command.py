"""`optiond reconcile` over the control API: its exit code, words and JSON are what scripts rely on."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI, Header, HTTPException

from daemon.cli import main
from daemon.control import bind, serving
from daemon.reconcile_control import reconcile_routes
from tests.daemon.books import Books, opened_books

pytestmark = [pytest.mark.slow]


@asynccontextmanager
async def controlled(books: Books) -> AsyncIterator[None]:
    """The control API of the engine, as the command finds it in the home."""
    app, listener = FastAPI(), bind("127.0.0.1", 0)

    def owner(authorization: str = Header("")) -> None:
        if authorization != "Bearer secret":
            raise HTTPException(401, "wrong token")

    app.include_router(reconcile_routes(owner, lambda: books.engine.compare(books.pulse.now())))
    (books.home / "control.json").write_text(json.dumps({"port": listener.getsockname()[1]}))
    (books.home / "control.token").write_text("secret")
    async with serving(app, listener):
        yield


async def test_it_compares_at_once_and_tells_what_differs_and_what_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def said(*words: str) -> tuple[int, str]:
        code = await asyncio.to_thread(main, ["reconcile", "--home", str(tmp_path / "home"), *words])
        return code, capsys.readouterr().out

    async with opened_books(tmp_path) as books, controlled(books):
        await books.live(10)
        assert (await said())[0] == 0
        assert (await said()) == (0, "our books and the broker's agree\n")
        await books.by_hand("SELL", 105, 1)
        code, out = await said()
        assert code == 1
        assert "resolved  missing_here     XYZ 2026-04-17 85 P: ours —, broker's -1 at" in out
        assert "STANDS    naked_short      XYZ 2026-04-17 85 P: ours —, broker's 1 short, not covered" in out
        code, out = await said("--json")
        answer = json.loads(out)
        assert (code, [each["kind"] for each in answer["found"]]) == (1, ["naked_short"])
        assert answer["standing"][0]["critical"] is True
        assert books.held()[105] == -1
    code, out = await said()
    assert (code, "no daemon answers" in out) == (3, True)

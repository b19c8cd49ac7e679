"""What a human may say about the rules, over the control API: approve, reject, roll back."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from fastapi import APIRouter, HTTPException
from fastapi.params import Depends
from pydantic import BaseModel, Field

from daemon.clock import Pulse
from daemon.engine import Engine
from daemon.rules_standing import NOTHING_BEFORE, rules_named
from options import RuleError


class Word(BaseModel):
    """Who says it, of which revision (its first six characters are enough), and why."""

    revision: str = Field(min_length=6, max_length=64)
    actor: str = Field(min_length=1, max_length=100)
    reason: str = Field(default="by hand", min_length=1, max_length=500)


class RollBack(BaseModel):
    """`revision` None: the one in force before. `now`: whatever it would act on."""

    revision: str | None = Field(default=None, min_length=6, max_length=64)
    actor: str = Field(min_length=1, max_length=100)
    now: bool = False


class RulesWord(Protocol):
    """Who does what a human says of the rules. All raise RuleError, saying why not, and give the revision."""

    def status(self) -> dict[str, Any]: ...

    async def approve(self, word: Word) -> str: ...

    async def reject(self, word: Word) -> str: ...

    async def roll_back(self, wish: RollBack) -> str: ...


class RulesHand:
    """Does it on a running engine."""

    def __init__(self, home: Path, engine: Engine, pulse: Pulse) -> None:
        self._home = home
        self._engine = engine
        self._pulse = pulse

    def status(self) -> dict[str, Any]:
        return self._engine.reload.status()

    async def approve(self, word: Word) -> str:
        engine = self._engine
        return await engine.change_rules(
            lambda now: engine.reload.approve(word.revision, word.actor, now), self._pulse.now()
        )

    async def reject(self, word: Word) -> str:
        engine = self._engine
        return await engine.change_rules(
            lambda now: engine.reload.reject(word.revision, word.actor, word.reason, now), self._pulse.now()
        )

    async def roll_back(self, wish: RollBack) -> str:
        engine = self._engine
        wanted = wish.revision or engine.rules.before
        if wanted is None:
            raise RuleError(NOTHING_BEFORE)
        book = await asyncio.to_thread(rules_named, self._home, wanted, engine.reload.path)
        return await engine.change_rules(
            lambda now: engine.reload.roll_back(book, wish.actor, wish.now, now), self._pulse.now()
        )


def rules_routes(owner: Callable[..., None], rules: RulesWord) -> APIRouter:
    """The routes; what acts asks for the `owner`."""
    router = APIRouter()

    @router.get("/rules")
    async def read_rules() -> dict[str, Any]:
        return rules.status()

    @router.post("/rules/approve", dependencies=[Depends(owner)])
    async def approve(word: Word) -> dict[str, Any]:
        return await _answer(rules.approve(word))

    @router.post("/rules/reject", dependencies=[Depends(owner)])
    async def reject(word: Word) -> dict[str, Any]:
        return await _answer(rules.reject(word))

    @router.post("/rules/rollback", dependencies=[Depends(owner)])
    async def roll_back(wish: RollBack) -> dict[str, Any]:
        return await _answer(rules.roll_back(wish))

    async def _answer(done: Any) -> dict[str, Any]:
        try:
            revision = await done
        except RuleError as error:
            raise HTTPException(409, str(error)) from error
        return {**rules.status(), "done": revision}

    return router

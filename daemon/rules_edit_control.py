"""The rules file over the control API: what is in it, and one change at a time."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import structlog
from fastapi import APIRouter, HTTPException
from fastapi.params import Depends
from pydantic import BaseModel, Field

import rules
from daemon.rules_edit import Edit, edited
from options import RuleError
from rules.edit import with_mode, with_mute, with_parameter, without_mute
from rules.expression import All, AnyOf, Node

log = structlog.get_logger()


class Change(BaseModel):
    """Who changes which rule; `revision` is the one that was looked at."""

    actor: str = Field(min_length=1, max_length=100)
    revision: str = Field(min_length=1, max_length=64)
    rule: str = Field(min_length=1, max_length=200)


class ParameterChange(Change):
    """`override`: the value for that structure, strategy, underlying or regime only."""

    parameter: str = Field(min_length=1, max_length=200)
    value: str = Field(min_length=1, max_length=200)
    override: str | None = Field(default=None, min_length=1, max_length=200)
    move_examples: bool = False


class ModeChange(Change):
    mode: Literal["off", "shadow", "live"]


class Unmute(Change):
    on: str = Field(min_length=1, max_length=200)


class Mute(Unmute):
    until: str = Field(min_length=1, max_length=100)
    reason: str = Field(min_length=1, max_length=500)


class _Reader:
    """Reads the rules file when it has changed: pages ask every other second."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: tuple[Path, ...] = (path,)
        self._stamps: list[tuple[int, int] | None] = []
        self._read: rules.Rulebook | rules.RulesInvalid | None = None

    def read(self) -> rules.Rulebook | rules.RulesInvalid:
        """The rules of the file, or what is wrong with them."""
        stamps = [_stamp(file) for file in self._files]
        if self._read is None or stamps != self._stamps:
            try:
                self._read = rules.load(self._path)
            except rules.RulesInvalid as error:
                self._read = error
            # What is saved while it is read is read again: the stamps are from before.
            self._stamps = stamps if self._read.files == self._files else []
            self._files = self._read.files
        return self._read


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def edit_routes(owner: Callable[..., None], path: Path, now: Callable[[], datetime]) -> APIRouter:
    """The routes for the rules file at `path`; what changes it asks for the `owner`."""
    router = APIRouter()
    turn = asyncio.Lock()

    async def changed(change: Change, what: str, edit: Edit) -> dict[str, Any]:
        async with turn:
            try:
                book = await asyncio.to_thread(edited, path, edit, change.revision)
            except RuleError as error:
                raise HTTPException(409, str(error)) from error
        log.info("rules.edited", path=str(path), rule=change.rule, what=what, actor=change.actor,
                 before=change.revision, revision=book.revision)  # fmt: skip
        return book_data(book, now())

    reader = _Reader(path)

    @router.get("/rules/file")
    async def read_file() -> dict[str, Any]:
        book = await asyncio.to_thread(reader.read)
        if isinstance(book, rules.Rulebook):
            return book_data(book, now())
        return {"path": str(path), "revision": None, "error": str(book), "rules": [], "mutes": []}

    @router.post("/rules/file/parameter", dependencies=[Depends(owner)])
    async def set_parameter(change: ParameterChange) -> dict[str, Any]:
        def edit(text: str) -> str:
            return with_parameter(
                text, change.rule, change.parameter, change.value, change.override, change.move_examples
            )

        return await changed(change, f"{change.parameter} {change.value}", edit)

    @router.post("/rules/file/mode", dependencies=[Depends(owner)])
    async def set_mode(change: ModeChange) -> dict[str, Any]:
        return await changed(change, change.mode, lambda text: with_mode(text, change.rule, change.mode))

    @router.post("/rules/file/mute", dependencies=[Depends(owner)])
    async def mute(change: Mute) -> dict[str, Any]:
        def edit(text: str) -> str:
            return with_mute(text, change.rule, change.on, change.until, change.reason)

        return await changed(change, f"muted on {change.on} until {change.until}", edit)

    @router.post("/rules/file/unmute", dependencies=[Depends(owner)])
    async def unmute(change: Unmute) -> dict[str, Any]:
        return await changed(
            change, f"not muted on {change.on}", lambda text: without_mute(text, change.rule, change.on)
        )

    return router


def book_data(book: rules.Rulebook, now: datetime) -> dict[str, Any]:
    """The rules as plain data: parameters as they are written, mutes with what they say."""
    return {
        "path": book.path,
        "revision": book.revision,
        "error": None,
        "rules": [
            {
                "id": rule.id,
                "priority": rule.priority,
                "mode": rule.mode,
                "scope": rule.scope,
                "path": rule.path,
                "when": [_written(tier.when) for tier in rule.tiers],
                "parameters": {name: literal.source.text for name, literal in rule.parameters.items()},
                "overrides": {
                    target: {name: literal.source.text for name, literal in values.items()}
                    for target, values in rule.overrides.items()
                },
            }
            for rule in book.rules
        ],
        "mutes": [
            {
                "rule": mute.rule,
                "on": mute.on,
                "until": mute.until.isoformat(),
                "reason": mute.reason,
                "said": rules.told(mute),
                "ended": mute.until <= now,
            }
            for mute in book.mutes
        ],
    }


def _written(condition: Node) -> str:
    """A condition on one line; those of lists are joined by their word."""
    if not isinstance(condition, All | AnyOf) or condition.source.text not in ("all of", "any of"):
        return condition.source.text
    word, other = ("and", " or ") if isinstance(condition, All) else ("or", " and ")
    parts = [_written(part) for part in condition.parts]
    return f" {word} ".join(f"({part})" if other in part else part for part in parts)

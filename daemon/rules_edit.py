"""`optiond rules set`, `mode`, `mute` and `unmute`: one change of the rules file, which stays the trader's.

Only the characters of what is changed are written anew. The file is replaced as a whole, by one that is on
the disk already, and only when it is still what was read; a daemon takes it up like any saved edit.
"""

import argparse
import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import rules
from daemon.rulebook import rules_path
from options import RuleError
from rules.chain import split_text
from rules.edit import with_mode, with_mute, with_parameter, without_mute

Edit = Callable[[str], str]
"""The text of a rulebook, changed."""


def edited(path: Path, edit: Edit, seen: str | None = None) -> rules.Rulebook:
    """The rules after a change of their file, or of one that it extends.

    `seen`: the revision that whoever asks has looked at. Raises RuleError when the file is another one by
    now, when it cannot be written, and what `edit` raises; nothing is written then.
    """
    if path == rules.default_rules_path():
        raise RuleError("the home has no rules of its own yet: the first `optiond run` puts them there")
    book = rules.load(path)
    if seen is not None and seen != book.revision:
        raise RuleError(f"{path} was changed meanwhile, to revision {book.revision}: look at it again")
    text = edit(book.text)
    old, new = split_text(book.text), split_text(text)
    if len(book.files) == 1:
        old, new = [book.text], [text]
    elif len(book.files) != len(old):
        raise RuleError(f"{path} extends a file that has several in it: edit the file itself")
    for file, before, after in zip(book.files, old, new, strict=True):
        if before != after:
            _replace(file, before, after)
    return rules.load(path)


def set_parameter(arguments: argparse.Namespace) -> int:
    """Another value for a parameter."""
    rule, _, parameter = arguments.parameter.partition(".")
    if not (rule and parameter):
        raise RuleError(f"{arguments.parameter}: name a rule and its parameter, such as take_profit.full")

    def edit(text: str) -> str:
        return with_parameter(
            text, rule, parameter, arguments.value, arguments.override, arguments.move_examples
        )

    where = f" for {arguments.override}" if arguments.override else ""
    return _tell(arguments, edit, f"{arguments.parameter}{where} is {arguments.value}")


def set_mode(arguments: argparse.Namespace) -> int:
    """Another mode for a rule."""
    said = f"{arguments.rule} is {arguments.mode}"
    return _tell(arguments, lambda text: with_mode(text, arguments.rule, arguments.mode), said)


def mute(arguments: argparse.Namespace) -> int:
    """Let a rule only decide on something, until a time."""

    def edit(text: str) -> str:
        return with_mute(text, arguments.rule, arguments.on, arguments.until, arguments.reason)

    return _tell(arguments, edit, f"{arguments.rule} is muted on {arguments.on} until {arguments.until}")


def unmute(arguments: argparse.Namespace) -> int:
    """Let it act again."""
    said = f"{arguments.rule} is not muted on {arguments.on} any more"
    return _tell(arguments, lambda text: without_mute(text, arguments.rule, arguments.on), said)


def _tell(arguments: argparse.Namespace, edit: Edit, said: str) -> int:
    path = arguments.file or rules_path(arguments.home)
    book = edited(path, edit)
    if arguments.json:
        print(json.dumps({"path": str(path), "revision": book.revision}))
    else:
        print(f"{path}: {said}, revision {book.revision}; a running daemon takes it up like any saved edit")
    return 0


def _replace(file: Path, before: str, after: str) -> None:
    """Put the new text in place of the old one, whole or not at all."""
    file = file.resolve()  # a link stays a link
    fresh = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        raw = file.read_bytes()
        mark = raw[:3] if raw.startswith(b"\xef\xbb\xbf") else b""
        if raw[len(mark) :] != before.encode():
            raise RuleError(f"{file} was changed meanwhile: look at it again")
        try:
            _write(fresh, mark + after.encode(), file.stat().st_mode & 0o7777)
            if file.read_bytes() != raw:
                raise RuleError(f"{file} was changed meanwhile: look at it again")
            fresh.replace(file)
            _sync_folder(file.parent)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise RuleError(f"{file}: cannot be written ({error.strerror}); nothing was changed") from error


def _write(path: Path, content: bytes, mode: int) -> None:
    with path.open("xb") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """What was renamed stays so after a power cut; where folders cannot be synced there is nothing to do."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

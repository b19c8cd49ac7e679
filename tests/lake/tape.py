"""What a power cut would leave: every change of a folder on a tape, and the disk as it was at any cut.

`recording` lets a child process run under the file layer of tape.c. `Disk` plays its tape up to a cut; what
was not brought to disk by then (fsync) is lost, wholly or in part, as `Loss` says.
"""

import random
import shutil
import struct
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from functools import cache
from pathlib import Path

_HEAD = struct.Struct("<IIIIQqQ")
_SECTOR = 512


class Kind(IntEnum):
    """The changes on a tape, numbered as in tape.c."""

    CREATE = 1
    MKDIR = 2
    WRITE = 3
    RESIZE = 4
    SYNC = 5
    RENAME = 6
    LINK = 7
    UNLINK = 8
    RMDIR = 9
    SAID = 10
    MAP = 11


class Loss(Enum):
    """What becomes of changes that no fsync covers."""

    ALL = "nothing of them is there"
    NONE = "all of them are there"
    CONTENT = "new names are there, without content"
    ZEROS = "names and sizes are there, zeros for content"
    RANDOM = "each is there, is not, or is torn between two sectors"


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `data`: what was written or said; `offset`: where, or the new size."""

    kind: Kind
    path: str
    other: str
    inode: int
    offset: int
    data: bytes


@cache
def library(folder: Path) -> Path:
    """The file layer, compiled into `folder`."""
    built = folder / "tape.so"
    source = Path(__file__).with_name("tape.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", built, source, "-ldl", "-lpthread"], check=True)
    return built


def recording(layer: Path, tape: Path, root: Path, kill_at: int = 0) -> dict[str, str]:
    """The environment in which a child's changes below `root` go on `tape`; it dies before the given one."""
    return {
        "LD_PRELOAD": str(layer),
        "TAPE": str(tape),
        "TAPE_ROOT": str(root),
        "TAPE_KILL": str(kill_at),
    }


def read(tape: Path, root: Path) -> list[Change]:
    """The changes on a tape, their paths relative to `root`; one that was cut off by a kill is left out."""
    content, place, changes = tape.read_bytes(), 0, []
    while place + _HEAD.size <= len(content):
        kind, path, other, _, inode, offset, size = _HEAD.unpack_from(content, place)
        place += _HEAD.size
        carries = size if kind in (Kind.WRITE, Kind.SAID) else 0
        if place + path + other + carries > len(content):
            break
        names = content[place : place + path + other].decode()
        data = content[place + path + other : place + path + other + carries]
        place += path + other + carries
        changes.append(
            Change(Kind(kind), _below(root, names[:path]), _below(root, names[path:]), inode, offset, data)
        )
    return changes


def _below(root: Path, path: str) -> str:
    return path.removesuffix(" (deleted)").removeprefix(str(root)).removeprefix("/")


@dataclass(eq=False)
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """(offset, data), or (size, None) for a new size."""

    def sync(self) -> None:
        for each in self.pending:
            _apply(self.durable, *each)
        self.pending.clear()

    def left(self, loss: Loss, chance: random.Random) -> bytes:
        content = bytearray(self.durable)
        if loss is Loss.NONE:
            for each in self.pending:
                _apply(content, *each)
        elif loss is Loss.ZEROS:
            size = len(self.durable)
            for offset, data in self.pending:
                size = offset if data is None else max(size, offset + len(data))
            content = content[:size] + bytes(max(0, size - len(content)))
        elif loss is Loss.RANDOM:
            for offset, data in self.pending:
                fate = chance.choice(("lost", "there", "torn"))
                if fate == "torn" and data is not None:
                    _apply(content, offset, data[: chance.randrange(0, len(data), _SECTOR)])
                elif fate == "there":
                    _apply(content, offset, data)
        return bytes(content)


@dataclass(eq=False)
class _Folder:
    durable: dict[str, "_File | _Folder"] = field(default_factory=dict)
    names: dict[str, "_File | _Folder"] = field(default_factory=dict)
    pending: list[dict[str, "_File | _Folder | None"]] = field(default_factory=list)
    """Names that came (or went: None), in groups that come together (a rename)."""

    def change(self, group: "dict[str, _File | _Folder | None]") -> None:
        self.pending.append(group)
        _rename(self.names, group)

    def sync(self) -> None:
        self.durable = dict(self.names)
        self.pending.clear()

    def left(self, loss: Loss, chance: random.Random) -> "dict[str, _File | _Folder]":
        if loss is Loss.ALL:
            return self.durable
        if loss is not Loss.RANDOM:
            return self.names
        names = dict(self.durable)
        for group in self.pending:
            if chance.random() < 0.5:
                _rename(names, group)
        return names


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    end = offset if data is None else offset + len(data)
    if data is None:
        del content[offset:]
    if end > len(content):
        content.extend(bytes(end - len(content)))
    if data is not None:
        content[offset:end] = data


def _rename(names: "dict[str, _File | _Folder]", group: "Mapping[str, _File | _Folder | None]") -> None:
    for name, what in group.items():
        if what is None:
            names.pop(name, None)
        else:
            names[name] = what


class Disk:
    """A folder's disk, which changes as the tape is played. What it starts with is all on disk."""

    def __init__(self, start: Path | None = None) -> None:
        self._root = _Folder()
        self._inodes: dict[int, _File | _Folder] = {}
        if start is not None:
            self._take_in(start, self._root)

    def _take_in(self, path: Path, folder: _Folder) -> None:
        for each in path.iterdir():
            what: _File | _Folder
            if each.is_dir():
                what = _Folder()
                self._take_in(each, what)
            else:
                what = _File(bytearray(each.read_bytes()))
            self._inodes[each.stat().st_ino] = what
            folder.change({each.name: what})
        folder.sync()

    def play(self, changes: list[Change], deaf_to: str | None = None) -> Iterator[int]:
        """Make the changes one by one; gives how many are made. Syncs of paths with `deaf_to` do nothing."""
        yield 0
        for number, change in enumerate(changes, 1):
            if not (change.kind is Kind.SYNC and deaf_to is not None and deaf_to in change.path):
                self._make(change)
            yield number

    def _make(self, change: Change) -> None:
        inode = change.inode
        match change.kind:
            case Kind.CREATE | Kind.MKDIR:
                self._inodes[inode] = _File() if change.kind is Kind.CREATE else _Folder()
                folder, name = self._above(change.path)
                folder.change({name: self._inodes[inode]})
            case Kind.WRITE | Kind.RESIZE:
                file = self._inodes[inode]
                assert isinstance(file, _File)
                file.pending.append((change.offset, change.data if change.kind is Kind.WRITE else None))
            case Kind.SYNC:
                (self._inodes[inode] if change.path else self._root).sync()
            case Kind.RENAME:
                (old, old_name), (new, new_name) = self._above(change.path), self._above(change.other)
                assert old is new, "renamed into another folder"
                old.change({old_name: None, new_name: old.names[old_name]})
            case Kind.LINK:
                (old, old_name), (new, new_name) = self._above(change.path), self._above(change.other)
                new.change({new_name: old.names[old_name]})
            case Kind.UNLINK | Kind.RMDIR:
                folder, name = self._above(change.path)
                folder.change({name: None})
            case Kind.MAP:
                assert change.path.endswith("-shm"), f"{change.path} is written past the file layer"

    def _above(self, path: str) -> tuple[_Folder, str]:
        *above, name = path.split("/")
        folder = self._root
        for each in above:
            inner = folder.names[each]
            assert isinstance(inner, _Folder)
            folder = inner
        return folder, name

    def leave(self, target: Path, loss: Loss, chance: random.Random) -> None:
        """Write into the new folder `target` what a power cut now would leave."""
        shutil.rmtree(target, ignore_errors=True)
        _write(target, self._root, loss, chance)


def _write(target: Path, folder: _Folder, loss: Loss, chance: random.Random) -> None:
    target.mkdir()
    for name, what in folder.left(loss, chance).items():
        if isinstance(what, _Folder):
            _write(target / name, what, loss, chance)
        else:
            (target / name).write_bytes(what.left(loss, chance))

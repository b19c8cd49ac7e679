"""A rules file and the files that it extends, one after the other: on disk, and as one text.

As one text they stand below each other, parted by marks, so that what the lake keeps of a revision is
whole: it can be read, and replayed, without any of the files.
"""

import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from rules.problem import Mark, Problems, RulesInvalid
from rules.source import MAX_BYTES, TOO_LARGE, Mapping, Scalar, read_text, read_tree, size_of

MAX_FILES = 5

_MARKED = re.compile(r"\n#--- extended: (.*) ---\r?\n")


@dataclass(frozen=True, slots=True)
class Link:
    """One file of a chain.

    `name` is what the file before calls it, `path` what messages call it; `tree` is None when it cannot be
    read or is not YAML, which is noted in `problems` then.
    """

    name: str
    path: str
    text: str
    tree: Mapping | None
    problems: Problems

    @property
    def extends(self) -> Scalar | None:
        """The name of the file that this one extends."""
        value = self.tree.get("extends") if self.tree else None
        return value if isinstance(value, Scalar) and value.text.strip() else None


@dataclass(frozen=True, slots=True)
class Chain:
    """The file itself first, then what it extends, and so on. `files`: where they were looked for."""

    links: tuple[Link, ...]
    files: tuple[Path, ...] = ()

    @property
    def text(self) -> str:
        """All of them as one text."""
        first, *others = self.links
        return first.text + "".join(f"\n#--- extended: {link.name} ---\n{link.text}" for link in others)


def split_text(text: str) -> list[str]:
    """The texts of the files that were put into one, in their order; most texts are of one file."""
    return _MARKED.split(text)[::2]


def joined_text(like: str, texts: Sequence[str]) -> str:
    """The opposite of `split_text`: these texts with the marks that `like` has between its own."""
    marks = [match.group(0) for match in _MARKED.finditer(like)]
    return "".join(part for pair in zip(texts, [*marks, ""], strict=True) for part in pair)


def chain_of_text(text: str, path: str, stored: bool = False) -> Chain:
    """The files that are in a text; `path` names the first. `stored` as of Problems."""
    links = _links_of(text, path, path, stored)
    last = links[-1]
    if last.extends and len(links) <= MAX_FILES:
        said = f"{last.extends.text} is not part of this text: load the file that this text is from"
        last.problems.add(last.extends.mark, said)
    return _checked(Chain(tuple(links)))


def read_chain(path: Path) -> Chain:
    """The file and all that it extends; what cannot be read is noted."""
    links, files = _links_at(path, path.name), [path]
    while (extends := links[-1].extends) and len(links) <= MAX_FILES:
        following = files[-1].parent / extends.text
        if why_not := _why_not(following, files):
            said = f"{extends.text} cannot be extended ({why_not}): name a file, seen from this one's folder"
            links[-1].problems.add(extends.mark, said)
            files += [following] if "\0" not in extends.text else []
            break
        links += _links_at(following, extends.text)
        files.append(following)
    return _checked(Chain(tuple(links), tuple(files)))


def _why_not(path: Path, files: Sequence[Path]) -> str:
    """Why a file cannot be extended; empty when it can."""
    try:
        place = path.resolve()
        if not stat.S_ISREG(place.stat().st_mode):
            return "it is not a file"
        return "it extends this file itself" if place in [file.resolve() for file in files] else ""
    except OSError as error:
        return error.strerror or str(error)
    except (ValueError, RuntimeError) as error:
        # Names that no file can have, and links that go round.
        return str(error)


def _links_of(text: str, name: str, path: str, stored: bool = False) -> list[Link]:
    """The files in a text. Of a text with endless parts only the first few are looked at."""
    pieces = _MARKED.split(text)[: 2 * MAX_FILES + 1]
    links = [_link(name, path, pieces[0], stored)]
    for part, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        name = part.encode(errors="replace").decode()
        links.append(_link(name, f"{path} ({_shown(name)})", piece, stored))
        if name != part:
            said = "the name of this file holds half a character, which no file can have: write it anew"
            links[-1].problems.add(Mark(1, 1), said)
    for link, following in pairwise(links):
        if link.tree and not link.extends:
            said = f"{following.name} follows, and nothing here extends it: write `extends:` or remove it"
            link.problems.add(link.tree.mark, said)
    return links


def _shown(name: str) -> str:
    """The name as messages have it: by its ends when it is very long."""
    return name if len(name) <= 200 else f"{name[:100]} … {name[-100:]}"


def _links_at(path: Path, name: str) -> list[Link]:
    """The files in a file, mostly one."""
    try:
        return _links_of(read_text(path), name, str(path))
    except RulesInvalid as error:
        problems = Problems(str(path), "")
        for problem in error.problems:
            problems.add(Mark(problem.line, problem.column), problem.message)
        return [Link(name, str(path), "", None, problems)]


def _link(name: str, path: str, text: str, stored: bool) -> Link:
    problems = Problems(path, text, stored)
    return Link(name, path, text, read_tree(text, problems), problems)


def _checked(chain: Chain) -> Chain:
    """The chain, with a problem noted when it is too long or too large."""
    first, last = chain.links[0], chain.links[-1]
    if len(chain.links) > MAX_FILES:
        extended = chain.links[MAX_FILES - 1]
        mark = extended.extends.mark if extended.extends else Mark(1, 1)
        extended.problems.add(mark, f"more than {MAX_FILES} files extend each other: join some of them")
    elif first.extends and first is not last and size_of(chain.text) > MAX_BYTES:
        first.problems.add(first.extends.mark, f"with all that it extends {TOO_LARGE}")
    return chain

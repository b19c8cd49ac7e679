"""What is wrong with a rules file, and where."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from options import RuleError


class Mark(NamedTuple):
    """A place in the file; both count from 1."""

    line: int
    column: int


class Problem(NamedTuple):
    """One mistake: where it is, what it is and what to do about it."""

    path: str
    line: int
    column: int
    message: str


_MOST = 1_000
_SHOWN = 100
_LONGEST = 400


class RulesInvalid(RuleError):
    """A rules file that cannot be used; `problems` holds every mistake in the order of the file, the first
    thousand that were found. Its text shows a hundred.

    Of several files, one extending the next, the mistakes of the first come first. `files` are those that
    were looked for, also one that is not there: once one of them changes it is worth looking again.
    """

    def __init__(
        self, problems: Sequence[Problem], texts: Mapping[str, str] | None = None, files: Iterable[Path] = ()
    ) -> None:
        texts = texts or {}
        places = {path: place for place, path in enumerate(texts)}
        self.problems = sorted(
            problems, key=lambda problem: (places.get(problem.path, 0), problem.line, problem.column)
        )
        self.files = tuple(files)
        lines = {path: text.split("\n") for path, text in texts.items()}
        shown = [rendered(one, lines.get(one.path, ())) for one in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            shown.append(f"and {len(self.problems) - _SHOWN} more: mend these first")
        super().__init__("\n".join(shown))


class Problems:
    """Collects the mistakes of one file, so that all are reported at once.

    `stored`: the file was accepted once, so that only what cannot be read is a mistake.
    """

    def __init__(self, path: str, text: str, stored: bool = False) -> None:
        self.path = path
        self.text = text
        self._stored = stored
        self._found: dict[Problem, None] = {}

    def add(self, mark: Mark, message: str) -> None:
        """Note a mistake, the same at the same place once; raises RulesInvalid at the thousandth."""
        if len(message) > _LONGEST:
            # What the file says is quoted at the beginning, what to do stands at the end.
            message = f"{message[: _LONGEST // 2]} … {message[-_LONGEST // 2 :]}"
        self._found[Problem(self.path, mark.line, mark.column, message)] = None
        if len(self._found) >= _MOST:
            self.raise_if_any()

    def add_newer(self, mark: Mark, message: str) -> None:
        """Note a mistake that an earlier optiond did not know of."""
        if not self._stored:
            self.add(mark, message)

    def raise_if_any(self) -> None:
        """Raise RulesInvalid when anything was noted."""
        raise_noted([self])

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def raise_noted(noted: Iterable[Problems], files: Iterable[Path] = ()) -> None:
    """Raise RulesInvalid when anything was noted of one of the files, given in their order."""
    all_noted = list(noted)
    if any(all_noted):
        found = [problem for problems in all_noted for problem in problems]
        raise RulesInvalid(found, {problems.path: problems.text for problems in all_noted}, files)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint to append to a message: the nearest known words, or all of them when they are few."""
    candidates = sorted(known)
    if not candidates:
        return "there is none"
    if word.lower() in candidates:
        return f"did you mean {word.lower()}?"
    near = get_close_matches(word.lower(), candidates, n=2, cutoff=0.6)
    if not near:
        # Part of a name is often what is remembered of it: earnings, days_to_earnings.
        near = [name for name in candidates if word.lower() in name.split("_")][:3]
    if near:
        return f"did you mean {' or '.join(near)}?"
    few = len(candidates) <= 20
    return f"known are: {', '.join(candidates)}" if few else "`optiond rules facts` lists what there is"


def rendered(problem: Problem, lines: Sequence[str]) -> str:
    """The problem with its line and a caret under the place; `lines` are those of the file."""
    head = f"{problem.path}:{problem.line}:{problem.column}: {problem.message}"
    if not 1 <= problem.line <= len(lines) or not lines[problem.line - 1].strip():
        return head
    # A very long line is cut to a window around the place, tabs would move the caret.
    start = max(0, problem.column - 100)
    line = lines[problem.line - 1].replace("\t", " ")[start : start + 160].rstrip()
    number = f"{problem.line:>5} | "
    return f"{head}\n{number}{line}\n{' ' * (len(number) + problem.column - 1 - start)}^"

"""A rules file as a tree of YAML nodes that know where they stand.

The tree is built from ruamel's event stream, not by its constructor: values stay the text the trader
wrote (`off`, `21d` and `0.30` mean what the rules language says), nothing is ever instantiated, and
depth and aliases are bounded while reading.
"""

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from rules.problem import Mark, Problem, Problems, RulesInvalid, did_you_mean

MAX_BYTES = 1_000_000
TOO_LARGE = "the file is larger than 1 MB: split it or remove what is not rules"
_MAX_DEPTH = 20
_MAX_NODES = 10_000  # sixty long rules have half as many; more costs seconds to check
_MAX_CHARACTERS = 100_000  # without lines of comments; the same
_MAX_LINE = 10_000  # the YAML reader takes seconds for a longer one
_MAX_LINES = 100_000  # the same: of nothing but line ends a megabyte takes a second


@dataclass(frozen=True, slots=True)
class Scalar:
    """A piece of text. `start` and `end` are its offsets in the file, quotes included."""

    mark: Mark
    text: str
    start: int
    end: int
    block: bool


@dataclass(slots=True)
class Sequence:
    """A list. `start` and `end` are its offsets, as of a Scalar; `flow`: it is written in brackets."""

    mark: Mark
    start: int
    flow: bool
    end: int = 0
    items: "list[Node]" = field(default_factory=list)


@dataclass(slots=True)
class Mapping:
    """Keys with their values in the order of the file; duplicates are already reported and left out.

    `start`, `end` and `flow` are those of a Sequence.
    """

    mark: Mark
    start: int
    flow: bool
    end: int = 0
    items: "dict[str, tuple[Scalar, Node]]" = field(default_factory=dict)

    def get(self, key: str) -> "Node | None":
        """The value under `key`, None when the key is not there."""
        pair = self.items.get(key)
        return pair[1] if pair else None


Node = Scalar | Sequence | Mapping


def read_text(path: Path) -> str:
    """The text of a file of rules; raises RulesInvalid when it cannot be read, is too large or no text."""
    try:
        size = path.stat().st_size
        raw = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        said = error.strerror or str(error)
        message = f"cannot be read ({said}): check the path and its permissions"
        raise RulesInvalid([Problem(str(path), 1, 1, message)]) from error
    if size > MAX_BYTES:
        raise RulesInvalid([Problem(str(path), 1, 1, TOO_LARGE)])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"byte {raw[error.start]:#04x} is not UTF-8 text: save the file as UTF-8"
        column = error.start - raw.rfind(b"\n", 0, error.start)
        raise RulesInvalid([Problem(str(path), line, column, message)]) from error


_BEGINNING = "a rules file is a mapping: start it with `version: 1` and `rules:`"


def read_tree(text: str, problems: Problems, beginning: str = _BEGINNING) -> Mapping | None:
    """The file's top mapping; None when YAML itself is broken (what is wrong is in `problems`).

    `beginning` is said of a file that is no mapping: how it should start.
    """
    if size_of(text) > MAX_BYTES:
        problems.add(Mark(1, 1), TOO_LARGE)
        return None
    if _has_tabs(text, problems) or _has_directive(text, problems) or _is_long(text, problems):
        return None
    builder = _Builder(text, problems)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            if not builder.take(event):
                return None
    except MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        if re.search("could not find expected ':'|unexpected end of stream", str(error.problem)):
            place = error.context_mark or place
        mark = _mark(text, place)
        lines = text.split("\n")[: mark.line]
        problems.add(mark, f"not YAML: {_advice(error, lines)}")
        return None
    except ReaderError as error:
        said = f"not text: the character U+{_code(error.character):04X} is not allowed: remove it"
        problems.add(_place(text, error.position), said)
        return None
    except YAMLError as error:
        problems.add(Mark(1, 1), f"not YAML: {error}")
        return None
    if isinstance(builder.root, Mapping):
        return builder.root
    mark = builder.root.mark if builder.root else Mark(1, 1)
    problems.add(mark, f"nothing is in it: {beginning}" if not text.strip() else beginning)
    return None


def size_of(text: str) -> int:
    """Its bytes in a file, also of what no file can hold: half of a surrogate pair is refused later."""
    return len(text.encode("utf-8", "surrogatepass"))


def place_in(source: str, scalar: Scalar) -> Callable[[int], Mark]:
    """Where the n-th character of a scalar's text stands in the file.

    YAML folds lines and undoes quotes, so the two texts are walked side by side; blanks may differ.
    """
    position = scalar.start
    if scalar.block:
        position = source.find("\n", position) + 1
    offsets: list[int] = []
    for character in scalar.text:
        if not character.isspace():
            found = source.find(character, position, scalar.end)
            position = found if found >= 0 else position
        offsets.append(position)
        if not character.isspace():
            position += 1
    offsets.append(position)

    def place(offset: int) -> Mark:
        return _place(source, offsets[min(offset, len(offsets) - 1)])

    return place


def _place(text: str, offset: int) -> Mark:
    starts = _line_starts(text)
    line = bisect_right(starts, offset)
    return Mark(line, offset - starts[line - 1] + 1)


@lru_cache(maxsize=1)
def _line_starts(text: str) -> list[int]:
    return [0, *(match.end() for match in re.finditer("\n", text))]


def _mark(text: str, mark: StringMark | None) -> Mark:
    """ruamel counts more characters as the end of a line than editors do, so its lines are not asked."""
    return _place(text, mark.index) if mark else Mark(1, 1)


def _has_tabs(text: str, problems: Problems) -> bool:
    found = False
    for number, line in enumerate(text.split("\n"), start=1):
        code = line.split(" #", 1)[0]
        if "\t" in code and not code.lstrip().startswith("#"):
            problems.add(Mark(number, code.index("\t") + 1), "a tab: use spaces")
            found = True
    return found


def _has_directive(text: str, problems: Problems) -> bool:
    """YAML's own instructions, such as %YAML 1.1: they change how the rest is read."""
    directive = re.search(r"^%.*", text, re.MULTILINE)
    if directive:
        problems.add(_place(text, directive.start()), "a line that starts with %: remove it or indent it")
    return directive is not None


def _is_long(text: str, problems: Problems) -> bool:
    """Whether reading it would take seconds."""
    characters = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if len(line) > _MAX_LINE:
            said = f"a line of more than {_MAX_LINE} characters: break it"
            problems.add(Mark(number, _MAX_LINE + 1), said)
            return True
        if number > _MAX_LINES:
            problems.add(Mark(number, 1), f"more than {_MAX_LINES} lines: remove the empty ones")
            return True
        code = line.strip()
        characters += 0 if code.startswith("#") else len(code)
        if characters > _MAX_CHARACTERS:
            said = f"more than {_MAX_CHARACTERS} characters besides comments"
            problems.add(Mark(number, 1), f"{said}: use `macros:` and fewer rules")
            return True
    return False


def _code(character: str | int) -> int:
    return character if isinstance(character, int) else ord(character)


def _advice(error: MarkedYAMLError, lines: list[str]) -> str:
    """What is wrong and what to do; `lines`: those up to the one where it is."""
    said = str(error.problem or error.context)
    line, above = (["", "", *lines])[-1], (["", "", *lines])[-2]
    mark = error.problem_mark or error.context_mark
    column = mark.column if mark else 0
    if "mapping values are not allowed" in said and ":" not in line[:column]:
        if re.match(r"\s*-\w", above):
            return "the dash in the line above needs a blank behind it: `- id: take_profit`"
        return "the line above has no `: ` behind its key: write `id: take_profit`"
    if "mapping values are not allowed" in said:
        return "a second `:` on this line: put it in braces, {full: 80%}, or in quotes, or start a new line"
    if "unexpected end of stream" in said:
        return "the quote that starts here is not closed: add another at its end"
    if "expected <block end>" in said and line[column : column + 1] in ("}", "]"):
        return f"a {line[column]} too many: remove it"
    if "cannot start any token" in said:
        sign = re.search(r"found character (\S+)", said)
        return f"{sign.group(1) if sign else said} cannot start a value: put the text in quotes"
    if "could not find expected ':'" in said:
        return "a key needs a colon and a blank behind it: write `priority: 1`"
    if "expected ',' or ']'" in said or "expected ',' or '}'" in said:
        return "a bracket is not closed before this; put conditions that have commas in quotes"
    goes_on = lines and not re.match(r"\s*(- )?[\w'\"]+:", lines[-1])
    if "expected <block end>" in said and goes_on and " #" in "".join(lines[-2:-1]):
        return "the comment in the line above ends what stands before it: put it in a line of its own"
    if "expected <block end>" in said:
        return "this line is indented differently from the lines it belongs to"
    return said


def _last_end(node: Sequence | Mapping) -> int:
    """Where a list or mapping that is written in lines ends: with the last thing in it."""
    if isinstance(node, Sequence):
        return node.items[-1].end if node.items else node.start
    return max((value.end for _, value in node.items.values()), default=node.start)


class _Builder:
    """Puts the nodes together; `take` is False once reading on makes no sense."""

    def __init__(self, text: str, problems: Problems) -> None:
        self._text = text
        self.root: Node | None = None
        self._problems = problems
        self._open: list[tuple[Sequence | Mapping, Scalar | None]] = []
        self._documents = 0
        self._nodes = 0

    def take(self, event: Event) -> bool:
        mark = _mark(self._text, event.start_mark)
        if isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._problems.add(mark, "a second document: keep all rules in one, without `---`")
                return False
        if isinstance(event, SequenceEndEvent | MappingEndEvent):
            node, _ = self._open.pop()
            node.end = event.end_mark.index if node.flow else _last_end(node)
        if isinstance(event, NodeEvent):
            return self._take_node(event, mark)
        return True

    def _take_node(self, event: NodeEvent, mark: Mark) -> bool:
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            self._problems.add(mark, f"more than {_MAX_NODES} keys and values: use `macros:` and `tiers:`")
            return False
        if isinstance(event, AliasEvent) or event.anchor is not None:
            self._problems.add(
                mark, "anchors (&) and aliases (*) are not used in rules: write it out, or use `macros:`"
            )
            return False
        tag = getattr(event, "tag", None)
        if tag is not None:
            shown = str(tag).replace("tag:yaml.org,2002:", "!!")
            self._problems.add(mark, f"tags such as {shown} are not used in rules: remove it")
            return False
        if isinstance(event, ScalarEvent):
            return self._place_node(self._scalar(event, mark))
        assert isinstance(event, SequenceStartEvent | MappingStartEvent)
        kind = Sequence if isinstance(event, SequenceStartEvent) else Mapping
        node: Sequence | Mapping = kind(mark, event.start_mark.index, bool(event.flow_style))
        if not self._place_node(node):
            return False
        if len(self._open) >= _MAX_DEPTH:
            self._problems.add(mark, f"nested more than {_MAX_DEPTH} deep: use `macros:`")
            return False
        self._open.append((node, None))
        return True

    def _scalar(self, event: ScalarEvent, mark: Mark) -> Scalar:
        start, end = event.start_mark.index, event.end_mark.index
        key = self._open[-1][1] if self._open else None
        if start == end and key is not None:
            # ruamel has a value that is not there begin with what comes next: it is missing behind its key.
            start = end = self._text.find(":", key.end) + 1
            mark = _place(self._text, start)
        # An escape can say half a character, which no file, lake or terminal takes.
        value = str(event.value).encode(errors="replace").decode()
        if value != event.value:
            said = "an escape such as \\ud800 is half a character: write the character itself"
            self._problems.add(mark, said)
        return Scalar(mark, value, start, end, event.style in ("|", ">"))

    def _place_node(self, node: Node) -> bool:
        if not self._open:
            self.root = node
            return True
        parent, key = self._open[-1]
        if isinstance(parent, Sequence):
            parent.items.append(node)
        elif key is None:
            if not isinstance(node, Scalar):
                self._problems.add(node.mark, "a key must be a word: put text with brackets in quotes")
                return False
            self._open[-1] = (parent, node)
        else:
            self._open[-1] = (parent, None)
            if key.text in parent.items:
                first = parent.items[key.text][0].mark.line
                self._problems.add(key.mark, f"{key.text} is given twice (first in line {first}): keep one")
            else:
                parent.items[key.text] = (key, node)
        return True


def check_keys(node: Mapping, known: tuple[str, ...], what: str, problems: Problems) -> None:
    """Note every key that is not one of `known`."""
    for key, (scalar, _) in node.items.items():
        if key not in known:
            problems.add(scalar.mark, f"unknown key {key} in {what}: {did_you_mean(key, known)}")
